"""`rumor filing`: the record of what was refuted (Provisions, Art. 13)."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from streams.cli.console import Broker, fail, run, settings, shared_group

if TYPE_CHECKING:
    from agents.refuting.filing import Filing
    from streams.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the command to the others on rumours; before or after they are there."""
    shared_group(app, "rumor", "Rumours, and what was done about them.").command("filing")(filing)


def filing(
    rumor_id: Annotated[
        str | None, typer.Option("--rumor", help="that one, whatever its status; else every refuted one")
    ] = None,
    begin: Annotated[
        datetime | None,
        typer.Option("--from", help="what was decided and ordered from then on, UTC", show_default=False),
    ] = None,
    end: Annotated[datetime | None, typer.Option("--to", help="and before then, UTC", show_default=False)] = None,
    form: Annotated[
        Literal["csv", "json", "html"], typer.Option("--format", help="csv, json (one object a line), html")
    ] = "csv",
    broker: Broker = None,
) -> None:
    """Write the record of refuted claims to standard output: each with its refutation and date, how many items, streams
    and accounts spread it and when, and what was done.

    The topics keep orders for 184 days: what is older has to be in an earlier record.

        veristream rumor filing --from 2026-11-01 --to 2026-12-01 > november.csv
    """
    from agents.refuting.filing import Filing, as_csv, as_html, as_rows

    first, last = (at.replace(tzinfo=UTC) if at else None for at in (begin, end))
    if first and last and first >= last:
        raise typer.Exit(fail(f"--to: {last:%Y-%m-%d} does not lie after --from: {first:%Y-%m-%d}"))
    made = Filing(first, last)
    run(_read(settings(broker=broker), made))
    records = made.records(rumor_id)
    if rumor_id and not records:
        raise typer.Exit(
            fail(f"--rumor: there is no rumour {rumor_id!r}; `veristream tail rumors` shows those there are")
        )
    if form == "json":
        for row in as_rows(records):
            sys.stdout.write(json.dumps(row, ensure_ascii=False) + "\n")
    elif form == "html":
        days = " to ".join(f"{at:%Y-%m-%d}" for at in (first, last) if at)
        sys.stdout.write(as_html(records, f"Refuted rumours {days}".strip()))
    else:
        sys.stdout.write(as_csv(records))


async def _read(named: Settings, made: Filing) -> None:
    from schemas.message import Refused, decode
    from schemas.topics import DECISIONS, REFUTATIONS, RUMORS, TOPICS
    from streams.client import Feed

    async with Feed(named, [RUMORS, DECISIONS, REFUTATIONS], from_beginning=True) as feed:
        ended = False
        while not ended:
            ended = await feed.at_end()
            for record in await feed.read(0.3):
                try:
                    made.add(decode(TOPICS[record.topic].message, record.value or b""))
                except Refused:  # a deleted entry, or a row that was refused
                    continue
