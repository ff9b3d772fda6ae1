"""`topics`: what the broker must have."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from schemas.topics import TOPICS
from streams.cli.console import AsJson, Broker, err, out, run, settings

if TYPE_CHECKING:
    from streams.provision import Compared

topics = typer.Typer(no_args_is_help=True, help="Create, list, check and compare the topics.")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(topics, name="topics")


@topics.command()
def create(
    broker: Broker = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say what would be done, and do nothing")] = False,
) -> None:
    """Create what is missing, and set what is configured otherwise than the table says.

    Nothing is ever deleted, and the partitions and replicas of what is there stay as they are. Give the replicas with
    VERISTREAM_REPLICATION (3 where there are three brokers or more).
    """
    from streams.provision import provision

    done = run(provision(settings(broker=broker), dry_run=dry_run))
    create, set_ = ("would create", "would set") if dry_run else ("created", "set")
    if done.created:
        out.print(f"{create} {', '.join(done.created)}")
    for mended in done.mended:
        out.print(f"{set_} {mended.what} of {mended.topic} to {mended.should} (was {mended.has})", soft_wrap=True)
    if not done.created and not done.mended:
        out.print("every topic exists")
    for left in done.left:
        err.print(f"left as it is: {left.topic} {left.sentence}. {left.fix}", soft_wrap=True, markup=False)
    _say_unasked(done.unasked)


def _say_unasked(unasked: str) -> None:
    if unasked:
        err.print(f"note: {unasked}", soft_wrap=True, markup=False)


@topics.command("list")
def list_(as_json: AsJson = False) -> None:
    """Show the table of topics: what goes over them, and how long it is kept."""
    prefix = settings().topic_prefix
    table = Table("topic", "key", "direction", "partitions", "kept", "what")
    for topic in TOPICS.values():
        kept = "compacted" if topic.retention_days is None else f"{topic.retention_days} days"
        row = (prefix + topic.name, topic.key, topic.direction, str(topic.partitions), kept, topic.about)
        if as_json:
            out.print_json(
                json.dumps(dict(zip(("topic", "key", "direction", "partitions", "kept", "about"), row, strict=True))),
                indent=None,
            )
        table.add_row(*row)
    if not as_json:
        out.print(table)


def _compared(broker: str | None) -> Compared:
    from streams.provision import compare

    compared: Compared = run(compare(settings(broker=broker)))
    _say_unasked(compared.unasked)
    return compared


@topics.command()
def check(broker: Broker = None, as_json: AsJson = False) -> None:
    """Say what of the broker's topics is not as the table says, and what to do; exit 1 if anything is not."""
    found = _compared(broker).differences
    for difference in found:
        if as_json:
            row = {"topic": difference.topic, "what": difference.sentence, "fix": difference.fix}
            out.print_json(json.dumps(row), indent=None)
        else:
            out.print(f"{difference.topic}: {difference.sentence}. {difference.fix}", soft_wrap=True, markup=False)
    if not found and not as_json:
        out.print("the broker has every topic as the table says")
    raise typer.Exit(1 if found else 0)


@topics.command()
def diff(broker: Broker = None, as_json: AsJson = False) -> None:
    """Show each difference between the broker's topics and the table, and touch nothing; exit 1 if there is any."""
    found = _compared(broker).differences
    table = Table("topic", "what", "has", "should")
    for difference in found:
        row = (difference.topic, difference.what, difference.has, difference.should)
        if as_json:
            out.print_json(json.dumps(dict(zip(("topic", "what", "has", "should"), row, strict=True))), indent=None)
        table.add_row(*row)
    if not as_json:
        out.print(table if found else "no difference")
    raise typer.Exit(1 if found else 0)
