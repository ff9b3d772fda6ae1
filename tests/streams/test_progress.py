"""Lag and the age of the last commit say whether a group gets on, and nothing else does."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace
from typing import NamedTuple

import pytest
from aiokafka import TopicPartition
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from streams.ages import Ages
from streams.consumer import Place
from streams.metrics import Metrics
from streams.progress import Progress


class Part(NamedTuple):
    topic: str
    partition: int


ONE, TWO = Part("p.uploads", 1), Part("p.uploads", 2)


#: The wall clock when the other one stands at 0.
WALL = 1_700_000_000.0


class Places(dict[Part, Place]):
    """Where each partition stands."""

    def at(
        self, part: Part, begun: int | None, end: int | None, *, served: bool = True, sent_at: float | None = None
    ) -> None:
        self[part] = Place(begun, end, served, sent_at)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr("streams.progress.monotonic", lambda: now[0])
    monkeypatch.setattr("streams.progress.time", lambda: now[0] + WALL)
    return now


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def progress(clock: list[float], registry: CollectorRegistry) -> Progress:
    return Progress("echo", "p.", Metrics(registry))


def lag(registry: CollectorRegistry, partition: int) -> float | None:
    labels = {"agent": "echo", "topic": "uploads", "partition": str(partition)}
    return registry.get_sample_value("veristream_lag_messages", labels)


def test_lag_is_what_lies_there_and_is_not_committed(progress: Progress, registry: CollectorRegistry) -> None:
    places = Places()
    places.at(ONE, 10, 15)
    places.at(TWO, 7, 7)
    progress.read(places, queued=3)
    assert (progress.lag, progress.partitions) == (5, 2)
    assert (lag(registry, 1), lag(registry, 2)) == (5, 0)
    assert registry.get_sample_value("veristream_partitions", {"agent": "echo"}) == 2
    assert registry.get_sample_value("veristream_queue_messages", {"agent": "echo"}) == 3


def test_without_lag_a_commit_has_no_age(progress: Progress, clock: list[float]) -> None:
    places = Places()
    places.at(ONE, 10, 10)
    for _ in range(3):
        progress.read(places, queued=0)
        clock[0] += 100
    assert progress.commit_age_s == 0


def test_a_group_that_stands_still_grows_old(
    progress: Progress, clock: list[float], registry: CollectorRegistry
) -> None:
    places = Places()
    places.at(ONE, 10, 15)
    for _ in range(4):
        progress.read(places, queued=0)
        clock[0] += 10
    assert progress.commit_age_s == 30
    assert registry.get_sample_value("veristream_commit_age_seconds", {"agent": "echo"}) == 30


def test_a_group_that_commits_is_young_however_far_behind(progress: Progress, clock: list[float]) -> None:
    places = Places()
    for committed in range(10, 14):
        places.at(ONE, committed, 1_000_000)
        progress.read(places, queued=0)
        clock[0] += 10
    assert progress.commit_age_s == 0
    assert progress.lag == 1_000_000 - 13


def test_age_begins_when_lag_does(progress: Progress, clock: list[float]) -> None:
    places = Places()
    ages = []
    for second in range(6):
        places.at(ONE, 10, 10 if second < 3 else 11)
        progress.read(places, queued=0)
        ages.append(progress.commit_age_s)
        clock[0] += 1
    assert ages == [0, 0, 0, 1, 2, 3]


def test_a_new_group_has_everything_before_it_once_it_reads(progress: Progress) -> None:
    places = Places()
    places.at(ONE, 0, 15)
    progress.read(places, queued=0)
    assert progress.lag == 15


def test_a_partition_whose_messages_are_all_deleted_does_not_wait_for_ever(
    progress: Progress, clock: list[float]
) -> None:
    places = Places()
    places.at(ONE, None, 1000)
    for _ in range(3):
        progress.read(places, queued=0)
        clock[0] += 100
    assert progress.lag == 0
    assert progress.commit_age_s == 0


def test_an_unknown_end_is_no_lag(progress: Progress) -> None:
    places = Places()
    places.at(ONE, 10, None)
    progress.read(places, queued=0)
    assert progress.lag == 0


def test_a_partition_that_is_taken_away_leaves_no_series(progress: Progress, registry: CollectorRegistry) -> None:
    places = Places()
    places.at(ONE, 10, 15)
    places.at(TWO, 7, 9)
    progress.read(places, queued=0)
    del places[ONE]
    progress.read(places, queued=0)
    assert (lag(registry, 1), lag(registry, 2)) == (None, 2)
    assert (progress.lag, progress.partitions) == (2, 1)
    places.at(ONE, 15, 15)
    progress.read(places, queued=0)
    assert lag(registry, 1) == 0


def test_without_partitions_it_counts_none(progress: Progress) -> None:
    progress.read(Places(), queued=0)
    assert (progress.lag, progress.partitions, progress.commit_age_s) == (0, 0, 0)


# Standing still.


def stood(progress: Progress, clock: list[float], places: Places, **how: bool) -> float:
    for _ in range(4):
        progress.read(places, queued=0, **how)
        clock[0] += 10
    return progress.stalled_s


@pytest.fixture
def behind() -> Places:
    places = Places()
    places.at(ONE, 10, 15)
    return places


def test_a_group_that_is_behind_and_commits_nothing_stands_still(
    progress: Progress, clock: list[float], behind: Places
) -> None:
    assert stood(progress, clock, behind) == 30


def test_an_idle_group_does_not_stand_still(progress: Progress, clock: list[float]) -> None:
    places = Places()
    places.at(ONE, 15, 15)
    assert stood(progress, clock, places) == 0


def test_a_group_whose_broker_is_away_does_not_stand_still_and_is_not_ready(
    progress: Progress, clock: list[float], behind: Places
) -> None:
    assert stood(progress, clock, behind, excused=True) == 0
    assert progress.commit_age_s == 30
    # The time begins anew when the broker is back.
    assert stood(progress, clock, behind) == 40


def test_a_partition_without_a_leader_is_not_waited_for(progress: Progress, clock: list[float]) -> None:
    places = Places()
    places.at(ONE, 10, 15, served=False)
    assert stood(progress, clock, places) == 0
    places.at(TWO, 10, 15)
    assert stood(progress, clock, places) == 30


def lag_s(registry: CollectorRegistry) -> float | None:
    return registry.get_sample_value("veristream_lag_seconds", {"agent": "echo"})


def test_a_group_is_as_far_behind_in_time_as_its_oldest_message(
    progress: Progress, registry: CollectorRegistry
) -> None:
    places = Places()
    places.at(ONE, 10, 15, sent_at=WALL + 940)
    places.at(TWO, 7, 9, sent_at=WALL + 970)
    progress.read(places, queued=0)
    assert lag_s(registry) == 60
    places.at(ONE, 15, 15, sent_at=WALL + 940)
    progress.read(places, queued=0)
    assert lag_s(registry) == 30
    places.at(TWO, 9, 9)
    progress.read(places, queued=0)
    assert lag_s(registry) == 0


def test_a_message_after_a_long_quiet_has_not_waited_since_before_it(
    progress: Progress, clock: list[float], registry: CollectorRegistry
) -> None:
    """What is known is when the last message before it was sent: three hours ago."""
    places = Places()
    for second in range(5):
        clock[0] += 1
        places.at(ONE, 10, 10 if second < 3 else 11, sent_at=WALL + clock[0] - 3 * 3600)
        progress.read(places, queued=0)
    assert lag_s(registry) == 2


@pytest.mark.parametrize("skew", [-3600.0, 3600.0])
def test_a_sender_whose_clock_is_an_hour_off_makes_no_hour_of_lag(
    progress: Progress, clock: list[float], registry: CollectorRegistry, skew: float
) -> None:
    places = Places()
    places.at(ONE, 10, 10)
    progress.read(places, queued=0)
    clock[0] += 5
    places.at(ONE, 10, 12, sent_at=WALL + clock[0] + skew)
    progress.read(places, queued=0)
    assert 0 <= (lag_s(registry) or 0.0) <= 5


def test_what_is_not_known_yet_is_no_lag_in_time(progress: Progress, registry: CollectorRegistry) -> None:
    places = Places()
    places.at(ONE, 10, 1000)
    progress.read(places, queued=0)
    assert (lag(registry, 1), lag_s(registry)) == (990, 0)


# When messages were sent.


def records(*sent: tuple[int, int]) -> list[SimpleNamespace]:
    return [SimpleNamespace(offset=offset, timestamp=second * 1000) for offset, second in sent]


def test_a_message_was_sent_no_earlier_than_what_was_taken_with_it_or_before() -> None:
    ages, part = Ages(), TopicPartition("uploads", 0)
    assert ages.sent_at(part, 0) is None
    ages.took(part, records((10, 100), (11, 110), (14, 130)))
    ages.took(part, records((15, 140), (16, 150)))
    assert ages.sent_at(part, None) is None
    assert [ages.sent_at(part, offset) for offset in (10, 11, 14, 15, 16, 17, 400)] == [
        100,
        100,
        100,
        140,
        140,
        150,
        150,
    ]
    assert ages.sent_at(TopicPartition("uploads", 1), 10) is None


def test_what_is_taken_again_counts_from_its_own_time() -> None:
    ages, part = Ages(), TopicPartition("uploads", 0)
    ages.took(part, records((10, 100), (20, 200)))
    ages.took(part, records((12, 120)))
    assert ages.sent_at(part, 12) == 120
    assert ages.sent_at(part, 11) is None


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 9)), min_size=1, max_size=60), st.data())
def test_it_is_never_thought_younger_than_it_is(steps: list[tuple[int, int]], data: st.DataObject) -> None:
    offset, second, sent = 0, 0, []
    for step, pause in steps:
        offset, second = offset + step, second + pause
        sent.append((offset, second))
    cuts = sorted({0, len(sent), *data.draw(st.lists(st.integers(0, len(sent))))})
    ages, part = Ages(), TopicPartition("uploads", 0)
    for begin, end in pairwise(cuts):
        ages.took(part, records(*sent[begin:end]))
    for number, at in sorted(data.draw(st.lists(st.sampled_from(sent), min_size=1))):
        told = ages.sent_at(part, number)
        assert told is not None
        assert told <= at
