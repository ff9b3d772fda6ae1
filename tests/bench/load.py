"""Under load on Apache Kafka: what a second worker brings, what an event costs, and how long it takes at half load."""

from __future__ import annotations

import asyncio
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from subprocess import Popen

import msgspec
import numpy as np
from confluent_kafka import OFFSET_END, Consumer, Producer, TopicPartition

from deploy.kafka.cluster import Cluster
from schemas.message import encode
from schemas.topics import ADMITTED, DECISIONS, UPLOADS
from streams.kafka import create_topics
from streams.settings import Settings
from tests.bench.beside import worker
from tests.bench.report import Row
from tests.bench.traffic import registry, uploads

#: Seconds of even load whose latencies are counted, and before them seconds that warm up and are not.
PACED_S = 20.0
WARM_S = 3.0
#: The load comes in so many portions a second: fine enough against the latencies that are measured.
PORTIONS = 100
#: Outputs that are not there after this have been lost, or the load is too high to measure at.
PATIENCE_S = 90.0


class _Output(msgspec.Struct):
    event_id: str


_OUTPUT = msgspec.json.Decoder(_Output)


def measure(quick: bool) -> Iterator[Row]:
    """One worker and two, in turn; then one at half of what it can."""
    events, runs = (4_000, 1) if quick else (20_000, 3)
    found: dict[int, list[tuple[float, float]]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory(prefix="veristream-kafka-") as folder, Cluster(Path(folder), brokers=1) as kafka:
        for number in range(runs):
            for workers in (1, 2) if number % 2 == 0 else (2, 1):
                prefix = f"l{number}{workers}"
                settings = Settings(**kafka.settings, topic_prefix=f"{prefix}.", group_prefix=prefix)
                found[workers].append(_burst(settings, workers, events))
        ratio = median(two[0] / one[0] for one, two in zip(found[1], found[2], strict=True))
        yield Row(
            "events.scaling.2_workers", median(rate for rate, _ in found[2]), "events/s", runs, ratio,
            "one worker; the broker and the load share the two cores",
        )  # fmt: skip
        for workers, results in found.items():
            seconds = median(cpu for _, cpu in results)
            yield Row(f"events.cpu_s_per_1000.{workers}_workers", seconds, "s of CPU, the workers' alone", runs)
        highest = median(rate for rate, _ in found[1])
        settings = Settings(**kafka.settings, topic_prefix="p.", group_prefix="p")
        latencies = _paced(settings, highest / 2, (PACED_S / 4) if quick else PACED_S)
        for percent in (50, 99):
            yield Row(
                f"events.latency_s.p{percent}", float(np.percentile(latencies, percent)),
                f"s from sending an event to reading its decision, at {highest / 2:,.0f} events/s", len(latencies),
            )  # fmt: skip


def _cpu_s(process: Popen[bytes]) -> float:
    """Seconds of processor time that a process has had (proc(5))."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class _Outside:
    """Producer and consumer of librdkafka, so that measuring costs the two cores little."""

    def __init__(self, settings: Settings) -> None:
        self._prefix = settings.topic_prefix
        self._producer = Producer(
            {"bootstrap.servers": settings.broker, "acks": "all", "linger.ms": 5, "partitioner": "murmur2_random",
             "queue.buffering.max.messages": 1_000_000}
        )  # fmt: skip
        self._consumer = Consumer({"bootstrap.servers": settings.broker, "group.id": "outside"})

    def fill(self) -> None:
        """The registry."""
        for topic, row in registry():
            self.send(topic.name, getattr(row, topic.key), encode(row))
        self._producer.flush()

    def send(self, topic: str, key: str, value: bytes) -> None:
        self._producer.produce(self._prefix + topic, value, key)
        self._producer.poll(0)

    def flush(self) -> None:
        self._producer.flush()

    def watch(self, *topics: str) -> None:
        """Read these topics from now on."""
        self._consumer.assign(
            [
                TopicPartition(self._prefix + topic, number, OFFSET_END)
                for topic in topics
                for number in range(DECISIONS.partitions)
            ]
        )
        self._consumer.consume(1, 1.0)  # so that the ends are looked up before anything is sent

    def read(self) -> Iterator[tuple[bytes, int, float]]:
        """What has come: value, the time it carries in ms, and the time now."""
        for record in self._consumer.consume(5000, 0.05):
            if record.error():
                raise RuntimeError(record.error())
            yield record.value(), record.timestamp()[1], time.monotonic()


def _burst(settings: Settings, workers: int, events: int) -> tuple[float, float]:
    """Events a second of so many workers, and the seconds of processor time that a thousand took."""
    asyncio.run(create_topics(settings))
    outside = _Outside(settings)
    outside.fill()
    values = [(upload.publisher_id, encode(upload)) for upload in uploads(events)]
    with ExitStack() as stack:
        running = [stack.enter_context(worker(settings, "identity")) for _ in range(workers)]
        outside.watch(DECISIONS.name, ADMITTED.name)
        before = sum(map(_cpu_s, running))
        for key, value in values:
            outside.send(UPLOADS.name, key, value)
        outside.flush()
        times: list[int] = []
        deadline = time.monotonic() + PATIENCE_S
        while len(times) < events * 2:
            times += [at for _, at, _ in outside.read()]
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(times)} of {events * 2} outputs within {PATIENCE_S:.0f} s")
        cpu = sum(map(_cpu_s, running)) - before
    return (events - 1) / (max(times) - min(times)) * 1000, cpu / events * 1000


def _paced(settings: Settings, rate: float, seconds: float) -> list[float]:
    """Seconds from sending each event to reading its decision, at an even rate."""
    asyncio.run(create_topics(settings))
    outside = _Outside(settings)
    outside.fill()
    portion = max(1, round(rate / PORTIONS))
    events = list(uploads(round((seconds + WARM_S) * PORTIONS) * portion))
    values = [(upload.event_id, upload.publisher_id, encode(upload)) for upload in events]
    sent: dict[str, float] = {}
    found: list[float] = []
    with worker(settings, "identity"):
        outside.watch(DECISIONS.name)
        begun = time.monotonic()

        def send() -> None:
            for number in range(0, len(values), portion):
                time.sleep(max(0.0, begun + number / portion / PORTIONS - time.monotonic()))
                for event_id, key, value in values[number : number + portion]:
                    sent[event_id] = time.monotonic()
                    outside.send(UPLOADS.name, key, value)
            outside.flush()

        sender = threading.Thread(target=send)
        sender.start()
        read = 0
        deadline = begun + seconds + WARM_S + PATIENCE_S
        while read < len(values):
            for value, _, now in outside.read():
                read += 1
                at = sent[_OUTPUT.decode(value).event_id]
                if at - begun > WARM_S:
                    found.append(now - at)
            if time.monotonic() > deadline:
                raise TimeoutError(f"{read} of {len(values)} decisions in time")
        sender.join()
    return found
