"""Dead letters: finding them, and putting what they hold back where it lay, once.

Kafka keeps no record of what was sent a second time, so whoever replays writes one, on the topic `replays`: before a
message is put back a mark `begun`, after the broker has acknowledged it a mark `done`. All marks of a letter lie in one
partition, and their order there decides between two who replay at once: only the first `begun` counts. Who finds a
letter begun and not done looks on its topic, from the end that the mark names on, for the message itself, by its
header; only if it is not there is it put back. A message could thus come twice only if a run that hung for minutes went
on after another had taken it over; what agents make of a repeat is recognised by its ids.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple, Self
from uuid import uuid4

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import MessageSizeTooLargeError

from schemas.deadletter import LETTER_HEADER, ORIGIN_HEADER, REPLAY_HEADER, DeadLetter, Replay
from schemas.message import Refused, decode, encode
from schemas.topics import DEADLETTERS, REPLAYS, TOPICS
from streams.kafka import partitions_of, reader, started
from streams.readback import up_to_now
from streams.security import connection
from streams.settings import Settings

#: Letters that are marked, put back and marked together, and the bytes after which there are enough of them.
BATCH_LETTERS = 200
BATCH_BYTES = 16 * 2**20
#: After so long a run that began and did not end is taken to be gone. A batch takes seconds.
GONE_AFTER = timedelta(minutes=2)
#: Larger than any broker takes: the broker says what is too large, not this client.
MOST_BYTES = 2**30

#: waiting: nobody has put it back. parked: it was put back so often that it is refused. begun: a run has begun and has
#: not ended. replayed: it was put back.
State = Literal["waiting", "parked", "begun", "replayed"]
#: replayed: now. found: by a run that did not get to say so. busy: another run has it. parked: too often. gone: its
#: original was too large to keep, and lies at its place no longer. empty: it never had a value. unplaced: its topic is
#: none of the table. refused: the broker takes no message of its size.
Outcome = Literal["replayed", "found", "already", "busy", "parked", "gone", "empty", "unplaced", "refused"]

_PLACE = re.compile(r"(?P<topic>[a-zA-Z0-9._-]+)/(?P<partition>\d{1,9})@(?P<offset>\d{1,18})")
_AGO = re.compile(r"(?P<number>\d{1,9})(?P<unit>[smhd])")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class Place(NamedTuple):
    """Where a message lies."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}@{self.offset}"


def place(text: str) -> Place:
    """A place as `topic/partition@offset`. ValueError says what is wrong."""
    found = _PLACE.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no place: write TOPIC/PARTITION@OFFSET, e.g. deadletters/7@41")
    return Place(found["topic"], int(found["partition"]), int(found["offset"]))


def moment(text: str, now: datetime) -> datetime:
    """A time as RFC 3339, or as so long ago (`90s`, `30m`, `2h`, `7d`). ValueError says what is wrong."""
    if found := _AGO.fullmatch(text):
        return now - timedelta(seconds=int(found["number"]) * _UNITS[found["unit"]])
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"{text!r} is no time: write how long ago (90s, 30m, 2h, 7d) or RFC 3339 (2026-03-02T12:00:00Z)"
        ) from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


class Letter(NamedTuple):
    """A dead letter where it lies."""

    partition: int
    offset: int
    letter: DeadLetter

    @property
    def id(self) -> str:
        """What marks call it."""
        return f"{self.partition}@{self.offset}"

    def origin(self, prefix: str) -> Place:
        """Where the message lay, by the names of the table."""
        return Place(self.letter.topic.removeprefix(prefix), self.letter.partition, self.letter.offset)


@dataclass(frozen=True)
class Wanted:
    """Which letters: those for which everything holds that is given."""

    reason: str = ""
    topic: str = ""
    agent: str = ""
    since: datetime | None = None
    #: Of the letter itself, or of the message that it holds.
    place: Place | None = None

    def holds(self, found: Letter, prefix: str) -> bool:
        """Whether it is one of them. A reason is found in class, field and words of the error, in any case."""
        letter = found.letter
        said = f"{letter.error} {letter.field} {letter.reason}".lower()
        lies = Place(DEADLETTERS.name, found.partition, found.offset)
        return (
            self.reason.lower() in said
            and self.topic in ("", found.origin(prefix).topic)
            and self.agent in ("", letter.agent)
            and (self.since is None or letter.failed_at >= self.since)
            and self.place in (None, lies, found.origin(prefix))
        )


@dataclass
class Marks:
    """What the topic of marks says of each letter."""

    by_letter: dict[str, Replay] = field(default_factory=dict)

    def take(self, mark: Replay) -> None:
        """The next mark of its partition."""
        known = self.by_letter.get(mark.letter)
        if mark.state == "done" or known is None or (known.state == "begun" and mark.over == known.run):
            self.by_letter[mark.letter] = mark

    def state(self, found: Letter, limit: int) -> State:
        """What is to be said of a letter. `limit`: from so many replays on it is parked."""
        if mark := self.by_letter.get(found.id):
            return "replayed" if mark.state == "done" else "begun"
        return "parked" if found.letter.replays >= limit else "waiting"


class Replayed(NamedTuple):
    """What became of one letter in this run."""

    id: str
    outcome: Outcome
    #: Where the message lies now, if it was put back.
    place: Place | None = None


class DeadLetters:
    """Reads dead letters and puts back what they hold; use as an async context manager."""

    def __init__(self, settings: Settings) -> None:
        self.marks = Marks()
        self._run = uuid4().hex
        self._settings = settings
        self._prefix = settings.topic_prefix
        #: For letters; the other reads marks and originals meanwhile.
        self._consumer = reader(settings)
        self._aside = reader(settings)
        self._producer = AIOKafkaProducer(**connection(settings), acks="all", linger_ms=2, max_request_size=MOST_BYTES)
        #: How far the marks have been read.
        self._read_to: dict[TopicPartition, int] = {}

    async def __aenter__(self) -> Self:
        """Connect, and read the marks.

        Raises:
            KafkaUnusable: no broker answers, or a topic is missing.
        """
        try:
            self._letters = await partitions_of(self._settings, [DEADLETTERS])
            marks = await partitions_of(self._settings, [REPLAYS])
            self._there = set(await partitions_of(self._settings, [t for t in TOPICS.values() if not t.compacted]))
            for client in (self._consumer, self._aside):
                await started(client, self._settings)
            await started(self._producer, self._settings)
            self._read_to = dict(await self._aside.beginning_offsets(marks))
            await self._follow({})
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._consumer.stop()
        await self._aside.stop()
        await self._producer.stop()

    async def find(self, wanted: Wanted) -> AsyncIterator[Letter]:
        """The letters that are wanted, in the order of each partition, up to what lies there now."""
        starts: dict[TopicPartition, int] = dict(await self._consumer.beginning_offsets(self._letters))
        if wanted.place and wanted.place.topic == DEADLETTERS.name:
            part = TopicPartition(self._prefix + DEADLETTERS.name, wanted.place.partition)
            starts = {part: max(starts[part], wanted.place.offset)} if part in starts else {}
        async for found in self._read(starts):
            if wanted.holds(found, self._prefix):
                yield found
            if wanted.place == Place(DEADLETTERS.name, found.partition, found.offset):
                return

    async def _read(self, starts: Mapping[TopicPartition, int]) -> AsyncIterator[Letter]:
        async for part, record in up_to_now(self._consumer, starts):
            try:
                yield Letter(part.partition, record.offset, decode(DeadLetter, record.value or b""))
            except Refused:
                continue  # whoever may write there may write anything

    async def replay(self, wanted: Iterable[tuple[int, int]], *, force: bool = False) -> AsyncIterator[Replayed]:
        """Put back what the letters at these partitions and offsets hold, batch after batch, each letter marked before
        and after. `force`: the parked too."""
        by_part: dict[int, set[int]] = {}
        for partition, offset in wanted:
            by_part.setdefault(partition, set()).add(offset)
        starts = {part: min(by_part[part.partition]) for part in self._letters if part.partition in by_part}
        batch: list[Letter] = []
        size = 0
        async for found in self._read(starts):
            if found.offset not in by_part[found.partition]:
                continue
            batch.append(found)
            size += len(found.letter.value or b"")
            if len(batch) >= BATCH_LETTERS or size >= BATCH_BYTES:
                for each in await self._put_back(batch, force=force):
                    yield each
                batch, size = [], 0
        for each in await self._put_back(batch, force=force):
            yield each

    async def _put_back(self, batch: Sequence[Letter], *, force: bool) -> list[Replayed]:
        done: list[Replayed] = []
        ready: list[tuple[Letter, bytes]] = []
        for found in batch:
            value, outcome = await self._ready(found, force=force)
            if value is not None:
                ready.append((found, value))
            elif outcome:
                done.append(outcome)
        if not ready:
            return done
        ends = await self._aside.end_offsets(list({self._part(found) for found, _ in ready}))
        await self._mark([self._begun(found, ends[self._part(found)]) for found, _ in ready])
        mine = [(found, value) for found, value in ready if self.marks.by_letter[found.id].run == self._run]
        done += [Replayed(found.id, "busy") for found, _ in ready if self.marks.by_letter[found.id].run != self._run]
        sent: list[tuple[Letter, Any]] = []
        for found, value in mine:
            try:
                sent.append((found, await self._send(found, value)))
            except MessageSizeTooLargeError:
                done.append(Replayed(found.id, "refused"))
        lies: list[tuple[Letter, int]] = []
        for found, acknowledgement in sent:
            try:
                lies.append((found, (await acknowledgement).offset))
            except MessageSizeTooLargeError:
                done.append(Replayed(found.id, "refused"))
        await self._mark([self._done(found, offset) for found, offset in lies])
        return done + [
            Replayed(found.id, "replayed", found.origin(self._prefix)._replace(offset=offset)) for found, offset in lies
        ]

    async def _ready(self, found: Letter, *, force: bool) -> tuple[bytes | None, Replayed | None]:
        """What is to be put back, or why nothing is."""
        if self._part(found) not in self._there:
            return None, Replayed(found.id, "unplaced")
        state = self.marks.state(found, self._settings.replay_limit)
        if state == "replayed":
            return None, Replayed(found.id, "already")
        if state == "begun":
            mark = self.marks.by_letter[found.id]
            if (offset := await self._sent_before(found, mark)) is not None:
                await self._mark([self._done(found, offset)])
                return None, Replayed(found.id, "found", found.origin(self._prefix)._replace(offset=offset))
            if abs(datetime.now(UTC) - mark.at) < GONE_AFTER:
                return None, Replayed(found.id, "busy")
        if found.letter.replays >= self._settings.replay_limit and not force:
            return None, Replayed(found.id, "parked")
        if found.letter.value is not None:
            return found.letter.value, None
        record = await self.original(found)
        if record is None:
            return None, Replayed(found.id, "gone")
        return (record.value, None) if record.value is not None else (None, Replayed(found.id, "empty"))

    async def original(self, found: Letter) -> Any | None:
        """The record that the letter is about, from where it lies; None if it lies there no longer."""
        part, offset = self._part(found), found.letter.offset
        if part not in self._there:
            return None
        async for _, record in up_to_now(self._aside, {part: offset}):
            return record if record.offset == offset and record.key == found.letter.key else None
        return None

    async def _sent_before(self, found: Letter, mark: Replay) -> int | None:
        """Where a run that began to put this letter back has put it, if it got that far."""
        header = LETTER_HEADER, str(Place(DEADLETTERS.name, found.partition, found.offset)).encode()
        async for _, record in up_to_now(self._aside, {self._part(found): mark.offset}):
            if header in record.headers:
                return int(record.offset)
        return None

    async def _send(self, found: Letter, value: bytes) -> Any:
        letter = found.letter
        headers = [
            (REPLAY_HEADER, str(letter.replays + 1).encode()),
            (LETTER_HEADER, str(Place(DEADLETTERS.name, found.partition, found.offset)).encode()),
            (ORIGIN_HEADER, str(found.origin(self._prefix)).encode()),
        ]
        return await self._producer.send(
            letter.topic, value, key=letter.key, partition=letter.partition, headers=headers
        )

    def _part(self, found: Letter) -> TopicPartition:
        return TopicPartition(found.letter.topic, found.letter.partition)

    def _begun(self, found: Letter, end: int) -> Replay:
        known = self.marks.by_letter.get(found.id)
        return self._replay(found, "begun", end, known.run if known else None)

    def _done(self, found: Letter, offset: int) -> Replay:
        return self._replay(found, "done", offset, None)

    def _replay(self, found: Letter, state: Literal["begun", "done"], offset: int, over: str | None) -> Replay:
        origin = found.origin(self._prefix)
        return Replay(
            letter=found.id,
            state=state,
            run=self._run,
            topic=origin.topic,
            partition=origin.partition,
            offset=offset,
            at=datetime.now(UTC),
            over=over,
        )

    async def _mark(self, marks: Sequence[Replay]) -> None:
        """Write marks, and read on until they are among those that were read: in whatever order others wrote theirs."""
        topic = self._prefix + REPLAYS.name
        sent = [await self._producer.send(topic, encode(mark), key=mark.letter.encode()) for mark in marks]
        written: dict[TopicPartition, int] = {}
        for acknowledgement in sent:
            record = await acknowledgement
            written[record.topic_partition] = max(written.get(record.topic_partition, 0), record.offset)
        await self._follow(written)

    async def _follow(self, at_least: Mapping[TopicPartition, int]) -> None:
        """Read the marks from where reading ended, beyond these offsets at least."""
        while True:
            async for part, record in up_to_now(self._aside, self._read_to):
                self._read_to[part] = record.offset + 1
                try:
                    self.marks.take(decode(Replay, record.value or b""))
                except Refused:
                    continue
            if all(self._read_to[part] > offset for part, offset in at_least.items()):
                return
