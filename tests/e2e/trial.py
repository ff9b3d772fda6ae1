"""Workers with trial agents beside a real Kafka, and what comes out of them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from kafka import prefixes
from processes import get, until

from deploy.embedded import free_port
from deploy.kafka.cluster import Cluster
from schemas.deadletter import DeadLetter
from schemas.event import Admitted
from schemas.message import decode, encode
from schemas.topics import ADMITTED, DEADLETTERS, UPLOADS, Topic
from streams.client import Client, Feed
from streams.contact import KafkaUnusable
from streams.kafka import partitions_of
from streams.security import connection
from streams.settings import Settings, load

TRIAL = Path(__file__).parents[1] / "streams"
sys.path.append(str(TRIAL))  # where the trial agents are

from trial_agents import upload  # noqa: E402

#: Four heartbeats of 1.5 s. Kafka's default bounds allow no shorter one.
SESSION_S = 6.0
READY_S = 60.0


class Trial:
    """A worker in a process of its own."""

    def __init__(self, settings: Settings, log: Path, agent: str, *more: str) -> None:
        self.settings = settings.model_copy(update={"http_port": free_port()})
        self.log = log
        self._arguments = [agent, *more]

    def start(self, *, ready: bool = True) -> Trial:
        names = (
            "broker", "topic_prefix", "group_prefix", "session_timeout_s", "http_port", "instance", "shutdown_grace_s",
        )  # fmt: skip
        given = json.dumps({name: getattr(self.settings, name) for name in names})
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, str(TRIAL / "run_trial_worker.py"), given, *self._arguments],
                env=os.environ | {"PYTHONPATH": os.pathsep.join([str(TRIAL), str(TRIAL.parents[1])])},
                stdout=out, stderr=out,
            )  # fmt: skip
        if ready:
            self.until_ready()
        return self

    def until_ready(self, timeout_s: float = READY_S) -> None:
        until(self.is_ready, f"{self._arguments[0]} was not ready:\n{self.log.read_text()[-4000:]}", timeout_s)

    def is_ready(self) -> bool:
        assert self.process.poll() is None, f"it ended with {self.process.returncode}:\n{self.words()[-4000:]}"
        return get(f"http://127.0.0.1:{self.settings.http_port}/readyz")[0] == 200

    def metric(self, line: str) -> float:
        text = get(f"http://127.0.0.1:{self.settings.http_port}/metrics")[1]
        return next((float(row.rsplit(" ", 1)[1]) for row in text.splitlines() if row.startswith(line + " ")), 0.0)

    def lag(self) -> float:
        text = get(f"http://127.0.0.1:{self.settings.http_port}/metrics")[1]
        return sum(float(row.rsplit(" ", 1)[1]) for row in text.splitlines() if row.startswith("veristream_lag"))

    def words(self) -> str:
        return self.log.read_text()

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.send(number)
        return self.process.wait(60)


class Stage:
    """Topics of its own, something that sends to them, and what has come out."""

    def __init__(self, settings: Settings, folder: Path, client: Client, feed: Feed) -> None:
        self.settings = settings
        self.client = client
        self.out: list[tuple[int, int, Admitted]] = []
        self.letters: list[DeadLetter] = []
        self.workers: list[Trial] = []
        self._folder = folder
        self._feed = feed

    def worker(self, agent: str, *more: str, **settings: Any) -> Trial:
        """A worker that has not been started; it is killed with the test."""
        number = len(self.workers)
        own = self.settings.model_copy(update=settings)
        self.workers.append(Trial(own, self._folder / f"worker-{number}.log", agent, *more))
        return self.workers[-1]

    async def submit(self, numbers: Iterable[int], publishers: int = 7, **fields: Any) -> None:
        events = [upload(number, publisher_id=f"publisher-{number % publishers}", **fields) for number in numbers]
        for at in range(0, len(events), 500):
            await asyncio.gather(*(self.client.submit(event) for event in events[at : at + 500]))

    async def read(self, timeout_s: float = 0.2) -> int:
        records = await self._feed.read(timeout_s)
        for record in records:
            assert record.value
            if record.topic == ADMITTED.name:
                self.out.append((record.partition, record.offset, decode(Admitted, record.value)))
            else:
                self.letters.append(decode(DeadLetter, record.value))
        return len(records)

    async def until(self, condition: Any, what: str, timeout_s: float = 60) -> None:
        """Read what comes out until the condition holds."""
        try:
            async with asyncio.timeout(timeout_s):
                while not condition():
                    await self.read()
        except TimeoutError:
            logs = "\n".join(f"{worker.log}:\n{worker.words()[-3000:]}" for worker in self.workers)
            raise AssertionError(f"{what} within {timeout_s:.0f} s; {len(self.seen)} events are out\n{logs}") from None

    async def drain(self, quiet_s: float = 1.0) -> None:
        """Read until nothing more comes for so long."""
        while await self.read(quiet_s):
            pass

    @property
    def seen(self) -> set[int]:
        return {int(admitted.event.event_id.removeprefix("event-")) for _, _, admitted in self.out}

    def numbers(self) -> dict[str, set[str]]:
        """By event, what a tally has said of it; more than one is a contradiction."""
        found: dict[str, set[str]] = {}
        for _, _, admitted in self.out:
            found.setdefault(admitted.event.event_id, set()).add(admitted.event.title.partition(" ")[0])
        return found

    def first_order(self) -> dict[str, list[int]]:
        """By publisher, its events in the order in which they first came out."""
        order: dict[str, list[int]] = {}
        known: set[str] = set()
        for _, _, admitted in self.out:
            event = admitted.event
            if event.event_id not in known:
                known.add(event.event_id)
                order.setdefault(event.publisher_id, []).append(int(event.event_id.removeprefix("event-")))
        return order


@asynccontextmanager
async def stage(
    cluster: Cluster, folder: Path, *, partitions: int = 6, configs: dict[str, dict[str, str]] | None = None
) -> AsyncIterator[Stage]:
    """A stage on this cluster, on topics that nobody else has."""
    settings = load(**cluster.settings, **prefixes(), session_timeout_s=SESSION_S)
    admin = AIOKafkaAdminClient(**connection(settings))
    await admin.start()

    def topic(topic: Topic) -> NewTopic:
        return NewTopic(
            settings.topic_prefix + topic.name, partitions, 3, topic_configs=(configs or {}).get(topic.name, {})
        )

    kinds = (UPLOADS, ADMITTED, DEADLETTERS)
    answer = await admin.create_topics([topic(kind) for kind in kinds])
    assert [code for _, code, *_ in answer.topic_errors] == [0, 0, 0], answer
    await admin.close()
    async with asyncio.timeout(30):  # each broker hears of it in its own time
        while True:
            try:
                await partitions_of(settings, kinds)
                break
            except KafkaUnusable:
                await asyncio.sleep(0.1)
    async with Client(settings) as client, Feed(settings, [ADMITTED, DEADLETTERS]) as feed:
        made = Stage(settings, folder, client, feed)
        try:
            yield made
        finally:
            for worker in made.workers:
                if getattr(worker, "process", None) and worker.process.poll() is None:
                    worker.end(signal.SIGKILL)


__all__ = ["SESSION_S", "Stage", "Trial", "encode", "stage", "upload"]
