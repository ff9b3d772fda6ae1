"""Views: compacted topics held in memory or on disk, whole, and kept up to date. What judges look things up in.

Faust's tables are not used for this: their recovery can hang on compacted changelogs (faust-streaming #176, #597),
and a table is split over workers, while every worker needs the whole of policies, hash bank and rumours.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from pathlib import Path
from time import monotonic
from typing import Any, Generic, TypeVar

from aiokafka import AIOKafkaConsumer, TopicPartition

from schemas.message import Message, Refused, decode
from schemas.topics import Topic
from streams.kafka import caught_up, closed, partitions_of, reader, started
from streams.metrics import Metrics
from streams.rows import rows_for
from streams.settings import Settings

log = logging.getLogger(__name__)

#: How often a long start says how much it still has to read.
TELL_S = 5.0

M = TypeVar("M", bound=Message)
#: Told of a change: key, the former row, the new one (None: there was or is none).
Listener = Callable[[str, Any, Any], None]
#: Says why a row must not replace the former one (None at first), by raising Refused.
Check = Callable[[Any, Any], None]


class View(Generic[M]):
    """key → the last valid row of a compacted topic."""

    def __init__(
        self,
        topic: Topic,
        metrics: Metrics,
        check: Check | None = None,
        *,
        shipped: Mapping[str, M] | None = None,
        state_dir: Path | None = None,
    ) -> None:
        """`shipped`: rows that are there until others are sent, and again when those are deleted. `state_dir`: where
        the rows of a big view lie instead of in memory, or what all workers of a machine share of them."""
        self.topic = topic
        self._shipped: Mapping[str, M] = shipped or {}
        self.rows: MutableMapping[str, M] = rows_for(topic, state_dir, metrics)
        self.rows.update(self._shipped)
        self._listeners: list[Listener] = []
        self.version = 0  # counts changes, so that whoever derives an index from the rows knows when to renew it
        self._metrics = metrics
        self._check = check

    def listen(self, listener: Listener) -> None:
        """Have every change told, from now on; for an index that must not be built again at each of them."""
        self._listeners.append(listener)

    def is_pending(self, number: int) -> None:
        """So many messages are still to be read before the start is over."""
        self._metrics.state_pending.labels(self.topic.name).set(number)

    def apply(self, key: bytes | None, value: bytes | None) -> None:
        """Take one message of the topic. A bad row is refused: the former one stays in force, and it is counted."""
        name = (key or b"").decode("utf-8", "replace")
        former = self.rows.get(name)
        row: Any = None
        if value is None:
            row = self._shipped.get(name)
        else:
            try:
                row = decode(self.topic.message, value)
                if getattr(row, self.topic.key) != name:
                    raise Refused(self.topic.key, f"the message's key is {name!r}, which is not the row's")
                if self._check:
                    self._check(former, row)
            except Refused as refused:
                self._metrics.state_refused.labels(self.topic.name).inc()
                log.error("%s: row %r refused, the former one stays in force: %s", self.topic.name, name, refused)
                return
        if row is None:
            self.rows.pop(name, None)
        else:
            self.rows[name] = row
        self.version += 1
        self._metrics.state_rows.labels(self.topic.name).set(len(self.rows))
        for listener in self._listeners:
            listener(name, former, row)


class Views:
    """Reads the topics of all views with one consumer that belongs to no group."""

    def __init__(self, views: Sequence[View[Any]], settings: Settings) -> None:
        self.by_topic: Mapping[str, View[Any]] = {view.topic.name: view for view in views}
        self._by_wire = {settings.topic_prefix + view.topic.name: view for view in views}
        self._settings = settings
        self._loaded = asyncio.Event()
        self._consumer: AIOKafkaConsumer | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def is_loaded(self) -> bool:
        """Whether everything that lay in the topics at the start has been read."""
        return self._loaded.is_set()

    @property
    def failed(self) -> BaseException | None:
        """What ended the reading, if it has ended; the worker must then end too."""
        if self._task is None or not self._task.done() or self._task.cancelled():
            return None
        return self._task.exception()

    async def loaded(self) -> None:
        """Wait until every view holds what lay in its topic at the start."""
        await self._loaded.wait()

    async def start(self) -> None:
        """Start reading from the beginning."""
        if not self._by_wire:  # e.g. a worker that runs extraction alone
            self._loaded.set()
            return
        self._consumer = await started(reader(self._settings), self._settings)
        parts = await partitions_of(self._settings, [view.topic for view in self.by_topic.values()])
        self._consumer.assign(parts)
        await self._consumer.seek_to_beginning(*parts)
        self._task = asyncio.create_task(self._read(parts), name="views")

    async def _read(self, parts: list[TopicPartition]) -> None:
        consumer = self._consumer
        assert consumer is not None
        ends = await consumer.end_offsets(parts)
        told = monotonic()
        while True:
            if not self._loaded.is_set():
                if await caught_up(consumer, ends):
                    self._loaded.set()
                    log.info("state read: %s", {v.topic.name: len(v.rows) for v in self._by_wire.values()})
                left = await self._left(ends)
                if left and monotonic() - told > TELL_S:
                    told = monotonic()
                    log.info("state is being read, messages left: %s", left)
            for part, records in (await consumer.getmany(timeout_ms=200, max_records=5000)).items():
                view = self._by_wire[part.topic]
                for record in records:
                    view.apply(record.key, record.value)

    async def _left(self, ends: Mapping[TopicPartition, int]) -> dict[str, int]:
        """How many messages (rather more than fewer: compaction leaves gaps) lie before the end, by topic."""
        assert self._consumer is not None
        left = dict.fromkeys(self.by_topic, 0)
        for part, end in ends.items():
            left[self._by_wire[part.topic].topic.name] += max(0, end - await self._consumer.position(part))
        for name, number in left.items():
            self.by_topic[name].is_pending(number)
        return {name: number for name, number in left.items() if number}

    async def stop(self) -> None:
        """Stop reading; the rows stay."""
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._consumer:
            await closed(self._consumer.stop())
