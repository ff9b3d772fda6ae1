"""A claim refuted after an item was published, and true after all: sent by a foreign client, the orders come."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import subprocess
from datetime import UTC, datetime

from confluent_kafka import Producer
from processes import COMMAND, Running, environment

from schemas.message import decode
from schemas.topics import LABELS, REFUTATIONS, TOPICS, VERDICTS
from streams.client import Client, Feed, new_event, stored

PATIENCE_S = 60.0
CLAIM = "吃三斤樱桃核可以治好近视眼"


async def arrives(feed: Feed, topic, wanted):
    async with asyncio.timeout(PATIENCE_S):
        async for record in feed:
            message = decode(TOPICS[record.topic].message, record.value or b"")
            if record.topic == topic.name and wanted(message):
                return message
    raise AssertionError("the feed ended")


def refute(running: Running, **changes: object) -> None:
    """Send the entry with librdkafka, as JSON written by hand."""
    entry = {
        "rumor_id": "e2e-cherries",
        "claims": [CLAIM],
        "status": "refuted",
        "added_at": datetime.now(UTC).isoformat(),
        "refutation": {"text": "樱桃核有毒，治不了近视。", "authority": "卫生部门", "url": "https://example.org/c"},
    }
    producer = Producer({"bootstrap.servers": running.settings.broker})
    producer.produce("rumors", key="e2e-cherries", value=json.dumps(entry | changes).encode())
    assert producer.flush(30) == 0


async def test_what_was_published_is_refuted_when_its_claim_is_and_stands_in_the_record(pipeline, media):
    settings = pipeline.settings
    async with Client(settings) as client, Feed(settings, [VERDICTS, LABELS, REFUTATIONS]) as feed:
        event = new_event(await stored(media.sound, settings.store), "demo", title=f"邻居说{CLAIM}")
        await client.submit(event)
        verdict = await arrives(feed, VERDICTS, lambda m: m.event_id == event.event_id)
        assert verdict.verdict == "publish"

        refute(pipeline)
        seen = []
        order = await arrives(feed, REFUTATIONS, lambda m: seen.append(m) or m.content_id == event.content_id)
        assert (order.rumor_id, order.content_ids) == ("e2e-cherries", (event.content_id,))
        assert (order.text, order.published_at) == ("樱桃核有毒，治不了近视。", event.created_at)
        assert len(seen) == 1, "nothing else was published with that claim"

    # The label was ordered with it, and the answer that stands says so.
    async with Feed(settings, [LABELS], from_beginning=True) as feed:
        label = await arrives(feed, LABELS, lambda m: m.content_id == event.content_id)
        assert label.decision_id == order.decision_id
    async with Feed(settings, [VERDICTS], from_beginning=True) as feed:
        changed = await arrives(feed, VERDICTS, lambda m: m.replaces == verdict.verdict_id)
        assert changed.verdict == "publish_labelled"

    ended = subprocess.run(
        [COMMAND, "rumor", "filing", "--rumor", "e2e-cherries", "--broker", settings.broker],
        env=environment(settings), capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    (row,) = csv.DictReader(io.StringIO(ended.stdout))
    assert (row["authority"], row["items"], row["refuted_afterwards"], row["labelled"]) == ("卫生部门", "1", "1", "1")
    assert row["content_ids"] == event.content_id

    async with Feed(settings, [REFUTATIONS]) as feed:
        refute(pipeline, status="true")
        back = await arrives(feed, REFUTATIONS, lambda m: m.withdrawn)
    assert (back.rumor_id, back.content_ids, back.text) == (
        "e2e-cherries",
        (event.content_id,),
        "樱桃核有毒，治不了近视。",
    )
