"""Orders: what decisions make the platform do."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from schemas.decision import Level, PolicyRef, Reason, StopKind, Until
from schemas.event import Media
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
    permanent: Annotated[bool, msgspec.Meta(description="it stands to the end, and in a stream's player always")] = (
        False
    )


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
    stream_id: Annotated[
        Id | None,
        msgspec.Meta(description="of a livestream: its player shows the words over it, and sends the object with it"),
    ] = None
    event_id: Annotated[Id | None, msgspec.Meta(description="of the item; null in messages of version 0.1.0")] = None
    media: Annotated[Media | None, msgspec.Meta(description="what is to be labelled, where that is known")] = None


class Labelled(Message, kw_only=True, frozen=True):
    """A labelled copy was made of an item: what the ingest tier publishes in the original's place."""

    labelled_id: Id
    order_id: Annotated[Id, msgspec.Meta(description="of the order that it carries out")]
    decision_id: Annotated[Id, msgspec.Meta(description="of the labeler, which says that it was done")]
    publisher_id: Id
    content_id: Id
    event_id: Id
    original: Media
    media: Annotated[Media, msgspec.Meta(description="the labelled copy")]
    implicit: Annotated[dict[str, dict[str, str]], msgspec.Meta(description="the object as it stands in the copy")]
    explicit: Annotated[
        Literal["seen", "heard", "nothing"], msgspec.Meta(description="how people are told by the copy itself")
    ]
    encoded_s: Annotated[
        Seconds | None,
        msgspec.Meta(description="seconds of pictures that were encoded again, the rest was copied; null: all or none"),
    ] = None
    labelled_at: Utc


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
    withdrawn: Annotated[
        bool,
        msgspec.Meta(
            description="the refutation stands no more: show none of this rumour with `content_ids`, nor in the "
            "stream; `text` may be shown instead, if it says anything"
        ),
    ] = False


class Release(Message, kw_only=True, frozen=True):
    """A ruling lifts orders: what was held, removed or cut may go on, what was labelled need not be.

    Only these orders: what the item is to be now is said by its verdict. Of a stream `stream_id` is set.
    """

    order_id: Id
    decision_id: Annotated[Id, msgspec.Meta(description="of the ruling")]
    publisher_id: Id
    content_id: Id
    releases: Annotated[tuple[Id, ...], msgspec.Meta(min_length=1, description="ids of the orders that are lifted")]
    ordered_at: Utc
    stream_id: Annotated[Id | None, msgspec.Meta(description="set if the orders are about the whole stream")] = None
    reasons: tuple[Reason, ...] = ()
    trimmed: Trimmed = 0


#: How bad it is if what is suspected is true, mildest first.
Severity = Literal["low", "medium", "high", "highest"]


class Review(Message, kw_only=True, frozen=True):
    """A person must look at this item. Where the question stands, and who has taken it, lies on `worklist`."""

    review_id: Id
    decision_id: Id
    publisher_id: Id
    content_id: Id
    agent: Id
    requested_at: Utc
    reasons: tuple[Reason, ...] = ()
    stream_id: Id | None = None
    trimmed: Trimmed = 0
    event_id: Annotated[Id | None, msgspec.Meta(description="of the item; null in messages of version 0.1.0")] = None
    seq: Count | None = None
    policy: PolicyRef | None = None
    reach: Annotated[Count | None, msgspec.Meta(description="as the event says")] = None
    severity: Severity = "medium"
    priority: Annotated[float, msgspec.Meta(ge=0, description="when it was asked; the higher the sooner")] = 0.0
    due_at: Annotated[Utc | None, msgspec.Meta(description="until when the platform's policy promises an answer")] = (
        None
    )
    escalates: Annotated[Id | None, msgspec.Meta(description="the review whose people could not settle it")] = None
