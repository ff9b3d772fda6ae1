"""`backtest`: what another policy would have decided."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from streams.cli.archive import Folder, archive_folder
from streams.cli.console import AsJson, err, fail, out, run, settings
from streams.cli.state import policy_of

_SINCE = re.compile(r"(\d+)([dh])")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(backtest)


def backtest(
    policy: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="the candidate [default: that of each decision, a check]"),
    ] = None,
    since: Annotated[str, typer.Option(help="how far back: 7d, 12h, or a day (2026-01-31)")] = "7d",
    html: Annotated[Path | None, typer.Option(dir_okay=False, help="write a report that needs nothing else")] = None,
    folder: Folder = None,
    as_json: AsJson = False,
) -> None:
    """Decide archived items again under a candidate policy, and say what would change; nothing is sent anywhere.

    The agents themselves decide, over the archived signals, with the lists, hash bank and rumours of the moment.
    Without --policy everything is decided again under the policy that was in force: a change then means that this
    version, or a state the archive does not have, decides otherwise; exit 1.
    """
    from streams.archive.backtest import backtest as again
    from streams.archive.backtest import count
    from streams.archive.query import QueryError
    from streams.archive.report import page

    begin = _begin(since)
    named = settings(archive_dir=folder)
    where = archive_folder(named)
    candidate, read = policy_of(policy) if policy else (None, None)
    try:
        with Progress(
            TextColumn("deciding again"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=err,
            transient=True,
        ) as progress:
            task = progress.add_task("", total=count(where, begin))
            found = run(
                again(
                    where,
                    named,
                    candidate=candidate,
                    lists=read.parts if read else (),
                    since=begin,
                    done=lambda: progress.advance(task),
                )
            ).shown()
    except QueryError as error:
        raise typer.Exit(fail(str(error))) from None
    if html:
        html.write_text(page(found), "utf-8")
    if as_json:
        out.print(json.dumps(found, ensure_ascii=False), soft_wrap=True, markup=False)
    else:
        out.print(f"{found['changed']:,} of {found['decisions']:,} decisions would change; {found['failed']:,} failed")
        for name in ("moves", "reasons_more", "reasons_fewer", "by_service"):
            for what, number in found[name].items():
                out.print(f"{name.replace('_', ' ')}: {what} {number:,}", markup=False, soft_wrap=True)
        if html:
            err.print(f"report: {html}", markup=False, soft_wrap=True)
    if candidate is None and (found["changed"] or found["failed"]):
        raise typer.Exit(1)


def _begin(since: str) -> datetime:
    if match := _SINCE.fullmatch(since):
        number = int(match[1])
        try:
            return datetime.now(UTC) - (timedelta(days=number) if match[2] == "d" else timedelta(hours=number))
        except OverflowError:
            pass
    else:
        try:
            given = datetime.fromisoformat(since)
            return given if given.tzinfo else given.replace(tzinfo=UTC)
        except ValueError:
            pass
    raise typer.Exit(fail(f"--since {since}: write 7d, 12h or a day, such as 2026-01-31"))
