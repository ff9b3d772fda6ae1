"""Workers as a platform runs them: `veristream worker` in processes of their own, started again when they end."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from time import monotonic, sleep

from deploy.embedded import free_port
from tests.bench.report import clean_env

#: As systemd's RestartSec in our unit files' example: a worker that ends at once does not fill the machine.
RESTART_AFTER_S = 1.0
#: Between two looks at the processes.
LOOK_S = 0.1
#: Starting takes some six seconds on an idle machine, reading state and joining groups included.
READY_TIMEOUT_S = 120.0
#: A worker that ends so often before it is ready never will be.
MOST_STARTS = 5
#: Longer than a worker's own grace, after which it ends itself.
STOP_TIMEOUT_S = 45.0
COMMAND = str(Path(sys.executable).with_name("veristream"))
_PR_SET_PDEATHSIG = 1


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Worker:
    """One worker and its supervisor. What it says lies in one log over all its starts."""

    def __init__(self, number: int, folder: Path, agents: str, settings: Mapping[str, str], env: Mapping[str, str]):
        self.number = number
        self.log = folder / f"worker-{number}.log"
        #: Exit codes of ends that nobody asked for, and of those that were; negative: a signal.
        self.exits: list[int] = []
        self.stops: list[int] = []
        self._http_port = free_port()
        self._command = [COMMAND, "worker", "--agents", agents, "--http-port", str(self._http_port)]
        self._env = clean_env(**settings) | env
        self._folder = folder
        self._wanted = threading.Event()
        self._stopping = False
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._supervise, name=f"worker-{number}", daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int:
        """Of the process that runs now; waits for one."""
        deadline = monotonic() + READY_TIMEOUT_S
        while (process := self._process) is None or process.poll() is not None:
            if monotonic() > deadline:
                raise TimeoutError(f"worker {self.number} did not come back")
            sleep(LOOK_S)
        return process.pid

    def _supervise(self) -> None:
        while not self._stopping:
            with self.log.open("ab") as out:
                self._process = subprocess.Popen(
                    self._command, cwd=self._folder, env=self._env, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                    start_new_session=True,
                    preexec_fn=_die_with_parent,  # noqa: PLW1509 - one system call
                )  # fmt: skip
            self._process.wait()
            code = self._process.returncode
            (self.stops if self._wanted.is_set() else self.exits).append(code)
            self._wanted.clear()
            if not self._stopping:
                sleep(RESTART_AFTER_S)

    def send(self, number: int) -> None:
        """Send its process a signal that is to end it, and wait for the end; its supervisor starts another."""
        process = self._process
        if process is None or process.poll() is not None:
            return
        self._wanted.set()
        os.kill(process.pid, number)
        process.wait(STOP_TIMEOUT_S)

    def freeze(self) -> None:
        """Stop it from running, as a machine that swaps or a virtual machine that is moved does."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it run again."""
        os.kill(self.pid, signal.SIGCONT)

    @property
    def is_running(self) -> bool:
        """Whether its process runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def is_ready(self) -> bool:
        """What its probe says."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._http_port}/readyz", timeout=1.0) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def until_ready(self) -> None:
        """Wait until its probe says that it is ready."""
        deadline = monotonic() + READY_TIMEOUT_S
        ended = len(self.exits)
        while not self.is_ready:
            if monotonic() > deadline or len(self.exits) - ended >= MOST_STARTS:
                raise TimeoutError(f"worker {self.number} was not ready; it said:\n{self.said()}")
            sleep(LOOK_S)

    def said(self, lines: int = 15) -> str:
        """The last lines of its log."""
        return "\n".join(self.log.read_text("utf-8", "replace").splitlines()[-lines:]) if self.log.exists() else ""

    def close(self) -> None:
        """Stop it for good, gently first."""
        self._stopping = True
        process = self._process
        if process and process.poll() is None:
            os.kill(process.pid, signal.SIGCONT)
            try:
                self.send(signal.SIGTERM)
            except subprocess.TimeoutExpired:
                self.stops.append(-signal.SIGKILL)
        if process and process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        self._thread.join()


class Workers:
    """Some workers of one group."""

    def __init__(self, folder: Path, agents: str, settings: Mapping[str, str]) -> None:
        self.all: list[Worker] = []
        self._gone: list[Worker] = []
        self._folder = folder
        self._agents = agents
        self._settings = settings

    def __getitem__(self, number: int) -> Worker:
        return self.all[number]

    def __len__(self) -> int:
        return len(self.all)

    def join(self, env: Mapping[str, str] | None = None, **settings: str) -> Worker:
        """Start one more; `settings` and `env` are its own."""
        number = len(self.all) + len(self._gone)
        worker = Worker(number, self._folder, self._agents, {**self._settings, **settings}, env or {})
        self.all.append(worker)
        return worker

    def leave(self, worker: Worker) -> None:
        """Stop one for good."""
        self.all.remove(worker)
        self._gone.append(worker)
        worker.close()

    def until_ready(self) -> None:
        """Wait until each is."""
        for worker in self.all:
            worker.until_ready()

    @property
    def exits(self) -> list[int]:
        """Exit codes of ends that nobody asked for."""
        return [code for worker in (*self.all, *self._gone) for code in worker.exits]

    @property
    def stops(self) -> list[int]:
        """Exit codes of ends that were asked for."""
        return [code for worker in (*self.all, *self._gone) for code in worker.stops]

    def close(self) -> None:
        """Stop all, side by side."""
        threads = [threading.Thread(target=worker.close) for worker in self.all]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
