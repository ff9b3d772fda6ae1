"""What the kernel sees of the decoding processes: every call that opens, reaches or starts something, by strace."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import NamedTuple

from streams.extraction.detector import Detector
from streams.extraction.pool import Pool, Process
from streams.settings import Settings

#: Calls that give a process something it did not have.
CALLS = (
    "open", "openat", "openat2", "creat", "socket", "connect", "bind", "execve", "execveat", "fork", "vfork",
    "memfd_create", "mkdir", "unlink", "unlinkat", "rename", "chdir",
)  # fmt: skip
_ENDED = re.compile(rf"(?:^|\s|<\.\.\. )({'|'.join(CALLS)})(?:\(| resumed>).* = (-?\d+)")
#: strace says so when it has hold of a process.
ATTACHED = b"attached"
ATTACH_TIMEOUT_S = 20.0
#: Growth is measured from this many items on, since by then every decoder has been used, and in so many such stretches.
SETTLED, STRETCH, LEAST_STRETCHES = 150, 50, 5


class Call(NamedTuple):
    """One call: as strace wrote it, and whether the kernel did it."""

    line: str
    done: bool


def strace() -> str | None:
    """Where strace is, if it is here."""
    return shutil.which("strace")


#: Asked for by glibc's allocator the first time it gives memory of a thread back; refused, it does as by default.
HARMLESS = "/proc/sys/vm/overcommit_memory"


class WatchedPool(Pool):
    """A pool whose processes are traced from before their first item on; without strace they are not."""

    def __init__(self, settings: Settings, kinds: list[type[Detector]], folder: Path) -> None:
        super().__init__(settings, kinds)
        self.folder = folder
        self._sizes: dict[int, list[int]] = defaultdict(list)

    watched = 0
    #: Why processes are not watched, if so.
    blind: str | None = None

    async def _begin(self) -> Process:
        process = await super()._begin()
        program = strace()
        if program is None:
            self.blind = "strace is not installed (Debian: apt-get install strace)"
            return process
        tracer = await asyncio.create_subprocess_exec(
            program, "-f", "-p", str(process.pid), "-e", f"trace={','.join(f'?{name}' for name in CALLS)}",
            "-o", str(self.folder / f"{process.pid}.trace"),
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert tracer.stderr
        said = b""
        try:
            async with asyncio.timeout(ATTACH_TIMEOUT_S):
                while ATTACHED not in said:
                    line = await tracer.stderr.readline()
                    if not line:
                        self.blind = f"strace cannot trace: {said.decode().strip()}"
                        return process
                    said += line
        except TimeoutError:
            self.blind = "strace does not begin"
            return process
        self.watched += 1
        return process

    def _give_back(self, process: Process) -> None:
        self._sizes[process.pid].append(process.memory())
        super()._give_back(process)

    def growth(self) -> float | None:
        """By how many bytes a process grows in a thousand items, at most; None: none has read enough to say.

        The median of short stretches: one large picture raises what the allocator keeps once and for all, and a leak
        shows in every stretch.
        """
        found = [
            median(later - earlier for earlier, later in pairwise(sizes[SETTLED::STRETCH])) * 1000 / STRETCH
            for sizes in self._sizes.values()
            if len(sizes) >= SETTLED + LEAST_STRETCHES * STRETCH
        ]
        return max(found, default=None)

    def calls(self) -> list[Call]:
        """Every call that was seen but the harmless; complete once the pool is closed."""
        found = []
        for path in sorted(self.folder.glob("*.trace")):
            for line in path.read_text("utf-8", "replace").splitlines():
                if (match := _ENDED.search(line)) and HARMLESS not in line:
                    found.append(Call(line, int(match[2]) >= 0))
        return found
