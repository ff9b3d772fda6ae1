"""Orders: what decisions make the platform do."""

from __future__ import annotations

from typing import Annotated

import msgspec

from schemas.decision import Level, Reason, StopKind, Until
from schemas.message import Count, Id, Message, Seconds, Text, Trimmed, Utc


class Takedown(Message, kw_only=True, frozen=True):
    """Stop an item, or a whole stream (then `stream_id` is set and `content_id` names the segment that did it)."""

    order_id: Id
    decision_id: Id
    publisher_id: Id
    content_id: Id
    kind: StopKind
    until: Until
    ordered_at: Utc
    stream_id: Id | None = None
    seq: Annotated[Count | None, msgspec.Meta(description="of a stream: the segment from which on it stops")] = None
    reasons: tuple[Reason, ...] = ()
    trimmed: Trimmed = 0


class ExplicitLabel(Message, kw_only=True, frozen=True):
    """What people see or hear."""

    text: Text
    min_seconds: Annotated[Seconds, msgspec.Meta(description="how long it stands at least, from the opening picture")]


class Label(Message, kw_only=True, frozen=True):
    """Put a label on an item: the visible words and the metadata object of GB 45438-2025."""

    order_id: Id
    decision_id: Id
    publisher_id: Id
    content_id: Id
    level: Level
    explicit: ExplicitLabel
    ordered_at: Utc
    implicit: Annotated[
        dict[str, dict[str, str]] | None,
        msgspec.Meta(description="the `AIGC` object of GB 45438-2025; null for a notice that is not about generation"),
    ] = None
    stream_id: Id | None = None


class Refutation(Message, kw_only=True, frozen=True):
    """Show the refutation of a rumour beside an item."""

    order_id: Id
    decision_id: Id
    publisher_id: Id
    content_id: Id
    rumor_id: Id
    text: Text
    authority: Text
    url: str
    ordered_at: Utc
    stream_id: Annotated[
        Id | None, msgspec.Meta(description="of a livestream: shown in it, not beside one segment")
    ] = None
    running: Annotated[bool, msgspec.Meta(description="the stream is on: show it in it now")] = False
    content_ids: Annotated[
        tuple[Id, ...], msgspec.Meta(description="what repeated the claim: whoever saw one of these can be told")
    ] = ()
    published_at: Annotated[
        Utc | None, msgspec.Meta(description="when the item came, if the claim was refuted only afterwards")
    ] = None


class Review(Message, kw_only=True, frozen=True):
    """A person must look at this item."""

    review_id: Id
    decision_id: Id
    publisher_id: Id
    content_id: Id
    agent: Id
    requested_at: Utc
    reasons: tuple[Reason, ...] = ()
    stream_id: Id | None = None
    trimmed: Trimmed = 0
