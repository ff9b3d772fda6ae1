"""One fault's stage: topics of its own on the cluster, workers, a load, a reader outside, and the fault's moments."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from deploy.kafka.cluster import Cluster
from schemas.topics import ADMITTED, DECISIONS, RULINGS, SEGMENTS, UPLOADS, Topic
from streams.kafka import create_topics
from streams.settings import load
from tests.chaos.outside import Groups, Outside
from tests.chaos.tally import Count, Tally
from tests.chaos.traffic import Item, Load, items, rows
from tests.chaos.workers import Workers

#: Kafka's own least session time-out. The setting's default of 45 s would make every recovery from a lost worker that
#: much longer, on any machine.
SESSION_TIMEOUT_S = 6.0
#: Seconds of load before a fault, so that what is usual is known, and at least so many after it, so that recovery is
#: seen under load.
BEFORE_S = 6.0
AFTER_S = 10.0
#: A load whose events of so many seconds are on their way is not being answered: workers have just begun, or the rate
#: is too high. Busy machines with other work answer within it.
SETTLED_S = 5.0
#: How long after the load's end answers are waited for, and for how long nothing must arrive before what has come is
#: counted: a worker that thaws or a producer that tries again may still send copies.
DRAIN_S = 120.0
QUIET_S = 3.0
LOOK_S = 0.1
#: Until a broker that came back has what it missed.
IN_SYNC_TIMEOUT_S = 90.0
#: agent → the topics that its group reads.
INPUTS: Mapping[str, tuple[Topic, ...]] = {
    "identity": (UPLOADS, SEGMENTS),
    "verdict": (DECISIONS,),
    "sanctions": (DECISIONS, RULINGS),
    "extraction": (ADMITTED,),
}
Say = Callable[[str], None]


class HarnessFailed(RuntimeError):
    """The harness itself did not do what it must, so that nothing was shown."""


@dataclass
class Stage:
    """Where a fault is played."""

    cluster: Cluster
    prefix: str
    folder: Path
    workers: Workers
    groups: Groups
    rate: float
    say: Say
    #: What the fault did, for the report.
    did: list[str] = field(default_factory=list)
    load: Load | None = None
    #: Moments from which recovery counts: of each the time until all is as before, and the longest is told.
    moments: list[float] = field(default_factory=list)

    def mark(self) -> None:
        """From now on the pipeline may recover: something was killed, cut, frozen or brought back."""
        self.moments.append(monotonic())

    def note(self, text: str) -> None:
        """Something of the fault that the report tells."""
        self.did.append(text)
        self.say(text)

    def wait(self, seconds: float) -> None:
        """Let the load go on for so long. Time is the fault's matter here, not a condition that is awaited."""
        until = monotonic() + seconds
        while (left := until - monotonic()) > 0:
            sleep(min(left, LOOK_S))

    def until_in_sync(self) -> None:
        """Wait until every partition has all its replicas again."""
        self.until(self.groups.in_sync, "the replicas were not in sync again", IN_SYNC_TIMEOUT_S)

    def until(self, holds: Callable[[], bool], what: str, timeout_s: float = 60.0) -> None:
        """Wait for a condition."""
        deadline = monotonic() + timeout_s
        while not holds():
            if monotonic() > deadline:
                raise HarnessFailed(f"{what} within {timeout_s:.0f} s")
            sleep(LOOK_S)


@dataclass(frozen=True)
class Outcome:
    """What came of one fault."""

    count: Count
    rate: float
    recovery_s: float | None
    late_s: float
    fault_s: float
    lag: int | None
    exits: list[int]
    stops: list[int]
    did: list[str]
    examples: list[str]


@contextmanager
def stage(
    cluster: Cluster, prefix: str, folder: Path, *, agents: str, rate: float, say: Say, **settings: str
) -> Iterator[Stage]:
    """Topics under a prefix of their own, their state, and no worker yet; all of it goes at the end."""
    folder.mkdir(parents=True, exist_ok=True)
    # As many replicas as brokers: each fault takes one broker away and must lose nothing.
    ours = load(**{**cluster.settings, "topic_prefix": prefix, "replication": len(cluster.brokers)})
    created = asyncio.run(create_topics(ours))
    _fill(cluster.address, prefix)
    given = {name: str(value) for name, value in cluster.settings.items()}
    given |= {
        "topic_prefix": prefix,
        "group_prefix": f"{prefix}veristream",
        "session_timeout_s": str(SESSION_TIMEOUT_S),
        "log_level": "info",
        "store": str(folder / "store"),
    }
    workers = Workers(folder, agents, given | settings)
    groups = Groups(
        cluster.address,
        prefix,
        [
            (f"{prefix}veristream-{agent}", prefix + topic.name)
            for agent in agents.split(",")
            for topic in INPUTS[agent]
        ],
    )
    try:
        yield Stage(cluster, prefix, folder, workers, groups, rate, say)
    finally:
        workers.close()
        groups.close()
        shutil.rmtree(folder / "store", ignore_errors=True)
        _delete(cluster.address, created)


def _fill(broker: str, prefix: str) -> None:
    producer = Producer({"bootstrap.servers": broker, "acks": "all", "log_level": 2})
    for topic, key, value in rows():
        producer.produce(prefix + topic.name, value, key)
    if producer.flush(30):
        raise HarnessFailed("the brokers did not take the state within 30 s")


def _delete(broker: str, topics: list[str]) -> None:
    """So that the brokers carry one fault's partitions at a time."""
    admin = AdminClient({"bootstrap.servers": broker, "log_level": 2})
    for answer in admin.delete_topics(topics, operation_timeout=30).values():
        answer.exception(60)


def play(
    stage: Stage,
    fault: Callable[[Stage], None],
    *,
    events: int,
    source: Iterator[Item] | None = None,
    before_s: float = BEFORE_S,
) -> Outcome:
    """Load, fault, load again until enough is sent, wait, count. A stage may be played on again."""
    stage.did.clear()
    stage.moments.clear()
    tally = Tally()
    outside = Outside(stage.cluster.address, stage.prefix, tally)
    load = stage.load = Load(stage.cluster.address, stage.prefix + "uploads", source or items(), tally, stage.rate)
    outside.start()
    try:
        load.start()
        try:
            stage.until(
                lambda: load.sent > stage.rate and tally.waiting < stage.rate * SETTLED_S, "the load was not answered"
            )
        except HarnessFailed as failure:
            raise HarnessFailed(
                f"{failure} before the fault: this machine sustains less than {stage.rate:.0f} a second (--rate); "
                f"{load.sent} sent, {tally.waiting} waiting, lag {stage.groups.lags()}"
            ) from failure
        settled = monotonic()
        stage.wait(before_s)
        begun = monotonic()
        fault(stage)
        ended = monotonic()
        while load.sent < events or monotonic() < ended + AFTER_S:
            sleep(LOOK_S)
            _check(load, outside)
        load.stop()
        stopped = monotonic()
        lag = _drain(stage, tally, outside, load)
    finally:
        load.stop()
        outside.stop()
    _check(load, outside)
    # What comes after the load's end still shows when the last of its events were answered.
    until = max(stopped, outside.last_at) + 1e-3
    late_s = tally.late_limit_s(begun, settled)
    recoveries = [tally.recovery_s(moment, limit=late_s, until=until) for moment in stage.moments or [ended]]
    return Outcome(
        count=tally.count(),
        rate=stage.rate,
        recovery_s=None if None in recoveries else max(found for found in recoveries if found is not None),
        late_s=late_s,
        fault_s=ended - begun,
        lag=lag,
        exits=stage.workers.exits,
        stops=stage.workers.stops,
        did=list(stage.did),
        examples=[*tally.examples, *([f"lag: {stage.groups.trouble}"] if lag is None else [])],
    )


def _drain(stage: Stage, tally: Tally, outside: Outside, load: Load) -> int | None:
    """Wait until all is answered, committed and quiet, or the limit has passed; returns the lag."""
    stage.say("the load has ended; waiting for what is still due")
    deadline = monotonic() + DRAIN_S
    lag: int | None = None
    while monotonic() < deadline:
        _check(load, outside)
        if tally.complete and monotonic() - outside.last_at > QUIET_S and (lag := stage.groups.lag()) == 0:
            return 0
        sleep(LOOK_S)
    return stage.groups.lag() if lag is None else lag


def _check(load: Load, outside: Outside) -> None:
    if load.failed:
        raise HarnessFailed(f"the load was not taken by the brokers: {load.failed[0]} ({len(load.failed)} in all)")
    if outside.failed:
        raise HarnessFailed(f"the reader outside failed: {outside.failed!r}") from outside.failed
