"""Kafka beside Faust: provisioning topics, and reading topics back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from time import time
from typing import TypeVar

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from schemas.message import Message, Refused, decode
from schemas.topics import DEADLETTERS, TOPICS, Topic
from streams.settings import Settings

#: A dead letter holds its message in base64 with the reason around it: room for that beside any input.
DEADLETTER_BYTES = 8 * 2**20
#: What a broker counts besides a message's value: its key and the frame around the batch. Without the room, the largest
#: message that passes here would be refused there, again and again.
FRAME_BYTES = 64 * 2**10


C = TypeVar("C", AIOKafkaConsumer, AIOKafkaProducer, AIOKafkaAdminClient)


class KafkaUnusable(RuntimeError):
    """The broker is not there, or not as it must be; the text says what to do."""


def config_of(topic: Topic, max_message_bytes: int) -> dict[str, str]:
    """The broker-side configuration of a topic."""
    size = DEADLETTER_BYTES if topic is DEADLETTERS else max_message_bytes + FRAME_BYTES
    config = {"max.message.bytes": str(size)}
    if topic.retention_days is None:
        return config | {"cleanup.policy": "compact"}
    return config | {
        "cleanup.policy": "delete",
        "retention.ms": str(int(timedelta(days=topic.retention_days).total_seconds() * 1000)),
    }


@dataclass(frozen=True)
class Difference:
    """One way in which a broker's topic is not what the table says."""

    topic: str
    what: str
    fix: str


async def started(client: C, broker: str) -> C:
    """Start an aiokafka client.

    Raises:
        KafkaUnusable: no broker answers.
    """
    try:
        await client.start()
    except KafkaError as error:
        await (client.close() if isinstance(client, AIOKafkaAdminClient) else client.stop())
        raise KafkaUnusable(
            f"no Kafka broker answers at {broker}: start one (`veristream up` brings its own) "
            "or name yours with --broker or VERISTREAM_BROKER"
        ) from error
    return client


async def _admin(broker: str) -> AIOKafkaAdminClient:
    return await started(AIOKafkaAdminClient(bootstrap_servers=broker), broker)


async def create_topics(settings: Settings) -> list[str]:
    """Create every topic of the table that is missing, and nothing else. Returns the names that were created.

    Raises:
        KafkaUnusable: no broker answers, or it refuses a topic.
    """
    prefix = settings.topic_prefix
    admin = await _admin(settings.broker)
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
                    topic_configs=config_of(topic, settings.max_message_bytes),
                )
                for topic in missing
            ]
        )
        for name, code, *rest in answer.topic_errors:
            if code and for_code(code) is not TopicAlreadyExistsError:
                raise KafkaUnusable(f"the broker refuses topic {name}: {rest[0] if rest else for_code(code).__name__}")
        return [prefix + topic.name for topic in missing]
    finally:
        await admin.close()


async def check_topics(settings: Settings) -> list[Difference]:
    """What of the table the broker does not have, or has otherwise. Never changes anything."""
    prefix = settings.topic_prefix
    admin = await _admin(settings.broker)
    try:
        described = {row["topic"]: row for row in await admin.describe_topics()}
        found = []
        for topic in TOPICS.values():
            row = described.get(prefix + topic.name)
            if row is None or row["error_code"]:
                found.append(Difference(prefix + topic.name, "does not exist", "veristream topics create"))
            elif len(row["partitions"]) != topic.partitions:
                found.append(
                    Difference(
                        prefix + topic.name,
                        f"has {len(row['partitions'])} partitions, the table says {topic.partitions}",
                        "move to a new prefix: changing partitions breaks each publisher's order",
                    )
                )
        return found
    finally:
        await admin.close()


def reader(settings: Settings) -> AIOKafkaConsumer:
    """A consumer that belongs to no group and commits nothing."""
    return AIOKafkaConsumer(
        bootstrap_servers=settings.broker,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=int(settings.fetch_max_wait_s * 1000),
    )


async def partitions_of(settings: Settings, topics: Iterable[Topic]) -> list[TopicPartition]:
    """Every partition of these topics, by their names on the broker.

    Asked of an admin client: a consumer without a subscription keeps no metadata of topics on Apache Kafka.

    Raises:
        KafkaUnusable: no broker answers, or a topic does not exist.
    """
    admin = await _admin(settings.broker)
    try:
        wires = [settings.topic_prefix + topic.name for topic in topics]
        # All of them: asking for one by its name would create it where the broker does that by itself.
        described = {row["topic"]: row for row in await admin.describe_topics()}
    finally:
        await admin.close()
    parts = []
    for wire in wires:
        row = described.get(wire)
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


async def read_back(
    settings: Settings, since: Mapping[Topic, float], only: Mapping[Topic, frozenset[int]]
) -> list[Message]:
    """The messages of some topics that are younger than so many seconds, at least up to what lies there now.

    Of a topic in `only` just those partitions are read. Order holds within a partition. Messages that cannot be read
    are passed over: whoever met them first has sent them to the dead letters.
    """
    consumer = await started(reader(settings), settings.broker)
    try:
        topics = {settings.topic_prefix + topic.name: topic for topic in since}
        parts = [
            part
            for part in await partitions_of(settings, since)
            if part.partition in only.get(topics[part.topic], {part.partition})
        ]
        if not parts:
            return []
        ends = await consumer.end_offsets(parts)
        now_ms = int(time() * 1000)
        starts = await consumer.offsets_for_times(
            {part: now_ms - int(since[topics[part.topic]] * 1000) for part in parts}
        )
        # Where nothing is young enough, Apache Kafka gives no offset; the embedded broker gives 0 with no timestamp.
        wanted = [part for part in parts if starts.get(part) and starts[part].timestamp >= 0]
        if not wanted:
            return []
        consumer.assign(wanted)
        for part in wanted:
            consumer.seek(part, starts[part].offset)
        found: list[Message] = []
        while not await caught_up(consumer, {part: ends[part] for part in wanted}):
            for part, records in (await consumer.getmany(timeout_ms=200, max_records=5000)).items():
                topic = topics[part.topic]
                for record in records:
                    if record.value is not None:
                        try:
                            found.append(decode(topic.message, record.value))
                        except Refused:
                            continue
        return found
    finally:
        await consumer.stop()
