"""What is no longer held for certain is not produced, and whatever was not produced comes again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

import pytest
from aiokafka.errors import KafkaConnectionError
from delivery_rig import Log, Rig
from trial_agents import Echo

from streams.agent import Assigned, Incoming, Outgoing


class Counting(Echo):
    """Has a state, rebuilt by `restore` from what was produced."""

    log: Log

    def handle(self, message: Incoming) -> Iterable[Outgoing]:
        self.log.append(("handle", message.offset))
        return super().handle(message)

    async def restore(self, assigned: Assigned) -> None:
        self.log.append(("restore",))


async def test_a_batch_of_an_assignment_that_is_over_is_not_judged(rig_of: Callable[..., Rig]) -> None:
    rig = rig_of(Counting)
    rig.upload()
    async with rig.group.turn:  # a revocation is under way
        rig.start()
        await asyncio.sleep(0.02)
        rig.group.revoke()
    await asyncio.sleep(0.02)
    assert rig.log == []
    rig.group.assign(3)
    await rig.log.has("acked", 0)
    assert rig.log.of("handle") == [0]


async def test_an_acknowledgement_that_is_waited_for_when_the_partitions_go_is_given_up(
    rig_of: Callable[..., Rig],
) -> None:
    rig = rig_of(Counting)
    rig.broker.hold()
    rig.upload()
    rig.start()
    await rig.log.has("sent", "event-0")
    rig.group.revoke()
    async with asyncio.timeout(5):
        async with rig.group.turn:
            pass
    assert rig.acked == []
    assert rig.counted("veristream_abandoned_total", agent="echo") == 1
    rig.broker.release()
    rig.group.assign(3)
    await rig.log.has("acked", 0)


async def test_nothing_is_sent_again_when_the_partitions_have_gone(rig_of: Callable[..., Rig]) -> None:
    rig = rig_of(Counting)
    rig.broker.acknowledging.extend([KafkaConnectionError()])
    rig.upload()
    rig.start()
    await rig.log.has("sent", "event-0")
    rig.group.revoke()
    await asyncio.sleep(0.05)
    assert rig.log.of("sent") == ["event-0"]
    assert rig.acked == []


async def test_after_a_session_that_ran_out_unfinished_messages_come_again_to_a_restored_state(
    rig_of: Callable[..., Rig],
) -> None:
    rig = rig_of(Counting)
    rig.broker.hold()
    rig.upload()
    rig.start()
    await rig.log.has("sent", "event-0")
    rig.group.fresh = False  # the group has not heard of this member for too long; nobody has told it so
    while rig.group.renewed == 0:
        await asyncio.sleep(0)
    rig.broker.release()
    await asyncio.sleep(0.02)
    assert rig.acked == []
    rig.group.fresh = True
    await rig.log.has("acked", 0)
    verbs = [entry[0] for entry in rig.log]
    assert verbs.count("restore") == 2
    assert verbs.index("epoch") < len(verbs) - 1 - verbs[::-1].index("restore") < verbs.index("acked")


@pytest.mark.parametrize("fresh", [True, False])
async def test_a_loop_is_excused_while_the_group_does_not_answer(rig: Rig, fresh: bool) -> None:
    rig.group.fresh = fresh
    assert rig.delivery.excused is not fresh


async def test_a_loop_is_excused_while_its_state_is_read(rig_of: Callable[..., Rig]) -> None:
    assert rig_of(loaded=False).delivery.excused
    assert not rig_of(loaded=True).delivery.excused


async def test_a_loop_is_excused_while_the_broker_owes_it_an_acknowledgement(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.delivery.BROKER_OWES_S", 0.01)
    rig.broker.hold()
    rig.upload()
    rig.start()
    await rig.log.has("sent", "event-0")
    await asyncio.sleep(0.03)
    assert rig.delivery.excused
    assert rig.delivery.queued == 1
    rig.broker.release()
    await rig.log.has("acked", 0)
    assert not rig.delivery.excused


class CountingSlowly(Counting):
    """The same, as a slow agent."""

    slow = True


@pytest.mark.parametrize("kind", [Counting, CountingSlowly])
async def test_what_is_acknowledged_as_the_partitions_go_is_not_committed_here(
    rig_of: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch, kind: type[Counting]
) -> None:
    rig = rig_of(kind)
    plain = rig.delivery.producer.flush

    async def flush() -> None:
        await plain()
        if rig.broker.lies and rig.group.epoch == 1:  # the last acknowledgement and the next assignment came together
            rig.group.revoke()
            rig.group.assign(3)

    monkeypatch.setattr(rig.delivery.producer, "flush", flush)
    rig.upload()
    rig.start()
    await rig.log.has("acked", 0)
    assert rig.log.of("acknowledged") == ["event-0", "event-0"], "it came again"
    assert rig.fatal == []
