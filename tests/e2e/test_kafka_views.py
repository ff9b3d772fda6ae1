"""State is read whole from whatever a compacted topic of a real Kafka looks like, and never waited for in vain."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from kafka import client, prefixes
from processes import until
from prometheus_client import CollectorRegistry

from schemas.message import encode
from schemas.registry import Provider
from schemas.topics import PROVIDERS
from streams.contact import KafkaUnusable
from streams.kafka import partitions_of
from streams.metrics import Metrics
from streams.settings import Settings, load
from streams.views import View, Views

#: Compacts as soon as it can.
QUICK = {
    "cleanup.policy": "compact",
    "segment.ms": "100",
    "min.cleanable.dirty.ratio": "0.01",
    "delete.retention.ms": "0",
}


@pytest.fixture
async def settings(kafka) -> Settings:
    own = load(**kafka.settings, **prefixes())
    topic = NewTopic(own.topic_prefix + PROVIDERS.name, 2, 3, config=QUICK)
    admin = AdminClient(client(kafka.settings))  # its answers come while it lives
    for done in admin.create_topics([topic]).values():
        done.result(30)
    async with asyncio.timeout(30):  # each broker hears of it in its own time
        while True:
            with suppress(KafkaUnusable):
                await partitions_of(own, [PROVIDERS])
                return own
            await asyncio.sleep(0.1)


def produce(settings: Settings, rows: list[tuple[str, bytes | None]], **config: Any) -> None:
    producer = Producer(client({"broker": settings.broker}, **config))
    transactional = "transactional.id" in config
    if transactional:
        producer.init_transactions(30)
        producer.begin_transaction()
    for key, value in rows:
        producer.produce(settings.topic_prefix + PROVIDERS.name, value, key=key, partition=0)
    if transactional:
        producer.commit_transaction(30)
    assert producer.flush(30) == 0


def row(key: str, name: str = "") -> tuple[str, bytes]:
    return key, encode(Provider(provider_id=key, name=name or key))


async def loaded(settings: Settings) -> tuple[Mapping[str, Provider], CollectorRegistry]:
    registry = CollectorRegistry()
    view: View[Provider] = View(PROVIDERS, Metrics(registry))
    views = Views([view], settings)
    await views.start()
    try:
        async with asyncio.timeout(30):
            await views.loaded()
        return dict(view.rows), registry
    finally:
        await views.stop()


def offsets(settings: Settings) -> list[int]:
    """Of the messages that lie in partition 0."""
    reader = Consumer(
        client(
            {"broker": settings.broker},
            **{"group.id": "unused", "enable.auto.commit": False, "enable.partition.eof": True},
        )
    )
    reader.assign([TopicPartition(settings.topic_prefix + PROVIDERS.name, 0, 0)])
    found: list[int] = []
    while True:
        for message in reader.consume(1000, 5.0):
            if message.error():
                reader.close()
                return found
            found.append(message.offset())


def compacted(settings: Settings, condition: Callable[[list[int]], bool]) -> list[int]:
    """Wait for the broker's cleaner, which sleeps for 15 s at a time."""
    found: list[int] = []

    def done() -> bool:
        produce(settings, [row("mover")])  # only what lies behind the newest segment is cleaned
        found[:] = offsets(settings)
        return condition(found)

    until(done, "it was not compacted", 120)
    return found


async def test_an_empty_topic_is_read_at_once(settings):
    assert (await loaded(settings))[0] == {}


async def test_a_topic_with_gaps_is_read_to_its_end(settings):
    for number in range(20):
        produce(settings, [row("p1", f"name {number}"), row(f"p{number + 2}"), row("p1")])
    there = await asyncio.to_thread(compacted, settings, lambda found: len(found) < 50)
    assert there[-1] - there[0] + 1 > len(there), "there are gaps"
    rows, registry = await loaded(settings)
    assert set(rows) == {"p1", "mover", *(f"p{number + 2}" for number in range(20))}
    assert registry.get_sample_value("veristream_state_pending_messages", {"topic": "providers"}) == 0


async def test_a_topic_that_ends_in_tombstones_is_read_to_its_end(settings):
    produce(settings, [row("p1"), row("p2"), ("p1", None), ("p2", None)])
    assert (await loaded(settings))[0] == {}


async def test_a_topic_that_ends_in_the_marker_of_a_transaction_is_read_to_its_end(settings):
    produce(settings, [row("p1"), row("p2")], **{"transactional.id": settings.group_prefix})
    assert set((await loaded(settings))[0]) == {"p1", "p2"}


async def test_a_topic_of_which_nothing_but_markers_is_left_is_read_to_its_end(settings):
    own = {"transactional.id": settings.group_prefix}
    produce(settings, [row("p1")], **own)
    produce(settings, [("p1", None)], **own)
    await asyncio.to_thread(compacted, settings, lambda found: not {0, 1, 2, 3} & set(found))
    assert set((await loaded(settings))[0]) == {"mover"}
