"""One broker: a Java process that is started, stopped, killed and started again on its data."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
from collections.abc import Callable, Set
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING

from deploy.kafka.jars import KafkaError

if TYPE_CHECKING:
    from deploy.kafka.jvm import Jvm

#: Three brokers start within four seconds on two idle cores; a machine that is busy with something else gets more.
START_TIMEOUT_S = 120.0
#: It hands its partitions over within a second, and waits for ever where no controller is left to take them.
STOP_TIMEOUT_S = 15.0
#: Of a log that an error quotes, in characters.
TAIL = 3000


def said(log: Path) -> str:
    """What a log says of a failure: its errors if it names any, else its end; without the places in Java's code."""
    text = log.read_text("utf-8", "replace") if log.exists() else ""
    records = re.split(r"^(?=\d{4}-\d\d-\d\d )", text, flags=re.MULTILINE)
    errors = [record for record in records if re.match(r"\S+ \S+ (ERROR|FATAL) ", record)]
    lines = [line for record in errors or records for line in record.splitlines() if not line.startswith("\t")]
    # The first error is the cause, the last line where it ended.
    quoted = "\n".join(lines)[:TAIL] if errors else "\n".join(lines)[-TAIL:]
    return f"{log} says:\n{quoted}"


class Broker:
    """A broker of a cluster, on loopback."""

    def __init__(
        self,
        number: int,
        port: int,
        folder: Path,
        log_dir: Path,
        jvm: Jvm,
        heap_mb: int,
        registered: Callable[[Broker], Set[int]],
    ) -> None:
        self.number = number
        self.port = port
        self.log_dir = log_dir
        self.properties = folder / "server.properties"
        self.log = folder / "log"
        self._jvm = jvm
        self._heap_mb = heap_mb
        self._registered = registered
        self._process: subprocess.Popen[bytes] | None = None

    def __repr__(self) -> str:
        return f"Broker({self.number}, port={self.port}, pid={self.pid})"

    @property
    def address(self) -> str:
        """HOST:PORT for clients."""
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int | None:
        """The process, if it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    @property
    def exit_code(self) -> int | None:
        """Of the process, if it ended by itself; -9 if it was killed from outside."""
        return self._process.poll() if self._process is not None else None

    def is_up(self) -> bool:
        """Whether it runs and takes connections."""
        if self.pid is None:
            return False
        with socket.socket() as probe:
            probe.settimeout(1.0)
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    @property
    def closed(self) -> bool:
        """Whether its data was closed in order, which it notes in this file until its next start."""
        return (self.log_dir / ".kafka_cleanshutdown").exists()

    def start(self) -> None:
        """Start it on the data that it has, and wait until it is registered and answers.

        Raises:
            KafkaError: it ended or was not ready in time; the text holds the end of its log.
        """
        self.launch()
        self.wait()

    def launch(self) -> None:
        """Start it without waiting."""
        if self.pid is None:
            self.log.write_bytes(b"")
            command = self._jvm.command("kafka.Kafka", str(self.properties), heap_mb=self._heap_mb)
            self._process = self._jvm.start(command, self.log)

    def wait(self, others: Set[int] = frozenset(), timeout_s: float = START_TIMEOUT_S) -> None:
        """Wait until it answers and knows itself, and the others of these numbers, as registered."""
        deadline = monotonic() + timeout_s
        while not (self.is_up() and self._registered(self) >= {self.number, *others}):
            if self.pid is None:
                raise KafkaError(f"broker {self.number} ended with {self.exit_code}; {said(self.log)}")
            if monotonic() > deadline:
                raise KafkaError(f"broker {self.number} was not ready in {timeout_s:.0f} s; {said(self.log)}")
            sleep(0.02)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, such as SIGSTOP, if it runs."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def stop(self, timeout: float = STOP_TIMEOUT_S) -> bool:
        """SIGTERM: it hands its partitions over and flushes. One that takes longer than `timeout` s is killed.

        Returns:
            Whether it ended by itself.
        """
        self.signal(signal.SIGTERM)
        return self.join(timeout)

    def kill(self) -> None:
        """SIGKILL: as when the power goes, for all but what the operating system has of its writes."""
        self.signal(signal.SIGKILL)
        self.join(None)

    def join(self, timeout: float | None) -> bool:
        """Wait for its end; kill it after `timeout` s. Whether that was not needed."""
        if self._process is None:
            return True
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
        code = self._process.wait()
        self._process = None
        return code != -signal.SIGKILL
