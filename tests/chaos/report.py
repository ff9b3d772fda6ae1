"""What is written of the faults: one row each, as JSON, as a table and into docs/faults.md."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from tests.bench.report import BUILD

if TYPE_CHECKING:
    from tests.chaos.catalogue import Fault
    from tests.chaos.stage import Outcome

#: A fault counts as overcome if answers are as quick as before within this.
RECOVERY_LIMIT_S = 60.0
DOCS = Path(__file__).parents[2] / "docs" / "faults.md"
TITLES = (
    "fault", "events", "lost", "conflicting", "wrong", "out of order", "duplicated", "restarts", "recovery, s",
    "longest wait, s", "kept",
)  # fmt: skip
BEGIN, END = "<!-- measured: faults -->", "<!-- end measured -->"


@dataclass(frozen=True)
class Row:
    """The figures of one fault. `recovery_s` is None if answers were never again as quick as before."""

    number: int
    name: str
    about: str
    #: Events a second that were sent.
    rate: float = 0.0
    events: int = 0
    lost: int = 0
    conflicting: int = 0
    wrong: int = 0
    out_of_order: int = 0
    duplicated: int = 0
    recovery_s: float | None = None
    #: From how many seconds on an answer counted as late, by what was usual before the fault.
    late_s: float = 0.0
    longest_wait_s: float = 0.0
    dead_letters: int = 0
    #: Messages that the groups had not committed in the end; None: no broker said.
    lag: int | None = None
    fault_s: float = 0.0
    #: Exit codes of workers that ended by themselves, and of those that were told to; negative: a signal.
    ended: list[int] = field(default_factory=list)
    stopped: list[int] = field(default_factory=list)
    detail: str = ""
    skipped: str | None = None
    error: str | None = None
    passed: bool = False
    command: str = ""
    examples: list[str] = field(default_factory=list)

    def words(self) -> str:
        """The row in one line."""
        if self.skipped is not None:
            return f"skipped: {self.skipped}"
        if self.error is not None:
            return f"not shown: {self.error}"
        recovery = "never recovered" if self.recovery_s is None else f"recovered in {self.recovery_s:.1f} s"
        recovery += f" (late: {self.late_s:.1f} s)"
        return (
            f"{'passed' if self.passed else 'MISSED'}: {self.events} events, {self.lost} lost, "
            f"{self.conflicting} conflicting, {self.wrong} wrong, {self.out_of_order} out of order, "
            f"{self.duplicated} duplicated, {recovery}, lag {self.lag}"
        )


def row_of(fault: Fault, outcome: Outcome) -> Row:
    """The row of a fault that was played."""
    count = outcome.count
    kept = (
        count.lost == count.conflicting == count.wrong == count.out_of_order == 0
        and outcome.lag == 0
        and outcome.recovery_s is not None
        and outcome.recovery_s <= RECOVERY_LIMIT_S
    )
    missing = [f"{number} without {topic}" for topic, number in sorted(count.missing.items())]
    unread = [f"{number} items not read: {code}" for code, number in sorted(count.unread.items())]
    return Row(
        number=fault.number,
        name=fault.name,
        about=fault.about,
        rate=outcome.rate,
        events=count.events,
        lost=count.lost,
        conflicting=count.conflicting,
        wrong=count.wrong,
        out_of_order=count.out_of_order,
        duplicated=count.duplicated,
        recovery_s=None if outcome.recovery_s is None else round(outcome.recovery_s, 1),
        late_s=round(outcome.late_s, 1),
        longest_wait_s=round(count.longest_wait_s, 1),
        dead_letters=count.dead_letters,
        lag=outcome.lag,
        fault_s=round(outcome.fault_s, 1),
        ended=outcome.exits,
        stopped=outcome.stops,
        detail="; ".join([*outcome.did, *unread, *missing]),
        passed=kept,
        command=_command(fault),
        examples=outcome.examples,
    )


def skipped_row(fault: Fault, reason: str) -> Row:
    """The row of a fault that cannot be played here: never a passed one."""
    return Row(fault.number, fault.name, fault.about, skipped=reason, command=_command(fault))


def failed_row(fault: Fault, error: BaseException) -> Row:
    """The row of a fault that was not played as it must be."""
    return Row(fault.number, fault.name, fault.about, error=f"{type(error).__name__}: {error}", command=_command(fault))


def _command(fault: Fault) -> str:
    return f'make chaos ARGS="--only {fault.number}"'


def write(rows: Iterable[Row]) -> Path:
    """Write build/chaos.json."""
    BUILD.mkdir(exist_ok=True)
    target = BUILD / "chaos.json"
    target.write_text(json.dumps([asdict(row) for row in rows], indent=1, ensure_ascii=False) + "\n", "utf-8")
    return target


def table(rows: Iterable[Row]) -> Table:
    """The rows for a terminal."""
    shown = Table(*TITLES, title="Faults, on three brokers", title_justify="left")
    for column in shown.columns[1:-1]:
        column.justify = "right"
    for row in rows:
        shown.add_row(*_cells(row))
    return shown


def _cells(row: Row) -> list[str]:
    if row.skipped is not None or row.error is not None:
        return [row.name, *["–"] * (len(TITLES) - 2), "skipped" if row.skipped is not None else "[red]no[/]"]
    recovery = "never" if row.recovery_s is None else f"{row.recovery_s:.1f}"
    figures = (row.events, row.lost, row.conflicting, row.wrong, row.out_of_order, row.duplicated, len(row.ended))
    kept = "yes" if row.passed else "[red]no[/]"
    return [row.name, *(f"{figure:,}" for figure in figures), recovery, f"{row.longest_wait_s:.1f}", kept]


def document(rows: Iterable[Row]) -> None:
    """Write the figures into docs/faults.md, between its marks."""
    rows = list(rows)
    rate = max(row.rate for row in rows)
    text = DOCS.read_text("utf-8")
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    lines = [
        f"Measured on {datetime.now(UTC):%Y-%m-%d} at {rate:.0f} events a second with {os.cpu_count()} cores; brokers, "
        "workers, load and reader on one machine.",
        "",
        f"| {' | '.join(TITLES)} |",
        f"| --- |{' ---: |' * (len(TITLES) - 2)} --- |",
    ]
    for row in rows:
        cells = [cell.replace("[red]", "").replace("[/]", "") for cell in _cells(row)]
        lines.append("| " + " | ".join([f"`{cells[0]}`", *cells[1:]]) + " |")
        if row.skipped:
            lines[-1] = lines[-1].removesuffix("skipped |") + f"skipped: {row.skipped} |"
    DOCS.write_text(f"{head}{BEGIN}\n" + "\n".join(lines) + f"\n{END}{tail}", "utf-8")
