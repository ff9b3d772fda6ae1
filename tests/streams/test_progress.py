"""Lag and the age of the last commit say whether a group gets on, and nothing else does."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from prometheus_client import CollectorRegistry

from streams.metrics import Metrics
from streams.progress import Progress


class Part(NamedTuple):
    topic: str
    partition: int


ONE, TWO = Part("p.uploads", 1), Part("p.uploads", 2)


class Consumer:
    """What Faust's consumer knows: its assignment, high-water marks, committed offsets, and what it has read."""

    def __init__(self) -> None:
        self.high: dict[Part, int | None] = {}
        self._committed_offset: dict[Part, int | None] = {}
        self._read_offset: dict[Part, int | None] = {}

    def at(self, part: Part, committed: int | None, high: int | None, *, read: bool = True) -> None:
        self.high[part] = high
        self._committed_offset[part] = committed
        self._read_offset[part] = (committed or 0) if read else None

    def assignment(self) -> list[Part]:
        return list(self.high)

    def highwater(self, part: Part) -> int | None:
        return self.high[part]


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
    consumer = Consumer()
    consumer.at(ONE, 10, 15)
    consumer.at(TWO, 7, 7)
    progress.read(consumer, queued=3)
    assert (progress.lag, progress.partitions) == (5, 2)
    assert (lag(registry, 1), lag(registry, 2)) == (5, 0)
    assert registry.get_sample_value("veristream_partitions", {"agent": "echo"}) == 2
    assert registry.get_sample_value("veristream_queue_messages", {"agent": "echo"}) == 3


def test_without_lag_a_commit_has_no_age(progress: Progress, clock: list[float]) -> None:
    consumer = Consumer()
    consumer.at(ONE, 10, 10)
    for _ in range(3):
        progress.read(consumer, queued=0)
        clock[0] += 100
    assert progress.commit_age_s == 0


def test_a_group_that_stands_still_grows_old(
    progress: Progress, clock: list[float], registry: CollectorRegistry
) -> None:
    consumer = Consumer()
    consumer.at(ONE, 10, 15)
    for _ in range(4):
        progress.read(consumer, queued=0)
        clock[0] += 10
    assert progress.commit_age_s == 30
    assert registry.get_sample_value("veristream_commit_age_seconds", {"agent": "echo"}) == 30


def test_a_group_that_commits_is_young_however_far_behind(progress: Progress, clock: list[float]) -> None:
    consumer = Consumer()
    for committed in range(10, 14):
        consumer.at(ONE, committed, 1_000_000)
        progress.read(consumer, queued=0)
        clock[0] += 10
    assert progress.commit_age_s == 0
    assert progress.lag == 1_000_000 - 13


def test_age_begins_when_lag_does(progress: Progress, clock: list[float]) -> None:
    consumer = Consumer()
    ages = []
    for second in range(6):
        consumer.at(ONE, 10, 10 if second < 3 else 11)
        progress.read(consumer, queued=0)
        ages.append(progress.commit_age_s)
        clock[0] += 1
    assert ages == [0, 0, 0, 1, 2, 3]


def test_a_new_group_has_everything_before_it_once_it_reads(progress: Progress) -> None:
    consumer = Consumer()
    consumer.at(ONE, None, 15)
    progress.read(consumer, queued=0)
    assert progress.lag == 15


def test_a_partition_whose_messages_are_all_deleted_does_not_wait_for_ever(
    progress: Progress, clock: list[float]
) -> None:
    consumer = Consumer()
    consumer.at(ONE, None, 1000, read=False)
    for _ in range(3):
        progress.read(consumer, queued=0)
        clock[0] += 100
    assert progress.lag == 0
    assert progress.commit_age_s == 0


def test_an_unknown_end_is_no_lag(progress: Progress) -> None:
    consumer = Consumer()
    consumer.at(ONE, 10, None)
    progress.read(consumer, queued=0)
    assert progress.lag == 0


def test_a_partition_that_is_taken_away_leaves_no_series(progress: Progress, registry: CollectorRegistry) -> None:
    consumer = Consumer()
    consumer.at(ONE, 10, 15)
    consumer.at(TWO, 7, 9)
    progress.read(consumer, queued=0)
    del consumer.high[ONE]
    progress.read(consumer, queued=0)
    assert (lag(registry, 1), lag(registry, 2)) == (None, 2)
    assert (progress.lag, progress.partitions) == (2, 1)
    consumer.at(ONE, 15, 15)
    progress.read(consumer, queued=0)
    assert lag(registry, 1) == 0


def test_without_partitions_it_counts_none(progress: Progress) -> None:
    progress.read(Consumer(), queued=0)
    assert (progress.lag, progress.partitions, progress.commit_age_s) == (0, 0, 0)
