"""A run: traps and mutants through the pool, what became of each, and whether what must hold held."""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from time import monotonic

from streams.extraction import pool as pools
from streams.extraction.detector import Detector
from streams.extraction.read import ExtractFailure
from streams.settings import load
from tests.bench.report import Row
from tests.fuzz.mutate import mutant
from tests.fuzz.seeds import make_seeds
from tests.fuzz.traps import Bait, million_streams, traps
from tests.fuzz.watch import WatchedPool

#: What reading may answer; CRASHED is not among them.
ANSWERS = {"EXTRACT-FORMAT", "EXTRACT-BROKEN", "EXTRACT-LIMIT", "EXTRACT-TIMEOUT"}
#: Long enough for what is merely slow on a busy machine: a run is full of small files.
TIMEOUT_S = 20.0
#: With every model a process needs 1.1 GB of addresses before its first item.
MEMORY_MB = 3072
#: By so many bytes a process may grow in a thousand files; a leak of one small picture a file is more.
MOST_GROWTH = 16 << 20


@dataclass
class Campaign:
    """What a run found."""

    files: int = 0
    traps: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    #: Name → what was wrong, of files that broke a rule.
    findings: dict[str, str] = field(default_factory=dict)
    lost: int = 0
    absent: Counter[str] = field(default_factory=Counter)
    #: (seconds, name) of each file, waiting for a process included.
    times: list[tuple[float, str]] = field(default_factory=list)
    timeouts: list[str] = field(default_factory=list)
    seconds: float = 0.0
    growth: float | None = None
    contacts: int = 0
    opened: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    blind: str | None = None
    level: str = ""

    @property
    def holds(self) -> bool:
        """Whether everything held that must."""
        return not (self.findings or self.lost or self.opened or self.contacts) and (self.growth or 0) <= MOST_GROWTH

    def rows(self) -> Iterator[Row]:
        """The figures."""
        yield Row("fuzz.files", self.files, "files", self.files)
        yield Row("fuzz.traps", self.traps, "files", self.traps)
        for outcome, count in sorted(self.outcomes.items()):
            yield Row(f"fuzz.{outcome}", count / self.files, "share", self.files)
        yield Row("fuzz.workers_lost", self.lost, "processes", self.files)
        yield Row("fuzz.timeouts", self.outcomes["timeout"], "processes", self.files)
        yield Row("fuzz.second_opens", None if self.blind else len(self.opened), "calls", self.files)
        yield Row("fuzz.opens_refused", None if self.blind else len(self.refused), "calls", self.files)
        yield Row("fuzz.contacts", self.contacts, "connections", self.files)
        yield Row("fuzz.detectors_failed", sum(self.absent.values()), "times", self.files)
        growth = None if self.growth is None else self.growth / 2**20
        yield Row("fuzz.growth", growth, "MiB a process in 1,000 files", self.files)
        yield Row("fuzz.slowest", max(self.times)[0], "s", self.files)
        yield Row("fuzz.speed", self.files / self.seconds, "files/s", self.files)


def collection(seeds: dict[str, bytes], bait: Bait, files: int, random: Random) -> Iterator[tuple[str, bytes]]:
    """Everything that is sent: the seeds as they are, the traps, mutants up to the number wanted."""
    yield from ((f"seed {name}", data) for name, data in seeds.items())
    yield from ((f"trap {name}", data) for name, data in traps(seeds, bait).items())
    yield "trap a million streams", million_streams()
    for number in range(files):
        name = random.choice(tuple(seeds))
        yield f"mutant {number} of {name}", mutant(name, seeds, random)


async def run(
    files: int,
    seed: int,
    *,
    kinds: Sequence[type[Detector]],
    workers: int = 2,
    confinement: str = "best",
    timeout_s: float = TIMEOUT_S,
    progress: Callable[[Campaign], None] = lambda _: None,
    keep: Path | None = None,
) -> Campaign:
    """Send so many files through a pool. `keep`: the folder for files that broke a rule."""
    found = Campaign()

    async def touched(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        found.contacts += 1
        writer.close()

    with tempfile.TemporaryDirectory(prefix="veristream-fuzz-") as name:
        folder = Path(name)
        (folder / "seeds").mkdir()
        (folder / "traces").mkdir()
        seeds = make_seeds(folder / "seeds")
        bait = folder / "bait.mp4"
        bait.write_bytes(seeds["mp4"])
        server = await asyncio.start_server(touched, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        settings = load(
            extract_workers=workers,
            extract_timeout_s=timeout_s,
            extract_memory_mb=MEMORY_MB,
            confinement=confinement,
        )
        pool = WatchedPool(settings, list(kinds), folder / "traces")
        routine, pools.ITEMS_PER_PROCESS = pools.ITEMS_PER_PROCESS, 1 << 30  # a leak must show, not be thrown away
        begun = monotonic()
        try:
            await pool.warm()
            found.level = str(pool.confinement)
            await _send(pool, collection(seeds, Bait(bait, port), files, Random(seed)), folder, found, progress, keep)
        finally:
            await pool.close()
            server.close()
            pools.ITEMS_PER_PROCESS = routine
        found.seconds = monotonic() - begun
        found.blind = pool.blind
        found.lost = pool.ended["crash"]
        found.growth = pool.growth()
        for call in pool.calls():
            (found.opened if call.done else found.refused).append(call.line)
    return found


async def _send(
    pool: WatchedPool,
    items: Iterator[tuple[str, bytes]],
    folder: Path,
    found: Campaign,
    progress: Callable[[Campaign], None],
    keep: Path | None,
) -> None:
    async def worker(number: int) -> None:
        path = folder / f"{number}.item"
        for name, data in items:
            path.write_bytes(data)
            begun = monotonic()
            outcome, wrong = await _one(pool, path, found)
            seconds = monotonic() - begun
            found.times.append((seconds, name))
            found.files += 1
            found.traps += name.startswith("trap")
            found.outcomes[outcome] += 1
            if outcome == "timeout":
                found.timeouts.append(name)
            if name.startswith("seed") and outcome != "read":
                wrong = f"a whole file was not read: {outcome}"
            if wrong:
                found.findings[name] = wrong
                if keep:
                    keep.mkdir(parents=True, exist_ok=True)
                    (keep / f"{name.replace(' ', '-').replace('/', '')}.bin").write_bytes(data)
            progress(found)

    # One more than processes, so that none waits for the next file to be made.
    await asyncio.gather(*(worker(number) for number in range(pool.size + 1)))


async def _one(pool: WatchedPool, path: Path, found: Campaign) -> tuple[str, str | None]:
    """What became of a file, and what is wrong with that."""
    try:
        reading = await pool.read(path)
    except ExtractFailure as failure:
        outcome = failure.code.removeprefix("EXTRACT-").lower()
        return outcome, None if failure.code in ANSWERS else f"{failure.code}: {failure.text}"
    for reason in reading.absent:
        found.absent[reason[:120]] += 1
    return "read", "; ".join(reading.absent) or None
