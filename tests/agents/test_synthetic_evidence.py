"""Evidence over a livestream's segments."""

from __future__ import annotations

import random

import pytest

from agents.synthetic.evidence import Rates, State, bound, heard, replayed, threshold_for

RATES = Rates(recall=0.95, false=0.01, threshold=0.5)
#: 2 h of segments of 6 s; one wrong call in a hundred such streams.
LIMIT = threshold_for(1200, 0.01)


def of(scores: list[float | None]) -> State:
    return replayed(enumerate(scores), RATES, LIMIT)


def test_a_swap_after_hours_of_real_footage_is_called_within_three_segments_of_it() -> None:
    found = of([0.1] * 1200 + [0.9] * 3)
    assert found.called
    assert found.since == 1200


def test_two_segments_are_too_little_to_call() -> None:
    assert not of([0.1] * 10 + [0.9] * 2).called


def test_a_single_wrong_score_is_outweighed_by_the_real_segments_after_it() -> None:
    found = of([0.9, 0.1, 0.1])
    assert found.sum == 0.0
    assert found.since is None


def test_inconclusive_segments_say_nothing_for_either_side() -> None:
    assert of([0.9, None, None, 0.9, None, 0.9]).called
    assert of([None] * 100) == State(last=99)


def test_a_segment_that_comes_again_or_late_counts_nothing() -> None:
    once = replayed([(0, 0.9), (1, 0.9)], RATES, LIMIT)
    assert replayed([(0, 0.9), (1, 0.9), (1, 0.9), (0, 0.9)], RATES, LIMIT) == once
    assert not once.called


def test_a_stream_read_back_after_a_restart_is_where_it_was() -> None:
    scores = [0.1, 0.9, None, 0.9, 0.1, 0.9, 0.9]
    state = State()
    for segment, score in enumerate(scores[:4]):
        state = heard(state, segment, score, RATES, LIMIT)
    state = State(*state)  # as kept
    for segment, score in enumerate(scores[4:], 4):
        state = heard(state, segment, score, RATES, LIMIT)
    assert state == of(scores)


def test_once_called_stays_called() -> None:
    found = of([0.9] * 4 + [0.1] * 50)
    assert found.called
    assert found.sum == 0.0


def test_wrong_calls_stay_within_the_rate_that_was_asked_for() -> None:
    chance = random.Random(5)
    limit = threshold_for(200, 0.05)
    called = 0
    for _ in range(400):
        scores = [(n, 0.9 if chance.random() < 0.01 else 0.1) for n in range(200)]
        called += replayed(scores, RATES, limit).called
    assert called <= 400 * 0.05


@pytest.mark.parametrize(
    "rates",
    [Rates(0.9, 0.0, 0.5), Rates(1.0, 0.1, 0.5), Rates(0.2, 0.3, 0.5)],
    ids=["none", "all", "worse than chance"],
)
def test_rates_that_no_evidence_can_be_made_of_are_refused(rates: Rates) -> None:
    with pytest.raises(ValueError, match=r"recall|false"):
        replayed([], rates, LIMIT)


def test_a_count_of_none_is_a_bound_above_none() -> None:
    assert bound(0, 100) == pytest.approx(0.0263, abs=1e-3)
    assert bound(100, 100) == 1.0
    with pytest.raises(ValueError, match="no count"):
        bound(2, 1)
