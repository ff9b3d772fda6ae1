"""Slow work slides: each publisher in order, nobody behind another."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import pytest
from delivery_rig import Log, Rig
from trial_agents import Echo, upload

from schemas.message import encode
from streams.agent import Incoming, Outgoing


class Slow(Echo):
    """Prepares what its test lets it prepare."""

    slow = True
    log: Log
    gates: ClassVar[dict[int, asyncio.Event]] = {}

    async def prepare(self, message: Incoming) -> str:
        self.log.append(("prepare", message.offset))
        if gate := self.gates.get(message.offset):
            await gate.wait()
        if message.value.title == "unprepared":
            raise RuntimeError("cannot be prepared")
        self.log.append(("prepared", message.offset))
        return f"prepared {message.offset}"

    def handle(self, message: Incoming) -> Iterable[Outgoing]:
        assert message.prepared == f"prepared {message.offset}"
        self.log.append(("handle", message.offset))
        return super().handle(message)


@pytest.fixture
def slow(rig_of: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch) -> Rig:
    monkeypatch.setattr(Slow, "gates", {number: asyncio.Event() for number in range(4)})
    rig = rig_of(Slow)
    for _ in range(4):
        rig.upload()
    return rig


async def test_slow_work_is_done_side_by_side(slow: Rig) -> None:
    slow.start()
    await slow.log.has("prepare", 3)
    assert slow.log.of("prepare") == [0, 1, 2, 3]
    assert slow.log.of("handle") == []


async def test_slow_outputs_go_out_in_order_though_later_ones_are_ready_first(slow: Rig) -> None:
    slow.start()
    for number in (3, 2, 1):
        Slow.gates[number].set()
        await slow.log.has("prepared", number)
    await asyncio.sleep(0.01)
    assert slow.log.of("sent") == []
    Slow.gates[0].set()
    await slow.log.has("acked", 3)
    assert slow.log.of("sent") == [f"event-{number}" for number in range(4)]


async def test_a_slow_output_does_not_wait_for_later_ones(slow: Rig) -> None:
    slow.start()
    Slow.gates[0].set()
    await slow.log.has("acked", 0)
    assert slow.log.of("sent") == ["event-0"]
    Slow.gates[1].set()
    await slow.log.has("acked", 1)
    assert slow.acked == [0, 1]
    assert slow.log.of("prepared") == [0, 1]


async def test_each_slow_message_is_acked_only_after_its_own_acknowledgement(slow: Rig) -> None:
    slow.broker.hold()
    slow.start()
    for gate in Slow.gates.values():
        gate.set()
    await slow.log.has("sent", "event-0")
    await asyncio.sleep(0.01)
    assert slow.acked == []
    slow.broker.release()
    await slow.log.has("acked", 3)
    for number in range(4):
        assert slow.log.index(("acknowledged", f"event-{number}")) < slow.log.index(("acked", number))


async def test_slow_work_that_fails_makes_a_dead_letter_in_its_place(rig_of: Callable[..., Rig]) -> None:
    rig = rig_of(Slow)
    rig.upload()
    rig.upload(title="unprepared")
    rig.put(b"unreadable")
    rig.upload()
    rig.start()
    await rig.log.has("acked", 3)
    assert rig.log.of("acknowledged") == ["event-0", "letter of 1", "letter of 2", "event-3"]
    assert [letter.error for letter in rig.broker.letters] == ["RuntimeError", "Refused"]
    assert rig.log.of("prepare") == [0, 1, 3]


async def test_cancelling_slow_work_finishes_all_of_it_first(slow: Rig) -> None:
    task = slow.start()
    await slow.log.has("prepare", 3)
    task.cancel()
    await asyncio.sleep(0.01)
    assert not task.done()
    for gate in Slow.gates.values():
        gate.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert slow.acked == [0, 1, 2, 3]


async def test_slow_work_that_is_cancelled_from_inside_is_not_taken_for_done(rig_of: Callable[..., Rig]) -> None:
    class Torn(Slow):
        async def prepare(self, message: Incoming) -> str:
            raise asyncio.CancelledError  # as a pool answers that is being closed

    rig = rig_of(Torn)
    rig.upload()
    task = rig.start()
    await asyncio.wait({task}, timeout=5)
    assert task.done()
    assert rig.acked == []
    assert len(rig.fatal) == 1


# The window.


def by(rig: Rig, publisher: str, **fields: Any) -> int:
    """An upload of that publisher arrives."""
    value = encode(upload(rig.offset, publisher_id=publisher, **fields))
    return rig.put(value, key=publisher.encode())


@pytest.fixture
def gated(rig_of: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch) -> Rig:
    monkeypatch.setattr(Slow, "gates", {number: asyncio.Event() for number in range(20)})
    monkeypatch.setattr(Slow, "window", 3)
    return rig_of(Slow)


async def test_a_slow_message_holds_up_nobody_but_its_publisher(gated: Rig) -> None:
    for publisher in ("slow", "quick", "slow", "quick"):
        by(gated, publisher)
    gated.start()
    for number in (1, 2, 3):
        await gated.log.has("prepare", number)
        Slow.gates[number].set()
    await gated.log.has("acked", 3)
    assert gated.log.of("sent") == ["event-1", "event-3"]
    Slow.gates[0].set()
    await gated.log.has("acked", 2)
    assert gated.log.of("sent") == ["event-1", "event-3", "event-0", "event-2"]


async def test_nothing_is_committable_past_a_message_that_is_not_done(gated: Rig) -> None:
    for publisher in ("slow", "quick", "quicker"):
        by(gated, publisher)
    gated.start()
    for number in (1, 2):
        Slow.gates[number].set()
        await gated.log.has("acked", number)
    assert gated.group.offsets.reached == {}
    Slow.gates[0].set()
    await gated.log.has("acked", 0)
    assert list(gated.group.offsets.reached.values()) == [3]


async def test_a_window_is_no_larger_than_the_agent_asks_and_slides_as_one_is_prepared(gated: Rig) -> None:
    for number in range(6):
        by(gated, f"publisher-{number}")
    gated.start()
    await gated.log.has("prepare", 2)
    await asyncio.sleep(0.03)
    assert gated.log.of("prepare") == [0, 1, 2]
    Slow.gates[1].set()
    await gated.log.has("prepare", 3)
    await asyncio.sleep(0.03)
    assert gated.log.of("prepare") == [0, 1, 2, 3]


async def test_what_waits_for_an_earlier_message_of_its_publisher_is_bounded(gated: Rig) -> None:
    for _ in range(18):
        by(gated, "one")
    gated.start()
    for number in range(1, 20):
        Slow.gates[number].set()
    await gated.log.has("prepared", 11)
    await asyncio.sleep(0.03)
    assert max(gated.log.of("prepare")) == 11, "four windows of three"
    assert gated.delivery.queued == 12
    Slow.gates[0].set()
    await gated.log.has("acked", 17)
    assert gated.log.of("sent") == [f"event-{number}" for number in range(18)]


class Laned(Slow):
    """Each title is a lane."""

    lanes = ("uploads", "segments")

    def lane(self, message: Incoming) -> str:
        return "segments" if message.value.title == "segment" else "uploads"


@pytest.mark.parametrize(("lane", "mine"), [("uploads", [0, 2]), ("segments", [1])])
async def test_a_lane_passes_over_what_is_anothers(
    rig_of: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch, lane: str, mine: list[int]
) -> None:
    monkeypatch.setattr(Slow, "gates", {})
    rig = rig_of(Laned, lane=lane)
    for title in ("upload", "segment", "upload"):
        by(rig, "publisher", title=title)
    rig.put(b"unreadable")
    rig.start()
    for number in range(4):
        await rig.log.has("acked", number)
    assert rig.log.of("prepare") == mine
    assert rig.counted("veristream_dead_letters_total", agent="echo", topic="uploads") == (lane == "uploads")
    assert sorted(rig.acked) == [0, 1, 2, 3]
    assert len(rig.broker.letters) == (lane == "uploads"), "one of the lanes deals with what cannot be read"
    assert rig.counted("veristream_messages_in_total", agent="echo", topic="uploads") == len(mine) + (lane == "uploads")


# When the partitions go.


async def test_what_comes_back_after_a_rebalance_is_not_prepared_again(gated: Rig) -> None:
    by(gated, "publisher")
    gated.start()
    await gated.log.has("prepare", 0)
    gated.group.revoke()
    await asyncio.sleep(0.03)
    gated.group.assign(3)
    await asyncio.sleep(0.03)
    Slow.gates[0].set()
    await gated.log.has("acked", 0)
    assert gated.log.of("prepare") == [0]


async def test_what_is_another_workers_after_a_rebalance_is_cancelled_and_not_produced(gated: Rig) -> None:
    by(gated, "publisher")
    gated.start()
    await gated.log.has("prepare", 0)
    (work,) = [task for task in asyncio.all_tasks() if "_prepare" in repr(task)]
    gated.group.revoke()
    gated.group._unfinished = []
    gated.group.assign(4)
    await asyncio.wait({work}, timeout=5)
    assert work.cancelled()
    Slow.gates[0].set()
    await asyncio.sleep(0.03)
    assert gated.log.of("sent") == []
    assert gated.delivery.queued == 0
    assert gated.fatal == []


async def test_a_slow_loop_is_excused_as_long_as_others_are_done_meanwhile(
    gated: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.window.DONE_LATELY_S", 0.05)
    by(gated, "slow")
    by(gated, "quick")
    gated.start()
    Slow.gates[1].set()
    await gated.log.has("acked", 1)
    assert gated.delivery.excused
    await asyncio.sleep(0.1)
    assert not gated.delivery.excused
