"""`up`, `demo`: the whole pipeline on one machine, with a broker of its own."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from streams.cli.console import Broker, HttpPort, fail, out, run, settings
from streams.cli.pipeline import until_stopped

if TYPE_CHECKING:
    from streams.settings import Settings
    from streams.worker import Worker


def register(app: typer.Typer) -> None:
    """Add the commands."""
    from deploy.submit import submit

    app.command()(up)
    app.command()(demo)
    app.command()(submit)


def up(
    broker: Broker = None,
    port: Annotated[int, typer.Option(help="port of the embedded broker")] = 9092,
    http_port: HttpPort = None,
    register_demo: Annotated[
        bool, typer.Option("--seed/--no-seed", help="register publisher `demo` and provider `demo-provider`")
    ] = True,
) -> None:
    """Run everything here: broker, topics and all agents; Ctrl-C ends it all.

    The embedded broker keeps everything in memory and serves one worker. With --broker (or VERISTREAM_BROKER) that
    Kafka is used instead, topics that are missing are created, and nothing is registered.
    """
    named = settings(broker=broker, http_port=http_port)
    if broker or "broker" in named.model_fields_set:
        run(_up(named, demo=False))
        return
    from deploy.embedded import BrokerError, EmbeddedBroker

    try:
        with EmbeddedBroker(port) as embedded:
            own = {"archive_dir": own_archive(named), **beside(embedded)}
            run(_up(settings(http_port=http_port, **own), demo=register_demo))
    except BrokerError as error:
        raise typer.Exit(fail(str(error))) from None


def own_archive(named: Settings) -> Path | None:
    """A folder of this run's own: the embedded broker begins its topics anew each time, an archive can't."""
    return named.archive_dir and named.archive_dir / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"


def beside(embedded: Any) -> dict[str, Any]:
    """The settings of a worker beside the embedded broker."""
    from deploy.embedded import FETCH_MAX_WAIT_S, SESSION_TIMEOUT_S

    return {
        "broker": embedded.address,
        "session_timeout_s": SESSION_TIMEOUT_S,
        "fetch_max_wait_s": FETCH_MAX_WAIT_S,
        "idempotent_producer": "off",  # it gives no producer ids
        "replication": 1,
    }


async def _up(named: Settings, *, demo: bool) -> None:
    from streams.archive.serve import beside as archiver_beside
    from streams.kafka import create_topics

    await create_topics(named)
    if demo:
        await seed(named)

    def ready(worker: Worker) -> None:
        out.print(
            f"[bold green]ready[/]  broker {named.broker}   metrics http://{named.http_host}:{worker.health.port}/metrics"
        )
        out.print("try:   veristream submit clip.mp4          (in another terminal)")
        out.print("       veristream tail decisions verdicts  (what happens, as it happens)")

        if named.archive_dir:
            out.print(f"       veristream query reasons --archive {escape(str(named.archive_dir))}", soft_wrap=True)

    async with archiver_beside(named):
        await until_stopped(named, ready)


async def seed(named: Settings) -> None:
    """Register a publisher and a provider to try things with."""
    from schemas.registry import IdentityNumber, Licence, Provider, Publisher
    from schemas.topics import PROVIDERS, PUBLISHERS
    from streams.client import Client

    async with Client(named) as client:
        person = Publisher(
            publisher_id="demo",
            kind="person",
            real_name="verified",
            verified_at=datetime.now(UTC),
            numbers=(IdentityNumber(kind="id_number", form="valid"),),
            born="1990-01",
        )
        licences = (
            Licence(kind="audio-video", number="0110538", services=("*",)),
            Licence(kind="news", number="demo news permit", services=("*",)),
        )
        await client.send(PUBLISHERS, person)
        await client.send(PROVIDERS, Provider(provider_id="demo-provider", name="Demo Video", licences=licences))


def demo(
    once: Annotated[
        bool, typer.Option("--once", help="run the scenario, print one table, exit 0 if all is as expected")
    ] = False,
    case: Annotated[list[int] | None, typer.Option(help="only these cases (1 to 12); may be repeated")] = None,
) -> None:
    """Watch real clips go through the whole pipeline: twelve cases, from an ordinary upload to a cut livestream.

    Brings its own broker and pipeline on free ports, makes its media from real footage, and stays up afterwards for
    your own clips.
    """
    from deploy.demo.show import show

    raise typer.Exit(show(once=once, wanted=tuple(case or ())))
