"""The load: events at a steady rate, each with what must come of it, sent as an ingest tier would send them."""

from __future__ import annotations

import hashlib
import itertools
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any

import msgspec
from confluent_kafka import KafkaError, Message, Producer
from msgspec.structs import replace

from schemas.examples import EXAMPLES
from schemas.message import encode
from schemas.policy import default_policy
from schemas.registry import Feature
from schemas.topics import FEATURES, POLICIES, PROVIDERS, PUBLISHERS, Topic
from tests.chaos.tally import Tally

#: Enough publishers for every partition, few enough for each to send something every second.
PUBLISHERS_COUNT = 240
UNASSESSED = "unassessed-feature"
#: The load hands over what is due this often: often against the latencies measured, seldom enough to cost little.
STEP_S = 0.02
#: How long the broker may take to acknowledge the load's own messages; longer than any fault lasts.
DELIVERY_TIMEOUT_MS = 240_000


def rows() -> Iterator[tuple[Topic, bytes, bytes]]:
    """The state under which identity alone decides: topic, key, value. It stands still during a run, so that whoever
    decides an event again must decide the same.

    Publishers with an even number are verified, the others unknown. A takedown for an unassessed feature costs a point,
    on a ladder without steps: the points show whether sanctions counted each decision once, and nothing follows.
    """
    shipped = default_policy()
    policy = replace(
        shipped,
        version=shipped.version + 1,
        verdict=replace(shipped.verdict, agents=("identity",)),
        sanctions=replace(shipped.sanctions, points={"FEATURE-UNASSESSED": 1.0}, ladder=()),
    )
    yield POLICIES, policy.name.encode(), encode(policy)
    provider = EXAMPLES["providers"]
    yield PROVIDERS, provider.provider_id.encode(), encode(provider)
    yield FEATURES, UNASSESSED.encode(), encode(Feature(feature_id=UNASSESSED, name="Not assessed"))
    for number in range(0, PUBLISHERS_COUNT, 2):
        name = publisher(number)
        yield PUBLISHERS, name.encode(), encode(replace(EXAMPLES["publishers"], publisher_id=name))


def publisher(number: int) -> str:
    """A publisher's id."""
    return f"publisher-{number % PUBLISHERS_COUNT:03d}"


@dataclass(frozen=True)
class Item:
    """A message to send, and what must come of it; `due` is None for one that cannot be judged."""

    key: bytes | None
    value: bytes | None
    event_id: str = ""
    content_id: str = ""
    publisher_id: str = ""
    due: dict[str, str | None] | None = None


ALLOWED: Mapping[str, str | None] = {"decisions": "allow", "admitted": None, "verdicts": "publish"}
HELD: Mapping[str, str | None] = {"decisions": "takedown", "takedowns": None, "verdicts": "hold"}


def items(media: Callable[[int], dict[str, Any]] | None = None) -> Iterator[Item]:
    """Events for ever: half of publishers whom identity lets pass, a tenth of theirs with a feature that costs a
    point. With `media`, that number's media is named, and its signals are due."""
    for number in itertools.count():
        name = publisher(number)
        known = number % 2 == 0
        pointed = known and (number // PUBLISHERS_COUNT + number // 2) % 10 == 0
        due = dict(ALLOWED if known and not pointed else HELD)
        if media:  # extraction runs instead of sanctions
            due |= {"signals": None} if "admitted" in due else {}
        elif pointed:
            due["standings"] = None
        yield _event(name, due, media(number) if media else _nowhere(number), UNASSESSED if pointed else None)


def _event(name: str, due: dict[str, str | None], media: dict[str, Any], feature: str | None) -> Item:
    event_id, content_id = uuid.uuid4().hex, uuid.uuid4().hex
    event = {
        "event_id": event_id,
        "content_id": content_id,
        "publisher_id": name,
        "provider_id": EXAMPLES["providers"].provider_id,
        "service": "short_video",
        "title": "A day at the sea",
        "media": media,
        "feature_id": feature,
        "created_at": datetime.now(UTC),
    }
    return Item(name.encode(), msgspec.json.encode(event), event_id, content_id, name, due)


def _nowhere(number: int) -> dict[str, Any]:
    """Media that nobody fetches: extraction does not run."""
    digest = hashlib.sha256(str(number).encode()).hexdigest()
    return {"uri": f"https://media.example.com/{digest}.mp4", "sha256": digest, "bytes": 1_000_000}


def stored(clip: Path) -> dict[str, Any]:
    """A clip as media."""
    return {
        "uri": clip.resolve().as_uri(),
        "sha256": hashlib.sha256(clip.read_bytes()).hexdigest(),
        "bytes": clip.stat().st_size,
    }


def bad_items() -> Iterator[Item]:
    """Messages that cannot be judged, for ever, one kind after another."""
    good = next(items())
    assert good.value is not None
    event = msgspec.json.decode(good.value)
    key = b"publisher-000"

    def changed(**fields: Any) -> bytes:
        return msgspec.json.encode({**event, "event_id": uuid.uuid4().hex, "publisher_id": "publisher-000", **fields})

    kinds: tuple[Callable[[], Item], ...] = (
        lambda: Item(key, None),
        lambda: Item(key, b""),
        lambda: Item(key, b'{"event_id": '),
        lambda: Item(key, b"\xff\xfe\x00 not UTF-8"),
        lambda: Item(key, b"[]"),
        lambda: Item(key, b"null"),
        lambda: Item(key, b"[" * 100_000),
        lambda: Item(key, changed(event_id=7)),
        lambda: Item(key, changed(media="a link")),
        lambda: Item(key, changed(created_at="yesterday")),
        lambda: Item(key, changed(created_at="2026-01-01T00:00:00")),
        lambda: Item(key, changed(stream_id="a-stream")),
        lambda: Item(key, changed(media={**event["media"], "uri": "ftp://example.com/a.mp4"})),
        lambda: Item(key, changed(description="x" * 900_000)),
        lambda: Item(key, b"\x00" * 900_000),
        lambda: Item(b"somebody-else", changed()),
        lambda: Item(None, changed()),
        lambda: Item(b"\xff\xfe", changed()),
    )
    for number in itertools.count():
        yield kinds[number % len(kinds)]()


def mixed(good: Iterable[Item], bad: Iterable[Item], every: int) -> Iterator[Item]:
    """One bad item after each so many good ones."""
    good, bad = iter(good), iter(bad)
    while True:
        yield from itertools.islice(good, every)
        yield next(bad)


@dataclass
class Load:
    """Sends items at a rate until it is told to stop, on a thread of its own."""

    broker: str
    topic: str
    source: Iterator[Item]
    tally: Tally
    rate: float
    #: What the broker refused of the load itself: the run then proves nothing.
    failed: list[str] = field(default_factory=list)
    sent: int = 0

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)
        self._producer = Producer(
            {
                "bootstrap.servers": self.broker,
                "enable.idempotence": True,
                "acks": "all",
                "linger.ms": 5,
                "message.max.bytes": 2_000_000,
                "delivery.timeout.ms": DELIVERY_TIMEOUT_MS,
                "queue.buffering.max.messages": 1_000_000,
                "log_level": 2,
            }
        )

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, and wait until everything is acknowledged."""
        self._stop.set()
        self._thread.join()
        if left := self._producer.flush(DELIVERY_TIMEOUT_MS / 1000):
            self.failed.append(f"{left} messages of the load were never acknowledged")

    def _run(self) -> None:
        begun = monotonic()
        while not self._stop.is_set():
            due = int((monotonic() - begun) * self.rate)
            while self.sent < due:
                self._send(next(self.source))
                self.sent += 1
            self._producer.poll(0)
            self._stop.wait(STEP_S)

    def _send(self, item: Item) -> None:
        if item.due is not None:
            self.tally.sent(item.event_id, item.content_id, item.publisher_id, item.due, monotonic())
            self._producer.produce(self.topic, item.value, item.key, on_delivery=self._good)
        else:
            self._producer.produce(self.topic, item.value, item.key, on_delivery=self._bad)

    def _good(self, error: KafkaError | None, _: Message) -> None:
        if error:
            self.failed.append(str(error))

    def _bad(self, error: KafkaError | None, message: Message) -> None:
        if error:
            self.failed.append(str(error))
            return
        self.tally.bad(message.partition(), message.offset())
