"""`worker`: running agents."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli.console import Broker, HttpPort, err, run, settings

if TYPE_CHECKING:
    from streams.settings import Settings
    from streams.worker import Worker

Agents = Annotated[
    str | None,
    typer.Option("--agents", help="run only these, so that they scale apart: identity,review,… [default: all]"),
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(worker)


async def until_stopped(named: Settings, ready: Callable[[Worker], None]) -> None:
    """Run a worker until SIGTERM or Ctrl-C; a second one ends it at once."""
    from streams.worker import run as run_worker

    stop = asyncio.Event()

    def on_signal() -> None:
        if stop.is_set():
            os._exit(130)
        err.print("stopping: finishing what has begun (once more: at once)")
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal)
    await run_worker(named, stop=stop, ready=ready)


def worker(broker: Broker = None, agents: Agents = None, http_port: HttpPort = None) -> None:
    """Run agents against a broker whose topics exist: what production runs, as many times as there is load.

    Each agent is a consumer group of its own, so `--agents review` on three machines shares review's work among them.
    """
    named = settings(broker=broker, agents=agents, http_port=http_port)

    def ready(worker: Worker) -> None:
        err.print(f"ready: metrics on http://{named.http_host}:{worker.health.port}/metrics")

    run(until_stopped(named, ready))
