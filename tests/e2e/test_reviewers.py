"""People in the loop, beside the whole pipeline, with a client that is not ours (confluent-kafka)."""

from __future__ import annotations

import json
import subprocess
import uuid
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

import av
import pytest
from confluent_kafka import Producer
from processes import COMMAND, Running, environment, settings_for, start, stop, until
from test_foreign_client import consumer, upload, validator

from deploy.embedded import EmbeddedBroker, free_port

#: Asks a person, by the policy that ships.
TERM = "现在代开发票"
OUTPUTS = ("decisions", "reviews", "verdicts", "takedowns", "releases", "worklist", "hashbank", "deadletters")


class Platform:
    """A platform's own client: it sends, and keeps what it has read, each message held against its schema."""

    def __init__(self, broker: str) -> None:
        self._producer = Producer({"bootstrap.servers": broker, "log_level": 0})
        self._reading = consumer(broker, *OUTPUTS)
        self.got: list[tuple[str, dict]] = []

    def send(self, topic: str, message: dict, key: str = "") -> None:
        validator(topic).validate(message)
        self._producer.produce(topic, key=key or message["publisher_id"], value=json.dumps(message))
        self._producer.flush(10)

    def until(self, topic: str, what: str, **fields: object) -> dict:
        """The first message of the topic with these fields that has not been given out."""

        def step() -> dict | None:
            message = self._reading.poll(0.1)
            if message is not None and not message.error() and message.value():
                value = json.loads(message.value())
                validator(message.topic()).validate(value)
                self.got.append((message.topic(), value))
            for place, (name, value) in enumerate(self.got):
                if name == topic and all(value.get(field) == wanted for field, wanted in fields.items()):
                    del self.got[place]
                    return value
            return None

        return until(step, f"{what} ({fields}) was not there; got {[name for name, _ in self.got]}", 45)

    def rule(self, review: dict, outcome: str, reviewer: str, **fields: object) -> dict:
        ruling = {
            "ruling_id": str(uuid.uuid4()), "publisher_id": review["publisher_id"], "review_id": review["review_id"],
            "outcome": outcome, "reviewer_id": reviewer, "reason": "looked at it", "article": "AVP-9",
            "ruled_at": datetime.now(UTC).isoformat(),
        }  # fmt: skip
        self.send("rulings", ruling | fields)
        return ruling


def encoded_again(path: Path, target: Path) -> Path:
    """The same pictures in another encoding, at a tenth of the rate."""
    with av.open(str(path)) as source, av.open(str(target), "w", format="mp4") as output:
        shown = source.streams.video[0]
        video = output.add_stream("mpeg4", rate=25)
        video.width, video.height, video.pix_fmt = shown.width, shown.height, "yuv420p"
        video.bit_rate = 400_000
        for number, frame in enumerate(source.decode(shown)):
            plain = frame.reformat(format="yuv420p")
            plain.pts, plain.time_base = number, Fraction(1, 25)
            output.mux(video.encode(plain))
        output.mux(video.encode(None))
    return target


def reviews(running: Running, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND, "reviews", *arguments, "--broker", running.settings.broker],
        env=environment(running.settings), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


@pytest.fixture
def platform(pipeline: Running) -> Platform:
    return Platform(pipeline.settings.broker)


def test_an_item_is_claimed_by_one_reviewer_and_published_once_that_one_keeps_it(pipeline, platform, media):
    event = upload(media.sound, pipeline.settings.store, "demo", description=TERM, reach=9)
    platform.send("uploads", event)
    review = platform.until("reviews", "the review", content_id=event["content_id"])
    held = platform.until("verdicts", "the hold", event_id=event["event_id"])
    assert (held["verdict"], review["severity"], review["reach"]) == ("hold", "medium", 9)
    asked_under = platform.until("worklist", "the row", event_id=event["event_id"])["questions"][0]["policy"]

    taken = reviews(pipeline, "claim", review["review_id"], "--reviewer", "ann")
    assert taken.returncode == 0, taken.stderr
    assert "REVIEW-TERM" in taken.stdout and "is yours until" in taken.stdout
    late = reviews(pipeline, "claim", review["review_id"], "--reviewer", "ben")
    assert (late.returncode, "ann has it" in late.stderr) == (1, True), late.stderr

    platform.rule(review, "keep", "ann")
    decision = platform.until("decisions", "the decision of people", event_id=event["event_id"], agent="reviewers")
    assert decision["reasons"][0]["evidence"][0]["entry"] == "ann"
    verdict = platform.until("verdicts", "the answer", event_id=event["event_id"])
    assert (verdict["verdict"], verdict["replaces"], verdict["ruling"]) == (
        "publish", held["verdict_id"], decision["decision_id"],
    )  # fmt: skip
    report = [json.loads(line) for line in reviews(pipeline, "report", "--json").stdout.splitlines()]
    (term,) = [row for row in report if row["code"] == "REVIEW-TERM" and row["version"] == asked_under["version"]]
    assert term["rejected"] >= 1 and 0 <= term["low"] <= term["precision"] <= term["high"] <= 1


def test_what_a_person_removes_is_blocked_the_next_time_without_one(pipeline, platform, media, tmp_path):
    store = pipeline.settings.store
    # Of its own, because removals cost points; verified long ago, so that nothing gives reason to look closer.
    row = {"publisher_id": "forger", "kind": "person", "real_name": "verified", "born": "1990-01",
           "verified_at": "2025-01-01T00:00:00Z", "numbers": [{"kind": "mobile", "form": "valid"}]}  # fmt: skip
    platform.send("publishers", row)

    def asked() -> dict | None:
        event = upload(media.ordinary, store, "forger", description=TERM)
        platform.send("uploads", event)
        held = platform.until("verdicts", "the hold", event_id=event["event_id"])
        return event if held["until"] == "reviewed" else None  # else the registry has not come yet

    event = until(asked, "the publisher was not known", 30)
    review = platform.until("reviews", "the review", content_id=event["content_id"])
    platform.until("worklist", "the row", event_id=event["event_id"])
    why = ("-r", "ann", "--reason", "forged", "--bank", "banned")
    ruled = reviews(pipeline, "rule", review["review_id"], "remove", *why)
    assert ruled.returncode == 0, ruled.stderr
    order = platform.until("takedowns", "the removal", content_id=event["content_id"])
    assert (order["kind"], order["reasons"][0]["code"]) == ("remove", "PERSON-REMOVED")
    assert platform.until("verdicts", "the block", event_id=event["event_id"], verdict="block")["ruling"]
    entry = platform.until("hashbank", "the entry", source="ruling")
    assert "ann" in entry["note"] and entry["frames"]
    copy = encoded_again(media.ordinary, tmp_path / "copy.mp4")

    def blocked() -> bool:
        again = upload(copy, store, "forger")
        platform.send("uploads", again)
        verdict = platform.until("verdicts", "the answer on the copy", event_id=again["event_id"])
        return verdict["verdict"] == "block" and verdict["reasons"][0]["code"] == "REVIEW-HASH"

    until(blocked, "the copy was not blocked", 30)
    platform.rule(review, "keep", "ben", bank=None)  # so that no other test meets the entry
    platform.until("hashbank", "the entry, switched off", entry_id=entry["entry_id"], active=False)
    platform.until("releases", "the release", content_id=event["content_id"])


def test_two_must_agree_also_when_the_worker_was_restarted_between_them(tmp_path):
    """Only the agents that rulings concern, on a broker of their own; the other agents' decisions are made by hand."""
    with EmbeddedBroker(free_port()) as embedded:
        settings = settings_for(tmp_path, embedded.port)
        created = subprocess.run(
            [COMMAND, "topics", "create", "--broker", settings.broker],
            env=environment(settings), capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert created.returncode == 0, created.stderr
        platform = Platform(settings.broker)
        policy = {"name": "default", "version": 2, "reviewers": {"two_person": [{"outcomes": ["remove"]}]}}
        platform.send("policies", policy, key="default")
        worker = ("worker", "--broker", settings.broker, "--agents", "reviewers,verdict")
        first = start(settings, tmp_path / "first.log", *worker)
        now = datetime.now(UTC).isoformat()
        for agent in ("identity", "review", "synthetic", "rumor"):
            asks = [{"code": "REVIEW-NUDITY", "score": 0.9, "threshold": 0.8}]
            decision = {
                "decision_id": f"d-{agent}", "event_id": "e-1", "content_id": "c-1", "publisher_id": "p-1",
                "agent": agent, "action": "review" if agent == "review" else "allow", "latency_s": 0.1,
                "policy": {"name": "default", "version": 2}, "decided_at": now,
                "reasons": asks if agent == "review" else [],
            }  # fmt: skip
            platform.send("decisions", decision)
        assert platform.until("verdicts", "the hold")["verdict"] == "hold"
        row = platform.until("worklist", "the row", event_id="e-1")
        review = row["questions"][0] | {"publisher_id": "p-1"}
        ruling = platform.rule(review, "remove", "ann")
        waits = platform.until("worklist", "the first ruling", answers=ruling["ruling_id"])
        assert waits["questions"][0]["state"] == "second"
        assert stop(first) == 0, first.log.read_text()[-3000:]

        second = start(settings, tmp_path / "second.log", *worker)
        platform.send("rulings", ruling)  # a client that is not sure sends it again
        platform.rule(review, "remove", "ben")
        verdict = platform.until("verdicts", "the block")
        assert verdict["verdict"] == "block"
        decision = platform.until("decisions", "the decision of people", agent="reviewers")
        assert decision["ruling"]["reviewers"] == ["ann", "ben"]
        assert stop(second) == 0
