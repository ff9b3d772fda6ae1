"""Dead letters are found by what is known of them, and what they hold is put back where it lay, once."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError
from confluent_kafka import Consumer, Producer, TopicPartition
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from typer.testing import CliRunner

import streams.deadletters as module
from schemas.deadletter import LETTER_HEADER, ORIGIN_HEADER, REPLAY_HEADER, DeadLetter, Replay, replays_of
from schemas.message import encode
from schemas.topics import DEADLETTERS, REPLAYS, UPLOADS
from streams.cli.main import command_line
from streams.deadletters import DeadLetters, Letter, Marks, Place, Wanted, moment, place
from streams.kafka import create_topics
from streams.settings import Settings

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
LETTER = DeadLetter(
    topic="test.uploads",
    partition=4,
    offset=11,
    key=b"alice",
    value=b'{"event_id": 1}',
    agent="identity",
    error="Refused",
    reason="Object missing required field `publisher_id`",
    field="publisher_id",
    failed_at=NOW,
)


# What is asked for.


@pytest.mark.parametrize("wrong", ["", "7@41", "deadletters/7", "deadletters/x@1", "deadletters/7@41 ", "a b/7@41"])
def test_a_place_that_is_none_is_named_with_what_to_write(wrong: str) -> None:
    with pytest.raises(ValueError, match="TOPIC/PARTITION@OFFSET"):
        place(wrong)


def test_a_place_is_what_it_says_it_is() -> None:
    assert place("deadletters/7@41") == Place("deadletters", 7, 41)
    assert str(place("prod.uploads/0@0")) == "prod.uploads/0@0"


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("90s", NOW - timedelta(seconds=90)),
        ("2h", NOW - timedelta(hours=2)),
        ("7d", NOW - timedelta(days=7)),
        ("2026-03-01T00:00:00Z", datetime(2026, 3, 1, tzinfo=UTC)),
        ("2026-03-01T08:00:00+08:00", datetime(2026, 3, 1, tzinfo=UTC)),
        ("2026-03-01", datetime(2026, 3, 1, tzinfo=UTC)),
    ],
)
def test_a_time_is_told_as_so_long_ago_or_by_the_clock(text: str, at: datetime) -> None:
    assert moment(text, NOW) == at


@pytest.mark.parametrize("wrong", ["", "2", "h", "yesterday", "-2h", "2026-13-01"])
def test_a_time_that_is_none_is_named_with_what_to_write(wrong: str) -> None:
    with pytest.raises(ValueError, match="how long ago"):
        moment(wrong, NOW)


@pytest.mark.parametrize(
    ("wanted", "holds"),
    [
        (Wanted(), True),
        (Wanted(reason="missing REQUIRED"), True),
        (Wanted(reason="refused"), True),
        (Wanted(reason="publisher_id"), True),
        (Wanted(reason="too large"), False),
        (Wanted(topic="uploads"), True),
        (Wanted(topic="segments"), False),
        (Wanted(agent="identity"), True),
        (Wanted(agent="review"), False),
        (Wanted(since=NOW), True),
        (Wanted(since=NOW + timedelta(seconds=1)), False),
        (Wanted(place=Place("deadletters", 7, 41)), True),
        (Wanted(place=Place("uploads", 4, 11)), True),
        (Wanted(place=Place("uploads", 7, 41)), False),
        (Wanted(reason="refused", agent="review"), False),
    ],
)
def test_a_letter_is_wanted_if_everything_that_is_given_holds_of_it(wanted: Wanted, holds: bool) -> None:
    assert wanted.holds(Letter(7, 41, LETTER), "test.") is holds


@given(st.lists(st.tuples(st.text(max_size=30), st.one_of(st.binary(max_size=12), st.text(max_size=12)))))
def test_whatever_a_strangers_headers_are_a_count_comes_of_them(headers: list[tuple[str, Any]]) -> None:
    assert 0 <= replays_of(headers) < 10**10


@pytest.mark.parametrize(
    ("value", "count"), [(b"2", 2), ("7", 7), (b"", 0), (b"-1", 0), (b"1e9", 0), (b"9" * 20, 0), ("²", 0), (b"\xff", 0)]
)
def test_only_a_number_counts_as_one(value: bytes | str, count: int) -> None:
    assert replays_of([("other", b"5"), (REPLAY_HEADER, value)]) == count
    assert replays_of(None) == 0


# Marks.


def mark(state: Any, run: str, over: str | None = None, letter: str = "7@41") -> Replay:
    return Replay(letter=letter, state=state, run=run, topic="uploads", partition=4, offset=0, at=NOW, over=over)


@given(st.data())
def test_of_any_number_of_runs_that_meet_a_letter_at_most_one_holds_it_at_a_time(data: st.DataObject) -> None:
    """Each run reads the marks, then writes its own; others write in between. Whoever finds its own mark sends."""
    log: list[Replay] = []
    runs = data.draw(st.integers(2, 5))
    steps = data.draw(st.permutations([(run, step) for run in range(runs) for step in ("read", "write")]))
    seen: dict[int, Replay | None] = {}

    def now() -> Replay | None:
        marks = Marks()
        for each in log:
            marks.take(each)
        return marks.by_letter.get("7@41")

    holders = []
    for run, step in steps:
        if step == "read":
            seen[run] = now()
        elif run in seen:
            known = seen[run]
            log.append(mark("begun", str(run), known.run if known else None))
            if (found := now()) and found.run == str(run):
                holders.append((known.run if known else None, str(run)))
    # Each who holds it took it from nobody, or from the one who held it before.
    assert [former for former, _ in holders] == [None, *(run for _, run in holders)][:-1]


def test_what_is_done_is_begun_by_nobody_again() -> None:
    marks = Marks()
    for each in (mark("begun", "a"), mark("done", "a"), mark("begun", "b", over="a"), mark("begun", "c")):
        marks.take(each)
    assert marks.state(Letter(7, 41, LETTER), 3) == "replayed"
    assert marks.state(Letter(7, 42, LETTER), 3) == "waiting"
    assert marks.state(Letter(7, 42, replace(LETTER, replays=3)), 3) == "parked"
    assert marks.state(Letter(7, 42, replace(LETTER, replays=2)), 3) == "waiting"


# With a broker, and a client that shares no code with ours.


class Outside:
    """confluent-kafka: writes letters and reads what was put back."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.prefix = settings.topic_prefix
        self._producer = Producer(
            {"bootstrap.servers": settings.broker, "log_level": 0, "message.max.bytes": 9_000_000}
        )

    def put(self, topic: str, value: bytes | None, key: bytes | None, partition: int = -1, **headers: bytes) -> int:
        offsets: list[int] = []
        self._producer.produce(
            self.prefix + topic, value, key, partition, headers=list(headers.items()),
            on_delivery=lambda error, message: offsets.append(message.offset()),
        )  # fmt: skip
        assert self._producer.flush(20) == 0
        return offsets[0]

    def letter(self, **changes: Any) -> str:
        """A dead letter; its place."""
        letter = replace(LETTER, **{"topic": f"{self.prefix}uploads"} | changes)
        return f"deadletters/3@{self.put('deadletters', encode(letter), letter.key, 3)}"

    def read(self, topic: str, partition: int) -> list[Any]:
        """Every message of a partition."""
        reading = Consumer({"bootstrap.servers": self.settings.broker, "group.id": "outside", "log_level": 0})
        part = TopicPartition(self.prefix + topic, partition, 0)
        reading.assign([part])
        found = []
        try:
            while True:
                message = reading.poll(0.3)
                if message is not None and not message.error():
                    found.append(message)
                elif message is None:
                    end = reading.get_watermark_offsets(part, timeout=10)[1]
                    if end <= (found[-1].offset() + 1 if found else 0):
                        return found
        finally:
            reading.close()


@pytest.fixture
async def outside(on_broker: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Outside]:
    settings = on_broker()
    await create_topics(settings)
    monkeypatch.setenv("VERISTREAM_BROKER", settings.broker)
    monkeypatch.setenv("VERISTREAM_TOPIC_PREFIX", settings.topic_prefix)
    monkeypatch.setenv("VERISTREAM_FETCH_MAX_WAIT_S", "0.05")
    yield Outside(settings)


async def command(*arguments: str) -> tuple[int, str]:
    """A command of `veristream deadletters`, in a thread with a loop of its own."""
    result = await asyncio.to_thread(CliRunner().invoke, command_line(), ["deadletters", *arguments])
    return result.exit_code, result.output


async def listed(*arguments: str) -> list[dict[str, Any]]:
    code, said = await command("list", "--json", *arguments)
    assert code == 0, said
    return [json.loads(line) for line in said.splitlines()]


async def test_what_is_put_back_is_the_message_as_it_was_with_headers_that_say_so(outside: Outside) -> None:
    value, key = bytes(range(256)), b"\xffnot text"
    letter = outside.letter(value=value, key=key)
    code, said = await command("replay", "--id", letter)
    assert (code, said.strip()) == (0, "1 put back")
    (message,) = outside.read("uploads", 4)
    assert (message.value(), message.key()) == (value, key)
    assert message.headers() == [
        (REPLAY_HEADER, b"1"),
        (LETTER_HEADER, letter.encode()),
        (ORIGIN_HEADER, b"uploads/4@11"),
    ]


async def test_a_letter_is_put_back_once_however_often_and_by_however_many_it_is_asked(outside: Outside) -> None:
    letters = [outside.letter(offset=number) for number in range(20)]

    async def run() -> list[str]:
        async with DeadLetters(outside.settings) as found:
            wanted = places([each async for each in found.find(Wanted())])
            return [each.outcome async for each in found.replay(wanted)]

    outcomes = Counter(outcome for outcomes in await asyncio.gather(run(), run(), run()) for outcome in outcomes)
    assert outcomes["replayed"] == 20
    assert set(outcomes) <= {"replayed", "already", "busy"}
    assert await command("replay", "--all") == (0, "20 were put back before\n")
    origins = [dict(message.headers())[LETTER_HEADER].decode() for message in outside.read("uploads", 4)]
    assert sorted(origins) == sorted(letters)
    assert {row["state"] for row in await listed()} == {"replayed"}


async def test_only_what_is_asked_for_is_put_back_and_a_try_puts_nothing_back(outside: Outside) -> None:
    outside.letter(agent="identity")
    wanted = outside.letter(agent="review", reason="it is on fire")
    assert await command("replay", "--reason", "FIRE", "--dry-run") == (
        0,
        "would put back 1; parked 0, put back before 0\n",
    )
    assert outside.read("uploads", 4) == []
    assert (await command("replay", "--reason", "FIRE", "--agent", "review"))[0] == 0
    assert [(row["id"], row["state"]) for row in await listed("--agent", "review")] == [(wanted, "replayed")]
    assert [row["state"] for row in await listed("--agent", "identity")] == ["waiting"]
    assert len(outside.read("uploads", 4)) == 1


async def test_without_saying_which_nothing_is_put_back(outside: Outside) -> None:
    outside.letter()
    code, said = await command("replay")
    assert code == 1
    assert "--all" in said
    assert outside.read("uploads", 4) == []


async def test_what_was_put_back_too_often_is_parked_until_forced(outside: Outside) -> None:
    letter = outside.letter(replays=3)
    (row,) = await listed()
    assert (row["id"], row["state"], row["replays"]) == (letter, "parked", 3)
    code, said = await command("replay", "--all")
    assert (code, said.startswith("1 parked")) == (1, True)
    assert outside.read("uploads", 4) == []
    assert await command("replay", "--all", "--force") == (0, "1 put back\n")
    (message,) = outside.read("uploads", 4)
    assert dict(message.headers())[REPLAY_HEADER] == b"4"


async def test_a_message_that_was_too_large_to_keep_is_read_from_its_place(outside: Outside) -> None:
    large = b"x" * 6_000_000
    outside.put("uploads", b"before", b"alice", 4)
    offset = outside.put("uploads", large, b"alice", 4)
    outside.letter(value=None, offset=offset)
    assert await command("replay", "--all") == (0, "1 put back\n")
    *_, message = outside.read("uploads", 4)
    assert (message.value() == large, message.key()) == (True, b"alice")


async def test_a_message_that_lies_there_no_longer_or_never_was_one_is_told(outside: Outside) -> None:
    gone = outside.letter(value=None, offset=1_000_000)
    other = outside.letter(value=None, offset=outside.put("uploads", b"of another", b"bob", 4))
    empty = outside.letter(value=None, offset=outside.put("uploads", None, b"alice", 4))
    unplaced = outside.letter(topic="somebody.elses")
    code, said = await command("replay", "--all", "--json")
    assert code == 1
    assert {row["id"]: row["outcome"] for row in map(json.loads, said.splitlines())} == {
        gone: "gone", other: "gone", empty: "empty", unplaced: "unplaced",
    }  # fmt: skip
    assert len(outside.read("uploads", 4)) == 2


@pytest.mark.parametrize("sent", [True, False])
async def test_a_run_that_was_broken_off_is_taken_up_where_it_ended(
    outside: Outside, monkeypatch: pytest.MonkeyPatch, sent: bool
) -> None:
    """It has marked the letter as begun, and has or has not sent the message before it was killed."""
    letter = outside.letter()
    for number in range(5):
        outside.put("uploads", str(number).encode(), b"others", 4)
    begun = mark("begun", "killed", letter=letter.partition("/")[2])
    outside.put("replays", encode(replace(begun, offset=2, at=datetime.now(UTC))), begun.letter.encode())
    if sent:
        outside.put("uploads", LETTER.value, b"alice", 4, **{LETTER_HEADER: letter.encode()})
    (row,) = await listed()
    assert row["state"] == "begun"
    code, said = await command("replay", "--all")
    if sent:
        assert (code, said) == (0, "1 put back by a run that was broken off\n")
    else:
        assert code == 1
        assert said.startswith("1 another run is putting back"), "it may still live"
        monkeypatch.setattr(module, "GONE_AFTER", timedelta(0))
        assert await command("replay", "--all") == (0, "1 put back\n")
    assert await command("replay", "--all") == (0, "1 were put back before\n")
    assert [message.key() for message in outside.read("uploads", 4)].count(b"alice") == 1


async def test_many_batches_go_back_in_the_order_of_their_letters(
    outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH_LETTERS", 7)
    for number in range(30):
        outside.letter(value=str(number).encode(), offset=number)
    assert await command("replay", "--topic", "uploads") == (0, "30 put back\n")
    assert [int(message.value()) for message in outside.read("uploads", 4)] == list(range(30))


async def test_what_is_no_dead_letter_and_no_mark_is_passed_over(outside: Outside) -> None:
    outside.put("deadletters", b"not a letter", b"alice", 3)
    outside.put("replays", b"not a mark", b"alice", 3)
    outside.put("deadletters", None, b"alice", 3)
    letter = outside.letter()
    assert [row["id"] for row in await listed()] == [letter]
    assert await command("replay", "--all") == (0, "1 put back\n")


async def test_a_letter_is_shown_whole_and_what_it_holds_cannot_command_the_terminal(outside: Outside) -> None:
    letter = outside.letter(value=json.dumps({"title": "\x1b[31mred\x9b", "n": 1}, ensure_ascii=False).encode())
    code, said = await command("show", letter)
    assert code == 0
    assert '"n": 1' in said
    assert "Object missing required field" in said
    assert "\x1b" not in said
    assert "\x9b" not in said
    code, said = await command("show", letter, "--json")
    assert json.loads(json.loads(said)["value"])["n"] == 1
    code, said = await command("show", "deadletters/3@999")
    assert (code, "there is no dead letter" in said) == (1, True)
    code, said = await command("list", "--topic", "uplaods")
    assert (code, "there is no topic 'uplaods'" in said) == (1, True)


async def test_the_table_names_each_letter_and_counts_them(outside: Outside) -> None:
    outside.letter(reason="[bold]not markup[/bold] \x1b[2J")
    code, said = await command("list")
    assert code == 0
    assert "deadletters/3@0" in said
    assert said.endswith("1 dead letter\n")
    assert "\x1b[2J" not in said


def places(found: Sequence[Letter]) -> list[tuple[int, int]]:
    return [(each.partition, each.offset) for each in found]


async def test_letters_that_come_of_a_replay_are_not_met_again_in_it(outside: Outside) -> None:
    """An agent fails at once again on what is put back; its new letter lies behind the one that was asked for."""
    outside.letter()
    async with DeadLetters(outside.settings) as letters:
        found = [each async for each in letters.find(Wanted())]
        outside.letter(replays=1)
        done = [each async for each in letters.replay(places(found))]
    assert [each.outcome for each in done] == ["replayed"]
    assert [row["state"] for row in await listed()] == ["replayed", "waiting"]
    assert {DEADLETTERS.partitions, REPLAYS.partitions, UPLOADS.partitions} == {12}


async def test_a_broker_that_is_lost_in_the_middle_is_told_with_what_to_do(
    outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside.letter()

    async def lost(*_: object, **__: object) -> AsyncIterator[module.Replayed]:
        yield module.Replayed("3@0", "replayed")
        raise KafkaConnectionError("it is gone")

    monkeypatch.setattr(DeadLetters, "replay", lost)
    outside.letter()
    code, said = await command("replay", "--all")
    assert code == 1
    assert "run this again" in said
    assert "1 put back" in said
