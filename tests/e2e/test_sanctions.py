"""Who breaks the rules again is sanctioned, held while the sanction lasts, and free once a ruling lifts it."""

from __future__ import annotations

import json
import subprocess

from processes import COMMAND, Running, environment, until

from agents.review.enrol import entry_from_file
from schemas.message import encode
from schemas.topics import HASHBANK, PUBLISHERS, SANCTIONS
from streams.client import Client, Feed

DIGEST = "ab" * 32


def veristream(running: Running, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND, *arguments, "--broker", running.settings.broker],
        env=environment(running.settings), capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def submitted(running: Running, path, publisher: str, *arguments: str) -> dict:
    ended = veristream(running, "submit", str(path), "--as", publisher, "--json", *arguments)
    assert ended.stdout, ended.stderr
    return json.loads(ended.stdout)


async def register(running: Running, *names: str) -> None:
    """Accounts of one person: they share a digest."""
    async with Client(running.settings) as client:
        for name in names:
            row = {"publisher_id": name, "kind": "person", "real_name": "verified", "born": "1990-01",
                   "numbers": [{"kind": "mobile", "form": "valid", "digest": DIGEST, "key_id": "k"}]}  # fmt: skip
            await client.send_raw(PUBLISHERS, name.encode(), json.dumps(row).encode())


async def sanctions_of(running: Running, publisher: str) -> list[dict]:
    found = []
    async with Feed(running.settings, [SANCTIONS], from_beginning=True) as feed:
        while not await feed.at_end():
            found += [json.loads(record.value) for record in await feed.read(0.2) if record.key == publisher]
    return found


async def test_an_offender_climbs_the_ladder_is_held_and_is_freed_by_a_ruling(pipeline, media):
    from datetime import UTC, datetime

    await register(pipeline, "offender", "second-account")
    entry = entry_from_file(
        media.banned, entry_id="e2e-sanctions", category="test", source="test", now=datetime.now(UTC)
    )
    async with Client(pipeline.settings) as client:
        await client.send_raw(HASHBANK, entry.entry_id.encode(), encode(entry))
    until(
        lambda: submitted(pipeline, media.banned_reencoded, "offender")["verdict"] == "block",
        "the banned clip was not blocked",
        60,
    )
    levels = {"limit"}
    while "suspend" not in levels:  # 6 points each, 12 suspend
        assert submitted(pipeline, media.banned_reencoded, "offender")["verdict"] in ("block", "hold")
        levels = {row["level"] for row in await sanctions_of(pipeline, "offender")}
    assert levels >= {"limit", "suspend"}
    assert submitted(pipeline, media.ordinary, "demo")["verdict"] == "publish", "others are not concerned"

    def held() -> dict | None:
        verdict = submitted(pipeline, media.ordinary, "offender")
        return verdict if verdict["verdict"] == "hold" else None

    verdict = until(held, "the suspended publisher was not held", 30)
    (suspension,) = [row for row in await sanctions_of(pipeline, "offender") if row["level"] == "suspend"]
    assert verdict["until"] == "lifted"
    assert verdict["reasons"][0]["code"] == "SANCTION-SUSPENDED"
    assert verdict["reasons"][0]["evidence"][0]["entry"] == suspension["sanction_id"]
    inherited = submitted(pipeline, media.ordinary, "second-account")
    assert inherited["reasons"][0]["code"] == "SANCTION-EVASION"

    ruled = veristream(
        pipeline, "sanctions", "lift", suspension["sanction_id"], "--publisher", "offender", "--reviewer", "r-1",
        "--reason", "the appeal was right",
    )  # fmt: skip
    assert ruled.returncode == 0, ruled.stderr
    until(
        lambda: submitted(pipeline, media.ordinary, "offender")["verdict"] == "publish",
        "the publisher was not freed",
        60,
    )
    assert submitted(pipeline, media.ordinary, "second-account")["verdict"] == "publish"
    shown = veristream(pipeline, "sanctions", "show", "offender", "--json")
    assert shown.returncode == 0
    assert suspension["sanction_id"] in shown.stdout
