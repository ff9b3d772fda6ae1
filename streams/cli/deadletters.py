"""`deadletters`: what could not be handled, and putting it back."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from streams.cli.console import UNSAFE, AsJson, Broker, err, fail, out, run, settings

if TYPE_CHECKING:
    from streams.deadletters import DeadLetters, Letter, Replayed, Wanted
    from streams.settings import Settings

deadletters = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="""Show what could not be handled, and put it back where it lay.

Mend the cause first: what is put back is read again by **every** agent of its topic, and what the others decide a
second time is recognised as a repeat by its ids. A dead letter is put back **once**; if its message fails again, that
is a new dead letter, which says so (`replays`). From the setting `replay_limit` (3) on it is **parked**: only `--force`
puts it back again.""",
)

Reason = Annotated[
    str, typer.Option(help="only those whose error says this: a part of its class, field or words, in any case")
]
Topic = Annotated[str, typer.Option(help="only messages of this topic, e.g. uploads")]
Agent = Annotated[str, typer.Option(help="only those of this agent")]
Since = Annotated[str, typer.Option(help="only since then: 90s, 30m, 2h, 7d, or RFC 3339", metavar="AGO|TIME")]
Id = Annotated[
    str,
    typer.Option(
        "--id",
        help="only this one: its own place, or that of the message that it holds",
        metavar="TOPIC/PARTITION@OFFSET",
    ),
]

#: What each outcome means, for people.
MEANING = {
    "replayed": "put back",
    "found": "put back by a run that was broken off",
    "already": "were put back before",
    "busy": "another run is putting back, or was broken off less than two minutes ago: try again then",
    "parked": "parked: put back too often; mend the cause, then use --force",
    "gone": "too large to have been kept, and no longer where they lay",
    "empty": "never had a value: there is nothing to put back",
    "unplaced": "of a topic that is not in the table, or not on this broker",
    "refused": "larger than the broker takes on their topic",
}
#: Outcomes after which nothing is left to be done.
SETTLED = ("replayed", "found", "already")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(deadletters, name="deadletters")


@deadletters.command("list")
def list_(
    broker: Broker = None,
    reason: Reason = "",
    topic: Topic = "",
    agent: Agent = "",
    since: Since = "",
    id_: Id = "",
    as_json: AsJson = False,
) -> None:
    """List dead letters: where each lies, what it holds, why it failed, and whether it was put back."""
    run(_list(settings(broker=broker), _wanted(reason, topic, agent, since, id_), as_json))


async def _list(named: Settings, wanted: Wanted, as_json: bool) -> None:
    from streams.deadletters import DeadLetters

    table = Table("dead letter", "state", "message", "agent", "why", "failed at")
    count = 0
    async with DeadLetters(named) as letters:
        async for found in letters.find(wanted):
            count += 1
            row = _row(found, letters, named)
            if as_json:
                _print_json(row)
                continue
            why = ": ".join(part for part in (row["field"], row["reason"]) if part)
            cells = (row["id"], row["state"], row["origin"], row["agent"], why[:200], row["failed_at"][:19])
            table.add_row(*(escape(UNSAFE.sub("\ufffd", cell)) for cell in cells))
    if as_json:
        return
    if count:
        out.print(table)
    out.print(f"{count} dead letter{'' if count == 1 else 's'}")


@deadletters.command()
def show(
    place: Annotated[str, typer.Argument(help="as `list` names it, e.g. deadletters/7@41", metavar="ID")],
    broker: Broker = None,
    as_json: AsJson = False,
) -> None:
    """Show a dead letter whole, with the message that it holds."""
    run(_show(settings(broker=broker), _wanted("", "", "", "", place), place, as_json))


async def _show(named: Settings, wanted: Wanted, place: str, as_json: bool) -> None:
    from streams.deadletters import DeadLetters

    async with DeadLetters(named) as letters:
        async for found in letters.find(wanted):
            value, note = found.letter.value, ""
            if value is None:
                record = await letters.original(found)
                value = record.value if record else None
                note = (
                    ""
                    if value
                    else "it has no value"
                    if record
                    else "it was too large to keep, and lies there no longer"
                )
            row = _row(found, letters, named) | {"value": _text(value), "note": note}
            if as_json:
                _print_json(row)
                return
            for name, told in row.items():
                if name != "value" and told not in ("", None):
                    out.print(f"[bold]{name:>10}[/]  {escape(UNSAFE.sub(chr(0xFFFD), str(told)))}", soft_wrap=True)
            if value is not None:
                out.print(escape(_pretty(value)), soft_wrap=True)
            return
    raise typer.Exit(fail(f"there is no dead letter {place}: `veristream deadletters list` has all"))


@deadletters.command()
def replay(
    broker: Broker = None,
    reason: Reason = "",
    topic: Topic = "",
    agent: Agent = "",
    since: Since = "",
    id_: Id = "",
    all_: Annotated[bool, typer.Option("--all", help="every dead letter there is")] = False,
    force: Annotated[bool, typer.Option(help="those too that were put back too often")] = False,
    dry_run: Annotated[bool, typer.Option(help="say what would be put back, and put nothing back")] = False,
    as_json: AsJson = False,
) -> None:
    """Put messages back where they lay, with their bytes, key and partition; each once. Exit 1 if any could not be.

    Headers say what it is: `veristream-replay` (how often by now), `veristream-deadletter` and `veristream-origin`
    (where the dead letter and the first message lie). A run that was broken off is taken up by the next.
    """
    if not (reason or topic or agent or since or id_ or all_):
        raise typer.Exit(fail("say which: --reason, --topic, --agent, --since, --id, or --all"))
    if not run(_replay(settings(broker=broker), _wanted(reason, topic, agent, since, id_), force, dry_run, as_json)):
        raise typer.Exit(1)


async def _replay(named: Settings, wanted: Wanted, force: bool, dry_run: bool, as_json: bool) -> bool:
    from aiokafka.errors import KafkaError

    from streams.deadletters import DeadLetters

    async with DeadLetters(named) as letters:
        # All of them first: what is put back may fail again, and must not be met again in this run.
        places = []
        states: Counter[str] = Counter()
        async for found in letters.find(wanted):
            state = letters.marks.state(found, named.replay_limit)
            states[state] += 1
            if state != "replayed":
                places.append((found.partition, found.offset))
            if dry_run and as_json:
                _print_json(_row(found, letters, named))
        if dry_run:
            if not as_json:
                parked = states["parked"] if not force else 0
                out.print(
                    f"would put back {len(places) - parked}; parked {parked}, put back before {states['replayed']}"
                )
            return True
        outcomes = Counter({"already": states["replayed"]} if states["replayed"] else {})
        columns = (TextColumn("putting back"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
            task = progress.add_task("", total=len(places))
            try:
                async for done in letters.replay(places, force=force):
                    outcomes[done.outcome] += 1
                    progress.advance(task)
                    if as_json:
                        _print_json(_outcome(done))
            except KafkaError as error:
                err.print(f"the broker was lost ({error!r}): run this again, what was put back is marked", markup=False)
                outcomes["busy"] += len(places) - sum(outcomes.values()) + states["replayed"]
    if not as_json:
        for outcome, count in outcomes.most_common():
            out.print(f"{count} {MEANING[outcome]}")
        if not outcomes:
            out.print("there is no such dead letter")
    return not any(outcome not in SETTLED for outcome in outcomes)


def _wanted(reason: str, topic: str, agent: str, since: str, id_: str) -> Wanted:
    from streams.client import topic_named
    from streams.deadletters import Wanted, moment, place

    try:
        return Wanted(
            reason=reason,
            topic=topic_named(topic).name if topic else "",
            agent=agent,
            since=moment(since, datetime.now(UTC)) if since else None,
            place=place(id_) if id_ else None,
        )
    except ValueError as error:
        raise typer.Exit(fail(str(error))) from None


def _row(found: Letter, letters: DeadLetters, named: Settings) -> dict[str, Any]:
    letter = found.letter
    return {
        "id": f"deadletters/{found.id}",
        "state": letters.marks.state(found, named.replay_limit),
        "origin": str(found.origin(named.topic_prefix)),
        "key": _text(letter.key),
        "agent": letter.agent,
        "error": letter.error,
        "field": letter.field,
        "reason": letter.reason,
        "failed_at": letter.failed_at.astimezone(UTC).isoformat(),
        "replays": letter.replays,
        "bytes": None if letter.value is None else len(letter.value),
    }


def _outcome(done: Replayed) -> dict[str, Any]:
    return {"id": f"deadletters/{done.id}", "outcome": done.outcome, "place": str(done.place) if done.place else None}


def _print_json(row: dict[str, Any]) -> None:
    text = json.dumps(row, ensure_ascii=False)
    out.print(UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text), soft_wrap=True, markup=False)


def _text(raw: bytes | None) -> str | None:
    return None if raw is None else raw.decode("utf-8", "backslashreplace")


def _pretty(raw: bytes) -> str:
    try:
        lines = json.dumps(json.loads(raw), indent=2, ensure_ascii=False).splitlines()
    except (ValueError, RecursionError):
        lines = (_text(raw) or "").splitlines()
    return "\n".join(UNSAFE.sub("\ufffd", line) for line in lines)
