"""A worker that is killed, stopped or left alone loses nothing. Several workers and broker faults need Apache Kafka."""

from __future__ import annotations

import asyncio
import os
import signal
import struct
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import Running, get, settings_for, start, stop, until

from deploy.commands import seed
from deploy.embedded import EmbeddedBroker, free_port
from schemas.event import Upload
from schemas.message import decode
from schemas.topics import DECISIONS, VERDICTS
from schemas.verdict import Verdict
from streams.client import Client, Feed, new_event, stored
from streams.kafka import create_topics
from streams.settings import Settings


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Settings]:
    with EmbeddedBroker(free_port()) as embedded:
        settings = settings_for(tmp_path, embedded.port)

        async def prepare() -> None:
            await create_topics(settings)
            await seed(settings)

        asyncio.run(prepare())
        yield settings


def descendants(pid: int) -> set[int]:
    """Every process below this one."""
    found: set[int] = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            child = int(stat.parent.name)
            found |= {child} | descendants(child)
    return found


def alive(pids: set[int]) -> set[int]:
    """Those that still run (a zombie does not)."""

    def runs(pid: int) -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except OSError:
            return False

    return {pid for pid in pids if runs(pid)}


async def send_many(settings: Settings, path: Path, count: int) -> list[str]:
    """Upload the clip so many times, each as a file of its own: what comes again would be answered at once."""
    settings.store.mkdir(parents=True, exist_ok=True)
    async with Client(settings) as client:
        events = []
        for number in range(count):
            note = f"{number}".encode()
            own = settings.store / f"{number}-{path.name}"
            own.write_bytes(path.read_bytes() + struct.pack(">I", 8 + len(note)) + b"free" + note)
            events.append(new_event(await stored(own, settings.store), "demo", title=f"number {number}"))
        for event in events:
            assert isinstance(event, Upload)
            await client.submit(event)
        return [event.event_id for event in events]


async def verdicts(settings: Settings, wanted: set[str], timeout_s: float = 120) -> dict[str, list[Verdict]]:
    found: dict[str, list[Verdict]] = defaultdict(list)
    async with asyncio.timeout(timeout_s), Feed(settings, [VERDICTS], from_beginning=True) as feed:
        while not (wanted <= found.keys() and await feed.at_end()):
            for record in await feed.read(0.2):
                verdict = decode(Verdict, record.value or b"")
                found[verdict.event_id].append(verdict)
    return found


async def count(settings: Settings, topic) -> int:
    total = 0
    async with Feed(settings, [topic], from_beginning=True) as feed:
        while not await feed.at_end():
            total += len(await feed.read(0.2))
    return total


async def test_a_worker_killed_while_it_works_loses_nothing_and_no_verdict_contradicts_another(broker, media, tmp_path):
    worker = start(broker, tmp_path / "log", "worker", "--broker", broker.broker)
    ids = await send_many(broker, media.labelled, 60)
    while await count(broker, DECISIONS) < 70:  # in the middle: not one agent is done with all of them
        await asyncio.sleep(0.05)
    below = descendants(worker.process.pid)
    os.kill(worker.process.pid, signal.SIGKILL)
    worker.process.wait()
    answered = {key for key, found in (await verdicts(broker, set())).items() if found}
    assert len(answered) < len(ids), "the worker was killed too late to show anything"
    until(lambda: not alive(below), f"processes were left behind: {alive(below)}", 20)

    again = start(broker, tmp_path / "log", "worker", "--broker", broker.broker)
    try:
        found = await verdicts(broker, set(ids))
        assert set(found) == set(ids)
        for several in found.values():
            assert {verdict.verdict for verdict in several} == {"publish_labelled"}
            assert len({verdict.verdict_id for verdict in several}) == 1, "the same answer has the same id"
    finally:
        stop(again)


async def test_a_worker_stopped_while_it_works_ends_in_time_and_the_next_one_goes_on(broker, media, tmp_path):
    worker = start(broker, tmp_path / "log", "worker", "--broker", broker.broker)
    ids = await send_many(broker, media.labelled, 40)
    while await count(broker, DECISIONS) < 50:
        await asyncio.sleep(0.05)
    assert stop(worker, signal.SIGTERM) == 0, (tmp_path / "log").read_text()[-3000:]
    again = start(broker, tmp_path / "log", "worker", "--broker", broker.broker)
    try:
        found = await verdicts(broker, set(ids))
        assert set(found) == set(ids)
    finally:
        stop(again)


async def test_an_item_whose_agents_do_not_all_answer_is_held_and_answered_again_when_they_do(broker, media, tmp_path):
    policy = (
        '{"name": "default", "version": 2, "verdict": {"upload_deadline_s": 2.0, "segment_deadline_s": 2.0},'
        ' "review": {"nudity_review": null}}'
    )
    from schemas.topics import POLICIES

    async with Client(broker) as client:
        await client.send_raw(POLICIES, b"default", policy.encode())
    most = start(
        broker,
        tmp_path / "log",
        "worker",
        "--broker",
        broker.broker,
        "--agents",
        "identity,extraction,review,rumor,verdict",
    )
    rest: Running | None = None
    try:
        (key,) = await send_many(broker, media.sound, 1)
        (held,) = (await verdicts(broker, {key}))[key]
        assert (held.verdict, held.reasons[0].code) == ("hold", "VERDICT-TIMEOUT")
        other = settings_for(tmp_path, int(broker.broker.rpartition(":")[2]))
        rest = start(other, tmp_path / "log2", "worker", "--broker", broker.broker, "--agents", "synthetic")
        while len(found := (await verdicts(broker, {key}))[key]) < 2:
            await asyncio.sleep(0.2)
        assert (found[-1].verdict, found[-1].replaces) == ("publish", held.verdict_id)
    finally:
        stop(most)
        if rest:
            stop(rest)


def test_ctrl_c_leaves_no_process_and_a_second_start_is_ready_within_seconds(tmp_path):
    port = free_port()
    for _ in range(2):
        settings = settings_for(tmp_path, port)
        running = start(settings, tmp_path / "log", "up", "--port", str(port))
        below = descendants(running.process.pid)
        assert len(below) >= 2, "broker and decoding processes"
        os.killpg(running.process.pid, signal.SIGINT)  # a terminal sends Ctrl-C to all of them
        assert running.process.wait(40) == 0, running.log.read_text()[-3000:]
        until(lambda below=below: not alive(below), "processes were left behind", 10)
        assert get(f"http://127.0.0.1:{settings.http_port}/livez")[0] == 0
