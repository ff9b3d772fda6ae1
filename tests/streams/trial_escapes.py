"""A detector that does what a decoder does that was taken over: it tries to get out."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

from schemas.signals import Evidence, Signal
from streams.extraction.detector import Detector, Findings, Source

libc = ctypes.CDLL(None, use_errno=True)


def checked(answer: int) -> None:
    if answer < 0:
        raise OSError(ctypes.get_errno(), "refused")


def fork() -> None:
    if os.fork() == 0:
        os._exit(0)


def listen(family: int, address: object) -> None:
    with socket.socket(family, socket.SOCK_STREAM) as out:
        out.bind(address)


ATTEMPTS: dict[str, Callable[[], object]] = {
    "open": lambda: Path("/etc/passwd").read_bytes(),
    "list": lambda: list(Path("/").iterdir()),
    "proc": lambda: Path("/proc/self/maps").read_bytes(),
    "environment of the worker": lambda: Path(f"/proc/{os.getppid()}/environ").read_bytes(),
    "write": lambda: Path("/tmp/veristream-escaped").write_text("here"),
    "device": lambda: os.open("/dev/null", os.O_RDWR),
    "remove": lambda: Path("/tmp/veristream-nothing").unlink(),
    "rights": lambda: Path("/tmp").chmod(0o777),
    "internet": lambda: socket.socket().connect(("127.0.0.1", 9)),
    "listen": lambda: listen(socket.AF_INET, ("127.0.0.1", 0)),
    "local socket": lambda: listen(socket.AF_UNIX, "\0veristream-escaped"),
    "netlink": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW),
    "pair": socket.socketpair,
    "program": lambda: subprocess.run(["/bin/true"]),
    "exec": lambda: os.execv("/bin/true", ["true"]),
    "exec from memory": lambda: checked(libc.syscall(322, 0, b"", 0, 0, 0x1000)),
    "fork": fork,
    "clone": lambda: checked(libc.syscall(56, signal.SIGCHLD, 0, 0, 0, 0)),
    "ptrace": lambda: checked(libc.ptrace(16, os.getppid(), 0, 0)),
    "kill the worker": lambda: os.kill(os.getppid(), 0),
    "memory of the worker": lambda: checked(libc.syscall(310, os.getppid(), 0, 0, 0, 0, 0)),
    "memory as a file": lambda: os.memfd_create("escape"),
    "limits": lambda: checked(libc.setrlimit(resource.RLIMIT_CORE, (ctypes.c_ulong * 2)(0, 0))),
    "user": lambda: os.setuid(os.getuid()),
    "root": lambda: os.chroot("/"),
    "namespace": lambda: checked(libc.unshare(0x10000000)),
    "io_uring": lambda: checked(libc.syscall(425, 1, 0)),
    "bpf": lambda: checked(libc.syscall(321, 0, 0, 0)),
    "keys": lambda: checked(libc.syscall(250, 0, 0, 0, 0, 0)),
    "old numbers": lambda: checked(libc.syscall(0x40000000 | 41, socket.AF_INET, socket.SOCK_STREAM, 0)),
}


def outcome(attempt: Callable[[], object]) -> str:
    try:
        attempt()
    except OSError as error:
        return os.strerror(error.errno) if error.errno else str(error)
    return "done"


class Escapee(Detector):
    """Tries everything, and says how each try ended."""

    name = "escapee"
    version = "1"

    def open(self, source: Source) -> None:
        title = source.metadata.get("title", "")
        self.outcomes: dict[str, str] = {}
        if title == "escape":
            self.outcomes = {name: outcome(attempt) for name, attempt in ATTEMPTS.items()}
        elif title == "thread":
            import threading

            found: list[str] = []
            thread = threading.Thread(target=lambda: found.append(outcome(ATTEMPTS["open"])))
            thread.start()
            thread.join()
            self.outcomes = {"open in a thread": found[0]}
        elif title == "late":
            import wave

            assert wave
        elif title == "environment":
            self.outcomes = dict(os.environ)
        elif title == "lie":
            for descriptor in range(3, 64):
                try:
                    os.write(descriptor, b"\x05\x00\x00\x00cos\nsystem\n(S'true'\ntR.")
                except OSError:
                    continue

    def findings(self) -> Findings:
        evidence = tuple(Evidence(entry=name, text=text) for name, text in self.outcomes.items())
        return Findings((Signal(name="escape", detector=self.name, score=0.0, evidence=evidence),))
