"""A platform whose client is not ours: confluent-kafka (librdkafka) produces and reads, jsonschema checks."""

from __future__ import annotations

import hashlib
import json
import shutil
import uuid
from collections import defaultdict
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from confluent_kafka import Consumer, Producer, TopicPartition
from jsonschema import Draft202012Validator
from processes import until

import schemas
from schemas.topics import TOPICS

OUTPUTS = (
    "admitted",
    "signals",
    "decisions",
    "takedowns",
    "labels",
    "refutations",
    "reviews",
    "verdicts",
    "deadletters",
)


@cache
def validator(topic: str) -> Draft202012Validator:
    path = Path(schemas.__file__).parent / "json" / f"{topic}.schema.json"
    return Draft202012Validator(json.loads(path.read_text()), format_checker=Draft202012Validator.FORMAT_CHECKER)


def consumer(broker: str, *topics: str) -> Consumer:
    """Reads topics from their present end, without a group."""
    reading = Consumer(
        {"bootstrap.servers": broker, "group.id": f"foreign-{uuid.uuid4()}", "enable.auto.commit": False}
    )
    parts = [TopicPartition(topic, number) for topic in topics for number in range(TOPICS[topic].partitions)]
    for part in parts:
        part.offset = reading.get_watermark_offsets(part, timeout=10)[1]
    reading.assign(parts)
    return reading


def upload(path: Path, store: Path, publisher: str, **fields: object) -> dict[str, object]:
    """An event as README shows it, made without any code of ours."""
    store.mkdir(parents=True, exist_ok=True)
    data = path.read_bytes()
    target = store / f"{uuid.uuid4()}{path.suffix}"
    shutil.copyfile(path, target)
    return {
        "event_id": str(uuid.uuid4()),
        "content_id": str(uuid.uuid4()),
        "publisher_id": publisher,
        "provider_id": "demo-provider",
        "service": "short_video",
        "title": "from elsewhere",
        "media": {"uri": f"file://{target}", "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)},
        "created_at": datetime.now(UTC).isoformat(),
    } | fields


def collect(reading: Consumer, enough) -> dict[str, list[dict]]:
    """Everything that is read until `enough` of it is there; each message holds against its JSON Schema."""
    got: dict[str, list[dict]] = defaultdict(list)

    def step() -> bool:
        message = reading.poll(0.2)
        if message is not None and not message.error():
            value = json.loads(message.value())
            validator(message.topic()).validate(value)
            got[message.topic()].append(value)
        return enough(got)

    until(step, "the outputs were not complete", 60)
    return got


def test_events_of_a_foreign_client_are_answered_and_every_output_holds_against_its_schema(pipeline, media):
    producer = Producer({"bootstrap.servers": pipeline.settings.broker, "log_level": 0})
    reading = consumer(pipeline.settings.broker, *OUTPUTS)
    store = pipeline.settings.store
    events = [
        upload(media.ordinary, store, "demo"),
        upload(media.labelled, store, "demo"),
        upload(media.unmarked, store, "demo", declared_synthetic=True),
        upload(media.ordinary, store, "nobody"),
        upload(media.text_named_mp4, store, "demo"),
        upload(media.ordinary, store, "demo", description="现在代开发票", extra_field_of_a_newer_version={"x": 1}),
    ]
    for event in events:
        validator("uploads").validate(event)
        producer.produce("uploads", key=event["publisher_id"], value=json.dumps(event))
    producer.produce("uploads", key="demo", value=json.dumps(events[0] | {"media": "not an object"}))
    producer.flush(10)

    ids = [event["event_id"] for event in events]
    got = collect(
        reading,
        lambda got: (
            {verdict["event_id"] for verdict in got["verdicts"]} >= set(ids)
            and got["deadletters"]
            and got["reviews"]
            and len(got["takedowns"]) >= 3
            and len(got["labels"]) >= 2
        ),
    )
    verdicts = {verdict["event_id"]: verdict for verdict in got["verdicts"]}
    assert [verdicts[key]["verdict"] for key in ids] == [
        "publish",
        "publish_labelled",
        "hold",
        "hold",
        "hold",
        "hold",
    ]
    assert [verdicts[key]["until"] for key in ids] == [None, None, "labelled", "identified", "reviewed", "reviewed"]
    assert verdicts[ids[5]]["reasons"][0]["code"] == "REVIEW-TERM"
    assert sorted(verdict["event_id"] for verdict in got["verdicts"] if verdict["event_id"] in ids) == sorted(ids)
    letter = got["deadletters"][0]
    assert (letter["topic"], letter["field"], letter["error"]) == ("uploads", "media", "Refused")


def test_what_identity_admits_keeps_the_order_of_its_publisher(pipeline, media):
    producer = Producer({"bootstrap.servers": pipeline.settings.broker, "log_level": 0})
    reading = consumer(pipeline.settings.broker, "admitted", "decisions")
    events = [upload(media.sound, pipeline.settings.store, "demo", title=f"number {number}") for number in range(20)]
    for event in events:
        producer.produce("uploads", key="demo", value=json.dumps(event))
    producer.flush(10)
    wanted = [event["event_id"] for event in events]

    # The embedded broker's end offsets can lie before its last messages: what others sent is passed over.
    def order(rows: list[dict]) -> list[str]:
        return [row["event_id"] for row in rows if row["event_id"] in wanted]

    agents = ("identity", "review", "synthetic", "rumor")
    got = collect(
        reading,
        lambda got: all(
            len(order([row for row in got["decisions"] if row["agent"] == agent])) >= 20 for agent in agents
        ),
    )
    assert order([row["event"] for row in got["admitted"]]) == wanted
    for agent in agents:
        assert order([row for row in got["decisions"] if row["agent"] == agent]) == wanted
