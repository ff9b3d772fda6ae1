"""The delivery loop: the one way in which any agent takes messages and lets go of them.

At least once, in order, nothing dropped in silence. A batch is handled whole: read, judged, produced, every
acknowledgement of the broker awaited; only then are its messages acknowledged, and their offsets committed by
Faust. The only ways out of a batch are done or dead: it is shielded from cancellation, and while it is not done
nothing of it is acknowledged, so that a killed worker's messages come again.

Faust's `take_events` is not used, because it acknowledges what it has buffered when it is cancelled or its body
raises, and because it waits out its whole window for a batch that is not full. `next_batch` takes what is there.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from time import monotonic
from typing import Any

from aiokafka.errors import MessageSizeTooLargeError
from aiokafka.partitioner import DefaultPartitioner

from schemas.deadletter import DeadLetter
from schemas.message import Refused, decode
from schemas.topics import DEADLETTERS, TOPICS
from streams.agent import Agent, Assigned, Incoming, Outgoing
from streams.kafka import DEADLETTER_BYTES
from streams.producer import Producer
from streams.views import Views

log = logging.getLogger(__name__)

#: How often the agent's clock ticks, and how long the loop waits for a message at most.
TICK_S = 1.0
#: Larger originals are named in the dead letter, not copied: base64 takes 4/3, and the rest needs room.
MAX_KEPT_BYTES = DEADLETTER_BYTES * 2 // 3


class Delivery:
    """One agent's loop over its queue of raw messages."""

    def __init__(
        self, agent: Agent, producer: Producer, views: Views, *, fatal: Callable[[BaseException], None]
    ) -> None:
        self.agent = agent
        self._producer = producer
        self._views = views
        self._fatal = fatal
        self._metrics = agent.context.metrics
        self._prefix = agent.context.settings.topic_prefix
        self._getter: asyncio.Task[Any] | None = None
        self._assigned: Assigned | None = None
        self._ticked = monotonic()

    def assigned(self, parts: Iterable[Any]) -> None:
        """Partitions have been assigned: rebuild the agent's state before the next batch."""
        self._assigned = frozenset((part.topic.removeprefix(self._prefix), part.partition) for part in parts)

    async def run(self, queue: asyncio.Queue[Any]) -> None:
        """Take batches for ever. Ends by cancellation, and then never inside a batch.

        An error outside a single message is a defect that must not be survived: Faust would restart this loop past
        the unfinished batch and in time commit beyond it. `fatal` ends the process instead.
        """
        try:
            await self._views.loaded()
            while True:
                batch = await self.next_batch(queue)
                await _to_its_end(asyncio.ensure_future(self._turn(batch)))
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            self._fatal(error)
            raise
        finally:
            if self._getter:
                self._getter.cancel()

    async def next_batch(self, queue: asyncio.Queue[Any]) -> list[Any]:
        """What is in the queue, at most `batch_size`; waits for the first message, at most a tick (then empty)."""
        if self._getter is None:
            self._getter = asyncio.ensure_future(queue.get())
        # Not wait_for: cancelling a queue's get can lose the item that it was about to return.
        done, _ = await asyncio.wait({self._getter}, timeout=TICK_S)
        if not done:
            return []
        getter, self._getter = self._getter, None
        try:
            batch = [getter.result()]
            while len(batch) < self.agent.batch_size and not queue.empty():
                batch.append(queue.get_nowait())
        except StopAsyncIteration:  # Faust throws this into the queues of an agent that it stops
            raise asyncio.CancelledError from None
        return batch

    async def _turn(self, batch: list[Any]) -> None:
        if (assigned := self._assigned) is not None:
            self._assigned = None
            await self.agent.restore(assigned)
        if batch:
            with self._metrics.batch_seconds.labels(self.agent.name).time():
                await self._deliver(batch)
        if monotonic() - self._ticked >= TICK_S:
            self._ticked = monotonic()
            await self._producer.send(self.agent.tick(self.agent.context.clock()))

    async def _deliver(self, batch: list[Any]) -> None:
        slots = [self._read(event.message) for event in batch]
        if self.agent.slow:
            # All begin at once, but each goes out as soon as those before it have, instead of with the slowest.
            work = [asyncio.ensure_future(self._prepare(slot)) for slot in slots]
            for event, slot, task in zip(batch, slots, work, strict=True):
                await self._send(event.message, slot, await task)
                await self._producer.flush()
                event.ack()
            return
        for event, slot in zip(batch, slots, strict=True):
            await self._send(event.message, slot, None)
        await self._producer.flush()
        for event in batch:
            event.ack()

    async def _prepare(self, slot: Incoming | Outgoing) -> Any:
        """What the agent prepares for the message, or the exception that it raised."""
        if isinstance(slot, Outgoing):
            return None
        try:
            return await self.agent.prepare(slot)
        except Exception as error:
            return error

    async def _send(self, message: Any, slot: Incoming | Outgoing, prepared: Any) -> None:
        out = [slot] if isinstance(slot, Outgoing) else self._handle(message, slot, prepared)
        try:
            await self._producer.send(out, flush=False)
        except (Refused, MessageSizeTooLargeError) as error:
            await self._producer.send([self._dead(message, error)], flush=False)

    def _read(self, message: Any) -> Incoming | Outgoing:
        """The message as its topic's type, or the dead letter it becomes."""
        topic = TOPICS[message.topic.removeprefix(self._prefix)]
        self._metrics.messages_in.labels(self.agent.name, topic.name).inc()
        try:
            if message.value is None:
                raise Refused("", "the message has no value, and this topic has no rows to delete")
            value: Any = decode(topic.message, message.value)
            if topic.direction == "in" and (message.key or b"").decode("utf-8", "replace") != value.publisher_id:
                # Without it the partition, and so the order of this publisher's items, is left to chance.
                raise Refused("publisher_id", f"the message's key is {message.key!r}; it must be the publisher_id")
        except Refused as refused:
            return self._dead(message, refused)
        if topic.placed and _partition(message.key, topic.partitions) != message.partition:
            # Other clients have other partitioners (librdkafka's is CRC32), but whoever keeps state by this key must
            # meet all of its messages in one place.
            return Outgoing(topic, value.publisher_id, value)
        return Incoming(topic.name, message.partition, message.offset, value)

    def _handle(self, message: Any, incoming: Incoming, prepared: Any) -> Iterable[Outgoing]:
        try:
            if isinstance(prepared, Exception):
                raise prepared
            return list(self.agent.handle(incoming._replace(prepared=prepared)))
        except Exception as error:
            log.exception(
                "%s: %s/%d@%d goes to the dead letters",
                self.agent.name,
                message.topic,
                message.partition,
                message.offset,
            )
            return [self._dead(message, error)]

    def _dead(self, message: Any, error: Exception) -> Outgoing:
        name = message.topic.removeprefix(self._prefix)
        self._metrics.dead_letters.labels(self.agent.name, name).inc()
        field, reason = (error.field, error.reason) if isinstance(error, Refused) else ("", str(error))
        value = message.value
        if value is not None and len(value) > MAX_KEPT_BYTES:
            value, reason = None, f"{reason} (its {len(message.value)} bytes stay where they lie)"
        letter = DeadLetter(
            topic=message.topic,
            partition=message.partition,
            offset=message.offset,
            key=message.key,
            value=value,
            agent=self.agent.name,
            error=type(error).__name__,
            reason=reason[:2000].encode("utf-8", "replace").decode(),  # it may quote bytes that are no text
            field=field,
            failed_at=self.agent.context.clock(),
        )
        return Outgoing(DEADLETTERS, (message.key or b"").decode("utf-8", "surrogateescape"), letter)


def _partition(key: bytes, partitions: int) -> int:
    """Where Kafka's own partitioner, which ours is, puts a key."""
    every = list(range(partitions))
    return int(DefaultPartitioner()(key, every, every))


async def _to_its_end(work: asyncio.Future[None]) -> None:
    """Wait for the work even when cancelled meanwhile; then pass the cancellation on."""
    cancelled: asyncio.CancelledError | None = None
    while not work.done():
        try:
            await asyncio.wait({work})
        except asyncio.CancelledError as error:
            cancelled = error
    if work.cancelled():
        raise RuntimeError("a batch was cancelled from inside, and is not done")
    work.result()
    if cancelled:
        raise cancelled
