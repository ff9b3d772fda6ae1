"""The delivery loop of slow agents: a window that slides, so that one slow message holds up its publisher alone."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import Any

from aiokafka import TopicPartition

from streams.agent import Incoming, Outgoing
from streams.consumer import Batch, Fenced
from streams.delivery import TICK_S, Delivery, to_its_end

#: Prepared messages that wait for an earlier one of their publisher: so many windows full of them at most.
WAITING_WINDOWS = 4
#: Of a stop's grace, what preparations may use; the rest is for giving up what they have not finished, and for leaving.
STOP_SHARE = 0.6

#: Something was done so lately that whoever looks once a second cannot miss it.
DONE_LATELY_S = 3.0

#: Where a message lies: topic on the wire, partition, offset.
_Where = tuple[str, int, int]


@dataclass(eq=False)
class _Flight:
    """One message on its way."""

    message: Any
    slot: Incoming | Outgoing
    #: None for what needs no preparation.
    work: asyncio.Task[Any] | None

    @property
    def part(self) -> TopicPartition:
        return TopicPartition(self.message.topic, self.message.partition)

    @property
    def where(self) -> _Where:
        return self.message.topic, self.message.partition, self.message.offset

    @property
    def ready(self) -> bool:
        return self.work is None or self.work.done()


class Window(Delivery):
    """Prepares up to `agent.window` messages of one lane at once, and takes the next as soon as one is prepared.

    The outputs of one publisher go out in the order of its messages; those of others overtake. What is out is finished,
    and committed up to the first of the partition that is not. When the partitions go, preparations go on until it is
    known who has them: what comes back is not begun again, the rest is cancelled.
    """

    def __init__(self, *args: Any, lane: str, **others: Any) -> None:
        super().__init__(*args, **others)
        self._lane = lane
        self._first = lane == self.agent.lanes[0]
        self._size = self.agent.window
        self._epoch = -1
        self._flights: dict[bytes | None, deque[_Flight]] = {}
        self._kept: dict[_Where, asyncio.Task[Any]] = {}
        self._taking: asyncio.Task[Batch] | None = None
        self._news = asyncio.Event()
        self._advanced = monotonic()

    @property
    def queued(self) -> int:
        """How many messages have been taken and are not done."""
        return sum(map(len, self._flights.values()))

    @property
    def excused(self) -> bool:
        """As for any loop; and the first of a partition may be slow as long as others are done meanwhile."""
        return super().excused or monotonic() - self._advanced < DONE_LATELY_S

    @property
    def _unprepared(self) -> int:
        return sum(not flight.ready for flights in self._flights.values() for flight in flights)

    async def _go_on(self) -> None:
        try:
            while True:
                room = min(self._size - self._unprepared, WAITING_WINDOWS * self._size - self.queued)
                if self._taking is None and room > 0:
                    self._taking = asyncio.ensure_future(self.consumer.take(room, TICK_S, each=True))
                    self._taking.add_done_callback(self._wake)
                await self._wait(TICK_S)
                await to_its_end(asyncio.ensure_future(self._step()))
        except asyncio.CancelledError:
            await to_its_end(asyncio.ensure_future(self._drain()))
            raise
        finally:
            await to_its_end(asyncio.ensure_future(self._give_up()))

    async def _wait(self, timeout_s: float) -> None:
        # Not wait_for: in Python 3.11 it can swallow a cancellation that comes together with the news.
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._news.wait()
        self._news.clear()

    def _wake(self, _: object = None) -> None:
        self._news.set()

    async def _step(self) -> None:
        async with self.consumer.turn:
            batch = await self._arrived()
            if self._epoch != self.consumer.epoch:
                self._change_epoch()
            if not self.consumer.holds(self._epoch):
                return
            self.sending = self._epoch
            try:
                await self._restore(self._epoch)
                if batch and batch.epoch == self._epoch:
                    self._admit(batch)
                await self._send_ready()
                await self._tick()
            except Fenced:
                await self._abandon(self._epoch)

    async def _arrived(self) -> Batch | None:
        if self._taking is None or not self._taking.done():
            return None
        taking, self._taking = self._taking, None
        return await taking

    def _change_epoch(self) -> None:
        """Whatever was on its way comes again, here or elsewhere; what is being prepared is kept for when it does."""
        for flights in self._flights.values():
            for flight in flights:
                if flight.work:
                    self._kept[flight.where] = flight.work
        self._flights = {}
        self._epoch = self.consumer.epoch
        if (assigned := self.consumer.assigned) is not None:
            for where in [where for where in self._kept if TopicPartition(*where[:2]) not in assigned]:
                self._kept.pop(where).cancel()

    def _admit(self, batch: Batch) -> None:
        for part, records in batch.records.items():
            mine = 0
            for record in records:
                slot = self._read(record)
                if self._lane != self._lane_of(slot):
                    self.consumer.offsets.finish(part, record.offset, record.offset + 1)
                    continue
                mine += 1
                work = self._work(record, slot) if isinstance(slot, Incoming) else None
                self._flights.setdefault(record.key, deque()).append(_Flight(record, slot, work))
            self._count(part, mine)

    def _lane_of(self, slot: Incoming | Outgoing) -> str:
        """What cannot be read, and what lies elsewhere, is one lane's to deal with."""
        return self.agent.lane(slot) if isinstance(slot, Incoming) else self.agent.lanes[0]

    def _work(self, record: Any, slot: Incoming) -> asyncio.Task[Any]:
        for stale in [where for where in self._kept if where[:2] == (record.topic, record.partition)]:
            if stale[2] < record.offset:
                self._kept.pop(stale).cancel()
        work = self._kept.pop((record.topic, record.partition, record.offset), None)
        if work is None or work.cancelled():
            work = asyncio.create_task(self._prepare(slot))
        work.add_done_callback(self._wake)
        return work

    async def _prepare(self, slot: Incoming) -> Any:
        """What the agent prepares for the message, or the exception that it raised."""
        try:
            return await self.agent.prepare(slot)
        except Exception as error:
            return error

    async def _send_ready(self) -> None:
        """Send, in one go, whatever is prepared and has nothing unprepared of its publisher before it."""
        sent: list[_Flight] = []
        begun = monotonic()
        for flights in self._flights.values():
            for flight in flights:
                if not flight.ready:
                    break
                # Raises if it was cancelled by anyone but this window: it is not prepared.
                prepared = flight.work.result() if flight.work else None
                await self._send(flight.message, flight.slot, prepared)
                sent.append(flight)
        if not sent:
            return
        await self.producer.flush()
        if self._epoch != self.consumer.epoch:
            raise Fenced  # they lie at the broker, but whoever has the partitions now commits
        self._advanced = monotonic()
        self._seconds.observe(self._advanced - begun)
        for flight in sent:
            self.consumer.offsets.finish(flight.part, flight.message.offset, flight.message.offset + 1)
            self._flights[flight.message.key].popleft()
        self._flights = {key: flights for key, flights in self._flights.items() if flights}

    async def _drain(self) -> None:
        """Finish what can be finished within the share of the grace, and give up the rest; it comes again."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self.agent.context.settings.shutdown_grace_s * STOP_SHARE
        while self._flights and self.consumer.assigned is not None and (left := end - loop.time()) > 0:
            await self._step()
            if self._flights and not any(flights[0].ready for flights in self._flights.values()):
                await self._wait(min(left, TICK_S))

    async def _give_up(self) -> None:
        """Cancel whatever goes on, and wait until it has cleaned up behind itself."""
        works = {flight.work for flights in self._flights.values() for flight in flights if flight.work}
        running = [work for work in (*works, *self._kept.values(), self._taking) if work and not work.done()]
        self._flights, self._kept, self._taking = {}, {}, None
        for work in running:
            work.cancel()
        await asyncio.gather(*running, return_exceptions=True)
