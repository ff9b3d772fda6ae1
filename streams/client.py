"""A client of the pipeline: what the command line uses to send events and read answers."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, Self
from uuid import uuid4

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import TopicAuthorizationFailedError

from schemas.event import Media, Segment, Upload
from schemas.message import Message, encode
from schemas.topics import SEGMENTS, TOPICS, UPLOADS, Topic
from streams.kafka import DEADLETTER_BYTES, caught_up, not_allowed, partitions_of, reader, started
from streams.security import connection
from streams.settings import Settings


class Record(NamedTuple):
    """A message as it lies on a topic."""

    topic: str
    partition: int
    offset: int
    key: str
    value: bytes | None


class Feed:
    """What arrives on some topics, from now on or from their beginning."""

    def __init__(self, settings: Settings, topics: Sequence[Topic], *, from_beginning: bool = False) -> None:
        self._settings = settings
        self._prefix = settings.topic_prefix
        self._topics = topics
        self._from_beginning = from_beginning
        self._consumer: AIOKafkaConsumer

    async def __aenter__(self) -> Self:
        """Find the topics' ends; what is sent after this is seen."""
        parts = await partitions_of(self._settings, self._topics)
        self._consumer = await started(reader(self._settings), self._settings)
        self._consumer.assign(parts)
        if self._from_beginning:
            await self._consumer.seek_to_beginning(*parts)
        else:
            for part, end in (await self._consumer.end_offsets(parts)).items():
                self._consumer.seek(part, end)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._consumer.stop()

    async def ends(self) -> Mapping[Any, int]:
        """The end offset of every partition now."""
        ends: Mapping[Any, int] = await self._consumer.end_offsets(list(self._consumer.assignment()))
        return ends

    async def at_end(self) -> bool:
        """Whether everything that lies there now has been read."""
        return await caught_up(self._consumer, await self.ends())

    async def read(self, timeout_s: float) -> list[Record]:
        """What has arrived, waiting for it at most so long.

        Raises:
            KafkaUnusable: the user may not read one of the topics.
        """
        try:
            got = await self._consumer.getmany(timeout_ms=int(timeout_s * 1000), max_records=1000)
        except TopicAuthorizationFailedError as error:
            raise not_allowed(self._settings, "read", f"topic {error.args[0]}") from error
        return [
            Record(
                part.topic.removeprefix(self._prefix), part.partition, record.offset, _text(record.key), record.value
            )
            for part, records in got.items()
            for record in records
        ]

    async def __aiter__(self) -> AsyncIterator[Record]:
        while True:
            for record in await self.read(0.5):
                yield record


def _text(key: bytes | None) -> str:
    return (key or b"").decode("utf-8", "replace")


class Client:
    """Sends messages, each acknowledged before the call returns."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._producer = AIOKafkaProducer(
            **connection(settings), acks="all", linger_ms=2, max_request_size=DEADLETTER_BYTES
        )

    async def __aenter__(self) -> Self:
        await started(self._producer, self._settings)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._producer.stop()

    async def send(self, topic: Topic, message: Message) -> None:
        """Send one message under the key that its topic asks for."""
        await self.send_raw(topic, getattr(message, topic.key).encode(), encode(message))

    async def send_raw(self, topic: Topic, key: bytes, value: bytes | None) -> None:
        """Send bytes as they are; None deletes a compacted topic's row.

        Raises:
            KafkaUnusable: the user may not write there.
        """
        wire = self._settings.topic_prefix + topic.name
        try:
            await self._producer.send_and_wait(wire, value, key=key)
        except TopicAuthorizationFailedError as error:
            raise not_allowed(self._settings, "write to", f"topic {wire}") from error

    async def post(self, topic: Topic, key: bytes, value: bytes | None) -> asyncio.Future[Any]:
        """Give bytes to the producer, waiting for room only; the future ends with the broker's acknowledgement. For
        whoever sends millions, and awaits each of them.

        Raises:
            KafkaUnusable: the user may not write there.
        """
        wire = self._settings.topic_prefix + topic.name
        try:
            sent: asyncio.Future[Any] = await self._producer.send(wire, value, key=key)
        except TopicAuthorizationFailedError as error:
            raise not_allowed(self._settings, "write to", f"topic {wire}") from error
        return sent

    async def submit(self, event: Upload | Segment) -> None:
        """Send an event to its topic."""
        await self.send(SEGMENTS if isinstance(event, Segment) else UPLOADS, event)


def _stored(path: Path, store: Path) -> Media:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    store.mkdir(parents=True, exist_ok=True)
    target = store / f"{digest}{path.suffix}"
    if not target.exists():
        making = store / f".{digest}.{uuid4().hex}"
        shutil.copyfile(path, making)
        making.rename(target)
    return Media(uri=target.resolve().as_uri(), sha256=digest, bytes=target.stat().st_size)


async def stored(path: Path, store: Path) -> Media:
    """Put a file into the store, as an ingest tier does, and describe it.

    Raises:
        OSError: the file cannot be read, or the store cannot be written.
    """
    return await asyncio.to_thread(_stored, path, store)


def new_event(media: Media, publisher: str, **fields: Any) -> Upload | Segment:
    """An event for this media, made now, with ids of its own unless given; a segment if `stream_id` is given."""
    kind = Segment if fields.get("stream_id") else Upload
    return kind(
        **{
            "event_id": str(uuid4()),
            "content_id": str(uuid4()),
            "provider_id": "demo-provider",
            "service": "live" if kind is Segment else "short_video",
            "created_at": datetime.now(UTC),
        }
        | fields
        | {"media": media, "publisher_id": publisher}
    )


def topic_named(name: str) -> Topic:
    """The topic of that name. ValueError, with the names there are, if there is none."""
    if name not in TOPICS:
        raise ValueError(f"there is no topic {name!r}; there are {', '.join(TOPICS)}")
    return TOPICS[name]
