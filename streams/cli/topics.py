"""`topics`: what the broker must have."""

from __future__ import annotations

import json

import typer
from rich.table import Table

from schemas.topics import TOPICS
from streams.cli.console import AsJson, Broker, out, run, settings

topics = typer.Typer(no_args_is_help=True, help="Create, list and check the topics.")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(topics, name="topics")


@topics.command()
def create(broker: Broker = None) -> None:
    """Create what is missing; never change or delete what is there."""
    from streams.kafka import create_topics

    made = run(create_topics(settings(broker=broker)))
    out.print(f"created {', '.join(made)}" if made else "every topic exists")


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


@topics.command()
def check(broker: Broker = None, as_json: AsJson = False) -> None:
    """Compare the broker with the table; exit 1 if anything differs."""
    from streams.kafka import check_topics

    found = run(check_topics(settings(broker=broker)))
    for difference in found:
        if as_json:
            out.print_json(json.dumps(difference.__dict__), indent=None)
        else:
            out.print(f"{difference.topic}: {difference.what}. {difference.fix}")
    if not found and not as_json:
        out.print("the broker has every topic as the table says")
    raise typer.Exit(1 if found else 0)
