"""Aligned sequences: where an item shows an entry, at what speed, and what is no sequence at all."""

from __future__ import annotations

from time import monotonic
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.review.sequence import MOST_STRETCHES, Pair, shares, stretches


class Hit(NamedTuple):
    entry_id: str
    at_s: float
    bank_at_s: float


def shown(at_s: float, seconds: float, *, speed: float = 1.0, from_s: float = 0.0, every_s: float = 0.5) -> list[Pair]:
    """An entry played from `from_s` on, between these times of an item."""
    steps = int(seconds / every_s) + 1
    return [Hit("b", at_s + step * every_s, from_s + step * every_s * speed) for step in range(steps)]


def noise(random, count: int, until_s: float) -> list[Pair]:
    return [Hit("b", random.uniform(0, until_s), random.uniform(0, 60)) for _ in range(count)]


def test_three_seconds_within_an_hour_are_found_with_their_place_in_both() -> None:
    [stretch] = stretches(shown(1800.0, 3.0, from_s=7.0))
    assert (stretch.at_s, stretch.until_s) == (1800.0, 1803.0)
    assert (stretch.bank_at_s, stretch.bank_until_s) == (7.0, 10.0)
    assert stretch.frames == 7
    assert stretch.speed == pytest.approx(1.0)


@given(
    speed=st.floats(0.85, 1.18),
    seconds=st.floats(3, 60),
    at_s=st.floats(0, 3600),
    from_s=st.floats(0, 100),
    every_s=st.sampled_from([0.2, 0.5, 1.0]),
    seed=st.randoms(use_true_random=False),
)
@settings(max_examples=60, deadline=None)
def test_a_copy_at_another_speed_is_one_stretch_whatever_else_matches(
    speed: float, seconds: float, at_s: float, from_s: float, every_s: float, seed
) -> None:
    pairs = shown(at_s, seconds, speed=speed, from_s=from_s, every_s=every_s)
    stray = [hit for hit in noise(seed, 5, 3700) if not at_s - 12 <= hit.at_s <= at_s + seconds + 12]
    found = stretches([*pairs, *stray])[0]
    assert found.at_s == pytest.approx(at_s)
    assert found.until_s == pytest.approx(pairs[-1].at_s)
    assert found.frames == len({pair.at_s for pair in pairs})
    if seconds >= 6:
        assert found.speed == pytest.approx(speed, abs=0.02)


def test_an_entry_that_is_shown_twice_is_two_stretches() -> None:
    pairs = [*shown(10.0, 5.0), *shown(100.0, 8.0)]
    assert [(one.at_s, one.until_s) for one in stretches(pairs)] == [(100.0, 108.0), (10.0, 15.0)]


def test_parts_in_another_order_are_stretches_of_their_own() -> None:
    pairs = [*shown(0.0, 5.0, from_s=20.0), *shown(5.5, 5.0, from_s=0.0)]
    found = sorted((one.at_s, one.bank_at_s) for one in stretches(pairs))
    assert found == [(0.0, 20.0), (5.5, 0.0)]


def test_a_still_picture_that_is_shown_for_long_is_one_stretch_of_no_speed() -> None:
    [stretch] = stretches([Hit("b", float(at), 3.0) for at in range(8)])
    assert (stretch.at_s, stretch.until_s, stretch.frames, stretch.speed) == (0.0, 7.0, 8, None)


def test_entries_do_not_mix() -> None:
    other = [Hit("c", pair.at_s, pair.bank_at_s) for pair in shown(50.0, 4.0)]
    assert {one.entry_id: one.at_s for one in stretches([*shown(0.0, 5.0), *other])} == {"b": 0.0, "c": 50.0}


def test_a_single_frame_is_a_stretch_of_one() -> None:
    [stretch] = stretches([Hit("b", 4.0, 2.0)])
    assert (stretch.at_s, stretch.until_s, stretch.frames, stretch.speed) == (4.0, 4.0, 1, None)


def test_nothing_is_no_stretch() -> None:
    assert stretches([]) == []


def test_the_order_in_which_pairs_come_does_not_matter() -> None:
    pairs = [*shown(10.0, 5.0), *shown(100.0, 8.0, speed=1.1)]
    assert stretches(pairs) == stretches(pairs[::-1])


def test_an_hour_of_matches_costs_no_more_than_a_moment() -> None:
    everywhere = [Hit("b", float(at), float(bank)) for at in range(3600) for bank in range(0, 60, 20)]
    begun = monotonic()
    found = stretches(everywhere)
    assert len(found) <= MOST_STRETCHES
    assert monotonic() - begun < 2.0


def test_shares_are_of_frames_with_enough_detail() -> None:
    pairs = [Hit("b", 0.0, 0.0), Hit("b", 0.0, 1.0), Hit("b", 1.0, 1.0), Hit("c", 2.0, 0.0)]
    assert shares(pairs, "b", item_frames=4, entry_frames=8) == (0.5, 0.25)
    assert shares(pairs, "b", item_frames=0, entry_frames=0) == (1.0, 1.0)
