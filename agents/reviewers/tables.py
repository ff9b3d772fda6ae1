"""The work list as people read it: tables and lines of JSON."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

import msgspec
from rich.markup import escape
from rich.table import Table

from agents.reviewers.people import Task
from agents.reviewers.report import Precision
from schemas.decision import Reason
from schemas.orders import Review
from streams.cli.console import UNSAFE, out

#: Letters of a review's id that a table shows: two of a platform's open reviews that agree in so many are rare, and
#: `reviews show` says so.
SHOWN_ID = 12
MINUTE = "%Y-%m-%d %H:%MZ"


def print_tasks(tasks: Sequence[Task], now: datetime) -> None:
    """One line each."""
    if not tasks:
        return
    table = Table("review", "urgency", "due", "state", "asked by", "why", "publisher", "item", "reach")
    for column in (1, 8):
        table.columns[column].justify = "right"
    for task in tasks:
        why = ", ".join(dict.fromkeys(reason.code for reason in task.question.reasons))
        reach = "" if task.item.reach is None else f"{task.item.reach:,}"
        cells = (
            task.question.review_id[:SHOWN_ID], f"{task.urgency:.1f}", due(task, now), state(task),
            task.question.agent, why, task.item.publisher_id, task.item.content_id, reach,
        )  # fmt: skip
        table.add_row(*map(_cell, cells), style="bold red" if task.overdue else None)
    out.print(table)


def due(task: Task, now: datetime) -> str:
    """How long there is still time."""
    left = task.question.due_at - now
    return f"{'over by ' if left < timedelta() else 'in '}{_span(abs(left))}"


def state(task: Task) -> str:
    """Where a task stands, and with whom."""
    if task.holding:
        return f"{task.holding.reviewer_id} until {task.holding.until:%H:%M}Z"
    names = {"open": "free", "second": "needs a second", "escalated": "passed on"}
    return names.get(task.question.state, task.question.outcome or task.question.state)


def print_item(task: Task, review: Review | None, now: datetime) -> None:
    """Everything that is known of one task. Evidence where the order to look was found."""
    item, question = task.item, task.question
    segment = f"  stream {item.stream_id} segment {item.seq}" if item.stream_id else ""
    _say(f"review {question.review_id}  {question.severity}, due {question.due_at:{MINUTE}} ({due(task, now)})")
    _say(f"item {item.content_id}  event {item.event_id}  publisher {item.publisher_id}{segment}")
    _say(f"{question.agent} asks under policy {question.policy.name} version {question.policy.version}: {state(task)}")
    for reason in review.reasons if review else question.reasons:
        _say(_reason(reason))
    for position in item.positions:
        if position.agent == question.agent:
            continue
        stop = f", {position.stop.kind} until {position.stop.until}" if position.stop else ""
        codes = ", ".join(reason.code for reason in position.reasons)
        _say(f"{position.agent} says {position.action}{stop}: {codes}")
    for vote in item.votes:
        bank = f", bank: {vote.bank}" if vote.bank else ""
        alone = "" if vote.alone else ", with a second reviewer"
        _say(f"{vote.ruled_at:{MINUTE}} {vote.reviewer_id} ruled {vote.outcome}{bank}{alone}: {vote.reason}")
    if item.bank:
        _say(f"hash bank: entry {item.bank.entry_id}, {item.bank.kind}, {item.bank.state}")


def print_json(tasks: Iterable[Task]) -> None:
    """One object a line: the question, its item, and who has it."""
    for task in tasks:
        row = msgspec.to_builtins(task.question) | {
            "urgency": round(task.urgency, 3),
            "overdue": task.overdue,
            "claim": msgspec.to_builtins(task.holding),
            "item": msgspec.to_builtins(task.item) | {"questions": None},
        }
        del row["item"]["questions"]
        out.print(json.dumps(row, ensure_ascii=True), soft_wrap=True, markup=False)


def print_precision(rows: Sequence[Precision], *, as_json: bool, as_csv: bool) -> None:
    """Precision by code and version, with counts."""
    fields = ("code", "policy", "version", "asked", "confirmed", "rejected", "waiting", "precision", "low", "high")
    lines = [(*row, row.share, *(row.interval or (None, None))) for row in rows]
    if as_json:
        for line in lines:
            out.print(json.dumps(dict(zip(fields, line, strict=True))), soft_wrap=True, markup=False)
    elif as_csv:
        writer = csv.writer(sys.stdout)
        writer.writerow(fields)
        writer.writerows([["" if cell is None else cell for cell in line] for line in lines])
    else:
        table = Table("reason", "policy", "asked", "confirmed", "kept", "waiting", "precision (95 %)")
        for column in range(2, 7):
            table.columns[column].justify = "right"
        for row in rows:
            share = (
                ""
                if row.share is None or row.interval is None
                else (f"{row.share:.2f} ({row.interval[0]:.2f} to {row.interval[1]:.2f})")
            )
            cells = (
                row.code,
                f"{row.policy} {row.version}",
                row.asked,
                row.confirmed,
                row.rejected,
                row.waiting,
                share,
            )
            table.add_row(*(_cell(str(cell)) for cell in cells))
        out.print(table)


def _reason(reason: Reason) -> str:
    lines = [f"  {reason.code} ({reason.article}) score {reason.score:.3f}, threshold {reason.threshold:.3f}"]
    for found in reason.evidence:
        end = f" to {found.until_s:.1f}" if found.until_s is not None else ""
        where = f"at {found.at_s:.1f}{end} s: " if found.at_s is not None else ""
        entry = f"{found.entry}: " if found.entry else ""
        lines.append(f"    {where}{entry}{found.text or ''}")
    return "\n".join(lines)


def _span(time: timedelta) -> str:
    minutes = int(time.total_seconds() // 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h" if minutes < 2880 else f"{minutes // 1440} days"


def _cell(text: str) -> str:
    return escape(UNSAFE.sub(" ", text))


def _say(text: str) -> None:
    """A stranger's words must not command the terminal."""
    out.print("\n".join(UNSAFE.sub(" ", line) for line in text.split("\n")), soft_wrap=True, markup=False)
