"""`archive`, `query`, `evidence`: keeping what was decided, asking it, and proving it."""

from __future__ import annotations

import csv
import getpass
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from streams.cli.console import UNSAFE, AsJson, Broker, err, fail, out, run, settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streams.archive.query import Answer

archive = typer.Typer(no_args_is_help=True, help="Keep decisions, signals and orders in Parquet files.")
evidence = typer.Typer(no_args_is_help=True, help="Prove that the archive is what was archived.")

Folder = Annotated[
    Path | None, typer.Option("--archive", help="the archive's folder [default: VERISTREAM_ARCHIVE_DIR]")
]
Reason = Annotated[str, typer.Option(help="why; it stands in the chain for ever")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(archive, name="archive")
    app.add_typer(evidence, name="evidence")
    app.command()(query)


def archive_folder(named: Any) -> Path:
    """The archive's folder, or an end that says how to name it."""
    if named.archive_dir is None:
        raise typer.Exit(fail("archive_dir: name the archive's folder: --archive DIR, or VERISTREAM_ARCHIVE_DIR"))
    return Path(named.archive_dir)


def _worked(work: Any) -> Any:
    """The result of a piece of work on the archive; what a user can mend is one sentence."""
    from streams.archive.chain import ArchiveError
    from streams.archive.query import QueryError

    try:
        return work()
    except (ArchiveError, QueryError, OSError) as error:
        raise typer.Exit(fail(str(error))) from None


def _opened(named: Any) -> Any:
    """The archive, for writing. ArchiveError: the archiver is running, or it is damaged."""
    from streams.archive.chain import load_key
    from streams.archive.store import Archive

    return Archive(archive_folder(named), load_key(named.archive_key))


@archive.command("serve")
def archive_serve(
    broker: Broker = None,
    folder: Folder = None,
    http_port: Annotated[int | None, typer.Option(help="probes and metrics; 0: any free port [default: 9466]")] = None,
) -> None:
    """Run the archiver: one process beside the workers, which writes every decision, order, ruling and signal.

    Stopped or killed at any moment it goes on where it was: no row is lost, none is there twice. Rows wait for
    VERISTREAM_ARCHIVE_FLUSH_S (30) at most.
    """
    from streams.archive.chain import ArchiveError
    from streams.archive.serve import until_ended

    named = settings(broker=broker, archive_dir=folder, archive_http_port=http_port)
    where = archive_folder(named)

    def ready(port: int) -> None:
        err.print(
            f"archiving into {where}; probes on http://{named.http_host}:{port}/readyz", soft_wrap=True, markup=False
        )

    try:
        run(until_ended(named, ready))
    except ArchiveError as error:
        raise typer.Exit(fail(str(error))) from None


@archive.command("compact")
def archive_compact(folder: Folder = None) -> None:
    """Merge small files now. The archiver does it by itself, a group a minute; this needs it to be stopped."""
    from streams.archive.compact import compact

    named = settings(archive_dir=folder)

    def work() -> int:
        with _opened(named) as opened:
            return compact(opened)

    err.print(f"{_worked(work)} files merged")


@archive.command("hold")
def archive_hold(
    name: Annotated[str, typer.Argument(help="name of the hold, e.g. a case number")],
    where: Annotated[str, typer.Option(help="what is held, as after WHERE: \"publisher_id = 'p-1'\"")],
    reason: Reason,
    folder: Folder = None,
) -> None:
    """Keep every file with a row that fits, whatever its age, until `archive release`. Needs the archiver stopped."""
    from streams.archive.retention import hold

    named = settings(archive_dir=folder)

    def work() -> None:
        with _opened(named) as opened:
            hold(opened, name, where, reason)

    _worked(work)
    err.print(f"held: {escape(where)}")


@archive.command("release")
def archive_release(name: Annotated[str, typer.Argument()], reason: Reason, folder: Folder = None) -> None:
    """End a hold. Needs the archiver stopped."""
    from streams.archive.retention import release

    named = settings(archive_dir=folder)

    def work() -> None:
        with _opened(named) as opened:
            release(opened, name, reason)

    _worked(work)


@archive.command("expire")
def archive_expire(
    days: Annotated[int, typer.Option(help="delete files all of whose rows are older; 184 at least")],
    folder: Folder = None,
) -> None:
    """Delete what is older, except what is held, and put into the chain that it was. Needs the archiver stopped.

    With VERISTREAM_ARCHIVE_DAYS the archiver does it by itself. Policies stay for ever.
    """
    from streams.archive.retention import expire

    named = settings(archive_dir=folder)

    def work() -> tuple[int, int]:
        with _opened(named) as opened:
            return expire(opened, days)

    gone, kept = _worked(work)
    err.print(f"{gone} files deleted, {kept} kept by holds")


def query(
    question: Annotated[
        str, typer.Argument(help='SQL in quotes, or a ready-made question: why, publisher, reasons; "list" tells them')
    ],
    value: Annotated[list[str] | None, typer.Argument(help="what the question asks for, e.g. a content_id")] = None,
    folder: Folder = None,
    most: Annotated[int, typer.Option("--max", help="rows shown; 0: all", min=0)] = 1000,
    as_json: AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="comma-separated values on standard output")] = False,
) -> None:
    """Ask the archive, in DuckDB's SQL or by a ready-made question. Reads only.

    Views: **archive** (all rows) and one a topic: decisions, verdicts, takedowns, rulings, …; columns: happened_at,
    day, topic, content_id, publisher_id, agent, action, codes, policy, value (the message's bytes), …

    - veristream query why CONTENT_ID
    - veristream query publisher PUBLISHER_ID
    - veristream query reasons --csv
    - veristream query "SELECT agent, count(*) FROM decisions WHERE day > '2026-01-01' GROUP BY agent"
    - veristream query "DESCRIBE decisions"
    """
    from streams.archive.query import QUESTIONS, ask

    if question == "list":
        for name, one in QUESTIONS.items():
            out.print(f"{name} {' '.join(one.asks).upper()}: {one.about}", soft_wrap=True)
        return
    sql, given = question, {}
    if ready := QUESTIONS.get(question):
        if len(value or ()) != len(ready.asks):
            raise typer.Exit(fail(f"{question}: write `veristream query {question} {' '.join(ready.asks).upper()}`"))
        sql, given = ready.sql, dict(zip(ready.asks, value or (), strict=True))
    elif value:
        raise typer.Exit(fail(f"{' '.join(value)}: SQL is one argument; put it in quotes"))
    where = archive_folder(settings(archive_dir=folder))
    answer = _worked(lambda: ask(where, sql, given, most=most + 1 if most else None))
    more = bool(most) and len(answer.rows) > most
    _show(answer._replace(rows=answer.rows[: most or None]), as_json=as_json, as_csv=as_csv)
    if more:
        err.print(f"there are more rows: --max 0 shows all, {most} are shown")


def _plain(cell: Any) -> Any:
    if isinstance(cell, bytes | bytearray | memoryview):
        return bytes(cell).decode("utf-8", "replace")
    if isinstance(cell, list):
        return [_plain(one) for one in cell]
    return cell if isinstance(cell, int | float | str | bool | type(None)) else str(cell)


def _cells(row: tuple[Any, ...]) -> Iterator[str]:
    for cell in map(_plain, row):
        text = " ".join(map(str, cell)) if isinstance(cell, list) else "" if cell is None else str(cell)
        yield UNSAFE.sub("\ufffd", text)


def _show(answer: Answer, *, as_json: bool, as_csv: bool) -> None:
    if as_json:
        for row in answer.rows:
            line = json.dumps(dict(zip(answer.columns, map(_plain, row), strict=True)), ensure_ascii=False)
            out.print(UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", line), soft_wrap=True, markup=False)
        return
    if as_csv:
        writer = csv.writer(sys.stdout)
        writer.writerow(answer.columns)
        writer.writerows(list(_cells(row)) for row in answer.rows)
        return
    table = Table(*map(escape, answer.columns))
    for row in answer.rows:
        table.add_row(*map(escape, _cells(row)))
    out.print(table)


@evidence.command("verify")
def evidence_verify(
    folder: Folder = None,
    public_key: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="public key to trust [default: the archive's own]")
    ] = None,
    head: Annotated[
        str | None, typer.Option(metavar="SEQ:HASH", help="a head noted before: shows whether the end was cut off")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Read every file and every line of the chain, and say what was changed, removed, added or moved, and where.

    Exit 1 if anything was. It prints the chain's head: note it elsewhere, and name it the next time.
    """
    from streams.archive.verify import verify

    where = archive_folder(settings(archive_dir=folder))
    trusted = public_key.read_bytes() if public_key else None
    try:
        found = _worked(lambda: verify(where, public=trusted, head=head))
    except ValueError as error:
        raise typer.Exit(fail(f"{public_key or where}: {error}")) from None
    if as_json:
        faults = [fault._asdict() for fault in found.faults]
        out.print(json.dumps(found._asdict() | {"faults": faults}, ensure_ascii=False), soft_wrap=True, markup=False)
    else:
        for fault in found.faults:
            out.print(f"[bold red]bad[/] {escape(fault.where)}: {escape(fault.what)}", soft_wrap=True)
        out.print(f"{found.rows} rows in {found.files} files, head {found.head}", soft_wrap=True)
    raise typer.Exit(1 if found.faults else 0)


@evidence.command("export")
def evidence_export(
    target: Annotated[Path, typer.Option("--output", "-o", help="the bundle, a zip file")],
    content: Annotated[str | None, typer.Option(help="all about this item")] = None,
    publisher: Annotated[str | None, typer.Option(help="all about this publisher")] = None,
    since: Annotated[datetime | None, typer.Option("--from", help="from this day or time on, UTC")] = None,
    until: Annotated[datetime | None, typer.Option("--to", help="before this day or time, UTC")] = None,
    role: Annotated[str, typer.Option(help="who gets it: inspector (sees all), court, auditor")] = "inspector",
    who: Annotated[str, typer.Option("--by", help="who exports [default: the user's name]")] = "",
    folder: Folder = None,
) -> None:
    """Write a signed bundle: records with their proofs, policies, a timeline (HTML, JSON), and a script that checks it.

    Whoever gets it needs Python and `cryptography`: unpack it and run `python verify.py public.pem`. What the role
    may not see is left out, field by field, and its digest stands in its place, so that the proof still holds.
    """
    from streams.archive.chain import load_key
    from streams.archive.export import ROLES, Wanted, export

    if not any((content, publisher, since, until)):
        raise typer.Exit(fail("say what: --content ID, --publisher ID, --from and --to"))
    if role not in ROLES:
        raise typer.Exit(fail(f"--role {role}: there is no such role; there are {', '.join(ROLES)}"))
    named = settings(archive_dir=folder)
    where = archive_folder(named)
    wanted = Wanted(content, publisher, _utc(since), _utc(until))
    count = _worked(lambda: export(where, load_key(named.archive_key), wanted, role, who or getpass.getuser(), target))
    err.print(f"{count} records in {escape(str(target))}")


def _utc(moment: datetime | None) -> datetime | None:
    return moment.replace(tzinfo=UTC) if moment and moment.tzinfo is None else moment
