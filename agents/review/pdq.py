"""The PDQ detector: a perceptual hash of every sampled frame, to be matched against the hash bank later."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pdqhash
from numpy.typing import NDArray

from schemas.signals import FrameHash
from streams.extraction.detector import Detector, Findings, Frame, Source

#: Frames this close (bits of 256) to the last one kept add nothing: a still scene is one hash, not a thousand. Far
#: below the matching threshold of 31, so that no match is lost.
SAME_SCENE = 8


def pdq(rgb: NDArray[np.uint8]) -> tuple[str, int]:
    """PDQ of an (h, w, 3) RGB picture: 64 hexadecimal digits, and its quality from 0 to 100."""
    bits, quality = pdqhash.compute(np.ascontiguousarray(rgb))
    return np.packbits(bits.astype(np.uint8)).tobytes().hex(), int(quality)


def distance(one: str, other: str) -> int:
    """Bits in which two hashes differ."""
    return (int(one, 16) ^ int(other, 16)).bit_count()


class PdqDetector(Detector):
    """Hashes frames; gives no signal of its own."""

    name = "pdq"
    version = "pdqhash-512px-2"
    wants_frames = True

    def __init__(self) -> None:
        self._kept: list[FrameHash] = []
        self._last: dict[int, FrameHash] = {}

    def open(self, source: Source) -> None:
        """Forget the former item."""
        self._kept, self._last = [], {}

    def see(self, frames: Sequence[Frame]) -> None:
        """Hash each frame; keep it if it shows something new, or the same in more detail."""
        for frame in frames:
            code, quality = pdq(frame.rgb)
            # A picture that fades in keeps its hash while its quality rises: the better one must not be lost.
            last = self._last.get(frame.track)
            if last is None or quality > last.quality or distance(last.pdq, code) > SAME_SCENE:
                self._last[frame.track] = FrameHash(at_s=frame.at_s, pdq=code, quality=quality)
                self._kept.append(self._last[frame.track])

    def findings(self) -> Findings:
        """The hashes."""
        return Findings(frames=tuple(self._kept))
