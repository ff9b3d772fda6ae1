"""`tail`, `doctor`, `settings`: looking at what is there."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from streams.cli.console import UNSAFE, AsJson, Broker, fail, out, run, settings


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(tail)
    app.command()(doctor)
    app.command("settings")(show_settings)


def tail(
    topic: Annotated[
        list[str], typer.Argument(help="topics, e.g. decisions verdicts; `veristream topics list` has all")
    ],
    broker: Broker = None,
    where: Annotated[
        list[str] | None,
        typer.Option(help="only messages with this field, e.g. agent=review or media.bytes=0; may be repeated"),
    ] = None,
    from_beginning: Annotated[bool, typer.Option(help="what lies there already, then what comes")] = False,
    limit: Annotated[int, typer.Option("--max", help="stop after so many messages; 0: never", min=0)] = 0,
    once: Annotated[bool, typer.Option(help="with --from-beginning: stop at what lies there now")] = False,
    as_json: AsJson = False,
) -> None:
    """Show messages as they come. Ctrl-C ends it."""
    from streams.client import topic_named

    conditions = []
    for condition in where or ():
        path, separator, value = condition.partition("=")
        if not separator:
            raise typer.Exit(fail(f"--where {condition}: write FIELD=VALUE"))
        conditions.append((path.split("."), value))
    try:
        topics = [topic_named(name) for name in topic]
    except ValueError as error:
        raise typer.Exit(fail(str(error))) from None
    run(_tail(settings(broker=broker), topics, conditions, from_beginning, limit, once, as_json))


async def _tail(
    named: Any, topics: Any, conditions: Any, from_beginning: bool, limit: int, once: bool, as_json: bool
) -> None:
    from streams.client import Feed

    shown = 0
    async with Feed(named, topics, from_beginning=from_beginning) as feed:
        while True:
            for record in await feed.read(0.3):
                value = _parsed(record.value)
                if not all(_field(value, path) == wanted for path, wanted in conditions):
                    continue
                _show(record, value, as_json=as_json)
                shown += 1
                if limit and shown >= limit:
                    return
            if once and await feed.at_end():
                return


def _parsed(value: bytes | None) -> Any:
    try:
        return None if value is None else json.loads(value)
    except (ValueError, RecursionError):
        return {"unreadable": value.decode("utf-8", "replace") if value else ""}


def _field(value: Any, path: list[str]) -> str | None:
    for part in path:
        if not isinstance(value, dict) or part not in value:
            return None
        value = value[part]
    return value if isinstance(value, str) else json.dumps(value)


def _show(record: Any, value: Any, *, as_json: bool) -> None:
    if as_json:
        line = {"topic": record.topic, "partition": record.partition, "offset": record.offset, "key": record.key}
        text = json.dumps(line | {"value": value}, ensure_ascii=False)
        out.print(UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text), soft_wrap=True, markup=False)
        return
    place = f"[dim]{record.topic}/{record.partition}@{record.offset}[/]"
    key, brief = (escape(UNSAFE.sub("\ufffd", text)) for text in (record.key, _brief(record.topic, value)))
    out.print(f"{place} [bold]{key}[/] {brief}", soft_wrap=True)


def _brief(topic: str, value: Any) -> str:
    """The few fields that a person wants to see of a message."""
    if value is None:
        return "(deleted)"
    try:
        parts = _words(topic, value)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):  # it is not what its topic promises
        parts = []
    return " ".join(parts) or json.dumps(value, ensure_ascii=False)[:200]


def _words(topic: str, value: Any) -> list[str]:
    event = value.get("event", value)
    parts = [
        str(value[name]["code"] if isinstance(value[name], dict) else value[name])
        for name in ("agent", "action", "verdict", "kind", "until", "level", "error", "field", "reason", "version")
        if value.get(name) not in (None, "")
    ]
    parts += [reason["code"] for reason in value.get("reasons", ())]
    if topic == "signals":
        parts += [f"{signal['name']}={signal['score']:.2f}" for signal in value.get("signals", ())]
    if event.get("title"):
        parts.append(f"“{event['title'][:60]}”")
    return parts


def doctor(
    broker: Broker = None,
    role: Annotated[
        list[str] | None,
        typer.Option("--role", help="look at the rights of these roles [default: of the agents that run here]"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check what can be wrong here, each with what to do about it; exit 1 if something keeps it from working."""
    from streams.doctor import examine

    found = run(examine(settings(broker=broker), tuple(role or ())))
    for check in found:
        if as_json:
            out.print(json.dumps(check._asdict()), soft_wrap=True, markup=False)
            continue
        mark = {"ok": "[green]ok  [/]", "warn": "[yellow]warn[/]", "bad": "[red]bad [/]"}[check.state]
        out.print(f"{mark} {check.name}: {escape(check.found)}", soft_wrap=True)
        if check.fix:
            out.print(f"     → {escape(check.fix)}", soft_wrap=True)
    raise typer.Exit(1 if any(check.state == "bad" for check in found) else 0)


def show_settings(broker: Broker = None, as_json: AsJson = False) -> None:
    """Show every setting, its value and where it comes from; secrets are masked."""
    from streams.settings import explain

    rows = explain(settings(broker=broker), broker=broker)
    table = Table("setting", "value", "from", "what")
    for row in rows:
        if as_json:
            out.print(json.dumps(row._asdict()), soft_wrap=True, markup=False)
        table.add_row(row.name, escape(row.value), row.origin, escape(row.about))
    if not as_json:
        out.print(table)
