"""The verdict: the one answer an item gets, which the ingest tier waits for."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from schemas.decision import LabelTerms, PolicyRef, Reason, Until
from schemas.event import Media
from schemas.message import Count, Id, Message, Seconds, Trimmed, Utc

Answer = Literal["publish", "publish_labelled", "hold", "block"]


class Verdict(Message, kw_only=True, frozen=True):
    """What the ingest tier does with the item. A later verdict on the same event names the former in `replaces`."""

    verdict_id: Id
    event_id: Id
    content_id: Id
    publisher_id: Id
    verdict: Answer
    decided_at: Utc
    latency_s: Annotated[
        Seconds, msgspec.Meta(description="from the event's created_at, or its arrival if that lies later")
    ]
    policy: PolicyRef
    reasons: tuple[Reason, ...] = ()
    labels: tuple[LabelTerms, ...] = ()
    until: Annotated[Until | None, msgspec.Meta(description="what a held item waits for")] = None
    decisions: Annotated[tuple[Id, ...], msgspec.Meta(description="ids of the decisions it rests on")] = ()
    replaces: Annotated[Id | None, msgspec.Meta(description="the verdict that this one changes")] = None
    stream_id: Id | None = None
    seq: Count | None = None
    ruling: Annotated[
        Id | None,
        msgspec.Meta(
            description="the decision of people that it follows; it then stands over every verdict before it, whether "
            "or not `replaces` names one: of an item that was answered long ago nobody remembers which"
        ),
    ] = None
    trimmed: Trimmed = 0
    media: Annotated[
        Media | None, msgspec.Meta(description="the labelled copy, to be published in the original's place")
    ] = None
