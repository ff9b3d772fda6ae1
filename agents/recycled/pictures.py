"""Keys that pictures much like it share, so that old and new footage meet in one partition. Pure.

Of a PDQ hash (256 bits) each key takes some bits, the same for all (Indyk and Motwani, 1998): two pictures that differ
in d bits share a key of n bits with a chance of (1 - d/256)^n, 0.78 of 16 bits at 4. Of all keys of an item's pictures
the few with the smallest hashes go out: of two items that show the same, wholly or in part, they are largely the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.signals import FrameHash

#: Bits of a key: of a million items some thirty share one by chance, and are compared.
BITS = 16
#: Keys made of each picture: at 15 bits of difference, as a logo brings, 0.94 that one is shared.
WAYS = 6
#: Keys of an item that go out, and pictures that go with each: twelve messages an item, of some 1.5 kB.
KEYS, PICTURES = 12, 12
#: Pictures with less detail than this are like too many others; PDQ's own advice is 50.
LEAST_QUALITY = 50
#: Pictures this close (bits) are one scene.
SAME_SCENE = 24

_RANDOM = np.random.default_rng(20200102)
_PLACES = np.stack([_RANDOM.choice(256, BITS, replace=False) for _ in range(WAYS)])
_POWERS = (1 << np.arange(BITS)).astype(np.uint64)


class Keyed(NamedTuple):
    """An item's keys, and the pictures that are compared."""

    keys: tuple[str, ...]
    pictures: tuple[FrameHash, ...]


def packed(frames: Sequence[FrameHash]) -> NDArray[np.uint8]:
    """Hashes as bytes, one a row."""
    codes = bytearray.fromhex("".join(frame.pdq for frame in frames))
    return np.array(codes, np.uint8).reshape(len(frames), 32)


def keyed(frames: Sequence[FrameHash]) -> Keyed:
    """The keys of an item, and the pictures that they were made of."""
    shown = scenes([frame for frame in frames if frame.quality >= LEAST_QUALITY])
    if not shown:
        return Keyed((), ())
    bits = np.unpackbits(packed(shown), axis=1)
    made = (bits[:, _PLACES].astype(np.uint64) * _POWERS).sum(axis=2)
    rank = (made + (np.arange(WAYS, dtype=np.uint64) << np.uint64(BITS))) * np.uint64(0x9E3779B97F4A7C15)
    order = np.argsort(rank, axis=None)
    keys: dict[str, int] = {}
    for place in order:
        scene, way = divmod(int(place), WAYS)
        keys.setdefault(f"{way}-{int(made[scene, way]):05x}", scene)
        if len(keys) == KEYS:
            break
    kept = sorted(dict.fromkeys(keys.values()))[:PICTURES]
    return Keyed(tuple(keys), tuple(shown[scene] for scene in kept))


def same(new: Sequence[FrameHash], old: Sequence[FrameHash], distance: int) -> list[tuple[FrameHash, FrameHash, int]]:
    """New pictures that some old one is like, each with the closest one and the bits in which they differ."""
    if not new or not old:
        return []
    apart = np.bitwise_count(packed(new)[:, None, :] ^ packed(old)[None, :, :]).sum(axis=2)
    closest = apart.argmin(axis=1)
    return [
        (frame, old[int(at)], int(bits))
        for frame, at, bits in zip(new, closest, apart.min(axis=1), strict=True)
        if bits <= distance
    ]


def scenes(frames: Sequence[FrameHash]) -> list[FrameHash]:
    """One picture of each scene, the first."""
    found: list[FrameHash] = []
    codes: list[int] = []
    for frame in frames:
        code = int(frame.pdq, 16)
        if all((code ^ other).bit_count() > SAME_SCENE for other in codes):
            found.append(frame)
            codes.append(code)
    return found
