"""From a decision to the orders that carry it out. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from agents.asking import review_of
from agents.decide import label_id, takedown_id
from schemas.decision import Decision
from schemas.orders import ExplicitLabel, Label, Takedown
from schemas.policy import Policy
from schemas.topics import DECISIONS, LABELS, REVIEWS, TAKEDOWNS
from streams.agent import Outgoing


def outgoing(decision: Decision, policy: Policy) -> Iterator[Outgoing]:
    """The decision and its orders, each to its topic.

    A segment's takedown is not ordered here: it concerns the stream, once, and the verdict agent, which sees all of a
    stream's decisions, orders it. Of an agent that items do not wait for (complaints, about what was published) it
    concerns that segment alone, and is. What is held until it is reviewed goes to the reviewers as well (complaints ask
    them before they hold).
    """
    yield Outgoing(DECISIONS, decision.publisher_id, decision)
    waited_for = decision.agent in policy.verdict.agents
    if decision.action == "takedown" and decision.stop and not (decision.stream_id and waited_for):
        yield Outgoing(TAKEDOWNS, decision.content_id, takedown(decision))
    if review := review_of(decision, policy):
        yield Outgoing(REVIEWS, decision.content_id, review)
    if decision.label and decision.action in ("label", "takedown"):
        yield Outgoing(LABELS, decision.content_id, _label(decision, policy))


def takedown(decision: Decision) -> Takedown:
    """The order that carries out a decision's stop on its item."""
    assert decision.stop is not None
    return Takedown(
        order_id=takedown_id(decision.decision_id),
        decision_id=decision.decision_id,
        publisher_id=decision.publisher_id,
        content_id=decision.content_id,
        kind=decision.stop.kind,
        until=decision.stop.until,
        reasons=decision.reasons,
        ordered_at=decision.decided_at,
    )


def _label(decision: Decision, policy: Policy) -> Label:
    assert decision.label is not None
    return Label(
        order_id=label_id(decision.decision_id),
        decision_id=decision.decision_id,
        publisher_id=decision.publisher_id,
        content_id=decision.content_id,
        stream_id=decision.stream_id,
        level=decision.label.level,
        explicit=ExplicitLabel(
            text=decision.label.text,
            min_seconds=policy.synthetic.label_min_seconds,
            permanent=policy.synthetic.label_permanent,
        ),
        event_id=decision.event_id,
        media=decision.media,
        implicit=_aigc(decision, policy.synthetic.propagator) if decision.label.level else None,
        ordered_at=decision.decided_at,
    )


def _aigc(decision: Decision, code: str) -> dict[str, dict[str, str]]:
    """The object that the platform writes into the metadata as propagator (LBL-6; GB 45438-2025, fields in order).

    Who produced the item is not known here: a label that is already there keeps its producer, and whoever writes the
    label fills in these fields only where there is none.
    """
    assert decision.label is not None
    return {
        "AIGC": {
            "Label": str(decision.label.level),
            "ContentProducer": "",
            "ProduceID": "",
            "ReservedCode1": "",
            "ContentPropagator": code,
            "PropagateID": decision.content_id,
            "ReservedCode2": "",
        }
    }
