"""A cluster of Apache Kafka on loopback: each broker a controller as well (KRaft), the data in a folder."""

from __future__ import annotations

import asyncio
import fcntl
import json
import random
import re
import secrets
import shutil
import signal
import socket
import ssl
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from time import monotonic, sleep
from typing import Any, TextIO

from deploy.kafka import jvm as java
from deploy.kafka import security
from deploy.kafka.broker import STOP_TIMEOUT_S, Broker
from deploy.kafka.jars import KafkaError, Report
from deploy.kafka.jvm import Jvm
from deploy.kafka.security import Authority
from deploy.kafka.storage import format_new, new_id

#: Below the ports that the system lends to outgoing connections (from 32768): one of those would be taken while its
#: broker is down, even by a client that tries to reach just this broker and so connects to itself.
PORTS = range(20_000, 32_000)
#: For writing the class archive at the end of a run: some two seconds.
ARCHIVE_TIMEOUT_S = 60.0
#: Of one question to a broker; it is asked again until the start's own time-out.
ASK_TIMEOUT_S = 5.0
#: Of the hash over a password; the least that Kafka takes, and its passwords here are random.
ITERATIONS = 4096


class Cluster:
    """Brokers on loopback that live as long as this process; use as a context manager.

    Args:
        folder: where data, settings and logs are kept; the next cluster in it goes on with the data.
        brokers: how many, each a controller as well.
        first_port: of the first broker, the others follow; none: free ones.
        secure: TLS and SASL/SCRAM for clients, TLS with certificates between brokers, access lists that deny.
        heap_mb: of each broker.
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
        self._lock: TextIO | None = None
        self._config = dict(config)
        self._jvm = jvm or prepare(report=report)
        ports = _ports((3 if secure else 2) * brokers, first_port)
        self._controllers = dict(enumerate(ports[brokers : 2 * brokers], 1))
        #: Where a secure broker takes clients and other brokers by their certificates.
        self._tls_ports = dict(enumerate(ports[2 * brokers :], 1))
        self._authority = Authority(self.folder / "secure") if secure else None
        self.brokers = [
            Broker(
                number,
                ports[number - 1],
                self.folder / f"broker-{number}",
                Path(log_dirs.get(number, self.folder / f"broker-{number}" / "data")).absolute(),
                self._jvm,
                heap_mb,
                self._registered,
            )
            for number in range(1, brokers + 1)
        ]

    @property
    def address(self) -> str:
        """The bootstrap servers, HOST:PORT,HOST:PORT."""
        return ",".join(broker.address for broker in self.brokers)

    @property
    def settings(self) -> dict[str, Any]:
        """What `streams.settings.load` needs to reach it; of a secure one, as its admin."""
        if self._authority is None:
            return {"broker": self.address}
        return {
            "broker": self.address,
            "broker_protocol": "SASL_SSL",
            "broker_ca": self._authority.certificate,
            "broker_mechanism": security.MECHANISM,
            "broker_user": security.ADMIN,
            "broker_password_file": self._authority.password_file,
        }

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
        self._lock_folder()
        try:
            self._start()
        except BaseException:
            self._end()
            raise

    def _start(self) -> None:
        cluster_id = self._identity()
        for port in (*(broker.port for broker in self.brokers), *self._controllers.values(), *self._tls_ports.values()):
            _refuse_taken(port)
        for broker in self.brokers:
            self._configure(broker)
        format_new(replace(self._jvm, recording=False), self.brokers, cluster_id, self._first_user())
        for broker in self.brokers:
            broker.launch()
        for broker in self.brokers:
            broker.wait({other.number for other in self.brokers})

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
        self._end()

    def _end(self) -> None:
        for broker in self.brokers:
            broker.kill()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def leader_of(self, topic: str, partition: int) -> Broker:
        """The broker that leads the partition now.

        Raises:
            KafkaError: there is no such topic or partition, or it has no leader.
        """
        from aiokafka.errors import KafkaError as ClientError

        for broker in self.brokers:
            with suppress(ClientError, OSError, TimeoutError):
                rows = [row for found in self._ask(broker, [topic])["topics"] for row in found["partitions"]]
                leaders: dict[int, int] = {row["partition"]: row["leader"] for row in rows}
                if leaders.get(partition, -1) > 0:
                    return self.brokers[leaders[partition] - 1]
        raise KafkaError(f"{topic}[{partition}] has no leader")

    def add_user(self, name: str, password: str) -> dict[str, Any]:
        """Let a user in by name and password; what it may do, access lists say. Returns the settings that name it."""
        from confluent_kafka.admin import (
            AdminClient,
            ScramCredentialInfo,
            ScramMechanism,
            UserScramCredentialUpsertion,
        )

        authority = self._secured()
        admin = AdminClient(
            {
                "bootstrap.servers": self.address,
                "security.protocol": "SASL_SSL",
                "ssl.ca.location": str(authority.certificate),
                "sasl.mechanism": security.MECHANISM,
                "sasl.username": security.ADMIN,
                "sasl.password": authority.password,
            }
        )
        form = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, ITERATIONS)
        change = UserScramCredentialUpsertion(name, form, password.encode())
        for done in admin.alter_user_scram_credentials([change]).values():
            done.result(ASK_TIMEOUT_S)
        # Each broker lets the user in once the change has reached it.
        deadline = monotonic() + ASK_TIMEOUT_S
        for broker in self.brokers:
            while broker.is_up() and not self._registered(broker, name, password):
                if monotonic() > deadline:
                    raise KafkaError(f"broker {broker.number} does not let the new user {name!r} in")
                sleep(0.02)
        return self.settings | {"broker_user": name, "broker_password": password, "broker_password_file": None}

    def certificate(self, name: str) -> dict[str, Any]:
        """Settings of a client that shows a certificate of that name instead of a password."""
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name) or name in (security.ADMIN, security.BROKER):
            raise KafkaError(f"{name!r} is no name for a client's certificate: letters, digits, '.', '_', '-'")
        authority = self._secured()
        cert, key = authority.issue(name)
        return {
            "broker": ",".join(f"127.0.0.1:{port}" for port in self._tls_ports.values()),
            "broker_protocol": "SSL",
            "broker_ca": authority.certificate,
            "broker_cert": cert,
            "broker_key": key,
        }

    def _secured(self) -> Authority:
        if self._authority is None:
            raise KafkaError("this cluster is not secure: it knows no users")
        return self._authority

    # How a broker is asked

    def _ask(self, broker: Broker, topics: list[str], *user: str) -> dict[str, Any]:
        """The metadata as this broker knows it, of the cluster and of these topics."""
        from aiokafka.conn import create_conn
        from aiokafka.protocol.metadata import MetadataRequest

        async def ask() -> dict[str, Any]:
            connection = await create_conn(
                "127.0.0.1", broker.port, request_timeout_ms=int(ASK_TIMEOUT_S * 1000), **self._connection(*user)
            )
            try:
                answer = await connection.send(MetadataRequest(topics, allow_auto_topic_creation=False))
                return dict(answer.to_object())
            finally:
                connection.close()

        # In a thread with a loop of its own: whoever asks may be inside a running loop.
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(lambda: asyncio.run(ask())).result()

    def _connection(self, user: str = security.ADMIN, password: str | None = None) -> dict[str, Any]:
        if self._authority is None:
            return {}
        return {
            "security_protocol": "SASL_SSL",
            "ssl_context": ssl.create_default_context(cafile=self._authority.certificate),
            "sasl_mechanism": security.MECHANISM,
            "sasl_plain_username": user,
            "sasl_plain_password": password or self._authority.password,
        }

    def _registered(self, broker: Broker, *user: str) -> set[int]:
        """The brokers that this one knows as registered and running; none if it does not answer (to the user)."""
        from aiokafka.errors import KafkaError as ClientError

        with suppress(ClientError, OSError, TimeoutError):
            return {row["node_id"] for row in self._ask(broker, [], *user)["brokers"]}
        return set()

    # What is on disk

    def _lock_folder(self) -> None:
        """Keep others out of the folder: they would write settings and logs over those of brokers that run."""
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = (self.folder / "lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise KafkaError(f"a cluster runs in {self.folder} already: end it, or choose another folder") from None
        self._lock = lock

    def _identity(self) -> str:
        """The cluster's id, from the folder or new; what cannot change is compared."""
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
        cluster_id = new_id()
        file.write_text(json.dumps({"id": cluster_id, **now}), "utf-8")
        return cluster_id

    def _first_user(self) -> str | None:
        if self._authority is None:
            return None
        return f"{security.MECHANISM}=[name={security.ADMIN},password={self._authority.password}]"

    def _configure(self, broker: Broker) -> None:
        broker.properties.parent.mkdir(parents=True, exist_ok=True)
        lines = self._properties(broker)
        if self._authority is not None:
            store = self._authority.key_store(security.BROKER)
            ports = broker.port, self._tls_ports[broker.number], self._controllers[broker.number]
            lines |= self._authority.properties(*ports, store)
        text = "".join(f"{name}={value}\n" for name, value in {**lines, **self._config}.items())
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


def prepare(folder: Path | None = None, report: Report = lambda _: None) -> Jvm:
    """Java and Kafka's jars, fetched if need be, and the class archive: made by one run of a broker, once a machine.

    Raises:
        KafkaMissing: there is no Java that Kafka runs on, or the jars cannot be had.
    """
    jvm = java.find(folder, report)
    if not jvm.archive.exists():
        report("preparing faster starts: one run of a broker, once for these jars")
        with tempfile.TemporaryDirectory() as place:
            archive = Path(place) / "classes.jsa"
            with Cluster(Path(place), brokers=1, jvm=replace(jvm, archive=archive, recording=True)) as run:
                whole = run.brokers[0].stop(ARCHIVE_TIMEOUT_S)
            if whole and archive.exists():
                # Folders of others may be read only; starts are slower then, and nothing else.
                with suppress(OSError):
                    fresh = jvm.archive.with_name(f"{jvm.archive.name}.{secrets.token_hex(4)}")
                    shutil.copyfile(archive, fresh)
                    fresh.rename(jvm.archive)
    return jvm


def _ports(count: int, first: int | None) -> list[int]:
    """Consecutive ones from the first on, or free ones."""
    if first is not None:
        return list(range(first, first + count))
    found: list[int] = []
    for port in random.sample(PORTS, len(PORTS)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with suppress(OSError):
                probe.bind(("127.0.0.1", port))
                found.append(port)
        if len(found) == count:
            return found
    raise KafkaError(f"no {count} ports are free between {PORTS.start} and {PORTS.stop}")


def _refuse_taken(port: int) -> None:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            raise KafkaError(f"something already listens on port {port}: end it, or choose another with --port")
