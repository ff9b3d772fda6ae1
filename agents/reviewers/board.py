"""The work list as one worker knows it: every item that people are asked about, or that was stopped. No Kafka.

Rows are of the publishers whose partitions this worker has. An agent's decision that neither asks nor stops is kept
beside them for a while, so that a question that comes soon after knows what else was said of its item.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Collection, Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

from agents.reviewers.settle import ruling_on
from agents.reviewers.work import OPEN, begun, decided, named
from schemas.decision import Decision, Stop
from schemas.message import Refused
from schemas.orders import Severity
from schemas.policy import Policy
from schemas.sanction import Ruling
from schemas.worklist import WorkItem

#: How long a row is remembered after its last change, in days, and how far back rows are read after a restart: an
#: appeal comes within weeks. An older item is ruled on by naming it whole.
KEEP_DAYS = 30.0
#: Rows remembered at most, about 3 KB each; settled ones are forgotten first, oldest first.
MOST_ITEMS = 100_000
#: Items whose labels alone are remembered, oldest forgotten first: those whose agents are still deciding.
MOST_LABELLED = 50_000


class Place(NamedTuple):
    """A row and the partition of its publisher."""

    item: WorkItem
    partition: int


class Board:
    """Rows by item, and the ways to find one."""

    def __init__(self) -> None:
        #: event → row, in the order of their last change.
        self._rows: OrderedDict[str, Place] = OrderedDict()
        #: review or decision → event.
        self._by_name: dict[str, str] = {}
        self._by_stream: dict[str, set[str]] = {}
        self._labelled: OrderedDict[str, Place] = OrderedDict()
        #: Events whose hashes the bank is to have.
        self._wanted: set[str] = set()
        #: Events whose row was written here in this epoch: all that a repeat would send has been sent.
        self._written: set[str] = set()

    def __iter__(self) -> Iterator[WorkItem]:
        return (place.item for place in self._rows.values())

    def keep(self, partitions: Collection[int]) -> None:
        """Only these partitions are this worker's from now on; what outputs were sent is known of none."""
        for event, place in list(self._rows.items()):
            if place.partition not in partitions:
                self._drop(event)
        for event, place in list(self._labelled.items()):
            if place.partition not in partitions:
                del self._labelled[event]
        self._written = set()

    def put(self, item: WorkItem, partition: int, *, written: bool = False) -> None:
        """Take a row in place of its former self."""
        self._rows[item.event_id] = Place(item, partition)
        self._rows.move_to_end(item.event_id)
        self._labelled.pop(item.event_id, None)
        for name in _names(item):
            self._by_name[name] = item.event_id
        if item.stream_id:
            self._by_stream.setdefault(item.stream_id, set()).add(item.event_id)
        if item.bank and item.bank.state == "wanted":
            self._wanted.add(item.event_id)
        else:
            self._wanted.discard(item.event_id)
        if written:
            self._written.add(item.event_id)
        if len(self._rows) > MOST_ITEMS:
            settled = (event for event, place in self._rows.items() if not _open(place.item))
            self._drop(next(settled, next(iter(self._rows))))

    def is_written(self, item: WorkItem) -> bool:
        """Whether this worker has sent everything that led to the row, in this epoch."""
        return item.event_id in self._written

    def take(self, decision: Decision, partition: int, policy: Policy, now: datetime) -> WorkItem | None:
        """The row after an agent's decision; None where there is none to be written."""
        place = self._rows.get(decision.event_id) or self._labelled.get(decision.event_id)
        if place is None and decision.action == "allow":
            return None
        before = place.item if place else begun(decision)
        after = decided(before, decision, policy, now)
        if after is before:
            return None
        if decision.event_id in self._rows or after.questions or any(each.stop for each in after.positions):
            return after
        self._labelled[decision.event_id] = Place(after, partition)
        if len(self._labelled) > MOST_LABELLED:
            self._labelled.popitem(last=False)
        return None

    def recall(self, decision: Decision, partition: int, policy: Policy, now: datetime) -> None:
        """Take a decision that was read back. One that changes a row, or needs one, was not dealt with, and comes
        again: its row is written then."""
        known = self._rows.get(decision.event_id)
        if known is None and decision.action == "label":
            self.take(decision, partition, policy, now)

    def wanted(self) -> dict[str, Place]:
        """By event, the row of an item whose hashes the bank is to have."""
        return {event: self._rows[event] for event in self._wanted}

    def of(self, ruling: Ruling, now: datetime) -> WorkItem:
        """The row that a ruling is about.

        Raises:
            Refused: there is none, and the ruling does not name its item; or it is another publisher's.
        """
        found = [self._by_name.get(name or "") for name in (ruling.review_id, ruling.decision_id)]
        event = next((event for event in (*found, ruling.event_id) if event in self._rows), None)
        place = self._rows[event] if event else self._labelled.get(ruling.event_id or "")
        if place is None:
            return named(ruling, now)
        if place.item.publisher_id != ruling.publisher_id:
            raise Refused("publisher_id", f"the item is not of publisher {ruling.publisher_id!r}")
        return place.item

    def asked(self, review_id: str) -> WorkItem | None:
        """The row with this review."""
        event = self._by_name.get(review_id)
        item = self._rows[event].item if event else None
        return item if item and any(each.review_id == review_id for each in item.questions) else None

    def knows(self, name: str | None) -> bool:
        """Whether a row has this review or decision."""
        return name is not None and name in self._by_name

    def stands(self, item: WorkItem, stop: Stop, waited: Collection[str]) -> bool:
        """Whether another segment of the item's stream still asks for that stop."""
        for event in self._by_stream.get(item.stream_id or "", ()):
            other = self._rows[event].item
            if event != item.event_id and stop in stream_stops(other, waited):
                return True
        return False

    def counts(self, now: datetime) -> tuple[Counter[tuple[Severity, str]], Counter[Severity]]:
        """How many questions of each severity and state are open, and how many of these overdue."""
        waiting = [each for item in self for each in item.questions if each.state in OPEN]
        states: Counter[tuple[Severity, str]] = Counter(
            (each.severity, "claimed" if each.claim and each.claim.until > now else each.state) for each in waiting
        )
        return states, Counter(each.severity for each in waiting if now >= each.due_at)

    def forget(self, now: datetime) -> None:
        """Forget what changed last long ago. The rows are in that order."""
        before = now - timedelta(days=KEEP_DAYS)
        while self._rows and next(iter(self._rows.values())).item.at < before:
            self._drop(next(iter(self._rows)))

    def _drop(self, event: str) -> None:
        item = self._rows.pop(event).item
        self._written.discard(event)
        self._wanted.discard(event)
        for name in _names(item):
            self._by_name.pop(name, None)
        if item.stream_id and (events := self._by_stream.get(item.stream_id)):
            events.discard(event)
            if not events:
                del self._by_stream[item.stream_id]


def stream_stops(item: WorkItem, waited: Collection[str]) -> set[Stop]:
    """What an item asks for of its whole stream, after what was ruled on it: a cut, holds."""
    ruling = ruling_on(item, waited)
    found = {stream_stop(each.stop) for each in ruling.remains if each.stop and each.agent in waited}
    return found | ({CUT} if ruling.outcome == "remove" else set())


CUT = Stop(kind="cut_stream", until="forever")


def stream_stop(stop: Stop) -> Stop:
    """What an item's stop is for its stream: a removal cuts it."""
    return stop if stop.kind == "hold" else CUT


def _names(item: WorkItem) -> Iterator[str]:
    yield from (each.review_id for each in item.questions)
    yield from (each.decision_id for each in item.questions)
    yield from (each.decision_id for each in item.positions)
    yield from item.decisions


def _open(item: WorkItem) -> bool:
    return any(each.state in OPEN for each in item.questions)
