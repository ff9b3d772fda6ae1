"""What lies on the topics is read back one message after another: what is young enough, whatever the clocks say."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from time import time
from types import SimpleNamespace

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.structs import OffsetAndTimestamp
from trial_agents import NOW, upload

from schemas.event import Admitted
from schemas.message import encode
from schemas.topics import ADMITTED, DECISIONS, UPLOADS, Topic
from streams.agent import Incoming
from streams.client import Client
from streams.readback import by_age, read_back
from streams.settings import Settings

HOUR_S = 3600.0


@pytest.fixture
async def settings(on_broker: Callable[..., Settings]) -> Settings:
    """Beside the broker, with a few topics."""
    settings = on_broker()
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.broker)
    await admin.start()
    topics = [
        NewTopic(settings.topic_prefix + topic.name, topic.partitions, 1) for topic in (UPLOADS, ADMITTED, DECISIONS)
    ]
    await admin.create_topics(topics)
    await admin.close()
    return settings


async def put(settings: Settings, *numbers: int, partition: int = 0, values: Sequence[bytes | None] = ()) -> None:
    """Put admitted events, or bytes, on a partition, together."""
    async with AIOKafkaProducer(bootstrap_servers=settings.broker, linger_ms=5) as sending:
        futures = [
            await sending.send(settings.topic_prefix + ADMITTED.name, value, key=b"publisher", partition=partition)
            for value in values or [encode(admitted(number)) for number in numbers]
        ]
        await asyncio.gather(*futures)


def admitted(number: int) -> Admitted:
    return Admitted(event=upload(number), admitted_at=NOW)


def numbers(found: Sequence[Incoming]) -> list[int]:
    return [int(each.value.event.event_id.removeprefix("event-")) for each in found]


async def read(
    settings: Settings,
    since: Mapping[Topic, float],
    only: Mapping[Topic, frozenset[int]] | None = None,
    after: Mapping[tuple[str, int], int] | None = None,
) -> list[Incoming]:
    return [found async for found in read_back(settings, since, only or {}, after or {})]


async def test_only_what_is_young_enough_is_read_back(settings: Settings) -> None:
    # The embedded broker goes by the time at which a message arrived.
    await put(settings, 0, 1)
    await put(settings, 10, partition=1)
    await asyncio.sleep(1.0)
    await put(settings, 2, 3)
    assert numbers(await read(settings, {ADMITTED: 0.5})) == [2, 3]
    assert sorted(numbers(await read(settings, {ADMITTED: HOUR_S}))) == [0, 1, 2, 3, 10]


async def test_of_nothing_nothing_is_read_back(settings: Settings) -> None:
    assert await read(settings, {ADMITTED: HOUR_S}) == []


async def test_only_the_partitions_asked_for_are_read_back(settings: Settings) -> None:
    for partition in range(3):
        await put(settings, partition, partition + 3, partition=partition)
    assert numbers(await read(settings, {ADMITTED: 60.0}, {ADMITTED: frozenset({1})})) == [1, 4]
    both = numbers(await read(settings, {ADMITTED: 60.0}, {ADMITTED: frozenset({0, 2})}))
    assert [number for number in both if number % 3 == 0] == [0, 3]
    assert [number for number in both if number % 3 == 2] == [2, 5]
    assert await read(settings, {ADMITTED: 60.0}, {ADMITTED: frozenset()}) == []
    assert len(await read(settings, {ADMITTED: 60.0, DECISIONS: 60.0}, {DECISIONS: frozenset({1})})) == 6


async def test_what_cannot_be_read_is_passed_over(settings: Settings) -> None:
    await put(settings, 0)
    await put(settings, values=[b"{", b"{}", b"\xff", None])
    await put(settings, 1)
    assert numbers(await read(settings, {ADMITTED: 60.0})) == [0, 1]


async def test_the_last_of_what_was_sent_together_is_read_back(settings: Settings) -> None:
    await put(settings, *range(50))
    assert numbers(await read(settings, {ADMITTED: 60.0})) == list(range(50))


async def test_several_topics_are_read_back_together_each_with_its_place(settings: Settings) -> None:
    async with Client(settings) as client:
        await client.send(UPLOADS, upload(1))
    await put(settings, 2, 3, partition=5)
    found = await read(settings, {UPLOADS: 60.0, ADMITTED: 60.0})
    assert {type(each.value) for each in found} == {type(upload()), Admitted}
    assert [(each.topic, each.partition, each.offset) for each in found if each.topic == "admitted"] == [
        ("admitted", 5, 0),
        ("admitted", 5, 1),
    ]


async def test_from_an_offset_on_everything_is_read_however_old_and_nothing_before_it(settings: Settings) -> None:
    await put(settings, 0, 1, 2)
    await put(settings, 10, 11, partition=1)
    found = await read(settings, {ADMITTED: 60.0}, {}, {("admitted", 0): 1})
    assert sorted(numbers(found)) == [1, 2, 10, 11]
    everything_known = {("admitted", 0): 3, ("admitted", 1): 2}
    assert await read(settings, {ADMITTED: 60.0}, {}, everything_known) == []


@pytest.mark.parametrize("fast_s", [-HOUR_S, HOUR_S])
async def test_a_reader_whose_clock_is_an_hour_off_misses_nothing(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, fast_s: float
) -> None:
    await put(settings, 0)
    await put(settings, 1)
    monkeypatch.setattr("streams.readback.time", lambda: time() + fast_s)
    assert numbers(await read(settings, {ADMITTED: 60.0})) == [0, 1]


class Lying:
    """A consumer of one partition whose records have these timestamps, in s.

    It finds times as Apache Kafka does: the first record that is not older."""

    def __init__(self, *seconds: float) -> None:
        self.times = [int(second * 1000) for second in seconds]
        self.at = 0
        self.shown = True

    def assign(self, _: object) -> None:
        pass

    def seek(self, _: object, offset: int) -> None:
        self.at = offset

    def highwater(self, _: object) -> int:
        return len(self.times)

    async def position(self, _: object) -> int:
        return self.at

    async def beginning_offsets(self, parts: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(parts, 0)

    async def end_offsets(self, parts: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(parts, len(self.times))

    async def offsets_for_times(
        self, wanted: dict[TopicPartition, int]
    ) -> dict[TopicPartition, OffsetAndTimestamp | None]:
        found = {}
        for part, at in wanted.items():
            first = next(((offset, time) for offset, time in enumerate(self.times) if time >= at), None)
            found[part] = OffsetAndTimestamp(*first) if first else None
        return found

    async def getmany(self, **_: object) -> dict[TopicPartition, list[SimpleNamespace]]:
        if not self.shown:
            await asyncio.sleep(0.01)
            return {}
        records = [SimpleNamespace(timestamp=time) for time in self.times[self.at :]]
        self.at = len(self.times)
        return {PART: records}


PART = TopicPartition("decisions", 0)
#: By a clock that is right, seconds before now; a day's worth of records, ten minutes apart.
AGES = range(86_400, 0, -600)
NOW_S = 1_800_000_000


# Both fast by an hour is the one case that nothing here can tell from two that are right.
@pytest.mark.parametrize(
    ("reader_s", "writer_s"), sorted({*itertools.product((-HOUR_S, 0, HOUR_S), repeat=2)} - {(HOUR_S, HOUR_S)})
)
@pytest.mark.parametrize("share", [2, 3])
async def test_where_one_clock_is_an_hour_off_no_record_of_the_last_hour_is_too_old(
    monkeypatch: pytest.MonkeyPatch, reader_s: float, writer_s: float, share: int
) -> None:
    """One worker of so many has written with a clock of its own."""
    monkeypatch.setattr("streams.readback.time", lambda: NOW_S + reader_s)
    times = [NOW_S - age + (writer_s if number % share == 0 else 0) for number, age in enumerate(AGES)]
    starts = await by_age(Lying(*times), {PART: HOUR_S})
    last_hour = next(number for number, age in enumerate(AGES) if age <= HOUR_S)
    assert starts[PART] <= last_hour
    assert starts[PART] >= last_hour - 13, "and not much more than the hour is read"


async def test_where_the_newest_record_cannot_be_had_this_clock_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A transaction ends in a marker, which no consumer is shown."""
    monkeypatch.setattr("streams.readback.time", lambda: NOW_S)
    monkeypatch.setattr("streams.readback.NEWEST_WAIT_S", 0.05)
    lying = Lying(*(NOW_S - age for age in AGES))
    lying.shown = False
    assert await by_age(lying, {PART: HOUR_S}) == {PART: len(AGES) - 7 + 1}


async def test_it_does_not_read_ahead_of_whoever_takes_it(settings: Settings) -> None:
    """Memory holds what one fetch brings, not the topic; and whoever stops early leaves no consumer behind."""
    for _ in range(3):
        await put(settings, *range(500))

    async def first(found: AsyncIterator[Incoming], count: int) -> list[Incoming]:
        return [each async for each in _take(found, count)]

    found = read_back(settings, {ADMITTED: 60.0}, {}, {})
    async with aclosing(found):
        assert numbers(await first(found, 5)) == [0, 1, 2, 3, 4]


async def _take(found: AsyncIterator[Incoming], count: int) -> AsyncIterator[Incoming]:
    for _ in itertools.repeat(None, count):
        yield await anext(found)
