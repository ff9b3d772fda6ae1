"""The pipeline as its users run it: `veristream` in processes of its own, on ports of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import TypeVar

from deploy.embedded import FETCH_MAX_WAIT_S, SESSION_TIMEOUT_S, free_port
from streams.settings import Settings, load

#: Starting takes about six seconds on an idle machine.
START_TIMEOUT_S = 90.0
COMMAND = str(Path(sys.executable).parent / "veristream")


@dataclass
class Running:
    """A process of ours, and how to reach what it runs."""

    process: subprocess.Popen[bytes]
    settings: Settings
    log: Path

    def metric(self, line: str) -> float:
        """The value of one series of /metrics, 0 if it is not there."""
        text = get(f"http://127.0.0.1:{self.settings.http_port}/metrics")[1]
        return next((float(row.rsplit(" ", 1)[1]) for row in text.splitlines() if row.startswith(line + " ")), 0.0)


def get(url: str) -> tuple[int, str]:
    """Status and body; status 0 where nothing listens."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError as error:
        return 0, str(error)


T = TypeVar("T")


def until(condition: Callable[[], T], what: str, timeout_s: float = START_TIMEOUT_S) -> T:
    """Wait for the condition and return what it gave; fail with `what` if it never held."""
    deadline = monotonic() + timeout_s
    while not (found := condition()):
        assert monotonic() < deadline, f"{what} within {timeout_s:.0f} s"
        sleep(0.05)
    return found


def environment(settings: Settings) -> dict[str, str]:
    """The environment of a command with these settings, and none of ours."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("VERISTREAM_")}
    return kept | {
        "VERISTREAM_STORE": str(settings.store),
        "VERISTREAM_HTTP_PORT": str(settings.http_port),
        "VERISTREAM_SESSION_TIMEOUT_S": str(settings.session_timeout_s),
        "VERISTREAM_FETCH_MAX_WAIT_S": str(settings.fetch_max_wait_s),
        "VERISTREAM_TOPIC_PREFIX": settings.topic_prefix,
        "VERISTREAM_GROUP_PREFIX": settings.group_prefix,
    }


def start(settings: Settings, log: Path, *arguments: str) -> Running:
    """Start a command and wait until its worker is ready."""
    with log.open("ab") as out:
        process = subprocess.Popen(
            [COMMAND, *arguments], env=environment(settings), stdout=out, stderr=out, start_new_session=True
        )
    running = Running(process, settings, log)

    def ready() -> bool:
        assert process.poll() is None, f"it ended with {process.returncode}:\n{log.read_text()[-4000:]}"
        return get(f"http://127.0.0.1:{settings.http_port}/readyz")[0] == 200

    until(ready, f"{' '.join(arguments)} was not ready")
    return running


def stop(running: Running, number: int = signal.SIGINT) -> int:
    """Send it a signal and wait for its end."""
    if running.process.poll() is None:
        os.kill(running.process.pid, number)
    return running.process.wait(60)


def settings_for(folder: Path, port: int) -> Settings:
    """Settings beside an embedded broker on that port, with a store in the folder."""
    return load(
        broker=f"127.0.0.1:{port}",
        http_port=free_port(),
        store=folder / "store",
        session_timeout_s=SESSION_TIMEOUT_S,
        fetch_max_wait_s=FETCH_MAX_WAIT_S,
    )
