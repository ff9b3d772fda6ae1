"""Outputs go out in order, in batches, to the right partition; none once the fence has fallen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.partitioner import DefaultPartitioner

from deploy.embedded import EmbeddedBroker, free_port
from schemas.topics import ADMITTED, PARTITIONS
from streams.client import Feed
from streams.consumer import Fenced
from streams.contact import KafkaUnusable
from streams.kafka import create_topics
from streams.settings import Settings, load
from streams.wire import Wire, partition_of

TOPIC = "test.admitted"


@pytest.fixture
async def feed(on_broker: Callable[..., Settings]) -> AsyncIterator[Feed]:
    settings = on_broker()
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.broker)
    await admin.start()
    await admin.create_topics([NewTopic(TOPIC, PARTITIONS, 1)])
    await admin.close()
    async with Feed(settings, [ADMITTED]) as feed:
        yield feed


@pytest.fixture
def held() -> list[bool]:
    return [True]


@pytest.fixture
async def wire(feed: Feed, on_broker: Callable[..., Settings], held: list[bool]) -> AsyncIterator[Wire]:
    wire = Wire(on_broker(), "echo", lambda: held[0])
    await wire.start()
    yield wire
    await wire.stop()


async def read(feed: Feed, count: int) -> list[tuple[str, int, bytes | None]]:
    found: list[tuple[str, int, bytes | None]] = []
    async with asyncio.timeout(10):
        while len(found) < count:
            found += [(record.key, record.partition, record.value) for record in await feed.read(0.1)]
    return found


async def sent(wire: Wire, *messages: tuple[bytes, bytes]) -> list[asyncio.Future[object]]:
    futures = [await wire.send(TOPIC, key, value) for key, value in messages]
    await wire.push()
    return futures


def test_keys_lie_where_kafkas_own_partitioner_puts_them() -> None:
    every = list(range(PARTITIONS))
    for number in range(200):
        key = f"publisher-{number}".encode()
        assert partition_of(key, PARTITIONS) == DefaultPartitioner()(key, every, every)


async def test_messages_lie_in_order_where_their_key_belongs(wire: Wire, feed: Feed) -> None:
    messages = [(f"key-{number % 5}".encode(), str(number).encode()) for number in range(100)]
    for future in await sent(wire, *messages):
        await future
    found = await read(feed, 100)
    for number in range(5):
        key = f"key-{number}"
        mine = [(partition, int(value or b"")) for name, partition, value in found if name == key]
        assert [value for _, value in mine] == list(range(number, 100, 5))
        assert {partition for partition, _ in mine} == {partition_of(key.encode(), PARTITIONS)}


async def test_a_batch_that_is_full_is_sent_and_the_next_begun(wire: Wire, feed: Feed) -> None:
    messages = [(b"key", str(number).encode().ljust(60_000)) for number in range(10)]
    futures = await sent(wire, *messages)
    assert len(set(futures)) > 1
    for future in futures:
        await future
    assert [int(value or b"") for _, _, value in await read(feed, 10)] == list(range(10))


async def test_a_message_larger_than_a_batch_goes_alone(wire: Wire, feed: Feed) -> None:
    for future in await sent(wire, (b"key", b"1"), (b"key", b"2".ljust(500_000)), (b"key", b"3")):
        await future
    assert [(value or b"")[:1] for _, _, value in await read(feed, 3)] == [b"1", b"2", b"3"]


async def test_nothing_is_sent_once_the_fence_has_fallen_and_the_next_producer_goes_on(
    wire: Wire, feed: Feed, held: list[bool]
) -> None:
    held[0] = False
    (future,) = await sent(wire, (b"key", b"fenced"))
    with pytest.raises(Fenced):
        await asyncio.wait_for(future, 10)
    held[0] = True
    await wire.renew()
    (future,) = await sent(wire, (b"key", b"held"))
    await asyncio.wait_for(future, 10)
    assert [value for _, _, value in await read(feed, 1)] == [b"held"]


async def test_what_was_not_pushed_is_forgotten_by_a_renewal(wire: Wire, feed: Feed) -> None:
    future = await wire.send(TOPIC, b"key", b"forgotten")
    await wire.renew()
    with pytest.raises(Fenced):
        await asyncio.wait_for(future, 5)
    (future,) = await sent(wire, (b"key", b"sent"))
    await asyncio.wait_for(future, 10)
    assert [value for _, _, value in await read(feed, 1)] == [b"sent"]


async def test_a_producer_whose_broker_has_gone_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.wire.CLOSE_S", 1.0)
    with EmbeddedBroker(free_port()) as own:
        settings = load(broker=own.address, idempotent_producer="off")
        await create_topics(settings.model_copy(update={"topic_prefix": "test."}))
        wire = Wire(settings, "echo", lambda: True)
        await wire.start()
        for future in await sent(wire, (b"key", b"1")):
            await future
    (future,) = await sent(wire, (b"key", b"2"))
    await asyncio.wait_for(wire.renew(), 5)
    with pytest.raises(Fenced):
        await asyncio.wait_for(future, 5)
    await asyncio.wait_for(wire.stop(), 10)


# Which producer.


@pytest.mark.parametrize("asked", ["auto", "off"])
async def test_a_broker_that_gives_no_producer_ids_is_sent_to_without(
    feed: Feed, on_broker: Callable[..., Settings], asked: str
) -> None:
    wire = Wire(on_broker(idempotent_producer=asked), "echo", lambda: True)
    await wire.start()
    assert not wire.idempotent
    (future,) = await sent(wire, (b"key", b"1"))
    await future
    await wire.stop()


async def test_a_broker_that_gives_no_producer_ids_is_refused_where_they_are_asked_for(
    feed: Feed, on_broker: Callable[..., Settings]
) -> None:
    with pytest.raises(KafkaUnusable, match="set idempotent_producer to auto or off"):
        await Wire(on_broker(idempotent_producer="on"), "echo", lambda: True).start()
