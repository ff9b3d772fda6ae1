"""`hashbank`: banning media by what it shows."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated
from uuid import uuid4

import typer

from streams.cli.console import Broker, fail, out, run, settings
from streams.cli.state import send

hashbank = typer.Typer(no_args_is_help=True, help="Ban media by what it shows.")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(hashbank, name="hashbank")


@hashbank.callback()
def _several() -> None:
    """Ban media by what it shows."""


@hashbank.command("add")
def hashbank_add(
    files: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False, readable=True)],
    broker: Broker = None,
    category: Annotated[str, typer.Option(help="why it is banned")] = "banned",
    source: Annotated[str, typer.Option(help="who says so")] = "command line",
) -> None:
    """Ban media: what shows the same frames, or is the same file, is blocked from the next item on."""
    from agents.review.enrol import entry_from_file
    from schemas.topics import HASHBANK
    from streams.extraction.read import ExtractFailure

    named = settings(broker=broker)
    rows = []
    for path in files:
        try:
            rows.append(
                entry_from_file(path, entry_id=str(uuid4()), category=category, source=source, now=datetime.now(UTC))
            )
        except ExtractFailure as failure:
            raise typer.Exit(fail(f"{path}: {failure.text} ({failure.code})")) from None
    run(send(named, [(HASHBANK, row) for row in rows]))
    for path, row in zip(files, rows, strict=True):
        out.print(f"{path.name}: entry {row.entry_id}, {len(row.frames)} frames")
