"""Watches how far an agent's group has come: lag, and the age of the last commit that advanced."""

from __future__ import annotations

from time import monotonic
from typing import Any

from streams.metrics import Metrics


class Progress:
    """Reads one Faust consumer once a second; the metrics and readiness come from here, not from Faust's own."""

    def __init__(self, agent: str, prefix: str, metrics: Metrics) -> None:
        self.partitions = 0
        self.lag = 0
        self.commit_age_s = 0.0
        self._agent = agent
        self._prefix = prefix
        self._metrics = metrics
        self._seen: dict[Any, int | None] = {}
        self._advanced = monotonic()

    def read(self, consumer: Any, *, queued: int) -> None:
        """Take a reading."""
        parts = set(consumer.assignment())
        for gone in self._seen.keys() - parts:
            self._metrics.lag.remove(self._agent, gone.topic.removeprefix(self._prefix), str(gone.partition))
        committed = {part: consumer._committed_offset.get(part) for part in parts}
        self.lag = 0
        for part in parts:
            high = consumer.highwater(part) or 0
            begun = consumer._read_offset.get(part) is not None
            # Nothing committed and nothing read: what once lay there has been deleted, or does not wait for long.
            lag = max(0, high - (committed[part] or (0 if begun else high)))
            self.lag += lag
            self._metrics.lag.labels(self._agent, part.topic.removeprefix(self._prefix), str(part.partition)).set(lag)
        if committed != self._seen or not self.lag:
            self._advanced = monotonic()
        self._seen = committed
        self.partitions = len(parts)
        self.commit_age_s = monotonic() - self._advanced if self.lag else 0.0
        self._metrics.commit_age.labels(self._agent).set(self.commit_age_s)
        self._metrics.partitions.labels(self._agent).set(self.partitions)
        self._metrics.queue.labels(self._agent).set(queued)
