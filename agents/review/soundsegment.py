"""Fingerprints of banned sound in a sorted index: places whose codes are as those of an item, or nearly. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from agents.review.chromaprint import NOTES, SPECTRA, codes_of
from agents.review.multihash import ranges
from agents.review.soundalign import BITS
from schemas.bank import HashEntry

#: The code of silence, which is the same in all sounds.
SILENT = int(codes_of(np.zeros((SPECTRA, NOTES)))[0])
#: What is looked up for each code: itself, and all that differ from it in one bit or two. One bit alone finds a third
#: of what is shifted in pitch less.
_NEIGHBOURS = np.array(sorted({1 << one | 1 << other for one in range(BITS) for other in range(BITS)} | {0}), np.uint32)
#: Bits of the filter for each code: one in sixteen codes that are not in the bank passes.
FILTER_BITS = 16
#: Knuth's multiplier for hashing by multiplication, modulo 2**32.
_SPREAD = np.uint32(2_654_435_761)
#: Codes looked up at once: 2 MB of neighbours.
LOOKED_UP = 1024
#: Codes that stand more often in the bank than this are no seeds: a hum, a held note. So is a code that more than a
#: hundredth of a percent of a large bank has; what is spoken or played around it has others.
COMMON, COMMON_SHARE = 200, 1e-4


class Print(NamedTuple):
    """A fingerprint of the bank. Of its entry neither frames nor sounds are kept: they take far more memory."""

    entry: HashEntry
    at_s: float
    variant: str
    codes: NDArray[np.uint32]


class Filter:
    """Which codes are none of a set, said of most of them: a bitmap of their hashes (Bloom, 1970, with one hash). Of
    500 neighbours that are looked up for each code of an item hardly any is in the bank."""

    def __init__(self, codes: NDArray[np.uint32]) -> None:
        bits = min(max(int(FILTER_BITS * len(codes)).bit_length(), 13), 31)
        self._shift = np.uint32(32 - bits)
        places = (codes * _SPREAD) >> self._shift
        held = np.zeros(1 << bits, np.bool_)
        held[places] = True
        self._map = np.packbits(held, bitorder="little")

    @property
    def nbytes(self) -> int:
        """Memory that it takes."""
        return self._map.nbytes

    def passed(self, codes: NDArray[np.uint32]) -> NDArray[np.int64]:
        """Places of those that may be in the set."""
        places = (codes * _SPREAD) >> self._shift
        bytes_ = self._map.take(places >> np.uint32(3))
        return np.flatnonzero((bytes_ >> (places & np.uint32(7)).astype(np.uint8)) & 1)


class Segment:
    """Some prints of the bank: all codes in a row, and the same sorted, each with its place. 14 to 16 bytes a code."""

    def __init__(self, prints: Iterable[Print]) -> None:
        held = list(prints)
        self.codes = np.concatenate([one.codes for one in held]) if held else np.zeros(0, np.uint32)
        self.begins = np.cumsum([0, *(len(one.codes) for one in held)])
        self.prints = [
            one._replace(codes=self.codes[self.begins[number] : self.begins[number + 1]])
            for number, one in enumerate(held)
        ]
        self.places = np.argsort(self.codes, kind="stable").astype(np.uint32)
        self.sorted = self.codes[self.places]
        self._filter = Filter(self.codes)

    @property
    def nbytes(self) -> int:
        """Memory that it takes, without what is said of each print."""
        return sum(part.nbytes for part in (self.codes, self.places, self.sorted, self.begins, self._filter))

    def seeds(self, codes: NDArray[np.uint32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Places in the item and in the segment whose codes are the same but for two bits at most."""
        known, where = np.unique(codes, return_inverse=True)
        most = max(COMMON, int(COMMON_SHARE * len(self.codes)))
        order = np.argsort(where, kind="stable")
        uses = np.searchsorted(where[order], np.arange(len(known) + 1))
        item, bank = [], []
        for begin in range(0, len(known), LOOKED_UP):
            probes = known[begin : begin + LOOKED_UP, None] ^ _NEIGHBOURS
            probes[known[begin : begin + LOOKED_UP] == SILENT] = SILENT
            flat = probes.ravel()
            likely = self._filter.passed(flat)
            sorting = likely[np.argsort(flat[likely], kind="stable")]  # looked up in order, the index is read through
            wanted = flat[sorting]
            first = np.searchsorted(self.sorted, wanted, "left")
            counts = np.searchsorted(self.sorted, wanted, "right") - first
            counts[(counts > most) | (wanted == SILENT)] = 0
            hit = np.flatnonzero(counts)
            number = begin + sorting[hit] // len(_NEIGHBOURS)
            places = self.places[ranges(first[hit], counts[hit])].astype(np.int64)
            number = np.repeat(number, counts[hit])
            times = uses[number + 1] - uses[number]
            item.append(order[ranges(uses[number], times)])
            bank.append(np.repeat(places, times))
        return (np.concatenate(item), np.concatenate(bank)) if item else (np.zeros(0, np.int64), np.zeros(0, np.int64))
