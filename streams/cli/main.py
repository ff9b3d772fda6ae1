"""The command line. Every command explains itself with --help; `--json` and exit codes are made for scripts."""

from __future__ import annotations

import sys

import typer

from streams.cli import acls, archive, backtest, deadletters, pipeline, state, topics, watch
from streams.cli.console import fail
from streams.contact import KafkaUnusable
from streams.registered import installed
from streams.settings import SettingsError

app = typer.Typer(
    name="veristream",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="""Review of uploads and livestreams on Kafka: who publishes what, and whether it may.

Begin with **veristream demo**, or with **veristream up** in one terminal and **veristream submit clip.mp4** in another.
Settings come from flags, `VERISTREAM_*` variables and `veristream.toml`: **veristream settings** shows them all.""",
)


def command_line() -> typer.Typer:
    """The app with the commands of every installed package."""
    for register in installed("veristream.commands", ()).values():
        register(app)
    for module in (pipeline, topics, acls, watch, deadletters, state, archive, backtest):
        module.register(app)
    return app


def main() -> None:
    """The entry point: errors that a user can mend are one sentence, not a traceback."""
    try:
        command_line()()
    except (SettingsError, KafkaUnusable) as error:
        sys.exit(fail(str(error)))
