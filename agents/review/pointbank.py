"""Which entries of the hash bank show what a frame's points show.

Corners vote for frames of the bank by keys that they share (`agents.review.pointkeys`), and the few with most votes are
compared in full. Most entries lie in a file that all workers of a machine map; what came since lies in this process's
memory, until one worker writes all of it into a new file, in a thread, and every worker takes that up. As with hashes,
the topic alone is the truth: a file that is missing, damaged or old costs time and nothing else.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from time import monotonic
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from agents.review import point_file
from agents.review.aside import Aside
from agents.review.bank_columns import NEVER, ident_of
from agents.review.mapped_file import Damaged, clear, locked, stamp
from agents.review.point_file import Described, PointFile, Shown
from agents.review.pointkeys import Keys, Table, keys_of, votes
from agents.review.points import BANK_POINTS, Comparer, Points, unpacked
from schemas.bank import HashEntry
from schemas.signals import FramePoints

log = logging.getLogger(__name__)

#: The file's name in the folder.
FILE = "points.index"
#: Votes of a frame of the bank from which it is compared, and how many are compared at most, those with most votes.
LEAST_VOTES, MOST_COMPARED = 0.5, 12
#: Frames of the bank that came since the tables were made, and are compared one by one (0.3 ms each) until then.
MOST_NEW = 32
#: How many times as large a table may be as what is new and is still made anew with it.
GROWTH = 4
#: Frames in this process's memory from which all are written into a new file, 17 MB, or so large a part of the file's.
MOST_OWN, OWN_SHARE = 1_000, 0.25
#: How often a worker looks for a new file, and whether it may write one; after a failure, say of a full disk, it waits.
LOOK_S, RETRY_S = 0.5, 60.0
#: Points that agree from which a frame counts at all.
LEAST_AGREEING = 6


class Copy(NamedTuple):
    """A frame of an item that shows what a frame of an entry shows."""

    entry_id: str
    at_s: float
    bank_at_s: float
    #: Points that agree.
    points: int
    known_good: bool = False


class _Entry:
    """What is kept of an entry besides its points. Two are never equal: one that came anew replaces the former."""

    __slots__ = ("entry_id", "expires", "ident", "known_good")

    def __init__(self, entry_id: str, ident: point_file.Ident, known_good: bool, expires: float) -> None:
        self.entry_id, self.ident, self.known_good, self.expires = entry_id, ident, known_good, expires


class _Known(NamedTuple):
    entry: _Entry
    frame: Shown


class _Tables(NamedTuple):
    """Sorted keys, one table after the other, and the number of the frame of each."""

    frames: tuple[_Known, ...]
    keys: tuple[Keys, ...]
    owners: tuple[NDArray[np.int32], ...]


class _Base(NamedTuple):
    """A file, and which of its entries are in force here."""

    file: PointFile
    in_force: NDArray[np.bool_]


class PointBank:
    """Frames of entries with points. Changed by one thread, asked by others."""

    def __init__(self, entries: Iterable[HashEntry] = (), *, folder: Path | None = None) -> None:
        """`folder`: where the file lies that workers of a machine share; it is made if it is not there."""
        self._lock = threading.Lock()
        #: Held while tables are made, which takes seconds for many frames: nobody who changes entries waits for it.
        self._making = threading.Lock()
        #: Those that are not in the file.
        self._entries: dict[str, _Entry] = {}
        self._new: list[_Known] = []
        #: From large to small.
        self._parts: list[_Tables] = []
        self._file = folder / FILE if folder else None
        self._stamp = None
        self._aside: Aside[PointFile | None] = Aside("points")
        self._look_at = 0.0
        base = point_file.nothing()
        if self._file:
            self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._stamp = stamp(self._file)
            base = (_read(self._file) if self._stamp else None) or base
        self._base = _Base(base, np.zeros(base.entries, np.bool_))
        for entry in entries:
            self.put(entry.entry_id, entry)

    def __len__(self) -> int:
        """Entries."""
        return len(self._entries) + int(self._base.in_force.sum())

    @property
    def nbytes(self) -> tuple[int, int]:
        """What points and tables take: shared with the other workers of the machine, and of this process alone."""
        with self._lock:
            known, tables = [*self._new, *(one for part in self._parts for one in part.frames)], tuple(self._parts)
            shared = self._base.file.nbytes
        own = sum(one.frame.points.codes.nbytes + one.frame.points.places.nbytes for one in known)
        return shared, own + sum(array.nbytes for part in tables for array in (*part.keys, *part.owners))

    def put(self, entry_id: str, entry: HashEntry | None) -> None:
        """Take up an entry in place of the former one of that id. None: there is no such entry any more."""
        frames: list[Shown] = []
        if entry is not None and entry.points and entry.active:
            frames = [Shown(frame.at_s, unpacked(frame, BANK_POINTS)) for frame in entry.points]
        ident = ident_of(entry) if entry is not None and frames else None
        with self._lock:
            self._entries.pop(entry_id, None)
            if (former := self._base.file.number(entry_id)) is not None:
                self._base.in_force[former] = False
            if entry is None or ident is None:
                return
            if (place := self._base.file.number(entry_id, ident)) is not None:
                self._base.in_force[place] = True
                return
            expires = entry.expires_at.timestamp() if entry.expires_at else NEVER
            kept = self._entries[entry_id] = _Entry(entry_id, ident, entry.kind == "known_good", expires)
            self._new += [_Known(kept, frame) for frame in frames]

    def find(self, frames: Sequence[FramePoints], now: datetime) -> list[Copy]:
        """For each frame and each entry that it shows, the frame of the entry that agrees best."""
        if not len(self):
            return []
        self._make(now)
        with self._lock:
            base, parts, new, entries = self._base, tuple(self._parts), tuple(self._new), dict(self._entries)
        compare = Comparer()
        best: dict[tuple[str, float], Copy] = {}
        for frame in frames:
            query = unpacked(frame)
            for known in (*_candidates(base, parts, entries, query, now), *_in_force(new, entries, now)):
                agreeing = compare.agreeing(query, known.frame.points)
                if agreeing < LEAST_AGREEING:
                    continue
                key = known.entry.entry_id, frame.at_s
                if key not in best or best[key].points < agreeing:
                    best[key] = Copy(*key, known.frame.at_s, agreeing, known.entry.known_good)
        return list(best.values())

    def settle(self, now: datetime) -> None:
        """Wait until all that is due lies in the file: for measures, and tools that have no other work meanwhile."""
        while True:
            self._look_at = 0.0
            self._make(now)
            if not self._aside.busy:
                return
            self._aside.wait()

    def _make(self, now: datetime) -> None:
        """Take up a file, or begin what is due of it. Make a table of what is new, and one of it and of those that are
        not much larger: each frame is sorted anew a few times only."""
        with self._making:
            if self._file:
                self._maintain(self._file, now)
            with self._lock:
                count = len(self._new)
                frames, parts = list(self._new), list(self._parts)
                if count <= MOST_NEW:
                    return
            while parts and len(parts[-1].frames) < GROWTH * len(frames):
                frames = [*parts.pop().frames, *frames]
            made = _tables(list(_in_force(frames, self._entries, now)))
            with self._lock:
                self._parts, self._new = [*parts, made], self._new[count:]

    def _maintain(self, file: Path, now: datetime) -> None:
        if self._aside.ended:
            try:
                made = self._aside.taken()
            except OSError as error:
                log.error("points of the hash bank could not be written; they stay in memory: %s", error)
                self._look_at = monotonic() + RETRY_S
                return
            self._stamp = stamp(file)
            if made is not None:
                self._take_up(made)
        if self._aside.busy or monotonic() < self._look_at:
            return
        self._look_at = monotonic() + LOOK_S
        if (found := stamp(file)) not in (None, self._stamp):
            self._stamp = found
            self._aside.begin(lambda: _read(file))
        elif self._own() > max(MOST_OWN, OWN_SHARE * self._base.file.frames) and (lock := locked(file)) is not None:
            with self._lock:
                described = list(self._described(now))
            self._aside.begin(lambda: _written(file, lock, described))

    def _own(self) -> int:
        return len(self._new) + sum(len(part.frames) for part in self._parts)

    def _described(self, now: datetime) -> Iterator[Described]:
        """All that is in force."""
        frames: dict[str, list[Shown]] = {}
        for known in (*(one for part in self._parts for one in part.frames), *self._new):
            if self._entries.get(known.entry.entry_id) is known.entry:
                frames.setdefault(known.entry.entry_id, []).append(known.frame)
        for entry_id, shown in frames.items():
            entry = self._entries[entry_id]
            if entry.expires > now.timestamp():
                yield Described(entry_id, entry.ident, entry.known_good, entry.expires, shown)
        file, in_force = self._base
        for number in np.flatnonzero(in_force & (file.expires > now.timestamp())).tolist():
            yield file.described(number)

    def _take_up(self, file: PointFile) -> None:
        """Let a new file stand for the former one, and for what it holds of this process's memory."""
        with self._lock:
            before, in_force = self._base, np.zeros(file.entries, np.bool_)
            lost: list[Described] = []
            for number in np.flatnonzero(before.in_force).tolist():
                one, other = before.file.ident[number].tolist()
                if (place := file.number(before.file.entry_id(number), (one, other))) is not None:
                    in_force[place] = True
                else:
                    lost.append(before.file.described(number))
            for entry_id, entry in list(self._entries.items()):
                if (place := file.number(entry_id, entry.ident)) is not None:
                    in_force[place] = True
                    del self._entries[entry_id]
            own = (*(one for part in self._parts for one in part.frames), *self._new)
            kept = [one for one in own if self._entries.get(one.entry.entry_id) is one.entry]
            for gone in lost:  # another worker's file need not have all that this one's had
                entry = self._entries[gone.entry_id] = _Entry(gone.entry_id, *gone[1:4])
                kept += [_Known(entry, frame) for frame in gone.frames]
            self._base, self._parts, self._new = _Base(file, in_force), [], kept
        log.info("points of the hash bank: %d frames in the file, %d in memory", file.frames, len(kept))


def _read(file: Path) -> PointFile | None:
    """What lies in the file; a damaged one is removed, so that it is written again."""
    try:
        return point_file.opened(file)
    except Damaged as damage:
        log.error("%s is damaged and is made again from the topic: %s", file, damage)
        file.unlink(missing_ok=True)
    except FileNotFoundError:
        pass
    return None


def _written(file: Path, lock: int, described: Sequence[Described]) -> PointFile:
    try:
        clear(file)
        return point_file.written(file, described)
    finally:
        os.close(lock)


def _in_force(known: Iterable[_Known], entries: dict[str, _Entry], now: datetime) -> Iterator[_Known]:
    moment = now.timestamp()
    return (one for one in known if entries.get(one.entry.entry_id) is one.entry and one.entry.expires > moment)


def _tables(frames: Sequence[_Known]) -> _Tables:
    if not frames:
        return _Tables((), (), ())
    owners = np.repeat(np.arange(len(frames), dtype=np.int32), [len(one.frame.points.codes) for one in frames])
    keys, sorted_owners = [], []
    for of_table in keys_of(np.concatenate([one.frame.points.codes for one in frames])):
        order = np.argsort(of_table, kind="stable")
        keys.append(of_table[order])
        sorted_owners.append(owners[order])
    return _Tables(tuple(frames), tuple(keys), tuple(sorted_owners))


def _candidates(
    base: _Base, parts: Sequence[_Tables], entries: dict[str, _Entry], query: Points, now: datetime
) -> Iterator[_Known]:
    """The frames of the bank with most votes."""
    if not len(query.codes):
        return iter(())
    wanted = keys_of(query.codes)
    found: list[tuple[float, _Known]] = []
    for tables in parts:
        if tables.frames:
            counted = votes(len(tables.frames), wanted, list(map(_spans_and_owners, tables.keys, tables.owners)))
            found += [(counted[place], tables.frames[place]) for place in _most(counted)]
    own = [(count, known) for count, known in found if next(_in_force([known], entries, now), None)]
    every = sorted([*_of_file(base, wanted, now), *own], key=lambda one: -one[0])
    return (known for _, known in every[:MOST_COMPARED])


def _of_file(base: _Base, wanted: Keys, now: datetime) -> Iterator[tuple[float, _Known]]:
    file = base.file
    if not base.in_force.any():
        return
    counted = file.votes(wanted)
    held = base.in_force & (file.expires > now.timestamp())
    first = file.first.astype(np.int64)
    counted *= np.repeat(held, first[1:] - first[:-1])
    for frame in _most(counted):
        entry = file.entry_of(frame)
        one, other = file.ident[entry].tolist()
        kept = _Entry(file.entry_id(entry), (one, other), bool(file.known_good[entry]), float(file.expires[entry]))
        yield counted[frame], _Known(kept, file.shown(frame))


def _most(counted: NDArray[np.float64]) -> list[int]:
    most = np.argsort(-counted, kind="stable")[:MOST_COMPARED]
    return [place for place in most.tolist() if counted[place] >= LEAST_VOTES]


def _spans_and_owners(sorted_keys: Keys, owners: NDArray[np.int32]) -> Table:
    def spans(keys: Keys) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        return np.searchsorted(sorted_keys, keys, "left"), np.searchsorted(sorted_keys, keys, "right")

    return spans, owners
