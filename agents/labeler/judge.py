"""What comes of an order: the decision that its copy was made, or could not be. Pure."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Literal

from agents.decide import ground
from schemas.decision import Decision, stable_id
from schemas.event import Media
from schemas.orders import Label, Labelled
from schemas.policy import Policy
from schemas.signals import Evidence

NAME = "labeler"


def wanted(order: Label) -> bool:
    """Whether a copy is to be made: of an upload whose media is named, of a notice about generation. A livestream's
    player shows the words itself."""
    return order.implicit is not None and order.media is not None and order.stream_id is None and order.level > 0


def done(
    order: Label,
    media: Media,
    policy: Policy,
    now: datetime,
    *,
    implicit: str,
    explicit: Literal["seen", "heard", "nothing"],
    encoded_s: float | None,
) -> tuple[Decision, Labelled]:
    """The copy was made, and lies in the store. `implicit`, `explicit`: the object as it stands in it, and how people
    are told."""
    assert order.media is not None, "wanted says so"
    chain = Evidence(
        text=f"original {order.media.sha256} → labelled copy {media.sha256}: {explicit}, {implicit}",
        entry=media.sha256,
    )
    decision = _decision(order, "label", "LABEL-WRITTEN", chain, policy, now, media)
    return decision, Labelled(
        labelled_id=stable_id("labelled", order.order_id),
        order_id=order.order_id,
        decision_id=decision.decision_id,
        publisher_id=order.publisher_id,
        content_id=order.content_id,
        event_id=decision.event_id,
        original=order.media,
        media=media,
        implicit=json.loads(implicit),
        explicit=explicit,
        encoded_s=encoded_s,
        labelled_at=now,
    )


def failed(order: Label, why: str, policy: Policy, now: datetime) -> Decision:
    """It could not be: people are asked, and what is held stays held."""
    return _decision(order, "review", "LABEL-FAILED", Evidence(text=why), policy, now, None)


def _decision(
    order: Label, action: str, code: str, evidence: Evidence, policy: Policy, now: datetime, media: Media | None
) -> Decision:
    return Decision(
        # Of the order, not of the policy: another order on the same item is carried out anew.
        decision_id=stable_id("decision", order.order_id, NAME, code),
        event_id=order.event_id or order.content_id,
        content_id=order.content_id,
        publisher_id=order.publisher_id,
        agent=NAME,
        action="label" if action == "label" else "review",
        reasons=(ground(code, evidence=[evidence]),),
        policy=policy.ref,
        decided_at=now,
        latency_s=max(0.0, (now - order.ordered_at).total_seconds()),
        media=media,
    )
