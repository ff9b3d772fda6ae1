"""`python -m tests.fuzz [--files N] [--seed N]`."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import sys

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from streams.extraction.detector import Detector
from streams.registered import installed
from streams.settings import load
from tests.bench.report import BUILD, console
from tests.fuzz.campaign import MOST_GROWTH, Campaign, run

#: Seeds and traps, about, besides the mutants.
BESIDES = 112


def detectors(names: str = "") -> list[type[Detector]]:
    """Those of these names, parted by commas; none: the ones that the worker runs."""
    return list(installed("veristream.detectors", tuple(names.split(",")) if names else load().detectors).values())


def main() -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="make fuzz ARGS=…",
        description="Sends damaged and hostile media through the pool of decoding processes. Exit code 1 if a process "
        "is lost, a second file is opened, a host is reached or memory grows. Writes "
        f"{BUILD / 'fuzz.json'}; what broke a rule is kept in {BUILD / 'fuzz'}.",
    )
    parser.add_argument("--files", type=int, default=2000, help="mutants, besides seeds and traps (2000)")
    parser.add_argument("--seed", type=int, help="of the mutants, to repeat a run; none: another each time")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 2, help="decoding processes (one a core)")
    parser.add_argument("--detectors", default="", help="with which ones, as a,b (all that the worker runs)")
    given = parser.parse_args()
    seed = secrets.randbelow(1 << 32) if given.seed is None else given.seed
    again = f'make fuzz ARGS="--files {given.files} --seed {seed}"'
    console.print(f"{given.files} mutants of seed {seed}: {again} sends the same")
    with Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn(),
        console=console, transient=True,
    ) as progress:  # fmt: skip
        task = progress.add_task("", total=given.files + BESIDES)

        def show(now: Campaign) -> None:
            words = f"{now.outcomes['read']} read, {now.outcomes['timeout']} timed out, {len(now.findings)} findings"
            progress.update(task, description=words, completed=now.files)

        found = asyncio.run(
            run(
                given.files, seed, workers=given.workers, progress=show, keep=BUILD / "fuzz",
                kinds=detectors(given.detectors),
            )
        )  # fmt: skip
    _report(found, again)
    return 0 if found.holds else 1


def _report(found: Campaign, command: str) -> None:
    rows = [row._asdict() | {"command": command} for row in found.rows()]
    BUILD.mkdir(exist_ok=True)
    (BUILD / "fuzz.json").write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    for row in rows:
        value = "not measured" if row["value"] is None else f"{row['value']:.4g}"
        console.print(f"{row['name']:24} {value:>12} {row['unit']}")
    console.print(f"confinement {found.level}")
    console.print("slowest: " + ", ".join(f"{name} ({seconds:.1f} s)" for seconds, name in sorted(found.times)[:-6:-1]))
    for what in found.timeouts:
        console.print(f"timed out: {what}")
    if found.blind:
        console.print(f"[bold red]second opens were not counted:[/] {found.blind}")
    for what, why in found.findings.items():
        console.print(f"[bold red]{what}[/]: {why}", soft_wrap=True)
    for reason, count in found.absent.most_common(20):
        console.print(f"absent {count} times: {reason}", soft_wrap=True)
    for line in found.opened[:20]:
        console.print(f"[bold red]opened[/] {line}", soft_wrap=True)
    for line in found.refused[:20]:
        console.print(f"refused {line}", soft_wrap=True)
    if (found.growth or 0) > MOST_GROWTH:
        console.print("[bold red]a process keeps growing[/]")


if __name__ == "__main__":
    sys.exit(main())
