"""How an item's row of the work list changes: by an agent's decision, a claim, a ruling. Pure.

Each function gives the row as it is then, or the same object if nothing changes.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

from msgspec.structs import replace

from agents.asking import priority, review_of, severity_of
from agents.decide import ground
from agents.reviewers.settle import AGENT, ALL, answered, settlements
from schemas.decision import Decision, Outcome, Position, Reason, stable_id
from schemas.message import Refused
from schemas.orders import Severity
from schemas.policy import SEVERITIES, Policy, TwoPersonRule
from schemas.reasons import APPEALS
from schemas.sanction import Ruling
from schemas.worklist import Claim, Holding, Question, Vote, WorkItem

#: Rulings on one item at most: more than any dispute brings, and few enough for a row to fit its message.
MOST_VOTES = 100
#: Letters of a reviewer's reason that the row keeps; the ruling on its topic has all of it.
MOST_REASON = 500
#: What a ruling says of the item, by its outcome. To find a decision wrong is to let the item be.
OUTCOMES: dict[str, Outcome] = {
    "remove": "remove", "keep": "keep", "label": "label", "escalate": "escalate", "reversed": "keep",
}  # fmt: skip
OPEN = ("open", "second")


def begun(decision: Decision) -> WorkItem:
    """The row of an item that nobody was asked about yet."""
    return WorkItem(
        event_id=decision.event_id,
        content_id=decision.content_id,
        publisher_id=decision.publisher_id,
        stream_id=decision.stream_id,
        seq=decision.seq,
        reach=decision.reach,
        at=decision.decided_at,
        created_at=decision.decided_at - timedelta(seconds=decision.latency_s),
    )


def named(ruling: Ruling, now: datetime) -> WorkItem:
    """The row of an item that is known by its ruling alone.

    Raises:
        Refused: the ruling does not name the item whole.
    """
    if ruling.event_id is None or ruling.content_id is None:
        what = "review_id" if ruling.review_id else "decision_id" if ruling.decision_id else "event_id"
        raise Refused(
            what,
            f"{getattr(ruling, what)!r} is not on the work list of this publisher: name `event_id` and `content_id` of "
            "the item as well",
        )
    return WorkItem(
        event_id=ruling.event_id,
        content_id=ruling.content_id,
        publisher_id=ruling.publisher_id,
        stream_id=ruling.stream_id,
        seq=ruling.seq,
        at=now,
    )


def decided(item: WorkItem, decision: Decision, policy: Policy, now: datetime) -> WorkItem:
    """The row after an agent's decision on its item."""
    known = next((each for each in item.positions if each.agent == decision.agent), None)
    if known and known.decision_id == decision.decision_id:
        return item
    questions = item.questions
    review = review_of(decision, policy)
    if review and all(each.review_id != review.review_id for each in questions):
        asked = Question(
            review_id=review.review_id,
            decision_id=decision.decision_id,
            agent=decision.agent,
            # An appeal is against whatever was decided on the item.
            target=ALL if any(reason.code in APPEALS for reason in decision.reasons) else decision.agent,
            policy=decision.policy,
            severity=review.severity,
            priority=review.priority,
            requested_at=review.requested_at,
            due_at=review.due_at or review.requested_at,
            reasons=bare(decision.reasons),
        )
        questions = (*questions, asked)
    elif review:
        return item  # one that another decision of the same agent has replaced, again
    others = tuple(each for each in item.positions if each.agent != decision.agent)
    # What only asks does not end what holds: complaints ask on about what they hold.
    stays = known is not None and known.stop is not None and decision.agent not in policy.verdict.agents
    position = known if stays and decision.action == "review" else _position(decision)
    positions = (*others, position) if position else others
    if (positions, questions) == (item.positions, item.questions):
        return item
    changed = replace(item, positions=positions, questions=questions, at=now, answers=None)
    return replace(changed, questions=answered(changed, policy.verdict.agents))


def claimed(item: WorkItem, claim: Claim, policy: Policy, now: datetime) -> WorkItem:
    """The row after a claim or a release; `answers` says that it was dealt with, the question whose it is now."""
    question = next(each for each in item.questions if each.review_id == claim.review_id)
    holding = question.claim if question.claim and question.claim.until > now else None
    if claim.kind == "release":
        holding = None if holding and holding.reviewer_id == claim.reviewer_id else holding
    elif question.state in OPEN and _free(holding, claim):
        until = now + timedelta(minutes=policy.reviewers.claim_minutes)
        holding = Holding(claim_id=claim.claim_id, reviewer_id=claim.reviewer_id, until=until)
    questions = tuple(replace(each, claim=holding) if each is question else each for each in item.questions)
    return replace(item, questions=questions, at=now, answers=claim.claim_id)


def voted(item: WorkItem, ruling: Ruling, policy: Policy, now: datetime) -> WorkItem:
    """The row after a ruling on its item; the same object if that was taken before.

    Raises:
        Refused: it says what cannot be, of whom may not say it, or one more than a row holds.
    """
    if any(vote.ruling_id == ruling.ruling_id for vote in item.votes):
        return item
    if len(item.votes) >= MOST_VOTES:
        raise Refused("", f"there are {MOST_VOTES} rulings on this item already")
    vote = _vote(item, ruling, policy)
    questions = tuple(replace(each, claim=None) if each.review_id == vote.on else each for each in item.questions)
    changed = replace(item, votes=(*item.votes, vote), questions=questions, at=now, answers=ruling.ruling_id)
    return replace(changed, questions=answered(changed, policy.verdict.agents))


def passed_on(item: WorkItem, policy: Policy, now: datetime) -> WorkItem:
    """The row with a further question for each that could not be settled and is not asked on yet."""
    done = {question.escalates for question in item.questions}
    found = settlements(item)
    more = [
        _asked_on(question, found[question.review_id].passed_on[-1].reviewer_id, item, policy, now)
        for question in item.questions
        if question.state == "escalated" and question.review_id not in done
    ]
    return replace(item, questions=(*item.questions, *more)) if more else item


def bare(reasons: Collection[Reason]) -> tuple[Reason, ...]:
    """Reasons without their evidence, which may be long and lies with the decision."""
    return tuple(replace(reason, evidence=()) for reason in reasons)


def _free(holding: Holding | None, claim: Claim) -> bool:
    """Whether the claim changes who has it, or how long: not a repeat, which would make it longer."""
    return holding is None or (holding.reviewer_id == claim.reviewer_id and holding.claim_id != claim.claim_id)


def _position(decision: Decision) -> Position | None:
    if decision.action == "allow":
        return None
    return Position(
        agent=decision.agent,
        decision_id=decision.decision_id,
        action=decision.action,
        policy=decision.policy,
        reasons=bare(decision.reasons),
        stop=decision.stop,
        label=decision.label,
    )


def _vote(item: WorkItem, ruling: Ruling, policy: Policy) -> Vote:
    outcome = OUTCOMES[ruling.outcome]
    if outcome == "label" and ruling.label is None:
        raise Refused("label", "it is missing: which label, and what do people read?")
    fits = {"banned": ("remove",), "known_good": ("keep", "label"), None: tuple(OUTCOMES.values())}
    if outcome not in fits[ruling.bank]:
        raise Refused("bank", f"{ruling.bank!r} does not go with the outcome {outcome!r}")
    question = _question(item, ruling)
    if question and question.escalates:
        before = {vote.reviewer_id for vote in item.votes if vote.on == question.escalates}
        if ruling.reviewer_id in before:
            raise Refused("reviewer_id", f"{ruling.reviewer_id!r} has ruled on this before: another person must")
        seniors = policy.reviewers.seniors
        if seniors and ruling.reviewer_id not in seniors:
            raise Refused("reviewer_id", f"{ruling.reviewer_id!r} is none of the policy's `reviewers.seniors`")
    about = next((each for each in item.positions if each.decision_id == ruling.decision_id), None)
    target = question.target if question else about.agent if about else ALL
    over = [each.decision_id for each in item.positions if target in (ALL, each.agent)]
    over += [each.decision_id for each in item.questions if target in (ALL, each.target)]
    return Vote(
        ruling_id=ruling.ruling_id,
        reviewer_id=ruling.reviewer_id,
        outcome=outcome,
        ruled_at=ruling.ruled_at,
        on=question.review_id if question else about.decision_id if about else ALL,
        target=target,
        # What others could not settle one more settles.
        alone=bool(question and question.escalates) or not _needs_two(item, question, ruling, policy),
        over=tuple(sorted(set(over))),
        reason=ruling.reason[:MOST_REASON],
        article=ruling.article,
        label=ruling.label,
        bank=ruling.bank,
    )


def _question(item: WorkItem, ruling: Ruling) -> Question | None:
    """The question that a ruling answers: by its id, or the last that its decision has asked."""
    named = [each for each in item.questions if each.review_id == ruling.review_id]
    asked = [each for each in item.questions if each.decision_id == ruling.decision_id and each.agent != AGENT]
    return next(iter(named or reversed(asked)), None)


def _needs_two(item: WorkItem, question: Question | None, ruling: Ruling, policy: Policy) -> bool:
    asked = [question] if question else list(item.questions)
    agents = {each.agent for each in asked} or {each.agent for each in item.positions}
    reasons = [reason for each in asked or item.positions for reason in each.reasons]
    severity = max((each.severity for each in asked), key=SEVERITIES.index, default=None)
    found = severity or severity_of(reasons, policy.reviewers)
    codes = {reason.code for reason in reasons}
    return any(_applies(rule, ruling, agents, codes, found) for rule in policy.reviewers.two_person)


def _applies(rule: TwoPersonRule, ruling: Ruling, agents: set[str], codes: set[str], severity: Severity) -> bool:
    return (
        (OUTCOMES[ruling.outcome] in rule.outcomes or ruling.bank in rule.banks)
        and (not rule.agents or bool(agents & set(rule.agents)))
        and (not rule.codes or bool(codes & set(rule.codes)))
        and SEVERITIES.index(severity) >= SEVERITIES.index(rule.severity_from)
    )


def _asked_on(question: Question, by: str, item: WorkItem, policy: Policy, now: datetime) -> Question:
    terms = policy.reviewers
    reasons = (ground("PERSON-ESCALATED"), *question.reasons)
    severity = severity_of(reasons, terms)
    return replace(
        question,
        review_id=stable_id("review", question.review_id, "escalated"),
        agent=AGENT,
        policy=question.policy,
        severity=severity,
        priority=round(priority(severity, item.reach, terms), 3),
        requested_at=now,
        due_at=now + timedelta(hours=terms.deadline_hours[severity]),
        reasons=reasons,
        state="open",
        outcome=None,
        claim=None,
        escalates=question.review_id,
        barred=tuple(sorted({vote.reviewer_id for vote in item.votes if vote.on == question.review_id} | {by})),
    )
