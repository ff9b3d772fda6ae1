"""Two verdict agents on Apache Kafka: partitions move while items are open, held and late, and each item is answered as
if one worker had had it all along."""

from __future__ import annotations

import asyncio
import signal
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from kafka import prefixes
from processes import Running, start, stop

from deploy.embedded import free_port
from schemas.decision import Action, Decision, PolicyRef, Stop, decision_id
from schemas.message import decode
from schemas.topics import DECISIONS, POLICIES, TAKEDOWNS, VERDICTS
from schemas.verdict import Verdict
from streams.client import Client, Feed
from streams.kafka import create_topics
from streams.settings import Settings, load

ITEMS = 48
REF = PolicyRef(name="default", version=2)
POLICY = b'{"name": "default", "version": 2, "verdict": {"upload_deadline_s": 4.0}}'


def decision(number: int, agent: str, action: Action = "allow") -> Decision:
    return Decision(
        decision_id=decision_id(f"e-{number}", agent, REF),
        event_id=f"e-{number}",
        content_id=f"c-{number}",
        publisher_id=f"publisher-{number % 24}",
        agent=agent,
        action=action,
        stop=Stop(kind="remove", until="forever") if action == "takedown" else None,
        policy=REF,
        decided_at=datetime.now(UTC),
        latency_s=0.1,
    )


async def send(settings: Settings, decisions: Iterable[Decision]) -> None:
    async with Client(settings) as client:
        await asyncio.gather(*(client.send(DECISIONS, each) for each in decisions))


async def answers(settings: Settings, count: int) -> dict[int, list[Verdict]]:
    """Every verdict by its item, once there are so many; and that no more come in the next seconds."""
    found: dict[int, list[Verdict]] = defaultdict(list)
    async with asyncio.timeout(100), Feed(settings, [VERDICTS], from_beginning=True) as feed:
        while sum(map(len, found.values())) < count:
            for record in await feed.read(0.3):
                verdict = decode(Verdict, record.value or b"")
                found[int(verdict.event_id.removeprefix("e-"))].append(verdict)
        assert await feed.read(3.0) == [], "an answer too many"
    return found


async def test_items_are_answered_once_and_rightly_while_their_partitions_move(kafka, tmp_path: Path):
    own = kafka.settings | prefixes() | {"session_timeout_s": 10.0, "fetch_max_wait_s": 0.1}
    settings = load(**own)
    await create_topics(settings)
    async with Client(settings) as client:
        await client.send_raw(POLICIES, b"default", POLICY)

    def worker(name: str) -> Running:
        settings = load(**own, http_port=free_port())
        return start(settings, tmp_path / name, "worker", "--broker", settings.broker, "--agents", "verdict")

    early, late = range(ITEMS // 2), range(ITEMS // 2, ITEMS)
    running = [await asyncio.to_thread(worker, "first")]
    try:
        await send(settings, [decision(n, agent) for n in early for agent in ("identity", "review", "rumor")])
        held = await answers(settings, len(early))
        assert {(v.verdict, v.reasons[0].code) for several in held.values() for v in several} == {
            ("hold", "VERDICT-TIMEOUT")
        }

        # Half of what is held moves to a second worker; what was held is finished by whoever has it now.
        running.append(await asyncio.to_thread(worker, "second"))
        await send(settings, [decision(n, "synthetic", "takedown" if n % 5 == 0 else "allow") for n in early])
        found = await answers(settings, 2 * len(early))
        for number in early:
            first, second = found[number]
            assert second.replaces == first.verdict_id
            assert second.verdict == ("block" if number % 5 == 0 else "publish")

        # Others are open when the first worker is killed: everything is the second's, which knew half of it.
        await send(settings, [decision(n, agent) for n in late for agent in ("identity", "review")])
        await asyncio.to_thread(stop, running.pop(0), signal.SIGKILL)
        await send(settings, [decision(n, agent) for n in late for agent in ("synthetic", "rumor")])
        async with asyncio.timeout(100):
            while True:
                found = await _all(settings)
                if all(found[n] and found[n][-1].verdict == "publish" for n in late):
                    break
                await asyncio.sleep(0.5)
        # Repeats of everything say nothing new.
        await send(
            settings, [decision(n, agent) for n in late for agent in ("rumor", "identity", "review", "synthetic")]
        )
        await asyncio.sleep(6)
        found = await _all(settings)
        for number in late:
            assert [v.replaces for v in found[number]] == [None, *(v.verdict_id for v in found[number])][:-1]
            assert len(found[number]) <= 2, "at most a hold, while nobody had the partition, and the answer"
            assert found[number][-1].verdict == "publish"
        for number in early:
            assert len(found[number]) == 2
        async with Feed(settings, [TAKEDOWNS], from_beginning=True) as feed:
            assert await feed.read(1.0) == []
    finally:
        for each in running:
            await asyncio.to_thread(stop, each)


async def _all(settings: Settings) -> dict[int, list[Verdict]]:
    found: dict[int, list[Verdict]] = defaultdict(list)
    async with Feed(settings, [VERDICTS], from_beginning=True) as feed:
        while not await feed.at_end():
            for record in await feed.read(0.3):
                verdict = decode(Verdict, record.value or b"")
                found[int(verdict.event_id.removeprefix("e-"))].append(verdict)
    return found
