"""What rulings come to: of one question, and of an item with all of its questions. Pure.

Everything here is a function of which votes there are, not of the order or the number of times in which they came: at
least once, and from many clients, neither can be relied on. Of two votes the later is told by the reviewers' own times,
then by their ids.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

from msgspec.structs import replace

from schemas.decision import LabelTerms, Outcome, Position
from schemas.worklist import Bank, Question, QuestionState, Vote, WorkItem

#: The decisions of people carry this as their agent.
AGENT = "reviewers"
#: Every agent, as a target.
ALL = "*"


class Settlement(NamedTuple):
    """What the votes on one question come to."""

    #: Those whose ruling is in force: one, or two who agree.
    final: tuple[Vote, ...] = ()
    #: One that takes effect once a second reviewer says the same.
    waiting: Vote | None = None
    #: Those who passed the question on, or disagree. Others are asked then, and later votes here change nothing.
    passed_on: tuple[Vote, ...] = ()

    @property
    def moment(self) -> tuple[datetime, str]:
        """When it was settled."""
        return moment(self.final[-1])


class Ruling(NamedTuple):
    """What all votes on an item come to."""

    outcome: Outcome | None = None
    #: All votes that count, oldest first: those in force and those that passed a question on.
    votes: tuple[Vote, ...] = ()
    #: What is set aside of the agents' decisions, and what stands.
    overruled: tuple[Position, ...] = ()
    remains: tuple[Position, ...] = ()
    overrules: tuple[str, ...] = ()
    label: LabelTerms | None = None
    #: Which bank its hashes belong into, and by which vote.
    bank: tuple[Bank, Vote] | None = None

    @property
    def said(self) -> tuple[object, ...]:
        """What of it decides on the item; whoever sees the same need not be told again."""
        ids = tuple(vote.ruling_id for vote in self.votes)
        return ids, self.outcome, tuple(position.decision_id for position in self.overruled), self.label


def moment(vote: Vote) -> tuple[datetime, str]:
    """Where a vote stands in time."""
    return vote.ruled_at, vote.ruling_id


def settle(votes: Iterable[Vote], barred: Collection[str] = ()) -> Settlement:
    """What the votes on one question come to. Those of `barred` reviewers, who have ruled before, do not count.

    Two reviewers agree if they say the same of the item and of the bank. A second vote of the same reviewer takes the
    place of their first, and is no second voice.
    """
    final: tuple[Vote, ...] = ()
    waiting: Vote | None = None
    for vote in sorted(votes, key=moment):
        if vote.reviewer_id in barred:
            continue
        if vote.outcome == "escalate":
            return Settlement(final, None, (waiting, vote) if waiting else (vote,))
        if waiting and waiting.reviewer_id != vote.reviewer_id:
            if (waiting.outcome, waiting.bank) != (vote.outcome, vote.bank):
                return Settlement(final, None, (waiting, vote))
            final, waiting = (waiting, vote), None
        elif vote.alone:
            final, waiting = (vote,), None
        else:
            waiting = vote
    return Settlement(final, waiting)


def settlements(item: WorkItem) -> dict[str, Settlement]:
    """review, decision or `*` → what the votes on it come to."""
    groups: dict[str, list[Vote]] = {}
    for vote in item.votes:
        groups.setdefault(vote.on, []).append(vote)
    barred = {
        question.review_id: {vote.reviewer_id for vote in groups.get(question.escalates, ())}
        for question in item.questions
        if question.escalates
    }
    return {on: settle(votes, barred.get(on, ())) for on, votes in groups.items()}


def ruling_on(item: WorkItem, waited: Collection[str]) -> Ruling:
    """What all votes on an item come to.

    The last settlement about each agent counts, and one about all of them takes the place of those before it. A removal
    outweighs the rest. What is kept or labelled sets the agent's decision aside: of an agent that items wait for,
    whatever it decides on this item, which is the same item whenever it is decided again; of others (complaints) what
    it had decided when the ruling came, because what it says later is new.
    """
    settled = [(one.final[-1].target, one) for one in settlements(item).values() if one.final]
    settled.sort(key=lambda pair: pair[1].moment)
    counting: dict[str, Settlement] = {}
    for target, one in settled:
        if target == ALL:
            counting.clear()
        counting[target] = one
    passed_on = [vote for one in settlements(item).values() for vote in one.passed_on]
    votes = {vote.ruling_id: vote for one in counting.values() for vote in one.final}
    votes |= {vote.ruling_id: vote for vote in passed_on}
    last = [one.final[-1] for one in counting.values()]
    outcome = _heaviest(vote.outcome for vote in last) or ("escalate" if passed_on else None)
    lenient = {target: one for target, one in counting.items() if one.final[-1].outcome != "remove"}
    overruled = tuple(each for each in item.positions if _set_aside(each, lenient, waited))
    remains = tuple(each for each in item.positions if each not in overruled)
    return Ruling(
        outcome,
        tuple(sorted(votes.values(), key=moment)),
        overruled,
        remains,
        _names(lenient, overruled, remains, waited),
        next((vote.label for vote in sorted(last, key=moment, reverse=True) if vote.outcome == "label"), None),
        _bank(last, outcome),
    )


def answered(item: WorkItem, waited: Collection[str]) -> tuple[Question, ...]:
    """The item's questions with their states as the votes have it."""
    by_question = settlements(item)
    effective = sorted((one for one in by_question.values() if one.final), key=lambda one: one.moment)

    def now(question: Question) -> Question:
        own = by_question.get(question.review_id, Settlement())
        covering = (one.final for one in reversed(effective) if _covers(one, question, waited))
        final = own.final or next(covering, ())
        state: QuestionState = "settled" if final else "open"
        if own.waiting:
            state = "second"
        elif own.passed_on:
            state = "escalated"
        claim = None if state in ("escalated", "settled") else question.claim
        return replace(question, state=state, outcome=final[-1].outcome if final else None, claim=claim)

    return tuple(map(now, item.questions))


def _covers(one: Settlement, question: Question, waited: Collection[str]) -> bool:
    """Whether a settlement of something else answers this question too."""
    target, over = one.final[-1].target, {name for vote in one.final for name in vote.over}
    if question.escalates == one.final[-1].on:
        return False  # it was asked because that did not end there
    if question.decision_id in over and target in (ALL, question.target):
        return True
    return question.target == target and target in waited and question.escalates is None


def _set_aside(position: Position, lenient: Mapping[str, Settlement], waited: Collection[str]) -> bool:
    for target in (position.agent, ALL):
        one = lenient.get(target)
        if one and (position.agent in waited or any(position.decision_id in vote.over for vote in one.final)):
            return True
    return False


def _names(
    lenient: Mapping[str, Settlement],
    overruled: tuple[Position, ...],
    remains: tuple[Position, ...],
    waited: Collection[str],
) -> tuple[str, ...]:
    """The agents that are set aside, for those who know decisions that are not known here."""
    if ALL in lenient and all(position.agent in waited for position in remains):
        return (ALL,)
    named = {target for target in lenient if target in waited} | {position.agent for position in overruled}
    return tuple(sorted(named | (set(waited) if ALL in lenient else set())))


def _heaviest(outcomes: Iterable[Outcome]) -> Outcome | None:
    found = set(outcomes)
    order: tuple[Outcome, ...] = ("remove", "label", "keep")
    return next((outcome for outcome in order if outcome in found), None)


def _bank(last: list[Vote], outcome: Outcome | None) -> tuple[Bank, Vote] | None:
    """A removed item belongs into no bank of what is good, and a kept one into none of what is banned."""
    fits = "banned" if outcome == "remove" else "known_good"
    asked = [(vote.bank, vote) for vote in sorted(last, key=moment, reverse=True) if vote.bank == fits]
    return next(((bank, vote) for bank, vote in asked if bank), None)
