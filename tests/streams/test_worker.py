"""A worker beside a broker: what it is sent it handles, however it ends, and its probes say how it fares."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import aiohttp
import msgspec
import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from prometheus_client.parser import text_string_to_metric_families
from trial_agents import Defective, Echo, Judge, Patient, upload

from deploy.embedded import EmbeddedBroker, free_port
from schemas.deadletter import DeadLetter
from schemas.event import Admitted
from schemas.message import decode, encode
from schemas.policy import default_policy
from schemas.topics import ADMITTED, DEADLETTERS, PARTITIONS, POLICIES, UPLOADS
from streams.agent import Agent, Incoming
from streams.client import Client, Feed
from streams.kafka import KafkaUnusable
from streams.settings import Settings, SettingsError, load
from streams.worker import EXIT_DEFECT, EXIT_SLOW_STOP, EXIT_STALLED, Worker, end_hard, run


class Bench:
    """A broker's topics, something that sends to them, and what has come out so far."""

    def __init__(self, settings: Settings, client: Client, feed: Feed) -> None:
        self.settings = settings
        self.client = client
        self.admitted: list[Admitted] = []
        self.letters: list[DeadLetter] = []
        self._feed = feed

    @classmethod
    @asynccontextmanager
    async def beside(cls, settings: Settings) -> AsyncIterator[Bench]:
        admin = AIOKafkaAdminClient(bootstrap_servers=settings.broker)
        await admin.start()
        topics = (UPLOADS, ADMITTED, DEADLETTERS, POLICIES)
        await admin.create_topics([NewTopic(settings.topic_prefix + t.name, t.partitions, 1) for t in topics])
        await admin.close()
        async with Client(settings) as client, Feed(settings, [ADMITTED, DEADLETTERS]) as feed:
            yield cls(settings, client, feed)

    async def submit(self, *numbers: int, **fields: Any) -> None:
        events = [upload(number, publisher_id=f"publisher-{number % 7}", **fields) for number in numbers]
        await asyncio.gather(*(self.client.submit(event) for event in events))

    async def until(self, condition: Callable[[], bool], seconds: float = 30) -> None:
        async with asyncio.timeout(seconds):
            while not condition():
                for record in await self._feed.read(0.05):
                    assert record.value
                    if record.topic == ADMITTED.name:
                        self.admitted.append(decode(Admitted, record.value))
                    else:
                        self.letters.append(decode(DeadLetter, record.value))

    @property
    def numbers(self) -> Counter[int]:
        """How often each event has come out."""
        return Counter(int(message.event.event_id.removeprefix("event-")) for message in self.admitted)


@pytest.fixture
async def bench(on_broker: Callable[..., Settings]) -> AsyncIterator[Bench]:
    async with Bench.beside(on_broker()) as bench:
        yield bench


def run_by(monkeypatch: pytest.MonkeyPatch, *kinds: type[Agent]) -> None:
    """Workers run these agents."""
    monkeypatch.setattr("streams.worker.installed", lambda *_: {kind.name: kind for kind in kinds})


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, str]]:
    """How it would have ended the process, which goes on instead."""
    calls: list[tuple[int, str]] = []
    monkeypatch.setattr("streams.worker.end_hard", lambda code, why: calls.append((code, why)))
    return calls


async def probe(worker: Worker, path: str) -> tuple[int, Any]:
    url = f"http://127.0.0.1:{worker.health.port}{path}"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        text = await answer.text()
        return answer.status, text if path == "/metrics" else json.loads(text)


# One worker that runs, for all that does not end it.


class Start(NamedTuple):
    """What a worker said of itself before it was ready, and what its agents were told."""

    problems: set[str]
    lives: set[int]


@pytest.fixture(scope="module")
async def running() -> AsyncIterator[tuple[Bench, Worker, Start]]:
    with EmbeddedBroker(free_port()) as broker, pytest.MonkeyPatch.context() as patched:
        settings = load(broker=broker.address, session_timeout_s=2.0, fetch_max_wait_s=0.05, http_port=0)
        run_by(patched, Echo, Judge)
        worker = Worker(settings)
        patched.undo()
        async with Bench.beside(settings) as bench:
            starting = asyncio.create_task(worker.start())
            start = Start(set(), set())
            async with asyncio.timeout(30):
                while not worker.health.port:
                    await asyncio.sleep(0)
                while (answer := await probe(worker, "/readyz"))[0] == 503:
                    assert answer[1]["ready"] is False
                    start.problems.update(answer[1]["problems"])
                    start.lives.add((await probe(worker, "/livez"))[0])
                    await asyncio.sleep(0.01)
            await starting
            yield bench, worker, start
            await worker.stop()


@pytest.fixture
def bench_and_worker(running: tuple[Bench, Worker, Start]) -> tuple[Bench, Worker]:
    bench, worker, _ = running
    bench.admitted.clear()
    bench.letters.clear()
    return bench, worker


async def test_each_agent_gets_every_message_and_its_outputs_arrive(bench_and_worker: tuple[Bench, Worker]) -> None:
    bench, _ = bench_and_worker
    await bench.submit(*range(100))
    await bench.until(lambda: len(bench.admitted) >= 200)
    assert bench.numbers == dict.fromkeys(range(100), 2)


async def test_a_publishers_outputs_keep_the_order_of_its_inputs(bench_and_worker: tuple[Bench, Worker]) -> None:
    bench, _ = bench_and_worker
    for number in range(200, 260):
        await bench.client.submit(upload(number, title="copies 1"))
    await bench.until(lambda: len(bench.admitted) >= 120)
    from_echo = [message.event.event_id for message in bench.admitted if message.event.title == "copies 1"]
    assert from_echo == [f"event-{number}" for number in range(200, 260)]


async def test_bad_messages_go_to_the_dead_letters_and_the_good_ones_after_them_on(
    bench_and_worker: tuple[Bench, Worker],
) -> None:
    bench, _ = bench_and_worker
    bad = [b"{", b"\xff\xfe", b"[]", None]
    for value in bad:
        await bench.client.send_raw(UPLOADS, b"publisher-1", value)
    await bench.submit(1, title="fail")
    await bench.submit(1)
    await bench.until(lambda: len(bench.letters) >= 10 and len(bench.admitted) >= 2)
    assert Counter(letter.agent for letter in bench.letters) == {"echo": 5, "judge": 5}
    mine = [letter for letter in bench.letters if letter.agent == "echo"]
    assert [letter.value for letter in mine] == [*bad, encode(upload(1, publisher_id="publisher-1", title="fail"))]
    assert {letter.topic for letter in mine} == {"uploads"}
    assert [letter.offset for letter in mine] == list(range(mine[0].offset, mine[0].offset + 5))
    assert mine[-1].error == "RuntimeError"


async def test_a_policy_that_is_sent_is_in_force_without_a_restart(bench_and_worker: tuple[Bench, Worker]) -> None:
    bench, worker = bench_and_worker
    await bench.client.send(POLICIES, msgspec.structs.replace(default_policy(), version=41))
    view = worker._views.by_topic[POLICIES.name]
    await bench.until(lambda: view.rows["default"].version == 41)
    await bench.submit(1)
    await bench.until(lambda: len(bench.admitted) >= 2)
    assert "policy 41" in {message.event.title for message in bench.admitted}
    assert 'veristream_policy_version{name="default"} 41.0' in (await probe(worker, "/metrics"))[1]


async def test_state_is_restored_once_with_the_partitions_that_are_there(
    bench_and_worker: tuple[Bench, Worker],
) -> None:
    (judge,) = [agent for agent in bench_and_worker[1]._agents if agent.name == "judge"]
    assert judge.restored == [frozenset(("uploads", number) for number in range(PARTITIONS))]  # type: ignore[attr-defined]


async def test_it_says_that_it_is_alive_and_ready(bench_and_worker: tuple[Bench, Worker]) -> None:
    _, worker = bench_and_worker
    assert await probe(worker, "/livez") == (200, {"alive": True})
    assert await probe(worker, "/readyz") == (200, {"ready": True, "problems": []})


async def test_lag_goes_back_to_nothing(bench_and_worker: tuple[Bench, Worker]) -> None:
    bench, worker = bench_and_worker
    await bench.submit(*range(20))
    progress = worker._progress["echo"]
    await bench.until(lambda: len(bench.admitted) >= 40)
    await bench.until(lambda: progress.lag == 0 and sum(offset or 0 for offset in progress._seen.values()) > 0)
    assert progress.commit_age_s == 0
    assert progress.partitions == PARTITIONS


async def test_metrics_count_what_went_through(bench_and_worker: tuple[Bench, Worker]) -> None:
    _, worker = bench_and_worker
    families = {f.name: f for f in text_string_to_metric_families((await probe(worker, "/metrics"))[1])}

    def value(name: str, **labels: str) -> float:
        return sum(
            sample.value
            for sample in families[name].samples
            if all(sample.labels.get(label) == wanted for label, wanted in labels.items())
            and sample.name in (name, name + "_total")
        )

    taken = value("veristream_messages_in", agent="echo", topic="uploads")
    made = value("veristream_messages_out", agent="echo", topic="admitted")
    dead = value("veristream_dead_letters", agent="echo", topic="uploads")
    assert taken == made + dead > 0
    assert value("veristream_partitions", agent="echo") == PARTITIONS
    assert value("process_resident_memory_bytes") > 0


async def test_the_broker_holds_back_an_empty_answer_no_longer_than_the_settings_say(
    bench_and_worker: tuple[Bench, Worker],
) -> None:
    # On the embedded broker every hop takes as long.
    for attached in bench_and_worker[1]._attached.values():
        assert attached.delivery.consumer._client._fetch_max_wait_ms == 50


def test_settings_decide_which_agents_run() -> None:
    worker = Worker(load(agents="verdict,identity"))
    assert [agent.name for agent in worker._agents] == ["verdict", "identity"]
    with pytest.raises(SettingsError, match="censor not installed"):
        Worker(load(agents="censor"))


# Beginning.


async def test_it_is_alive_but_not_ready_before_it_has_its_partitions(running: tuple[Bench, Worker, Start]) -> None:
    _, _, start = running
    assert {"echo: no partitions assigned", "judge: no partitions assigned"} <= start.problems
    assert start.lives == {200}


async def until_it_ends(settings: Settings) -> None:
    """Run a worker that is expected to end by itself."""
    await asyncio.wait_for(run(settings, stop=asyncio.Event()), 30)


async def test_a_port_that_is_taken_is_named(on_broker: Callable[..., Settings]) -> None:
    # With the agents that are installed, extraction among them: none of them has started when it ends.
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(SettingsError, match=rf"http_port: cannot listen on 127.0.0.1:{port} .*in use.*another"):
        await until_it_ends(on_broker(http_port=port))
    server.close()


async def test_a_broker_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    run_by(monkeypatch, Judge)
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(KafkaUnusable, match=address):
        await until_it_ends(load(broker=address, http_port=0))


async def test_a_topic_that_is_missing_is_named(
    on_broker: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_by(monkeypatch, Judge)
    with pytest.raises(KafkaUnusable, match="policies does not exist: run `veristream topics create`"):
        await until_it_ends(on_broker())


async def test_an_agent_that_cannot_start_ends_it_and_the_others_are_stopped(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Failing(Echo):
        async def start(self) -> None:
            raise RuntimeError("no model")

    calls: list[str] = []

    class First(Judge):
        async def stop(self) -> None:
            calls.append("stop")

    run_by(monkeypatch, First, Failing)
    with pytest.raises(RuntimeError, match="no model"):
        await until_it_ends(bench.settings)
    assert calls == ["stop"]


async def test_an_agent_that_cannot_load_its_models_ends_it(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    class Failing(Echo):
        async def warm(self) -> None:
            raise RuntimeError("no model")

    run_by(monkeypatch, Judge, Failing)
    with pytest.raises(RuntimeError, match="no model"):
        await until_it_ends(bench.settings)


async def test_it_is_not_ready_while_models_are_loaded_and_joins_its_groups_meanwhile(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = asyncio.Event()

    class Slow(Echo):
        async def warm(self) -> None:
            await loaded.wait()

    run_by(monkeypatch, Judge, Slow)
    worker = Worker(bench.settings)
    starting = asyncio.create_task(worker.start())
    waits = ["echo: models are being loaded"]
    async with asyncio.timeout(30):
        while worker.problems() != waits:
            await asyncio.sleep(0.01)
    assert (await probe(worker, "/readyz"))[1]["problems"] == waits
    assert not starting.done()
    loaded.set()
    await starting
    assert worker.problems() == []
    await worker.stop()


# Ending.


async def test_what_it_began_is_finished_and_committed_when_it_stops(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_by(monkeypatch, Echo)
    worker = Worker(bench.settings)
    await worker.start()
    await bench.submit(*range(150), title="wait 0.005")
    await bench.until(lambda: len(bench.admitted) >= 20)
    await worker.stop()
    before = Counter(bench.numbers)
    await bench.submit(*range(150, 160))
    worker = Worker(bench.settings)
    await worker.start()
    await bench.until(lambda: len(bench.numbers) == 160)
    await worker.stop()
    assert len(before) < 150, "it was stopped in the middle"
    # What was let go was committed: nothing comes twice after an orderly stop.
    assert bench.numbers == dict.fromkeys(range(160), 1)


async def test_a_stop_gives_up_what_is_not_done_in_its_share_of_the_grace_and_it_comes_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, ended: list[tuple[int, str]]
) -> None:
    run_by(monkeypatch, Patient)
    worker = Worker(bench.settings.model_copy(update={"shutdown_grace_s": 5.0}))
    await worker.start()
    (patient,) = worker._agents
    assert isinstance(patient, Patient)
    await bench.submit(1)
    await asyncio.wait_for(patient.begun.wait(), 30)
    stopping = asyncio.create_task(worker.stop())
    await asyncio.sleep(1.0)
    assert not stopping.done(), "it waits for what may be done in time"
    await asyncio.wait_for(stopping, 30)
    assert ended == []
    assert patient.cancelled == 1
    worker = Worker(bench.settings)
    await worker.start()
    (patient,) = worker._agents
    assert isinstance(patient, Patient)
    patient.let.set()
    await bench.until(lambda: len(bench.admitted) == 1)
    await worker.stop()


async def test_a_stop_lets_what_is_done_within_the_grace_go_out(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    run_by(monkeypatch, Patient)
    worker = Worker(bench.settings)
    await worker.start()
    (patient,) = worker._agents
    assert isinstance(patient, Patient)
    await bench.submit(1)
    await asyncio.wait_for(patient.begun.wait(), 30)
    stopping = asyncio.create_task(worker.stop())
    await asyncio.sleep(0.1)
    assert not stopping.done()
    patient.let.set()
    await asyncio.wait_for(stopping, 10)
    await bench.until(lambda: len(bench.admitted) == 1)


async def test_a_stop_that_does_not_end_ends_the_process(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, ended: list[tuple[int, str]]
) -> None:
    class Stubborn(Patient):
        async def prepare(self, message: Incoming) -> None:
            while not self.let.is_set():
                try:
                    await super().prepare(message)
                except asyncio.CancelledError:
                    continue

    run_by(monkeypatch, Stubborn)
    worker = Worker(bench.settings.model_copy(update={"shutdown_grace_s": 0.5}))
    await worker.start()
    (patient,) = worker._agents
    assert isinstance(patient, Patient)
    await bench.submit(1)
    await asyncio.wait_for(patient.begun.wait(), 30)
    stopping = asyncio.create_task(worker.stop())
    await bench.until(lambda: bool(ended))
    assert ended == [(EXIT_SLOW_STOP, "what had begun was not finished in time")]
    assert bench.admitted == []
    patient.let.set()  # in earnest, the process would have ended
    await asyncio.wait_for(stopping, 30)


async def test_a_stop_calls_off_its_own_end(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, ended: list[tuple[int, str]]
) -> None:
    run_by(monkeypatch, Judge)
    worker = Worker(bench.settings.model_copy(update={"shutdown_grace_s": 0.2}))
    (judge,) = worker._agents
    await worker.stop()
    await asyncio.sleep(0.3)
    assert ended == []
    assert judge.calls == ["stop"]  # type: ignore[attr-defined]


async def test_a_defect_ends_the_process(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, ended: list[tuple[int, str]]
) -> None:
    run_by(monkeypatch, Defective, Judge)
    worker = Worker(bench.settings)

    def fail(*_: object) -> None:
        raise RuntimeError("cannot apply")

    monkeypatch.setattr(worker._views.by_topic[POLICIES.name], "apply", fail)
    await worker.start()
    await bench.until(lambda: any("delivery failed" in why for _, why in ended))
    await bench.client.send(POLICIES, default_policy())
    await bench.until(lambda: any("reading state failed" in why for _, why in ended))
    await worker.stop()
    assert {code for code, _ in ended} == {EXIT_DEFECT}
    assert {repr(RuntimeError("a defect")), repr(RuntimeError("cannot apply"))} == {
        why.partition(": ")[2] for _, why in ended if "crashed" not in why
    }


class Watched:
    """A worker that watches an agent of which everything is made up."""

    def __init__(self) -> None:
        self.worker = Worker(load(agents="identity", http_port=0))
        self.consumer = SimpleNamespace(
            dead=lambda: None, adrift_s=lambda: 0.0, assigned=frozenset({1}), fresh=True, places=dict
        )
        self.agent = SimpleNamespace(slow=False)
        self.progress = SimpleNamespace(
            stalled_s=0.0, commit_age_s=0.0, lag=7, read=lambda *_, **how: self.readings.append(how)
        )
        self.readings: list[dict[str, Any]] = []
        delivery = SimpleNamespace(consumer=self.consumer, queued=0, excused=False, agent=self.agent)
        self.attached: Any = SimpleNamespace(app=SimpleNamespace(crashed=False), delivery=delivery)
        self.worker._attached = {"echo": self.attached}
        self.worker._progress = {"echo": self.progress}  # type: ignore[dict-item]
        self.worker._views._loaded.set()

    def look(self) -> None:
        self.worker._look_at("echo", self.attached)


def test_a_loop_that_stands_still_ends_the_process_and_a_slow_one_has_its_time(ended: list[tuple[int, str]]) -> None:
    watched = Watched()
    watched.progress.stalled_s = 299.0
    watched.look()
    assert ended == []
    watched.progress.stalled_s = 301.0
    watched.agent.slow = True
    watched.look()
    assert ended == []
    watched.agent.slow = False
    watched.look()
    assert ended == [(EXIT_STALLED, "echo stands still: no commit for 301 s, 7 wait")]


def test_a_consumer_that_has_died_ends_the_process(ended: list[tuple[int, str]]) -> None:
    watched = Watched()
    watched.consumer.dead = lambda: "fetching has ended: RuntimeError('a defect')"
    watched.look()
    assert ended == [(EXIT_DEFECT, "consumer of echo: fetching has ended: RuntimeError('a defect')")]


def test_a_member_that_does_not_get_into_its_group_ends_the_process(ended: list[tuple[int, str]]) -> None:
    watched = Watched()
    watched.consumer.adrift_s = lambda: 301.0
    watched.look()
    assert ended == [(EXIT_STALLED, "consumer of echo has not got into its group for 301 s")]


def test_it_is_not_ready_while_the_group_does_not_answer_or_nothing_is_committed() -> None:
    watched = Watched()
    assert watched.worker.problems() == []
    watched.progress.commit_age_s = 61.0
    assert watched.worker.problems() == ["echo: no commit for 61 s while 7 wait"]
    watched.consumer.fresh = False
    assert watched.worker.problems() == ["echo: the group does not answer its heartbeats"]
    watched.consumer.assigned = None
    assert watched.worker.problems() == ["echo: no partitions assigned"]


def test_a_member_without_partitions_is_ready() -> None:
    watched = Watched()
    watched.consumer.assigned = frozenset()
    assert watched.worker.problems() == []


def test_to_end_hard_is_to_run_nothing_more(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    codes: list[int] = []
    monkeypatch.setattr("streams.worker.os._exit", codes.append)
    monkeypatch.setattr("streams.worker.logging.shutdown", lambda: None)
    end_hard(EXIT_DEFECT, "a defect")
    assert codes == [EXIT_DEFECT]
    assert "a defect" in caplog.text
    assert len({0, 1, 2, EXIT_DEFECT, EXIT_SLOW_STOP, EXIT_STALLED}) == 6


class Outside:
    """A worker in a process of its own."""

    def __init__(self, settings: Settings) -> None:
        names = ("broker", "topic_prefix", "group_prefix", "session_timeout_s", "fetch_max_wait_s", "http_port")
        self._flags = json.dumps({name: getattr(settings, name) for name in names})

    async def start(self) -> None:
        script = Path(__file__).with_name("run_trial_worker.py")
        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(script),
            self._flags,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert self.process.stdout
        assert await asyncio.wait_for(self.process.stdout.readline(), 90) == b"ready\n"

    async def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return await asyncio.wait_for(self.process.wait(), 30)


async def test_nothing_is_lost_when_it_is_killed_in_the_middle_of_a_batch(bench: Bench) -> None:
    outside = Outside(bench.settings)
    await outside.start()
    await bench.submit(*range(60), title="wait 0.02")
    await bench.until(lambda: len(bench.admitted) >= 15)
    assert await outside.end(signal.SIGKILL) == -signal.SIGKILL
    await bench.until(lambda: True)
    before = len(bench.numbers)
    await outside.start()
    await bench.submit(60)
    await bench.until(lambda: len(bench.numbers) == 61)
    assert before < 60, "it was killed in the middle"
    assert set(bench.numbers) == set(range(61))
    assert bench.letters == []
    assert await outside.end(signal.SIGTERM) == 0
