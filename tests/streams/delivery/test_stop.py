"""A batch that was begun is finished before the loop ends; what must not be survived ends the process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError
from delivery_rig import Rig
from trial_agents import Echo

from streams.agent import Assigned


async def test_cancelling_in_the_middle_of_a_batch_finishes_it_first(rig: Rig) -> None:
    rig.broker.hold()
    for _ in range(3):
        rig.upload()
    task = rig.start()
    await rig.log.has("sent", "event-2")
    for _ in range(3):
        task.cancel()
        for _ in range(20):
            await asyncio.sleep(0)
    assert not task.done()
    assert rig.acked == []
    rig.broker.release()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert rig.log[-6:] == [("acknowledged", f"event-{n}") for n in range(3)] + [("acked", n) for n in range(3)]
    assert rig.fatal == []


async def test_cancelling_while_the_broker_fails_waits_for_it(rig: Rig) -> None:
    rig.broker.acknowledging.extend([KafkaConnectionError()] * 3)
    rig.upload()
    task = rig.start()
    await rig.log.has("lost", "event-0")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert rig.log[-2:] == [("acknowledged", "event-0"), ("acked", 0)]


async def test_cancelling_between_batches_ends_at_once_and_takes_nothing_more(rig: Rig) -> None:
    rig.upload()
    task = rig.start()
    await rig.log.has("acked", 0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    rig.upload()
    for _ in range(20):
        await asyncio.sleep(0)
    assert rig.acked == [0]
    assert rig.group.queue.qsize() == 1


async def test_cancelling_before_the_state_is_read_ends_at_once(rig_of: Callable[..., Rig]) -> None:
    rig = rig_of(loaded=False)
    task = rig.start()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert rig.fatal == []


# What must not be survived.


async def test_a_state_that_cannot_be_restored_ends_the_process_and_acks_nothing(rig_of: Callable[..., Rig]) -> None:
    class Defect(Echo):
        async def restore(self, assigned: Assigned) -> None:
            raise RuntimeError("defect")

    rig = rig_of(Defect)
    rig.upload()
    task = rig.start()
    with pytest.raises(RuntimeError, match="defect"):
        await task
    assert [str(error) for error in rig.fatal] == ["defect"]
    assert rig.acked == []


async def test_no_message_of_an_unfinished_batch_is_acked_when_the_process_ends(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        rig.upload()

    def read(message: Any) -> Any:
        if message.offset == 2:
            raise KeyError("a topic that is not in the table")
        return plain(message)

    plain = rig.delivery._read
    monkeypatch.setattr(rig.delivery, "_read", read)
    task = rig.start()
    with pytest.raises(KeyError):
        await task
    assert len(rig.fatal) == 1
    assert rig.acked == []


async def test_a_defect_in_a_batch_that_is_being_cancelled_is_fatal_too(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("defect")

    monkeypatch.setattr(rig.group.offsets, "finish", fail)
    rig.broker.hold()
    rig.upload()
    task = rig.start()
    await rig.log.has("sent", "event-0")
    task.cancel()
    await asyncio.sleep(0)
    rig.broker.release()
    with pytest.raises(RuntimeError, match="defect"):
        await task
    assert len(rig.fatal) == 1
