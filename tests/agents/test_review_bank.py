"""The hash bank finds what a search one by one, in plain Python, finds."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from agents.review.bank import HashBank, Match
from agents.review.judge import Matched, judge
from schemas.bank import BankFrame
from schemas.policy import default_policy

SHA256, MD5 = "ab01" * 16, "cd" * 16
CODE = int("0123456789abcdef" * 4, 16)


def flipped(code: int, bits: int, seed: int = 0) -> int:
    """The code with so many of its bits the other way."""
    for bit in random.Random(seed).sample(range(256), bits):
        code ^= 1 << bit
    return code


@pytest.fixture(scope="session")
def found(make):
    """(entry, distance) of each match of these frames, a code or (code, quality) each, in a bank of these entries."""

    def find(entries, *frames, max_distance=31, min_quality=50):
        pairs = [frame if isinstance(frame, tuple) else (frame, 100) for frame in frames]
        matches = HashBank(entries).match(
            [make.frame(code, quality, at_s=float(at)) for at, (code, quality) in enumerate(pairs)],
            max_distance=max_distance,
            min_quality=min_quality,
        )
        return [(match.entry_id, match.distance) for match in matches]

    return find


def test_the_same_hash_is_found_at_distance_zero(make, found):
    assert found([make.entry(CODE)], CODE) == [("b-1", 0)]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("bits", "expected"), [(1, True), (30, True), (31, True), (32, False), (256, False)])
def test_up_to_31_bits_apart_is_the_same_picture(make, found, bits, expected, seed):
    assert found([make.entry(CODE)], flipped(CODE, bits, seed)) == ([("b-1", bits)] if expected else [])


@pytest.mark.parametrize(("limit", "expected"), [(0, []), (2, []), (3, [("b-1", 3)])])
def test_the_distance_is_the_policys(make, found, limit, expected):
    assert found([make.entry(CODE)], flipped(CODE, 3), max_distance=limit) == expected


@pytest.mark.parametrize(("frame", "bank", "expected"), [(50, 50, 1), (49, 100, 0), (100, 49, 0), (49, 49, 0)])
def test_a_frame_of_little_detail_on_either_side_never_matches(make, found, frame, bank, expected):
    assert len(found([make.entry((CODE, bank))], (CODE, frame))) == expected


def test_a_poor_frame_does_not_shadow_a_good_one_that_lies_farther(make, found):
    entries = [make.entry((CODE, 10), entry_id="poor"), make.entry(flipped(CODE, 9), entry_id="good")]
    assert found(entries, CODE) == [("good", 9)]


@pytest.mark.parametrize(("seconds", "expected"), [(-1, 0), (0, 0), (1, 1), (None, 1)])
def test_an_entry_matches_until_the_instant_it_expires(make, seconds, expected):
    expires_at = None if seconds is None else make.at(seconds)
    bank = HashBank([make.entry(CODE, sha256=SHA256, expires_at=expires_at)])
    assert len(bank.same_file(SHA256, now=make.now)) == expected
    assert len(bank.match([make.frame(CODE)], max_distance=0, min_quality=0, now=make.now)) == expected


def test_an_entry_that_people_switched_off_matches_nothing_until_it_is_switched_on(make):
    entry = make.entry(CODE, sha256=SHA256)
    bank = HashBank([replace(entry, active=False, note="a false match, says reviewer-7")])
    assert (bank.match([make.frame(CODE)], max_distance=31, min_quality=50), bank.same_file(SHA256)) == ([], [])
    bank["b-1"] = entry
    assert len(bank.match([make.frame(CODE)], max_distance=31, min_quality=50)) == len(bank.same_file(SHA256)) == 1


def test_a_match_says_of_what_list_and_kind_its_entry_is_and_how_grave(make):
    frames = (BankFrame(pdq=make.frame(CODE).pdq, quality=100, at_s=2.5, variant="mirror"),)
    good = make.entry(entry_id="card", frames=frames, kind="known_good", bank="cards", severity="low")
    (match,) = HashBank([good]).match([make.frame(flipped(CODE, 4), at_s=1.0)], max_distance=31, min_quality=50)
    assert match == Match("card", "banned", 1.0, 2.5, 4, "known_good", "cards", "low", "mirror")


@pytest.mark.parametrize("frames", [(), (CODE,)])
def test_an_empty_bank_matches_nothing(make, found, frames):
    assert found([], *frames) == []
    assert found([make.entry(sha256="ab" * 32)], *frames) == []


def test_an_item_without_frames_matches_nothing(make, found):
    assert found([make.entry(CODE)]) == []


def test_of_several_within_reach_all_are_named_with_their_places_the_closest_first(make):
    near, nearer, nearest = flipped(CODE, 20, 1), flipped(CODE, 12, 2), flipped(CODE, 5, 3)
    bank = HashBank([make.entry(near), make.entry(nearer, nearest, entry_id="b-2", category="worst")])
    matches = bank.match([make.frame(CODE, at_s=7.0)], max_distance=31, min_quality=50)
    assert [match[:5] for match in matches] == [
        ("b-2", "worst", 7.0, 0.5, 5), ("b-2", "worst", 7.0, 0.0, 12), ("b-1", "banned", 7.0, 0.0, 20),
    ]  # fmt: skip


def test_a_frame_that_many_of_the_bank_are_near_to_is_one_frame_that_matches(make):
    policy = replace(default_policy(), review=replace(default_policy().review, hash_min_frames=2))
    bank = HashBank([make.entry(*(flipped(CODE, 9, seed) for seed in range(5)))])

    def action(*frames):
        matches = bank.match(frames, max_distance=31, min_quality=50)
        return judge(make.signals(frames=frames), Matched(frames=matches), policy, make.now).action

    assert action(make.frame(CODE)) == "review"
    assert action(make.frame(CODE), make.frame(CODE, at_s=1.0)) == "takedown"


def test_every_frame_of_an_item_is_looked_up(make, found):
    entries = [make.entry(CODE), make.entry(~CODE & (1 << 256) - 1, entry_id="b-2")]
    frames = (CODE, flipped(CODE, 128), ~CODE & (1 << 256) - 1, CODE)
    assert found(entries, *frames) == [("b-1", 0), ("b-2", 0), ("b-1", 0)]


def test_without_a_least_quality_every_frame_of_the_bank_counts(make):
    bank = HashBank([make.entry((CODE, 0), (CODE, 1))])
    assert (len(bank), bank.frames) == (1, 2)
    assert len(bank.match([make.frame(CODE, quality=0)], max_distance=0, min_quality=0)) == 2


def test_files_are_found_by_either_digest_whether_or_not_the_entry_has_frames(make):
    bank = HashBank(
        [
            make.entry(CODE),
            make.entry(entry_id="b-2", sha256=SHA256),
            make.entry(CODE, entry_id="b-3", sha256=SHA256[::-1], md5=MD5),
            make.entry(entry_id="b-4", sha256=SHA256[:16] + "0" * 48),
        ]
    )

    def named(*digests):
        return [entry.entry_id for entry in bank.same_file(*digests)]

    assert (named(SHA256), named(SHA256[::-1]), named("0" * 64)) == (["b-2"], ["b-3"], [])
    assert named("0" * 64, MD5) == ["b-3"]
    assert sorted(named(SHA256, MD5)) == ["b-2", "b-3"]
    bank.pop("b-2")
    assert named(SHA256) == []


# Few base codes with few flips, so that there is something to find.
codes = st.builds(
    lambda base, flips: base ^ sum(1 << bit for bit in flips),
    st.sampled_from([0, CODE, (1 << 256) - 1]),
    st.sets(st.integers(0, 255), max_size=40),
) | st.integers(0, (1 << 256) - 1)
hashes = st.tuples(codes, st.integers(0, 100))


@given(
    st.lists(st.lists(hashes, min_size=1, max_size=4), max_size=5),
    st.lists(hashes, max_size=5),
    st.integers(0, 128),
    st.integers(0, 100),
)
def test_the_bank_agrees_with_a_search_one_by_one(make, bank, frames, max_distance, min_quality):
    entries = [make.entry(*rows, entry_id=f"b-{number}") for number, rows in enumerate(bank)]
    expected = [
        (float(at), distance, f"b-{number}", row / 2)
        for at, (code, quality) in enumerate(frames)
        for number, rows in enumerate(bank)
        for row, (banned, detail) in enumerate(rows)
        if min(quality, detail) >= min_quality and (distance := (code ^ banned).bit_count()) <= max_distance
    ]
    items = [make.frame(code, quality, at_s=float(at)) for at, (code, quality) in enumerate(frames)]
    found = HashBank(entries).match(items, max_distance=max_distance, min_quality=min_quality)
    told = [(match.at_s, match.distance, match.entry_id, match.bank_at_s) for match in found]
    assert sorted(told) == sorted(expected)
    assert [match[:2] for match in told] == sorted(match[:2] for match in expected)
