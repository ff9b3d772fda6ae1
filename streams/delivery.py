"""The delivery loop: the one way in which any agent takes messages and lets go of them.

At least once, in order, nothing dropped in silence. A batch is handled whole: read, judged, produced, every
acknowledgement of the broker awaited; only then is it finished, and may be committed. The only ways out of a batch are
done, dead, or abandoned because the partitions are no longer held for certain: it is shielded from cancellation, and
while it is not done nothing of it is committed, so that it comes again, here or elsewhere.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from time import monotonic
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from schemas.deadletter import DeadLetter, replays_of
from schemas.message import Refused, decode
from schemas.topics import DEADLETTERS, TOPICS
from streams.agent import Agent, Assigned, Incoming, Outgoing
from streams.consumer import Batch, Consumer, Fenced
from streams.contact import KafkaUnusable
from streams.kafka import DEADLETTER_BYTES
from streams.producer import RETRY_FIRST_S, RETRY_LONGEST_S, Producer
from streams.views import Views
from streams.wire import partition_of

log = logging.getLogger(__name__)

#: How often the agent's clock ticks, and how long the loop waits for a message at most.
TICK_S = 1.0
#: Judging goes on for so long before heartbeats, probes and the other agents of the worker get their turn.
TURN_S = 0.02
#: An acknowledgement that takes longer is the broker's affair, not this loop's.
BROKER_OWES_S = 5.0
#: Larger originals are named in the dead letter, not copied: base64 takes 4/3, and the rest needs room.
MAX_KEPT_BYTES = DEADLETTER_BYTES * 2 // 3


class Delivery:
    """One agent's loop over the messages of its group."""

    def __init__(
        self,
        agent: Agent,
        consumer: Consumer,
        producer: Producer,
        views: Views,
        *,
        fatal: Callable[[BaseException], None],
    ) -> None:
        self.agent = agent
        self.consumer = consumer
        self.producer = producer
        self._views = views
        self._fatal = fatal
        self._metrics = agent.context.metrics
        self._prefix = agent.context.settings.topic_prefix
        self._topics = {self._prefix + name: topic for name, topic in TOPICS.items()}
        self._seconds = self._metrics.batch_seconds.labels(agent.name)
        #: The epoch whose outputs are on their way to the broker.
        self.sending = -1
        self._restored = -1
        self._restoring = False
        self._taken = 0
        self._ticked = monotonic()
        self._turned = monotonic()

    @property
    def queued(self) -> int:
        """How many messages have been taken and are not done."""
        return self._taken

    @property
    def excused(self) -> bool:
        """Whether there is a reason for standing still that a restart would not mend: state that is being read, or a
        broker that does not answer."""
        return (
            not self._views.is_loaded
            or self._restoring
            or not self.consumer.fresh
            or self.producer.waited_s > BROKER_OWES_S
        )

    async def run(self) -> None:
        """Take batches for ever. Ends by cancellation, and then never inside a batch.

        An error outside a single message is a defect that must not be survived: the agent's state is in doubt.
        `fatal` ends the process.
        """
        try:
            await self._views.loaded()
            await self._go_on()
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            self._fatal(error)
            raise

    async def _go_on(self) -> None:
        while True:
            batch = await self.consumer.take(self.agent.batch_size, TICK_S)
            await to_its_end(asyncio.ensure_future(self._turn(batch)))

    async def _turn(self, batch: Batch) -> None:
        async with self.consumer.turn:
            # Taken before a revocation, or nothing is assigned: it comes again to whoever has it now.
            if batch.epoch != self.consumer.epoch or self.consumer.assigned is None:
                return
            if not batch.records and not self.consumer.holds(batch.epoch):
                return
            self.sending = batch.epoch
            try:
                await self._restore(batch.epoch)
                if batch.records:
                    self._taken = sum(map(len, batch.records.values()))
                    with self._seconds.time():
                        await self._deliver(batch)
                await self._tick()
            except Fenced:
                await self._abandon(batch.epoch)
            finally:
                self._taken = 0

    async def _restore(self, epoch: int) -> None:
        """Rebuild the agent's state once an epoch, before anything is judged in it."""
        pause = RETRY_FIRST_S
        while self._restored != epoch:
            self._restoring = True
            try:
                await self.agent.restore(self._assigned())
                self._restored = epoch
            except (KafkaError, KafkaUnusable) as error:  # a broker that is away comes back
                log.warning("%s: state is not restored yet: %s", self.agent.name, error)
                await asyncio.sleep(pause)
                pause = min(pause * 2, RETRY_LONGEST_S)
            finally:
                self._restoring = False
            if not self.consumer.holds(epoch):
                raise Fenced

    def _assigned(self) -> Assigned:
        parts = self.consumer.assigned or ()
        return frozenset((part.topic.removeprefix(self._prefix), part.partition) for part in parts)

    async def _tick(self) -> None:
        if monotonic() - self._ticked >= TICK_S:
            self._ticked = monotonic()
            try:
                for out in self.agent.tick(self.agent.context.clock()):
                    await self.producer.send([out], flush=False)
            except Fenced:
                raise
            except Exception:
                # One item's affair, as of a message that raises: the agent meets it again at the next tick. A worker
                # that ended here would meet it again at its start, and its other agents would have ended with it.
                self._metrics.tick_failures.labels(self.agent.name).inc()
                log.exception("%s: what time causes failed, and is tried again", self.agent.name)
            await self.producer.flush()

    async def _abandon(self, epoch: int) -> None:
        log.warning("%s: what was begun is abandoned, and comes again: the partitions are not held", self.agent.name)
        self._metrics.abandoned.labels(self.agent.name).inc()
        await self.producer.reset()
        self._restored = -1  # the state knows of outputs that may never have been produced
        self.agent.doubt()
        if epoch == self.consumer.epoch:
            self.consumer.renew()

    async def _deliver(self, batch: Batch) -> None:
        for records in batch.records.values():
            for record in records:
                await self._send(record, self._read(record), None)
                if monotonic() - self._turned > TURN_S:
                    await self._yield()
        await self.producer.flush()
        if batch.epoch != self.consumer.epoch:
            raise Fenced  # it lies at the broker, but whoever has the partitions now commits
        for part, records in batch.records.items():
            self.consumer.offsets.finish(part, records[0].offset, records[-1].offset + 1)
            self._count(part, len(records))

    async def _yield(self) -> None:
        await asyncio.sleep(0)
        self._turned = monotonic()

    def _count(self, part: TopicPartition, number: int) -> None:
        self._metrics.messages_in.labels(self.agent.name, self._topics[part.topic].name).inc(number)

    async def _send(self, message: Any, slot: Incoming | Outgoing, prepared: Any) -> None:
        if isinstance(slot, Incoming):
            out = self._handle(message, slot, prepared)
            if not out:
                return
        else:
            out = [slot]
            if slot.topic is DEADLETTERS:
                self._count_dead(message)
        try:
            await self.producer.send(out, flush=False, instead=lambda error: self._dead(message, error))
        except (Refused, MessageSizeTooLargeError) as error:
            await self.producer.send([self._dead(message, error)], flush=False)

    def _read(self, message: Any) -> Incoming | Outgoing:
        """The message as its topic's type, or the dead letter it becomes."""
        topic = self._topics[message.topic]
        try:
            if message.value is None:
                raise Refused("", "the message has no value, and this topic has no rows to delete")
            value: Any = decode(topic.message, message.value)
            if topic.direction == "in" and (message.key or b"").decode("utf-8", "replace") != value.publisher_id:
                # Without it the partition, and so the order of this publisher's items, is left to chance.
                raise Refused("publisher_id", f"the message's key is {message.key!r}; it must be the publisher_id")
        except Refused as refused:
            return self._letter(message, refused)
        if topic.placed and partition_of(message.key, topic.partitions) != message.partition:
            # Other clients have other partitioners (librdkafka's is CRC32), but whoever keeps state by this key must
            # meet all of its messages in one place.
            return Outgoing(topic, value.publisher_id, value)
        return Incoming(topic.name, message.partition, message.offset, value)

    def _handle(self, message: Any, incoming: Incoming, prepared: Any) -> list[Outgoing]:
        try:
            if isinstance(prepared, Exception):
                raise prepared
            if prepared is not None:
                incoming = incoming._replace(prepared=prepared)
            return list(self.agent.handle(incoming))
        except Exception as error:
            log.exception(
                "%s: %s/%d@%d goes to the dead letters",
                self.agent.name,
                message.topic,
                message.partition,
                message.offset,
            )
            return [self._dead(message, error)]

    def _count_dead(self, message: Any) -> None:
        self._metrics.dead_letters.labels(self.agent.name, self._topics[message.topic].name).inc()

    def _dead(self, message: Any, error: Exception) -> Outgoing:
        self._count_dead(message)
        return self._letter(message, error)

    def _letter(self, message: Any, error: Exception) -> Outgoing:
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
            replays=replays_of(message.headers),
        )
        return Outgoing(DEADLETTERS, (message.key or b"").decode("utf-8", "surrogateescape"), letter)


async def to_its_end(work: asyncio.Future[None]) -> None:
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
