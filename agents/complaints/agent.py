"""The complaints agent (AVP-15): weighs complaints, asks for a person or holds, and tells complainants."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import ClassVar, get_args

from prometheus_client import Counter, Gauge, Histogram

from agents.complaints.case import SETTLED
from agents.complaints.desk import KEEP_DAYS, Desk
from agents.complaints.restore import ORDERS_DAYS, needed, restored
from agents.judging import JudgingAgent
from schemas.complaint import Complaint, ComplaintKind, ComplaintResult
from schemas.decision import Decision
from schemas.topics import COMPLAINT_RESULTS, COMPLAINTS, DECISIONS, REVIEWS, RULINGS, TAKEDOWNS, Topic
from streams.agent import Assigned, Context, Incoming, Outgoing

DAY_S = 86_400.0
#: From an hour to a week; the promises of the policy that ships (24, 48, 72 h) are bounds of their own.
RESULT_BUCKETS = tuple(hours * 3600.0 for hours in (1, 4, 12, 24, 48, 72, 168))


class Complaints(JudgingAgent):
    """complaints, rulings → decisions, reviews, takedowns, complaint_results; decisions of identity, to know items."""

    name = "complaints"
    inputs = (COMPLAINTS, RULINGS, DECISIONS)
    outputs: ClassVar[tuple[Topic, ...]] = (*JudgingAgent.outputs, COMPLAINT_RESULTS)
    reads_back = (COMPLAINT_RESULTS, REVIEWS, TAKEDOWNS)

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._desk = Desk()
        registry = context.metrics.registry
        self._open = Gauge("veristream_complaints_open", "Complaints without a result", ["kind"], registry=registry)
        self._overdue = Gauge(
            "veristream_complaints_overdue", "Open complaints whose promised time is over", ["kind"], registry=registry
        )
        self._received = Counter("veristream_complaints", "Complaints received", ["kind"], registry=registry)
        self._seconds = Histogram(
            "veristream_complaint_result_seconds",
            "From the promise's beginning, the receipt, to the result",
            ["kind"],
            buckets=RESULT_BUCKETS,
            registry=registry,
        )

    async def restore(self, assigned: Assigned) -> None:
        """Read back complaints and rulings, what was answered and ordered, and the items they may be about, for the
        partitions that this worker now has."""
        kept, orders = KEEP_DAYS * DAY_S, ORDERS_DAYS * DAY_S
        since = {COMPLAINTS: kept, RULINGS: kept, COMPLAINT_RESULTS: kept}
        since |= {DECISIONS: orders, REVIEWS: orders, TAKEDOWNS: orders}
        mine = {
            topic: frozenset(partition for name, partition in assigned if name == topic.name) for topic in self.inputs
        }
        desk = Desk()
        found = self.context.read_back(since, mine, {})
        kept_back = [each.value async for each in found if needed(each.value, desk)]
        self._desk = restored(kept_back, self.context.clock(), desk)

    def handle(self, message: Incoming) -> Iterable[Outgoing]:
        """Take a complaint or a ruling, or remember an item."""
        now = self.context.clock()
        if isinstance(message.value, Decision):
            self._desk.note(message.value)
            yield from self._out(self._desk.settled(message.value, now))
        elif isinstance(message.value, Complaint):
            yield from self._out(self._desk.take(message.value, self.context.policy, now))
        else:
            yield from self._out(self._desk.rule(message.value, now))

    def tick(self, now: datetime) -> Iterable[Outgoing]:
        """Count what is open and what is overdue."""
        waiting, late = self._desk.counts(now)
        for kind in get_args(ComplaintKind):
            self._open.labels(kind).set(waiting[kind])
            self._overdue.labels(kind).set(late[kind])
        self._desk.forget(now)
        return ()

    def _out(self, messages: Iterable[Decision | ComplaintResult]) -> Iterator[Outgoing]:
        for message in messages:
            if isinstance(message, Decision):
                yield from self.decided(message, self.context.policy)
            else:
                self._count(message)
                yield Outgoing(COMPLAINT_RESULTS, message.complaint_id, message)

    def _count(self, result: ComplaintResult) -> None:
        if result.state == "received":
            self._received.labels(result.kind).inc()
        elif result.state in SETTLED:
            hours = self.context.policy.complaints.deadline_hours[result.kind]
            begun = result.due_at.timestamp() - hours * 3600
            self._seconds.labels(result.kind).observe(max(0.0, result.at.timestamp() - begun))
