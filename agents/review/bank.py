"""The hash bank: which banned entry an item's frames show. Brute force over packed bits; see the README for scale."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import numpy as np

from schemas.bank import HashEntry
from schemas.signals import FrameHash


class Match(NamedTuple):
    """A frame of the item and the closest frame of the bank."""

    entry_id: str
    category: str
    at_s: float
    bank_at_s: float
    distance: int


class HashBank:
    """The bank's frames as four columns of 64-bit words; looked up by XOR and population count."""

    def __init__(self, entries: Iterable[HashEntry], *, min_quality: int = 0, now: datetime | None = None) -> None:
        kept = [entry for entry in entries if not (now and entry.expires_at and entry.expires_at <= now)]
        rows = [(entry, frame) for entry in kept for frame in entry.frames if frame.quality >= min_quality]
        #: When an entry expires next: from then on the bank has to be made again.
        self.stale_at = min((entry.expires_at for entry in kept if entry.expires_at), default=None)
        self._rows = rows
        # Columns, each contiguous: a sum over rows of four is eight times slower.
        self._columns = [np.ascontiguousarray(column) for column in _words([frame.pdq for _, frame in rows]).T]
        self.files: Mapping[str, HashEntry] = {entry.sha256: entry for entry in kept if entry.sha256}

    def __len__(self) -> int:
        return len(self._rows)

    def match(self, frames: Sequence[FrameHash], *, max_distance: int, min_quality: int) -> list[Match]:
        """For each frame with enough detail, the closest frame of the bank within the distance.

        Source of the rule: Meta, "The TMK+PDQF Video-Hashing Algorithm and the PDQ Image-Hashing Algorithm" (2019):
        31 of 256 bits, quality 50 or more on both sides.
        """
        usable = [frame for frame in frames if frame.quality >= min_quality]
        if not usable or not self._rows:
            return []
        found = []
        for frame, words in zip(usable, _words([frame.pdq for frame in usable]), strict=True):
            distances = np.zeros(len(self._rows), dtype=np.uint16)
            for column, word in zip(self._columns, words, strict=True):
                distances += np.bitwise_count(column ^ word)
            best = int(distances.argmin())
            if distances[best] <= max_distance:
                entry, banned = self._rows[best]
                found.append(Match(entry.entry_id, entry.category, frame.at_s, banned.at_s, int(distances[best])))
        return found


def _words(codes: Sequence[str]) -> np.ndarray:
    packed = np.frombuffer(bytes.fromhex("".join(codes)), dtype=np.uint8)
    return packed.view(np.uint64).reshape(-1, 4)
