"""`sanctions`: what stands against a publisher, and how a person takes it back (Provisions, Art. 14)."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal
from uuid import uuid4

import typer
from rich.markup import escape
from rich.table import Table

from streams.cli.console import AsJson, Broker, err, fail, out, run, settings
from streams.cli.state import read_row, send

if TYPE_CHECKING:
    from schemas.policy import Policy
    from schemas.sanction import Sanction, Standing
    from streams.settings import Settings

#: Decisions that are shown, newest; `--json` has all.
SHOWN = 20
MINUTE = "%Y-%m-%d %H:%MZ"

sanctions = typer.Typer(no_args_is_help=True, help="Show what stands against publishers, and lift or reverse it.")

Publisher = Annotated[str, typer.Option("--publisher", "-p", help="the publisher it concerns", metavar="PUBLISHER_ID")]
Reviewer = Annotated[str, typer.Option("--reviewer", "-r", help="who rules; kept with the ruling")]
Reason = Annotated[str, typer.Option("--reason", help="why; kept with the ruling")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(sanctions, name="sanctions")


@sanctions.command("show")
def show(
    publisher_id: Annotated[str, typer.Argument(help="whose sanctions")],
    broker: Broker = None,
    as_json: AsJson = False,
) -> None:
    """Show a publisher's points as they are now, its sanctions, and the decisions that they rest on.

    A publisher without points has no row, which is no error: it is shown with none.
    """
    import msgspec

    from agents.sanctions.ledger import points_at

    named = settings(broker=broker)
    standing, now = _standing(named, publisher_id), datetime.now(UTC)
    points = points_at(standing, _policy(named), now)
    if as_json:
        row = {**msgspec.to_builtins(standing), "points": points}
        out.print(json.dumps(row, ensure_ascii=False), soft_wrap=True, markup=False)
        return
    out.print(f"publisher {publisher_id}: {points:g} points now", markup=False)
    _print_sanctions(standing, now)
    _print_entries(standing)


@sanctions.command("lift")
def lift(
    sanction_id: Annotated[str, typer.Argument(help="as `veristream sanctions show` prints it")],
    publisher: Publisher,
    reviewer: Reviewer,
    reason: Reason,
    broker: Broker = None,
) -> None:
    """End a sanction now. Its points stay: the next takedown may begin another.

    To take back a wrong decision with its points, use `veristream sanctions reverse`.
    """
    named = settings(broker=broker)
    known = next((s for s in _standing(named, publisher).sanctions if s.sanction_id == sanction_id), None)
    if known is None:
        raise typer.Exit(fail(f"publisher {publisher!r} has no sanction {sanction_id!r}"))
    if known.lifted_by:
        raise typer.Exit(fail(f"sanction {sanction_id} was already lifted, by ruling {known.lifted_by}"))
    ruling = _rule(named, "lifted", publisher, reviewer, reason, sanction_id=sanction_id)
    out.print(f"ruling {ruling} is sent: the {known.level} of publisher {publisher} ends", markup=False, soft_wrap=True)


@sanctions.command("reverse")
def reverse(
    decision_id: Annotated[str, typer.Argument(help="of the takedown that was wrong")],
    publisher: Publisher,
    reviewer: Reviewer,
    reason: Reason,
    broker: Broker = None,
) -> None:
    """Rule that a decision was wrong: its points are given back, and sanctions that no longer follow are lifted."""
    named = settings(broker=broker)
    standing = _standing(named, publisher)
    if decision_id in standing.reversed:
        raise typer.Exit(fail(f"decision {decision_id} was already reversed"))
    ruling = _rule(named, "reversed", publisher, reviewer, reason, decision_id=decision_id)
    out.print(f"ruling {ruling} is sent: decision {decision_id} is reversed", markup=False, soft_wrap=True)
    if decision_id not in {entry.decision_id for entry in standing.entries}:
        err.print(f"note: no points of publisher {publisher} rest on that decision", markup=False)


def _standing(named: Settings, publisher_id: str) -> Standing:
    from schemas.message import decode
    from schemas.sanction import Standing
    from schemas.topics import STANDINGS

    row = run(read_row(named, STANDINGS, publisher_id))
    return decode(Standing, row) if row else Standing(publisher_id=publisher_id)


def _policy(named: Settings) -> Policy:
    from schemas.message import decode
    from schemas.policy import Policy, default_policy
    from schemas.topics import POLICIES

    row = run(read_row(named, POLICIES, named.policy))
    return decode(Policy, row) if row else default_policy(named.policy)


def _rule(
    named: Settings,
    outcome: Literal["reversed", "lifted"],
    publisher: str,
    reviewer: str,
    reason: str,
    *,
    decision_id: str | None = None,
    sanction_id: str | None = None,
) -> str:
    from schemas.sanction import Ruling
    from schemas.topics import RULINGS

    ruling = Ruling(
        ruling_id=str(uuid4()),
        publisher_id=publisher,
        outcome=outcome,
        reviewer_id=reviewer,
        reason=reason,
        ruled_at=datetime.now(UTC),
        decision_id=decision_id,
        sanction_id=sanction_id,
    )
    run(send(named, [(RULINGS, ruling)]))
    return ruling.ruling_id


def _print_sanctions(standing: Standing, now: datetime) -> None:
    if not standing.sanctions:
        out.print("no sanctions")
        return
    table = Table("sanction", "level", "begins", "state", "points")
    table.columns[4].justify = "right"
    for one in reversed(standing.sanctions):
        level = f"{one.level} ({', '.join(one.limits)})" if one.limits else one.level
        cells = (one.sanction_id, level, f"{one.begins_at:{MINUTE}}", _state(one, now), f"{one.points:g}")
        table.add_row(*map(escape, cells))
    out.print(table)


def _print_entries(standing: Standing) -> None:
    if not standing.entries:
        return
    table = Table("decision", "at", "reason", "points then", "reversed")
    table.columns[3].justify = "right"
    for entry in standing.entries[: -SHOWN - 1 : -1]:
        back = "reversed" if entry.decision_id in standing.reversed else ""
        table.add_row(escape(entry.decision_id), f"{entry.at:{MINUTE}}", escape(entry.code), f"{entry.points:g}", back)
    out.print(table)
    if len(standing.entries) > SHOWN:
        out.print(f"and {len(standing.entries) - SHOWN} older decisions (--json has all)")


def _state(sanction: Sanction, now: datetime) -> str:
    from agents.sanctions.ladder import in_force

    if sanction.lifted_at:
        return f"lifted {sanction.lifted_at:{MINUTE}}"
    if sanction.until is None:
        return "in force until lifted"
    return f"{'in force until' if in_force(sanction, now) else 'ended'} {sanction.until:{MINUTE}}"
