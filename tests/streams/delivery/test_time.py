"""Time passes, and state is restored, between batches only."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import ClassVar

import pytest
from aiokafka.errors import KafkaConnectionError
from delivery_rig import Log, Rig
from trial_agents import NOW, Echo, upload

from schemas.event import Admitted
from schemas.message import Refused
from schemas.topics import ADMITTED
from streams.agent import Assigned, Incoming, Outgoing
from streams.contact import KafkaUnusable


class Timekeeper(Echo):
    """Writes down what is called, and whether anything else was being done then."""

    log: Log
    busy = False

    def handle(self, message: Incoming) -> Iterable[Outgoing]:
        assert not self.busy
        self.busy = True
        try:
            self.log.append(("handle", message.offset))
            return list(super().handle(message))
        finally:
            self.busy = False

    def tick(self, now: datetime) -> Iterable[Outgoing]:
        assert not self.busy
        assert now == NOW
        self.log.append(("tick",))
        return [Outgoing(ADMITTED, "publisher", Admitted(event=upload(99), admitted_at=now))]

    async def restore(self, assigned: Assigned) -> None:
        assert not self.busy
        self.busy = True
        self.log.append(("restore", assigned))
        await asyncio.sleep(0.01)
        self.log.append(("restored",))
        self.busy = False


async def test_time_passes_without_messages_and_what_it_causes_is_sent(rig_of: Callable[..., Rig]) -> None:
    rig = rig_of(Timekeeper)
    rig.start()
    await rig.log.has("acknowledged", "event-99", times=3)
    assert rig.log.count(("tick",)) >= 3


async def test_time_does_not_pass_inside_a_batch(rig_of: Callable[..., Rig]) -> None:
    rig = rig_of(Timekeeper)
    rig.broker.hold()
    for _ in range(3):
        rig.upload()
    rig.start()
    await rig.log.has("sent", "event-2")
    await asyncio.sleep(0.03)
    assert ("tick",) not in rig.log
    rig.broker.release()
    await rig.log.has("acknowledged", "event-99")
    assert rig.log.index(("tick",)) > rig.log.index(("acked", 2))


async def test_what_time_causes_is_acknowledged_before_the_next_batch(rig_of: Callable[..., Rig]) -> None:
    rig = rig_of(Timekeeper)
    rig.start()
    await rig.log.has("acknowledged", "event-99")
    rig.broker.hold()
    await rig.log.has("sent", "event-99", times=2)
    rig.upload()
    await asyncio.sleep(0.02)
    assert ("handle", 0) not in rig.log
    rig.broker.release()
    await rig.log.has("acked", 0)


async def test_state_is_restored_on_assignment_before_the_next_batch(rig_of: Callable[..., Rig]) -> None:
    rig = rig_of(Timekeeper)
    rig.group.assign(1, 4)
    rig.upload()
    rig.start()
    await rig.log.has("acked", 0)
    calls = [entry for entry in rig.log if entry[0] in ("restore", "restored", "handle")]
    assert calls == [("restore", frozenset({("uploads", 1), ("uploads", 4)})), ("restored",), ("handle", 0)]
    rig.upload()
    await rig.log.has("acked", 1)
    assert len(rig.log.of("restore")) == 1
    rig.group.assign()
    rig.upload()
    await rig.log.has("acked", 2)
    assert rig.log.of("restore")[-1] == frozenset()


async def test_an_assignment_restores_even_if_no_message_comes(rig_of: Callable[..., Rig]) -> None:
    rig = rig_of(Timekeeper)
    rig.start()
    await rig.log.has("restored")


async def test_without_an_assignment_time_stands_still(rig_of: Callable[..., Rig]) -> None:
    rig = rig_of(Timekeeper)
    rig.group.revoke()
    rig.upload()
    rig.start()
    await asyncio.sleep(0.03)
    assert rig.log == []


async def test_state_that_cannot_be_restored_yet_is_tried_again(rig_of: Callable[..., Rig]) -> None:
    class Patient(Timekeeper):
        failures: ClassVar[list[Exception]] = [KafkaUnusable("no broker answers"), KafkaConnectionError()]

        async def restore(self, assigned: Assigned) -> None:
            if self.failures:
                raise self.failures.pop()
            await super().restore(assigned)

    rig = rig_of(Patient)
    rig.upload()
    rig.start()
    await rig.log.has("acked", 0)
    assert len(rig.log.of("restore")) == 1
    assert rig.fatal == []


@pytest.mark.parametrize("kind", [RuntimeError("defect"), StopIteration(), Refused("", "too large")])
async def test_what_time_causes_may_fail_without_holding_up_anything(
    rig_of: Callable[..., Rig], kind: Exception
) -> None:
    class Failing(Timekeeper):
        def tick(self, now: datetime) -> Iterable[Outgoing]:
            yield from super().tick(now)
            raise kind

    rig = rig_of(Failing)
    rig.start()
    await rig.log.has("acknowledged", "event-99", times=3)  # what came before the failure
    rig.upload()
    await rig.log.has("acked", 0)
    assert rig.counted("veristream_tick_failures_total", agent="echo") >= 3
    assert rig.fatal == []
