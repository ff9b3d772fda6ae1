"""The stretches detector: where an item shows nothing, does not move, says nothing, or is as loud as it can be."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from agents.review.blank import SILENT_RMS, is_black
from schemas.signals import Evidence, Signal
from streams.extraction.detector import SOUND_RATE, Detector, Findings, Frame, Part, Source

#: A stretch shorter than this, in seconds, is a cut, a fade or a pause: half of what a short clip lasts.
LEAST_S = 2.0
#: Mean difference of two frames (0 to 255) under which the picture stands still: coding noise stays below 1.
STILL = 1.0
#: Share of full scale from which a window is at its peak, as sound is that was made as loud as possible.
PEAK = 0.98
#: Samples that are judged together: an eighth of a second, of which the sound that is handed on is a multiple.
WINDOW = 2048
#: Stretches named as evidence, the longest: enough for a reviewer to go to.
MOST_EVIDENCE = 20
#: Windows of the whole item apart at most, in seconds, that make one stretch: what a cut between two readings may lose.
JOINED_S = 0.25


class _Runs:
    """Stretches in which something holds, from one observation to the next."""

    def __init__(self) -> None:
        self.total_s = self.length_s = 0.0
        self.longest: list[tuple[float, float]] = []
        self._begun_s: float | None = None
        self._last_s = 0.0

    def add(self, at_s: float, until_s: float, holds: bool) -> None:
        """Between these times it holds, or does not."""
        if at_s < self._last_s - JOINED_S:  # another track begins
            self.close()
        self.length_s += until_s - at_s
        self._last_s = until_s
        if holds and self._begun_s is None:
            self._begun_s = at_s
        elif not holds:
            self.close(at_s)

    def close(self, at_s: float | None = None) -> None:
        """A stretch ends here, if there is one."""
        begun_s, self._begun_s = self._begun_s, None
        until_s = self._last_s if at_s is None else at_s
        if begun_s is not None and until_s - begun_s >= LEAST_S:
            self.total_s += until_s - begun_s
            self.longest = sorted([*self.longest, (begun_s, until_s)], key=lambda one: one[0] - one[1])[:MOST_EVIDENCE]


class StretchesDetector(Detector):
    """Signals `black`, `frozen`, `silent` and `loud`: the share of the item, with its longest stretches as evidence."""

    name = "stretches"
    version = "1"
    wants_frames = True
    wants_sound = True
    colour = "grey"
    #: Enough to tell a still picture from one that moves.
    side = 128

    def open(self, source: Source) -> None:
        """Forget the former item."""
        self._runs = {name: _Runs() for name in ("black", "frozen", "silent", "loud")}
        self._former: dict[int, Frame] = {}

    def see(self, frames: Sequence[Frame]) -> None:
        """Between a frame and the next of its track: black if both are, frozen if they are the same."""
        for frame in frames:
            former = self._former.get(frame.track)
            self._former[frame.track] = frame
            if frame.track or former is None or frame.at_s <= former.at_s:
                continue  # of a second picture the stretches would lie across the first's
            same = former.pixels.shape == frame.pixels.shape
            still = same and float(np.abs(former.pixels.astype(np.int16) - frame.pixels).mean()) < STILL
            black = is_black(former.pixels) and is_black(frame.pixels)
            self._runs["black"].add(former.at_s, frame.at_s, black)
            self._runs["frozen"].add(former.at_s, frame.at_s, still and not black)

    def hear(self, samples: NDArray[np.float32], at_s: float) -> None:
        """Windows that are silent, or at their peak."""
        for begin in range(0, len(samples), WINDOW):
            window = samples[begin : begin + WINDOW]
            from_s, until_s = at_s + begin / SOUND_RATE, at_s + (begin + len(window)) / SOUND_RATE
            self._runs["silent"].add(from_s, until_s, float(np.sqrt(np.mean(np.square(window)))) < SILENT_RMS)
            self._runs["loud"].add(from_s, until_s, float(np.abs(window).max()) >= PEAK)

    def findings(self) -> Findings:
        """The stretches, longest first."""
        tally = {}
        evidence = {}
        for name, runs in self._runs.items():
            runs.close()
            tally[name], tally[f"{name} of"] = runs.total_s, runs.length_s
            evidence[name] = tuple(
                Evidence(at_s=round(begun_s, 3), until_s=round(until_s, 3)) for begun_s, until_s in runs.longest
            )
        return _found(tally, evidence)

    @classmethod
    def merge(cls, parts: Sequence[Part]) -> Findings:
        """Shares of the whole. A stretch that lies across a cut is named as two."""
        tally: dict[str, float] = {}
        evidence: dict[str, tuple[Evidence, ...]] = {}
        for part in parts:
            for name, seconds in part.findings.tally.items():
                tally[name] = tally.get(name, 0.0) + seconds
            for signal in part.findings.signals:
                evidence[signal.name] = (*evidence.get(signal.name, ()), *signal.evidence)
        return _found(tally, {name: _longest(found) for name, found in evidence.items()})


def _longest(found: Sequence[Evidence]) -> tuple[Evidence, ...]:
    return tuple(sorted(found, key=lambda one: (one.at_s or 0.0) - (one.until_s or 0.0))[:MOST_EVIDENCE])


def _found(tally: dict[str, float], evidence: dict[str, tuple[Evidence, ...]]) -> Findings:
    signals = tuple(
        Signal(
            name=name,
            detector=StretchesDetector.name,
            score=min(1.0, tally[name] / tally[f"{name} of"]),
            evidence=evidence.get(name, ()),
        )
        for name in ("black", "frozen", "silent", "loud")
        if tally.get(name)
    )
    return Findings(signals, tally=tally)
