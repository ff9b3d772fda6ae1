"""The consumer of one agent's group: membership, batches, commits, and the fence around them.

aiokafka's consumer is driven here, not by Faust. With faust-streaming 0.15.3 commits can pass over a gap (#606), a
consumer that died is not restarted (#175, #523, #640), a worker without partitions is put out of its group (aiokafka
#1187), the wait for running work at a rebalance has no end, and nothing keeps a worker that was frozen past its session
from producing. What aiokafka 0.14 hides and this needs (heartbeats, generation, tasks) is touched in this module alone.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError

from streams.ages import Ages
from streams.ends import Ends
from streams.kafka import closed, started
from streams.membership import LAST_COMMIT_S, consumer_settings
from streams.offsets import Offsets
from streams.settings import Settings

log = logging.getLogger(__name__)

#: Commits are collected for so long. A killed worker repeats at most what it did in this time, and what it was doing.
COMMIT_EVERY_S = 0.5
#: So much of one partition may be done behind a message that is not: all of it comes again after a crash.
MAX_OPEN = 2048


def boot_clock() -> float:
    """Seconds that also pass while the machine sleeps, and that no change of the wall clock touches."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Fenced(Exception):
    """The partitions are no longer held for certain: what was begun must not be produced, and will come again."""


class Batch(NamedTuple):
    """Messages of one epoch, by partition, in order."""

    epoch: int
    records: Mapping[TopicPartition, list[Any]]


class Place(NamedTuple):
    """Where a partition stands; None where it is not known yet."""

    #: Where a restart would go on.
    begun: int | None
    end: int | None
    #: False while its leader is away: nothing can be read, and the end is old.
    served: bool
    #: When the message at `begun` was sent at the earliest, in s since 1970, by its sender's clock.
    sent_at: float | None = None


class Consumer:
    """One member of one group.

    An **epoch** is a stretch in which the assignment and the places to read from stand. Each batch carries the epoch
    it was taken in; whoever works on it holds `turn`, and asks `holds` before producing. A revocation waits for `turn`,
    then commits, then ends the epoch, all before the rebalance goes on: the next owner finds everything that was
    produced.
    """

    def __init__(self, group: str, topics: Iterable[str], settings: Settings) -> None:
        self.group = group
        self.turn = asyncio.Lock()
        self.epoch = 0
        #: None while no assignment is in force; empty for a member that got no partition.
        self.assigned: frozenset[TopicPartition] | None = None
        self.offsets = Offsets()
        self._ages = Ages()
        self._ends = Ends()
        self._topics = tuple(topics)
        self._session_s = settings.session_timeout_s
        self._grace_s = settings.shutdown_grace_s
        self._settings = settings
        self._consumer: AIOKafkaConsumer | None = None
        self._generation = -1
        self._beat = float("-inf")
        self._committed: dict[TopicPartition, int] = {}
        self._origin: dict[TopicPartition, int] = {}
        self._rewind: dict[TopicPartition, int] = {}
        self._blind = False
        self._news = asyncio.Event()
        self._failed: BaseException | None = None
        self._member_at = boot_clock()
        self._commit_task: asyncio.Task[None] | None = None
        self._committer: asyncio.Task[None] | None = None
        self._asker: asyncio.Task[None] | None = None

    # Joining and leaving.

    async def start(self) -> None:
        """Join the group. Returns when there is an assignment, be it empty.

        Raises:
            KafkaUnusable: no broker answers.
        """
        self._consumer = AIOKafkaConsumer(group_id=self.group, **consumer_settings(self._settings))
        self._consumer.subscribe(self._topics, listener=_Listener(self))
        await started(self._consumer, self._settings)
        self._committer = asyncio.create_task(self._commit_regularly(), name=f"commits of {self.group}")
        ends = self._ends.follow(self._consumer, lambda: self.assigned or frozenset())
        self._asker = asyncio.create_task(ends, name=f"ends of {self.group}")

    async def stop(self) -> None:
        """Commit what is done and leave. Whoever works must have stopped."""
        tasks = [task for task in (self._committer, self._asker) if task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._consumer:
            await self._last_commit()
            self._end_epoch()
            await closed(self._consumer.stop())

    async def revoked(self) -> None:
        """Finish, commit, let go; called by aiokafka, which joins again only when this returns."""
        if self.assigned is None:
            return
        held = False
        try:
            async with asyncio.timeout(self._grace_s):
                held = await self.turn.acquire()
        except TimeoutError:
            log.warning(
                "%s: what was begun is given up: it was not finished %.0f s after the partitions were revoked",
                self.group,
                self._grace_s,
            )
        try:
            await self._last_commit()
        finally:
            self._end_epoch()
            if held:
                self.turn.release()

    async def assigned_to(self, parts: Iterable[TopicPartition]) -> None:
        """Begin an epoch."""
        coordinator, parts = self._coordinator, frozenset(parts)
        for part in parts & self._rewind.keys():
            self._client.seek(part, self._rewind[part])
        self._rewind = {}
        self.offsets = Offsets()
        self._committed, self._origin = {}, {}
        self._blind = False
        self._generation = coordinator.generation
        # Certain that this member is one of the group now, however long ago the join was answered.
        await self._heartbeat()
        self.epoch += 1
        self.assigned = parts
        log.info("%s: generation %d, %d partitions", self.group, self._generation, len(self.assigned))
        self._tell()

    def _end_epoch(self) -> None:
        self.assigned = None
        self.epoch += 1
        self._tell()

    def renew(self) -> None:
        """Begin an epoch with the same partitions: whatever is not finished is read again."""
        self.epoch += 1
        for part in self.assigned or ():
            if (offset := self.offsets.again_from(part)) is not None:
                self._client.seek(part, offset)
        self.offsets.forget_begun()
        self._tell()

    # The fence.

    @property
    def fresh(self) -> bool:
        """Whether the group's coordinator has heard from this member within the session's time."""
        return boot_clock() - self._beat < self._session_s

    def holds(self, epoch: int) -> bool:
        """Whether what was taken in this epoch may still be produced."""
        return (
            epoch == self.epoch
            and self.assigned is not None
            and self._coordinator.generation == self._generation
            and self.fresh
        )

    async def _heartbeat(self) -> bool:
        # The session counts from when the coordinator heard the beat, which is after it was sent.
        sent = boot_clock()
        heard = False
        try:
            # A broker that hangs would be waited for until the request's own time-out, longer than a session.
            async with asyncio.timeout(self._session_s / 2):
                heard = await GroupCoordinator._do_heartbeat(self._coordinator)
        except TimeoutError:
            log.warning("%s: a heartbeat was not answered", self.group)
            self._coordinator.coordinator_dead()
        if heard:
            self._beat = sent
            self._tell()
        return heard

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    async def news(self, timeout_s: float) -> None:
        """Wait for a heartbeat or a change of the assignment, at most so long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._news.wait()

    # Taking.

    async def take(self, limit: int, timeout_s: float, *, each: bool = False) -> Batch:
        """What lies there, at most `limit`; waits for the first message at most so long, then the batch is empty.

        With `each`, every message is finished by itself, else the run of a partition as a whole.

        Raises:
            KafkaError: the group, or reading, has come to an end that waiting does not mend.
        """
        epoch = self.epoch
        if self._failed:
            raise self._failed
        if not self.holds(epoch):
            with _unless_fatal(self.group):
                self._coordinator.check_errors()
            await self.news(timeout_s)
            return Batch(self.epoch, {})
        full = {part for part in self.assigned or () if self.offsets.open(part) >= MAX_OPEN}
        parts = (self.assigned or frozenset()) - full if full else frozenset()
        if full and not parts:
            await self.news(timeout_s)
            return Batch(epoch, {})
        records: Mapping[TopicPartition, list[Any]] = {}
        try:
            with _unless_fatal(self.group):
                # An assignment without partitions is polled too, or the member would be put out of its group.
                records = await self._client.getmany(*parts, timeout_ms=int(timeout_s * 1000), max_records=limit)
        except BaseException:
            self._blind = True  # it may have passed over messages that nobody has seen
            raise
        # The rebalance that may have come meanwhile is over: these are of the assignment that aiokafka has now.
        if self.assigned is None:
            for part, found in records.items():
                self._rewind.setdefault(part, found[0].offset)
            return Batch(self.epoch, {})
        for part, found in records.items():
            self._ages.took(part, found)
            self._origin.setdefault(part, found[0].offset)
            for record in found if each else found[:1]:
                self.offsets.begin(part, record.offset)
        if records and not self.holds(self.epoch):
            self.renew()
            return Batch(self.epoch, {})
        return Batch(self.epoch, records)

    # Committing.

    async def _commit_regularly(self) -> None:
        while True:
            await asyncio.sleep(COMMIT_EVERY_S)
            if self.assigned is None or not self.fresh:
                continue
            self._commit_task = asyncio.create_task(self._commit(), name=f"commit of {self.group}")
            await asyncio.wait({self._commit_task})
            if not self._commit_task.cancelled() and (error := self._commit_task.exception()):
                if not isinstance(error, KafkaError):
                    raise error
                log.warning("%s: not committed: %r", self.group, error)

    async def _last_commit(self) -> None:
        """Commit what is done, unless the group does not take it in time; then it comes again."""
        if self.assigned is None:
            return
        if self._commit_task:
            # One that waits for a coordinator would be sent in the next generation, past whoever has gone on since.
            self._commit_task.cancel()
            await asyncio.wait({self._commit_task})
        try:
            async with asyncio.timeout(LAST_COMMIT_S):
                await self._commit()
        except (KafkaError, TimeoutError) as error:
            log.warning("%s: the last offsets were not committed, what they cover comes again: %r", self.group, error)

    async def _commit(self) -> None:
        committed = self._committed  # another after the next assignment
        if not (due := self._due()):
            return
        try:
            await self._client.commit(due)
        except (CommitFailedError, IllegalStateError) as error:
            # The group has gone on without this member; aiokafka joins again.
            log.warning("%s: not committed, the partitions are another's: %s", self.group, error)
        else:
            committed.update(due)

    def _due(self) -> dict[TopicPartition, int]:
        """What is done and not committed. Where nothing is being worked on, that is all that has been read: markers and
        gaps at the end of a topic are behind the last message, and nothing would ever finish them."""
        due = {}
        for part in self.assigned or ():
            offset = self.offsets.reached.get(part)
            if not self._blind and not self.offsets.busy(part):
                offset = max(offset or 0, self._position(part) or 0) or None
            if offset is not None and offset != self._committed.get(part):
                due[part] = offset
        return due

    # What others want to know.

    def places(self) -> dict[TopicPartition, Place]:
        """Where each partition stands."""
        cluster = self._client._client.cluster
        found = {}
        for part in self.assigned or ():
            begun = self._committed.get(part, self._origin.get(part, self._position(part)))
            served = cluster.leader_for_partition(part) not in (None, -1)
            end = self._ends.of(part, self._client.highwater(part))
            found[part] = Place(begun, end, served, self._ages.sent_at(part, begun))
        return found

    def _position(self, part: TopicPartition) -> int | None:
        subscription = self._client._subscription.subscription
        assignment = subscription and subscription.assignment
        if not assignment or part not in assignment.tps:
            return None
        state = assignment.state_value(part)
        return state.position if state.has_valid_position else None

    def adrift_s(self) -> float:
        """For how long it has been no member though the group's coordinator is known; asked once a second.

        Joining takes a minute at most, the time-outs of the other members included.
        """
        consumer = self._consumer
        known = consumer and consumer._coordinator and consumer._coordinator.coordinator_id is not None
        if not known or (self.assigned is not None and self.fresh):
            self._member_at = boot_clock()
        return boot_clock() - self._member_at

    def dead(self) -> str | None:
        """Which of its tasks has ended that never should, if one has; nothing would start it again."""
        if self._failed:
            return f"the assignment was not taken: {self._failed!r}"
        if self._consumer is None or self._consumer._closed or self._consumer._coordinator is None:
            return None
        tasks = {
            "coordination": self._coordinator._coordination_task,
            "fetching": self._client._fetcher._fetch_task,
            "committing": self._committer,
            "asking for ends": self._asker,
        }
        for name, task in tasks.items():
            if task is not None and task.done():
                error = None if task.cancelled() else task.exception()
                return f"{name} has ended: {error!r}"
        return None

    @property
    def _client(self) -> AIOKafkaConsumer:
        assert self._consumer is not None, "start comes first"
        return self._consumer

    @property
    def _coordinator(self) -> GroupCoordinator:
        coordinator: GroupCoordinator = self._client._coordinator
        return coordinator


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer

    async def on_partitions_revoked(self, revoked: Any) -> None:
        await self._consumer.revoked()

    async def on_partitions_assigned(self, assigned: Any) -> None:
        coordinator = self._consumer._coordinator
        # The routine that calls it is started only after this returns.
        coordinator._do_heartbeat = self._consumer._heartbeat
        try:
            await self._consumer.assigned_to(assigned)
        except Exception as error:  # aiokafka would log it and go on
            self._consumer._failed = error
            raise


@contextmanager
def _unless_fatal(group: str) -> Iterator[None]:
    """Pass over what aiokafka calls retriable: it mends that by itself."""
    try:
        yield
    except KafkaError as error:
        if not error.retriable:
            raise
        log.warning("%s: %r", group, error)
