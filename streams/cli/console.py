"""The console: what every command says and how, its options, settings and exit codes."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Coroutine
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.logging import RichHandler
from rich.markup import escape

from streams.settings import Settings, load

#: Tables are made for terminals of 100 columns and more; a pipe or a log has no width of its own.
WIDTH = None if sys.stdout.isatty() else 120
out = Console(highlight=False, emoji=False, width=WIDTH)
#: Progress and errors: standard output stays clean for `--json`.
err = Console(stderr=True, highlight=False, emoji=False)

Broker = Annotated[
    str | None,
    typer.Option("--broker", "-b", help="Kafka bootstrap servers [default: 127.0.0.1:9092]", metavar="HOST:PORT"),
]
HttpPort = Annotated[int | None, typer.Option("--http-port", help="port of /metrics, /livez, /readyz [default: 9464]")]
AsJson = Annotated[bool, typer.Option("--json", help="one JSON object a line on standard output, for scripts")]

#: A stranger's words must not command the terminal: control characters (JSON escapes only some of them), and halves of
#: surrogate pairs, which no terminal takes.
UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")

#: Exit codes beside 0 (done) and 1 (an error that the text explains).
EXIT_HELD = 3
EXIT_BLOCKED = 4
EXIT_NO_ANSWER = 5


def shared_group(app: typer.Typer, name: str, about: str) -> typer.Typer:
    """The group of commands of that name, made by whichever of several agents comes first; `about`: its help."""
    group = next((one.typer_instance for one in app.registered_groups if one.name == name), None)
    if group is None:
        group = typer.Typer(no_args_is_help=True, help=about)
        app.add_typer(group, name=name)
    return group


def fail(message: str) -> int:
    """Say what is wrong, and give the exit code for it."""
    err.print(f"[bold red]error:[/] {escape(message)}", soft_wrap=True)
    return 1


def settings(**flags: Any) -> Settings:
    """The settings with these flags; with them, logging."""
    loaded = load(**flags)
    _log(loaded)
    return loaded


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def _log(settings: Settings) -> None:
    handler: logging.Handler = logging.StreamHandler(sys.stderr)
    if settings.log_json:
        handler.setFormatter(_JsonLines())
    elif err.is_terminal:
        handler = RichHandler(console=err, show_path=False, log_time_format="%H:%M:%S", markup=False)
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler], force=True)
    # Libraries say at INFO what only matters when they are being debugged. Faust logs under its subclass's module.
    if settings.log_level != "debug":
        for name in ("aiokafka", "faust", "mode", "streams.transport"):
            logging.getLogger(name).setLevel(logging.ERROR)


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """Run a command's work; Ctrl-C ends it without a traceback."""
    import uvloop

    try:
        return uvloop.run(work)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
