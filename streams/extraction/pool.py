"""The pool of decoding processes. One that hangs, crashes or outgrows its limits is ended; the worker goes on."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import resource
import signal
from concurrent.futures import TimeoutError as TaskTimeout
from pathlib import Path
from typing import Any

import msgspec
from pebble import ProcessExpired, ProcessPool

from schemas.signals import FrameHash, MediaFacts, Signal
from streams.extraction.detector import Detector
from streams.extraction.read import ExtractFailure, Limits, Reading, read
from streams.settings import Settings

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
        # Spawned, not forked: the worker has threads (Kafka's, gRPC's), and a fork copies their locks held.
        self._pool = ProcessPool(
            max_workers=self.size,
            max_tasks=ITEMS_PER_PROCESS,
            initializer=_begin,
            initargs=(kinds, settings.extract_memory_mb),
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
        except MemoryError as error:
            raise ExtractFailure("EXTRACT-LIMIT", "reading it took more memory than allowed") from error

    async def _run(self, function: Any, *args: Any) -> Any:
        return await asyncio.wrap_future(self._pool.schedule(function, args=args, timeout=self._timeout_s))

    async def close(self) -> None:
        """End the processes at once: what they were reading comes again."""
        self._pool.stop()
        await asyncio.to_thread(self._pool.join)
