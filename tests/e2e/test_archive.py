"""An item goes through; why it was held can be asked, proved, and not be altered unseen."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import command, variables
from processes import COMMAND, Running, get, until

from deploy.embedded import free_port
from schemas.message import decode
from schemas.topics import VERDICTS
from schemas.verdict import Verdict
from streams.client import Client, Feed, new_event, stored


@pytest.fixture
def archive(pipeline: Running, tmp_path: Path) -> dict[str, Any]:
    """Settings of an archive of this pipeline."""
    return {
        "broker": pipeline.settings.broker,
        "archive_dir": tmp_path / "archive",
        "archive_key": tmp_path / "key.pem",
        "archive_flush_s": 0.2,
        "archive_http_port": free_port(),
    }


@pytest.fixture
def archiver(archive: dict[str, Any], tmp_path: Path) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    """Starts the archiver and waits until it reads."""
    begun: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        log = tmp_path / "log"
        with log.open("ab") as out:
            process = subprocess.Popen([COMMAND, "archive", "serve"], env=variables(archive), stdout=out, stderr=out)
        begun.append(process)
        ready = f"http://127.0.0.1:{archive['archive_http_port']}/readyz"

        def answers() -> bool:
            assert process.poll() is None, log.read_text()[-3000:]
            return get(ready)[0] == 200

        until(answers, "the archiver was not ready")
        return process

    yield start
    for process in begun:
        process.kill()
        process.wait(20)


async def held_item(pipeline: Running, media: Path) -> str:
    """Submit an item of somebody who is not registered, and wait until it is held; returns its content_id."""
    async with Client(pipeline.settings) as client, Feed(pipeline.settings, [VERDICTS]) as feed:
        event = new_event(await stored(media, pipeline.settings.store), "nobody-knows-them")
        await client.submit(event)
        async for record in feed:
            verdict = decode(Verdict, record.value or b"")
            if verdict.event_id == event.event_id:
                assert verdict.verdict == "hold"
                return event.content_id
    raise AssertionError("the feed ended")


def asked(archive: dict[str, Any], *question: str) -> list[dict[str, Any]]:
    done = command(archive, "query", *question, "--json")
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


async def test_why_an_item_was_held_can_be_asked_and_proved_after_a_kill(pipeline, media, archive, archiver, tmp_path):
    first = archiver()
    content = await held_item(pipeline, media.sound)
    first.send_signal(signal.SIGKILL)
    first.wait(20)
    second = archiver()
    other = await held_item(pipeline, media.sound)

    def why(item: str) -> list[dict[str, Any]]:
        rows = asked(archive, "why", item)
        return rows if {"decisions", "verdicts", "takedowns"} <= {row["topic"] for row in rows} else []

    for item in (content, other):
        rows = until(lambda item=item: why(item), "the item was not archived", 30)
        decided = [row for row in rows if row["topic"] == "decisions"]
        assert [(row["agent"], row["what"], row["until"], row["codes"]) for row in decided] == [
            ("identity", "takedown", "identified", ["ID-UNKNOWN"])
        ]
    second.send_signal(signal.SIGTERM)
    assert second.wait(20) == 0
    places = "count(*) AS rows, count(DISTINCT (topic, kafka_partition, kafka_offset)) AS apart"
    (counts,) = asked(archive, f"SELECT {places} FROM archive")
    assert counts["rows"] == counts["apart"] > 0

    verified = command(archive, "evidence", "verify")
    assert (verified.returncode, "bad" in verified.stdout) == (0, False), verified.stdout
    exported = command(archive, "evidence", "export", "--content", content, "-o", str(tmp_path / "bundle.zip"))
    assert exported.returncode == 0, exported.stderr
    path = next((archive["archive_dir"] / "topic=decisions").rglob("*.parquet"))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 3] + bytes([whole[len(whole) // 3] ^ 1]) + whole[len(whole) // 3 + 1 :])
    found = command(archive, "evidence", "verify")
    assert found.returncode == 1
    assert path.name in found.stdout


def test_an_archive_that_is_not_there_and_sql_that_writes_are_refused_in_words(tmp_path):
    refused = command({"archive_dir": tmp_path / "none"}, "query", "reasons")
    assert (refused.returncode, "there is no archive in" in refused.stderr) == (1, True)
