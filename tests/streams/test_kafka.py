"""Topics are provisioned once and never changed; what lies on them can be read back and followed."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import Awaitable, Callable, Sequence
from time import time

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from prometheus_client import CollectorRegistry
from trial_agents import NOW, upload

from deploy.embedded import free_port
from schemas.event import Admitted
from schemas.message import MAX_ID, encode
from schemas.topics import ADMITTED, DEADLETTERS, DECISIONS, PARTITIONS, PROVIDERS, TOPICS, UPLOADS
from streams.client import Client, Feed
from streams.kafka import (
    DEADLETTER_BYTES,
    KafkaUnusable,
    config_of,
    create_topics,
    partitions_of,
)
from streams.metrics import Metrics
from streams.provision import compare
from streams.readback import read_back
from streams.settings import Settings, load
from streams.views import View, Views


@pytest.fixture
async def settings(on_broker: Callable[..., Settings]) -> Settings:
    """Beside the broker, with a few topics."""
    settings = on_broker()
    for topic in (UPLOADS, ADMITTED, PROVIDERS, DECISIONS):
        await add(settings, topic.name, topic.partitions)
    return settings


async def add(settings: Settings, name: str, partitions: int) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.broker)
    await admin.start()
    await admin.create_topics([NewTopic(settings.topic_prefix + name, partitions, 1)])
    await admin.close()


# Topics.


async def test_every_topic_is_created_once_and_then_nothing(on_broker: Callable[..., Settings]) -> None:
    settings = on_broker()
    assert await create_topics(settings) == [settings.topic_prefix + name for name in TOPICS]
    assert await create_topics(settings) == []
    assert (await compare(settings)).differences == []


async def test_only_what_is_missing_is_created(on_broker: Callable[..., Settings]) -> None:
    settings = on_broker()
    await add(settings, "uploads", PARTITIONS)
    made = await create_topics(settings)
    assert made == [settings.topic_prefix + name for name in TOPICS if name != "uploads"]
    assert (await compare(settings)).differences == []


async def test_what_is_missing_is_named_with_what_to_do(on_broker: Callable[..., Settings]) -> None:
    settings = on_broker()
    found = (await compare(settings)).differences
    assert [difference.topic for difference in found] == [settings.topic_prefix + name for name in TOPICS]
    assert {(difference.sentence, difference.fix) for difference in found} == {
        ("does not exist", "veristream topics create")
    }
    assert len((await compare(settings)).differences) == len(TOPICS)  # to look changes nothing


async def test_another_number_of_partitions_is_named_and_left_alone(on_broker: Callable[..., Settings]) -> None:
    settings = on_broker()
    await add(settings, "uploads", 3)
    await create_topics(settings)
    for _ in range(2):
        (difference,) = (await compare(settings)).differences
        assert difference.topic == settings.topic_prefix + "uploads"
        assert difference.sentence == f"has 3 partitions, the table says {PARTITIONS}"
        await create_topics(settings)


async def test_two_prefixes_share_a_broker(on_broker: Callable[..., Settings]) -> None:
    one, other = on_broker(), on_broker(topic_prefix="another.")
    await create_topics(one)
    assert len((await compare(other)).differences) == len(TOPICS)


@pytest.mark.parametrize("topic", TOPICS.values(), ids=TOPICS)
def test_a_topic_keeps_what_the_table_says(topic: object) -> None:
    config = config_of(topic, load(max_message_bytes=123_456))  # type: ignore[arg-type]
    if topic.compacted:  # type: ignore[attr-defined]
        assert config["cleanup.policy"] == "compact"
        assert "retention.ms" not in config
    else:
        assert config["cleanup.policy"] == "delete"
        assert int(config["retention.ms"]) == topic.retention_days * 86_400_000  # type: ignore[attr-defined]
    # The value of the largest message, its key and the frame around them.
    least = DEADLETTER_BYTES if topic is DEADLETTERS else 123_456 + 4 * MAX_ID + 1000
    assert least <= int(config["max.message.bytes"]) <= least + 100_000


async def test_partitions_are_those_of_the_topics_asked_for(settings: Settings) -> None:
    parts = await partitions_of(settings, [UPLOADS, PROVIDERS])
    prefix = settings.topic_prefix
    assert parts == [(prefix + "uploads", number) for number in range(PARTITIONS)] + [(prefix + "providers", 0)]


# A broker that is not there.


async def _views(settings: Settings) -> None:
    await Views([View(PROVIDERS, Metrics(CollectorRegistry()))], settings).start()


async def _enter(entered: Client | Feed) -> None:
    async with entered:
        raise AssertionError


UNREACHABLE: dict[str, Callable[[Settings], Awaitable[object]]] = {
    "creating topics": create_topics,
    "checking topics": compare,
    "asking for partitions": lambda settings: partitions_of(settings, [UPLOADS]),
    "reading back": lambda settings: anext(read_back(settings, {UPLOADS: 1.0}, {}, {})),
    "reading state": _views,
    "sending": lambda settings: _enter(Client(settings)),
    "following": lambda settings: _enter(Feed(settings, [UPLOADS])),
}


@pytest.mark.parametrize("doing", UNREACHABLE)
async def test_without_a_broker_it_says_where_it_looked_and_what_to_do(doing: str) -> None:
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(KafkaUnusable) as caught:
        await UNREACHABLE[doing](load(broker=address))
    said = str(caught.value)
    assert address in said
    assert "veristream up" in said
    assert "--broker" in said
    assert "\n" not in said


MISSING: dict[str, Callable[[Settings], Awaitable[object]]] = {
    name: UNREACHABLE[name] for name in ("asking for partitions", "reading back", "following")
}


@pytest.mark.parametrize("doing", MISSING)
async def test_a_topic_that_is_missing_is_named_with_what_to_do(on_broker: Callable[..., Settings], doing: str) -> None:
    settings = on_broker()
    with pytest.raises(KafkaUnusable) as caught:
        await MISSING[doing](settings)
    assert f"topic {settings.topic_prefix}uploads does not exist: run `veristream topics create`" in str(caught.value)


@pytest.mark.parametrize("doing", MISSING)
async def test_nothing_stays_open_when_a_topic_is_missing(on_broker: Callable[..., Settings], doing: str) -> None:
    gc.collect()  # what others left
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always", ResourceWarning)
        with pytest.raises(KafkaUnusable):
            await MISSING[doing](on_broker())
        gc.collect()
    assert [str(warning.message) for warning in warned] == []


async def put(settings: Settings, *numbers: int, partition: int = 0, values: Sequence[bytes | None] = ()) -> None:
    """Put admitted events, or bytes, on a partition, together."""
    async with producer(settings) as sending:
        futures = [
            await sending.send(settings.topic_prefix + ADMITTED.name, value, key=b"publisher", partition=partition)
            for value in values or [encode(admitted(number)) for number in numbers]
        ]
        await asyncio.gather(*futures)


def producer(settings: Settings) -> AIOKafkaProducer:
    return AIOKafkaProducer(bootstrap_servers=settings.broker, linger_ms=5)


def admitted(number: int) -> Admitted:
    return Admitted(event=upload(number), admitted_at=NOW)


def numbers(messages: list[Admitted]) -> list[int]:
    return [int(message.event.event_id.removeprefix("event-")) for message in messages]


# Following.


async def read(feed: Feed, count: int) -> list[str]:
    """Keys of so many records."""
    found: list[str] = []
    async with asyncio.timeout(10):
        while len(found) < count:
            found += [record.key for record in await feed.read(0.05)]
    return found


async def test_a_feed_from_now_on_sees_what_is_sent_after_it_began(settings: Settings) -> None:
    async with Client(settings) as client:
        await client.send_raw(PROVIDERS, b"before", b"{}")
        async with Feed(settings, [PROVIDERS]) as feed:
            assert await feed.at_end()
            await client.send_raw(PROVIDERS, b"after", b"{}")
            assert not await feed.at_end()
            assert await read(feed, 1) == ["after"]
            assert await feed.at_end()


async def test_a_feed_from_the_beginning_sees_everything(settings: Settings) -> None:
    async with Client(settings) as client:
        for number in range(5):
            await client.send_raw(PROVIDERS, b"%d" % number, b"{}")
        async with Feed(settings, [PROVIDERS], from_beginning=True) as feed:
            assert not await feed.at_end()
            assert await read(feed, 5) == list("01234")
            await client.send_raw(PROVIDERS, b"5", b"{}")
            assert await read(feed, 1) == ["5"]


async def test_a_feed_is_at_its_end_only_after_the_last_of_what_was_sent_together(settings: Settings) -> None:
    async with Client(settings) as client:
        await asyncio.gather(*(client.send_raw(PROVIDERS, b"%d" % number, b"{}") for number in range(3000)))
    found = []
    async with Feed(settings, [PROVIDERS], from_beginning=True) as feed, asyncio.timeout(10):
        while not await feed.at_end():
            found += await feed.read(0.05)
    assert len(found) == 3000


async def test_a_record_says_where_it_lies_by_the_names_of_the_table(settings: Settings) -> None:
    async with Client(settings) as client, Feed(settings, [PROVIDERS, UPLOADS]) as feed:
        await client.send_raw(PROVIDERS, b"\xff", None)
        await client.submit(upload(1))
        found = []
        async with asyncio.timeout(10):
            async for record in feed:
                found.append(record)
                if len(found) == 2:
                    break
    by_topic = {record.topic: record for record in found}
    assert set(by_topic) == {"providers", "uploads"}
    assert (by_topic["providers"].key, by_topic["providers"].value) == ("\ufffd", None)
    assert by_topic["providers"][1:3] == (0, 0)
    assert (by_topic["uploads"].key, by_topic["uploads"].value) == ("publisher", encode(upload(1)))


async def test_a_feed_does_not_wait_longer_than_it_is_told(settings: Settings) -> None:
    async with Feed(settings, [PROVIDERS]) as feed:
        began = time()
        assert await feed.read(0.05) == []
        assert time() - began < 2


async def test_a_message_goes_out_under_the_key_that_its_topic_asks_for(settings: Settings) -> None:
    async with Client(settings) as client, Feed(settings, [UPLOADS]) as feed:
        await client.send(UPLOADS, upload(publisher_id="someone"))
        assert await read(feed, 1) == ["someone"]
