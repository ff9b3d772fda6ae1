"""Clients of Kafka: starting them, the topics they need and how those are configured, and how far reading has come."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Mapping
from contextlib import suppress
from datetime import timedelta
from typing import TypeVar

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    InvalidReplicationFactorError,
    KafkaError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    for_code,
)

from schemas.topics import DEADLETTERS, TOPICS, Topic
from streams.contact import KafkaUnusable, contact, metadata
from streams.security import connection
from streams.settings import Settings

#: A dead letter holds its message in base64 with the reason around it: room for that beside any input.
DEADLETTER_BYTES = 8 * 2**20
#: What a broker counts besides a message's value: its key and the frame around the batch. Without the room, the largest
#: message that passes here would be refused there, again and again.
FRAME_BYTES = 64 * 2**10


C = TypeVar("C", AIOKafkaConsumer, AIOKafkaProducer, AIOKafkaAdminClient)


def config_of(topic: Topic, settings: Settings) -> dict[str, str]:
    """The broker-side configuration of a topic: each entry, whatever the broker's own default is."""
    size = DEADLETTER_BYTES if topic is DEADLETTERS else settings.max_message_bytes + FRAME_BYTES
    config = {
        "max.message.bytes": str(size),
        "min.insync.replicas": str(settings.min_insync_replicas),
    }
    if topic.retention_days is None:
        return config | {
            "cleanup.policy": "compact",
            # Only closed segments are compacted, and the default of a week keeps a table's old rows lying that long.
            "segment.ms": _ms(days=1),
            # Workers read the tables whole before they start: at most a tenth of what they read may be outdated.
            "min.cleanable.dirty.ratio": "0.1",
            # A row that was deleted or replaced is gone from the disks after a week, however little else changes:
            # it may be about a person who has left.
            "max.compaction.lag.ms": _ms(days=7),
            # A worker that was cut off from the broker for less than this still meets every deletion.
            "delete.retention.ms": _ms(days=7),
        }
    return config | {
        "cleanup.policy": "delete",
        "retention.ms": _ms(days=topic.retention_days),
        "retention.bytes": "-1",  # a broker's limit by size would end before the days do
        # Whole segments are deleted, once their newest message is old enough: a seventh more than the days, at most a
        # week (the default), lies at the end.
        "segment.ms": _ms(days=min(7, topic.retention_days / 7)),
    }


def _ms(*, days: float) -> str:
    return str(int(timedelta(days=days).total_seconds() * 1000))


#: How long a client may take to let go of its brokers. Over TLS a connection waits for the other side's farewell, with
#: some brokers for half a minute: longer than a worker's stop may take, and nothing depends on it.
CLOSE_S = 5.0


async def closed(closing: Awaitable[None]) -> None:
    """Wait until a client has closed, at most CLOSE_S."""
    with suppress(TimeoutError):
        async with asyncio.timeout(CLOSE_S):
            await closing


async def started(client: C, settings: Settings) -> C:
    """Start an aiokafka client.

    Raises:
        KafkaUnusable: no broker answers, or none takes this client; the text says why.
    """
    try:
        # aiokafka logs why a connection failed and raises only that it did: ask once more, bare, for the reason.
        async with contact(settings):
            pass
        await client.start()
    except (KafkaError, KafkaUnusable) as error:
        await closed(client.close() if isinstance(client, AIOKafkaAdminClient) else client.stop())
        if isinstance(error, KafkaUnusable):
            raise
        if isinstance(error, TopicAuthorizationFailedError):
            raise not_allowed(settings, "read", f"topic {error.args[0]}") from error
        if isinstance(error, GroupAuthorizationFailedError):
            raise not_allowed(settings, "join", f"group {error.args[0]}") from error
        raise KafkaUnusable(f"the broker at {settings.broker} answers, but a client cannot start: {error}") from error
    return client


async def create_topics(settings: Settings) -> list[str]:
    """Create every topic of the table that is missing, and nothing else. Returns the names that were created.

    Raises:
        KafkaUnusable: no broker answers, or it refuses a topic.
    """
    prefix = settings.topic_prefix
    admin = await started(AIOKafkaAdminClient(**connection(settings)), settings)
    try:
        there = set(await admin.list_topics())
        missing = [topic for topic in TOPICS.values() if prefix + topic.name not in there]
        if not missing:
            return []
        answer = await admin.create_topics(
            [
                NewTopic(
                    prefix + topic.name,
                    topic.partitions,
                    settings.replication,
                    topic_configs=config_of(topic, settings),
                )
                for topic in missing
            ]
        )
        created = []
        for name, code, *rest in answer.topic_errors:
            error = for_code(code)
            if error is TopicAuthorizationFailedError or error is ClusterAuthorizationFailedError:
                raise not_allowed(settings, "create", f"topic {name}")
            if code and error is not TopicAlreadyExistsError:
                hint = " Set VERISTREAM_REPLICATION to what it has." if error is InvalidReplicationFactorError else ""
                raise KafkaUnusable(f"the broker refuses topic {name}: {(rest and rest[0]) or error.__name__}{hint}")
            if not code:
                created.append(name)
        return created
    finally:
        await admin.close()


def not_allowed(settings: Settings, do: str, what: str) -> KafkaUnusable:
    """What is said of a topic or group that this user has no right to `do` something with."""
    user = f"user {settings.broker_user!r}" if settings.broker_user else "this client"
    return KafkaUnusable(
        f"{user} may not {do} {what}: use the user of another role (`veristream acls list`), or give this one "
        "the right with `veristream acls create`"
    )


def reader(settings: Settings) -> AIOKafkaConsumer:
    """A consumer that belongs to no group and commits nothing."""
    return AIOKafkaConsumer(
        **connection(settings),
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=int(settings.fetch_max_wait_s * 1000),
    )


async def partitions_of(settings: Settings, topics: Iterable[Topic]) -> list[TopicPartition]:
    """Every partition of these topics, by their names on the broker.

    Raises:
        KafkaUnusable: no broker answers, or a topic does not exist, or is hidden from this user.
    """
    wires = [settings.topic_prefix + topic.name for topic in topics]
    # Not asked of a consumer, which keeps no metadata of topics that it is not subscribed to.
    described = {row["topic"]: row for row in (await metadata(settings, wires))["topics"]}
    parts = []
    for wire in wires:
        row = described.get(wire)
        if row and for_code(row["error_code"]) is TopicAuthorizationFailedError:
            raise not_allowed(settings, "read", f"topic {wire}")
        if row is None or row["error_code"]:
            raise KafkaUnusable(f"topic {wire} does not exist: run `veristream topics create`")
        parts += [TopicPartition(wire, number) for number in sorted(part["partition"] for part in row["partitions"])]
    return parts


async def caught_up(consumer: AIOKafkaConsumer, ends: Mapping[TopicPartition, int]) -> bool:
    """Whether everything up to these end offsets has been read.

    Asked for a partition's end, the embedded broker names the first message of its last batch; the high-water mark
    that comes with each fetch is right. A compacted topic has gaps: what counts is the position, not what was read.
    """
    for part, end in ends.items():
        if await consumer.position(part) < max(end, consumer.highwater(part) or 0):
            return False
    return True
