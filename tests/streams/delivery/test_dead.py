"""What cannot be handled goes to the dead letters whole, and stops nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

import pytest
from aiokafka.errors import MessageSizeTooLargeError
from delivery_rig import Rig
from trial_agents import NOW, Echo, upload

from schemas.deadletter import DeadLetter
from schemas.event import Admitted, Upload
from schemas.message import decode, encode
from schemas.topics import ADMITTED
from streams.agent import Incoming, Outgoing
from streams.delivery import MAX_KEPT_BYTES


async def test_an_error_in_handle_makes_a_dead_letter_and_the_next_message_is_handled(rig: Rig) -> None:
    values = [encode(upload(number, title="fail" if number == 1 else "")) for number in range(3)]
    for value in values:
        rig.put(value, partition=7)
    rig.start()
    await rig.log.has("acked", 2)
    (letter,) = rig.broker.letters
    assert letter == DeadLetter(
        topic="p.uploads",
        partition=7,
        offset=1,
        key=b"publisher",
        value=values[1],
        agent="echo",
        error="RuntimeError",
        reason="it asks to fail",
        field="",
        failed_at=NOW,
    )
    assert rig.log.of("acknowledged") == ["event-0", "letter of 1", "event-2"]
    assert rig.acked == [0, 1, 2]
    assert rig.counted("veristream_dead_letters_total", agent="echo", topic="uploads") == 1


async def test_an_agent_that_refuses_names_the_field(rig: Rig) -> None:
    rig.upload(title="refuse")
    rig.start()
    await rig.log.has("acked", 0)
    (letter,) = rig.broker.letters
    assert (letter.error, letter.field, letter.reason) == ("Refused", "title", "it asks to be refused")


async def test_an_agent_that_fails_in_the_middle_of_its_outputs_sends_none_of_them(rig_of: Callable[..., Rig]) -> None:
    class Halfway(Echo):
        def handle(self, message: Incoming) -> Iterable[Outgoing]:
            yield from super().handle(message)
            raise RuntimeError("halfway")

    rig = rig_of(Halfway)
    rig.upload()
    rig.start()
    await rig.log.has("acked", 0)
    assert rig.log.of("sent") == ["letter of 0"]


BAD = {
    "no json": (b"{", b"publisher", ""),
    "not utf-8": (b"\xff\xfe", b"publisher", ""),
    "empty": (b"", b"publisher", ""),
    "a list": (b"[]", b"publisher", ""),
    "a field is missing": (b"{}", b"publisher", "event_id"),
    "a field of another type": (encode(upload()).replace(b'"bytes":1', b'"bytes":"1"'), b"publisher", "media.bytes"),
    "a value out of bounds": (encode(upload()).replace(b'"bytes":1', b'"bytes":-1'), b"publisher", "media.bytes"),
    "a segment": (encode(upload()).replace(b'"stream_id":null', b'"stream_id":"s"'), b"publisher", "stream_id"),
    "deeply nested": (b"[" * 100_000, b"publisher", ""),
    "a tombstone": (None, b"publisher", ""),
    "another key": (encode(upload()), b"another", "publisher_id"),
    "no key": (encode(upload()), None, "publisher_id"),
    "a key that is no text": (encode(upload()), b"\xff\x00\xfe", "publisher_id"),
}


@pytest.mark.parametrize("kind", BAD)
async def test_what_is_not_as_its_topic_promises_becomes_a_dead_letter_whole(rig: Rig, kind: str) -> None:
    value, key, field = BAD[kind]
    rig.put(value, key=key)
    rig.upload()
    rig.start()
    await rig.log.has("acked", 1)
    (letter,) = rig.broker.letters
    assert (letter.value, letter.key, letter.field, letter.error) == (value, key, field, "Refused")
    assert letter.reason
    assert rig.acked == [0, 1]
    assert rig.log.of("acknowledged") == ["letter of 0", "event-1"]
    assert rig.broker.lies[0][1] == (key or b"")  # as it came


async def test_an_output_that_is_too_large_becomes_a_dead_letter_of_its_input(rig_of: Callable[..., Rig]) -> None:
    rig = rig_of(max_message_bytes=10_000)
    rig.upload()
    rig.upload(description="x" * 11_000)
    rig.upload()
    rig.start()
    await rig.log.has("acked", 2)
    assert rig.log.of("acknowledged") == ["event-0", "letter of 1", "event-2"]
    (letter,) = rig.broker.letters
    assert letter.error == "Refused"
    assert "admitted message has" in letter.reason
    assert decode(Upload, letter.value or b"").event_id == "event-1"


async def test_of_several_outputs_none_is_sent_if_one_is_too_large(rig_of: Callable[..., Rig]) -> None:
    class Growing(Echo):
        def handle(self, message: Incoming) -> Iterable[Outgoing]:
            for size in (10, 11_000):
                event = upload(message.offset, description="x" * size)
                yield Outgoing(ADMITTED, "publisher", Admitted(event=event, admitted_at=NOW))

    rig = rig_of(Growing, max_message_bytes=10_000)
    rig.upload()
    rig.start()
    await rig.log.has("acked", 0)
    assert rig.log.of("sent") == ["letter of 0"]


async def test_an_output_that_the_client_refuses_for_its_size_becomes_a_dead_letter(rig: Rig) -> None:
    rig.broker.taking.extend([None, MessageSizeTooLargeError(), None])
    for _ in range(3):
        rig.upload()
    rig.start()
    await rig.log.has("acked", 2)
    assert rig.log.of("acknowledged") == ["event-0", "letter of 1", "event-2"]
    assert rig.broker.letters[0].error == "MessageSizeTooLargeError"


async def test_an_original_that_no_dead_letter_can_hold_is_named_in_one(rig: Rig) -> None:
    rig.put(b"x" * (MAX_KEPT_BYTES + 1))
    rig.put(b"x" * MAX_KEPT_BYTES)
    rig.start()
    await rig.log.has("acked", 1)
    first, second = rig.broker.letters
    assert first.value is None
    assert f"its {MAX_KEPT_BYTES + 1} bytes stay where they lie" in first.reason
    assert (first.topic, first.partition, first.offset) == ("p.uploads", 3, 0)
    assert second.value == b"x" * MAX_KEPT_BYTES
    assert max(len(value) for _, _, value in rig.broker.lies) < 8 * 2**20


async def test_a_long_reason_is_cut(rig_of: Callable[..., Rig]) -> None:
    class Chatty(Echo):
        def handle(self, message: Incoming) -> Iterable[Outgoing]:
            raise RuntimeError("x" * 1_000_000)

    rig = rig_of(Chatty)
    rig.upload()
    rig.start()
    await rig.log.has("acked", 0)
    assert len(rig.broker.letters[0].reason) == 2000


async def test_a_reason_that_is_no_text_is_made_one(
    rig_of: Callable[..., Rig], caplog: pytest.LogCaptureFixture
) -> None:
    # What is logged goes to the process that collects the results, which cannot take a sign that is in no text.
    caplog.set_level(logging.CRITICAL + 1)

    class Odd(Echo):
        def handle(self, message: Incoming) -> Iterable[Outgoing]:
            raise RuntimeError("\udcff is in no text")

    rig = rig_of(Odd)
    rig.upload()
    rig.start()
    await rig.log.has("acked", 0)
    assert rig.fatal == []
    assert "is in no text" in rig.broker.letters[0].reason


async def test_an_output_that_cannot_be_encoded_becomes_a_dead_letter(rig_of: Callable[..., Rig]) -> None:
    class Odd(Echo):
        def handle(self, message: Incoming) -> Iterable[Outgoing]:
            event = upload(message.offset, title="\udcff" if message.offset == 0 else "")
            yield Outgoing(ADMITTED, "publisher", Admitted(event=event, admitted_at=NOW))

    rig = rig_of(Odd)
    rig.upload()
    rig.upload()
    rig.start()
    await rig.log.has("acked", 1)
    assert rig.fatal == []
    assert rig.log.of("acknowledged") == ["letter of 0", "event-1"]
    assert "cannot be encoded" in rig.broker.letters[0].reason
