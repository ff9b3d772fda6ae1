"""What a measure is, how measures run one after the other, each in a process of its own, and where figures go.

`tests.bench` and `tests.evaluation` share this: a suite is a package with a table of measures.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import NamedTuple

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

#: Where results and what measures make for themselves lie; git ignores it.
BUILD = Path("build")
#: A measure that takes longer is ended and counts as failed: the longest, two hours of media, takes some eight minutes.
TIMEOUT_S = 1800.0
#: Lines of a failed measure's last words that are shown.
LAST_WORDS = 15

#: A pipe or a log has no width of its own.
WIDTH = 170
console = Console(stderr=True, highlight=False, width=None if sys.stderr.isatty() else WIDTH)


class Row(NamedTuple):
    """One figure. `n` is what it rests on: runs of which it is the median, or items that were counted.

    A `ratio` compares with `against`, in the same run. `value` is None where something was not measured.
    """

    name: str
    value: float | None
    unit: str
    n: int
    ratio: float | None = None
    against: str | None = None


#: Takes whether it should be quick, and gives its figures.
Measure = Callable[[bool], Iterable[Row]]


@dataclass(frozen=True)
class Suite:
    """The measures of a package. `measures`: name → where its function is, as `module:function`, so that a measure
    that cannot even be imported fails alone."""

    package: str
    make: str
    title: str
    measures: Mapping[str, str]

    def run(self) -> None:
        """The command line; ends the process."""
        parser = argparse.ArgumentParser(
            prog=f"make {self.make} ARGS=…", description=f"{self.title}. Writes {BUILD / self.make}.json."
        )
        parser.add_argument("names", nargs="*", help=f"begin of names of measures: {', '.join(self.measures)}")
        parser.add_argument("--quick", action="store_true", help="fewer items and runs: a try, not a result")
        parser.add_argument("--into", type=Path, help=argparse.SUPPRESS)  # run one measure here, its rows to this file
        given = parser.parse_args()
        if given.into is None:
            sys.exit(self.run_all(given.names, quick=given.quick))
        rows = [row._asdict() for row in self.measure(given.names[0])(given.quick)]
        given.into.write_text(json.dumps(rows))

    def measure(self, name: str) -> Measure:
        """The function that measures."""
        module, function = self.measures[name].split(":")
        found: Measure = getattr(importlib.import_module(module), function)
        return found

    def run_all(self, wanted: Sequence[str], *, quick: bool) -> int:
        """Run what is wanted (nothing named: all), print and write the figures; returns the exit code."""
        chosen = [name for name in self.measures if not wanted or any(name.startswith(part) for part in wanted)]
        if unknown := [part for part in wanted if not any(name.startswith(part) for name in chosen)]:
            console.print(f"there is no measure {', '.join(unknown)}; there are {', '.join(self.measures)}")
            return 2
        rows: list[dict[str, object]] = []
        failed = 0
        with Progress(
            SpinnerColumn(), TextColumn("{task.description}"), MofNCompleteColumn(), TimeElapsedColumn(),
            console=console, transient=True,
        ) as progress:  # fmt: skip
            task = progress.add_task("", total=len(chosen))
            for name in chosen:
                progress.update(task, description=f"measuring {name}")
                begun = monotonic()
                command = f'make {self.make} ARGS="{name}{" --quick" if quick else ""}"'
                try:
                    found = self._isolated(name, quick=quick)
                    console.print(f"{name}: {len(found)} figures in {monotonic() - begun:.0f} s")
                except MeasureFailed as failure:
                    failed += 1
                    console.print(f"[bold red]{name} failed:[/] {failure}", soft_wrap=True)
                    found = [Row(name, None, "failed", 0)]
                rows += [_as_written(row, command) for row in found]
                progress.advance(task)
        Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH).print(_table(self.title, rows))
        BUILD.mkdir(exist_ok=True)
        target = BUILD / f"{self.make}.json"
        target.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        console.print(f"{len(rows)} figures in {target}" + (f", {failed} measures failed" if failed else ""))
        return 1 if failed else 0

    def _isolated(self, name: str, *, quick: bool) -> list[Row]:
        """A measure in a process of its own: no measure meets another's loop, memory or settings."""
        with tempfile.TemporaryDirectory(prefix="veristream-measure-") as folder:
            into, words = Path(folder, "rows.json"), Path(folder, "words.txt")
            command = [sys.executable, "-m", self.package, name, "--into", str(into), *(["--quick"] if quick else [])]
            with words.open("wb") as out:
                # A session of its own, so that all that it started can be ended with it.
                process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True, env=clean_env()
                )
                try:
                    code: int | None = process.wait(TIMEOUT_S)
                except subprocess.TimeoutExpired:
                    code = None
                finally:
                    if process.returncode is None:
                        os.killpg(process.pid, signal.SIGKILL)
                        process.wait()
            if code is None:
                raise MeasureFailed(f"it took longer than {TIMEOUT_S:.0f} s")
            if code or not into.exists():
                last = words.read_text("utf-8", "replace").splitlines()[-LAST_WORDS:]
                raise MeasureFailed("\n".join([f"exit code {code}", *last]))
            return [Row(**row) for row in json.loads(into.read_text())]


class MeasureFailed(Exception):
    """A measure gave no figures; the text says why."""


def clean_env(**settings: str) -> dict[str, str]:
    """This environment without anybody's Veristream settings, and with these."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("VERISTREAM_")}
    given = {f"VERISTREAM_{name.upper()}": value for name, value in settings.items()}
    empty = (BUILD / "empty.toml").resolve()
    empty.parent.mkdir(exist_ok=True)
    empty.touch()
    return kept | {"VERISTREAM_CONFIG": str(empty)} | given


def _as_written(row: Row, command: str) -> dict[str, object]:
    return {
        "name": row.name, "value": row.value, "unit": row.unit, "ratio": row.ratio, "against": row.against,
        "n": row.n, "command": command,
    }  # fmt: skip


def _table(title: str, rows: Iterable[Mapping[str, object]]) -> Table:
    table = Table("name", "value", "unit", "ratio", "against", "n", title=title, title_justify="left")
    table.columns[0].no_wrap = True
    for column in (1, 3, 5):
        table.columns[column].justify = "right"
    for row in rows:
        cells = (row["name"], _figure(row["value"]), row["unit"], _figure(row["ratio"]), row["against"], row["n"])
        table.add_row(*("" if cell is None else str(cell) for cell in cells))
    return table


def _figure(value: object) -> str:
    """Three digits that matter, and thousands as they are."""
    if not isinstance(value, int | float):
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
