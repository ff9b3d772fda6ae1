"""The pool of decoding processes. One that hangs, crashes or outgrows its limits is ended; the worker goes on.

Each process has a line of its own to the worker, over which it gets an open file and sends bytes of a known shape. The
usual pools hand their processes one shared pipe and unpickle what comes out of it: a decoder that was taken over could
read its siblings' items, and run code in the worker.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import re
import resource
import signal
import socket
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path

import msgspec

from schemas.plan import Plan
from streams.extraction.confine import FIXES, Confinement
from streams.extraction.detector import Detector
from streams.extraction.limits import limits_of
from streams.extraction.process import LENGTH, Answer, Begun, Failed, Read, Ready, Start, Task, Unable
from streams.extraction.read import ExtractFailure, Reading
from streams.metrics import Metrics
from streams.settings import Settings, SettingsError

log = logging.getLogger(__name__)

#: A process is replaced after so many items, because decoders leak a little. Starting one costs about a second.
ITEMS_PER_PROCESS = 500
#: One whose memory has grown by more than this since it began, in bytes, is replaced after its item: twice what a 4K
#: item leaves behind in the allocator.
MOST_GROWTH = 512 << 20
#: Loading models takes some seconds, on a busy machine a minute.
START_TIMEOUT_S = 180.0
#: Longest answer, in bytes. Six hours of ever-changing footage are 2 MB of hashes; more is not an answer.
LONGEST_ANSWER = 64 << 20
#: What a process that died said last goes into the log, shortened to so many bytes and made harmless.
LAST_WORDS = 2000
#: Environment that no decoding process needs to know.
_SECRET = re.compile(r"SECRET|TOKEN|PASSWORD|PASSWD|CREDENTIAL|_KEY\b|^AWS_", re.IGNORECASE)
_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")

#: Processes that an item is given in turn if they die before they have it.
TRIES = 3

_ANSWERS = msgspec.msgpack.Decoder(Answer)
_READING = msgspec.msgpack.Decoder(Reading)


class PoolUnusable(RuntimeError):
    """The decoding processes cannot begin; the text says why."""


class _Died(Exception):
    """The process ended, or said something that it may not."""


class _Gone(_Died):
    """The process had ended before it got the item."""


class Process:
    """One decoding process, and the worker's end of its line."""

    def __init__(self, process: asyncio.subprocess.Process, line: socket.socket) -> None:
        self._process = process
        self._line = line
        self._heard = bytearray()
        self._listening = asyncio.create_task(self._listen())
        self.pid = process.pid
        try:
            self._handle: int | None = os.pidfd_open(self.pid)
        except OSError:  # an old kernel
            self._handle = None
        self.items = 0
        self.confinement = Confinement()
        self._size = 0
        self._spent = False

    @classmethod
    async def start(cls, start: Start) -> Process:
        """Start one and wait until it has loaded its models.

        Raises:
            PoolUnusable: it cannot work, or does not begin in time.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            pipe = asyncio.subprocess.PIPE
            process = await asyncio.create_subprocess_exec(
                # -P: what lies in the folder that the worker runs in is not imported.
                *(sys.executable, "-P", "-m", "streams.extraction.process"),
                stdin=theirs.fileno(),
                stdout=pipe,
                stderr=pipe,
                env=_environment(),
            )
        self = cls(process, ours)
        try:
            ours.send(msgspec.msgpack.encode(start))
            async with asyncio.timeout(START_TIMEOUT_S):
                answer = await self._answer()
        except (_Died, OSError, TimeoutError) as error:
            code = await self.end()
            last = self.last_words()
            why = f"not ready after {START_TIMEOUT_S:.0f} s" if isinstance(error, TimeoutError) else f"exit code {code}"
            raise PoolUnusable(f"a decoding process does not begin ({why})" + (f": {last}" if last else "")) from error
        except BaseException:
            await self.end()
            raise
        if not isinstance(answer, Ready):
            await self.end()
            raise PoolUnusable(answer.why if isinstance(answer, Unable) else "a decoding process begins out of turn")
        self.confinement = answer.confinement
        self._size = self.memory()
        return self

    async def read(self, item: int, task: Task, timeout_s: float) -> Reading:
        """Have the item read. The process gets it as an open descriptor, since it can open nothing.

        Raises:
            ExtractFailure: it cannot be read.
            TimeoutError: it took too long.
            _Died: the process did not outlive it. _Gone: it had died before.
        """
        self.items += 1
        self._limit_cpu(timeout_s)
        async with asyncio.timeout(timeout_s):
            try:
                socket.send_fds(self._line, [msgspec.msgpack.encode(task)], [item])
                begun = await self._answer()
            except (OSError, _Died) as error:
                raise _Gone from error
            answer = await self._answer()
        if isinstance(answer, Failed) and answer.code.startswith("EXTRACT-"):
            self._spent = answer.spent
            raise ExtractFailure(answer.code, answer.text)
        if not isinstance(begun, Begun) or not isinstance(answer, Read):
            raise _Died("it answered out of turn")
        try:
            return _READING.decode(answer.reading)
        except msgspec.DecodeError as error:
            raise _Died(f"its answer is none: {error}") from error

    async def _answer(self) -> Answer:
        assert self._process.stdout, "asked for at its start"
        try:
            (length,) = LENGTH.unpack(await self._process.stdout.readexactly(LENGTH.size))
            if length > LONGEST_ANSWER:
                raise _Died(f"its answer has {length} bytes")
            answer: Answer = _ANSWERS.decode(await self._process.stdout.readexactly(length))
            return answer
        except (asyncio.IncompleteReadError, ConnectionError, msgspec.DecodeError) as error:
            raise _Died(str(error)) from error

    async def _listen(self) -> None:
        assert self._process.stderr, "asked for at its start"
        while said := await self._process.stderr.read(LAST_WORDS):
            self._heard = (self._heard + said)[-LAST_WORDS:]

    def _limit_cpu(self, seconds: float) -> None:
        """From outside, where the process cannot take it back; a worker that is stopped itself ends none in time."""
        with suppress(OSError, ValueError, IndexError):
            spent = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
            limit = math.ceil((int(spent[11]) + int(spent[12])) / _TICKS + seconds) + 1
            resource.prlimit(self.pid, resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))

    def memory(self) -> int:
        """What it holds, in bytes; 0 when it is gone."""
        try:
            return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * _PAGE
        except (OSError, IndexError):
            return 0

    @property
    def worn(self) -> str | None:
        """Why it should be replaced, if it should."""
        if self._spent:
            return "memory"
        if self.items >= ITEMS_PER_PROCESS:
            return "items"
        return "growth" if self.memory() - self._size > MOST_GROWTH else None

    async def end(self) -> int:
        """End it at once; returns its exit code."""
        self._line.close()
        if self._process.returncode is None:
            self._kill()
        code = await self._process.wait()
        await self._listening
        handle, self._handle = self._handle, None
        if handle is not None:
            os.close(handle)
        return code

    def _kill(self) -> None:
        # Not asyncio's own kill: that asks for the exit code first, and whoever waits for it would never hear it.
        with suppress(ProcessLookupError):
            if self._handle is None:
                os.kill(self.pid, signal.SIGKILL)
            else:
                signal.pidfd_send_signal(self._handle, signal.SIGKILL)

    def last_words(self) -> str:
        """The end of what it wrote to its standard error, in one harmless line."""
        text = self._heard.decode("utf-8", "replace").strip()
        return "".join(sign if sign.isprintable() else " " for sign in text)


class Pool:
    """Reads items side by side in processes of their own."""

    def __init__(self, settings: Settings, kinds: list[type[Detector]], metrics: Metrics | None = None) -> None:
        self.size = settings.extract_workers
        self._metrics = metrics
        #: How often a process was ended, by why: timeout, crash, memory, items, growth, cancelled.
        self.ended: Counter[str] = Counter()
        #: What holds the processes; known once they are warm.
        self.confinement = Confinement()
        self._timeout_s = settings.extract_timeout_s
        self._task = _task_of(settings)
        self._start = Start(
            tuple(f"{kind.__module__}:{kind.__qualname__}" for kind in kinds),
            settings.extract_memory_mb,
            settings.confinement,
            self._task,
            str(settings.models_dir or ""),
            str(settings.c2pa_trust or ""),
        )
        self._closed = False
        self._processes: set[Process] = set()
        #: A place for each process; None is one whose process could not be started again.
        self._free: asyncio.Queue[Process | None] = asyncio.Queue()
        #: First come, first served: of a queue alone, whoever gives a process back could take it again at once.
        self._line = asyncio.Lock()
        self._warm: asyncio.Task[None] | None = None
        self._renewing: set[asyncio.Task[None]] = set()

    @property
    def pids(self) -> set[int]:
        """The processes that live."""
        return {process.pid for process in self._processes}

    async def warm(self) -> None:
        """Wait until the processes have loaded their models and are confined.

        Raises:
            PoolUnusable: a detector cannot be loaded.
            SettingsError: the confinement that the settings require cannot be had.
        """
        if self._warm is None:
            self._warm = asyncio.create_task(self._fill())
        await asyncio.shield(self._warm)

    async def _fill(self) -> None:
        begun = await asyncio.gather(*(self._begin() for _ in range(self.size)), return_exceptions=True)
        if failed := [one for one in begun if isinstance(one, BaseException)]:
            raise failed[0]
        for process in begun:
            assert isinstance(process, Process)
            self._free.put_nowait(process)
        self.confinement = next(iter(self._processes)).confinement
        if self._metrics:
            for layer in FIXES:
                self._metrics.confinement.labels(layer).set(self.size * (layer in self.confinement.reached))
        if self._start.confinement == "off":
            log.warning("confinement is off: decoding processes may open files and reach the network")
        elif self.confinement.level != "full":
            log.warning("decoding processes are not fully confined: %s (see `veristream doctor`)", self.confinement)

    async def _begin(self) -> Process:
        process = await Process.start(self._start)
        if self._closed:
            await process.end()
            raise RuntimeError("the pool is closed")
        if self._start.confinement == "require" and process.confinement.level != "full":
            await process.end()
            raise SettingsError(
                "confinement = 'require': decoding processes cannot be confined on this machine: "
                + "; ".join(f"{layer}: {why}. {FIXES[layer]}" for layer, why in process.confinement.needed.items())
            )
        self._processes.add(process)
        return process

    async def read(self, path: Path, plan: Plan | None = None, stretch: tuple[float, float] | None = None) -> Reading:
        """Read one item, or a stretch of it; see `streams.extraction.read.read`.

        Raises:
            ExtractFailure: as `streams.extraction.read.read`, or the process was ended or died.
        """
        await self.warm()
        task = msgspec.structs.replace(self._task, plan=plan, stretch=stretch)
        with path.open("rb") as file:
            why = "the processes that read media die at once"
            for _ in range(TRIES):
                try:
                    process = await self._take()
                except (PoolUnusable, SettingsError) as error:  # killed while it began, perhaps
                    why = f"no process to read it can be started: {error}"
                    continue
                try:
                    return await self._read(process, file.fileno(), task)
                except _Gone:  # as the kernel does that is short of memory; the item is not to blame
                    log.error("a decoding process died while it waited; starting another")
                    self._replace(process, "crash")
        raise ExtractFailure("EXTRACT-CRASHED", why)

    async def _read(self, process: Process, item: int, task: Task) -> Reading:
        try:
            reading = await process.read(item, task, self._timeout_s)
        except _Gone:
            raise
        except TimeoutError as error:
            self._replace(process, "timeout")
            raise ExtractFailure("EXTRACT-TIMEOUT", f"reading it took longer than {self._timeout_s:.0f} s") from error
        except _Died as error:
            code = await process.end()
            if self._closed:
                raise asyncio.CancelledError from error  # it is not to blame, and comes again
            spent = code == -signal.SIGXCPU
            self._replace(process, "timeout" if spent else "crash")
            if spent:
                raise ExtractFailure("EXTRACT-TIMEOUT", f"reading it took more than {self._timeout_s:.0f} s") from error
            log.warning("a decoding process died (exit code %d: %s): %s", code, error, process.last_words())
            raise ExtractFailure("EXTRACT-CRASHED", f"the process reading it died (exit code {code})") from error
        except ExtractFailure:
            self._give_back(process)
            raise
        except BaseException:
            self._replace(process, "cancelled")
            raise
        self._give_back(process)
        return reading

    async def _take(self) -> Process:
        while True:
            if self._closed:
                raise RuntimeError("the pool is closed")
            async with self._line:
                process = await self._free.get()
            if self._closed:
                self._free.put_nowait(None)  # for the next that waits
                continue
            if process is None:
                try:
                    return await self._begin()
                except BaseException:
                    self._free.put_nowait(None)
                    raise
            return process

    def _give_back(self, process: Process) -> None:
        if why := process.worn:
            self._replace(process, why)
        else:
            self._free.put_nowait(process)

    def _replace(self, process: Process, why: str) -> None:
        self.ended[why] += 1
        if self._metrics:
            self._metrics.pool_ended.labels(why).inc()
        task = asyncio.create_task(self._renew(process))
        self._renewing.add(task)
        task.add_done_callback(self._renewing.discard)

    async def _renew(self, process: Process) -> None:
        await process.end()
        self._processes.discard(process)
        fresh = None
        if not self._closed:
            try:
                fresh = await self._begin()
            except Exception as error:
                log.error("a decoding process cannot be started again: %s", error)
        self._free.put_nowait(fresh)

    async def close(self) -> None:
        """End the processes at once: what they were reading comes again."""
        self._closed = True
        self._free.put_nowait(None)
        if self._warm and not self._warm.done():
            self._warm.cancel()
        for task in tuple(self._renewing):
            task.cancel()
        await asyncio.gather(*self._renewing, *filter(None, [self._warm]), return_exceptions=True)
        await asyncio.gather(*(process.end() for process in self._processes))
        self._processes.clear()


async def probe(settings: Settings) -> Confinement:
    """How far a decoding process can be confined on this machine, found out by confining one.

    Raises:
        PoolUnusable: none can be started.
    """
    process = await Process.start(Start((), settings.extract_memory_mb, "best", _task_of(settings)))
    await process.end()
    return process.confinement


def _task_of(settings: Settings) -> Task:
    return Task(tuple(limits_of(settings)))


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not _SECRET.search(name)}
    return kept | {
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",  # processes × threads = cores
        "OPENBLAS_NUM_THREADS": "1",
        # OpenCV else looks for a graphics card when it first describes corners: files that a confined process opens.
        "OPENCV_OPENCL_RUNTIME": "disabled",
    }
