"""What state costs at a platform's size: reading the verdict agent's back after a restart, beside a loop that only
reads and decodes; what it takes in memory; and what a worker takes that knows a million publishers."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from statistics import median

from aiokafka import AIOKafkaConsumer, TopicPartition
from confluent_kafka import Producer
from prometheus_client import CollectorRegistry

from agents.verdict.agent import Verdict
from agents.verdict.join import Join
from schemas.decision import Decision, PolicyRef, decision_id
from schemas.message import decode, encode
from schemas.policy import default_policy
from schemas.topics import DECISIONS, POLICIES, PUBLISHERS, VERDICTS, Topic
from schemas.verdict import Verdict as VerdictMessage
from streams.agent import Context
from streams.kafka import create_topics
from streams.metrics import Metrics
from streams.readback import read_back
from streams.settings import Settings
from streams.views import View
from tests.bench.beside import broker, settings_for, worker
from tests.bench.registry import publisher
from tests.bench.report import Row

AGENTS = ("identity", "review", "synthetic", "rumor")
REF = PolicyRef(name="default", version=1)
#: Publishers of the items; each one's lie in one partition.
PUBLISHERS_OF_ITEMS = 1000
#: A worker that reads a million publishers from the embedded broker.
READY_S = 300.0


def measure(quick: bool) -> Iterator[Row]:
    """All of it."""
    yield from _recovery(quick)
    yield _join_memory(quick)
    yield from _worker_memory(quick)


def _recovery(quick: bool) -> Iterator[Row]:
    runs, items = (1, 5_000) if quick else (5, 25_000)
    rows = items * len(AGENTS)
    with broker() as fresh:
        settings = settings_for(fresh)
        asyncio.run(create_topics(settings))
        _put(settings, DECISIONS, ((d.publisher_id, d) for each in decisions(items) for d in each))
        _put(settings, VERDICTS, ((v.content_id, v) for v in _verdicts(items)))
        ours, bare = [], []
        for _ in range(runs):  # by turns, so that both meet the same machine
            bare.append(asyncio.run(_bare(settings)))
            ours.append(asyncio.run(_restore(settings, items)))
    seconds = median(ours)
    yield Row(
        "state.recovery_s_per_million_rows",
        seconds / rows * 1e6,
        f"s a million decisions, {rows:,} read with their {items:,} verdicts",
        runs,
        seconds / median(bare),
        "aiokafka alone: read and decode the same",
    )


async def _restore(settings: Settings, items: int) -> float:
    """The verdict agent as a worker has it gets all partitions."""
    metrics = Metrics(CollectorRegistry())
    policies = View(POLICIES, metrics)
    policies.apply(b"default", encode(default_policy()))

    def read(since, only, after):  # type: ignore[no-untyped-def]
        return read_back(settings, since, only, after)

    agent = Verdict(Context(settings, metrics, {POLICIES.name: policies}, lambda: datetime.now(UTC), read))
    begun = time.perf_counter()
    await agent.restore(frozenset((DECISIONS.name, number) for number in range(DECISIONS.partitions)))
    seconds = time.perf_counter() - begun
    if len(agent._join._items) != items or list(agent.tick(datetime.now(UTC))):
        raise RuntimeError("not everything was read back, or something was answered again")
    return seconds


async def _bare(settings: Settings) -> float:
    begun = time.perf_counter()
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.broker,
        enable_auto_commit=False,
        fetch_max_wait_ms=int(settings.fetch_max_wait_s * 1000),
    )
    await consumer.start()
    try:
        for topic in (DECISIONS, VERDICTS):
            parts = [TopicPartition(topic.name, number) for number in range(topic.partitions)]
            consumer.assign(parts)
            await consumer.seek_to_beginning(*parts)
            ends = await consumer.end_offsets(parts)
            while any([await consumer.position(part) < ends[part] for part in parts]):
                for found in (await consumer.getmany(timeout_ms=200, max_records=5000)).values():
                    for record in found:
                        decode(topic.message, record.value)
    finally:
        await consumer.stop()
    return time.perf_counter() - begun


def decisions(items: int) -> Iterator[list[Decision]]:
    """Every agent's decision on each of so many items; nothing found."""
    begun = datetime.now(UTC) - timedelta(minutes=10)
    for number in range(items):
        event = f"{number:08x}-0000-4000-8000-000000000000"
        yield [
            Decision(
                decision_id=decision_id(event, agent, REF),
                event_id=event,
                content_id=f"content-{number}",
                publisher_id=f"publisher-{number % PUBLISHERS_OF_ITEMS}",
                agent=agent,
                action="allow",
                policy=REF,
                decided_at=begun,
                latency_s=1.0,
                models={"pdq": "pdqhash-512px-1", "nudity": "open-nsfw-onnx-1.0.0"},
            )
            for agent in AGENTS
        ]


def _verdicts(items: int) -> Iterator[VerdictMessage]:
    join, policy, now = Join(), default_policy(), datetime.now(UTC)
    for each in decisions(items):
        for decision in each:
            for said in join.take(decision, policy, now, 0):
                assert isinstance(said, VerdictMessage)
                yield said


def _put(settings: Settings, topic: Topic, rows: Iterable[tuple[str, object]]) -> None:
    """Put rows on a topic, as a platform's own client does."""
    producer = Producer(
        {
            "bootstrap.servers": settings.broker,
            "acks": "all",
            "linger.ms": 20,
            "partitioner": "murmur2_random",
            "queue.buffering.max.messages": 200_000,
        }
    )
    rows = iter(rows)
    while some := list(islice(rows, 50_000)):
        for key, row in some:
            producer.produce(topic.name, encode(row), key)  # type: ignore[arg-type]
        if producer.flush(120):
            raise RuntimeError("the broker did not take everything")


def _join_memory(quick: bool) -> Row:
    """In a process of its own: freed memory of others would be used first."""
    items = 10_000 if quick else 100_000
    script = f"from tests.bench.state import grown; print(grown({items}))"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    return Row("state.verdict_mb.100k_items", float(done.stdout) / items * 100_000 / 1e6, "MB, answered items", items)


def grown(items: int) -> int:
    """Bytes by which a process grows with so many answered items, whose decisions came over the wire."""
    join, policy, now = Join(), default_policy(), datetime.now(UTC)

    def take(each: list[Decision]) -> None:
        for decision in each:
            list(join.take(decode(Decision, encode(decision)), policy, now, 0))

    for each in decisions(1000):
        take(each)
    join = Join()
    gc.collect()
    before = resident("self")
    for each in decisions(items):
        take(each)
    gc.collect()
    assert len(join._items) == items
    return resident("self") - before


def resident(pid: int | str) -> int:
    """Bytes of memory that a process holds."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


def _worker_memory(quick: bool) -> Iterator[Row]:
    """A worker with the identity agent, which looks publishers up, from its start to ready."""
    count = 50_000 if quick else 1_000_000
    name = "50k" if quick else "1m"
    with broker() as fresh, tempfile.TemporaryDirectory(prefix="veristream-bench-", dir=_build()) as folder:
        settings = settings_for(fresh)
        asyncio.run(create_topics(settings))
        _put(settings, PUBLISHERS, ((row.publisher_id, row) for row in map(publisher, range(count))))
        for place, told in ((None, ""), (Path(folder), ".state_dir")):
            begun = time.monotonic()
            beside = settings.model_copy(update={"state_dir": place, "topic_prefix": ""})
            with worker(beside, "identity", ready_s=READY_S) as running:
                seconds = time.monotonic() - begun
                yield Row(f"worker.memory_mb.{name}_publishers{told}", resident(running.pid) / 1e6, "MB resident", 1)
                yield Row(f"worker.start_s.{name}_publishers{told}", seconds, "s until ready", 1)


def _build() -> str | None:
    return "build" if Path("build").is_dir() else None
