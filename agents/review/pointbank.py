"""Which entries of the hash bank show what a frame's points show.

Of each description some bits are taken as a key, in several tables; corners with the same key as one of the frame's
vote for the frame of the bank that they are of (locality-sensitive hashing by sampled bits: Indyk and Motwani,
"Approximate nearest neighbors", STOC 1998). The few with most votes are compared in full. A corner whose description
differs in 40 of 256 bits is found in one of the tables with a chance of 0.32, and a copy has fifty of them.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from agents.review.points import BANK_POINTS, Comparer, Points, unpacked
from schemas.bank import HashEntry
from schemas.signals import FramePoints

#: Tables, and bits of a key in each.
TABLES, KEY_BITS = 8, 18
#: Corners with one key beyond which it tells nothing: sky, letters, what every picture has.
MOST_ALIKE = 200
#: Votes of a frame of the bank from which it is compared, and how many are compared at most, those with most votes. A
#: key has one vote, which the corners of the bank that have it share.
LEAST_VOTES, MOST_COMPARED = 0.5, 12
#: Frames of the bank that came since the tables were made, and are compared one by one (0.3 ms each) until then.
MOST_NEW = 32
#: How many times as large a table may be as what is new and is still made anew with it.
GROWTH = 4
#: Points that agree from which a frame counts at all.
LEAST_AGREEING = 6

_CHOSEN = np.stack([np.random.default_rng(seed).choice(256, KEY_BITS, replace=False) for seed in range(TABLES)])
_POWERS = (1 << np.arange(KEY_BITS)).astype(np.int32)


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

    __slots__ = ("entry_id", "expires_at", "known_good")

    def __init__(self, entry: HashEntry) -> None:
        self.entry_id, self.expires_at = entry.entry_id, entry.expires_at
        self.known_good = entry.kind == "known_good"


class _Known(NamedTuple):
    entry: _Entry
    at_s: float
    points: Points


class _Tables(NamedTuple):
    """Sorted keys, one table after the other, and the number of the frame of each."""

    frames: tuple[_Known, ...]
    keys: tuple[NDArray[np.int32], ...]
    owners: tuple[NDArray[np.int32], ...]


class PointBank:
    """Frames of entries with points. Changed by one thread, asked by another."""

    def __init__(self, entries: Iterable[HashEntry] = ()) -> None:
        self._lock = threading.Lock()
        #: Held while tables are made, which takes seconds for many frames: nobody who changes entries waits for it.
        self._making = threading.Lock()
        self._entries: dict[str, _Entry] = {}
        self._new: list[_Known] = []
        #: From large to small.
        self._parts: list[_Tables] = []
        for entry in entries:
            self.put(entry.entry_id, entry)

    def __len__(self) -> int:
        """Entries."""
        return len(self._entries)

    def put(self, entry_id: str, entry: HashEntry | None) -> None:
        """Take up an entry in place of the former one of that id. None: there is no such entry any more."""
        with self._lock:
            self._entries.pop(entry_id, None)
            if entry is None or not entry.points or not entry.active:
                return
            kept = self._entries[entry_id] = _Entry(entry)
            self._new += [_Known(kept, frame.at_s, unpacked(frame, BANK_POINTS)) for frame in entry.points]

    def find(self, frames: Sequence[FramePoints], now: datetime) -> list[Copy]:
        """For each frame and each entry that it shows, the frame of the entry that agrees best."""
        if not self._entries:
            return []
        self._make(now)
        with self._lock:
            parts, new, entries = tuple(self._parts), tuple(self._new), dict(self._entries)
        compare = Comparer()
        best: dict[tuple[str, float], Copy] = {}
        for frame in frames:
            query = unpacked(frame)
            for known in (*_candidates(parts, query), *new):
                if entries.get(known.entry.entry_id) is not known.entry or _expired(known.entry, now):
                    continue
                agreeing = compare.agreeing(query, known.points)
                if agreeing < LEAST_AGREEING:
                    continue
                key = known.entry.entry_id, frame.at_s
                if key not in best or best[key].points < agreeing:
                    best[key] = Copy(*key, known.at_s, agreeing, known.entry.known_good)
        return list(best.values())

    def _make(self, now: datetime) -> None:
        """Make a table of what is new, and one of it and of those that are not much larger: each frame is sorted anew
        a few times only."""
        with self._making:
            with self._lock:
                count = len(self._new)
                frames, parts = list(self._new), list(self._parts)
                if count <= MOST_NEW:
                    return
            while parts and len(parts[-1].frames) < GROWTH * len(frames):
                frames = [*parts.pop().frames, *frames]
            made = _tables([one for one in frames if self._in_force(one, now)])
            with self._lock:
                self._parts, self._new = [*parts, made], self._new[count:]

    def _in_force(self, known: _Known, now: datetime) -> bool:
        return self._entries.get(known.entry.entry_id) is known.entry and not _expired(known.entry, now)


def _expired(entry: _Entry, now: datetime) -> bool:
    return entry.expires_at is not None and entry.expires_at <= now


def _keys(codes: NDArray[np.uint8]) -> list[NDArray[np.int32]]:
    bits = np.unpackbits(codes, axis=1)
    return [bits[:, chosen].astype(np.int32) @ _POWERS for chosen in _CHOSEN]


def _tables(frames: Sequence[_Known]) -> _Tables:
    if not frames:
        return _Tables((), (), ())
    owners = np.repeat(np.arange(len(frames), dtype=np.int32), [len(one.points.codes) for one in frames])
    keys, sorted_owners = [], []
    for of_table in _keys(np.concatenate([one.points.codes for one in frames])):
        order = np.argsort(of_table, kind="stable")
        keys.append(of_table[order])
        sorted_owners.append(owners[order])
    return _Tables(tuple(frames), tuple(keys), tuple(sorted_owners))


def _candidates(parts: Sequence[_Tables], query: Points) -> list[_Known]:
    """The frames of the bank with most votes."""
    if not len(query.codes):
        return []
    wanted = _keys(query.codes)
    found: list[tuple[float, _Known]] = []
    for tables in parts:
        if tables.frames:
            votes = _votes(tables, wanted)
            most = np.argsort(-votes, kind="stable")[:MOST_COMPARED]
            found += [(votes[place], tables.frames[place]) for place in most if votes[place] >= LEAST_VOTES]
    found.sort(key=lambda one: -one[0])
    return [known for _, known in found[:MOST_COMPARED]]


def _votes(tables: _Tables, wanted: Sequence[NDArray[np.int32]]) -> NDArray[np.float64]:
    """For each frame of the tables, the keys that it shares."""
    votes = np.zeros(len(tables.frames))
    for of_table, keys, owners in zip(wanted, tables.keys, tables.owners, strict=True):
        begin, end = np.searchsorted(keys, of_table, "left"), np.searchsorted(keys, of_table, "right")
        count = end - begin
        told = (count > 0) & (count <= MOST_ALIKE)
        begin, count = begin[told], count[told]
        if len(count):
            steps = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
            named = owners[np.repeat(begin, count) + steps]
            votes += np.bincount(named, weights=np.repeat(1 / count, count), minlength=len(votes))
    return votes
