"""The verdict agent: joins an item's decisions and answers, once, within the deadline."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from agents.verdict.join import KEEP_S, Join
from schemas.orders import Takedown
from schemas.topics import DECISIONS, TAKEDOWNS, VERDICTS
from schemas.verdict import Verdict as VerdictMessage
from streams.agent import Agent, Assigned, Context, Incoming, Outgoing

#: How far back stopped streams are looked for after a restart, in seconds; few livestreams outlast a day.
STREAMS_BACK_S = 86_400.0


class Verdict(Agent):
    """decisions → verdicts, and takedowns of whole streams."""

    name = "verdict"
    inputs = (DECISIONS,)
    outputs = (VERDICTS, TAKEDOWNS)
    reads_back = (VERDICTS, TAKEDOWNS)

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._join = Join()

    async def restore(self, assigned: Assigned) -> None:
        """Read back what was decided and answered, for the partitions that this worker now has."""
        mine = frozenset(partition for topic, partition in assigned if topic == DECISIONS.name)
        since = {DECISIONS: KEEP_S, VERDICTS: KEEP_S, TAKEDOWNS: STREAMS_BACK_S}
        self._join.restore(await self.context.read_back(since, {DECISIONS: mine}))

    def handle(self, message: Incoming) -> Iterable[Outgoing]:
        """Take one decision."""
        return self._out(self._join.take(message.value, self.context.policy, self.context.clock()))

    def tick(self, now: datetime) -> Iterable[Outgoing]:
        """Answer what is past its deadline."""
        return self._out(self._join.due(self.context.policy, now))

    def _out(self, messages: Iterable[VerdictMessage | Takedown]) -> Iterator[Outgoing]:
        for message in messages:
            if isinstance(message, Takedown):
                yield Outgoing(TAKEDOWNS, message.content_id, message)
                continue
            metrics = self.context.metrics
            metrics.verdicts.labels(message.verdict).inc()
            if message.replaces is None:
                kind = "upload" if message.stream_id is None else "segment"
                metrics.verdict_seconds.labels(kind).observe(message.latency_s)
            yield Outgoing(VERDICTS, message.content_id, message)
