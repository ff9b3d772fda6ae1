"""`kafka`: a real Apache Kafka on this machine."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streams.cli.console import err, fail, out
from streams.settings import PREFIX

if TYPE_CHECKING:
    from deploy.kafka.cluster import Cluster

kafka = typer.Typer(
    no_args_is_help=True,
    help="Run a real Apache Kafka on this machine, with several brokers, replicas and a disk. Needs Java and Maven.",
)
#: How often a broker that ended by itself is noticed.
LOOK_S = 0.5

Jars = Annotated[
    Path | None,
    typer.Option(
        "--jars", metavar="DIR", show_default=False, help="where the jars lie [default: ~/.cache/veristream/kafka-…]"
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(kafka, name="kafka")


@kafka.command("fetch")
def kafka_fetch(jars: Jars = None) -> None:
    """Fetch Kafka's jars with Maven, once; every one is checked by its SHA-256, and again before each start."""
    from deploy.kafka.cluster import prepare
    from deploy.kafka.jars import KafkaError

    try:
        jvm = prepare(jars, report=_report)
    except KafkaError as error:
        raise typer.Exit(fail(str(error))) from None
    _report(f"ready: {len(jvm.jars)} jars in {jvm.jars[0].parent}, Java {jvm.version}")


@kafka.command("up")
def kafka_up(
    brokers: Annotated[int, typer.Option(min=1, max=9, help="each is a controller as well")] = 3,
    port: Annotated[int, typer.Option(help="of the first broker; the others follow, then the controllers'")] = 9092,
    secure: Annotated[
        bool, typer.Option("--secure", help="TLS, users with passwords (SCRAM), and access lists that deny")
    ] = False,
    folder: Annotated[
        Path | None,
        typer.Option(help="what it keeps between runs [default: ~/.local/share/veristream/kafka]", show_default=False),
    ] = None,
    heap_mb: Annotated[int, typer.Option("--heap-mb", help="of each broker")] = 256,
    jars: Jars = None,
) -> None:
    """Run brokers in the foreground until Ctrl-C; what they hold is there again at the next start.

    Prints the variables by which every other command reaches them. Then, in another terminal: those lines,
    `veristream topics create` and `veristream worker`.
    """
    from deploy.kafka.cluster import Cluster, prepare
    from deploy.kafka.jars import KafkaError

    try:
        jvm = prepare(jars, report=_report)
        place = folder or _data_home() / ("kafka-secure" if secure else "kafka")
        cluster = Cluster(place, brokers=brokers, first_port=port, secure=secure, heap_mb=heap_mb, jvm=jvm)
        stop = _on_signals()
        with cluster:
            _say(cluster)
            _watch(cluster, stop)
    except KafkaError as error:
        raise typer.Exit(fail(str(error))) from None


def _data_home() -> Path:
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "veristream"


def _on_signals() -> threading.Event:
    """Set by the first Ctrl-C or SIGTERM; the second ends this process at once, and the brokers with it."""
    asked = threading.Event()

    def on_signal(*_: object) -> None:
        if asked.is_set():
            os._exit(130)
        err.print("stopping: what the brokers hold stays (once more: at once)")
        asked.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)
    return asked


def _report(line: str) -> None:
    err.print(line, soft_wrap=True, markup=False)


def variables(cluster: Cluster) -> dict[str, str]:
    """The environment by which every command of ours reaches the cluster."""
    named: dict[str, Any] = cluster.settings | {"replication": min(3, len(cluster.brokers))}
    return {PREFIX + name.upper(): str(value) for name, value in named.items()}


def _say(cluster: Cluster) -> None:
    for broker in cluster.brokers:
        _report(f"broker {broker.number}  {broker.address}  process {broker.pid}  log {broker.log}")
    err.print(f"[bold green]ready[/]  {cluster.address}   data in {cluster.folder}", soft_wrap=True)
    for name, value in variables(cluster).items():
        out.print(f"export {name}={quote(value)}", soft_wrap=True, markup=False)


def _watch(cluster: Cluster, stop: threading.Event) -> None:
    """Wait for the end, and say so when a broker ends by itself; the others go on, as they would anywhere."""
    from deploy.kafka.broker import said

    up = set(cluster.brokers)
    while not stop.wait(LOOK_S):
        for broker in sorted(up, key=lambda each: each.number):
            if broker.pid is None:
                up.discard(broker)
                _report(f"broker {broker.number} ended with {broker.exit_code}; {said(broker.log)}")
                _report("the others go on without it; the next start brings it back with its data")
        if not up:
            raise typer.Exit(fail("every broker has ended"))
