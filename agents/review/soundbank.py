"""The sounds of the hash bank, sorted so that an item's are found among them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from msgspec.structs import replace

from agents.review.aside import Aside
from agents.review.chromaprint import ALGORITHM
from agents.review.soundmatch import (
    CODE_BYTES,
    SoundMatch,
    best_of,
    codes_in,
    covers,
    joined,
    least_weight,
    matches,
)
from agents.review.soundsegment import Print, Segment
from schemas.bank import HashEntry
from schemas.signals import SoundPrint

log = logging.getLogger(__name__)

#: Codes in the segment of what was added last, which is sorted anew with the next item: some ten milliseconds.
RECENT = 200_000


class SoundBank:
    """The sounds of the hash bank. For one thread; what is settled is sorted anew in another."""

    def __init__(self, entries: Iterable[HashEntry] = (), *, now: datetime | None = None) -> None:
        #: When an entry expires next, if one does: `expire` is asked for then.
        self.stale_at: datetime | None = None
        self._expires: dict[str, datetime] = {}
        #: What is settled, of which some entries are no longer in force, and what came since; None: to be made.
        self._base = Segment(())
        self._fresh: Segment | None = None
        self._settled, self._gone = set[str](), set[str]()
        self._recent: dict[str, list[Print]] = {}
        self._recent_codes = 0
        self._sorting: Aside[Segment] = Aside("sound bank")
        #: Entries that have changed since that began.
        self._changed = set[str]()
        self._take({entry.entry_id: entry for entry in entries}, now)
        self._sort()
        self._take_up(wait=True)

    def __contains__(self, entry_id: str) -> bool:
        return entry_id in self._recent or (entry_id in self._settled and entry_id not in self._gone)

    def __len__(self) -> int:
        return len(self._base.codes) + self._recent_codes

    @property
    def nbytes(self) -> int:
        """Memory of the index, in bytes."""
        return sum(segment.nbytes for segment in self._segments())

    def update(self, changes: Mapping[str, HashEntry | None], *, now: datetime | None = None) -> None:
        """Take entries in, in place of those of the same id, or out (None)."""
        self._take_up()
        self._take(changes, now)
        if self._recent_codes > max(RECENT, len(self._base.codes) // 8) and not self._sorting.busy:
            self._sort()

    def expire(self, now: datetime) -> None:
        """Take out what has expired."""
        self.update({entry_id: None for entry_id, at in self._expires.items() if at <= now})

    async def settled(self) -> None:
        """Wait until what is sorted anew is in force."""
        await self._sorting.over()
        self._take_up()

    def _take(self, changes: Mapping[str, HashEntry | None], now: datetime | None) -> None:
        for entry_id, entry in changes.items():
            self._recent_codes -= sum(len(one.codes) for one in self._recent.pop(entry_id, ()))
            self._expires.pop(entry_id, None)
            self._changed.add(entry_id)
            if entry_id in self._settled:
                self._gone.add(entry_id)
            if entry is None or not entry.active or (now and entry.expires_at and entry.expires_at <= now):
                continue
            if prints := _prints(entry):
                self._recent[entry_id] = prints
                self._recent_codes += sum(len(one.codes) for one in prints)
                if entry.expires_at:
                    self._expires[entry_id] = entry.expires_at
        if changes:
            self._fresh = None
            self.stale_at = min(self._expires.values(), default=None)

    def _segments(self) -> tuple[Segment, Segment]:
        if self._fresh is None:
            self._fresh = Segment(one for prints in self._recent.values() for one in prints)
        return self._base, self._fresh

    def _sort(self) -> None:
        """Begin to sort all that is in force anew."""
        kept, gone = self._base.prints, frozenset(self._gone)
        recent = [one for prints in self._recent.values() for one in prints]
        self._changed = set()
        self._sorting.begin(lambda: Segment([*(one for one in kept if one.entry.entry_id not in gone), *recent]))

    def _take_up(self, *, wait: bool = False) -> None:
        if not (self._sorting.ended or (wait and self._sorting.busy)):
            return
        try:
            self._base = self._sorting.taken()
        except MemoryError:
            log.exception("banned sounds could not be sorted anew; they are compared as they came")
            return
        self._settled = {one.entry.entry_id for one in self._base.prints}
        self._gone = self._changed & self._settled
        self._recent = {entry_id: prints for entry_id, prints in self._recent.items() if entry_id in self._changed}
        self._recent_codes = sum(len(one.codes) for prints in self._recent.values() for one in prints)
        self._fresh = None

    def match(self, sounds: Sequence[SoundPrint], *, max_errors: float, min_s: float) -> list[SoundMatch]:
        """Stretches of banned sounds of at least so many seconds in which at most so large a share of bits differs, the
        longest first; of one stretch the closest entry's.

        What a known good sound explains as well is none.
        """
        self._take_up()
        base, fresh = self._segments()
        found: list[SoundMatch] = []
        for one in sounds:
            if one.algorithm != ALGORITHM:
                continue
            found += matches(one, base, self._gone)
            found += matches(one, fresh, frozenset())
        least = least_weight(sum(len(one.codes) // CODE_BYTES for one in sounds))
        held = [
            match
            for match in joined(found)
            if match.score >= least and match.errors <= max_errors and match.seconds >= min_s
        ]
        good = [match for match in held if match.entry.kind == "known_good"]
        banned = [
            match for match in held if match.entry.kind == "banned" and not any(covers(other, match) for other in good)
        ]
        return best_of(banned)


def _prints(entry: HashEntry) -> list[Print]:
    # Whether it has pictures is still to be seen.
    slim = replace(entry, frames=entry.frames[:1], sounds=entry.sounds[:1])
    return [Print(slim, one.at_s, one.variant, codes_in(one)) for one in entry.sounds if one.algorithm == ALGORITHM]
