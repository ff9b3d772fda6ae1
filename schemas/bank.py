"""What is known already: hashes of banned and of known good media, and rumours with their refutations."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import msgspec

from schemas.message import Id, Md5, Message, Pdq, Seconds, Sha256, Text, Utc
from schemas.signals import Quality, SoundPrint


class BankFrame(Message, kw_only=True, frozen=True):
    """One frame of an entry's media, hashed as extraction hashes (longer side 512 px)."""

    pdq: Pdq
    quality: Quality
    at_s: float = 0.0
    variant: Annotated[
        str,
        msgspec.Meta(max_length=64, description="how the frame was changed before it was hashed, e.g. mirror, crop10"),
    ] = ""


class HashEntry(Message, kw_only=True, frozen=True):
    """Media that is known: hashes of its frames, fingerprints of its sound, digests of its file, or several of these."""

    entry_id: Id
    category: Annotated[str, msgspec.Meta(description="why it is banned, in the platform's own words")]
    source: str
    added_at: Utc
    frames: tuple[BankFrame, ...] = ()
    sha256: Sha256 | None = None
    expires_at: Utc | None = None
    bank: Annotated[Id, msgspec.Meta(description="the list it belongs to")] = "default"
    kind: Annotated[
        Literal["banned", "known_good"],
        msgspec.Meta(description="known_good: looks like banned media and is not, so that it matches nothing"),
    ] = "banned"
    severity: Literal["low", "medium", "high", "highest"] = "high"
    tags: tuple[Id, ...] = ()
    licence: Annotated[str, msgspec.Meta(max_length=256, description="on what terms the hashes may be used")] = ""
    md5: Md5 | None = None
    active: Annotated[bool, msgspec.Meta(description="false: people rejected it as a false match")] = True
    note: Annotated[Text, msgspec.Meta(description="who switched it off, and why")] = ""
    duration_s: Annotated[Seconds | None, msgspec.Meta(description="length of the media")] = None
    sounds: Annotated[tuple[SoundPrint, ...], msgspec.Meta(description="of all its sound, in order of time")] = ()

    schema_rules: ClassVar[tuple[dict[str, Any], ...]] = (
        {
            "description": "there is something to match",
            "anyOf": [
                {"properties": {"frames": {"minItems": 1}}, "required": ["frames"]},
                {"properties": {"sha256": {"type": "string"}}, "required": ["sha256"]},
                {"properties": {"md5": {"type": "string"}}, "required": ["md5"]},
                {"properties": {"sounds": {"minItems": 1}}, "required": ["sounds"]},
            ],
        },
    )

    def __post_init__(self) -> None:
        if not self.frames and not self.sounds and self.sha256 is None and self.md5 is None:
            raise ValueError("`frames`, `sounds`, `sha256` and `md5` are all missing: the entry could never match")


class RumorRefutation(Message, kw_only=True, frozen=True):
    """What is true, and who says so."""

    text: Annotated[Text, msgspec.Meta(min_length=1)]
    authority: Annotated[str, msgspec.Meta(min_length=1)]
    url: str = ""
    published_at: Utc | None = None


class Rumor(Message, kw_only=True, frozen=True):
    """A claim going round, in the wordings that were seen, and its refutation once there is one."""

    rumor_id: Id
    claims: Annotated[tuple[Annotated[Text, msgspec.Meta(min_length=4)], ...], msgspec.Meta(min_length=1)]
    status: Literal["suspected", "refuted", "true"]
    added_at: Utc
    refutation: RumorRefutation | None = None
    expires_at: Utc | None = None

    schema_rules: ClassVar[tuple[dict[str, Any], ...]] = (
        {
            "description": "a refuted rumour names what is true and who says so",
            "if": {"properties": {"status": {"const": "refuted"}}},
            "then": {"properties": {"refutation": {"type": "object"}}, "required": ["refutation"]},
        },
    )

    def __post_init__(self) -> None:
        if self.status == "refuted" and self.refutation is None:
            raise ValueError("`refutation` is missing: a refuted rumour names what is true and who says so")
