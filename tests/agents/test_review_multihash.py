"""Multi-index hashing finds what a scan finds, which finds what plain Python finds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.review import multihash


def hashes(random: np.random.Generator, count: int, centres: int = 7, spread: float = 0.15) -> multihash.Words:
    """Hashes around a few centres, so that there is something to find at every distance."""
    middle = random.integers(0, 2, (centres, 256), np.uint8)
    bits = middle[random.integers(0, centres, count)] ^ (
        random.random((count, 256)) < random.random((count, 1)) * spread
    )
    return np.packbits(bits, axis=1).view(np.uint64)


def tables(words: multihash.Words, chunks: int) -> multihash.Tables:
    values = multihash.chunk_values(words, chunks)
    ids, starts = [], []
    for chunk, width in enumerate(multihash.widths(chunks)):
        ids.append(np.empty(len(words), np.uint32))
        starts.append(np.empty((1 << width) + 1, np.uint32))
        multihash.fill(values[chunk], ids[-1], starts[-1])
    return multihash.Tables(ids, starts)


def pairs(found: multihash.Found) -> set[tuple[int, int, int]]:
    told = list(zip(*(column.tolist() for column in found), strict=True))
    assert len(set(told)) == len(told), "each pair once"
    assert [query for query, _, _ in told] == sorted(query for query, _, _ in told)
    return set(told)


def one_by_one(words: multihash.Words, queries: multihash.Words, distance: int) -> set[tuple[int, int, int]]:
    numbers = [[int.from_bytes(row.tobytes(), "little") for row in rows] for rows in (queries, words)]
    return {
        (at, row, apart)
        for at, query in enumerate(numbers[0])
        for row, code in enumerate(numbers[1])
        if (apart := (query ^ code).bit_count()) <= distance
    }


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32), st.integers(0, 300), st.integers(0, 6), st.integers(0, 256))
def test_a_scan_finds_what_plain_python_finds(seed, count, asked, distance):
    random = np.random.default_rng(seed)
    words, queries = hashes(random, count), hashes(random, asked)
    assert pairs(multihash.scan(words.T, queries, distance)) == one_by_one(words, queries, distance)


@pytest.fixture(scope="module")
def many() -> tuple[multihash.Words, dict[int, multihash.Tables]]:
    words = hashes(np.random.default_rng(1), 30_000, centres=300)
    return words, {chunks: tables(words, chunks) for chunks in (16, 12)}


@pytest.mark.parametrize("chunks", [16, 12])
@pytest.mark.parametrize("distance", [0, 1, 11, 15, 16, 31, 33])
def test_nothing_within_the_distance_is_missed(many, chunks, distance, monkeypatch):
    words, searched = many
    random = np.random.default_rng(distance)
    copies = words[random.integers(0, len(words), 40)]
    queries = copies ^ np.packbits(random.random((40, 256)) < 0.06, axis=1).view(np.uint64)
    expected = pairs(multihash.scan(words.T, queries, distance))
    monkeypatch.setattr(multihash, "BUCKET_COST", 0.0)  # the tables, whatever they cost
    monkeypatch.setattr(multihash, "CANDIDATE_COST", 0.0)
    monkeypatch.setattr(multihash, "CANDIDATES", 1000)
    assert pairs(multihash.near(words, searched[chunks], queries, distance)) == expected
    assert expected or distance < 5


def test_what_is_not_sure_is_found_nearly_always(many):
    words, searched = many
    random = np.random.default_rng(3)
    queries = words[:200] ^ np.packbits(random.random((200, 256)) < 0.13, axis=1).view(np.uint64)
    every = pairs(multihash.scan(words.T, queries, 39))
    found = pairs(multihash.near(words, searched[16], queries, 39, sure=31))
    sure = {pair for pair in every if pair[2] <= 31}
    assert sure <= found <= every
    assert len(found) > 0.97 * len(every) and len(every) > len(sure)


@pytest.mark.parametrize("chunks", [16, 12, 11])
def test_chunks_hold_every_bit_once(chunks):
    assert sum(multihash.widths(chunks)) == 256
    for bit in (0, 1, 63, 64, 200, 255):
        word = np.packbits(np.arange(256) == bit).view(np.uint64)[None]
        assert np.bitwise_count(multihash.chunk_values(word, chunks)).sum() == 1


@pytest.mark.parametrize("distance", [0, 5, 15, 16, 31, 47])
@pytest.mark.parametrize("chunks", [16, 12, 11])
def test_the_changes_looked_up_leave_no_way_to_be_near_and_missed(chunks, distance):
    """If r_i bits of chunk i are changed, a hash that is missed differs by r_i + 1 in each chunk: together too far."""
    most = [max(map(int.bit_count, masks.tolist()), default=-1) for masks in multihash._changes(chunks, distance)]
    assert sum(bits + 1 for bits in most) == distance + 1


@pytest.mark.parametrize(
    ("count", "chunks"), [(0, 16), (131_071, 16), (131_072, 14), (10**6, 13), (10**7, 12), (10**8, 11)]
)
def test_more_hashes_are_cut_into_fewer_chunks(count, chunks):
    assert multihash.chunks_for(count) == chunks
