"""`hashbank match`: what a file meets."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from agents.review.exchange.files import source_of
from agents.review.exchange.options import Banks, Sources, wanted
from streams.cli.console import EXIT_BLOCKED, EXIT_HELD, UNSAFE, AsJson, Broker, err, fail, out, run, settings

if TYPE_CHECKING:
    from agents.review.exchange.matching import Met
    from schemas.policy import ReviewPolicy


def hashbank_match(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="a media file")],
    broker: Broker = None,
    listed: Annotated[
        Path | None,
        typer.Option("--list", exists=True, dir_okay=False, help="against this list, without a broker"),
    ] = None,
    form: Annotated[str | None, typer.Option("--format", help="of --list [default: by what it looks like]")] = None,
    policy: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="a policy file [default: the policy that ships]")
    ] = None,
    bank: Banks = None,
    source: Sources = None,
    every: Annotated[float, typer.Option(min=0, help="a frame each so many seconds; 0: every frame")] = 0.5,
    as_json: AsJson = False,
) -> None:
    """Say which entries a file meets, where, by picture, by sound or as the same file.

    What the negative bank sets aside is shown with the reason, and does not count.

    Exit code: 0, it meets nothing that counts; 3, what it meets asks for a person or a label; 4, it would be removed;
    1, the file cannot be read.
    """
    from agents.review.exchange.matching import met
    from streams.extraction.read import ExtractFailure

    rules = _rules(policy)
    now = datetime.now(UTC)
    chosen = wanted(bank, source, None, None, None, None, active=True)
    if listed:
        entries = [entry for entry in _listed(listed, form, now) if chosen.takes(entry)]
    else:
        entries = run(_in_force(settings(broker=broker), chosen))
    try:
        found = met(file, entries, rules, now, every_s=every)
    except ExtractFailure as failure:
        raise typer.Exit(fail(f"{file}: {failure.text} ({failure.code})")) from None
    actions = {one.action for one in found if not one.aside}
    if as_json:
        for one in found:
            out.print(json.dumps(_as_json(one), ensure_ascii=False), soft_wrap=True, markup=False)
    else:
        out.print(_table(found) if found else f"{file.name} meets none of {len(entries):,} entries")
    raise typer.Exit(EXIT_BLOCKED if "takedown" in actions else EXIT_HELD if actions & {"review", "label"} else 0)


def _rules(path: Path | None) -> ReviewPolicy:
    from schemas.message import Refused, convert
    from schemas.policy import Policy, default_policy

    if path is None:
        return default_policy().review
    try:
        return convert(Policy, tomllib.loads(path.read_text("utf-8"))).review
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, Refused) as error:
        raise typer.Exit(fail(f"{path}: {error}")) from None


async def _in_force(named: Any, chosen: Any) -> list[Any]:
    from agents.review.exchange import table

    return [entry async for entry in table.in_force(named) if chosen.takes(entry)]


def _listed(path: Path, form: str | None, now: datetime) -> Iterator[Any]:
    """The entries of a list, what is wrong in it named."""
    from agents.review.exchange import formats
    from agents.review.exchange.lines import Bad
    from agents.review.exchange.row import Given, Row

    with source_of(path) as (file, _, _):
        kind = form or formats.recognised(path.name, file.peek(formats.PEEK))
        if kind is None or kind not in formats.FORMATS:
            raise typer.Exit(fail(f"{path}: of which format is it? Say --format: {', '.join(formats.FORMATS)}"))
        for outcome in formats.read(file, kind, Given(now=now, signal_type=formats.signal_type_of(path.name))):
            if isinstance(outcome, Row):
                yield outcome.entry
            elif isinstance(outcome, Bad):
                err.print(f"{path}: {outcome}", markup=False, soft_wrap=True)


def _as_json(one: Met) -> dict[str, Any]:
    entry = one.entry
    named = {name: getattr(entry, name) for name in ("entry_id", "bank", "kind", "severity", "category", "source")}
    return named | {name: value for name, value in one._asdict().items() if name != "entry"}


def _table(found: list[Met]) -> Table:
    shown = Table("entry", "bank", "severity", "category", "by", "from", "to", "in the entry", "how close", "so")
    for one in found:
        entry = one.entry
        place = "" if one.bank_begin_s is None else f"{one.bank_begin_s:.1f}-{one.bank_end_s:.1f} s"
        cells = (
            entry.entry_id, entry.bank, entry.severity, entry.category, one.by,
            "" if one.by == "file" else f"{one.begin_s:.1f} s", "" if one.by == "file" else f"{one.end_s:.1f} s", place,
            one.close, f"does not count: {one.aside}" if one.aside else one.action,
        )  # fmt: skip
        shown.add_row(*(escape(UNSAFE.sub("\ufffd", cell)) for cell in cells))
    return shown
