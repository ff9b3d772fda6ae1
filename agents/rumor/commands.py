"""`rumor`: the listed claims and their refutations, entry by entry and file by file."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from streams.cli.console import UNSAFE, AsJson, Broker, err, fail, out, run, settings

if TYPE_CHECKING:
    from agents.rumor.entries import Bad
    from agents.rumor.match import RumorMatch
    from schemas.bank import Rumor
    from streams.settings import Settings

#: Bad entries of a file that are named; the rest are counted.
NAMED = 20
#: How long an entry may be waited for when the list is read.
READ_S = 0.3

rumor = typer.Typer(
    no_args_is_help=True,
    help="""Claims going round, and their refutations.

    `add` enters a claim, `import` takes lists in (JSON lines, or ClaimReview as fact-checkers publish it), `export`
    writes them; `match` says which entry a text meets, and what the text does with the claim: only what asserts it is
    labelled or sent to a person, what asks, reports or refutes passes.

    All of it works from the next item on, without a restart.""",
)

Status = Literal["suspected", "refuted", "true"]
Severity = Literal["low", "medium", "high", "highest"]
Texts = Annotated[
    Path | None, typer.Option("--entries", help="look in this file of entries (.jsonl) instead of the broker")
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(rumor, name="rumor")


@rumor.command("add")
def rumor_add(
    claims: Annotated[list[str], typer.Argument(help="the claim, in each wording that was seen; any language")],
    broker: Broker = None,
    rumor_id: Annotated[str | None, typer.Option("--id", help="[default: made of the first wording]")] = None,
    status: Annotated[
        Status, typer.Option(help="suspected asks a person; refuted shows the refutation; true takes it back")
    ] = "suspected",
    refutation: Annotated[str | None, typer.Option(help="what is true, for status refuted")] = None,
    authority: Annotated[str | None, typer.Option(help="who says so")] = None,
    url: Annotated[str, typer.Option(help="where that is said")] = "",
    must: Annotated[list[str] | None, typer.Option(help="keywords of which one must occur: 'salt|盐'; repeat")] = None,
    must_not: Annotated[list[str] | None, typer.Option(help="a keyword that must not occur; repeat")] = None,
    place: Annotated[list[str] | None, typer.Option(help="it is about this place: 'Yunxi|云溪'; repeat")] = None,
    person: Annotated[list[str] | None, typer.Option(help="it is about this person; repeat")] = None,
    organisation: Annotated[list[str] | None, typer.Option(help="it is about this organisation; repeat")] = None,
    language: Annotated[list[str] | None, typer.Option(help="of the wordings: zh, en, …; repeat")] = None,
    severity: Annotated[Severity, typer.Option(help="how grave it is if it is believed")] = "medium",
    expires: Annotated[str | None, typer.Option(help="a date (2027-01-31) or days from now (30d)")] = None,
    source: Annotated[str, typer.Option(help="who enters it")] = "command line",
) -> None:
    """Enter a claim, or replace the entry of the same id."""
    from schemas.bank import Rumor
    from schemas.message import Refused, convert
    from schemas.topics import RUMORS
    from streams.cli.state import send

    now = datetime.now(UTC)
    names = {"place": place, "person": person, "organisation": organisation}
    row: dict[str, Any] = {
        "rumor_id": rumor_id or "rumor-" + hashlib.sha256(claims[0].encode()).hexdigest()[:16],
        "claims": claims,
        "status": status,
        "added_at": now,
        "expires_at": _expiry(expires, now),
        "languages": language or [],
        "must": [_group(words) for words in must or ()],
        "must_not": must_not or [],
        "entities": [{"kind": kind, "names": _group(one)} for kind, given in names.items() for one in given or ()],
        "severity": severity,
        "source": source,
    }
    if refutation or authority or url:
        missing = next(
            (f"--{name}" for name, value in (("refutation", refutation), ("authority", authority)) if not value), ""
        )
        if missing:
            raise typer.Exit(fail(f"{missing} is missing: a refutation says what is true, and who says so"))
        row["refutation"] = {"text": refutation, "authority": authority, "url": url}
    try:
        entry = convert(Rumor, row)
    except Refused as refused:
        raise typer.Exit(fail(str(refused))) from None
    if entry.expires_at and entry.expires_at <= now:
        raise typer.Exit(fail(f"--expires {expires} is over: the entry would never match"))
    run(send(settings(broker=broker), [(RUMORS, entry)]))
    out.print(f"{entry.rumor_id}: {status}, {len(entry.claims)} wordings", markup=False)


@rumor.command("remove")
def rumor_remove(
    entries: Annotated[list[str], typer.Argument(help="ids, as `list` shows them")], broker: Broker = None
) -> None:
    """Delete entries; refutations that were ordered for them are taken back. A claim that turned out to be true is
    better kept, with `--status true`: what is said of it then is shown instead.

    Exit code 1 if one is not there.
    """
    named = settings(broker=broker)
    listed = {row.rumor_id for row in run(_listed(named))}
    gone = [entry for entry in dict.fromkeys(entries) if entry in listed]
    for missing in sorted(set(entries) - listed):
        fail(f"there is no entry {missing!r}")
    run(_delete(named, gone))
    out.print(f"{len(gone)} {'entry' if len(gone) == 1 else 'entries'} removed")
    raise typer.Exit(0 if len(gone) == len(set(entries)) else 1)


@rumor.command("list")
def rumor_list(
    broker: Broker = None,
    status: Annotated[Status | None, typer.Option(help="only these")] = None,
    as_json: AsJson = False,
) -> None:
    """Show the entries in force."""
    from schemas.message import encode

    now = datetime.now(UTC)
    for row in run(_listed(settings(broker=broker))):
        if status and row.status != status:
            continue
        if as_json:
            out.print(encode(row).decode(), soft_wrap=True, markup=False)
            continue
        over = " (expired)" if row.expires_at and row.expires_at <= now else ""
        more = f" (+{len(row.claims) - 1})" if len(row.claims) > 1 else ""
        out.print(
            f"{_safe(row.rumor_id)}  {row.status}{over}  {_safe(row.claims[0])}{more}", markup=False, soft_wrap=True
        )


@rumor.command("import")
def rumor_import(
    files: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False, readable=True)],
    broker: Broker = None,
    form: Annotated[
        Literal["auto", "jsonl", "claimreview"],
        typer.Option("--format", help="jsonl: an entry a line; claimreview: JSON-LD (single, list, @graph, DataFeed)"),
    ] = "auto",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="check only, send nothing")] = False,
) -> None:
    """Take entries in from files. Each bad one is named with its place, field and reason; the good ones are taken in,
    and what is in force under a bad one's id stays. Exit 1 if one was bad."""
    from agents.rumor.entries import Bad, format_of, read
    from schemas.topics import RUMORS
    from streams.cli.state import send

    now, bad = datetime.now(UTC), 0
    rows: list[Rumor] = []
    for path in files:
        data = path.read_bytes()
        found = list(read(data, format_of(data) if form == "auto" else form, now))
        wrong = [one for one in found if isinstance(one, Bad)]
        bad += len(wrong)
        rows += [one for one in found if not isinstance(one, Bad)]
        _name(path, wrong)
    if not dry_run and rows:
        run(send(settings(broker=broker), [(RUMORS, row) for row in rows]))
    out.print(f"{len(rows)} taken in, {bad} refused" + (" (nothing was sent)" if dry_run else ""))
    raise typer.Exit(1 if bad else 0)


@rumor.command("export")
def rumor_export(
    file: Annotated[Path | None, typer.Argument(dir_okay=False, help="[default: standard output]")] = None,
    broker: Broker = None,
    form: Annotated[
        Literal["jsonl", "claimreview"], typer.Option("--format", help="jsonl loses nothing; claimreview is for others")
    ] = "jsonl",
) -> None:
    """Write the entries in force. ClaimReview holds refuted and true claims: the others are named and left out."""
    from agents.rumor import claimreview
    from agents.rumor.entries import lines
    from schemas.message import Refused

    rows = run(_listed(settings(broker=broker)))
    if form == "jsonl":
        data, written = lines(rows), len(rows)
    else:
        made = []
        for row in rows:
            try:
                made.append(claimreview.to_review(row))
            except Refused as refused:
                err.print(f"note: {_safe(row.rumor_id)} is left out: {refused}", markup=False)
        data, written = claimreview.document(made), len(made)
    if file is None:
        sys.stdout.buffer.write(data)
        return
    file.write_bytes(data)
    out.print(f"{file}: {written} entries", markup=False)


@rumor.command("match")
def rumor_match(
    text: Annotated[str, typer.Argument(help="a text, or a text file (- : standard input)")],
    broker: Broker = None,
    entries: Texts = None,
    threshold: Annotated[float | None, typer.Option(min=0, max=1, help="[default: the shipped policy's]")] = None,
    as_json: AsJson = False,
) -> None:
    """Which entries a text is about, how surely, and what it does with the claim. Exit 3 if it asserts one.

    Examples: `veristream rumor match "salt water keeps radiation out"`, `veristream rumor match script.txt --entries
    list.jsonl`
    """
    from agents.rumor import meaning
    from agents.rumor.entries import Bad, read
    from agents.rumor.match import RumorList
    from agents.rumor.train import titled
    from schemas.policy import default_policy

    now = datetime.now(UTC)
    if entries is not None:
        found = list(read(entries.read_bytes(), "jsonl", now))
        _name(entries, [one for one in found if isinstance(one, Bad)])
        rows: Sequence[Rumor] = [one for one in found if not isinstance(one, Bad)]
    else:
        rows = run(_listed(settings(broker=broker)))
    meanings = meaning.Meanings() if meaning.installed() else None
    if meanings is None:
        err.print("note: sentence embeddings are not installed (veristream[meaning]): matched by words alone")
    listed = RumorList(rows, now, meanings=meanings)
    listed.catch_up()
    at = default_policy().rumor.match if threshold is None else threshold
    matches = listed.read(titled(_given(text)))
    _show(matches, at, as_json=as_json)
    raise typer.Exit(3 if any(match.score >= at for match in matches) else 0)


def _show(matches: Iterable[RumorMatch], at: float, *, as_json: bool) -> None:
    shown = 0
    for match in matches:
        shown += 1
        asserts = match.score >= at
        does = "asserted" if asserts else match.stance
        if as_json:
            row = {
                "rumor_id": match.rumor.rumor_id, "status": match.rumor.status, "claim": match.claim, "stance": does,
                "matched": asserts, "asserted": round(match.score, 4), "about": round(match.about, 4),
            }  # fmt: skip
            out.print(json.dumps(row, ensure_ascii=False), soft_wrap=True, markup=False)
        else:
            unsure = f", below {at:.2f}: it passes" if does == "asserted" and not asserts else ""
            line = f"{does:9} {match.score:.2f} (about it {match.about:.2f}{unsure})  {_safe(match.rumor.rumor_id)}"
            out.print(f"{line} {match.rumor.status}: {_safe(match.claim)}", soft_wrap=True, markup=False)
    if not shown and not as_json:
        out.print("no listed claim")


def _given(text: str) -> str:
    if text == "-":
        return sys.stdin.read()
    try:
        path = Path(text)
        return path.read_text("utf-8") if path.is_file() else text
    except OSError:  # too long for a file's name: it is a text
        return text
    except UnicodeDecodeError:
        raise typer.Exit(fail(f"{text} is not a text file of UTF-8")) from None


def _name(path: Path, wrong: Sequence[Bad]) -> None:
    for one in wrong[:NAMED]:
        fail(f"{path}: {_safe(str(one))}")
    if len(wrong) > NAMED:
        fail(f"{path}: and {len(wrong) - NAMED} more")


def _group(words: str) -> list[str]:
    return [word.strip() for word in words.split("|") if word.strip()]


def _expiry(given: str | None, now: datetime) -> datetime | None:
    if given is None:
        return None
    try:
        if given.endswith("d"):
            return now + timedelta(days=float(given[:-1]))
        at = datetime.fromisoformat(given)
    except (ValueError, OverflowError):
        raise typer.Exit(fail(f"--expires {given}: neither a date such as 2027-01-31 nor days such as 30d")) from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


async def _listed(named: Settings) -> list[Rumor]:
    """The last valid row of each entry, in the order in which they were entered."""
    from schemas.bank import Rumor
    from schemas.message import Refused, decode
    from schemas.topics import RUMORS
    from streams.client import Feed

    rows: dict[str, Rumor] = {}
    async with Feed(named, [RUMORS], from_beginning=True) as feed:
        while not await feed.at_end():
            for record in await feed.read(READ_S):
                if record.value is None:
                    rows.pop(record.key, None)
                    continue
                try:
                    rows[record.key] = decode(Rumor, record.value)
                except Refused as refused:
                    err.print(f"note: row {_safe(record.key)!r} was sent and is refused: {refused}", markup=False)
    return list(rows.values())


async def _delete(named: Settings, entries: Iterable[str]) -> None:
    from schemas.topics import RUMORS
    from streams.client import Client

    async with Client(named) as client:
        for entry in entries:
            await client.send_raw(RUMORS, entry.encode(), None)


def _safe(text: str) -> str:
    return UNSAFE.sub(" ", text)
