"""What is known already: hashes of banned media, and rumours with their refutations."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import msgspec

from schemas.message import Id, Message, Pdq, Sha256, Text, Utc
from schemas.signals import Quality


class BankFrame(Message, kw_only=True, frozen=True):
    """One frame of banned media, hashed as extraction hashes (longer side 512 px)."""

    pdq: Pdq
    quality: Quality
    at_s: float = 0.0


class HashEntry(Message, kw_only=True, frozen=True):
    """Banned media: the PDQ hashes of its frames, its exact SHA-256, or both."""

    entry_id: Id
    category: Annotated[str, msgspec.Meta(description="why it is banned, in the platform's own words")]
    source: str
    added_at: Utc
    frames: tuple[BankFrame, ...] = ()
    sha256: Sha256 | None = None
    expires_at: Utc | None = None

    schema_rules: ClassVar[tuple[dict[str, Any], ...]] = (
        {
            "description": "there is something to match",
            "anyOf": [
                {"properties": {"frames": {"minItems": 1}}, "required": ["frames"]},
                {"properties": {"sha256": {"type": "string"}}, "required": ["sha256"]},
            ],
        },
    )

    def __post_init__(self) -> None:
        if not self.frames and self.sha256 is None:
            raise ValueError("`frames` and `sha256` are both missing: the entry could never match")


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
