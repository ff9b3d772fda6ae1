"""A decoding process, from its first line to its last: load the models, be confined, then read item after item.

The worker speaks to it over two channels that are there from the beginning: requests come on a socket, each with the
item as an open file, and answers go out on a pipe. Answers are MessagePack of a known shape and nothing that the
worker would run: whoever takes over this process by a crafted file must not get into the worker with its answer.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import io
import os
import pkgutil
import signal
import socket
import struct
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import msgspec

from schemas.plan import Plan
from streams.extraction import heap
from streams.extraction.confine import Confinement, Jail, Mode

if TYPE_CHECKING:
    from streams.extraction.detector import Detector

#: Longest request: the names of some hundred detectors.
LONGEST_REQUEST = 1 << 16
#: What reading asks of the file at once: fewer calls into Python than the decoder's own 32 kB.
BUFFER = 1 << 18
#: What numpy imports only when something of it is first used, and a detector's rare branch may be the first.
EAGER = ("numpy.ma", "numpy.linalg", "numpy.fft", "numpy.random")
#: Character sets that FFmpeg converts from: glibc opens a file for each when it is first asked for one.
CHARSETS = (
    "ISO6937",
    *(f"ISO8859-{part}" for part in (*range(1, 12), 13, 14, 15)),
    "GB2312",
    "GB18030",
    "BIG5",
    "KSC5601",
)
#: The setting `models_dir` as detectors look for it: a decoding process reads no settings.
MODELS_DIR = "VERISTREAM_MODELS_DIR"
#: The same of `c2pa_trust`.
C2PA_TRUST = "VERISTREAM_C2PA_TRUST"
#: Before each answer, its length.
LENGTH = struct.Struct("=I")


class Task(msgspec.Struct, frozen=True, array_like=True):
    """A request to read the item that comes with it. `limits`: a `streams.extraction.read.Limits`; `plan` and `stretch`
    as for `streams.extraction.read.read`."""

    limits: tuple[Any, ...]
    plan: Plan | None = None
    stretch: tuple[float, float] | None = None


class Start(msgspec.Struct, frozen=True, array_like=True):
    """The first request. `kinds`: detectors, as module:class; `rehearsal`: a task like those that will come."""

    kinds: tuple[str, ...]
    memory_mb: int
    confinement: Mode
    rehearsal: Task
    #: The setting of that name: detectors' own models, which they look for by its variable.
    models_dir: str = ""
    c2pa_trust: str = ""


class Ready(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """It may be sent items."""

    confinement: Confinement


class Unable(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """It ends, because it cannot work; `why` in words."""

    why: str


class Begun(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """It has the item: one that ends before it says so was not ended by it."""


class Read(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """An item was read: a `streams.extraction.read.Reading`."""

    reading: msgspec.Raw


class Failed(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """An item could not be read: an EXTRACT-* code, and why. `spent`: the process should read no other."""

    code: str
    text: str
    spent: bool = False


class Handed:
    """The item, as what reading opens. There is one descriptor, and no path that would lead to it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def open(self, mode: str = "rb") -> io.BufferedReader:
        """The item from its beginning, each time with a position of its own."""
        if mode != "rb":
            raise PermissionError(f"the item is opened for reading only, not {mode!r}")
        return io.BufferedReader(cast(io.RawIOBase, _At(self._descriptor)), BUFFER)

    def stat(self) -> os.stat_result:
        """As of a path."""
        return os.fstat(self._descriptor)


class _At(io.RawIOBase):
    """A descriptor read by position, so that several readers of it do not move each other's."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position}.get(whence)
        target = (os.fstat(self._descriptor).st_size if base is None else base) + offset
        if target < 0:
            raise ValueError(f"negative seek position {target}")
        self._position = target
        return target

    def readinto(self, buffer: Any) -> int:
        count = os.preadv(self._descriptor, [buffer], self._position)
        self._position += count
        return count


class _Late:
    """Says what it means when a module is first asked for in confinement."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        raise ImportError(f"{name} is imported too late: a confined process opens no files", name=name)


def _detectors(kinds: Sequence[str]) -> list[Detector]:
    found = []
    for kind in kinds:
        module, name = kind.split(":")
        found.append(getattr(importlib.import_module(module), name)())
    return found


def _answer(item: Handed, task: Task, detectors: list[Detector]) -> Read | Failed:
    from streams.extraction.read import ExtractFailure, Limits, read

    try:
        reading = read(cast(Path, item), detectors, Limits(*task.limits), task.plan, task.stretch)
        return Read(msgspec.Raw(msgspec.msgpack.encode(tuple(reading))))
    except ExtractFailure as failure:
        return Failed(failure.code, failure.text.encode("utf-8", "replace").decode())
    except MemoryError:
        # What took it may not be given back, and the next item would be called damaged for the want of it.
        return Failed("EXTRACT-LIMIT", "reading it took more memory than allowed", spent=True)


def _rehearse(task: Task, detectors: list[Detector]) -> None:
    """Read a clip of our own, so that what libraries import and open at their first use is there when files no longer
    are."""
    import av

    from streams.extraction.rehearsal import clip

    # PyAV, too, imports what belongs to a kind of stream when it first meets one.
    parts = (part.name for part in pkgutil.walk_packages(av.__path__, "av.") if not part.name.endswith("__main__"))
    for name in (*EAGER, *parts):
        importlib.import_module(name)
    libc = ctypes.CDLL(None)
    if hasattr(libc, "iconv_open"):
        for charset in CHARSETS:  # left open: closed again, its file would be unloaded
            libc.iconv_open(b"UTF-8", charset.encode())
    descriptor = os.memfd_create("rehearsal")
    try:
        os.write(descriptor, clip())
        _answer(Handed(descriptor), task, detectors)
    finally:
        os.close(descriptor)


Answer = Ready | Unable | Begun | Read | Failed


def _send(answers: int, answer: Answer) -> None:
    body = msgspec.msgpack.encode(answer)
    rest = memoryview(LENGTH.pack(len(body)) + body)
    while rest:
        rest = rest[os.write(answers, rest) :]


def _begin(start: Start) -> tuple[list[Detector], Confinement]:
    heap.bound()
    jail = Jail(start.memory_mb, start.confinement)  # before libraries make threads
    import av.logging

    av.logging.set_level(av.logging.PANIC)  # what is wrong with a stranger's file is said in its signals
    os.environ[MODELS_DIR] = start.models_dir
    os.environ[C2PA_TRUST] = start.c2pa_trust
    detectors = _detectors(start.kinds)
    if start.confinement != "off":
        _rehearse(start.rehearsal, detectors)
        sys.meta_path.insert(0, _Late())
    gc.collect()
    gc.freeze()  # models stay; what reading collects after each item is that item's alone
    heap.trim()
    return detectors, jail.close()


def main() -> None:
    """Serve the worker until it hangs up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group; the worker ends its pool itself
    requests, answers = socket.socket(fileno=os.dup(0)), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1):  # whatever a library prints must not get between the answers
        os.dup2(nothing, standard)
    os.close(nothing)
    start = msgspec.msgpack.decode(requests.recv(LONGEST_REQUEST), type=Start)
    try:
        detectors, confinement = _begin(start)
    except Exception as error:
        _send(answers, Unable(f"{type(error).__name__}: {error}"))
        os._exit(1)
    _send(answers, Ready(confinement))
    try:
        _serve(requests, answers, detectors)
    except BaseException as error:
        print("".join(traceback.format_exception(error)), file=sys.stderr, flush=True)  # noqa: T201 - last words
        os._exit(os.EX_SOFTWARE)  # an interpreter that ends in order opens files and waits for threads
    os._exit(0)


def _serve(requests: socket.socket, answers: int, detectors: list[Detector]) -> None:
    while True:
        request, descriptors, _, _ = socket.recv_fds(requests, LONGEST_REQUEST, 1)
        if not request or not descriptors:
            return
        with suppress(BrokenPipeError):
            _send(answers, Begun())
            task = msgspec.msgpack.decode(request, type=Task)
            _send(answers, _answer(Handed(descriptors[0]), task, detectors))
            if task.stretch:  # the answer is on its way; what a short item leaves behind the next one fills
                heap.trim()
        os.close(descriptors[0])


if __name__ == "__main__":
    main()
