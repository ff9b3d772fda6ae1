"""What is known already: hashes of banned and of known good media, and rumours with their refutations."""

from __future__ import annotations

import unicodedata
from typing import Annotated, Any, ClassVar, Literal

import msgspec

from schemas.message import Id, Md5, Message, Pdq, Seconds, Sha256, Text, Utc
from schemas.signals import FramePoints, Quality, SoundPrint


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
    """Media that is known: hashes of its frames, fingerprints of its sound, digests of its file, or several of them."""

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
    points: Annotated[tuple[FramePoints, ...], msgspec.Meta(description="of some of its frames, in order of time")] = ()

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


class RumorEntity(Message, kw_only=True, frozen=True):
    """Whom or what a claim is about: a text that names another of its kind tells of something else."""

    kind: Literal["place", "person", "organisation", "number", "date"]
    names: Annotated[
        tuple[Annotated[str, msgspec.Meta(min_length=1, max_length=200)], ...],
        msgspec.Meta(min_length=1, description="how it is written, other languages and short forms among them"),
    ]


#: One keyword.
_Word = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class Rumor(Message, kw_only=True, frozen=True):
    """A claim going round, in the wordings that were seen, and its refutation once there is one."""

    rumor_id: Id
    claims: Annotated[tuple[Annotated[Text, msgspec.Meta(min_length=4)], ...], msgspec.Meta(min_length=1)]
    status: Literal["suspected", "refuted", "true"]
    added_at: Utc
    refutation: RumorRefutation | None = None
    expires_at: Annotated[Utc | None, msgspec.Meta(description="after added_at; matched until then")] = None
    languages: Annotated[
        tuple[Annotated[str, msgspec.Meta(min_length=2, max_length=16)], ...],
        msgspec.Meta(description="of its wordings; codes of ISO 639, e.g. zh, en"),
    ] = ()
    must: Annotated[
        tuple[Annotated[tuple[_Word, ...], msgspec.Meta(min_length=1)], ...],
        msgspec.Meta(description="of each group one keyword has to occur in the text"),
    ] = ()
    must_not: Annotated[
        tuple[_Word, ...], msgspec.Meta(description="keywords of which none may occur in the sentence")
    ] = ()
    entities: tuple[RumorEntity, ...] = ()
    frames: Annotated[tuple[BankFrame, ...], msgspec.Meta(description="of the clip that goes round with it")] = ()
    sounds: Annotated[tuple[SoundPrint, ...], msgspec.Meta(description="of that clip")] = ()
    severity: Literal["low", "medium", "high", "highest"] = "medium"
    source: Annotated[str, msgspec.Meta(max_length=256, description="who entered it, or where it was taken from")] = ""

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
        if self.expires_at is not None and self.expires_at <= self.added_at:
            raise ValueError("`expires_at` does not lie after `added_at`: the entry would never match")
        barred = [_plain(word) for word in self.must_not]
        for number, group in enumerate(self.must):
            if barred and all(any(bar in _plain(word) for bar in barred) for word in group):
                raise ValueError(
                    f"`must.{number}` contradicts `must_not`, which bars each of {', '.join(group)}: "
                    "the entry would never match"
                )
        if barred and all(any(bar in _plain(claim) for bar in barred) for claim in self.claims):
            raise ValueError("`must_not` bars a word of every one of `claims`: the entry would never match")


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()
