"""`policy`, `put`: the rows that judges look things up in."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streams.cli.console import AsJson, Broker, err, fail, out, run, settings
from streams.cli.termlists import ListFault, Read, resolved

if TYPE_CHECKING:
    from schemas.message import Message
    from schemas.topics import Topic
    from streams.settings import Settings

policy = typer.Typer(no_args_is_help=True, help="Check, put in force and show policies.")

File = Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True)]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(policy, name="policy")
    app.command()(put)


async def send(named: Settings, rows: list[tuple[Topic, Message]]) -> None:
    """Send rows, each under its topic's key."""
    from streams.client import Client

    async with Client(named) as client:
        for topic, row in rows:
            await client.send(topic, row)


async def read_row(named: Settings, topic: Topic, key: str) -> bytes | None:
    """The last valid row of that key, which is the one in force; None if there is none."""
    from schemas.message import Refused, decode
    from streams.client import Feed

    found = None
    async with Feed(named, [topic], from_beginning=True) as feed:
        while not await feed.at_end():
            for record in await feed.read(0.3):
                if record.key != key:
                    continue
                try:
                    if record.value is not None:
                        decode(topic.message, record.value)
                    found = record.value
                except Refused as refused:
                    err.print(f"note: row {key!r} was sent and is refused: {refused}", markup=False)
    return found


def print_row(row: bytes | None, what: str, *, as_json: bool) -> None:
    """Show a row, or fail with what is not there."""
    if row is None:
        raise typer.Exit(fail(f"there is no {what}"))
    if as_json:
        out.print(row.decode(), soft_wrap=True, markup=False)
    else:
        out.print_json(row.decode())


def policy_of(path: Path) -> tuple[Any, Read]:
    """The policy of a file, and what was read for it."""
    from schemas.message import Refused, convert
    from schemas.policy import Policy

    try:
        read = resolved(tomllib.loads(path.read_text("utf-8")), path.parent)
        return convert(Policy, read.tree), read
    except ListFault as fault:
        raise typer.Exit(fail(f"{path}: {fault}")) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise typer.Exit(fail(f"{path} is not TOML: {error}")) from None
    except Refused as refused:
        raise typer.Exit(fail(f"{path}: {refused}")) from None


@policy.command("lint")
def policy_lint(file: File) -> None:
    """Check a policy file and the lists that it names; exit 1 with field and reason if it would be refused."""
    found, read = policy_of(file)
    out.print(f"{file} is a valid policy: {found.name} version {found.version}", markup=False)
    for name, count in read.counts.items():
        out.print(f"list {name}: {count:,} terms and links", markup=False)


@policy.command("put")
def policy_put(file: File, broker: Broker = None) -> None:
    """Put a policy file in force, after the lists of terms that it names: the next item is judged by it."""
    from schemas.topics import LISTS, POLICIES

    row, read = policy_of(file)
    named = settings(broker=broker)
    former = run(read_row(named, POLICIES, row.name))
    if former and json.loads(former)["version"] >= row.version:
        raise typer.Exit(
            fail(
                f"version: {json.loads(former)['version']} is in force; give {row.name} a higher one than {row.version}"
            )
        )
    # Each is acknowledged before the next is sent, and the policy comes last: whoever reads it finds its lists.
    run(send(named, [*((LISTS, part) for part in read.parts), (POLICIES, row)]))
    if read.parts or (former and json.loads(former).get("review", {}).get("term_lists")):
        run(_drop_lists(named, former))
    out.print(f"policy {row.name} version {row.version} is in force", markup=False)
    if row.name != named.policy:
        err.print(f"note: workers with VERISTREAM_POLICY={named.policy} do not use it", markup=False)


async def _drop_lists(named: Settings, former: bytes | None) -> None:
    """Delete the parts of lists that no policy names any more. Those of the version before stay, for workers that have
    not read the new one yet."""
    from schemas.lists import part_id
    from schemas.topics import LISTS, POLICIES
    from streams.client import Client, Feed

    policies: dict[str, bytes | None] = {"": former}
    parts: dict[str, bool] = {}
    async with Feed(named, [POLICIES, LISTS], from_beginning=True) as feed:
        while not await feed.at_end():
            for record in await feed.read(0.3):
                if record.topic == POLICIES.name:
                    policies[record.key + "/"] = record.value
                else:
                    parts[record.key] = record.value is not None
    kept = {
        part_id(ref["name"], ref["digest"], number)
        for text in policies.values()
        if text
        for ref in json.loads(text).get("review", {}).get("term_lists", ())
        for number in range(ref["parts"])
    }
    async with Client(named) as client:
        for key, there in parts.items():
            if there and key not in kept:
                await client.send_raw(LISTS, key.encode(), None)


@policy.command("show")
def policy_show(
    name: Annotated[str | None, typer.Argument(help="[default: VERISTREAM_POLICY]")] = None,
    broker: Broker = None,
    as_json: AsJson = False,
) -> None:
    """Show the policy in force."""
    from schemas.message import encode
    from schemas.policy import default_policy
    from schemas.topics import POLICIES

    named = settings(broker=broker)
    wanted = name or named.policy
    row = run(read_row(named, POLICIES, wanted))
    if row is None and wanted == named.policy:
        row = encode(default_policy(wanted))
    print_row(row, f"policy {wanted!r}", as_json=as_json)


def put(
    topic: Annotated[
        str, typer.Argument(help="a compacted topic: publishers, providers, features, hashbank, rumors, policies")
    ],
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="one JSON object, or one a line (.jsonl)")],
    broker: Broker = None,
) -> None:
    """Send rows from a file. All are checked first; if one is wrong, none is sent."""
    from schemas.message import Refused, decode
    from streams.client import topic_named

    try:
        to = topic_named(topic)
    except ValueError as error:
        raise typer.Exit(fail(str(error))) from None
    if not to.compacted:
        raise typer.Exit(fail(f"{topic} is not a compacted topic: its messages are not rows"))
    text = file.read_bytes()
    lines = [line for line in text.splitlines() if line.strip()] if file.suffix == ".jsonl" else [text]
    rows, wrong = [], []
    for number, line in enumerate(lines, 1):
        try:
            rows.append((to, decode(to.message, line)))
        except Refused as refused:
            wrong.append(f"line {number}: {refused}" if file.suffix == ".jsonl" else str(refused))
    if wrong:
        raise typer.Exit(fail(f"{file}: " + "; ".join(wrong[:20])))
    run(send(settings(broker=broker), rows))
    out.print(f"{len(rows)} row{'s' if len(rows) != 1 else ''} sent to {topic}")
