"""A broker and a worker for a measure: each in a process of its own, so that it shares a loop with nobody."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from deploy.commands import beside
from deploy.embedded import EmbeddedBroker, free_port
from streams.settings import Settings
from tests.bench.report import clean_env

READY_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 40.0


def settings_for(broker: EmbeddedBroker, **others: object) -> Settings:
    """The settings of whatever runs beside this broker."""
    return Settings(**beside(broker), **others)


@contextmanager
def broker() -> Iterator[EmbeddedBroker]:
    """A fresh broker on a free port."""
    with EmbeddedBroker(free_port()) as fresh:
        yield fresh


class ProcessEnded(Exception):
    """A process has ended that should go on; raised inside `process`, it tells what the process said."""


def check(running: subprocess.Popen[bytes]) -> None:
    """Raise ProcessEnded if it has."""
    if running.poll() is not None:
        raise ProcessEnded


@contextmanager
def process(command: list[str], cwd: Path | None = None, **settings: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process with these Veristream settings, ended by SIGTERM at the end."""
    with tempfile.TemporaryFile() as words:
        running = subprocess.Popen(
            command, cwd=cwd, env=clean_env(**settings), stdin=subprocess.DEVNULL, stdout=words, stderr=words
        )
        try:
            yield running
        except ProcessEnded as ended:
            words.seek(0)
            said = words.read().decode("utf-8", "replace")[-2000:]
            raise ProcessEnded(f"{' '.join(command)} ended with {running.returncode}: {said}") from ended
        finally:
            running.terminate()
            try:
                running.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                running.kill()
                running.wait()


@contextmanager
def worker(settings: Settings, *agents: str, ready_s: float = READY_TIMEOUT_S) -> Iterator[subprocess.Popen[bytes]]:
    """`veristream worker` as it is installed, ready; in a folder of its own, away from anybody's veristream.toml."""
    port = free_port()
    command = [str(Path(sys.executable).with_name("veristream")), "worker", "--http-port", str(port)]
    if agents:
        command += ["--agents", ",".join(agents)]
    with tempfile.TemporaryDirectory(prefix="veristream-worker-") as folder:
        # What the command line cannot say travels as the environment.
        given = {
            name: str(getattr(settings, name))
            for name in ("broker", "session_timeout_s", "fetch_max_wait_s", "topic_prefix", "group_prefix", "store")
        }
        if settings.state_dir:
            given["state_dir"] = str(settings.state_dir)
        with process(command, Path(folder), log_level="warning", **given) as running:
            _wait_until_ready(running, port, ready_s)
            yield running


def _wait_until_ready(running: subprocess.Popen[bytes], port: int, ready_s: float) -> None:
    deadline = time.monotonic() + ready_s
    while True:
        check(running)
        try:
            with urlopen(f"http://127.0.0.1:{port}/readyz", timeout=1.0) as answer:
                if json.load(answer)["ready"]:
                    return
        except (URLError, OSError):
            pass
        if time.monotonic() > deadline:
            raise TimeoutError(f"the worker was not ready after {ready_s:.0f} s")
        time.sleep(0.05)
