"""Searching what was published for one claim, partition after partition, beside the loop that takes messages.

In a thread: a search of a million items must not hold up heartbeats. SQLite lets go of Python's lock while it searches,
and Python's own turn is 5 ms.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from queue import Empty, Full, Queue
from typing import NamedTuple

from agents.refuting.index import ItemIndex, Kept
from agents.refuting.matching import MakeClaims, Repeated, repeated
from schemas.bank import Rumor
from schemas.policy import Policy

log = logging.getLogger(__name__)

#: Found items that wait to be ordered; the search waits for room. Some 2 kB each.
MOST_WAITING = 10_000
#: How often a search that waits for room looks whether it was ended.
LOOK_S = 0.2


class Found(NamedTuple):
    """An item of a partition that repeats the claim."""

    partition: int
    kept: Kept
    how: Repeated


class Swept(NamedTuple):
    """A partition has been searched to its end."""

    partition: int


class Failed(NamedTuple):
    """A partition could not be searched."""

    partition: int
    error: Exception


def search(
    index: ItemIndex, rumor: Rumor, make: MakeClaims, policy: Policy, now: datetime
) -> Iterator[tuple[Kept, Repeated]]:
    """The items of an index that repeat a claim, oldest first."""
    claims = make([rumor], now)
    for kept in index.candidates(rumor):
        how = repeated(claims, kept.signals, policy).get(rumor.rumor_id)
        if how:
            yield kept, how


class Sweep:
    """One entry, searched for in the files of some partitions. Begins at once; `end` ends it early."""

    def __init__(
        self,
        rumor: Rumor,
        paths: Mapping[int, Path],
        make: MakeClaims,
        policy: Policy,
        now: Callable[[], datetime],
    ) -> None:
        self.rumor = rumor
        self._make, self._policy, self._now = make, policy, now
        self._queue: Queue[Found | Swept | Failed] = Queue(MOST_WAITING)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(dict(paths),), name="refuting", daemon=True)
        self._thread.start()

    def take(self, most: int) -> Iterator[Found | Swept | Failed]:
        """What was found since, at most so many; never waits."""
        for _ in range(most):
            try:
                yield self._queue.get_nowait()
            except Empty:
                return

    @property
    def is_over(self) -> bool:
        """Whether everything was found and taken."""
        return not self._thread.is_alive() and self._queue.empty()

    def end(self) -> None:
        """End it and wait for it; what was not taken is lost."""
        self._ended.set()
        self._thread.join()

    def _run(self, paths: dict[int, Path]) -> None:
        for partition, path in paths.items():
            if self._ended.is_set():
                return
            try:
                self._search(partition, path)
            except Exception as error:
                log.exception("refuting: partition %d could not be searched for %s", partition, self.rumor.rumor_id)
                self._put(Failed(partition, error))

    def _search(self, partition: int, path: Path) -> None:
        index = ItemIndex(path, reading=True)
        try:
            for kept, how in search(index, self.rumor, self._make, self._policy, self._now()):
                if not self._put(Found(partition, kept, how)):
                    return
            self._put(Swept(partition))
        finally:
            index.close()

    def _put(self, found: Found | Swept | Failed) -> bool:
        while not self._ended.is_set():
            try:
                self._queue.put(found, timeout=LOOK_S)
                return True
            except Full:
                continue
        return False
