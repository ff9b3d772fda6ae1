"""Watches how far an agent's group has come: lag, the age of the last commit that advanced, and whether it stands still
for a reason that lies with the worker."""

from __future__ import annotations

from collections.abc import Mapping
from time import monotonic
from typing import Any

from streams.consumer import Place
from streams.metrics import Metrics


class Progress:
    """Takes a reading of one lane once a second; the metrics, readiness and the watchdog come from here."""

    def __init__(self, name: str, prefix: str, metrics: Metrics) -> None:
        self.partitions = 0
        self.lag = 0
        self.commit_age_s = 0.0
        #: As long as it has stood still though the broker answered: what a restart may mend.
        self.stalled_s = 0.0
        self._name = name
        self._prefix = prefix
        self._metrics = metrics
        self._seen: dict[Any, int | None] = {}
        self._advanced = self._excused = monotonic()

    def read(self, places: Mapping[Any, Place], *, queued: int, excused: bool = False) -> None:
        """Take a reading. `excused`: what it waits for is the broker, whom a restart would not bring back."""
        now = monotonic()
        for gone in self._seen.keys() - places.keys():
            self._metrics.lag.remove(self._name, gone.topic.removeprefix(self._prefix), str(gone.partition))
        self.lag = 0
        waiting = False
        for part, place in places.items():
            # Nothing committed and nothing read: what once lay there has been deleted, or does not wait for long.
            lag = 0 if place.begun is None or place.end is None else max(0, place.end - place.begun)
            self.lag += lag
            waiting = waiting or (lag > 0 and place.served)
            self._metrics.lag.labels(self._name, part.topic.removeprefix(self._prefix), str(part.partition)).set(lag)
        begun = {part: place.begun for part, place in places.items()}
        if begun != self._seen or not self.lag:
            self._advanced = now
        if excused or not waiting:
            self._excused = now
        self._seen = begun
        self.partitions = len(places)
        self.commit_age_s = now - self._advanced if self.lag else 0.0
        self.stalled_s = now - max(self._advanced, self._excused)
        self._metrics.commit_age.labels(self._name).set(self.commit_age_s)
        self._metrics.partitions.labels(self._name).set(self.partitions)
        self._metrics.queue.labels(self._name).set(queued)
