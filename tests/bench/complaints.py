"""The entry for complaints: how long a receipt takes, and what becomes of receipts while the broker is away."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import aiohttp
import numpy as np

from agents.complaints.receipts import sha256_of
from deploy.embedded import EmbeddedBroker, free_port
from schemas.complaint import Complaint
from schemas.message import decode
from schemas.topics import COMPLAINTS
from streams.client import Feed
from streams.kafka import create_topics
from streams.settings import Settings
from tests.bench.beside import broker, check, process, settings_for
from tests.bench.report import Row

#: Complaints a second, each sent at its time whatever became of those before.
RATE = 200
PUBLISHERS = 100
TEXT = "这段视频里的消息是假的，请核实。" * 5
READY_TIMEOUT_S = 60.0


class Answer(NamedTuple):
    """What one complaint got: the receipt's milliseconds are from when it was due to be sent."""

    status: int
    receipt: str
    ms: float


def measure(quick: bool) -> Iterator[Row]:
    """At a steady rate, then at the same rate with a broker that stops answering for a while."""
    steady_s, away_s = (5, 3) if quick else (30, 30)
    with broker() as fresh:
        settings = settings_for(fresh)
        asyncio.run(create_topics(settings))
        port = free_port()
        veristream = str(Path(sys.executable).with_name("veristream"))
        command = [veristream, "complaints", "serve", "--port", str(port)]
        given = {"broker": fresh.address, "complaints_rate": "0", "complaints_peer_rate": "0", "log_level": "error"}
        with process(command, **given) as running:
            answers, away, on_topic = asyncio.run(_trial(settings, fresh, running, port, steady_s, away_s))
    ms = [answer.ms for answer in answers if answer.status == 202]
    assert len(ms) == len(answers), f"{len(answers) - len(ms)} complaints got no receipt though the broker was there"
    for percent in (50, 99):
        yield Row(
            f"complaints.receipt_ms.p{percent}", float(np.percentile(ms, percent)), f"ms, {RATE} a second", len(ms)
        )
    receipts = [answer.receipt for answer in (*answers, *away) if answer.status == 202]
    lost = sum(sha256_of(receipt) not in on_topic for receipt in receipts)
    yield Row(
        "complaints.lost_while_broker_away", lost, f"receipts not on the topic, broker away {away_s} s", len(receipts)
    )
    refused = [answer for answer in away if answer.status == 503]
    assert len(refused) + sum(answer.status == 202 for answer in away) == len(away), "neither a receipt nor a 503"
    yield Row("complaints.refused_while_broker_away", len(refused), "answers 503 with Retry-After", len(away))
    yield Row(
        "complaints.refused_ms.p99", float(np.percentile([a.ms for a in refused], 99)), "ms to a 503", len(refused)
    )


async def _trial(
    settings: Settings, fresh: EmbeddedBroker, running: subprocess.Popen[bytes], port: int, steady_s: int, away_s: int
) -> tuple[list[Answer], list[Answer], set[str]]:
    """Answers while the broker is there, answers around the time when it is away, and what lies on the topic."""
    # As many connections as it takes: whoever complains waits for nobody else.
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}", connector=connector) as session:
        await _ready(session, running)
        await _send(session, 2)  # connections and caches warm
        steady = await _send(session, steady_s)
        around = asyncio.create_task(_send(session, away_s + 10))
        await asyncio.sleep(1.0)
        # Stopped as it stands: it holds its connections and answers nothing, and keeps what it has in memory.
        assert fresh._process is not None
        os.kill(fresh._process.pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(away_s)
        finally:
            os.kill(fresh._process.pid, signal.SIGCONT)
        away = await around
    async with Feed(settings, [COMPLAINTS], from_beginning=True) as feed:
        found: set[str] = set()
        while not await feed.at_end():
            found |= {decode(Complaint, record.value or b"").receipt_sha256 for record in await feed.read(0.3)}
    return steady, away, found


async def _ready(session: aiohttp.ClientSession, running: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < deadline:
        check(running)
        try:
            async with session.get("/readyz") as answer:
                if answer.status == 200:
                    return
        except aiohttp.ClientConnectionError:
            pass
        await asyncio.sleep(0.05)
    raise TimeoutError("the entry was not ready")


async def _send(session: aiohttp.ClientSession, seconds: int) -> list[Answer]:
    """Complaints at the rate for so long; each by another complainant."""
    begun = time.perf_counter()

    async def one(number: int) -> Answer:
        due = begun + number / RATE
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        body = {
            "kind": "rumor", "publisher_id": f"p-{number % PUBLISHERS}", "content_id": f"c-{number}", "text": TEXT,
            "complainant": f"u-{number}", "device": f"d-{number}",
        }  # fmt: skip
        async with session.post("/complaints", json=body) as answer:
            receipt = (await answer.json()).get("receipt", "")
        return Answer(answer.status, receipt, (time.perf_counter() - due) * 1000)

    return list(await asyncio.gather(*(one(number) for number in range(seconds * RATE))))
