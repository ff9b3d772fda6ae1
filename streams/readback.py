"""Reading topics back, record after record: what a restart finds again must not have to fit memory at once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from time import monotonic, time
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from schemas.message import Refused, decode
from schemas.topics import Topic
from streams.agent import Incoming
from streams.kafka import caught_up, closed, partitions_of, reader, started
from streams.settings import Settings

#: Records taken at once: some megabytes.
MOST_RECORDS = 5000
#: How long the newest record of a partition is waited for; where transactions end a topic there is none to be had.
NEWEST_WAIT_S = 5.0


async def up_to_now(
    consumer: AIOKafkaConsumer, starts: Mapping[TopicPartition, int]
) -> AsyncIterator[tuple[TopicPartition, Any]]:
    """Every record of these partitions from these offsets on, at least up to what lies there now."""
    if not starts:
        return
    consumer.assign(list(starts))
    for part, offset in starts.items():
        consumer.seek(part, offset)
    ends = await consumer.end_offsets(list(starts))
    while not await caught_up(consumer, ends):
        for part, records in (await consumer.getmany(timeout_ms=200, max_records=MOST_RECORDS)).items():
            for record in records:
                yield part, record


async def read_back(
    settings: Settings,
    since: Mapping[Topic, float],
    only: Mapping[Topic, frozenset[int]],
    after: Mapping[tuple[str, int], int],
) -> AsyncIterator[Incoming]:
    """The messages of some topics that are younger than so many seconds; see `streams.agent.ReadBack`.

    Messages that cannot be read are passed over: whoever met them first has sent them to the dead letters.
    """
    consumer = await started(reader(settings), settings)
    try:
        topics = {settings.topic_prefix + topic.name: topic for topic in since}
        parts = [
            part
            for part in await partitions_of(settings, since)
            if part.partition in only.get(topics[part.topic], {part.partition})
        ]
        known = {part: after.get((topics[part.topic].name, part.partition)) for part in parts}
        starts = {part: offset for part, offset in known.items() if offset is not None}
        unknown = {part: since[topics[part.topic]] for part in parts if known[part] is None}
        async for part, record in up_to_now(consumer, starts | await by_age(consumer, unknown)):
            if record.value is None:
                continue
            topic = topics[part.topic]
            try:
                yield Incoming(topic.name, part.partition, record.offset, decode(topic.message, record.value))
            except Refused:
                continue
    finally:
        await closed(consumer.stop())


async def by_age(consumer: AIOKafkaConsumer, ages: Mapping[TopicPartition, float]) -> dict[TopicPartition, int]:
    """The first offset of each partition that is younger than so many seconds; partitions without one are left out.

    Counted back from now or from the newest record, whichever is earlier: a clock that is an hour fast, here or where
    the record was written, must not make an hour of records too old.
    """
    if not ages:
        return {}
    now_ms = int(time() * 1000)
    if (newest := await _newest(consumer, list(ages))) is not None:
        now_ms = min(now_ms, newest)
    starts = await consumer.offsets_for_times({part: max(0, now_ms - int(age * 1000)) for part, age in ages.items()})
    # Where nothing is young enough, Apache Kafka gives no offset; the embedded broker gives 0 with no timestamp.
    return {part: found.offset for part, found in starts.items() if found is not None and found.timestamp >= 0}


async def _newest(consumer: AIOKafkaConsumer, parts: list[TopicPartition]) -> int | None:
    """The timestamp of the newest record of all these partitions, in ms; None if there is none to be had."""
    first, ends = await consumer.beginning_offsets(parts), await consumer.end_offsets(parts)
    filled = {part: end for part, end in ends.items() if end > first[part]}
    if not filled:
        return None
    consumer.assign(list(filled))
    for part, end in filled.items():
        consumer.seek(part, end - 1)
    newest, deadline = None, monotonic() + NEWEST_WAIT_S
    while not await caught_up(consumer, filled) and monotonic() < deadline:
        for records in (await consumer.getmany(timeout_ms=200, max_records=MOST_RECORDS)).values():
            newest = max([newest or 0, *(record.timestamp for record in records)])
    return newest
