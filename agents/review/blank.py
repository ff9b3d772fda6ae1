"""The blank detector: how much of an item is black and silent, and so cannot be reviewed at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from schemas.signals import Signal
from streams.extraction.detector import Detector, Findings, Frame, Part, Source

#: Mean brightness (0 to 255) under which a frame shows nothing: limited-range black is 16, coding noise adds a little.
BLACK = 20.0
#: …unless something in it stands out: brightness of the 99th percentile that still counts as nothing.
BLACK_PEAK = 40.0
#: RMS under which sound says nothing: -60 dB of full scale, below the noise floor of a phone's microphone.
SILENT_RMS = 1e-3
#: Samples of sound that are silent or not together: 32 ms, shorter than a syllable.
WINDOW = 512


def is_black(brightness: NDArray[np.uint8]) -> bool:
    """Whether a picture of so bright points shows nothing."""
    # The mean first: it costs a fiftieth of the other, and of most pictures it says enough.
    return bool(brightness.mean() < BLACK and np.percentile(brightness, 99) < BLACK_PEAK)


class BlankDetector(Detector):
    """Signal `blank`: the lesser of the shares of black frames and of silent sound (one that is absent is blank)."""

    name = "blank"
    version = "1"
    wants_frames = True
    wants_sound = True

    def open(self, source: Source) -> None:
        """Forget the former item."""
        self._frames = self._black = 0
        self._samples = self._silent = 0

    def see(self, frames: Sequence[Frame]) -> None:
        """Count black frames."""
        for frame in frames:
            self._frames += 1
            red, green, blue = (frame.rgb[..., channel] for channel in range(3))
            # Thirty times as fast as the maximum along the last axis.
            self._black += is_black(np.maximum(np.maximum(red, green), blue))

    def hear(self, samples: NDArray[np.float32], at_s: float) -> None:
        """Count silent samples, a window at a time."""
        self._samples += len(samples)
        for begin in range(0, len(samples), WINDOW):
            window = samples[begin : begin + WINDOW]
            if float(np.sqrt(np.mean(np.square(window)))) < SILENT_RMS:
                self._silent += len(window)

    def findings(self) -> Findings:
        """The share that is blank."""
        return _found({"frames": self._frames, "black": self._black, "samples": self._samples, "silent": self._silent})

    @classmethod
    def merge(cls, parts: Sequence[Part]) -> Findings:
        """The share of the whole: stretches weigh as much as there is in them."""
        tally = dict.fromkeys(("frames", "black", "samples", "silent"), 0.0)
        for part in parts:
            for name in tally:
                tally[name] += part.findings.tally[name]
        return _found(tally)


def _found(tally: Mapping[str, float]) -> Findings:
    black = tally["black"] / tally["frames"] if tally["frames"] else 1.0
    silent = tally["silent"] / tally["samples"] if tally["samples"] else 1.0
    return Findings((Signal(name="blank", detector=BlankDetector.name, score=min(black, silent)),), tally=tally)
