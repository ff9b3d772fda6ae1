"""The pool of decoding processes. One that hangs, crashes or outgrows its limits is ended; the worker goes on."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import resource
import signal
from concurrent.futures import TimeoutError as TaskTimeout
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import msgspec
from pebble import ProcessExpired, ProcessPool

from schemas.signals import FrameHash, MediaFacts, Signal
from streams.extraction.detector import Detector
from streams.extraction.read import ExtractFailure, Limits, Reading, read
from streams.settings import Settings

log = logging.getLogger(__name__)

#: A process is replaced after so many items, because decoders leak a little. Starting one costs about a second.
ITEMS_PER_PROCESS = 500
#: File descriptors of a decoding process: its pipes, its libraries and one media file twice fit well.
MAX_FILES = 64

_detectors: list[Detector] = []
_WIRE = msgspec.msgpack.Encoder()
_READING = msgspec.msgpack.Decoder(
    tuple[MediaFacts, tuple[Signal, ...], tuple[FrameHash, ...], tuple[str, ...], dict[str, str]]
)


def _begin(kinds: list[type[Detector]], memory_mb: int) -> None:
    """Make this process a decoder: limits first, then the models."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group; the worker ends its pool itself
    resource.setrlimit(resource.RLIMIT_AS, (memory_mb << 20, memory_mb << 20))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (MAX_FILES, MAX_FILES))
    os.environ["OMP_NUM_THREADS"] = "1"  # processes × threads = cores
    import av.logging

    av.logging.set_level(av.logging.PANIC)  # what is wrong with a stranger's file is said in its signals
    _detectors[:] = [kind() for kind in kinds]


def _task(path: str, limits: Limits) -> bytes:
    return _WIRE.encode(tuple(read(Path(path), _detectors, limits)))


def _nothing() -> None:
    """What a process does to show that it has begun."""


class Pool:
    """Reads items side by side in processes of their own."""

    def __init__(self, settings: Settings, kinds: list[type[Detector]]) -> None:
        self.size = settings.extract_workers
        self._timeout_s = settings.extract_timeout_s
        self._limits = Limits(settings.sample_interval_s, settings.max_pixels, settings.max_duration_s)
        self._begin = (kinds, settings.extract_memory_mb)
        self._closed = False
        self._pool = self._processes()

    def _processes(self) -> ProcessPool:
        # Spawned, not forked: the worker has threads (Kafka's, gRPC's), and a fork copies their locks held.
        return ProcessPool(
            max_workers=self.size,
            max_tasks=ITEMS_PER_PROCESS,
            initializer=_begin,
            initargs=self._begin,
            context=multiprocessing.get_context("spawn"),
        )

    async def warm(self) -> None:
        """Wait until the processes have loaded their models."""
        await asyncio.gather(*(self._run(_nothing) for _ in range(self.size)))

    async def read(self, path: Path) -> Reading:
        """Read one item.

        Raises:
            ExtractFailure: as `streams.extraction.read.read`, or the process was ended or died.
        """
        try:
            return Reading(*_READING.decode(await self._run(_task, str(path), self._limits)))
        except TaskTimeout as error:
            raise ExtractFailure("EXTRACT-TIMEOUT", f"reading it took longer than {self._timeout_s:.0f} s") from error
        except ProcessExpired as error:
            raise ExtractFailure(
                "EXTRACT-CRASHED", f"the process reading it died (exit code {error.exitcode})"
            ) from error
        except BrokenProcessPool as error:
            raise ExtractFailure("EXTRACT-CRASHED", "the processes that read media die at once") from error
        except MemoryError as error:
            raise ExtractFailure("EXTRACT-LIMIT", "reading it took more memory than allowed") from error

    async def _run(self, function: Any, *args: Any) -> Any:
        for further in (True, False):
            pool = self._pool
            if not self._closed and not pool.active:
                await self._renew(pool)
                pool = self._pool
            try:
                return await asyncio.wrap_future(pool.schedule(function, args=args, timeout=self._timeout_s))
            except BrokenProcessPool:
                # Pebble gives up a pool one of whose processes dies while none of them works, as the kernel ends it
                # that is short of memory. The items are not to blame.
                if not further or self._closed:
                    raise
        raise AssertionError

    async def _renew(self, broken: ProcessPool) -> None:
        if self._pool is broken:  # else another item was first
            log.error("the decoding processes died while they waited; starting others")
            self._pool = self._processes()
            await asyncio.to_thread(_end, broken)

    async def close(self) -> None:
        """End the processes at once: what they were reading comes again."""
        self._closed = True
        await asyncio.to_thread(_end, self._pool)


def _end(pool: ProcessPool) -> None:
    pool.stop()
    pool.join()
