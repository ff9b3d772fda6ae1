"""Complaints as users and reviewers meet them: the entry in a process of its own, beside the whole pipeline."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from processes import COMMAND, Running, environment, get, until

from agents.complaints.report import CHINA
from deploy.embedded import free_port
from schemas.message import Message, decode
from schemas.topics import DECISIONS, REVIEWS, TAKEDOWNS, TOPICS, VERDICTS
from schemas.verdict import Verdict
from streams.client import Client, Feed, new_event, stored

PATIENCE_S = 30.0


@pytest.fixture(scope="module")
def entry(pipeline: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`veristream complaints serve`: its address."""
    port, log = free_port(), tmp_path_factory.mktemp("entry") / "log"
    command = [COMMAND, "complaints", "serve", "--port", str(port), "--broker", pipeline.settings.broker]
    with log.open("wb") as out:
        process = subprocess.Popen(command, env=environment(pipeline.settings), stdout=out, stderr=out)
    url = f"http://127.0.0.1:{port}"

    def ready() -> bool:
        assert process.poll() is None, log.read_text()[-4000:]
        return get(f"{url}/readyz")[0] == 200

    until(ready, "the entry was not ready")
    yield url
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0, log.read_text()[-4000:]
    assert "Traceback" not in log.read_text()


def complain(url: str, content: str, complainant: str, **fields: str) -> dict[str, str]:
    """Send a complaint; its receipt."""
    body = {"kind": "illegal", "publisher_id": "demo", "content_id": content, "text": "x", "complainant": complainant}
    request = urllib.request.Request(
        f"{url}/complaints", json.dumps(body | fields).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 202
        found: dict[str, str] = json.load(answer)
        return found


def state(url: str, receipt: str) -> str:
    return str(json.loads(get(f"{url}/complaints/{receipt}")[1]).get("state"))


def command(running: Running, *arguments: str) -> str:
    ended = subprocess.run(
        [COMMAND, "complaints", *arguments, "--broker", running.settings.broker],
        env=environment(running.settings), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


async def arrives(feed: Feed, wanted: Callable[[Message], bool]) -> Any:
    """Read on until such a message is there."""
    async with asyncio.timeout(PATIENCE_S):
        async for record in feed:
            message = decode(TOPICS[record.topic].message, record.value or b"")
            if wanted(message):
                return message
    raise AssertionError("the feed ended")


async def test_complaints_bring_a_person_then_a_hold_and_the_ruling_comes_back(pipeline, media, entry):
    settings = pipeline.settings
    content = f"complained-{datetime.now(UTC).timestamp()}"
    topics = [VERDICTS, DECISIONS, REVIEWS, TAKEDOWNS]
    async with Client(settings) as client, Feed(settings, topics) as feed:
        await client.submit(new_event(await stored(media.sound, settings.store), "demo", content_id=content))
        first: Verdict = await arrives(feed, lambda m: isinstance(m, Verdict) and m.content_id == content)
        assert first.verdict == "publish"

        receipts = [complain(entry, content, "one")]
        review = await arrives(feed, lambda m: type(m) is REVIEWS.message and m.content_id == content)
        assert (review.agent, review.reasons[0].code) == ("complaints", "COMPLAINT-WEIGHT")

        # The same phone under many accounts holds nothing; the third unrelated complainant does.
        receipts += [complain(entry, content, f"brigade-{number}", device="phone") for number in range(5)]
        until(lambda: state(entry, receipts[-1]["receipt"]) == "under_review", "not under review", PATIENCE_S)
        receipts.append(complain(entry, content, "three"))
        held: Verdict = await arrives(feed, lambda m: isinstance(m, Verdict) and m.content_id == content)
        assert (held.verdict, held.until, held.replaces) == ("hold", "reviewed", first.verdict_id)
        assert "COMPLAINT-WEIGHT" in {reason.code for reason in held.reasons}
        assert "unrelated complainants: 3" in str(held.reasons)

    open_ = [json.loads(line) for line in command(pipeline, "list", "--json").splitlines()]
    mine = [row["complaint_id"] for row in open_ if row["content_id"] == content]
    assert sorted(mine) == sorted(receipt["complaint_id"] for receipt in receipts)
    assert command(pipeline, "list", "--overdue") == ""

    for receipt, flag, outcome in ((receipts[0], "--upheld", "upheld"), (receipts[-1], "--rejected", "rejected")):
        command(
            pipeline, "rule", receipt["complaint_id"], "--publisher", "demo", flag, "--reviewer", "r", "--reason", "x"
        )

        def settled(receipt: dict[str, str] = receipt, outcome: str = outcome) -> bool:
            return state(entry, receipt["receipt"]) == outcome

        until(settled, f"the complainant did not see {outcome}", PATIENCE_S)
    assert state(entry, receipts[1]["receipt"]) == "under_review", "no ruling was on this one"
    assert get(f"{entry}/complaints/nobody")[0] == 404

    month = datetime.now(CHINA).strftime("%Y-%m")
    rows = [json.loads(line) for line in command(pipeline, "report", "--month", month, "--json").splitlines()]
    assert {(row["category"], row["a"], row["b"]) for row in rows} >= {
        ("complaint", "illegal", "upheld"),
        ("complaint", "illegal", "under_review"),
        ("decision", "complaints", "takedown"),
        ("reason", "complaints", "COMPLAINT-WEIGHT"),
        ("takedown", "hold", "reviewed"),
    }
    assert command(pipeline, "report", "--month", month, "--csv").splitlines()[0] == "category,a,b,number,share"


def test_metrics_count_what_is_open(pipeline, entry):
    complain(entry, "never-seen", "somebody", kind="infringement")
    series = 'veristream_complaints_open{kind="infringement"}'
    until(lambda: pipeline.metric(series) == 1, "the complaint was not counted", PATIENCE_S)
    assert pipeline.metric('veristream_complaints_overdue{kind="infringement"}') == 0
    assert pipeline.metric('veristream_complaints_total{kind="infringement"}') == 1


def test_the_entry_says_which_field_is_wrong(entry):
    with pytest.raises(urllib.error.HTTPError) as error:
        complain(entry, "c", "u", kind="nonsense")
    assert (error.value.code, json.load(error.value)["field"]) == (400, "kind")


def test_a_month_that_is_none_is_refused_in_a_sentence(pipeline):
    ended = subprocess.run(
        [COMMAND, "complaints", "report", "--month", "November", "--broker", pipeline.settings.broker],
        env=environment(pipeline.settings), capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert ended.returncode == 1
    assert "--month" in ended.stderr and "Traceback" not in ended.stderr
