"""What a worker holds of the hash bank: parts, and which of their entries are in force."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from agents.review import multihash
from agents.review.bank_columns import INACTIVE, Columns, Part, merged, packed
from schemas.bank import HashEntry

#: Frames, or entries, in a run of the tail that is still added to: putting one more into it costs a millisecond.
RUN = 4096

Ident = tuple[int, int]


class Hits(NamedTuple):
    """Queries and the frames of entries in force that are within the distance of them."""

    query: multihash.Numbers
    distance: NDArray[np.uint16]
    row: multihash.Numbers
    entry: multihash.Numbers
    held: Held


class Held:
    """A part, and which of its entries are in force here."""

    def __init__(self, columns: Columns, in_force: NDArray[np.bool_] | None = None) -> None:
        self.columns = columns
        self.in_force = np.ones(columns.entries, np.bool_) if in_force is None else in_force
        self.frames = self._frames(self.in_force)  # of entries in force

    @staticmethod
    def nothing() -> Held:
        """A part without entries."""
        return Held(packed([]))

    @property
    def rows(self) -> int:
        """Frames, those of entries that are not in force among them."""
        return self.columns.rows

    @property
    def size(self) -> int:
        """Frames or entries, whichever are more."""
        return max(self.columns.rows, self.columns.entries)

    @property
    def nbytes(self) -> int:
        """What it takes."""
        return self.columns.nbytes + self.in_force.nbytes

    def part(self) -> Part:
        """What is in force now; later changes don't show in it."""
        return Part(self.columns, self.in_force.copy())

    def place(self, entry_id: str, key: int) -> int | None:
        """Where the entry with this id is, if it is in force."""
        place = self.columns.number(entry_id, key)
        return place if place is not None and self.in_force[place] else None

    def ident(self, place: int) -> Ident:
        """What tells this row of the entry from others."""
        one, other = self.columns.ident[place].tolist()
        return one, other

    def take_up(self, entry_id: str, key: int, ident: Ident) -> bool:
        """Put an entry into force that is here already, as another worker wrote it or from an earlier run."""
        place = self.columns.number(entry_id, key)
        if place is None or self.ident(place) != ident:
            return False
        self._set(place, True)
        return True

    def drop(self, place: int) -> None:
        """Put an entry out of force."""
        self._set(place, False)

    def _set(self, place: int, in_force: bool) -> None:
        if self.in_force[place] != in_force:
            self.in_force[place] = in_force
            count = int(self.columns.first[place + 1]) - int(self.columns.first[place])
            self.frames += count if in_force else -count

    def keep(self, entries: NDArray[np.bool_]) -> None:
        """Put all but these out of force."""
        self.in_force &= entries
        self.frames = self._frames(self.in_force)

    def _frames(self, entries: NDArray[np.bool_]) -> int:
        return int(np.diff(self.columns.first.astype(np.int64))[entries].sum())

    def near(
        self, queries: multihash.Words, distance: int, sure: int | None, min_quality: int, now: datetime | None
    ) -> Hits:
        """What matches: frames with enough detail of entries that are in force, on and not expired."""
        found = self.columns.near(queries, distance, sure)
        entry = self.columns.entry_of(found.row)
        kept = self.in_force[entry] & (self.columns.quality[found.row] >= min_quality)
        kept &= (self.columns.flags[entry] & INACTIVE) == 0
        if now is not None:
            kept &= self.columns.expires[entry] > now.timestamp()
        return Hits(found.query[kept], found.distance[kept], found.row[kept], entry[kept], self)


class Tail:
    """What came last, in runs that are searched one frame after another."""

    def __init__(self) -> None:
        #: By numbers that are not used again, in order.
        self._runs: dict[int, Held] = {}
        self._next = 0
        #: Entry id → the run it was put into last, which may be gone by now.
        self._where: dict[str, int] = {}
        self._fresh: dict[str, tuple[HashEntry, Ident]] = {}
        self._fresh_rows = 0
        #: Runs before this number are read by a merge, and are not put into.
        self._sealed = 0
        #: Frames, those of entries that are not in force among them.
        self.rows = 0

    def __iter__(self) -> Iterator[Held]:
        return iter(self._runs.values())

    def add(self, entry: HashEntry, ident: Ident) -> None:
        """Take in an entry of which no row is in force."""
        self._fresh[entry.entry_id] = entry, ident
        self._fresh_rows += len(entry.frames)
        self.rows += len(entry.frames)
        if self._fresh_rows > RUN or len(self._fresh) > RUN:
            self.pack()

    def fresh(self, entry_id: str) -> Ident | None:
        """The entry, if it is not in a run yet."""
        found = self._fresh.get(entry_id)
        return found[1] if found else None

    def drop(self, entry_id: str) -> None:
        """Take out an entry that is not in a run yet."""
        entry, _ = self._fresh.pop(entry_id)
        self._fresh_rows -= len(entry.frames)
        self.rows -= len(entry.frames)

    def run_of(self, entry_id: str) -> Held | None:
        """The run that the entry lies in, in force or not."""
        number = self._where.get(entry_id)
        return None if number is None else self._runs.get(number)

    def pack(self) -> None:
        """Put what is not in a run yet into the last one, unless that is sealed or large; then into another."""
        if not self._fresh:
            return
        run, ids = packed(self._fresh.values()), list(self._fresh)
        self._fresh, self._fresh_rows = {}, 0
        last = next(reversed(self._runs), None)
        if last is not None and last >= self._sealed and self._runs[last].size < RUN:
            former = self._runs.pop(last)
            self.rows -= former.rows - former.frames  # what is not in force is left out
            ids += [former.columns.about(place).entry_id for place in np.flatnonzero(former.in_force).tolist()]
            run = merged([former.part(), Part(run, np.ones(run.entries, np.bool_))], searched=False)
        self._runs[self._next] = Held(run)
        self._where.update(dict.fromkeys(ids, self._next))
        self._next += 1

    def append(self, part: Part) -> None:
        """Take in entries that are in force nowhere else."""
        if part.taken.any():
            run = Held(merged([part], searched=False))
            self._where.update((run.columns.about(place).entry_id, self._next) for place in range(run.columns.entries))
            self._runs[self._next] = run
            self._next += 1
            self.rows += run.rows

    def seal(self) -> list[Part]:
        """All that is there, which stays as it is but for what is in force."""
        self.pack()
        self._sealed = self._next
        return [run.part() for run in self]

    def unseal(self) -> None:
        """Nobody reads what was sealed any more."""
        self._sealed = 0

    def leave_out(self, covered: Sequence[NDArray[np.bool_]]) -> None:
        """Leave out what a merge has taken from each of the runs that were sealed."""
        for number, gone in zip([number for number in self._runs if number < self._sealed], covered, strict=True):
            run = self._runs[number]
            run.keep(~gone)
            if not run.in_force.any():
                self.rows -= run.rows
                del self._runs[number]
        self.unseal()
        self._where = {entry_id: number for entry_id, number in self._where.items() if number in self._runs}
