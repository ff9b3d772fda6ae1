"""Scores of frames over time: what a model sees in a single frame, and in none beside it, is no finding. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from schemas.signals import Evidence, Signal

#: Frames further apart than this, in seconds, say nothing of one another: twice the widest interval of sampling that
#: ships, and a little.
NEIGHBOURS_S = 5.0


class Scored(NamedTuple):
    """A frame's score as it counts, its time in seconds, and what the model said of this frame alone."""

    score: float
    at_s: float
    alone: float


class Steady:
    """The highest few of an item's scores. Each is the mean of a frame's own and of the higher one of its neighbours':
    a spike counts half, what lasts for two frames counts in full. A frame without neighbours stands for itself."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._top: list[Scored] = []
        self._last: dict[int, tuple[float, float, float | None]] = {}  # track → time, score, the former's score

    def add(self, track: int, at_s: float, score: float) -> None:
        """Take the next frame of a track."""
        last = self._last.get(track)
        former = None
        if last is not None:
            near = 0 <= at_s - last[0] <= NEIGHBOURS_S
            self._settle(last, score if near else None)
            former = last[1] if near else None
        self._last[track] = at_s, score, former

    def top(self) -> list[Scored]:
        """The highest, of all frames that were taken."""
        for last in self._last.values():
            self._settle(last, None)
        self._last = {}
        return self._top

    def _settle(self, frame: tuple[float, float, float | None], following: float | None) -> None:
        at_s, score, former = frame
        beside = [one for one in (former, following) if one is not None]
        counts = (score + max(beside)) / 2 if beside else score
        self._top = sorted([*self._top, Scored(counts, at_s, score)], key=lambda one: -one.score)[: self._most]


def signal_of(name: str, detector: str, top: Sequence[Scored]) -> Signal:
    """The highest score, with the frames that it and the next few come from as evidence."""
    evidence = tuple(
        Evidence(at_s=one.at_s, text=f"score {one.score:.3f}, of this frame alone {one.alone:.3f}") for one in top
    )
    return Signal(name=name, detector=detector, score=top[0].score, evidence=evidence)


def highest(signals: Sequence[Signal], most: int) -> Signal:
    """Of one signal from several stretches the highest score, with the highest few frames of all as evidence."""
    best = max(signals, key=lambda signal: signal.score)
    # Their texts begin with the scores, with as many digits each: the order of the one is that of the other.
    every = sorted((one for signal in signals for one in signal.evidence), key=lambda one: one.text or "", reverse=True)
    return Signal(name=best.name, detector=best.detector, score=best.score, evidence=tuple(every[:most]))
