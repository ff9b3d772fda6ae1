"""Producing: in order, whole calls or nothing, and again until the broker has acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

import msgspec
import pytest
from aiokafka.errors import KafkaConnectionError
from prometheus_client import CollectorRegistry
from trial_agents import NOW, upload

from schemas.deadletter import DeadLetter
from schemas.decision import Decision
from schemas.event import Admitted
from schemas.examples import EXAMPLES
from schemas.message import Refused, decode, encode
from schemas.signals import Evidence
from schemas.topics import ADMITTED, DEADLETTERS, DECISIONS
from streams.agent import Outgoing
from streams.metrics import Metrics
from streams.producer import RETRY_FIRST_S, RETRY_LONGEST_S, Producer, Send


def admitted(number: int = 0, key: str = "publisher", **fields: Any) -> Outgoing:
    return Outgoing(ADMITTED, key, Admitted(event=upload(number, **fields), admitted_at=NOW))


def producer(send: Send, registry: CollectorRegistry | None = None) -> Producer:
    metrics = Metrics(registry or CollectorRegistry())
    return Producer(send, agent="echo", prefix="p.", max_message_bytes=10_000, metrics=metrics)


async def done() -> None:
    """An acknowledgement that is there at once."""


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long it waited before each further try, without the wait."""
    waited: list[float] = []
    plain = asyncio.sleep

    async def sleep(seconds: float) -> None:
        waited.append(seconds)
        await plain(0)

    monkeypatch.setattr("streams.producer.asyncio.sleep", sleep)
    return waited


async def test_topic_key_and_value_go_out_as_they_are_on_the_wire() -> None:
    sent = []

    async def send(*wire: Any) -> Awaitable[None]:
        sent.append(wire)
        return done()

    await producer(send).send([admitted(1), admitted(2, key="as it \udcff came")])
    assert sent == [
        ("p.admitted", b"publisher", encode(admitted(1).value)),
        ("p.admitted", b"as it \xff came", encode(admitted(2).value)),
    ]


async def test_without_flush_nothing_is_waited_for() -> None:
    acknowledgement: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def send(*_: Any) -> Awaitable[None]:
        return acknowledgement

    sending = producer(send)
    await sending.send([admitted()], flush=False)
    flushing = asyncio.create_task(sending.flush())
    await asyncio.sleep(0.01)
    assert not flushing.done()
    acknowledgement.set_result(None)
    await flushing


async def test_flush_with_nothing_sent_returns(pauses: list[float]) -> None:
    async def send(*_: Any) -> Awaitable[None]:
        raise AssertionError

    await producer(send).flush()
    assert pauses == []


@pytest.mark.parametrize("wrong", [{"description": "x" * 10_000}, {"title": "\udcff"}, {"title": "\ud800"}])
async def test_a_call_with_one_output_that_cannot_go_sends_none(wrong: dict[str, str]) -> None:
    sent = []

    async def send(*wire: Any) -> Awaitable[None]:
        sent.append(wire)
        return done()

    sending = producer(send)
    with pytest.raises(Refused, match="admitted message"):
        await sending.send([admitted(1), admitted(2, **wrong)])
    assert sent == []
    await sending.send([admitted(3)])
    assert len(sent) == 1


async def test_a_key_that_cannot_be_written_is_refused() -> None:
    async def send(*_: Any) -> Awaitable[None]:
        raise AssertionError

    with pytest.raises(Refused):
        await producer(send).send([admitted(key="\ud800")])


async def test_a_dead_letter_may_be_larger_than_other_messages() -> None:
    sent = []

    async def send(*wire: Any) -> Awaitable[None]:
        sent.append(wire)
        return done()

    letter = DeadLetter(
        topic="p.uploads",
        partition=0,
        offset=0,
        key=None,
        value=b"x" * 20_000,
        agent="echo",
        error="Refused",
        reason="",
        field="",
        failed_at=NOW,
    )
    await producer(send).send([Outgoing(DEADLETTERS, "", letter)])
    assert len(sent[0][2]) > 20_000


async def test_an_acknowledgement_that_never_comes_counts_as_failed(
    monkeypatch: pytest.MonkeyPatch, pauses: list[float]
) -> None:
    monkeypatch.setattr("streams.producer.ACK_TIMEOUT_S", 0.01)
    registry = CollectorRegistry()
    tries = 0

    async def send(*_: Any) -> Awaitable[Any]:
        nonlocal tries
        tries += 1
        return done() if tries > 1 else asyncio.get_running_loop().create_future()

    await producer(send, registry).send([admitted()])
    assert tries == 2
    assert registry.get_sample_value("veristream_produce_retries_total", {"agent": "echo"}) == 1
    assert registry.get_sample_value("veristream_messages_out_total", {"agent": "echo", "topic": "admitted"}) == 1


async def test_the_pauses_double_up_to_the_longest_and_begin_anew(pauses: list[float]) -> None:
    failures = 8

    async def send(*_: Any) -> Awaitable[None]:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise KafkaConnectionError
        return done()

    sending = producer(send)
    await sending.send([admitted()])
    assert pauses == [min(RETRY_FIRST_S * 2**number, RETRY_LONGEST_S) for number in range(8)]
    assert pauses[-1] == RETRY_LONGEST_S
    pauses.clear()
    failures = 1
    await sending.send([admitted()])
    assert pauses == [RETRY_FIRST_S]


async def test_what_was_acknowledged_before_a_failure_is_not_sent_again(pauses: list[float]) -> None:
    sent: list[bytes] = []

    async def fail() -> None:
        raise KafkaConnectionError

    async def send(topic: str, key: bytes, value: bytes) -> Awaitable[None]:
        sent.append(key)
        return asyncio.ensure_future(fail() if key == b"b" and sent.count(b"b") == 1 else done())

    await producer(send).send([admitted(key=key) for key in "abc"])
    assert sent == [b"a", b"b", b"c", b"b", b"c"]


# What is too large.


def decision(evidence: int) -> Outgoing:
    example: Any = EXAMPLES["decisions"]
    piece = Evidence(at_s=1.0, text="x" * 50)
    reason = msgspec.structs.replace(example.reasons[0], evidence=(piece,) * evidence)
    return Outgoing(DECISIONS, "publisher", msgspec.structs.replace(example, reasons=(reason,)))


async def test_an_output_that_is_too_large_goes_out_with_less_evidence_and_says_so() -> None:
    sent = []

    async def send(_: str, __: bytes, value: bytes) -> Awaitable[None]:
        sent.append(value)
        return done()

    registry = CollectorRegistry()
    whole = decision(1000)
    await producer(send, registry).send([whole, decision(1)])
    assert len(encode(whole.value)) > 10_000 >= len(sent[0])
    first, second = (decode(Decision, value) for value in sent)
    assert (first.decision_id, first.action, first.reasons[0].code) == (
        second.decision_id, second.action, second.reasons[0].code,
    )  # fmt: skip
    assert (first.trimmed > 0, second.trimmed) == (True, 0)
    labels = {"agent": "echo", "topic": "decisions"}
    assert registry.get_sample_value("veristream_trimmed_total", labels) == 1
