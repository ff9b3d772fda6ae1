"""The refuting judge (Provisions, Art. 13): what follows for an item that repeats a claim refuted since. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from msgspec.structs import replace

from agents.decide import Finding, decide, ground, label, remove, review
from schemas.bank import Rumor, RumorRefutation
from schemas.decision import Decision, stable_id
from schemas.event import Event
from schemas.orders import Refutation
from schemas.policy import Policy
from schemas.signals import Evidence

CODE = "RUMOR-REFUTED-LATER"


class Ordered(NamedTuple):
    """An item with which a refutation was ordered to be shown: all that it takes to take that back."""

    #: As the index knows it.
    event: int
    decision_id: str
    content_id: str
    publisher_id: str
    stream_id: str | None
    #: When it was decided, Unix time.
    at: float


def truth_id(refutation: RumorRefutation) -> str:
    """An id of what is shown: another text is shown anew, the same one is not."""
    return stable_id("truth", refutation.text, refutation.authority, refutation.url)


def judge(
    event: Event,
    rumor: Rumor,
    policy: Policy,
    now: datetime,
    *,
    score: float,
    threshold: float,
    evidence: Evidence,
    shown_only: bool,
    after: Sequence[str] = (),
) -> Decision:
    """The decision on an item that was published before its claim was refuted, by the policy's `on_refuted`.

    Its id names the refutation as well: one item may repeat several claims, each refuted at another time. `after`: the
    messages that took back what was ordered for the item before; what is refuted anew has another id.
    """
    assert rumor.refutation is not None
    reason = ground(CODE, score=score, threshold=threshold, evidence=[evidence])
    found: Finding = label(reason, 0, policy.rumor.notice)
    if policy.rumor.on_refuted == "takedown" and (not shown_only or policy.media_text.at_most == "takedown"):
        found = remove(reason)
    elif policy.rumor.on_refuted != "label":
        found = review(reason)
    decision = decide("refuting", event, policy, [found], now)
    about = (event.event_id, policy.name, policy.version, rumor.rumor_id, truth_id(rumor.refutation), *after)
    return replace(decision, decision_id=stable_id("decision", "refuting", *about))


def order(
    event: Event,
    rumor: Rumor,
    decision: Decision,
    content_ids: Sequence[str],
    *,
    running: bool = False,
    after: Sequence[str] = (),
) -> Refutation:
    """The order to show the refutation with an item, or in a livestream. The same refutation of the same item or
    stream always has the same id, whoever orders it and however often; `after` as of the decision."""
    truth = rumor.refutation
    assert truth is not None
    about = f"stream {event.stream_id}" if event.stream_id else f"event {event.event_id}"
    return Refutation(
        order_id=stable_id("refutation", "later", about, rumor.rumor_id, truth_id(truth), *content_ids[:1], *after),
        decision_id=decision.decision_id,
        publisher_id=event.publisher_id,
        content_id=event.content_id,
        rumor_id=rumor.rumor_id,
        text=truth.text,
        authority=truth.authority,
        url=truth.url,
        ordered_at=decision.decided_at,
        stream_id=event.stream_id,
        running=running,
        content_ids=tuple(content_ids),
        published_at=event.created_at,
    )


def withdrawal(
    rumor_id: str, rumor: Rumor | None, ordered: Sequence[Ordered], now: datetime, *, running: bool = False
) -> Refutation:
    """The message that takes back what was ordered for an item, or for segments of one stream. `rumor` is the entry as
    it is now, None if it was deleted: what it says of a claim that is true after all goes with it.

    What takes back the same orders always has the same id.
    """
    last = ordered[-1]
    truth = rumor.refutation if rumor is not None and rumor.status == "true" else None
    decisions = sorted({one.decision_id for one in ordered})
    return Refutation(
        order_id=stable_id("refutation", "withdrawn", rumor_id, last.stream_id or last.content_id, *decisions),
        decision_id=last.decision_id,
        publisher_id=last.publisher_id,
        content_id=last.content_id,
        rumor_id=rumor_id,
        text=truth.text if truth else "",
        authority=truth.authority if truth else "",
        url=truth.url if truth else "",
        ordered_at=now,
        stream_id=last.stream_id,
        running=running,
        content_ids=tuple(dict.fromkeys(one.content_id for one in ordered)),
        withdrawn=True,
    )
