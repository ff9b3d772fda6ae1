"""The verdict agent: joins an item's decisions and answers, once, within the deadline."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from datetime import datetime

from prometheus_client import Counter

from agents.verdict.join import KEEP_S, Join
from schemas.orders import Release, Takedown
from schemas.topics import DECISIONS, RELEASES, TAKEDOWNS, VERDICTS
from schemas.verdict import Verdict as VerdictMessage
from streams.agent import Agent, Assigned, Context, Incoming, Outgoing

log = logging.getLogger(__name__)

#: How far back stopped streams are looked for after a restart, in seconds; few livestreams outlast a day.
STREAMS_BACK_S = 86_400.0


class Verdict(Agent):
    """decisions → verdicts, and takedowns and releases of whole streams."""

    name = "verdict"
    inputs = (DECISIONS,)
    outputs = (VERDICTS, TAKEDOWNS, RELEASES)
    reads_back = (VERDICTS, TAKEDOWNS, RELEASES)

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._join = Join()
        self._unanswered = Counter(
            "veristream_items_unanswered", "Items whose verdict failed: a defect", registry=context.metrics.registry
        )
        self._mine: frozenset[int] = frozenset()
        #: (topic, partition) → the offset after the last message of it that is known here.
        self._after: dict[tuple[str, int], int] = {}

    def doubt(self) -> None:
        """Forget everything: what counts as answered here may be on no topic."""
        self._join, self._mine, self._after = Join(), frozenset(), {}

    async def restore(self, assigned: Assigned) -> None:
        """Read back what was decided and answered, for the partitions that this worker now has.

        Of those that it had before only what lies after the last message that it knows: mostly nothing, but another
        worker may have had them while this one was cut off. Decisions are read before verdicts, because only verdicts
        on the items of these partitions are kept: all workers' verdicts of an hour do not fit memory.
        """
        mine = frozenset(partition for topic, partition in assigned if topic == DECISIONS.name)
        gained, self._mine = mine - self._mine, mine
        self._after = {
            place: offset
            for place, offset in self._after.items()
            if (place[1] in mine - gained if place[0] == DECISIONS.name else not gained)
        }
        self._join.keep(mine)
        for since in ({DECISIONS: KEEP_S}, {VERDICTS: KEEP_S, TAKEDOWNS: STREAMS_BACK_S, RELEASES: STREAMS_BACK_S}):
            async for found in self.context.read_back(since, {DECISIONS: mine}, dict(self._after)):
                self._join.recall(found.value, found.partition, self.context.clock())
                self._after[found.topic, found.partition] = found.offset + 1
        self._join.recalled()

    def handle(self, message: Incoming) -> Iterable[Outgoing]:
        """Take one decision."""
        place = (message.topic, message.partition)
        self._after[place] = max(self._after.get(place, 0), message.offset + 1)
        return self._out(self._join.take(message.value, self.context.policy, self.context.clock(), message.partition))

    def tick(self, now: datetime) -> Iterable[Outgoing]:
        """Answer what is past its deadline."""
        return self._out(self._join.due(self.context.policy, now))

    def _out(self, messages: Iterable[VerdictMessage | Takedown | Release]) -> Iterator[Outgoing]:
        for message in messages:
            if not isinstance(message, VerdictMessage):
                yield Outgoing(RELEASES if isinstance(message, Release) else TAKEDOWNS, message.content_id, message)
                continue
            metrics = self.context.metrics
            metrics.verdicts.labels(message.verdict).inc()
            if message.replaces is None and message.ruling is None:
                kind = "upload" if message.stream_id is None else "segment"
                metrics.verdict_seconds.labels(kind).observe(message.latency_s)
            yield Outgoing(VERDICTS, message.content_id, message)
        while self._join.failed:
            event_id, error = self._join.failed.popleft()
            self._unanswered.inc()
            log.error("verdict: event %s cannot be answered", event_id, exc_info=error)
