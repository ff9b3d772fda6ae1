"""The twelve faults, and how each is played."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from deploy.kafka.cluster import Cluster
from tests.chaos import brokers, faults, media
from tests.chaos.stage import Outcome, Say, Stage, play, stage
from tests.chaos.traffic import Item

#: Workers of every fault at its start: two share the partitions, so that one can take what the other had.
WORKERS = 2
IDENTITY = "identity,verdict,sanctions"


@dataclass(frozen=True)
class Fault:
    """One fault: what is done, to which agents, under which load."""

    number: int
    name: str
    about: str
    act: Callable[[Stage], None]
    agents: str = IDENTITY
    #: The load, if it is not the ordinary one; takes the stage's folder.
    source: Callable[[Path], Iterator[Item]] | None = None
    #: What the environment of every worker has besides; takes the stage's folder.
    env: Callable[[Path], dict[str, str]] | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    #: Events and events a second, if not what was asked for: where media is decoded.
    events: int | None = None
    rate: float | None = None
    own_cluster: bool = False


FAULTS: tuple[Fault, ...] = (
    Fault(1, "worker_killed", "SIGKILL of one worker after the other, five times", faults.killed),
    Fault(2, "workers_rolled", "SIGTERM of each worker in turn, in the middle of its work", faults.rolled),
    Fault(3, "leader_killed", "SIGKILL of a leading broker, back after ten seconds", brokers.leader_killed),
    Fault(4, "brokers_restarted", "every broker restarted, one after the other", brokers.all_restarted),
    Fault(5, "worker_frozen", "SIGSTOP of a worker for twice its session, then SIGCONT; then the other", faults.frozen),
    Fault(
        6, "judge_defective", "judges that raise at some events, always at the same ones", faults.judged,
        source=lambda _: faults.defective_items(), env=faults.defective,
    ),
    Fault(
        7, "extraction_starved", "decoding processes left without memory, and killed, again and again",
        faults.starved, agents="identity,extraction,verdict", source=media.media_items, events=600, rate=10.0,
        settings={"extract_workers": "1"},
    ),
    Fault(
        8, "bad_messages", "one bad message in twenty: no JSON, wrong types, tombstones, huge ones, wrong keys",
        faults.judged, source=lambda _: faults.spoilt_items(),
    ),
    Fault(9, "workers_churned", "a further worker joins and leaves", faults.churned),
    Fault(10, "network_cut", "a worker's network slow, cut for twice its session, and reset", faults.cut),
    Fault(
        11, "disk_full", "the disk of one broker runs full; it comes back with room", brokers.disk_filled,
        own_cluster=True,
    ),
    Fault(12, "clock_wrong", "workers an hour ahead and behind, while all are killed in turn", faults.mistimed),
)  # fmt: skip


def play_one(fault: Fault, shared: Cluster | None, folder: Path, *, events: int, rate: float, say: Say) -> Outcome:
    """Play a fault on the shared cluster, or on one of its own.

    Raises:
        Impossible: it cannot be played on this machine.
        HarnessFailed: it was not played as it must be.
    """
    with ExitStack() as opened:
        cluster = shared
        if fault.own_cluster or cluster is None:
            disk = opened.enter_context(brokers.small_disk(folder / "disk"))
            cluster = opened.enter_context(
                Cluster(folder / "brokers", brokers=3, config=brokers.SMALL, log_dirs={3: disk / "data"})
            )
        on = opened.enter_context(
            stage(
                cluster, f"{fault.name}.", folder, agents=fault.agents, rate=fault.rate or rate, say=say,
                **fault.settings,
            )
        )  # fmt: skip
        env = fault.env(folder) if fault.env else {}
        for _ in range(WORKERS):
            on.workers.join(env)
        on.workers.until_ready()
        source = fault.source(folder) if fault.source else None
        return play(on, fault.act, events=fault.events or events, source=source)
