"""`hashbank`: banning media by what it shows, and everything that is done with single entries."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import uuid4

import typer
from rich.markup import escape
from rich.table import Table

from agents.review.exchange.commands import register as register_exchange
from agents.review.exchange.options import (
    Banks,
    Expires,
    Kinds,
    Licence,
    Licences,
    OneBank,
    OneKind,
    OneSeverity,
    Severities,
    Sources,
    Tags,
    expiry,
    wanted,
)
from streams.cli.console import UNSAFE, AsJson, Broker, err, fail, out, run, settings

if TYPE_CHECKING:
    from schemas.bank import HashEntry

hashbank = typer.Typer(
    no_args_is_help=True,
    help="""The hash bank: media that is banned, and media that only looks like it.

    `add` enrols files, `import` takes lists of other platforms and exchanges in, `export` writes them; `match` says
    what a file meets. `deconfirm` switches an entry off that reviewers found to be a false match, `confirm` on again.
    What is added with `--kind known_good` is the negative bank: what matches it at least as well as a banned entry
    passes.

    All of it works from the next item on, without a restart.""",
)
register_exchange(hashbank)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(hashbank, name="hashbank")


@hashbank.command("add")
def hashbank_add(
    files: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False, readable=True)],
    broker: Broker = None,
    category: Annotated[str, typer.Option(help="why it is banned, or what it is")] = "banned",
    source: Annotated[str, typer.Option(help="who says so")] = "command line",
    bank: OneBank = None,
    kind: OneKind = None,
    severity: OneSeverity = None,
    tag: Tags = None,
    licence: Licence = None,
    expires: Expires = None,
) -> None:
    """Ban media: what shows the same frames, or is the same file, is blocked from the next item on.

    With `--kind known_good` it is put on the negative bank instead: what matches it at least as well as it matches a
    banned entry is let pass. One file that cannot be read does not keep the others out; the exit code is then 1.
    """
    import msgspec

    from agents.review.enrol import entry_from_file
    from schemas.topics import HASHBANK
    from streams.cli.state import send
    from streams.extraction.read import ExtractFailure

    named = settings(broker=broker)
    fields = {"bank": bank, "kind": kind, "severity": severity, "licence": licence, "expires_at": expiry(expires)}
    chosen: dict[str, Any] = {name: value for name, value in fields.items() if value is not None}
    rows: list[tuple[Path, HashEntry]] = []
    failed = 0
    for path in files:
        try:
            row = entry_from_file(path, entry_id=str(uuid4()), category=category, source=source, now=datetime.now(UTC))
        except ExtractFailure as failure:
            failed += 1
            fail(f"{path}: {failure.text} ({failure.code})")
            continue
        rows.append((path, msgspec.structs.replace(row, tags=tuple(tag or ()), **chosen)))
    run(send(named, [(HASHBANK, row) for _, row in rows]))
    for path, row in rows:
        out.print(f"{path.name}: entry {row.entry_id}, {len(row.frames)} frames", markup=False)
    raise typer.Exit(1 if failed else 0)


@hashbank.command("remove")
def hashbank_remove(
    entries: Annotated[list[str] | None, typer.Argument(help="ids, as `list` shows them")] = None,
    broker: Broker = None,
    bank: Banks = None,
    source: Sources = None,
    tag: Tags = None,
    kind: Kinds = None,
    severity: Severities = None,
    licence: Licences = None,
) -> None:
    """Delete entries for good, those named or all that the options take, e.g. a whole list by its source.

    A false match is better switched off with `deconfirm`: a list that is imported again brings a deleted entry back,
    but leaves one that is switched off as it is. Exit code 1 if there is no such entry.
    """
    from agents.review.exchange import table

    chosen = wanted(bank, source, tag, kind, severity, licence)
    if bool(entries) == chosen.asks:
        raise typer.Exit(fail("name entries, or say which by --bank, --source, --tag … ; not both"))
    named = settings(broker=broker)
    gone = run(
        table.remove(
            named, chosen if chosen.asks else frozenset(entries or ()), lambda number: err.print(f"{number} …")
        )
    )
    for missing in sorted(set(entries or ()) - set(gone)):
        fail(f"there is no entry {missing!r}")
    out.print(f"{len(gone)} {'entry' if len(gone) == 1 else 'entries'} removed")
    raise typer.Exit(0 if gone and set(entries or ()) <= set(gone) else 1)


@hashbank.command("list")
def hashbank_list(
    broker: Broker = None,
    bank: Banks = None,
    source: Sources = None,
    tag: Tags = None,
    kind: Kinds = None,
    severity: Severities = None,
    licence: Licences = None,
    off: Annotated[bool, typer.Option("--off", help="only entries that are switched off")] = False,
    limit: Annotated[int, typer.Option("--max", min=0, help="stop after so many; 0: all")] = 0,
    as_json: AsJson = False,
) -> None:
    """List the entries, without their hashes, and count them by bank."""
    from agents.review.exchange import table

    chosen = wanted(bank, source, tag, kind, severity, licence, active=False if off else None)

    async def look() -> tuple[list[dict[str, Any]], dict[tuple[str, str], int]]:
        rows: list[dict[str, Any]] = []
        counts: dict[tuple[str, str], int] = {}
        async for entry in table.in_force(settings(broker=broker)):
            if chosen.takes(entry):
                counts[entry.bank, entry.kind] = counts.get((entry.bank, entry.kind), 0) + 1
                if not limit or len(rows) < limit:
                    rows.append(brief(entry))
        return rows, counts

    rows, counts = run(look())
    if as_json:
        for row in rows:
            out.print(json.dumps(row, ensure_ascii=False), soft_wrap=True, markup=False)
        return
    shown = Table("entry", "bank", "kind", "severity", "category", "source", "holds", "")
    for row in rows:
        state = "" if row["active"] else "off"
        cells = (
            *(row[name] for name in ("entry_id", "bank", "kind", "severity", "category", "source", "holds")),
            state,
        )
        shown.add_row(*(escape(UNSAFE.sub("�", str(cell))) for cell in cells))
    out.print(shown)
    for (name, what), number in sorted(counts.items()):
        out.print(f"bank {name}: {number} {what.replace('_', ' ')}", markup=False)


def brief(entry: HashEntry) -> dict[str, Any]:
    """What is said of an entry where its hashes are not shown."""
    sounds = getattr(entry, "sounds", ())
    held = [f"{len(entry.frames)} frames"] if entry.frames else []
    held += [f"{len(sounds)} sounds"] if sounds else []
    held += ["MD5"] if entry.md5 else []
    held += ["SHA-256"] if entry.sha256 else []
    return {
        "entry_id": entry.entry_id, "bank": entry.bank, "kind": entry.kind, "severity": entry.severity,
        "category": entry.category, "source": entry.source, "holds": ", ".join(held), "active": entry.active,
        "tags": list(entry.tags), "licence": entry.licence, "note": entry.note,
        "expires_at": entry.expires_at.isoformat() if entry.expires_at else None,
    }  # fmt: skip


@hashbank.command("show")
def hashbank_show(
    entry: Annotated[str, typer.Argument(help="its id")], broker: Broker = None, as_json: AsJson = False
) -> None:
    """Show an entry, with its hashes. Exit code 1 if there is none of that id."""
    from schemas.topics import HASHBANK
    from streams.cli.state import print_row, read_row

    print_row(run(read_row(settings(broker=broker), HASHBANK, entry)), f"entry {entry!r}", as_json=as_json)


Reviewer = Annotated[str, typer.Option(help="who says so")]
Why = Annotated[str, typer.Option("--reason", help="why; kept in the entry's note")]


@hashbank.command("deconfirm")
def hashbank_deconfirm(
    entries: Annotated[list[str], typer.Argument(help="ids, as decisions name them in their evidence")],
    reviewer: Reviewer,
    reason: Why,
    broker: Broker = None,
    known_good: Annotated[
        bool, typer.Option("--known-good", help="put it on the negative bank: what it shows is not banned at all")
    ] = False,
) -> None:
    """Switch entries off that reviewers found to be false matches: they match nothing from the next item on.

    An entry stays in the bank with a note, and off when its list is imported again. With `--known-good` it becomes an
    entry of the negative bank, so that other entries that match the same pictures do not ban it either.
    """
    _switch(broker, entries, reviewer, reason, on=False, known_good=known_good)


@hashbank.command("confirm")
def hashbank_confirm(
    entries: Annotated[list[str], typer.Argument(help="ids")], reviewer: Reviewer, reason: Why, broker: Broker = None
) -> None:
    """Switch entries on (again): what they show is banned from the next item on."""
    _switch(broker, entries, reviewer, reason, on=True)


def _switch(
    broker: str | None, names: list[str], reviewer: str, reason: str, *, on: bool, known_good: bool = False
) -> None:
    from agents.review.exchange import table
    from schemas.topics import HASHBANK
    from streams.cli.state import send

    named = settings(broker=broker)
    found = run(table.entries(named, names))
    if missing := [name for name in names if name not in found]:
        raise typer.Exit(
            fail(f"there is no entry {missing[0]!r}; `veristream hashbank list` has them. Nothing is changed")
        )
    now = datetime.now(UTC)
    rows = [
        table.switched(found[name], on=on, reviewer=reviewer, reason=reason, now=now, known_good=known_good)
        for name in names
    ]
    run(send(named, [(HASHBANK, row) for row in rows]))
    for row in rows:
        state = "known good" if row.kind == "known_good" else "on" if row.active else "off"
        out.print(f"entry {row.entry_id} is {state}: {row.note}", markup=False)
