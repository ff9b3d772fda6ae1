"""No number anywhere: the registrar as a process of its own, asked in every way that works and that fails; then every
topic's bytes, its log at its most talkative, its metrics, its answers, and the broker's log are searched."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import aiohttp
import pytest

from agents.identity.digests import rotate
from schemas.topics import PUBLISHERS, TOPICS
from streams.client import Feed
from streams.kafka import create_topics

#: Published examples and made-up numbers that pass their checks, and some that do not.
NUMBERS = {
    "id_number": "11010519491231002X",
    "organisation_code": "91110000600037341L",
    "mobile": "+86 138 0013 8007",
    "passport": "E87654321",
    "permit": "H1234567890",
}
WRONG = {"id_number": "110105194912310021", "mobile": "+86 1380013800712"}
#: Digits of a number that show nothing alone; as many as this are searched for.
PART = 8


def parts(number):
    """The number as it is and without blanks, and every stretch of it with eight digits and more."""
    bare = re.sub(r"\W", "", number)
    return {number, bare} | {
        bare[at : at + PART] for at in range(len(bare) - PART + 1) if bare[at : at + PART].isdigit()
    }


SEARCHED = sorted({part for number in (*NUMBERS.values(), *WRONG.values()) for part in parts(number)})


def found_in(text):
    return [part for part in SEARCHED if part in text]


@pytest.fixture
async def on_topics(on_broker):
    settings = on_broker()
    await create_topics(settings)
    return settings


@pytest.fixture
def process(on_topics, verifier, tmp_path):
    """`veristream registrar serve`: where it listens, and what it writes."""
    keys = tmp_path / "keys.json"
    rotate(keys, "2026-01")
    given = {
        "BROKER": on_topics.broker,
        "TOPIC_PREFIX": on_topics.topic_prefix,
        "FETCH_MAX_WAIT_S": "0.05",
        "IDENTITY_KEYS": str(keys),
        "LOG_LEVEL": "debug",
        "VERIFIER_URL": verifier.url,
        "VERIFIER_TIMEOUT_S": "0.5",
        "REGISTRAR_PORT": "0",
        "REGISTRAR_RETRY_S": "0.2",
    }
    log = tmp_path / "log"
    with log.open("wb") as out:
        running = subprocess.Popen(
            [Path(sys.executable).with_name("veristream"), "registrar", "serve"],
            env=os.environ | {"PYTHONASYNCIODEBUG": "1"} | {f"VERISTREAM_{key}": value for key, value in given.items()},
            stdout=out, stderr=out, stdin=subprocess.DEVNULL, cwd=tmp_path,
        )  # fmt: skip
        try:
            deadline = time.monotonic() + 60
            while not (ready := re.search(r"ready: PUT (http://\S+)/publishers/ID", log.read_text())):
                assert running.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.05)
            yield ready[1], log
        finally:
            running.terminate()
            running.wait(30)


async def test_no_number_is_anywhere_after_all_that_can_happen(process, on_topics, verifier, broker):
    base, log = process
    said = []
    async with aiohttp.ClientSession() as session:

        async def put(publisher_id, body, status, data=None):
            async with session.put(f"{base}/publishers/{publisher_id}", data=data or json.dumps(body)) as response:
                said.append(await response.text() + str(response.headers))
                assert response.status in status, said[-1]

        async def waiting(count):
            while True:
                async with session.get(base + "/metrics") as response:
                    if f"veristream_registrations_waiting {count}.0" in await response.text():
                        return
                await asyncio.sleep(0.02)

        while (await session.get(base + "/readyz")).status != 200:
            await asyncio.sleep(0.02)
        for kind, number in NUMBERS.items():
            of = "organisation" if kind == "organisation_code" else "person"
            await put(f"of-{kind}", {"kind": of, "numbers": {kind: number}}, [200])
        await put("of-all", {"kind": "person", "numbers": NUMBERS, "name": "李明"}, [200])
        await put("refuse-1", {"kind": "person", "numbers": NUMBERS}, [200])
        for kind, number in WRONG.items():
            await put("wrong", {"kind": "person", "numbers": {kind: number}}, [400])
        number = NUMBERS["id_number"]
        await put("field", {"kind": "person", "numbers": {}, number: number}, [400])
        await put("key", {"kind": "person", "numbers": {number: number}}, [400])
        await put("kind", {"kind": number, "numbers": {"id_number": number}}, [400])
        await put("type", {"kind": "person", "numbers": {"id_number": int(number[:-1])}}, [400])
        await put("device", {"kind": "person", "numbers": {"id_number": number}, "devices": [number]}, [400])
        await put("json", None, [400], data='{"kind": "person", "numbers": {"id_number": "' + number)
        await put(number, {"kind": "person", "numbers": {"id_number": number}}, [400])
        verifier.extra["echo"] = {"reference": number}
        await put("echo", {"kind": "person", "numbers": {"id_number": number}}, [200])
        for name, fault in enumerate(("400", "500", "malformed", "wrong count")):
            verifier.always = fault
            await put(f"waits-{name}", {"kind": "person", "numbers": NUMBERS}, [202])
        verifier.always = None
        await waiting(4)
        async with session.get(base + "/metrics") as response:
            said.append(await response.text())

    wire = []
    async with Feed(on_topics, list(TOPICS.values()), from_beginning=True) as feed:
        while not await feed.at_end():
            wire += await feed.read(0.2)
    of = {record.key for record in wire if record.topic == PUBLISHERS.name}
    assert of == {*(f"of-{kind}" for kind in NUMBERS), "of-all", "refuse-1", "echo", *(f"waits-{n}" for n in range(4))}
    assert any(number in str(body) for body in verifier.asked)  # the search would find it where it is
    assert found_in(str(verifier.asked))
    assert found_in(b"".join(record.key.encode() + (record.value or b"") for record in wire).decode()) == []
    assert found_in(log.read_text()) == []
    assert "DEBUG" in log.read_text()
    assert found_in("".join(said)) == []
    assert found_in(broker.log.read_text()) == []
