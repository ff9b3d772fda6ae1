"""What follows once the votes on an item say something else: people's decision, its orders, the bank's entry. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from datetime import datetime
from typing import NamedTuple

from msgspec.structs import replace

from agents.decide import ground, label_id, takedown_id
from agents.reviewers.board import CUT, stream_stop, stream_stops
from agents.reviewers.settle import AGENT, Ruling, ruling_on
from agents.reviewers.work import bare, passed_on
from schemas.bank import HashEntry
from schemas.decision import Action, Answered, Decision, Outcome, PolicyRef, Position, Reason, Ruled, Stop, stable_id
from schemas.orders import Release, Review
from schemas.policy import Policy
from schemas.reasons import CATALOGUE
from schemas.signals import Evidence
from schemas.worklist import Banked, Question, Vote, WorkItem

CODES: dict[Outcome, str] = {
    "remove": "PERSON-REMOVED", "keep": "PERSON-KEPT", "label": "PERSON-LABELLED", "escalate": "PERSON-ESCALATED",
}  # fmt: skip
_ACTIONS: dict[Outcome, Action] = {"remove": "takedown", "keep": "allow", "label": "label", "escalate": "review"}
#: Decisions of people that a row names; more than any item gets.
MOST_DECISIONS = 20

#: Whether another segment of the item's stream still asks for that stop, of agents that items wait for.
Stands = Callable[[WorkItem, Stop, Collection[str]], bool]


class Effects(NamedTuple):
    """The row as it is then, and what is to be sent."""

    item: WorkItem
    messages: tuple[Decision | Release | Review | HashEntry, ...] = ()


def carried_out(
    before: WorkItem, after: WorkItem, policy: Policy, now: datetime, stands: Stands, *, again: bool = False
) -> Effects:
    """What follows from the votes of `after` beyond those of `before`. `again`: what a repeat sends once more, because
    another worker wrote the row and may have been killed before it sent the rest; under the same ids."""
    waited = policy.verdict.agents
    was, now_is = ruling_on(before, waited), ruling_on(after, waited)
    item = passed_on(after, policy, now)
    messages: list[Decision | Release | Review | HashEntry] = []
    if now_is.outcome and (again or now_is.said != was.said):
        decision = _decision(before, item, was, now_is, policy, now, stands)
        messages += [decision, *_releases(item, was, now_is, decision, policy)]
        item = _remembered(item, decision)
    known = {question.review_id for question in before.questions}
    messages += [
        _asked(each, item) for each in item.questions if each.escalates and (each.review_id not in known or again)
    ]
    item, off = _banked(item, now_is, now)
    return Effects(item, (*messages, *off))


def entry_off(item: WorkItem, banked: Banked, why: str, now: datetime) -> HashEntry | None:
    """The bank's entry, switched off; None if it never had one."""
    if banked.state != "in" or banked.sha256 is None:
        return None
    return HashEntry(
        entry_id=banked.entry_id,
        category="ruling",
        source="ruling",
        added_at=now,
        kind=banked.kind,
        sha256=banked.sha256,
        active=False,
        note=f"switched off by {why}: {item.content_id}",
    )


def _decision(
    before: WorkItem, item: WorkItem, was: Ruling, ruling: Ruling, policy: Policy, now: datetime, stands: Stands
) -> Decision:
    assert ruling.outcome is not None
    name = stable_id("decision", item.event_id, AGENT, *(vote.ruling_id for vote in ruling.votes))
    former = next((each for each in reversed(item.decisions) if each != name), None)
    return Decision(
        decision_id=name,
        event_id=item.event_id,
        content_id=item.content_id,
        publisher_id=item.publisher_id,
        stream_id=item.stream_id,
        seq=item.seq,
        reach=item.reach,
        agent=AGENT,
        action=_ACTIONS[ruling.outcome],
        reasons=tuple(_reasons(item, ruling)),
        stop=Stop(kind="remove", until="forever") if ruling.outcome == "remove" else None,
        label=ruling.label if ruling.outcome == "label" else None,
        policy=policy.ref,
        decided_at=now,
        latency_s=max(0.0, (now - item.created_at).total_seconds()) if item.created_at else 0.0,
        ruling=Ruled(
            outcome=ruling.outcome,
            rulings=tuple(vote.ruling_id for vote in ruling.votes),
            reviewers=tuple(dict.fromkeys(vote.reviewer_id for vote in ruling.votes)),
            overrules=ruling.overrules,
            overruled=(*ruling.overruled, *_own(item, ruling, policy.ref)),
            remains=ruling.remains,
            answers=tuple(answers(item)),
            frees=tuple(_freed(before, item, was, ruling, policy, stands)),
            former=former,
        ),
    )


def answers(item: WorkItem) -> Iterator[Answered]:
    """The item's questions that are settled."""
    for question in item.questions:
        if question.outcome and question.state in ("settled", "second"):
            yield Answered(
                review_id=_first(question, item),
                agent=question.agent,
                outcome=question.outcome,
                policy=question.policy,
                codes=tuple(dict.fromkeys(r.code for r in question.reasons if r.code != CODES["escalate"])),
            )


def _first(question: Question, item: WorkItem) -> str:
    """The review with which it began, of one that was passed on."""
    parents = {each.review_id: each.escalates for each in item.questions}
    name = question.review_id
    while parent := parents.get(name):
        name = parent
    return name


def _reasons(item: WorkItem, ruling: Ruling) -> Iterator[Reason]:
    """Who ruled what and why, and, of a removal, the reasons that it confirms."""
    for vote in reversed(ruling.votes):
        said = Evidence(entry=vote.reviewer_id, text=vote.reason or None)
        reason = ground(CODES[vote.outcome], evidence=[said])
        yield replace(reason, article=vote.article or CATALOGUE[reason.code].article)
    if ruling.outcome != "remove":
        return
    targets = {vote.target for vote in ruling.votes if vote.outcome == "remove"}
    confirmed = [each for each in item.questions if each.target in targets]
    confirmed_reasons = [r for each in confirmed for r in each.reasons]
    confirmed_reasons += [r for each in item.positions if each.agent in targets for r in each.reasons]
    told = set(CODES.values())
    for reason in bare(confirmed_reasons):
        if reason.code not in told:
            told.add(reason.code)
            yield reason


def _own(item: WorkItem, ruling: Ruling, policy: PolicyRef) -> Iterator[Position]:
    """What people decided before and do not any more: a removal, whose points are given back."""
    if ruling.outcome == "remove":
        return
    for name in item.removals:
        yield Position(
            agent=AGENT,
            decision_id=name,
            action="takedown",
            policy=policy,
            stop=Stop(kind="remove", until="forever"),
        )


def _releases(item: WorkItem, was: Ruling, ruling: Ruling, decision: Decision, policy: Policy) -> Iterator[Release]:
    """The orders on the item itself that are lifted. Those on its stream are the verdict agent's, who gave them."""
    lifted = [name for each in ruling.overruled if each not in was.overruled for name in _orders(each, item, policy)]
    if was.outcome == "remove" != ruling.outcome:
        lifted += [takedown_id(name) for name in item.removals]
    if was.label and not ruling.label:
        lifted += [label_id(name) for name in item.decisions if name != decision.decision_id][-1:]
    if lifted:
        yield Release(
            order_id=stable_id("release", decision.decision_id),
            decision_id=decision.decision_id,
            publisher_id=item.publisher_id,
            content_id=item.content_id,
            releases=tuple(dict.fromkeys(lifted)),
            ordered_at=decision.decided_at,
            reasons=decision.reasons,
        )


def _orders(position: Position, item: WorkItem, policy: Policy) -> Iterator[str]:
    """The orders on the item that a decision gave."""
    if position.stop and not (item.stream_id and position.agent in policy.verdict.agents):
        yield takedown_id(position.decision_id)
    if position.label and position.action in ("label", "takedown"):
        yield label_id(position.decision_id)


def _freed(
    before: WorkItem, item: WorkItem, was: Ruling, ruling: Ruling, policy: Policy, stands: Stands
) -> Iterator[Stop]:
    """What nothing asks for any more of the stream: neither this item nor another of it."""
    if item.stream_id is None:
        return
    waited = policy.verdict.agents
    asked = {stream_stop(each.stop) for each in before.positions if each.stop and each.agent in waited}
    if was.outcome == "remove" or item.removals:
        asked.add(CUT)
    for stop in sorted(asked - stream_stops(item, waited), key=lambda stop: (stop.kind, stop.until)):
        if not stands(item, stop, waited):
            yield stop


def _remembered(item: WorkItem, decision: Decision) -> WorkItem:
    """The row with the decision of people on it."""
    if decision.decision_id in item.decisions:
        return item
    removals = (*item.removals, decision.decision_id) if decision.stop else item.removals
    return replace(
        item, decisions=(*item.decisions, decision.decision_id)[-MOST_DECISIONS:], removals=removals[-MOST_DECISIONS:]
    )


def _asked(question: Question, item: WorkItem) -> Review:
    """The order to look at what others could not settle."""
    return Review(
        review_id=question.review_id,
        decision_id=question.decision_id,
        event_id=item.event_id,
        publisher_id=item.publisher_id,
        content_id=item.content_id,
        stream_id=item.stream_id,
        seq=item.seq,
        agent=AGENT,
        reasons=question.reasons,
        policy=question.policy,
        reach=item.reach,
        severity=question.severity,
        priority=question.priority,
        requested_at=question.requested_at,
        due_at=question.due_at,
        escalates=question.escalates,
    )


def _banked(item: WorkItem, ruling: Ruling, now: datetime) -> tuple[WorkItem, tuple[HashEntry, ...]]:
    """The row with what the bank should hold of the item, and what must leave it at once."""
    known = item.bank
    if ruling.bank:
        kind, vote = ruling.bank
        if known and known.kind == kind and (known.state in ("wanted", "in") or known.by == vote.ruling_id):
            return item, ()
        wanted = Banked(entry_id=stable_id("bank", item.event_id), kind=kind, by=vote.ruling_id)
        return replace(item, bank=replace(wanted, sha256=known.sha256 if known else None)), ()
    if known is None or known.state == "out":
        return item, ()
    why = _last(item)
    off = entry_off(item, known, f"reviewer {why.reviewer_id} (ruling {why.ruling_id})", now)
    return replace(item, bank=replace(known, state="out")), (off,) if off else ()


def _last(item: WorkItem) -> Vote:
    return max(item.votes, key=lambda vote: (vote.ruled_at, vote.ruling_id))
