"""A delivery loop with everything around it made up: its consumer, and the broker that it sends to."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable
from types import SimpleNamespace
from typing import Any

from aiokafka import TopicPartition
from prometheus_client import CollectorRegistry
from trial_agents import context, upload

from schemas.deadletter import DeadLetter
from schemas.event import Admitted, Upload
from schemas.message import decode, encode
from schemas.topics import DEADLETTERS, PARTITIONS, UPLOADS
from streams.agent import Agent
from streams.consumer import Batch
from streams.delivery import Delivery
from streams.offsets import Offsets
from streams.producer import Producer
from streams.settings import Settings
from streams.views import Views
from streams.window import Window


class Log(list[tuple[Any, ...]]):
    """Everything that happens, in order."""

    async def has(self, *entry: Any, times: int = 1) -> None:
        """Wait until it has happened so often."""
        async with asyncio.timeout(5):
            while self.count(entry) < times:
                await asyncio.sleep(0)

    def of(self, verb: str) -> list[Any]:
        return [entry[1] if len(entry) == 2 else entry[1:] for entry in self if entry[0] == verb]


class Broker:
    """What the producer sends to: takes and acknowledges, unless its script says otherwise.

    A script is a line of exceptions (None: all is well): those of `taking` meet the sending, those of
    `acknowledging` the acknowledgement.
    """

    def __init__(self, log: Log) -> None:
        self.log = log
        self.taking: deque[BaseException | None] = deque()
        self.acknowledging: deque[BaseException | None] = deque()
        self.held: list[asyncio.Future[None]] | None = None
        self.lies: list[tuple[str, bytes, bytes]] = []

    def hold(self) -> None:
        """Acknowledge nothing until told."""
        self.held = []

    def release(self) -> None:
        held, self.held = self.held or [], None
        for future in held:
            if not future.done():
                future.set_result(None)

    async def send(self, topic: str, key: bytes, value: bytes) -> Awaitable[Any]:
        error = self.taking.popleft() if self.taking else None
        if error:
            self.log.append(("refused", self.named(value)))
            raise error
        self.log.append(("sent", self.named(value)))
        return asyncio.ensure_future(self._acknowledge(topic, key, value))

    async def _acknowledge(self, topic: str, key: bytes, value: bytes) -> None:
        error = self.acknowledging.popleft() if self.acknowledging else None
        if self.held is not None:
            self.held.append(asyncio.get_running_loop().create_future())
            await self.held[-1]
        if error:
            self.log.append(("lost", self.named(value)))
            raise error
        self.lies.append((topic, key, value))
        self.log.append(("acknowledged", self.named(value)))

    @staticmethod
    def named(value: bytes) -> str:
        for kind, name in ((Admitted, "{0.event.event_id}"), (Upload, "moved {0.event_id}")):
            try:
                return name.format(decode(kind, value))
            except ValueError:
                continue
        return f"letter of {decode(DeadLetter, value).offset}"

    @property
    def letters(self) -> list[DeadLetter]:
        return [decode(DeadLetter, value) for topic, _, value in self.lies if topic.endswith(DEADLETTERS.name)]


class LoggedOffsets(Offsets):
    """Writes down each message that is finished."""

    def __init__(self, log: Log, taken: dict[TopicPartition, list[int]]) -> None:
        super().__init__()
        self._log = log
        self._taken = taken

    def finish(self, part: TopicPartition, offset: int, end: int) -> None:
        super().finish(part, offset, end)
        self._log.extend(("acked", number) for number in self._taken[part] if offset <= number < end)


class Group:
    """What the loop knows of its consumer: hands out what is put in, in the epoch that the test says it is."""

    def __init__(self, log: Log) -> None:
        self.turn = asyncio.Lock()
        self.epoch = 1
        self.fresh = True
        self.assigned: frozenset[TopicPartition] | None = frozenset(
            TopicPartition("p." + UPLOADS.name, number) for number in range(PARTITIONS)
        )
        self.queue: asyncio.Queue[Any] = asyncio.Queue()
        self.renewed = 0
        self._log = log
        self._taken: dict[TopicPartition, list[int]] = {}
        self._unfinished: list[Any] = []
        self.offsets = LoggedOffsets(log, self._taken)

    def holds(self, epoch: int) -> bool:
        return self.fresh and self.assigned is not None and epoch == self.epoch

    async def take(self, limit: int, timeout_s: float, *, each: bool = False) -> Batch:
        if not self.holds(self.epoch):
            await asyncio.sleep(timeout_s)
            return Batch(self.epoch, {})
        try:
            async with asyncio.timeout(timeout_s):
                messages = [await self.queue.get()]
        except TimeoutError:
            return Batch(self.epoch, {})
        while len(messages) < limit and not self.queue.empty():
            messages.append(self.queue.get_nowait())
        records: dict[TopicPartition, list[Any]] = {}
        for message in messages:
            part = TopicPartition(message.topic, message.partition)
            records.setdefault(part, []).append(message)
            self._taken.setdefault(part, []).append(message.offset)
        for part, found in records.items():
            for message in found if each else found[:1]:
                self.offsets.begin(part, message.offset)
        self._unfinished += messages
        return Batch(self.epoch, records)

    def renew(self) -> None:
        """As the real one: what is not finished comes again."""
        self.renewed += 1
        self.come_again()

    def come_again(self) -> None:
        """A new epoch with the same partitions."""
        self.epoch += 1
        self._log.append(("epoch", self.epoch))
        done = set(self._log.of("acked"))
        for message in self._unfinished:
            if message.offset not in done:
                self.queue.put_nowait(message)
        self._unfinished = []
        self.offsets = LoggedOffsets(self._log, self._taken)

    def revoke(self) -> None:
        """The partitions go, whatever is being done."""
        self.assigned = None
        self.epoch += 1

    def assign(self, *numbers: int) -> None:
        """The partitions come; what is not finished comes again."""
        self.come_again()
        self.assigned = frozenset(TopicPartition("p." + UPLOADS.name, number) for number in numbers)


class Rig:
    """A delivery loop with everything around it made up."""

    def __init__(self, kind: type[Agent], settings: Settings, *, lane: str = "") -> None:
        self.log = Log()
        self.registry = CollectorRegistry()
        self.broker = Broker(self.log)
        self.context = context(settings, self.registry)
        self.agent = kind(self.context)
        self.agent.log = self.log  # type: ignore[attr-defined]
        self.group = Group(self.log)
        self.views = Views([], settings)
        self.fatal: list[BaseException] = []
        producer = Producer(
            self.broker.send,
            agent=kind.name,
            prefix=settings.topic_prefix,
            max_message_bytes=settings.max_message_bytes,
            metrics=self.context.metrics,
            holds=lambda: self.group.holds(self.delivery.sending),
        )
        loop: Any = (self.agent, self.group, producer, self.views)
        self.delivery = (
            Window(*loop, fatal=self.fatal.append, lane=lane) if kind.slow else Delivery(*loop, fatal=self.fatal.append)
        )
        self.task: asyncio.Task[None] | None = None
        self.offset = 0

    def put(self, value: bytes | None, *, key: bytes | None = b"publisher", partition: int = 3) -> int:
        """A message arrives; its offset."""
        offset = self.offset
        self.offset += 1
        message = SimpleNamespace(
            topic=self.context.settings.topic_prefix + UPLOADS.name,
            partition=partition,
            offset=offset,
            key=key,
            value=value,
            headers=(),
        )
        self.group.queue.put_nowait(message)
        return offset

    def upload(self, **fields: Any) -> int:
        """An upload arrives whose number is its offset."""
        return self.put(encode(upload(self.offset, **fields)))

    def start(self) -> asyncio.Task[None]:
        self.task = asyncio.create_task(self.delivery.run())
        return self.task

    @property
    def acked(self) -> list[int]:
        return self.log.of("acked")

    def counted(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0
