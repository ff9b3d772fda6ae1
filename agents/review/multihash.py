"""All 256-bit hashes within a distance of a query, without looking at each of them: multi-index hashing. Pure.

Source: Norouzi, Punjani, Fleet, "Fast Search in Hamming Space with Multi-Index Hashing" (CVPR 2012). Hashes are cut
into chunks. Two that differ in at most d bits cannot differ in more than r_i bits of every chunk i, if the numbers
r_i + 1 add up to d + 1. So for each chunk all hashes are sorted by it, a query looks up its own chunk with up to r_i
bits changed, and what lies there is compared in full. Nothing within the distance is missed.

A table is two flat arrays, so that it can lie in a file that several processes map. Measured against faiss on the same
hashes (`make bench ARGS=bank`), this is faster than its flat index and its multi-hash, which also cannot be mapped.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import combinations
from math import comb
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]
Numbers = NDArray[np.int64]

BITS = 256
#: Hashes from which on they are cut into so many chunks: few long chunks have buckets that are nearly empty, but more
#: of them to look into, and starts of up to 2**26 bytes a chunk. Measured, see `make bench ARGS=bank`.
CHUNKS = ((0, 16), (1 << 17, 14), (1 << 19, 13), (1 << 22, 12), (1 << 24, 11))
#: Queries looked up together, and candidates compared together: what is gathered for them stays in a core's cache.
QUERIES, CANDIDATES = 16, 1 << 15
#: Hashes scanned together, for the same reason.
SCANNED = 1 << 13
#: What it costs to look into a bucket and to compare a candidate, against a hash in a scan: measured, roughly.
BUCKET_COST, CANDIDATE_COST = 4.0, 8.0


class Found(NamedTuple):
    """Pairs of a query and a hash within the distance, in order of the queries."""

    query: Numbers
    row: Numbers
    distance: NDArray[np.uint16]


class Tables(NamedTuple):
    """For each chunk, the numbers of all hashes sorted by it, and where in them each value begins."""

    ids: Sequence[NDArray[np.uint32]]
    starts: Sequence[NDArray[np.uint32]]


def words(codes: Sequence[str]) -> Words:
    """Hashes of 64 hexadecimal digits as rows of four words."""
    return np.frombuffer(bytes.fromhex("".join(codes)), dtype=np.uint64).reshape(-1, 4)


def chunks_for(count: int) -> int:
    """Into how many chunks so many hashes are best cut."""
    return max((least, chunks) for least, chunks in CHUNKS if least <= count)[1]


def widths(chunks: int) -> list[int]:
    """Bits of each chunk. Every `chunks`-th bit goes to the same one: neighbouring bits of PDQ resemble each other."""
    return [len(range(first, BITS, chunks)) for first in range(chunks)]


def chunk_values(hashes: Words, chunks: int) -> NDArray[np.uint32]:
    """Each hash's chunks as numbers, one row a chunk."""
    bits = np.unpackbits(hashes.view(np.uint8).reshape(-1, BITS // 8), axis=1)
    spread = np.zeros((chunks, len(bits), 32), np.uint8)
    for chunk, width in enumerate(widths(chunks)):
        spread[chunk, :, :width] = bits[:, chunk::chunks]
    return np.packbits(spread, axis=2, bitorder="little").view(np.uint32)[:, :, 0]


def fill(values: NDArray[np.uint32], ids: NDArray[np.uint32], starts: NDArray[np.uint32]) -> None:
    """Write the table of one chunk, of which `values` are the values of all hashes, into these two arrays."""
    # Twice a stable sort by 16 bits, for which numpy has a radix sort.
    order = np.argsort(values.astype(np.uint16), kind="stable")
    if len(starts) > 1 << 16:
        order = order[np.argsort((values[order] >> np.uint32(16)).astype(np.uint16), kind="stable")]
    ids[:] = order
    starts[0] = 0
    np.cumsum(np.bincount(values, minlength=len(starts) - 1), out=starts[1:])


def near(hashes: Words, tables: Tables, queries: Words, distance: int, *, sure: int | None = None) -> Found:
    """All pairs within the distance.

    With `sure`, only those within that distance are found for certain, and of the others most, for less work.
    """
    chunks, certain = len(tables.ids), distance if sure is None else sure
    buckets = [
        sum(comb(width, count) for count in range(bits + 1))
        for width, bits in zip(widths(chunks), _changeable(chunks, certain), strict=True)
    ]
    candidates = sum(count / (1 << width) for count, width in zip(buckets, widths(chunks), strict=True)) * len(hashes)
    if sum(buckets) * BUCKET_COST + candidates * CANDIDATE_COST > len(hashes):
        return scan(hashes.T, queries, distance)
    changed = _changes(chunks, certain)
    values = chunk_values(queries, chunks)
    parts = []
    for begin in range(0, len(queries), QUERIES):
        some = slice(begin, begin + QUERIES)
        query, row = _candidates(tables, values[:, some], changed)
        for at in range(0, len(row), CANDIDATES):
            few = slice(at, at + CANDIDATES)
            parts.append(_compared(hashes, queries, query[few] + begin, row[few], distance))
    return _each_once(parts, len(hashes))


def scan(columns: NDArray[np.uint64], queries: Words, distance: int) -> Found:
    """The same, by looking at every hash; `columns` are the four words of all hashes, one row a word."""
    parts = []
    first, second = (np.empty(SCANNED, np.uint64) for _ in range(2))
    for begin in range(0, columns.shape[1], SCANNED):
        block = np.ascontiguousarray(columns[:, begin : begin + SCANNED])
        one, other = first[: block.shape[1]], second[: block.shape[1]]
        for number, query in enumerate(queries):
            np.bitwise_xor(block[0], query[0], out=one)
            np.bitwise_xor(block[1], query[1], out=other)
            # Half of the bits tell nearly all strangers.
            half = np.bitwise_count(one) + np.bitwise_count(other)
            close = np.flatnonzero(half <= distance)
            if not len(close):
                continue
            rest = np.bitwise_count(block[2:, close] ^ query[2:, None]).sum(axis=0, dtype=np.uint16)
            total = half[close] + rest
            kept = total <= distance
            row = close[kept] + begin
            parts.append(Found(np.full(len(row), number), row, total[kept]))
    return _joined(parts)


def _changeable(chunks: int, distance: int) -> list[int]:
    """How many bits of each chunk are changed at most: r_i, the larger ones for short chunks."""
    low, more = divmod(distance + 1, chunks)
    by_width = sorted(range(chunks), key=widths(chunks).__getitem__)
    return [low - 1 + (by_width.index(chunk) < more) for chunk in range(chunks)]


@cache
def _changes(chunks: int, distance: int) -> list[NDArray[np.uint32]]:
    """What a query's chunks are XORed with: all changes of up to r_i bits."""
    return [
        np.array(
            [
                sum(1 << bit for bit in changed)
                for count in range(bits + 1)
                for changed in combinations(range(width), count)
            ],
            np.uint32,
        )
        for width, bits in zip(widths(chunks), _changeable(chunks, distance), strict=True)
    ]


def _candidates(
    tables: Tables, values: NDArray[np.uint32], changed: Sequence[NDArray[np.uint32]]
) -> tuple[Numbers, Numbers]:
    """Pairs of query and hash that lie in a bucket together; a pair comes once for each chunk in which it does."""
    queries, rows = [], []
    for ids, starts, own, masks in zip(tables.ids, tables.starts, values, changed, strict=True):
        if not len(masks):
            continue
        buckets = (own[:, None] ^ masks).ravel().astype(np.intp)  # what numpy indexes by
        begins = starts.take(buckets)
        counts = starts[1:].take(buckets) - begins
        filled = np.flatnonzero(counts)
        some = counts.take(filled).astype(np.int64)
        rows.append(ids.take(ranges(begins.take(filled).astype(np.int64), some)))
        queries.append(np.repeat(filled // len(masks), some))
    return np.concatenate(queries), np.concatenate(rows).astype(np.int64)


def ranges(begins: Numbers, counts: Numbers) -> Numbers:
    """The numbers begin, begin + 1, … of each of these ranges, one range after another."""
    ends = np.cumsum(counts)
    numbers: Numbers = np.arange(int(ends[-1]) if len(ends) else 0)
    numbers += np.repeat(begins - (ends - counts), counts)
    return numbers


def _compared(hashes: Words, queries: Words, query: Numbers, row: Numbers, distance: int) -> Found:
    differing = hashes.take(row, axis=0)
    differing ^= queries.take(query, axis=0)
    counts = np.bitwise_count(differing)
    half = counts[:, 0] + counts[:, 1]
    close = np.flatnonzero(half <= distance)
    total = half[close] + counts[close, 2].astype(np.uint16) + counts[close, 3]
    kept = total <= distance
    close = close[kept]
    return Found(query[close], row[close], total[kept])


def _joined(parts: Sequence[Found]) -> Found:
    if not parts:
        return Found(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.uint16))
    found = Found(
        np.concatenate([part.query for part in parts]),
        np.concatenate([part.row for part in parts]),
        np.concatenate([part.distance for part in parts]),
    )
    return _at(found, np.argsort(found.query, kind="stable"))


def _each_once(parts: Sequence[Found], count: int) -> Found:
    found = _joined(parts)
    return _at(found, np.unique(found.query * count + found.row, return_index=True)[1])


def _at(found: Found, places: Numbers) -> Found:
    return Found(found.query[places], found.row[places], found.distance[places])
