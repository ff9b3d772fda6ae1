"""Counting what comes by in little memory, with what is long ago counting less and less. Pure.

A count-min sketch (Cormode and Muthukrishnan, 2005) whose counts halve in each half-life: a count is never too small;
with w cells a row and N counts in force it is too large by more than e·N/w with a chance of e^-depth. Old counts are
not made smaller one by one; new ones are made larger (forward decay: Cormode et al., 2009). Sketches of the same shape
and half-life are merged by adding them up.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log

import numpy as np
from numpy.typing import NDArray

#: Weights grow by this many half-lives before everything is brought back to the present; float32 holds 2^127.
RENEWED_AFTER = 60.0

_MIX = np.array(
    [0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0xD6E8FEB86659FD93], np.uint64
)[:, None]  # fmt: skip
_ROWS = np.arange(len(_MIX))[:, None]


class DecayingSketch:
    """key (up to 64 bits) → how often it came, each time counting half of what it did a half-life later."""

    def __init__(self, half_life_s: float, *, cells: int = 1 << 20) -> None:
        """`cells`: a row, a power of two; there are four rows of float32."""
        self.half_life_s = half_life_s
        self._cells = np.zeros((len(_MIX), cells), np.float32)
        self._shift = np.uint64(64 - (cells.bit_length() - 1))
        self._since = 0.0

    @property
    def bytes_used(self) -> int:
        """Memory, whatever was counted."""
        return self._cells.nbytes

    @property
    def memory_s(self) -> float:
        """For how long a steady rate adds up: rate × memory_s is its count."""
        return self.half_life_s / log(2)

    def count(self, keys: Sequence[int], at: float) -> NDArray[np.float32]:
        """How often each key came, as it counts at that time (seconds)."""
        counts: NDArray[np.float32] = self._cells[_ROWS, self._places(keys)].min(axis=0)
        return counts / np.float32(self._weight(at))

    def add(self, keys: Sequence[int], at: float) -> NDArray[np.float32]:
        """Count each key once; how often each had come before. No cell grows more than it must (conservative update:
        Estan and Varghese, 2002)."""
        places, weight = self._places(keys), np.float32(self._weight(at))
        held = self._cells[_ROWS, places]
        before: NDArray[np.float32] = held.min(axis=0)
        # A key that is named twice counts once. Of two that meet in a cell the last one's count is written, never less
        # than stood there: one of the two may lack one, once in 30,000 calls with 32 keys.
        self._cells[_ROWS, places] = np.maximum(held, before + weight)
        return before / weight

    def merge(self, other: DecayingSketch) -> None:
        """Add what another one has counted. ValueError: it has another shape or half-life."""
        if other._cells.shape != self._cells.shape or other.half_life_s != self.half_life_s:
            raise ValueError("sketches of different shape or half-life cannot be merged")
        latest = max(self._since, other._since)
        self._renew(latest)
        self._cells += other._cells * np.float32(0.5 ** ((latest - other._since) / self.half_life_s))

    def _weight(self, at: float) -> float:
        if self._since == 0.0 and not self._cells.any():
            self._since = at
        if at - self._since > RENEWED_AFTER * self.half_life_s:
            self._renew(at)
        return float(2.0 ** ((at - self._since) / self.half_life_s))

    def _renew(self, at: float) -> None:
        if at > self._since:
            self._cells *= np.float32(0.5 ** ((at - self._since) / self.half_life_s))
            self._since = at

    def _places(self, keys: Sequence[int]) -> NDArray[np.uint64]:
        mixed = np.array(keys, np.uint64) * _MIX
        mixed ^= mixed >> np.uint64(32)
        return (mixed * _MIX[::-1]) >> self._shift
