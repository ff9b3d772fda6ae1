"""What policy teams and registries change applies to the next item, without a restart."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

import msgspec
from processes import COMMAND, Running, environment, until

from agents.review.enrol import entry_from_file
from schemas.bank import HashEntry
from schemas.message import decode
from schemas.policy import Policy, Term, default_policy
from schemas.topics import HASHBANK, POLICIES, VERDICTS
from schemas.verdict import Verdict
from streams.client import Client, Feed, new_event, stored

#: How soon an entry that is put into the bank, or taken out, is in force.
IN_FORCE_S = 2.0


async def verdict_on(running: Running, path: Path, publisher: str = "demo", **fields: object) -> Verdict:
    """Submit a file and wait for its verdict."""
    async with Client(running.settings) as client, Feed(running.settings, [VERDICTS]) as feed:
        event = new_event(await stored(path, running.settings.store), publisher, **fields)
        await client.submit(event)
        async for record in feed:
            verdict = decode(Verdict, record.value or b"")
            if verdict.event_id == event.event_id:
                return verdict
    raise AssertionError("the feed ended")


async def send(running: Running, topic, key: str, value: bytes | None) -> None:
    async with Client(running.settings) as client:
        await client.send_raw(topic, key.encode(), value)


def in_force(running: Running) -> float:
    return running.metric('veristream_policy_version{name="default"}')


def register(running: Running, publisher: str) -> None:
    """Register a publisher and wait until it is known."""
    rows = 'veristream_state_rows{topic="publishers"}'
    before = running.metric(rows)
    subprocess.run(
        [COMMAND, "publisher", "put", publisher, "--real-name", "verified", "--mobile", "13800138000",
         "--broker", running.settings.broker],
        env=environment(running.settings), check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    until(lambda: running.metric(rows) > before, "the publisher was not read", 20)


async def test_a_changed_policy_judges_the_next_item_and_a_broken_one_leaves_the_former_in_force(pipeline, media):
    base = default_policy()
    assert (await verdict_on(pipeline, media.sound, title="一只兔子")).verdict == "publish"

    terms = (*base.review.terms, Term(text="兔子", category="test", action="takedown"))
    stricter = msgspec.structs.replace(base, version=2, review=msgspec.structs.replace(base.review, terms=terms))
    await send(pipeline, POLICIES, "default", msgspec.json.encode(stricter))
    until(lambda: in_force(pipeline) == 2, "version 2 was not in force", 20)
    verdict = await verdict_on(pipeline, media.sound, title="一只兔-子")
    assert (verdict.verdict, verdict.policy.version) == ("block", 2)
    assert verdict.reasons[0].evidence[0].entry == "兔子"

    refused = 'veristream_state_refused_total{topic="policies"}'
    before = pipeline.metric(refused)
    broken = json.loads(msgspec.json.encode(stricter)) | {"version": 3, "review": {"hash_max_distnace": 10}}
    await send(pipeline, POLICIES, "default", json.dumps(broken).encode())
    until(lambda: pipeline.metric(refused) > before, "the broken policy was not refused", 20)
    assert in_force(pipeline) == 2
    assert "review.hash_max_distnace" in pipeline.log.read_text(), "the log names the field"
    assert (await verdict_on(pipeline, media.sound, title="兔子")).verdict == "block"

    await send(pipeline, POLICIES, "default", msgspec.json.encode(msgspec.structs.replace(base, version=4)))
    until(lambda: in_force(pipeline) == 4, "version 4 was not in force", 20)
    assert (await verdict_on(pipeline, media.sound, title="兔子")).verdict == "publish"


async def test_banned_media_is_blocked_from_the_next_item_on_until_its_entry_is_deleted(pipeline, media):
    # Somebody else than `demo`: who sends banned media is sanctioned.
    register(pipeline, "copier")
    assert (await verdict_on(pipeline, media.feature, "copier")).verdict == "publish"
    now = datetime.now(UTC)
    entry = entry_from_file(media.feature, entry_id="e2e-entry", category="test", source="test", now=now)
    rows = 'veristream_state_rows{topic="hashbank"}'
    before = pipeline.metric(rows)

    async def put(row: HashEntry | None) -> None:
        """Send the entry, and wait until what it says is in force: two seconds at most."""
        begun = monotonic()
        await send(pipeline, HASHBANK, entry.entry_id, msgspec.json.encode(row) if row else None)
        until(lambda: pipeline.metric(rows) == before + (row is not None), "the change was not read", 20)
        assert monotonic() - begun < IN_FORCE_S

    await put(entry)
    verdict = await verdict_on(pipeline, media.feature, "copier")
    assert (verdict.verdict, verdict.reasons[0].evidence[0].entry) == ("block", "e2e-entry")
    await put(None)
    assert (await verdict_on(pipeline, media.feature, "copier")).verdict == "publish"


async def test_a_publisher_registered_on_the_command_line_may_publish(pipeline, media):
    held = await verdict_on(pipeline, media.sound, "newcomer")
    assert (held.verdict, held.until) == ("hold", "identified")
    subprocess.run(
        [COMMAND, "publisher", "put", "newcomer", "--kind", "organisation", "--real-name", "verified",
         "--organisation-code", "91110000600037341L", "--broker", pipeline.settings.broker],
        env=environment(pipeline.settings), check=True, capture_output=True, timeout=60,
    )  # fmt: skip

    def published() -> bool:
        ended = submit(pipeline, media.sound, "--as", "newcomer", "--json")
        return ended.returncode == 0 and json.loads(ended.stdout)["verdict"] == "publish"

    until(published, "the newcomer could not publish", 30)


def submit(running: Running, path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND, "submit", str(path), "--broker", running.settings.broker, *arguments],
        env=environment(running.settings), capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def test_submit_says_by_its_exit_code_what_became_of_the_file(pipeline, media):
    assert submit(pipeline, media.sound).returncode == 0
    assert submit(pipeline, media.text_named_mp4).returncode == 3
    assert submit(pipeline, media.sound, "--as", "nobody").returncode == 3
    register(pipeline, "reporter")
    assert submit(pipeline, media.news_labelled, "--category", "news", "--as", "reporter").returncode == 4


def test_submit_cuts_a_file_into_a_livestream(pipeline, media):
    ended = submit(pipeline, media.stream, "--live", "--segment", "6", "--json")
    rows = [json.loads(line) for line in ended.stdout.splitlines()]
    assert ended.returncode == 0, ended.stderr
    assert sorted(row["seq"] for row in rows) == [0, 1, 2, 3]
    assert {row["verdict"] for row in rows} == {"publish"}


def test_policy_files_are_checked_before_they_are_sent(pipeline, tmp_path):
    file = tmp_path / "policy.toml"
    file.write_text('name = "default"\nversion = 9\n[review]\nnudity_review = 1.5\n')
    for command in ("lint", "put"):
        arguments = [COMMAND, "policy", command, str(file)]
        if command == "put":
            arguments += ["--broker", pipeline.settings.broker]
        ended = subprocess.run(
            arguments, env=environment(pipeline.settings), capture_output=True, text=True, timeout=60
        )
        assert ended.returncode == 1
        assert "review.nudity_review" in ended.stderr and "<= 1.0" in ended.stderr
    assert isinstance(default_policy(), Policy)
