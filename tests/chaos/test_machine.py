"""The wrong clock and the bad network do what they say: a fault that is not there proves nothing."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.embedded import free_port
from tests.chaos.machine import Impossible, machine
from tests.chaos.proxy import Network


def python(script: str, env: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, "-c", script], env=os.environ | env, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def with_machine(folder: Path, **given: object) -> dict[str, str]:
    try:
        return machine(folder, **given)  # type: ignore[arg-type]
    except Impossible as reason:
        pytest.skip(str(reason))


@pytest.mark.parametrize("shift", [3600, -3600])
def test_the_wall_clock_is_wrong_and_no_other(tmp_path, shift):
    env = with_machine(tmp_path, clock_s=shift)
    script = (
        "import datetime, time; begun = time.monotonic(); time.sleep(0.2); slept = time.monotonic() - begun\n"
        "print(time.time(), datetime.datetime.now(datetime.UTC).timestamp(), time.monotonic(), slept)"
    )
    wall, date, monotonic, slept = map(float, python(script, env).split())
    assert (wall - time.time(), date - time.time()) == (pytest.approx(shift, abs=30), pytest.approx(shift, abs=30))
    assert monotonic == pytest.approx(time.monotonic(), abs=30)
    assert 0.2 <= slept < 30


@contextlib.contextmanager
def echo() -> Iterator[int]:
    """A server that sends back what comes; gives its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    threading.Thread(target=answer, args=(connection,), daemon=True).start()

        def answer(connection: socket.socket) -> None:
            with connection, contextlib.suppress(OSError):
                while data := connection.recv(1000):
                    connection.sendall(data)

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]


@pytest.fixture
def network() -> Iterator[tuple[Network, int]]:
    """A network, and the port that leads through it to an echo."""
    with echo() as target:
        network = Network()
        port = free_port()
        network.lead(port, target)
        yield network, port
        network.close()


def test_a_connection_goes_to_the_port_that_stands_for_the_other(tmp_path, network):
    _, port = network
    named = free_port()  # where nothing listens
    env = with_machine(tmp_path, ports={named: port})
    talk = f"s = socket.create_connection(('127.0.0.1', {named}), 10); s.sendall(b'hello'); print(s.recv(9))"
    script = f"import socket\n{talk}"
    assert python(script, env).strip() == "b'hello'"


def test_a_slow_network_is_late_by_its_delay_each_way(network):
    slow, port = network
    with socket.create_connection(("127.0.0.1", port), 10) as client:
        slow.delay_s = 0.3
        begun = time.monotonic()
        client.sendall(b"hello")
        assert client.recv(9) == b"hello"
        assert time.monotonic() - begun >= 0.6


def test_a_cut_network_is_silent_and_loses_nothing_when_it_is_mended(network):
    cut, port = network
    with socket.create_connection(("127.0.0.1", port), 10) as client:
        cut.cut()
        client.sendall(b"hello")
        client.settimeout(0.5)
        with pytest.raises(TimeoutError):
            client.recv(9)
        client.settimeout(10)
        cut.mend()
        assert client.recv(9) == b"hello"


def test_a_reset_breaks_every_connection_and_lets_others_be_made(network):
    broken, port = network
    with socket.create_connection(("127.0.0.1", port), 10) as client:
        client.sendall(b"hello")
        assert client.recv(9) == b"hello"
        broken.reset()
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(9) == b""
    with socket.create_connection(("127.0.0.1", port), 10) as client:
        client.sendall(b"again")
        assert client.recv(9) == b"again"
