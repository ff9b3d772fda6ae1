"""`make scale`: what a load asks for, and what its queues do at the peak. Deterministic; needs no broker.

    make scale                                              the plan for 10⁸ uploads a day and 10⁵ livestreams
    make scale ARGS="--bench build/bench.json"              with figures that were measured here
    make scale ARGS="--uploads 1e6 --streams 500 --used 0.5"

Simulated is one cell at the peak, worker by worker: which publishers share a partition is drawn, so that some workers
get more than others; segments and uploads queue for cores of their own, first come first served.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.random import Generator

from agents.verdict.join import KEEP_S, MOST_ITEMS
from deploy.scale.plan import EXTRACTION, READERS, RECOVERY, VERDICT_MB, FigureMissing, Load, Plan, figures, plan
from deploy.scale.queues import waits
from schemas.policy import default_policy
from schemas.topics import PARTITIONS

#: Simulated time, in seconds: the first part fills the queues and is not counted.
SIMULATED_S = 1200.0
FILLING_S = 300.0
#: Length of uploads is log-normal; a spread of 1 makes one in a hundred ten times the median long.
SPREAD = 1.0
#: How much the cost of a second of media differs from item to item, as the coefficient of variation of a gamma law.
COST_VARIES = 0.25


@dataclass(frozen=True)
class Scenario:
    """What happens to the cell."""

    name: str
    more: float = 1.0
    #: Workers of the cell that are gone; their partitions have gone to the others.
    lost: int = 0
    #: For so long nothing is begun: a rebalance, or a store that is away.
    stop_s: float = 0.0


SCENARIOS = (
    Scenario("the peak"),
    Scenario("the peak, one worker gone", lost=1),
    Scenario("the peak, two workers gone", lost=2),
    Scenario("the peak, nothing begins for 30 s", stop_s=30.0),
    Scenario("1.5 times the peak", more=1.5),
    Scenario("twice the peak", more=2.0),
)


@dataclass(frozen=True)
class Outcome:
    """What items of one kind met."""

    p50_s: float
    p99_s: float
    worst_s: float
    #: The share whose deadline passed first: held, and finished later.
    late: float


def run(made: Plan, core_s: float, scenario: Scenario, chance: Generator) -> tuple[Outcome, Outcome]:
    """Segments and uploads of one cell. `core_s`: seconds of a core for a second of media."""
    load = made.load
    streams = load.streams / made.cells * scenario.more
    uploads_s = load.uploads_s / made.cells * scenario.more
    workers = made.workers // made.cells - scenario.lost
    servers = load.cores_a_worker
    share = streams / (streams + uploads_s * load.upload_s)
    for_segments = min(servers - 1, max(1, round(servers * share)))
    owner = np.arange(PARTITIONS) % workers
    segments, uploads = [], []
    stop = (SIMULATED_S / 2, SIMULATED_S / 2 + scenario.stop_s) if scenario.stop_s else None
    partition_of = chance.integers(0, PARTITIONS, round(streams))
    upload_count = chance.poisson(uploads_s * SIMULATED_S)
    upload_of = chance.integers(0, PARTITIONS, upload_count)
    for worker in range(workers):
        mine = int((owner[partition_of] == worker).sum())
        arrivals = (
            chance.uniform(0, load.segment_s, (mine, 1)) + np.arange(0, SIMULATED_S, load.segment_s)[None, :]
        ).ravel()
        segments.append(_wait(np.sort(arrivals), load.segment_s * core_s, for_segments, stop, chance))
        count = int((owner[upload_of] == worker).sum())
        arrivals = np.sort(chance.uniform(0, SIMULATED_S, count))
        length = load.upload_s * chance.lognormal(-(SPREAD**2) / 2, SPREAD, count)
        uploads.append(_wait(arrivals, length * core_s, servers - for_segments, stop, chance))
    policy = default_policy().verdict
    return (
        _outcome(np.concatenate(segments), policy.segment_deadline_s),
        _outcome(np.concatenate(uploads), policy.upload_deadline_s),
    )


def _wait(
    arrivals: np.ndarray, mean_s: float | np.ndarray, servers: int, stop: tuple[float, float] | None, chance: Generator
) -> np.ndarray:
    """From arrival to the end of extraction."""
    shape = 1 / COST_VARIES**2
    services = np.asarray(mean_s * chance.gamma(shape, 1 / shape, len(arrivals)))
    counted = arrivals >= FILLING_S
    return np.asarray((waits(arrivals, services, servers, away=stop) + services)[counted])


def _outcome(took: np.ndarray, deadline_s: float) -> Outcome:
    p50, p99 = np.percentile(took, (50, 99))
    return Outcome(float(p50), float(p99), float(took.max()), float((took > deadline_s).mean()))


def report(load: Load, measured: dict[str, float], seed: int) -> str:
    """The plan and what its queues do, as text."""
    made = plan(load, measured)
    cores = sum(made.cores.values())
    items = (load.uploads_s + load.segments_s) / made.workers
    restored = items * READERS * KEEP_S / 1e6
    lines = [
        f"{load.uploads_a_day:,.0f} uploads a day of {load.upload_s:.0f} s, {load.streams:,.0f} livestreams at once "
        f"in segments of {load.segment_s:.0f} s; peak {load.peak:g} × the mean",
        "",
        f"at the peak          {load.uploads_s:,.0f} uploads/s, {load.segments_s:,.0f} segments/s, "
        f"{load.uploads_s * load.upload_s + load.streams:,.0f} s of media a second",
        f"cores                {cores:,.0f}, planned to be {load.used:.0%} used",
        *(f"  {agent:<32} {needed:>8,.0f}" for agent, needed in made.cores.items()),
        f"cells                {made.cells}, each {made.workers // made.cells} workers of {load.cores_a_worker} cores; "
        f"{load.publishers / made.cells:,.0f} publishers a cell",
        f"written to Kafka     {made.write_mb_s:,.0f} MB/s before replication and compression",
        f"an upload leaves     {made.upload.total / 1e3:.1f} kB, a segment {made.segment.total / 1e3:.1f} kB",
        f"disks                {made.disk_tb:,.0f} TB compressed, {made.disk_tb_plain:,.0f} TB as it is, "
        f"{load.replicas} replicas",
        f"brokers              {made.brokers} at least, over all cells",
        f"verdict agent        {items:,.0f} items/s a worker: {MOST_ITEMS:,} items reach back "
        f"{MOST_ITEMS / items / 60:.0f} min and take {measured[VERDICT_MB] * MOST_ITEMS / 100_000:.0f} MB",
        f"  after a restart    {restored:.2f} million decisions of an hour: {restored * measured[RECOVERY]:.0f} s",
        f"a month              {made.month['cores'] / 1e6:.2f} M$ of cores, "
        f"{made.month['disks'] / 1e3:.0f} k$ of disks",
        "",
        "from arrival to the end of extraction, in seconds; late: past the deadline, so held and finished later",
        "",
        f"{'one cell':<38}{'segments p50':>13}{'p99':>8}{'late':>8}{'uploads p50':>13}{'p99':>8}{'late':>8}",
    ]
    core_s = measured[EXTRACTION] / 60
    for scenario in SCENARIOS:
        # Each from the same numbers, so that they differ by what happens alone.
        of_segments, of_uploads = run(made, core_s, scenario, np.random.default_rng(seed))
        lines.append(
            f"{scenario.name:<38}"
            + "".join(f"{each.p50_s:>13.1f}{each.p99_s:>8.1f}{each.late:>8.1%}" for each in (of_segments, of_uploads))
        )
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """The command. Returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="make scale ARGS=…", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    defaults = Load()
    about = {
        "uploads_a_day": "uploads a day",
        "streams": "livestreams at once at the peak",
        "peak": "the busiest minutes against the mean of the day",
        "upload_s": "mean length of an upload, in s",
        "segment_s": "length of a segment, in s",
        "publishers": "publishers in the registry",
        "used": "share of its cores that a pool is planned to use at the peak",
        "workers_a_cell": f"extraction workers of a cell, {PARTITIONS} at most",
        "cores_a_worker": "cores of one extraction worker",
        "replicas": "replicas of the topics",
        "broker_mb_s": "MB/s that one broker is planned to move, in and out",
        "broker_disk_tb": "TB of disk of one broker",
        "core_hour": "$ for a core and hour",
        "disk_tb_month": "$ for a TB of disk and month",
    }
    flags = {"uploads_a_day": "--uploads"}
    for field in fields(Load):
        value = getattr(defaults, field.name)
        parser.add_argument(
            flags.get(field.name, "--" + field.name.replace("_", "-")),
            dest=field.name, type=type(value), default=value, help=f"{about[field.name]} [default: {value:g}]",
            metavar="N",
        )  # fmt: skip
    parser.add_argument(
        "--bench", type=Path, help="figures of `make bench` (build/bench.json) instead of those shipped"
    )
    parser.add_argument("--seed", type=int, default=1, help="of everything that is drawn [default: 1]", metavar="N")
    given = vars(parser.parse_args(arguments))
    bench, seed = given.pop("bench"), given.pop("seed")
    try:
        text = report(Load(**given), figures(bench), seed)
    except FigureMissing as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    sys.stdout.write(text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
