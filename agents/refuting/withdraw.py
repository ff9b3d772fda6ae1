"""Taking refutations back: the claim was true after all, is under suspicion again, or its entry was deleted.

What was ordered is kept by the index, of the rumour agent's decisions as of this agent's own, so that nothing has to be
searched for: each item or stream gets one message that names what no refutation is to be shown with any more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import groupby
from typing import NamedTuple

from agents.refuting.index import ItemIndex
from agents.refuting.judge import Ordered, withdrawal
from schemas.bank import Rumor
from schemas.orders import Refutation

#: An order for an entry that stands no more may come from a worker that had not heard of it, or be for an entry that
#: turned refuted just now, of which this one has not heard. After so many seconds both have.
LAG_S = 60.0
#: A stream whose last segment came so long ago is over, whatever that segment said.
STREAM_QUIET_S = 120.0
#: Segments of a stream that one order names at most; a stream of two hours has 3,600 of 2 s.
MOST_NAMED = 1000


class _Sent(NamedTuple):
    partition: int
    rumor_id: str
    event: int
    order_id: str


class Withdrawals:
    """The entries that stand no more, and what was ordered for them in the partitions that this worker has."""

    def __init__(self, rumors: Mapping[str, Rumor], indexes: Mapping[int, ItemIndex]) -> None:
        """Both are looked at as they are at each call."""
        self._rumors, self._indexes = rumors, indexes
        #: Entries to look at, and from when on (Unix time).
        self._due: dict[str, float] = {}
        #: What was sent in the last tick: told to the index once the broker has it.
        self._sent: list[_Sent] = []

    def stands(self, rumor_id: str) -> bool:
        """Whether the claim is refuted. An entry whose time is over still is."""
        rumor = self._rumors.get(rumor_id)
        return rumor is not None and rumor.status == "refuted"

    def look_at(self, rumor_id: str, at: float) -> None:
        """Have what was ordered for an entry taken back from that time on, if it does not stand then."""
        self._due[rumor_id] = min(at, self._due.get(rumor_id, at))

    def ordered(self, rumor_id: str, now: float) -> None:
        """A refutation was ordered, by whomever."""
        if not self.stands(rumor_id):
            self.look_at(rumor_id, now + LAG_S)

    def look_at_all(self, now: float) -> None:
        """After a start, or with other partitions: entries may have changed while nobody looked."""
        for index in self._indexes.values():
            for rumor_id, last in index.rumors_ordered().items():
                if not self.stands(rumor_id):
                    self.look_at(rumor_id, max(now, last + LAG_S))

    def waiting(self, now: float) -> int:
        """Entries whose time to be looked at has come."""
        return sum(at <= now for at in self._due.values())

    def doubt(self) -> None:
        """What was sent may be at no broker: it is sent again, with the same ids."""
        self._sent = []

    def acknowledge(self, now: float) -> None:
        """What was sent in the last tick is at the broker."""
        for sent in self._sent:
            if (index := self._indexes.get(sent.partition)) is not None:
                index.withdraw(sent.rumor_id, sent.event, sent.order_id, now)
        self._sent = []

    def take(self, now: datetime, most: int) -> Iterator[Refutation]:
        """What is to be sent now, for at most so many items."""
        for rumor_id in [rumor_id for rumor_id, at in self._due.items() if at <= now.timestamp()]:
            before = most
            if not self.stands(rumor_id):
                for partition, index in self._indexes.items():
                    found = index.orders(rumor_id, most)
                    most -= len(found)
                    yield from self._of(rumor_id, partition, found, now)
                    if most <= 0:
                        return
            if most == before:
                del self._due[rumor_id]

    def _of(self, rumor_id: str, partition: int, found: list[Ordered], now: datetime) -> Iterator[Refutation]:
        index = self._indexes[partition]
        for stream_id, orders in groupby(found, key=lambda one: one.stream_id or one):
            several = list(orders)
            running = isinstance(stream_id, str) and is_running(index, stream_id, now)
            for begin in range(0, len(several), MOST_NAMED):
                part = several[begin : begin + MOST_NAMED]
                message = withdrawal(rumor_id, self._rumors.get(rumor_id), part, now, running=running)
                self._sent += [_Sent(partition, rumor_id, one.event, message.order_id) for one in part]
                yield message


def is_running(index: ItemIndex, stream_id: str, now: datetime) -> bool:
    """Whether a stream is on, as far as its segments tell."""
    newest = index.newest_of(stream_id)
    return newest is not None and not newest[1] and now.timestamp() - newest[0] < STREAM_QUIET_S
