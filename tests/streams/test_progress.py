"""Lag and the age of the last commit say whether a group gets on, and nothing else does."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from prometheus_client import CollectorRegistry

from streams.consumer import Place
from streams.metrics import Metrics
from streams.progress import Progress


class Part(NamedTuple):
    topic: str
    partition: int


ONE, TWO = Part("p.uploads", 1), Part("p.uploads", 2)


class Places(dict[Part, Place]):
    """Where each partition stands."""

    def at(self, part: Part, begun: int | None, end: int | None, *, served: bool = True) -> None:
        self[part] = Place(begun, end, served)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr("streams.progress.monotonic", lambda: now[0])
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
