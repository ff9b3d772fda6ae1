"""Keys of corners, and votes for the frames that share them. Pure.

Of each description some bits are taken as a key, in several tables; corners with the same key as one of a frame's vote
for the frame of the bank that they are of (locality-sensitive hashing by sampled bits: Indyk and Motwani, "Approximate
nearest neighbors", STOC 1998). A corner whose description differs in 40 of 256 bits is found in one of the tables with
a chance of 0.32, and a copy has fifty of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Tables, and bits of a key in each.
TABLES, KEY_BITS = 8, 18
#: Corners with one key beyond which it tells nothing: sky, letters, what every picture has.
MOST_ALIKE = 200
#: Corners of which keys are made at once: bits take eight times the memory of bytes.
AT_ONCE = 1 << 16

_CHOSEN = np.stack([np.random.default_rng(seed).choice(256, KEY_BITS, replace=False) for seed in range(TABLES)])
_POWERS = (1 << np.arange(KEY_BITS)).astype(np.int32)

Keys = NDArray[np.int32]
#: Where in a table the corners of these keys begin, and before which place they end.
Spans = Callable[[Keys], tuple[NDArray[np.int64], NDArray[np.int64]]]
#: Where the corners of a key lie, and the frame of each corner.
Table = tuple[Spans, NDArray[Any]]


def keys_of(codes: NDArray[np.uint8]) -> Keys:
    """The keys of descriptions, a row for each table."""
    found = np.empty((TABLES, len(codes)), np.int32)
    for begin in range(0, len(codes), AT_ONCE):
        bits = np.unpackbits(codes[begin : begin + AT_ONCE], axis=1)
        for table, chosen in enumerate(_CHOSEN):
            found[table, begin : begin + AT_ONCE] = bits[:, chosen].astype(np.int32) @ _POWERS
    return found


def votes(frames: int, wanted: Keys, tables: Sequence[Table]) -> NDArray[np.float64]:
    """For each frame of the tables, the keys that it shares: each has one vote, shared by all corners that have it."""
    found = np.zeros(frames)
    for keys, (spans, owners) in zip(wanted, tables, strict=True):
        begin, end = spans(keys)
        count = end - begin
        told = (count > 0) & (count <= MOST_ALIKE)
        begin, count = begin[told], count[told]
        if len(count):
            steps = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
            named = owners[np.repeat(begin, count) + steps]
            found += np.bincount(named, weights=np.repeat(1 / count, count), minlength=frames)
    return found
