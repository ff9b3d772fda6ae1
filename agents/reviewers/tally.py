"""What is counted of people's work, with labels of which there are few."""

from __future__ import annotations

from collections import Counter
from typing import get_args

from prometheus_client import CollectorRegistry, Gauge, Histogram
from prometheus_client import Counter as Counted

from schemas.orders import Severity
from schemas.reasons import CATALOGUE
from schemas.worklist import Question, WorkItem

#: From a quarter of an hour to a week; the promises of the policy that ships (1, 4, 24, 72 h) are bounds of their own.
RULED_BUCKETS = tuple(hours * 3600.0 for hours in (0.25, 1, 4, 12, 24, 48, 72, 168))
#: Versions of policies that are told apart in one process; more are `other`.
MOST_VERSIONS = 8


class Tally:
    """Metrics of the work list."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._open = Gauge(
            "veristream_reviews_open",
            "Questions to people that are not settled (open, claimed, or waiting for a second reviewer)",
            ["severity", "state"],
            registry=registry,
        )
        self._overdue = Gauge(
            "veristream_reviews_overdue", "Open questions whose promised time is over", ["severity"], registry=registry
        )
        self._claims = Counted("veristream_review_claims", "Claims of reviews", ["outcome"], registry=registry)
        self._outcomes = Counted(
            "veristream_review_outcomes",
            "What people ruled on questions that were asked for this reason under this version of the policy",
            ["code", "policy_version", "outcome"],
            registry=registry,
        )
        self._seconds = Histogram(
            "veristream_review_seconds",
            "From a question to the ruling that settled it",
            ["severity"],
            buckets=RULED_BUCKETS,
            registry=registry,
        )
        self._banked = Counted(
            "veristream_reviews_banked",
            "Items that rulings put into the hash bank",
            ["kind", "outcome"],
            registry=registry,
        )
        self._versions: set[str] = set()

    def waiting(self, states: Counter[tuple[Severity, str]], late: Counter[Severity]) -> None:
        """What waits now."""
        for severity in get_args(Severity):
            self._overdue.labels(severity).set(late[severity])
            for state in ("open", "claimed", "second"):
                self._open.labels(severity, state).set(states[severity, state])

    def claimed(self, outcome: str) -> None:
        """A claim or a release."""
        self._claims.labels(outcome).inc()

    def banked(self, kind: str, *, found: bool) -> None:
        """An item whose hashes a ruling asked for."""
        self._banked.labels(kind, "in" if found else "missing").inc()

    def ruled(self, before: WorkItem, after: WorkItem) -> None:
        """Count the questions that came to another outcome."""
        former = {question.review_id: question.outcome for question in before.questions}
        for question in after.questions:
            if question.outcome and question.outcome != former.get(question.review_id):
                self._count(question, after)

    def _count(self, question: Question, item: WorkItem) -> None:
        version = self._version(str(question.policy.version))
        for code in {reason.code for reason in question.reasons}:
            known = code if code in CATALOGUE else "other"
            self._outcomes.labels(known, version, question.outcome).inc()
        seconds = (item.at - question.requested_at).total_seconds()
        self._seconds.labels(question.severity).observe(max(0.0, seconds))

    def _version(self, version: str) -> str:
        if len(self._versions) < MOST_VERSIONS:
            self._versions.add(version)
        return version if version in self._versions else "other"
