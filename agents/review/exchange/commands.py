"""`hashbank import`, `export`, `match`: lists in and out, and what a file meets."""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from agents.review.exchange.files import source_of, target
from agents.review.exchange.match_command import hashbank_match
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
from streams.cli.console import AsJson, Broker, err, fail, out, run, settings

if TYPE_CHECKING:
    from agents.review.exchange.importing import Summary
    from agents.review.exchange.lines import Bad
    from agents.review.exchange.row import Given


def register(hashbank: typer.Typer) -> None:
    """Add the commands."""
    hashbank.command("import")(hashbank_import)
    hashbank.command("export")(hashbank_export)
    hashbank.command("match")(hashbank_match)


def hashbank_import(
    file: Annotated[Path, typer.Argument(help="the list; `-`: standard input; .gz is unpacked")],
    broker: Broker = None,
    form: Annotated[
        str | None, typer.Option("--format", help="see below [default: by what the file looks like]")
    ] = None,
    source: Annotated[str | None, typer.Option(help="who says so, in place of what the list says")] = None,
    bank: OneBank = None,
    kind: OneKind = None,
    severity: OneSeverity = None,
    category: Annotated[str | None, typer.Option(help="why it is banned")] = None,
    tag: Tags = None,
    licence: Licence = None,
    expires: Expires = None,
    signal_type: Annotated[
        str | None, typer.Option(help="of a list of hashes alone: pdq, vpdq, video_md5, video_sha256")
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="where refused lines go, one JSON object each [default: FILE.refused.jsonl]")
    ] = None,
    overrule: Annotated[
        bool, typer.Option("--overrule", help="as the list says, also where people here said otherwise")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="read and check only, send nothing")] = False,
    as_json: AsJson = False,
) -> None:
    """Take a hash list into the bank. The good records are loaded whatever lies beside them.

    Formats: veristream (our own, one HashEntry a line), signals, csv, te and threat_updates (python-threatexchange and
    its API), hma (Hasher-Matcher-Actioner), stopncii, ncmec (XML), vpdq (text, one video).

    A list may have millions of lines: it is read as a stream. Each record that is refused is named by line, field and
    reason in the report file. A record gets the same id each time, so a list that is imported again changes its entries
    and adds none twice; an entry that was deconfirmed here stays off (`--overrule`: as the list says).

    Exit code: 0, all records are loaded; 6, some were refused; 1, none is loaded.
    """
    from agents.review.exchange.formats import FORMATS
    from agents.review.exchange.row import Given

    given = Given(
        now=datetime.now(UTC), source=source, bank=bank, category=category, severity=severity, kind=kind,
        tags=tuple(tag or ()), licence=licence, expires_at=expiry(expires), signal_type=signal_type,
    )  # fmt: skip
    if form is not None and form not in FORMATS:
        raise typer.Exit(fail(f"--format {form}: there are {', '.join(FORMATS)}"))
    if str(file) != "-" and not file.is_file():
        raise typer.Exit(fail(f"{file}: there is no such file"))
    where = report or Path("hashbank" if str(file) == "-" else file.name).with_suffix(".refused.jsonl")
    named = None if dry_run else settings(broker=broker)
    summary = run(_import(named, file, form, given, where, overrule=overrule))
    _say(summary, file, where, dry_run=dry_run, as_json=as_json)
    raise typer.Exit(summary.exit_code)


async def _import(named: Any, file: Path, form: str | None, given: Given, where: Path, *, overrule: bool) -> Summary:
    from agents.review.exchange import formats, table
    from agents.review.exchange.importing import NoBank, load
    from streams.client import Client

    refused: IO[str] | None = None

    def note(bad: Bad) -> None:
        nonlocal refused
        refused = refused or _report(where)
        refused.write(json.dumps(bad._asdict(), ensure_ascii=False) + "\n")

    try:
        with source_of(file) as (listed, position, size), _bar(size) as bar:
            kind = form or formats.recognised(file.name, listed.peek(formats.PEEK))
            if kind is None:
                raise typer.Exit(fail(f"{file}: of which format is it? Say --format: {', '.join(formats.FORMATS)}"))
            if kind == "te" and given.signal_type is None:
                given = replace(given, signal_type=formats.signal_type_of(file.name))
            outcomes = formats.read(listed, kind, given)

            def tick(summary: Summary) -> None:
                bar(position(), f"{summary.loaded:,} loaded, {summary.refused:,} refused")

            if named is None:
                return await load(outcomes, Nowhere(), NoBank(), note, tick)
            bar(0, "looking what the bank holds")
            bank = await table.known(named)
            if overrule:
                bank.ruled.clear()
            async with Client(named) as client:
                return await load(outcomes, table.Sending(client), bank, note, tick)
    finally:
        if refused:
            refused.close()


def _report(where: Path) -> IO[str]:
    """Where refusals are written; that it cannot be written stops nothing."""
    try:
        return where.open("w", encoding="utf-8")
    except OSError as error:
        fail(f"{where}: refused records are not written down: {error.strerror} (--report names another place)")
        return Path(os.devnull).open("w", encoding="utf-8")


class Nowhere:
    """Where a dry run sends its rows."""

    async def post(self, key: bytes, value: bytes | None) -> asyncio.Future[Any]:
        """Take it, and do nothing."""
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done


@contextmanager
def _bar(size: int | None) -> Iterator[Callable[[int, str], None]]:
    """A bar on a terminal's standard error, nothing elsewhere."""
    columns = (BarColumn(), DownloadColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task("", total=size)
        yield lambda read, text: progress.update(task, completed=read, description=text)


def _say(summary: Summary, file: Path, where: Path, *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        counts = {
            "loaded": summary.loaded, "unchanged": summary.unchanged, "deleted": summary.deleted,
            "refused": summary.refused, "kept": summary.kept, "passed": dict(summary.passed),
            "holds": dict(summary.by_kind),
            "report": str(where) if summary.refused else None,
        }  # fmt: skip
        out.print(json.dumps(counts, ensure_ascii=False), soft_wrap=True, markup=False)
    else:
        held = ", ".join(f"{number:,} with {name}" for name, number in sorted(summary.by_kind.items()))
        word = "would be loaded" if dry_run else "loaded"
        out.print(f"{file}: {summary.loaded:,} entries {word}{f' ({held})' if held else ''}", markup=False)
        if summary.unchanged:
            out.print(f"{summary.unchanged:,} of them were there already, as they are")
        if summary.deleted:
            out.print(f"{summary.deleted:,} deleted, as the list asks")
        if summary.kept:
            out.print(f"{summary.kept:,} of them stay as reviewers here have left them (--overrule: as the list says)")
        for what, number in summary.passed.most_common():
            out.print(
                f"{number:,} passed over: {what}" + ("" if what == "expired" else " is not matched here"), markup=False
            )
    if summary.refused:
        for bad in summary.shown:
            err.print(f"{file}: {bad}", markup=False, soft_wrap=True)
        more = summary.refused - len(summary.shown)
        err.print(
            f"{summary.refused:,} records refused{f', {more:,} more' if more else ''}; all are in {where}", markup=False
        )


def hashbank_export(
    file: Annotated[Path, typer.Argument(help="where to; `-`: standard output; .gz is packed")],
    broker: Broker = None,
    form: Annotated[str, typer.Option("--format", help="veristream, signals, csv, hma")] = "veristream",
    bank: Banks = None,
    source: Sources = None,
    tag: Tags = None,
    kind: Kinds = None,
    severity: Severities = None,
    licence: Licences = None,
    active: Annotated[bool, typer.Option("--active", help="leave out what is switched off")] = False,
) -> None:
    """Write entries as a list that others can read.

    Formats: veristream (our own JSON lines, without loss), signals (`TYPE SIGNAL` lines, which python-threatexchange
    reads as a local file), csv (as its `dataset -P --csv` writes), hma (banked content of Hasher-Matcher-Actioner).

    Look at the terms first: `--licence TLP:GREEN` takes only what may be passed on. What has expired is left out. On
    standard error stands how many entries there are under which terms, and what the format could not hold.
    """
    from dataclasses import replace as changed

    from agents.review.exchange.writing import WRITERS

    if form not in WRITERS:
        raise typer.Exit(fail(f"--format {form}: there are {', '.join(WRITERS)}"))
    chosen = changed(wanted(bank, source, tag, kind, severity, licence), active=True if active else None)
    run(_export(settings(broker=broker), file, form, changed(chosen, now=datetime.now(UTC))))


async def _export(named: Any, file: Path, form: str, chosen: Any) -> None:
    from agents.review.exchange import table
    from agents.review.exchange.writing import WRITERS

    writer, lost, terms, lines = WRITERS[form], Counter[str](), Counter[str](), 0
    with target(file) as to:
        to.write(writer.head)
        async for entry in table.in_force(named):
            if not chosen.takes(entry):
                continue
            for line in writer.lines(entry, lost):
                to.write(line)
                lines += 1
            terms[entry.licence or "no terms named"] += 1
    err.print(f"{sum(terms.values()):,} entries, {lines:,} lines to {file}", markup=False)
    for licence, number in terms.most_common():
        err.print(f"    {number:,}: {licence}", markup=False)
    for what, number in lost.most_common():
        err.print(f"left out, {form} cannot hold them: {number:,} {what}", markup=False)
