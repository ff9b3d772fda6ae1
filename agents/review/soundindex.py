"""Terms by their sound, looked up by their first three syllables. Pure.

A text of 10,000 characters has some 10,000 places where three syllables begin a term, and hardly any of them does: one
look at a bitmap for all places at once (numpy) leaves few to be compared. An automaton over the letters of a text took
ten times as long, and is left to what is spelled in letters.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from agents import textforms_tables as tables
from agents.textforms import Form

#: Syllables that a term is looked up by.
FIRST = 3
#: Places of the bitmap, as a power of two: 50,000 terms leave 99 of 100 empty, in 4 MB.
_BITS = 22
#: Knuth's multiplier for hashing by multiplication.
_SPREAD = np.uint64(2_654_435_761)


class SoundIndex:
    """Of terms of Chinese characters alone, each as what its characters are spoken as; empty: it is left out."""

    def __init__(self, sounds: Sequence[tuple[str, ...]]) -> None:
        _, numbers = tables.syllable_numbers()
        #: First syllables → which terms begin so, each with its further syllables.
        self._by_key: dict[int, list[tuple[int, list[int]]]] = defaultdict(list)
        for which, one in enumerate(sounds):
            if not one:
                continue
            key = 0
            for syllable in one[:FIRST]:
                key = (key << 9) | numbers[syllable]
            self._by_key[key].append((which, [numbers[syllable] for syllable in one[FIRST:]]))
        self._map = np.zeros(1 << _BITS, np.bool_)
        if self._by_key:
            self._map[_places(np.fromiter(self._by_key, np.uint64, len(self._by_key)))] = True

    def candidates(self, form: Form) -> Iterator[tuple[int, int]]:
        """(sign where it would begin, which of the terms), by the most usual readings of the text's characters."""
        if not self._by_key or len(form.text) < FIRST:
            return
        table, _ = tables.syllable_numbers()
        spoken = table[np.where(form.codes < table.size, form.codes, 0)].astype(np.uint64)
        first, second, third = spoken[:-2], spoken[1:-1], spoken[2:]
        keys = (first << np.uint64(18)) | (second << np.uint64(9)) | third
        found = np.flatnonzero(self._map[_places(keys)])
        further: list[int] = spoken[FIRST:].tolist() if found.size else []
        for begin, key in zip(found.tolist(), keys[found].tolist(), strict=True):
            for which, rest in self._by_key.get(key, ()):
                if further[begin : begin + len(rest)] == rest:
                    yield begin, which


def _places(keys: NDArray[np.uint64]) -> NDArray[np.intp]:
    return (((keys * _SPREAD) & np.uint64(0xFFFFFFFF)) >> np.uint64(32 - _BITS)).astype(np.intp)
