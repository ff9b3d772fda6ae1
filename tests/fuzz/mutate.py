"""Damage, as transmission, broken encoders and people make it. Everything follows from the random source given."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from random import Random

from tests.fuzz.boxes import walk

#: Numbers at which programs go wrong: borders of signs and widths, and what multiplies to more than fits.
EDGES = (0, 1, 2, 7, 8, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x3FFFFFFF, 0x7FFFFFFF, 0x80000000,
         0xFFFFFFF0, 0xFFFFFFFF, 0x7FFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFFFFF)  # fmt: skip
#: Most of what steers a parser lies at one of the two ends.
HEAD = 2048
#: A mutant is not larger than this many times its seed.
LARGEST = 4


def mutant(seed: str, seeds: Mapping[str, bytes], random: Random) -> bytes:
    """One to four changes to a seed."""
    data = seeds[seed]
    for _ in range(random.choice((1, 1, 2, 3, 4))):
        if len(data) < 16:
            break
        name = random.choice(tuple(MUTATIONS))
        data = MUTATIONS[name](data, seeds, random)[: LARGEST * len(seeds[seed])]
    return data


def _place(data: bytes, random: Random) -> int:
    where = random.random()
    if where < 0.5:
        return random.randrange(min(HEAD, len(data)))
    return random.randrange(max(0, len(data) - HEAD), len(data)) if where < 0.7 else random.randrange(len(data))


def _over(data: bytes, at: int, value: bytes) -> bytes:
    return data[:at] + value[: len(data) - at] + data[at + len(value) :]


def bits(data: bytes, _: Mapping[str, bytes], random: Random) -> bytes:
    """Some bits turned over."""
    changed = bytearray(data)
    for _i in range(random.choice((1, 2, 8, 64))):
        changed[_place(data, random)] ^= 1 << random.randrange(8)
    return bytes(changed)


def cut(data: bytes, _: Mapping[str, bytes], random: Random) -> bytes:
    """The end missing."""
    return data[: random.randrange(8, len(data))]


def hole(data: bytes, _: Mapping[str, bytes], random: Random) -> bytes:
    """A stretch missing in between."""
    at = _place(data, random)
    return data[:at] + data[at + random.choice((1, 4, 188, 1024)) :]


def twice(data: bytes, _: Mapping[str, bytes], random: Random) -> bytes:
    """A stretch repeated."""
    at, length = _place(data, random), random.choice((1, 8, 188, 4096))
    return data[: at + length] + data[at : at + length] * random.choice((1, 2, 8)) + data[at + length :]


def number(data: bytes, _: Mapping[str, bytes], random: Random) -> bytes:
    """A number of note put somewhere, in either order of bytes."""
    width = random.choice((1, 2, 4, 8))
    value = random.choice(EDGES) & ((1 << 8 * width) - 1)
    return _over(data, _place(data, random), value.to_bytes(width, random.choice(("big", "little"))))


def fill(data: bytes, _: Mapping[str, bytes], random: Random) -> bytes:
    """A stretch overwritten with one byte, or with noise."""
    length = random.choice((4, 16, 188, 2048))
    value = random.randbytes(length) if random.random() < 0.5 else bytes([random.choice((0, 0xFF, 0x47))]) * length
    return _over(data, _place(data, random), value)


def size(data: bytes, _: Mapping[str, bytes], random: Random) -> bytes:
    """A box of an mp4, or a chunk of a RIFF file, with another size than it has."""
    boxes = [at for _kind, at, _size in walk(data)] if data[4:8] in (b"ftyp", b"styp", b"moov") else []
    if boxes:
        return _over(data, random.choice(boxes), struct.pack(">I", random.choice(EDGES) & 0xFFFFFFFF))
    if data[:4] == b"RIFF":
        chunks = [at for name in (b"RIFF", b"LIST", b"fmt ", b"data", b"strf", b"strh", b"idx1", b"movi")
                  if (at := data.find(name)) >= 0]  # fmt: skip
        return _over(data, random.choice(chunks) + 4, struct.pack("<I", random.choice(EDGES) & 0xFFFFFFFF))
    return number(data, _, random)


def order(data: bytes, _: Mapping[str, bytes], random: Random) -> bytes:
    """Two halves the other way round."""
    at = random.randrange(len(data))
    return data[at:] + data[:at]


def splice(data: bytes, seeds: Mapping[str, bytes], random: Random) -> bytes:
    """The beginning of one file and the end of another."""
    other = seeds[random.choice(tuple(seeds))]
    return data[: _place(data, random)] + other[_place(other, random) :]


Mutation = Callable[[bytes, Mapping[str, bytes], Random], bytes]
MUTATIONS: dict[str, Mutation] = {
    one.__name__: one for one in (bits, cut, hole, twice, number, fill, size, order, splice)
}
