"""Merging the parts of the hash bank in a thread of its own, and reading what another worker has merged.

Who writes the file holds a lock beside it; the system lets go of it when a process dies, and whoever holds it next
removes what was left half-written.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agents.review.aside import NICER
from agents.review.bank_columns import Columns, Part, merged
from agents.review.bank_file import opened, written
from agents.review.bank_parts import Held
from agents.review.mapped_file import Damaged, Stamp, clear, locked, stamp

log = logging.getLogger(__name__)

#: After a failure, say of a full disk, nothing is merged for so long.
RETRY_S = 60.0

Kind = Literal["base", "mid", "read"]


class Snapshot(NamedTuple):
    """The parts as they were when a merge began."""

    base: Part
    mid: Part
    runs: Sequence[Part]

    @property
    def all(self) -> tuple[Part, ...]:
        """Base, mid, and all runs."""
        return self.base, self.mid, *self.runs


class Job(NamedTuple):
    """What a merge has made. What was in force when it began is so in it."""

    kind: Kind
    made: Held
    #: Entries of each part of the snapshot that it holds.
    covered: Sequence[NDArray[np.bool_]]
    #: Of the former base, what it does not hold: another worker's file may lack what that one had.
    lost: Held
    seconds: float


class Merging:
    """One merge at a time, in a thread."""

    def __init__(self, file: Path | None, refused: Callable[[], None]) -> None:
        """`file`: what workers of a machine share; `refused` is called for each file that is damaged."""
        self._file = file
        self._refused = refused
        self._thread: threading.Thread | None = None
        self._result: Job | None = None
        self._stop = threading.Event()
        self._known: Stamp | None = None
        self._not_before = 0.0

    @property
    def busy(self) -> bool:
        """Whether a merge is under way, or one that has ended was not taken up."""
        return self._thread is not None

    def first(self) -> Columns | None:
        """What the file holds at the start."""
        if self._file is None:
            return None
        self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._known = stamp(self._file)
        return self._read() if self._known else None

    def begin_read(self, snapshot: Callable[[], Snapshot]) -> bool:
        """Begin to read the file, if it is another than before."""
        if self._file is None or monotonic() < self._not_before or (found := stamp(self._file)) in (None, self._known):
            return False
        self._known = found
        self._begin("read", self._read, snapshot())
        return True

    def begin_base(self, snapshot: Callable[[], Snapshot]) -> bool:
        """Begin to merge everything into the file (or in memory, if there is none), unless another worker does."""
        if monotonic() < self._not_before:
            return False
        if self._file is None:
            parts = snapshot()
            self._begin("base", lambda: merged(parts.all, ended=self._stop.is_set), parts)
            return True
        lock = locked(self._file)
        if lock is None:
            return False
        parts = snapshot()
        self._begin("base", lambda: self._write(parts, lock), parts)
        return True

    def begin_mid(self, snapshot: Callable[[], Snapshot]) -> None:
        """Begin to merge what is not in the file yet, in memory."""
        parts = snapshot()
        self._begin("mid", lambda: merged([parts.mid, *parts.runs], ended=self._stop.is_set), parts)

    @property
    def ended(self) -> bool:
        """Whether a merge has ended that was not taken up."""
        return self._thread is not None and not self._thread.is_alive()

    def done(self) -> Job | None:
        """What the merge that has ended has made; None if it made nothing. The next one may begin."""
        job, self._thread, self._result = self._result, None, None
        return job

    def wait(self) -> None:
        """Wait until the merge under way has ended."""
        if self._thread:
            self._thread.join()

    def stop(self) -> None:
        """End the merge under way."""
        self._stop.set()
        self.wait()

    def _begin(self, kind: Kind, make: Callable[[], Columns | None], parts: Snapshot) -> None:
        # A daemon, so that a process that ends does not wait for it.
        self._thread = threading.Thread(target=self._run, args=(kind, make, parts), name="hash bank", daemon=True)
        self._thread.start()

    def _run(self, kind: Kind, make: Callable[[], Columns | None], parts: Snapshot) -> None:
        begun = monotonic()
        try:
            with contextlib.suppress(OSError):  # of this thread alone, on Linux
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICER)
            if (made := make()) is not None:
                in_force, covered = _compared(made, parts)
                lost = Held(parts.base.columns, parts.base.taken & ~covered[0]) if kind == "read" else Held.nothing()
                self._result = Job(kind, Held(made, in_force), covered, lost, monotonic() - begun)
        except InterruptedError:
            log.info("a merge of the hash bank was ended")
        except Exception:
            self._not_before = monotonic() + RETRY_S
            log.exception("the hash bank could not be merged; it goes on as it is, and is tried again in %d s", RETRY_S)

    def _write(self, parts: Snapshot, lock: int) -> Columns:
        assert self._file is not None
        try:
            clear(self._file)
            made = written(self._file, parts.all, self._stop.is_set)
            self._known = stamp(self._file)
            return made
        finally:
            os.close(lock)

    def _read(self) -> Columns | None:
        """What lies in the file; a damaged one is removed, so that it is written again."""
        assert self._file is not None
        try:
            return opened(self._file)
        except Damaged as damage:
            log.error("%s is damaged and is made again from the topic: %s", self._file, damage)
            self._refused()
            self._file.unlink(missing_ok=True)
        except FileNotFoundError:
            pass
        return None


def _compared(made: Columns, parts: Snapshot) -> tuple[NDArray[np.bool_], list[NDArray[np.bool_]]]:
    """Which entries of the new part are in force in the others, and which of the others it holds."""
    in_force = np.zeros(made.entries, np.bool_)
    covered = []
    for columns, taken in parts.all:
        here = np.zeros(columns.entries, np.bool_)
        if columns.entries and made.entries:
            place = np.minimum(np.searchsorted(made.keys, columns.keys), made.entries - 1)
            # Two ids of one key are as good as never; the second of them is then merged once more than it must be.
            same = taken & (made.keys[place] == columns.keys) & (made.ident[place] == columns.ident).all(axis=1)
            in_force[place[same]] = True
            here = same
        covered.append(here)
    return in_force, covered
