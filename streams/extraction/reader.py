"""From a fetched item to its reading: in turns, so that a long item holds up neither segments nor short uploads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from time import monotonic
from typing import Protocol

from schemas.plan import Plan
from streams.extraction.detector import Detector
from streams.extraction.read import INDEXED, ExtractFailure, Reading
from streams.extraction.stretches import merged
from streams.extraction.turns import Lane, Turns

#: Seconds of media read in one turn. At a fifteenth of real time that is a turn of four seconds: what a segment waits
#: for at most on a machine with a single decoding process, and few enough turns for what each costs to begin.
STRETCH_S = 60.0
#: The same of containers without an index, which are read from their beginning each time.
STRETCH_UNINDEXED_S = 600.0


class Reads(Protocol):
    """What reads a file in a process of its own; `streams.extraction.pool.Pool`."""

    async def read(self, path: Path, plan: Plan, stretch: tuple[float, float] | None = None) -> Reading:
        """Read it, or a stretch of it."""
        ...


class Reader:
    """Reads items whole, each in as many turns as it is long."""

    def __init__(self, pool: Reads, turns: Turns, kinds: Sequence[type[Detector]], *, timeout_s: float) -> None:
        """`timeout_s`: what one turn may take, and all of them besides as long as the item lasts. An ordinary item
        takes a fraction of its length; one that is made to take turn after turn to its time-out is ended by this."""
        self._pool = pool
        self._turns = turns
        self._kinds = kinds
        self._timeout_s = timeout_s

    async def read(self, path: Path, plan: Plan, lane: Lane) -> Reading:
        """Read a file.

        Raises:
            ExtractFailure: it cannot be read, or not all of it.
        """
        if lane == "segment":  # a few seconds, and nothing may come between
            return await self._turn(path, plan, lane, None)
        parts = [await self._turn(path, plan, lane, (0.0, STRETCH_S))]
        spent_s = 0.0
        # How long it is, it says itself, or its packets do: what there is beyond the stretch is seen by reading on.
        while (from_s := _end(parts[-1])) < parts[-1].media.duration_s:
            length_s = STRETCH_S if parts[0].media.container.startswith(INDEXED) else STRETCH_UNINDEXED_S
            async with self._turns.turn(lane):
                begun = monotonic()
                parts.append(await self._pool.read(path, plan, (from_s, from_s + length_s)))
                spent_s += monotonic() - begun
            if spent_s > (most_s := self._timeout_s + parts[0].media.duration_s):
                raise ExtractFailure("EXTRACT-TIMEOUT", f"reading it took longer than {most_s:.0f} s in all")
        return merged(parts, self._kinds)

    async def _turn(self, path: Path, plan: Plan, lane: Lane, stretch: tuple[float, float] | None) -> Reading:
        async with self._turns.turn(lane):
            return await self._pool.read(path, plan, stretch)


def _end(part: Reading) -> float:
    assert part.stretch, "asked for"
    return part.stretch[1]
