"""Events a second: the identity agent in a real worker, against plain clients on the same events and broker."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from subprocess import Popen

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from deploy.kafka.cluster import Cluster
from schemas.message import encode
from schemas.topics import ADMITTED, DECISIONS, UPLOADS
from streams.kafka import create_topics
from streams.settings import Settings
from tests.bench.beside import broker, check, process, settings_for, worker
from tests.bench.report import Row
from tests.bench.traffic import registry, uploads

#: Outputs of one event: its decision, and the event as admitted.
OUTPUTS = 2
#: How often the ends of the topics are looked at from outside, too seldom to cost the broker anything, and how long
#: they must stand still before a run counts as over: Faust may hold still for a second.
LOOK_S = 0.25
QUIET_S = 2.0
#: A run without its outputs after this has failed.
RUN_TIMEOUT_S = 120.0

#: `judged`: aiokafka alone with the same decoding, judging and encoding. `confluent`: librdkafka under Python.
SIDES = ("identity", "bare", "judged", "confluent")


def measure(quick: bool) -> Iterator[Row]:
    """On one Apache Kafka broker, in rounds that begin with another side each time."""
    events, runs = (5_000, 2) if quick else (20_000, 5)
    rates: dict[str, list[float]] = {side: [] for side in SIDES}
    with tempfile.TemporaryDirectory(prefix="veristream-kafka-") as folder, Cluster(Path(folder), brokers=1) as kafka:
        for number in range(runs):
            settings = Settings(**kafka.settings, topic_prefix=f"r{number}.", group_prefix=f"r{number}")
            _add(rates, asyncio.run(_round(settings, events, _turned(SIDES, number))))
    yield from _rows("events", rates, events)


def embedded(quick: bool) -> Iterator[Row]:
    """On the embedded broker, a fresh one each round."""
    events, runs = (5_000, 2) if quick else (20_000, 3)
    sides = tuple(side for side in SIDES if side != "confluent")
    rates: dict[str, list[float]] = {side: [] for side in sides}
    for number in range(runs):
        with broker() as fresh:
            settings = settings_for(fresh, topic_prefix="r.", group_prefix="r")
            _add(rates, asyncio.run(_round(settings, events, _turned(sides, number))))
    yield from _rows("events.embedded", rates, events)


def _turned(sides: tuple[str, ...], number: int) -> tuple[str, ...]:
    turn = number % len(sides)
    return (*sides[turn:], *sides[:turn])


def _add(rates: dict[str, list[float]], found: dict[str, float]) -> None:
    for side, rate in found.items():
        rates[side].append(rate)


def _rows(name: str, rates: dict[str, list[float]], events: int) -> Iterator[Row]:
    runs = len(rates["identity"])
    ours = median(rates["identity"])
    yield Row(
        f"{name}.identity.vs_bare_aiokafka", ours, "events/s", runs, _ratio(rates, "bare"),
        "aiokafka alone: consume, produce two outputs of the same sizes, commit",
    )  # fmt: skip
    yield Row(
        f"{name}.identity.vs_same_work", ours, "events/s", runs, _ratio(rates, "judged"),
        "aiokafka alone, with the same decoding, judging and encoding",
    )  # fmt: skip
    yield Row(f"{name}.bare_aiokafka", median(rates["bare"]), "events/s", runs)
    yield Row(f"{name}.same_work_aiokafka", median(rates["judged"]), "events/s", runs)
    if "confluent" in rates:
        yield Row(f"{name}.bare_confluent", median(rates["confluent"]), "events/s", runs)
    yield Row(f"{name}.count", events, "events a run", runs)


def _ratio(rates: dict[str, list[float]], against: str) -> float:
    """The median of the ratios within each round: what else the machine does falls on both sides."""
    return median(ours / other for ours, other in zip(rates["identity"], rates[against], strict=True))


async def _round(settings: Settings, events: int, sides: tuple[str, ...]) -> dict[str, float]:
    await create_topics(settings)
    await _outputs_for([side for side in sides if side != "identity"], settings)
    await _fill(settings, events)
    return {side: await _run(settings, side, events) for side in sides}


def _prefix(settings: Settings, side: str) -> str:
    """Each side writes to topics of its own; ours are the ones that its worker reads from too."""
    return settings.topic_prefix + ("" if side == "identity" else f"{side}.")


async def _outputs_for(sides: list[str], settings: Settings) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.broker)
    await admin.start()
    try:
        names = [_prefix(settings, side) + topic.name for side in sides for topic in (DECISIONS, ADMITTED)]
        await admin.create_topics([NewTopic(name, DECISIONS.partitions, 1) for name in names])
    finally:
        await admin.close()


async def _fill(settings: Settings, events: int) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=settings.broker, acks="all", linger_ms=5, max_batch_size=131_072)
    rows = [*registry(), *((UPLOADS, upload) for upload in uploads(events))]
    await producer.start()
    try:
        sent = [
            await producer.send(settings.topic_prefix + topic.name, encode(row), key=getattr(row, topic.key).encode())
            for topic, row in rows
        ]
        await asyncio.gather(*sent)
    finally:
        await producer.stop()


async def _run(settings: Settings, side: str, events: int) -> float:
    """Events a second of one side, between the times that its first and its last output carry."""
    prefix = _prefix(settings, side)
    module = "confluent_loop" if side == "confluent" else "aiokafka_loop"
    plain = [sys.executable, "-m", f"tests.bench.{module}", settings.broker, settings.topic_prefix, side, prefix]
    context = worker(settings, "identity") if side == "identity" else process(plain)
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.broker)
    await consumer.start()
    try:
        parts = [
            TopicPartition(prefix + topic.name, number)
            for topic in (DECISIONS, ADMITTED)
            for number in range(topic.partitions)
        ]
        with context as running:
            async with asyncio.timeout(RUN_TIMEOUT_S):
                await _quiet(consumer, parts, running)
        # Its side has ended, so that reading everything back takes nothing from it.
        times = await _times(consumer, parts)
    finally:
        await consumer.stop()
    if len(times) != events * OUTPUTS:
        raise RuntimeError(f"{side} wrote {len(times)} outputs for {events} events, not {events * OUTPUTS}")
    return (events - 1) / (max(times) - min(times)) * 1000


async def _quiet(consumer: AIOKafkaConsumer, parts: list[TopicPartition], running: Popen[bytes]) -> None:
    """Wait until outputs have come and no more do."""
    # The ends are only compared with one another: the embedded broker states them wrongly (the last batch's first
    # offset + 1), so they cannot be counted.
    former: list[int] = []
    quiet_since = time.monotonic()
    while True:
        check(running)
        ends = list((await consumer.end_offsets(parts)).values())
        if ends != former or not any(ends):
            former, quiet_since = ends, time.monotonic()
        elif time.monotonic() - quiet_since > QUIET_S:
            return
        await asyncio.sleep(LOOK_S)


async def _times(consumer: AIOKafkaConsumer, parts: list[TopicPartition]) -> list[int]:
    """When each output was handed to its producer, in milliseconds."""
    consumer.assign(parts)
    await consumer.seek_to_beginning(*parts)
    times: list[int] = []
    while records := await consumer.getmany(timeout_ms=300):
        times += [record.timestamp for part in records.values() for record in part]
    return times
