"""Latency of the whole pipeline, as a platform sees it: from an event's creation to its verdict."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from msgspec.structs import replace

from deploy.demo.media import DemoMedia, make_media
from deploy.demo.runner import Runner
from deploy.demo.scenario import state
from deploy.demo.segments import cut_segments
from schemas.message import decode
from schemas.policy import Policy, default_policy
from schemas.topics import POLICIES, VERDICTS
from schemas.verdict import Verdict
from streams.client import Client, Feed, new_event, stored
from streams.kafka import create_topics
from streams.settings import Settings
from tests.bench.beside import broker, settings_for, worker
from tests.bench.clips import CLIPS, clip
from tests.bench.report import BUILD, Row

#: Cases of the scenario that end in verdicts and may be repeated. Of the others, 10 cuts a stream, which stays cut (the
#: livestream here is measured by itself), and 12 ends in dead letters.
CASES = (1, 2, 3, 4, 5, 6, 7, 8, 9, 11)
#: Seconds of a livestream's segment.
SEGMENT_S = 2.0
#: How long the last segments' verdicts are waited for.
PATIENCE_S = 30.0


def measure(quick: bool) -> Iterator[Row]:
    """The scenario's uploads, all at once, round after round; then a livestream at the speed of time."""
    rounds, repeats = (2, 1) if quick else (6, 2)
    media = make_media(BUILD / "demo")
    with broker() as fresh, tempfile.TemporaryDirectory(prefix="veristream-bench-") as folder:
        settings = settings_for(fresh, store=Path(folder, "store"))
        asyncio.run(create_topics(settings))
        with worker(settings):
            uploads = asyncio.run(_uploads(settings, media, Path(folder, "segments"), rounds))
            segments = asyncio.run(_livestream(settings, Path(folder, "live"), repeats))
    yield from _percentiles("pipeline.latency_s", "s, the scenario's uploads all at once", uploads)
    yield from _percentiles("pipeline.segment_latency_s", f"s, a {SEGMENT_S:.0f} s segment of 720p, paced", segments)


def _percentiles(name: str, unit: str, seconds: list[float]) -> Iterator[Row]:
    for percent in (50, 99):
        yield Row(f"{name}.p{percent}", float(np.percentile(seconds, percent)), unit, len(seconds))


def _without_sanctions() -> Policy:
    """Round after round the same publisher is stopped for the same reasons, and would soon be suspended."""
    policy = default_policy()
    return replace(policy, version=policy.version + 1, sanctions=replace(policy.sanctions, ladder=()))


async def _uploads(settings: Settings, media: DemoMedia, work: Path, rounds: int) -> list[float]:
    seconds: list[float] = []
    async with Client(settings) as client:
        await client.send(POLICIES, _without_sanctions())
    for number in range(rounds + 1):
        results = await Runner(settings, media, work, lambda seen: None).run(CASES)
        if faults := [f"case {result.case.number}: {fault}" for result in results for fault in result.faults]:
            raise RuntimeError(f"the scenario did not come out as it must: {faults}")
        if number:  # the first round warms
            seconds += [one for result in results for one in result.seconds]
    return seconds


async def _livestream(settings: Settings, folder: Path, repeats: int) -> list[float]:
    """The verdicts' latencies, of segments sent when a camera would have them ready."""
    parts = await asyncio.to_thread(cut_segments, clip(CLIPS[0]), folder, SEGMENT_S)
    plan = [(number * len(parts) + part.seq, part) for number in range(repeats) for part in parts]
    async with Client(settings) as client, Feed(settings, [VERDICTS]) as feed:
        for topic, row in await asyncio.to_thread(lambda: list(state(DemoMedia.in_folder(BUILD / "demo")))):
            await client.send(topic, row)
        await asyncio.sleep(1.0)  # state arrives by another way than events
        waiting: set[str] = set()
        reading = asyncio.create_task(_latencies(feed, waiting, len(plan), len(plan) * SEGMENT_S + PATIENCE_S))
        begun = time.monotonic()
        for seq, part in plan:
            await asyncio.sleep(begun + seq * SEGMENT_S - time.monotonic())
            event = new_event(
                await stored(part.path, settings.store), "alice", stream_id="bench", content_id=f"bench/{seq}", seq=seq,
                start_s=seq * SEGMENT_S, duration_s=part.duration_s, last=seq == len(plan) - 1,
            )  # fmt: skip
            waiting.add(event.event_id)
            await client.submit(event)
        return await reading


async def _latencies(feed: Feed, waiting: set[str], wanted: int, timeout_s: float) -> list[float]:
    found: dict[str, float] = {}
    deadline = time.monotonic() + timeout_s
    while len(found) < wanted:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{len(found)} of {wanted} segments were answered within {timeout_s:.0f} s")
        for record in await feed.read(0.2):
            verdict = decode(Verdict, record.value or b"")
            if verdict.event_id in waiting:
                if verdict.verdict != "publish":
                    raise RuntimeError(f"segment {verdict.seq}: {verdict.verdict} {verdict.reasons}")
                found.setdefault(verdict.event_id, verdict.latency_s)
    return list(found.values())
