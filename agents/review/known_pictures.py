"""Known pictures: what an item's points agree with in the hash bank, said as signals `copy`.

The comparison is made in extraction's worker, since points are too large to be sent on: 27 kilobytes a frame.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar

from agents.review.bank_rows import bank_of
from agents.review.copied import COPY, FULL
from agents.review.pointbank import Copy, PointBank
from agents.review.sequence import stretches
from schemas.plan import Why
from schemas.policy import Policy
from schemas.signals import Evidence, Signal
from schemas.topics import HASHBANK
from streams.extraction.read import Reading
from streams.extraction.trigger import Trigger
from streams.views import View

#: Entries that are named at most, those with most points.
MOST_ENTRIES = 20


class KnownPictures(Trigger):
    """Compares every reading, and never asks for another: what its frames show is known at the first."""

    why: ClassVar[Why] = "near_miss"

    def __init__(self, views: Mapping[str, View[Any]]) -> None:
        super().__init__(views)
        view = views[HASHBANK.name]
        self._bank = PointBank(view.rows.values(), folder=bank_of(view).folder)
        view.listen(lambda key, _, row: self._bank.put(key, row))

    def fires(self, reading: Reading, policy: Policy, now: datetime) -> bool:
        """Never."""
        return False

    def signals(self, reading: Reading, policy: Policy, now: datetime) -> tuple[Signal, ...]:
        """For each entry that the item shows, how surely, and where."""
        return told(self._bank.find(reading.points, now))


def told(copies: list[Copy]) -> tuple[Signal, ...]:
    """Copies of banned entries as signals, one for each: the points of its best frame, and its stretches as evidence.

    A frame that shows known good media as well or better, such as an intro that a banned clip begins with, is none.
    """
    good: dict[float, int] = defaultdict(int)
    for copy in copies:
        if copy.known_good:
            good[copy.at_s] = max(good[copy.at_s], copy.points)
    copies = [copy for copy in copies if not copy.known_good and copy.points > good[copy.at_s]]
    best: dict[str, int] = defaultdict(int)
    for copy in copies:
        best[copy.entry_id] = max(best[copy.entry_id], copy.points)
    named = sorted(best, key=lambda entry: (-best[entry], entry))[:MOST_ENTRIES]
    found = stretches(copy for copy in copies if copy.entry_id in named)
    return tuple(
        Signal(
            name=COPY,
            detector="points",
            score=min(1.0, best[entry] / FULL),
            evidence=tuple(
                Evidence(
                    at_s=stretch.at_s,
                    until_s=stretch.until_s,
                    entry=entry,
                    text=f"{best[entry]} points of a frame agree with the entry from {stretch.bank_at_s:.1f} s on",
                )
                for stretch in found
                if stretch.entry_id == entry
            ),
        )
        for entry in named
    )
