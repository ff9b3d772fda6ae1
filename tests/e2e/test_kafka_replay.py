"""On Apache Kafka: what is put back is put back once, and what is read back is what the log says is young enough."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from time import time
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from confluent_kafka import Consumer, Producer, TopicPartition
from kafka import client, prefixes
from msgspec.structs import replace

from deploy.kafka.cluster import Cluster
from schemas.deadletter import LETTER_HEADER, REPLAY_HEADER, DeadLetter
from schemas.examples import EXAMPLES
from schemas.message import encode
from schemas.topics import DECISIONS, VERDICTS
from streams.deadletters import DeadLetters, Wanted
from streams.kafka import create_topics
from streams.readback import read_back
from streams.settings import Settings, load

HOUR_S = 3600.0


@pytest.fixture
async def settings(kafka: Cluster) -> AsyncIterator[Settings]:
    loaded = load(**kafka.settings | prefixes())
    await create_topics(loaded)
    yield loaded


def letter(settings: Settings, number: int, **changes: Any) -> bytes:
    example: Any = EXAMPLES["deadletters"]
    made: DeadLetter = replace(
        example, topic=f"{settings.topic_prefix}uploads", partition=2, offset=number, value=b"%d" % number, **changes
    )
    return encode(made)


async def put(settings: Settings, topic: str, partition: int, values: list[bytes], age_s: float = 0.0) -> int:
    """Put these on a partition, with a clock that says so long ago; the offset of the last."""
    producer = AIOKafkaProducer(bootstrap_servers=settings.broker, acks="all", max_request_size=9_000_000)
    async with producer:
        at = int((time() - age_s) * 1000)
        name = settings.topic_prefix + topic
        sent = [await producer.send(name, value, b"alice", partition, timestamp_ms=at) for value in values]
        return [await each for each in sent][-1].offset


def messages(settings: Settings, given: dict[str, Any], topic: str, partition: int) -> list[Any]:
    """Every message of a partition, by another client."""
    reading = Consumer(client(given, **{"group.id": settings.group_prefix, "enable.auto.commit": False}))
    part = TopicPartition(settings.topic_prefix + topic, partition, 0)
    end = reading.get_watermark_offsets(part, timeout=20)[1]
    reading.assign([part])
    found: list[Any] = []
    while not found or found[-1].offset() + 1 < end:
        message = reading.poll(20)
        assert message is not None and not message.error(), message and message.error()
        found.append(message)
    reading.close()
    return found


async def test_three_who_replay_at_once_put_each_letter_back_once(kafka: Cluster, settings: Settings) -> None:
    await put(settings, "deadletters", 7, [letter(settings, number) for number in range(50)])

    async def run() -> list[str]:
        async with DeadLetters(settings) as letters:
            wanted = [(each.partition, each.offset) async for each in letters.find(Wanted(topic="uploads"))]
            assert len(wanted) == 50
            return [each.outcome async for each in letters.replay(wanted)]

    outcomes = Counter(outcome for several in await asyncio.gather(run(), run(), run()) for outcome in several)
    assert outcomes["replayed"] == 50
    assert set(outcomes) <= {"replayed", "already", "busy"}
    assert set(await run()) == {"already"}
    found = await asyncio.to_thread(messages, settings, kafka.settings, "uploads", 2)
    assert sorted(int(each.value()) for each in found) == list(range(50))
    assert {dict(each.headers())[REPLAY_HEADER] for each in found} == {b"1"}
    assert len({dict(each.headers())[LETTER_HEADER] for each in found}) == 50


async def test_a_message_that_was_too_large_to_keep_is_put_back_or_refused_by_the_broker(
    kafka: Cluster, settings: Settings
) -> None:
    """As large as the topic takes: what it took once it takes again, headers and all."""
    room = settings.max_message_bytes
    offset = await put(settings, "uploads", 2, [b"before", b"x" * room])
    await put(settings, "deadletters", 7, [encode(replace(_kept(settings), value=None, offset=offset))])
    async with DeadLetters(settings) as letters:
        (found,) = [each async for each in letters.find(Wanted())]
        (done,) = [each async for each in letters.replay([(found.partition, found.offset)])]
    assert (done.outcome, done.place and done.place.offset) == ("replayed", offset + 1)
    *_, last = await asyncio.to_thread(messages, settings, kafka.settings, "uploads", 2)
    assert last.value() == b"x" * room


def _kept(settings: Settings) -> DeadLetter:
    example: Any = EXAMPLES["deadletters"]
    return replace(example, topic=f"{settings.topic_prefix}uploads", partition=2)


@pytest.mark.parametrize("reader_s", [-HOUR_S, 0.0, HOUR_S])
async def test_an_hour_is_read_back_whatever_one_clock_says(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, reader_s: float
) -> None:
    """Three days of decisions, of which the last hour is wanted, by a reader whose clock may be an hour off."""
    example: Any = EXAMPLES["decisions"]

    def decisions(*numbers: int) -> list[bytes]:
        return [encode(replace(example, event_id=str(number))) for number in numbers]

    for number, age_s in enumerate((72 * HOUR_S, 5 * HOUR_S, 0.9 * HOUR_S, 60.0, 0.0)):
        await put(settings, "decisions", 3, decisions(number), age_s)
        await put(settings, "decisions", 4, decisions(10 + number), age_s)
    monkeypatch.setattr("streams.readback.time", lambda: time() + reader_s)
    read = [each async for each in read_back(settings, {DECISIONS: HOUR_S}, {DECISIONS: frozenset({3})}, {})]
    assert [int(each.value.event_id) for each in read] == [2, 3, 4]
    assert {(each.partition, each.topic) for each in read} == {(3, "decisions")}
    both = [
        each async for each in read_back(settings, {DECISIONS: HOUR_S, VERDICTS: HOUR_S}, {}, {("decisions", 4): 1})
    ]
    assert sorted(int(each.value.event_id) for each in both) == [2, 3, 4, 11, 12, 13, 14]


async def test_an_outside_client_sees_the_headers_of_a_first_message_kept_apart(
    kafka: Cluster, settings: Settings
) -> None:
    """A producer's own headers are not ours to read: only the count is."""
    producer = Producer(client(kafka.settings))
    producer.produce(
        f"{settings.topic_prefix}deadletters", letter(settings, 1, replays=2), b"alice", 7, headers=[("trace", b"abc")]
    )
    assert producer.flush(20) == 0
    async with DeadLetters(settings) as letters:
        (found,) = [each async for each in letters.find(Wanted())]
        (done,) = [each async for each in letters.replay([(found.partition, found.offset)])]
    assert done.outcome == "replayed"
    (message,) = await asyncio.to_thread(messages, settings, kafka.settings, "uploads", 2)
    assert dict(message.headers())[REPLAY_HEADER] == b"3"
