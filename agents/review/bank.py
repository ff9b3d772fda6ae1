"""The hash bank: which known entries an item's frames or its file show.

Entries lie in three parts. What came last is in the tail, some thousand frames that are looked at one after another;
then comes `mid`, in this process's memory with tables to search it; then `base`, in a file that all workers of a
machine map (or in memory, where no folder is named for it). When much has changed, one worker merges all of it into a
new file, in a thread, and every worker takes that up in place of the old one. The topic alone is the truth: a file
holds what entries show, and each worker knows by itself which of them are in force. So a file that is missing, damaged,
old or another pipeline's costs time and nothing else.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable, Iterator, MutableMapping, Sequence
from datetime import datetime
from pathlib import Path
from time import monotonic
from typing import Literal, NamedTuple

import numpy as np

from agents.review import multihash
from agents.review.bank_columns import ident_of, key_of
from agents.review.bank_merging import Job, Merging, Snapshot
from agents.review.bank_parts import Held, Hits, Ident, Tail
from schemas.bank import HashEntry
from schemas.signals import FrameHash

log = logging.getLogger(__name__)

#: The file's name in the folder.
FILE = "hashbank.index"
#: Frames after which the tail is merged into `mid`: to scan so many takes 20 to 50 µs a query.
TAIL_ROWS = 1 << 13
#: Frames after which everything is merged into `base`: fewer take some megabytes in each process.
BASE_ROWS = 1 << 16
#: …or so large a part of what is there already, so that each frame is merged again some five times at most.
GROWTH = 0.25
#: How often a worker looks for a new file, and whether it may write one.
LOOK_S = 0.5
#: A bank that nothing was added to for so long has been read whole, and what it has not put into force is dead.
READ_S = 60.0


class Match(NamedTuple):
    """A frame of the item, and a frame of the bank within the distance."""

    entry_id: str
    category: str
    at_s: float
    bank_at_s: float
    distance: int
    kind: Literal["banned", "known_good"] = "banned"
    bank: str = "default"
    severity: Literal["low", "medium", "high", "highest"] = "high"
    #: How the bank's frame was changed before it was hashed, e.g. mirror.
    variant: str = ""


class Told:
    """Who wants to know how a bank fares; nobody, as it stands here."""

    def holds(self, frames: int, shared_bytes: int, own_bytes: int) -> None:
        """So many frames are in force, in so much memory."""

    def merged(self, kind: str, seconds: float) -> None:
        """A part was made anew, or another worker's was taken up."""

    def refused(self) -> None:
        """A file was damaged. Called in any thread."""


class HashBank(MutableMapping[str, HashEntry]):
    """entry id → entry, as the rows of a view, and what matches them. For one thread."""

    def __init__(
        self, entries: Iterable[HashEntry] = (), *, folder: Path | None = None, told: Told | None = None
    ) -> None:
        """`folder`: where the file lies that workers of a machine share; it is made if it is not there."""
        #: Where the file lies, and others may that are made from the bank.
        self.folder = folder
        self._told = told or Told()
        self._merging = Merging(folder / FILE if folder else None, self._told.refused)
        found = self._merging.first()
        self._base = Held(found, np.zeros(found.entries, np.bool_)) if found else Held.nothing()
        self._mid, self._tail = Held.nothing(), Tail()
        self._count = 0
        self._shared = folder is not None
        #: Ids that have changed since the merge under way began.
        self._changed: set[str] = set()
        self._look_at = self._added_at = 0.0
        for entry in entries:
            self[entry.entry_id] = entry

    # --- The rows of a view.

    def __setitem__(self, key: str, entry: HashEntry) -> None:
        if entry.entry_id != key:
            raise ValueError(f"the entry of {key!r} names another id")
        number, ident = key_of(key), ident_of(entry)
        former = self._ident(key, number)
        if former == ident:
            return  # the same row once more
        if former is not None:
            del self[key]
        self._count += 1
        self._note(key)
        # What is not in force when a merge begins is left out, so nothing is put into force again beneath it.
        if self._merging.busy or not any(held.take_up(key, number, ident) for held in (self._base, self._mid)):
            self._tail.add(entry, ident)
        self._added_at = monotonic()
        if self._tail.rows > TAIL_ROWS:
            self._maintain()

    def __delitem__(self, key: str) -> None:
        if self._tail.fresh(key):
            self._tail.drop(key)
        else:
            held, place = self._found(key, key_of(key))
            held.drop(place)
        self._count -= 1
        self._note(key)

    def __getitem__(self, key: str) -> HashEntry:
        self._tail.pack()
        held, place = self._found(key, key_of(key))
        return held.columns.entry(place)

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self._ident(key, key_of(key)) is not None

    def __iter__(self) -> Iterator[str]:
        self._tail.pack()
        for held in self._parts():
            for place in np.flatnonzero(held.in_force).tolist():
                yield held.columns.about(place).entry_id

    def __len__(self) -> int:
        return self._count

    def _parts(self) -> Iterator[Held]:
        return itertools.chain((self._base, self._mid), self._tail)

    def _found(self, key: str, number: int) -> tuple[Held, int]:
        """Where the entry lies, if it is in force and in a part already. Raises KeyError."""
        for held in (self._tail.run_of(key), self._mid, self._base):
            if held is not None and (place := held.place(key, number)) is not None:
                return held, place
        raise KeyError(key)

    def _ident(self, key: str, number: int) -> Ident | None:
        if fresh := self._tail.fresh(key):
            return fresh
        try:
            held, place = self._found(key, number)
        except KeyError:
            return None
        return held.ident(place)

    def _note(self, key: str) -> None:
        if self._merging.busy:
            self._changed.add(key)

    # --- Matching.

    @property
    def frames(self) -> int:
        """Frames of the entries in force."""
        self._tail.pack()
        return sum(held.frames for held in self._parts())

    @property
    def nbytes(self) -> tuple[int, int]:
        """What it takes: shared with the other workers of the machine, and of this process alone."""
        own = [self._mid, *self._tail, *([] if self._shared else [self._base])]
        return self._base.columns.nbytes if self._shared else 0, sum(held.nbytes for held in own)

    def match(
        self,
        frames: Sequence[FrameHash],
        *,
        max_distance: int,
        min_quality: int,
        now: datetime | None = None,
        sure: int | None = None,
    ) -> list[Match]:
        """For each frame with enough detail, all frames of the bank with enough detail within the distance, the closest
        first.

        Entries that are switched off match nothing, nor do those that have expired by `now`. Known good ones do, and
        say so. With `sure`, all within that distance are found and most of those beyond it, for less work.

        Source of the rule: Meta, "The TMK+PDQF Video-Hashing Algorithm and the PDQ Image-Hashing Algorithm" (2019):
        31 of 256 bits, quality 50 or more on both sides.
        """
        self._maintain()
        usable = [frame for frame in frames if frame.quality >= min_quality]
        if not usable or not self._count:
            return []
        self._tail.pack()
        queries = multihash.words([frame.pdq for frame in usable])
        found: list[tuple[int, Match]] = []
        for held in self._parts():
            found += _named(held.near(queries, max_distance, sure, min_quality, now), usable)
        found.sort(key=lambda pair: (pair[0], pair[1].distance))
        return [match for _, match in found]

    def same_file(self, sha256: str, md5: str | None = None, now: datetime | None = None) -> list[HashEntry]:
        """The entries in force of a file with one of these digests, without their frames."""
        self._maintain()
        self._tail.pack()
        found = [
            held.columns.entry(place, frames=False)
            for held in self._parts()
            for digest in {sha256, md5 or sha256}
            for place in held.columns.with_file(digest)
            if held.in_force[place]
        ]
        return [
            entry
            for entry in {entry.entry_id: entry for entry in found}.values()
            if (entry.sha256 == sha256 or (md5 is not None and entry.md5 == md5))
            and entry.active
            and not (now and entry.expires_at and entry.expires_at <= now)
        ]

    # --- What is merged, and when.

    @property
    def busy(self) -> bool:
        """Whether something is being merged."""
        return self._merging.busy

    def settle(self) -> None:
        """Wait until all that is due has been merged: for measures, and tools that have no other work meanwhile."""
        while True:
            self._look_at = 0.0
            self._maintain()
            if not self._merging.busy:
                return
            self._merging.wait()

    def close(self) -> None:
        """End what is being merged."""
        self._merging.stop()

    def _maintain(self) -> None:
        """Take up what was merged, and begin what is due; seldom more than a look at the clock."""
        if self._merging.busy and self._merging.ended:
            self._take_up(self._merging.done())
        now = monotonic()
        if self._merging.busy or now < self._look_at:
            return
        self._look_at = now + LOOK_S
        self._tell()
        if self._merging.begin_read(self._snapshot) or (
            self._much_changed(now) and self._merging.begin_base(self._snapshot)
        ):
            return
        if self._tail.rows > max(TAIL_ROWS, self._mid.rows * GROWTH):
            self._merging.begin_mid(self._snapshot)

    def _much_changed(self, now: float) -> bool:
        much = max(BASE_ROWS, self._base.rows * GROWTH)
        dead = self._base.rows - self._base.frames
        return self._mid.rows + self._tail.rows > much or (dead > much and now - self._added_at > READ_S)

    def _snapshot(self) -> Snapshot:
        self._changed.clear()
        return Snapshot(self._base.part(), self._mid.part(), self._tail.seal())

    def _take_up(self, job: Job | None) -> None:
        """Let a new part stand for what it was made from, or for another worker's former file."""
        if job is None:
            self._tail.unseal()
            return
        new = job.made
        for key in self._changed:  # what the new part says of these is no longer true
            if (place := new.place(key, key_of(key))) is not None:
                new.drop(place)
        if job.lost.frames > max(BASE_ROWS, new.frames * GROWTH):
            log.warning("another worker's index of the hash bank lacks %d frames, and is not used", job.lost.frames)
            self._tail.unseal()
            return
        self._tail.leave_out(job.covered[2:])
        if job.kind == "mid":
            self._mid = new
        else:
            self._mid.keep(~job.covered[1])
            if not self._mid.in_force.any():  # of entries without frames as well
                self._mid = Held.nothing()
            if job.kind == "read":
                job.lost.keep(self._base.in_force)  # some may have gone meanwhile
                self._tail.append(job.lost.part())
            self._base = new
        log.info("hash bank: %d frames merged (%s) in %.1f s", new.rows, job.kind, job.seconds)
        self._told.merged(job.kind, job.seconds)
        self._tell()

    def _tell(self) -> None:
        self._told.holds(self.frames, *self.nbytes)


def _named(hits: Hits, frames: Sequence[FrameHash]) -> Iterator[tuple[int, Match]]:
    """Each hit with the number of its query."""
    columns = hits.held.columns
    abouts = {entry: columns.about(entry) for entry in np.unique(hits.entry).tolist()}
    at, variant = columns.arrays["at"][hits.row].tolist(), columns.arrays["variant"][hits.row].tolist()
    for query, distance, entry, bank_at_s, changed in zip(
        hits.query.tolist(), hits.distance.tolist(), hits.entry.tolist(), at, variant, strict=True
    ):
        about = abouts[entry]
        yield (
            query,
            Match(
                about.entry_id, about.category, frames[query].at_s, bank_at_s, distance,
                about.kind, about.bank, about.severity, columns.variants[changed],
            ),
        )  # fmt: skip
