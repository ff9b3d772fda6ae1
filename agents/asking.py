"""What a decision asks of people: whether a person must look, how soon, and before what else. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from math import log10

from schemas.decision import Decision, Reason, stable_id
from schemas.orders import Review, Severity
from schemas.policy import SEVERITIES, Policy, ReviewersPolicy


def asks(decision: Decision, policy: Policy) -> bool:
    """Whether a decision of an agent needs a person: it says so, or it holds the item until one has looked. Of an agent
    that items do not wait for (complaints) a hold does not: it has asked before."""
    held = decision.stop is not None and decision.stop.until == "reviewed"
    return decision.ruling is None and (
        decision.action == "review" or (held and decision.agent in policy.verdict.agents)
    )


def severity_of(reasons: Iterable[Reason], terms: ReviewersPolicy) -> Severity:
    """How bad it is if it is true: that of the worst reason; medium without any."""
    found: list[Severity] = [terms.severity.get(reason.code, "medium") for reason in reasons]
    return max(found, key=SEVERITIES.index, default="medium")


def priority(severity: Severity, reach: int | None, terms: ReviewersPolicy, passed: float = 0.0) -> float:
    """How soon a review should be looked at: the higher, the sooner. `passed`: the share of the time until its deadline
    that is over, above 1 once it is overdue."""
    reached = terms.reach_weight * log10(1 + (reach or 0))
    return terms.weight[severity] + reached + terms.age_weight * max(0.0, passed)


def passed(requested_at: datetime, due_at: datetime, now: datetime) -> float:
    """The share of the time until a deadline that is over."""
    whole = (due_at - requested_at).total_seconds()
    return (now - requested_at).total_seconds() / whole if whole > 0 else 1.0


def review_id(decision_id: str) -> str:
    """The id of the review that a decision asks for."""
    return stable_id("review", decision_id)


def review_of(decision: Decision, policy: Policy) -> Review | None:
    """The order to look at an item, if the decision asks for it."""
    if not asks(decision, policy):
        return None
    terms = policy.reviewers
    severity = severity_of(decision.reasons, terms)
    return Review(
        review_id=review_id(decision.decision_id),
        decision_id=decision.decision_id,
        event_id=decision.event_id,
        publisher_id=decision.publisher_id,
        content_id=decision.content_id,
        stream_id=decision.stream_id,
        seq=decision.seq,
        agent=decision.agent,
        reasons=decision.reasons,
        policy=decision.policy,
        reach=decision.reach,
        severity=severity,
        priority=round(priority(severity, decision.reach, terms), 3),
        requested_at=decision.decided_at,
        due_at=decision.decided_at + timedelta(hours=terms.deadline_hours[severity]),
    )
