"""A message that can never be handled goes round as often as somebody sends it round, and no further."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer
from processes import COMMAND, Running, environment, settings_for, start, stop, until
from test_foreign_client import consumer, upload

from deploy.commands import seed
from deploy.embedded import EmbeddedBroker, free_port
from streams.kafka import create_topics
from streams.settings import Settings


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("deadletters")
    with EmbeddedBroker(free_port()) as embedded:
        settings = settings_for(folder, embedded.port)

        async def prepare() -> None:
            await create_topics(settings)
            await seed(settings)

        asyncio.run(prepare())
        running = start(settings, folder / "log", "worker", "--broker", settings.broker, "--agents", "identity")
        yield running
        stop(running)


def veristream(settings: Settings, *arguments: str) -> tuple[int, list[dict[str, object]]]:
    """Exit code and lines of a command with --json."""
    done = subprocess.run(
        [COMMAND, "deadletters", *arguments, "--json", "--broker", settings.broker],
        env=environment(settings), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert not done.stderr.strip() or done.returncode, done.stderr
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def letters(reading, count: int) -> list[dict[str, object]]:
    """The next letters."""
    found: list[dict[str, object]] = []

    def step() -> bool:
        message = reading.poll(0.2)
        if message is not None and not message.error():
            found.append(json.loads(message.value()))
        return len(found) >= count

    until(step, f"{count} dead letters")
    return found


def outside(settings: Settings) -> Producer:
    return Producer({"bootstrap.servers": settings.broker, "log_level": 0, "message.max.bytes": 9_000_000})


def test_poison_is_counted_from_letter_to_letter_and_parked_in_the_end(worker: Running, media, tmp_path: Path):
    settings = worker.settings
    reading = consumer(settings.broker, "deadletters")
    event = upload(media.sound, tmp_path / "store", "demo")
    producing = outside(settings)
    producing.produce("uploads", key="somebody else", value=json.dumps(event))
    assert producing.flush(20) == 0
    for replays in range(4):
        (letter,) = letters(reading, 1)
        assert (letter["field"], letter["replays"]) == ("publisher_id", replays)
        (row,) = [row for row in veristream(settings, "list")[1] if row["state"] in ("waiting", "parked")]
        assert row["state"] == ("waiting" if replays < 3 else "parked")
        code, outcomes = veristream(settings, "replay", "--id", str(row["id"]))
        expected = (0, "replayed") if replays < 3 else (1, "parked")
        assert (code, next(outcome["outcome"] for outcome in outcomes)) == expected
    code, outcomes = veristream(settings, "replay", "--id", str(row["id"]), "--force")
    assert (code, outcomes[0]["outcome"]) == (0, "replayed")
    (letter,) = letters(reading, 1)
    assert letter["replays"] == 4
    assert worker.metric('veristream_dead_letters_total{agent="identity",topic="uploads"}') == 5


def test_a_message_over_every_limit_is_pointed_to_and_put_back_from_where_it_lies(worker: Running, media, tmp_path):
    settings = worker.settings
    reading = consumer(settings.broker, "deadletters")
    event = upload(media.sound, tmp_path / "store", "demo", description="长" * 2_000_000)
    producing = outside(settings)
    raw = json.dumps(event, ensure_ascii=False).encode()
    assert len(raw) > 6_000_000
    producing.produce("uploads", key="demo", value=raw)
    assert producing.flush(20) == 0
    (letter,) = letters(reading, 1)
    assert (letter["field"], letter["value"]) == ("description", None)
    (row,) = list(veristream(settings, "list", "--reason", "stay where they lie")[1])
    code, outcomes = veristream(settings, "replay", "--id", str(row["id"]))
    assert (code, outcomes[0]["outcome"]) == (0, "replayed")
    (again,) = letters(reading, 1)
    assert (again["field"], again["value"], again["replays"]) == ("description", None, 1)
