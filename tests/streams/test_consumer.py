"""What a group's member takes, lets go of and commits, without a broker: aiokafka's consumer is made up."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.errors import CommitFailedError, GroupAuthorizationFailedError, NodeNotReadyError

from streams.consumer import MAX_OPEN, Consumer, _Listener
from streams.settings import load

ONE, TWO = TopicPartition("uploads", 1), TopicPartition("uploads", 2)


class Broker:
    """aiokafka's consumer and its coordinator, as far as they are used, and the clock."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.generation = 1
        self.records: list[dict[TopicPartition, list[Any]]] = []
        self.asked: list[tuple[TopicPartition, ...]] = []
        self.seeks: list[tuple[TopicPartition, int]] = []
        self.commits: list[dict[TopicPartition, int]] = []
        self.commit_error: Exception | None = None
        self.beats = True
        self.poll_error: Exception | None = None
        self.during_poll: Any = None
        self.positions: dict[TopicPartition, int] = {}
        self._coordinator = self
        self._client = SimpleNamespace(
            cluster=SimpleNamespace(leader_for_partition=lambda part: -1 if part == TWO else 1)
        )

    def has(self, part: TopicPartition, *offsets: int) -> None:
        """These messages lie there, and come with the next poll."""
        self.records.append({part: [SimpleNamespace(offset=offset, timestamp=0) for offset in offsets]})

    async def getmany(self, *parts: TopicPartition, timeout_ms: int, max_records: int) -> Any:
        self.asked.append(parts)
        if self.poll_error:
            raise self.poll_error
        found = self.records.pop(0) if self.records else {}
        if self.during_poll:
            await self.during_poll()
        for part, records in found.items():
            self.positions[part] = records[-1].offset + 1
        return found

    def seek(self, part: TopicPartition, offset: int) -> None:
        self.seeks.append((part, offset))

    async def commit(self, offsets: dict[TopicPartition, int]) -> None:
        if self.commit_error:
            raise self.commit_error
        self.commits.append(offsets)

    def highwater(self, part: TopicPartition) -> int:
        return 100

    def check_errors(self) -> None:
        if self.poll_error:
            raise self.poll_error


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    made = Broker()

    async def beat(_: object) -> bool:
        return made.beats

    monkeypatch.setattr("streams.consumer.boot_clock", lambda: made.now)
    monkeypatch.setattr(GroupCoordinator, "_do_heartbeat", beat)
    monkeypatch.setattr(Consumer, "_position", lambda self, part: made.positions.get(part))
    return made


@pytest.fixture
async def consumer(broker: Broker) -> Consumer:
    made = Consumer("group", ["uploads"], load(session_timeout_s=6.0, shutdown_grace_s=0.1))
    made._consumer = broker
    await made.assigned_to([ONE, TWO])
    return made


async def take(consumer: Consumer, *, each: bool = False) -> Any:
    return await consumer.take(500, 0.01, each=each)


def finish(consumer: Consumer, part: TopicPartition, offsets: Iterable[int]) -> None:
    for offset in offsets:
        consumer.offsets.finish(part, offset, offset + 1)


# The fence.


async def test_a_member_holds_what_it_was_given_while_the_group_hears_from_it(
    consumer: Consumer, broker: Broker
) -> None:
    epoch = consumer.epoch
    assert consumer.holds(epoch)
    broker.now += 5.9
    assert consumer.holds(epoch)
    broker.now += 0.2
    assert not consumer.holds(epoch), "the group has not heard of it for a session"
    await consumer._heartbeat()
    assert consumer.holds(epoch)
    broker.generation = 2
    assert not consumer.holds(epoch), "the group has gone on without it"


async def test_a_heartbeat_counts_from_when_it_was_sent(
    consumer: Consumer, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def late(_: object) -> bool:
        broker.now += 10  # it was frozen while the answer lay in its socket
        return True

    monkeypatch.setattr(GroupCoordinator, "_do_heartbeat", late)
    await consumer._heartbeat()
    assert not consumer.fresh


async def test_an_assignment_alone_does_not_make_a_member(consumer: Consumer, broker: Broker) -> None:
    broker.now += 60
    broker.beats = False
    await consumer.assigned_to([ONE])
    assert not consumer.holds(consumer.epoch)


async def test_a_heartbeat_that_is_not_answered_is_not_waited_for(
    consumer: Consumer, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead: list[bool] = []

    async def hang(_: object) -> bool:
        await asyncio.Event().wait()
        return True

    monkeypatch.setattr(GroupCoordinator, "_do_heartbeat", hang)
    broker.coordinator_dead = lambda: dead.append(True)  # type: ignore[attr-defined]
    assert not await asyncio.wait_for(consumer._heartbeat(), 5)
    assert dead == [True]


# Taking.


async def test_nothing_is_taken_while_the_group_does_not_answer(consumer: Consumer, broker: Broker) -> None:
    broker.has(ONE, 1, 2)
    broker.now += 60
    assert not (await take(consumer)).records
    assert broker.asked == []
    await consumer._heartbeat()
    assert (await take(consumer)).records


async def test_what_was_taken_as_the_session_ran_out_is_taken_again(consumer: Consumer, broker: Broker) -> None:
    async def freeze() -> None:
        broker.now += 60

    broker.has(ONE, 5, 6)
    broker.during_poll = freeze
    assert not (await take(consumer)).records
    assert broker.seeks == [(ONE, 5)]


async def test_what_comes_before_the_assignment_is_known_is_taken_again(consumer: Consumer, broker: Broker) -> None:
    broker.has(ONE, 7, 8)
    broker.during_poll = consumer.revoked
    assert not (await take(consumer)).records
    broker.during_poll = None
    await consumer.assigned_to([ONE])
    assert broker.seeks == [(ONE, 7)]


async def test_what_comes_in_the_next_assignment_is_of_that(consumer: Consumer, broker: Broker) -> None:
    async def rebalance() -> None:
        await consumer.revoked()
        await consumer.assigned_to([ONE])

    broker.has(ONE, 7)
    broker.during_poll = rebalance
    batch = await take(consumer)
    assert batch.epoch == consumer.epoch
    assert batch.records


async def test_a_member_without_partitions_polls(consumer: Consumer, broker: Broker) -> None:
    await consumer.assigned_to([])
    await take(consumer)
    assert broker.asked == [()]


async def test_a_partition_with_too_much_behind_an_unfinished_message_waits(consumer: Consumer, broker: Broker) -> None:
    broker.has(ONE, *range(MAX_OPEN))
    await take(consumer, each=True)
    finish(consumer, ONE, range(1, MAX_OPEN))
    await take(consumer)
    assert broker.asked[-1] == (TWO,)
    finish(consumer, ONE, [0])
    await take(consumer)
    assert broker.asked[-1] == ()


async def test_what_mends_itself_is_waited_for_and_what_does_not_is_raised(consumer: Consumer, broker: Broker) -> None:
    broker.poll_error = NodeNotReadyError()
    assert not (await take(consumer)).records
    broker.poll_error = GroupAuthorizationFailedError("group")
    with pytest.raises(GroupAuthorizationFailedError):
        await take(consumer)


async def test_renewing_reads_again_from_the_first_that_is_not_finished(consumer: Consumer, broker: Broker) -> None:
    broker.has(ONE, 1, 2, 3)
    broker.has(TWO, 9)
    for _ in range(2):
        await take(consumer, each=True)
    finish(consumer, ONE, [1, 3])
    finish(consumer, TWO, [9])
    epoch = consumer.epoch
    consumer.renew()
    assert consumer.epoch == epoch + 1
    assert sorted(broker.seeks) == [(ONE, 2), (TWO, 10)]


# Letting go.


async def test_a_revocation_waits_for_what_was_begun_and_commits_it(consumer: Consumer, broker: Broker) -> None:
    broker.has(ONE, 1)
    await take(consumer)
    async with consumer.turn:
        revoking = asyncio.create_task(consumer.revoked())
        await asyncio.sleep(0.02)
        assert not revoking.done()
        finish(consumer, ONE, [1])
    await revoking
    assert broker.commits == [{ONE: 2}]
    assert consumer.assigned is None


async def test_a_revocation_gives_up_what_is_not_finished_in_time(consumer: Consumer, broker: Broker) -> None:
    broker.has(ONE, 1)
    await take(consumer)
    epoch = consumer.epoch
    async with consumer.turn:
        await asyncio.wait_for(consumer.revoked(), 5)
        assert not consumer.holds(epoch)
    assert broker.commits == []


async def test_a_commit_that_waits_for_a_coordinator_is_not_sent_in_the_next_generation(
    consumer: Consumer, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.consumer.COMMIT_EVERY_S", 0.001)
    begun, back = asyncio.Event(), asyncio.Event()
    plain = broker.commit

    async def wait(offsets: dict[TopicPartition, int]) -> None:
        begun.set()
        await back.wait()
        await plain(offsets)

    monkeypatch.setattr(broker, "commit", wait)
    broker.has(ONE, 1)
    await take(consumer)
    finish(consumer, ONE, [1])
    committer = asyncio.create_task(consumer._commit_regularly())
    await begun.wait()
    monkeypatch.setattr(broker, "commit", plain)
    await consumer.revoked()
    back.set()
    await asyncio.sleep(0.02)
    committer.cancel()
    assert broker.commits == [{ONE: 2}], "once, by the revocation"


# Committing.


async def test_nothing_is_committed_while_it_is_worked_on(consumer: Consumer, broker: Broker) -> None:
    broker.has(ONE, 1, 2)
    await take(consumer)
    await consumer._commit()
    assert broker.commits == []
    consumer.offsets.finish(ONE, 1, 3)
    await consumer._commit()
    await consumer._commit()
    assert broker.commits == [{ONE: 3}], "once"


async def test_gaps_and_markers_behind_the_last_message_are_committed_too(consumer: Consumer, broker: Broker) -> None:
    broker.has(ONE, 1)
    await take(consumer)
    consumer.offsets.finish(ONE, 1, 2)
    broker.positions[ONE] = 9
    await consumer._commit()
    assert broker.commits == [{ONE: 9}]


async def test_what_was_read_and_never_seen_is_not_committed(consumer: Consumer, broker: Broker) -> None:
    async def cancel() -> None:
        raise asyncio.CancelledError

    broker.has(ONE, 1)
    broker.during_poll = cancel
    with pytest.raises(asyncio.CancelledError):
        await take(consumer)
    broker.positions[ONE] = 2
    await consumer._commit()
    assert broker.commits == []


async def test_a_commit_that_comes_too_late_is_anothers_affair(consumer: Consumer, broker: Broker) -> None:
    broker.has(ONE, 1)
    await take(consumer)
    finish(consumer, ONE, [1])
    broker.commit_error = CommitFailedError("already rebalanced")
    await consumer._commit()
    assert consumer.places()[ONE].begun == 1


async def test_places_say_where_a_restart_would_go_on(consumer: Consumer, broker: Broker) -> None:
    broker.has(ONE, 10, 11)
    await take(consumer)
    assert consumer.places()[ONE][:3] == (10, 100, True)
    consumer.offsets.finish(ONE, 10, 12)
    await consumer._commit()
    assert consumer.places()[ONE].begun == 12
    assert consumer.places()[TWO].served is False


# Whoever watches.


async def test_a_member_that_does_not_get_into_its_group_is_adrift(consumer: Consumer, broker: Broker) -> None:
    broker.coordinator_id = 1  # type: ignore[attr-defined]
    broker.now += 100
    assert consumer.adrift_s() == 100, "its heartbeats are not answered"
    await consumer._heartbeat()
    assert consumer.adrift_s() == 0
    await consumer.revoked()
    broker.now += 50
    assert consumer.adrift_s() == 50
    broker.coordinator_id = None  # type: ignore[attr-defined]
    assert consumer.adrift_s() == 0, "there is no broker that would take it"
    broker.coordinator_id = 1  # type: ignore[attr-defined]
    broker.now += 20
    assert consumer.adrift_s() == 20, "the time begins anew when there is"


@pytest.mark.parametrize("which", ["_coordination_task", "_fetch_task", "_committer"])
async def test_a_task_that_ended_is_found(consumer: Consumer, broker: Broker, which: str) -> None:
    async def end() -> None:
        raise RuntimeError("a defect")

    ended, running = asyncio.create_task(end()), asyncio.create_task(asyncio.Event().wait())
    await asyncio.wait({ended})
    broker._closed = False  # type: ignore[attr-defined]
    broker._coordination_task = running  # type: ignore[attr-defined]
    broker._fetcher = SimpleNamespace(_fetch_task=running)  # type: ignore[attr-defined]
    consumer._committer = running  # type: ignore[assignment]
    assert consumer.dead() is None
    if which == "_committer":
        consumer._committer = ended
    else:
        setattr(broker if which == "_coordination_task" else broker._fetcher, which, ended)  # type: ignore[attr-defined]
    assert "a defect" in (consumer.dead() or "")
    running.cancel()


async def test_an_assignment_that_cannot_be_taken_is_no_quiet_end(consumer: Consumer, broker: Broker) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a defect")

    consumer._rewind = {ONE: 1}
    broker.seek = fail  # type: ignore[method-assign]
    with pytest.raises(RuntimeError):
        await _Listener(consumer).on_partitions_assigned([ONE])  # aiokafka logs it, and goes on
    assert "a defect" in (consumer.dead() or "")
    with pytest.raises(RuntimeError):
        await take(consumer)
