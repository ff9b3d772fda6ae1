"""Watches how far an agent's group has come: lag, the age of the last commit that advanced, and whether it stands still
for a reason that lies with the worker."""

from __future__ import annotations

from collections.abc import Mapping
from time import monotonic, time
from typing import Any

from streams.consumer import Place
from streams.metrics import Metrics


class Progress:
    """Takes a reading of one lane once a second; the metrics, readiness and the watchdog come from here."""

    def __init__(self, name: str, prefix: str, metrics: Metrics) -> None:
        self.partitions = 0
        self.lag = 0
        self.commit_age_s = 0.0
        #: How long the oldest message that is not committed has waited, at most.
        self.lag_s = 0.0
        #: As long as it has stood still though the broker answered: what a restart may mend.
        self.stalled_s = 0.0
        self._name = name
        self._prefix = prefix
        self._metrics = metrics
        self._seen: dict[Any, int | None] = {}
        #: When each partition was last seen without lag.
        self._caught_up: dict[Any, float] = {}
        self._advanced = self._excused = monotonic()

    def read(self, places: Mapping[Any, Place], *, queued: int, excused: bool = False) -> None:
        """Take a reading. `excused`: what it waits for is the broker, whom a restart would not bring back."""
        now = monotonic()
        for gone in self._seen.keys() - places.keys():
            self._metrics.lag.remove(self._name, gone.topic.removeprefix(self._prefix), str(gone.partition))
        self.lag = 0
        self.lag_s = 0.0
        self._caught_up = {part: at for part, at in self._caught_up.items() if part in places}
        waiting = False
        for part, place in places.items():
            # Nothing committed and nothing read: what once lay there has been deleted, or does not wait for long.
            lag = 0 if place.begun is None or place.end is None else max(0, place.end - place.begun)
            self.lag += lag
            waiting = waiting or (lag > 0 and place.served)
            self.lag_s = max(self.lag_s, self._waited(part, place, lag, now))
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
        self._metrics.lag_seconds.labels(self._name).set(self.lag_s)
        self._metrics.partitions.labels(self._name).set(self.partitions)
        self._metrics.queue.labels(self._name).set(queued)

    def _waited(self, part: Any, place: Place, lag: int, now: float) -> float:
        """How long the first message of the partition has waited at most: since it was sent, as far as that is known,
        and not since before the partition was last seen empty, whatever its sender's clock says."""
        if not lag:
            self._caught_up[part] = now
            return 0.0
        known = [now - self._caught_up[part]] if part in self._caught_up else []
        if place.sent_at is not None:
            known.append(max(0.0, time() - place.sent_at))
        return min(known, default=0.0)
