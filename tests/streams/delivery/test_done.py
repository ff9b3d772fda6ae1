"""Nothing is let go of before all that it caused lies at the broker."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable

import pytest
from delivery_rig import Rig


async def test_each_message_becomes_its_outputs_and_is_let_go(rig: Rig) -> None:
    for _ in range(3):
        rig.upload()
    rig.start()
    await rig.log.has("acked", 2)
    assert [(topic, key) for topic, key, _ in rig.broker.lies] == [("p.admitted", b"publisher")] * 3
    assert rig.log.of("acknowledged") == ["event-0", "event-1", "event-2"]
    assert rig.acked == [0, 1, 2]
    assert rig.counted("veristream_messages_in_total", agent="echo", topic="uploads") == 3
    assert rig.counted("veristream_messages_out_total", agent="echo", topic="admitted") == 3
    assert rig.counted("veristream_batch_seconds_count", agent="echo") == 1


async def test_nothing_is_acked_before_every_output_of_the_batch_is_acknowledged(rig: Rig) -> None:
    rig.broker.hold()
    for _ in range(3):
        rig.upload(title="copies 2")
    rig.start()
    await rig.log.has("sent", "event-2", times=2)
    for _ in range(50):
        await asyncio.sleep(0)
    assert rig.acked == []
    held, rig.broker.held = rig.broker.held, None
    assert held is not None
    for future in held[:-1]:
        future.set_result(None)
    await rig.log.has("acknowledged", "event-2")
    for _ in range(50):
        await asyncio.sleep(0)
    assert rig.acked == []
    held[-1].set_result(None)
    await rig.log.has("acked", 2)
    assert rig.acked == [0, 1, 2]


async def test_a_message_that_causes_nothing_is_let_go(rig: Rig) -> None:
    rig.upload(title="copies 0")
    rig.start()
    await rig.log.has("acked", 0)
    assert rig.broker.lies == []


async def test_a_batch_is_no_larger_than_the_agent_asks(rig: Rig) -> None:
    for _ in range(25):
        rig.upload()
    rig.start()
    await rig.log.has("acked", 24)
    sizes, size = [], 0
    for verb, *_ in rig.log:
        if verb == "acked":
            size += 1
        elif size:
            sizes.append(size)
            size = 0
    assert [*sizes, size] == [10, 10, 5]


async def test_a_batch_does_not_wait_to_be_full(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.delivery.TICK_S", 60.0)
    rig.start()
    await asyncio.sleep(0)
    rig.upload()
    await rig.log.has("acked", 0)


async def test_nothing_is_taken_before_the_state_is_read(rig_of: Callable[..., Rig]) -> None:
    rig = rig_of(loaded=False)
    rig.upload()
    rig.start()
    for _ in range(50):
        await asyncio.sleep(0)
    assert rig.log == []
    rig.views._loaded.set()
    await rig.log.has("acked", 0)


async def test_no_task_is_left_behind(rig: Rig) -> None:
    before = asyncio.all_tasks()
    rig.upload()
    task = rig.start()
    await rig.log.has("acked", 0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await asyncio.sleep(0)
    gc.collect()
    assert asyncio.all_tasks() <= before
