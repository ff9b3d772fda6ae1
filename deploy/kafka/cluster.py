"""A cluster of Apache Kafka on loopback: each broker a controller as well (KRaft), the data in a folder."""

from __future__ import annotations

import asyncio
import json
import random
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, TypeVar

from deploy.kafka import jvm as java
from deploy.kafka.broker import STOP_TIMEOUT_S, TAIL, Broker
from deploy.kafka.jars import KafkaError, Report
from deploy.kafka.jvm import Jvm

if TYPE_CHECKING:
    from aiokafka.admin import AIOKafkaAdminClient

#: Below the ports that the system lends to outgoing connections (from 32768): one of those would be taken while its
#: broker is down, even by a client that tries to reach just this broker and so connects to itself.
PORTS = range(20_000, 32_000)
FORMAT_TIMEOUT_S = 60.0
#: Of one question to a broker; it is asked again until the start's own time-out.
ASK_TIMEOUT_S = 5.0

T = TypeVar("T")


class Cluster:
    """Brokers on loopback that live as long as this process; use as a context manager.

    Args:
        folder: where data, settings and logs are kept; the next cluster in it goes on with the data.
        brokers: how many, each a controller as well.
        first_port: of the first broker, the others follow; none: free ones.
        secure: TLS and SASL/SCRAM for clients, TLS with certificates between brokers, access lists that deny.
        heap_mb: of each broker. 256 carries some thousand partitions.
        config: broker settings that differ from the ones here, as in server.properties.
        log_dirs: by broker number, where its data lies if not in the folder.
        jvm: the Java and the jars, if they are not the ones found.
    """

    def __init__(
        self,
        folder: Path,
        *,
        brokers: int = 3,
        first_port: int | None = None,
        secure: bool = False,
        heap_mb: int = 256,
        config: Mapping[str, str] = {},
        log_dirs: Mapping[int, Path] = {},
        jvm: Jvm | None = None,
        report: Report = lambda _: None,
    ) -> None:
        if brokers < 1:
            raise KafkaError(f"a cluster has at least one broker, not {brokers}")
        self.folder = folder.absolute()
        self.secure = secure
        self._report = report
        self._config = dict(config)
        self._jvm = jvm or _with_archive(java.find(report=report), report)
        ports = _ports(brokers, first_port)
        self._controllers = dict(enumerate(ports[brokers:], 1))
        self.brokers = [
            Broker(
                number,
                ports[number - 1],
                self.folder / f"broker-{number}",
                Path(log_dirs.get(number, self.folder / f"broker-{number}" / "data")).absolute(),
                self._jvm,
                heap_mb,
                lambda number=number: self._registered(number),  # type: ignore[misc]
            )
            for number in range(1, brokers + 1)
        ]

    @property
    def address(self) -> str:
        """The bootstrap servers, HOST:PORT,HOST:PORT."""
        return ",".join(broker.address for broker in self.brokers)

    @property
    def settings(self) -> dict[str, Any]:
        """What `streams.settings.load` needs to reach it."""
        return {"broker": self.address}

    def __enter__(self) -> Cluster:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Format what is new, start every broker, and wait until each is registered and answers.

        Raises:
            KafkaError: a port is taken, the folder holds another kind of cluster, or a broker did not start.
        """
        for port in (*(broker.port for broker in self.brokers), *self._controllers.values()):
            _refuse_taken(port)
        cluster_id = self._identity()
        for broker in self.brokers:
            self._configure(broker)
        self._format(cluster_id)
        try:
            for broker in self.brokers:
                broker.launch()
            for broker in self.brokers:
                broker.wait()
        except BaseException:
            for broker in self.brokers:
                broker.kill()
            raise

    def stop(self) -> None:
        """Stop every broker, its data kept.

        All are told at once. When the data of all is closed, the last controllers would wait five more seconds for
        the ones that are gone; they are ended.
        """
        for broker in self.brokers:
            broker.signal(signal.SIGTERM)
        deadline = monotonic() + STOP_TIMEOUT_S
        while any(broker.pid is not None and not broker.closed for broker in self.brokers) and monotonic() < deadline:
            sleep(0.02)
        for broker in self.brokers:
            broker.kill()

    def leader_of(self, topic: str, partition: int) -> Broker:
        """The broker that leads the partition now.

        Raises:
            KafkaError: there is no such topic or partition, or it has no leader.
        """

        async def ask(admin: AIOKafkaAdminClient) -> int | None:
            (found,) = await admin.describe_topics([topic])
            leaders = {row["partition"]: row["leader"] for row in found["partitions"]}
            return leaders.get(partition)

        number = _apart(lambda: self._ask(self.address, ask))
        if number is None or not 1 <= number <= len(self.brokers):
            raise KafkaError(f"{topic}[{partition}] has no leader")
        return self.brokers[number - 1]

    # How a broker is asked

    async def _ask(self, address: str, question: Callable[[AIOKafkaAdminClient], Awaitable[T]]) -> T:
        from aiokafka.admin import AIOKafkaAdminClient

        admin = AIOKafkaAdminClient(
            bootstrap_servers=address, request_timeout_ms=int(ASK_TIMEOUT_S * 1000), **self._connection()
        )
        try:
            async with asyncio.timeout(2 * ASK_TIMEOUT_S):
                await admin.start()
                return await question(admin)
        finally:
            await admin.close()

    def _connection(self) -> dict[str, Any]:
        return {}

    def _registered(self, number: int) -> bool:
        """Whether that broker answers and knows itself and all that run as registered."""
        from aiokafka.errors import KafkaError as ClientError

        wanted = {broker.number for broker in self.brokers if broker.pid is not None}

        async def ask(admin: AIOKafkaAdminClient) -> bool:
            return {row["node_id"] for row in (await admin.describe_cluster())["brokers"]} >= wanted

        with suppress(ClientError, OSError, TimeoutError):
            return _apart(lambda: self._ask(self.brokers[number - 1].address, ask))
        return False

    # What is on disk

    def _identity(self) -> str:
        """The cluster's id, from the folder or new; what cannot change is compared."""
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self.folder / "cluster.json"
        now = {"brokers": len(self.brokers), "secure": self.secure}
        if file.exists():
            kept = json.loads(file.read_text("utf-8"))
            if {name: kept[name] for name in now} != now:
                raise KafkaError(
                    f"{self.folder} holds a cluster of {kept['brokers']} brokers, "
                    f"{'secure' if kept['secure'] else 'not secure'}: start it as it is, choose another folder, or "
                    "delete this one with its data"
                )
            return str(kept["id"])
        cluster_id = urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=").replace("-", "_")
        file.write_text(json.dumps({"id": cluster_id, **now}), "utf-8")
        return cluster_id

    def _configure(self, broker: Broker) -> None:
        broker.properties.parent.mkdir(parents=True, exist_ok=True)
        lines = {**self._properties(broker), **self._config}
        text = "".join(f"{name}={value}\n" for name, value in lines.items())
        broker.properties.touch(0o600)
        broker.properties.write_text(text, "utf-8")

    def _properties(self, broker: Broker) -> dict[str, str]:
        replicas = min(3, len(self.brokers))
        in_sync = 2 if replicas == 3 else 1
        controller = self._controllers[broker.number]
        voters = ",".join(f"{number}@127.0.0.1:{port}" for number, port in self._controllers.items())
        return {
            "process.roles": "broker,controller",
            "node.id": str(broker.number),
            "controller.quorum.voters": voters,
            "listeners": f"PLAINTEXT://127.0.0.1:{broker.port},CONTROLLER://127.0.0.1:{controller}",
            "controller.listener.names": "CONTROLLER",
            "log.dirs": str(broker.log_dir),
            "auto.create.topics.enable": "false",
            "unclean.leader.election.enable": "false",
            "default.replication.factor": str(replicas),
            "min.insync.replicas": str(in_sync),
            "offsets.topic.replication.factor": str(replicas),
            "transaction.state.log.replication.factor": str(replicas),
            "transaction.state.log.min.isr": str(in_sync),
            # Kafka's own 50 cost a small machine more than they bring: two on each broker share the groups.
            "offsets.topic.num.partitions": str(2 * len(self.brokers)),
            "transaction.state.log.num.partitions": str(2 * len(self.brokers)),
            "group.initial.rebalance.delay.ms": "0",
            # Of 128 MB by default, which the heap has no room for.
            "log.cleaner.dedupe.buffer.size": str(16 * 2**20),
            "num.network.threads": "2",
            "num.io.threads": "4",
            "background.threads": "2",
        }

    def _format(self, cluster_id: str) -> None:
        new = [broker for broker in self.brokers if not (broker.log_dir / "meta.properties").exists()]
        runs = []
        for broker in new:
            broker.log_dir.mkdir(parents=True, exist_ok=True)
            log = broker.log.with_name("format.log")
            command = self._jvm.command(
                "kafka.tools.StorageTool", "format", "--config", str(broker.properties), "--cluster-id", cluster_id
            )
            runs.append((broker, log, replace(self._jvm, recording=False).start(command, log)))
        for broker, log, run in runs:
            try:
                code = run.wait(FORMAT_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                run.kill()
                code = run.wait()
            if code != 0:
                raise KafkaError(
                    f"the storage of broker {broker.number} was not formatted ({code}); {log} ends:\n"
                    f"{log.read_text('utf-8', 'replace')[-TAIL:]}"
                )


def _with_archive(jvm: Jvm, report: Report) -> Jvm:
    """Make the class archive by one run of a broker if it is not there: once a machine, for fast starts ever after."""
    if not jvm.archive.exists():
        report("preparing faster starts: one run of a broker, once on this machine")
        with tempfile.TemporaryDirectory() as folder:
            archive = Path(folder) / "classes.jsa"
            with Cluster(Path(folder), brokers=1, jvm=replace(jvm, archive=archive, recording=True)):
                pass
            if archive.exists():
                fresh = jvm.archive.with_name(f"{jvm.archive.name}.{secrets.token_hex(4)}")
                shutil.copyfile(archive, fresh)
                fresh.rename(jvm.archive)
    return jvm


def _apart(question: Callable[[], Awaitable[T]]) -> T:
    """Run it in a thread with a loop of its own: whoever asks may be inside a running loop."""

    async def asked() -> T:
        return await question()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(asked())).result()


def _ports(brokers: int, first: int | None) -> list[int]:
    """Two a broker: for clients, then for controllers."""
    if first is not None:
        return list(range(first, first + 2 * brokers))
    found: list[int] = []
    for port in random.sample(PORTS, len(PORTS)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with suppress(OSError):
                probe.bind(("127.0.0.1", port))
                found.append(port)
        if len(found) == 2 * brokers:
            return found
    raise KafkaError(f"no {2 * brokers} ports are free between {PORTS.start} and {PORTS.stop}")


def _refuse_taken(port: int) -> None:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            raise KafkaError(f"something already listens on port {port}: end it, or choose another with --port")
