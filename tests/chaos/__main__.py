"""`python -m tests.chaos [--only 1,5] [--events N] [--rate N] [--keep]`."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import monotonic

from rich.console import Console
from rich.markup import escape
from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from deploy.kafka.cluster import Cluster
from deploy.kafka.jars import KafkaError
from tests.bench.report import BUILD, WIDTH
from tests.chaos.catalogue import FAULTS, Fault, play_one
from tests.chaos.machine import Impossible
from tests.chaos.report import Row, document, failed_row, row_of, skipped_row, table, write

console = Console(stderr=True, highlight=False, width=None if sys.stderr.isatty() else WIDTH)
#: Per broker; what a fault's topics and a minute of load need.
HEAP_MB = 320


def main() -> int:
    """The command line; returns the exit code: 0 only if every fault that was played kept every bar."""
    parser = argparse.ArgumentParser(
        prog="make chaos ARGS=…",
        description=f"Faults against the pipeline on three Kafka brokers. Writes {BUILD / 'chaos.json'}.",
        epilog="faults:  " + "  ".join(f"{fault.number} {fault.name}" for fault in FAULTS),
    )
    parser.add_argument("--only", default="", help="numbers or names of faults, with commas between them")
    parser.add_argument("--events", type=int, default=20_000, help="at least so many events a fault [20000]")
    parser.add_argument("--rate", type=float, default=500.0, help="events a second [500]")
    parser.add_argument("--keep", action="store_true", help="keep the logs of brokers and workers, and say where")
    parser.add_argument("--docs", action="store_true", help="write the table in docs/faults.md anew")
    given = parser.parse_args()
    wanted = [part.strip() for part in given.only.split(",") if part.strip()]
    chosen = [fault for fault in FAULTS if not wanted or str(fault.number) in wanted or fault.name in wanted]
    if len(chosen) < len(wanted):
        console.print(f"there is no such fault; there are {', '.join(f'{f.number} {f.name}' for f in FAULTS)}")
        return 2
    folder = Path(tempfile.mkdtemp(prefix="veristream-chaos-"))
    rows: list[Row] = []
    stopped = False
    try:
        _run(chosen, folder, rows, events=given.events, rate=given.rate)
    except KafkaError as error:
        console.print(f"[bold red]error:[/] {escape(str(error))}", soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        stopped = True
    finally:
        if given.keep:
            console.print(f"logs: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    rows.sort(key=lambda row: row.number)
    Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH).print(table(rows))
    target = write(rows)
    if given.docs:
        document(rows)
    missed = [row.name for row in rows if not row.passed and row.skipped is None]
    skipped = [row.name for row in rows if row.skipped is not None]
    console.print(
        f"{len(rows)} faults in {target}: {len(rows) - len(missed) - len(skipped)} kept every bar"
        + (f"; missed: {', '.join(missed)}" if missed else "")
        + (f"; skipped: {', '.join(skipped)}" if skipped else "")
    )
    return 130 if stopped else 1 if missed else 0


def _run(chosen: Sequence[Fault], folder: Path, rows: list[Row], *, events: int, rate: float) -> None:
    """Play them, each fault's row to `rows` as soon as it is known."""
    shared: Cluster | None = None
    with Progress(
        SpinnerColumn(), TextColumn("{task.description}"), MofNCompleteColumn(), TimeElapsedColumn(),
        console=console, transient=True,
    ) as progress:  # fmt: skip
        task = progress.add_task("", total=len(chosen))
        try:
            # Those with brokers of their own last, so that the shared ones start once.
            for fault in sorted(chosen, key=lambda fault: fault.own_cluster):
                begun = monotonic()

                def say(text: str, fault: Fault = fault) -> None:
                    progress.update(task, description=escape(f"{fault.number} {fault.name}: {text}"))

                say("starting")
                if shared is None and not fault.own_cluster:
                    shared = Cluster(folder / "brokers", brokers=3, heap_mb=HEAP_MB)
                    shared.start()
                elif shared is not None and fault.own_cluster:
                    shared.stop()
                    shared = None
                row = _one(fault, shared, folder / fault.name, events=events, rate=rate, say=say)
                rows.append(row)
                console.print(escape(f"{fault.number} {fault.name}: {row.words()}, {monotonic() - begun:.0f} s in all"))
                for line in row.examples:
                    console.print(f"  {escape(line)}", soft_wrap=True)
                progress.advance(task)
        finally:
            if shared is not None:
                shared.stop()


def _one(fault: Fault, shared: Cluster | None, folder: Path, *, events: int, rate: float, say: object) -> Row:
    try:
        return row_of(fault, play_one(fault, shared, folder, events=events, rate=rate, say=say))  # type: ignore[arg-type]
    except Impossible as reason:
        return skipped_row(fault, str(reason))
    except Exception as error:  # what one fault's harness ran into must not keep the others from being played
        return failed_row(fault, error)


if __name__ == "__main__":
    sys.exit(main())
