"""Terms by their sound, looked up by their first three syllables. Pure.

A text of 10,000 characters has some 10,000 places where three syllables begin a term, and hardly any of them does: one
look at a bitmap for all places at once (numpy) leaves few to be compared. An automaton over the letters of a text took
ten times as long, and is left to what is spelled in letters.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from agents import textforms_tables as tables
from agents.textforms import Form

#: Syllables that a term is looked up by.
FIRST = 3
#: Places of the bitmap, as a power of two: 50,000 terms leave 99 of 100 empty, in 4 MB.
_BITS = 22
#: Knuth's multiplier for hashing by multiplication, modulo 2**32.
_SPREAD = np.uint32(2_654_435_761)


class SoundIndex:
    """Of terms of Chinese characters alone, each as what its characters are spoken as; empty: it is left out."""

    def __init__(self, sounds: Sequence[tuple[str, ...]]) -> None:
        _, numbers = tables.syllable_numbers()
        here = [which for which, one in enumerate(sounds) if one]
        spelled = [[numbers[syllable] for syllable in sounds[which]] for which in here]
        heads = np.array([one[:FIRST] for one in spelled], np.uint32).reshape(-1, FIRST)
        keys = _keys(heads[:, 0], heads[:, 1], heads[:, 2])
        order = np.argsort(keys, kind="stable")
        #: By first syllables: which terms begin so, the syllable after them (0: none), and what comes then.
        self._which = np.array(here, np.int64)[order]
        self._next = np.array([one[FIRST] if len(one) > FIRST else 0 for one in spelled], np.uint32)[order]
        self._rest = [spelled[number][FIRST + 1 :] for number in order.tolist()]
        #: All first syllables, and where in these each begins.
        self._heads, begins = np.unique(keys[order], return_index=True)
        self._begins = np.append(begins, len(order))
        self._map = np.zeros(1 << _BITS, np.bool_)
        self._map[_places(self._heads)] = True

    def candidates(self, form: Form) -> Iterator[tuple[int, int]]:
        """(sign where it would begin, which of the terms), by the most usual readings of the text's characters."""
        if not self._heads.size or len(form.text) < FIRST:
            return
        table, _ = tables.syllable_numbers()
        # The table's last sign is not read; so nor are those beyond it.
        spoken = table.take(form.codes, mode="clip").astype(np.uint32)
        keys = _keys(spoken[:-2], spoken[1:-1], spoken[2:])
        found = np.flatnonzero(self._map.take(_places(keys)))
        head = np.searchsorted(self._heads, keys[found])
        head[head == self._heads.size] = 0
        here = self._heads[head] == keys[found]
        found, head = found[here], head[here]
        counts = self._begins[head + 1] - self._begins[head]
        # Every pair of a place and a term that begins as it does there, of which the next syllable leaves few.
        begins = np.repeat(found, counts)
        ones = np.arange(begins.size) + np.repeat(self._begins[head] - (np.cumsum(counts) - counts), counts)
        after = np.append(spoken[FIRST:], np.zeros(FIRST, np.uint32))[begins]
        wanted = self._next[ones]
        kept = np.flatnonzero((wanted == 0) | (wanted == after))
        for begin, one in zip(begins[kept].tolist(), ones[kept].tolist(), strict=True):
            rest = self._rest[one]
            if not rest or spoken[begin + FIRST + 1 : begin + FIRST + 1 + len(rest)].tolist() == rest:
                yield begin, int(self._which[one])


def _keys(first: NDArray[np.uint32], second: NDArray[np.uint32], third: NDArray[np.uint32]) -> NDArray[np.uint32]:
    return (first << np.uint32(18)) | (second << np.uint32(9)) | third


def _places(keys: NDArray[np.uint32]) -> NDArray[np.uint32]:
    return (keys * _SPREAD) >> np.uint32(32 - _BITS)
