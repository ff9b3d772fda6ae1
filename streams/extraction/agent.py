"""The extraction agent: from an admitted event to its signals."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from time import monotonic
from typing import ClassVar

from schemas.event import Admitted, Event
from schemas.signals import ExtractError, FrameHash, Signals
from schemas.topics import ADMITTED, SIGNALS, Topic
from streams.agent import Agent, Context, Incoming, Outgoing
from streams.extraction.fetch import Fetcher
from streams.extraction.pool import Pool
from streams.extraction.read import ExtractFailure, Reading
from streams.registered import installed

log = logging.getLogger(__name__)

#: Frame hashes in one message, about 250 kB. At one a second that is over half an hour of ever-changing footage.
MAX_HASHES = 2000


class Extraction(Agent):
    """Fetches, decodes in the pool, and says what the detectors found."""

    name = "extraction"
    inputs = (ADMITTED,)
    views: ClassVar[tuple[Topic, ...]] = ()
    outputs = (SIGNALS,)
    slow = True
    #: Segments are answered within seconds; they never wait for an upload of an hour.
    lanes: ClassVar[tuple[str, ...]] = ("uploads", "segments")

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._detectors = installed("veristream.detectors", context.settings.detectors)
        self._fetcher: Fetcher | None = None
        self._pool: Pool | None = None
        self._places = asyncio.Semaphore(context.settings.extract_workers)

    async def start(self) -> None:
        """Start the decoding processes and load their models."""
        self._fetcher = Fetcher(self.context.settings)
        self._pool = Pool(self.context.settings, list(self._detectors.values()), self.context.metrics)
        self.context.metrics.pool_workers.set(self._pool.size)
        await self._pool.warm()

    async def stop(self) -> None:
        """End the decoding processes."""
        if self._pool:
            await self._pool.close()
        if self._fetcher:
            await self._fetcher.close()

    async def prepare(self, message: Incoming) -> Signals:
        """Fetch and decode."""
        admitted: Admitted = message.value
        metrics = self.context.metrics
        # The semaphore, not the pool's queue, holds what waits: nothing is spooled before its turn.
        async with self._places:
            begun = monotonic()
            with metrics.pool_busy.track_inprogress():
                outcome = await self._extract(admitted.event)
            seconds = monotonic() - begun
        if isinstance(outcome, ExtractError):
            metrics.extraction_errors.labels(outcome.code).inc()
            metrics.extraction_seconds.labels("error").observe(seconds)
            log.info("%s: %s: %s", admitted.event.event_id, outcome.code, outcome.text)
            return Signals(event=admitted.event, extracted_at=self.context.clock(), extraction_s=seconds, error=outcome)
        metrics.media_seconds.inc(outcome.media.duration_s)
        metrics.extraction_seconds.labels("read").observe(seconds)
        return Signals(
            event=admitted.event,
            labels=admitted.labels,
            extracted_at=self.context.clock(),
            extraction_s=seconds,
            media=outcome.media,
            signals=outcome.signals,
            frames=_thinned(outcome.frames),
            absent=outcome.absent,
            models=dict(outcome.models),
        )

    async def _extract(self, event: Event) -> Reading | ExtractError:
        assert self._fetcher and self._pool, "start comes before the first message"
        try:
            async with self._fetcher.fetched(event.media) as path:
                return await self._pool.read(path)
        except ExtractFailure as failure:
            return ExtractError(code=failure.code, text=failure.text)

    def lane(self, message: Incoming) -> str:
        """Uploads and segments, each in the order of their publisher."""
        admitted: Admitted = message.value
        return "segments" if admitted.event.stream_id is not None else "uploads"

    def handle(self, message: Incoming) -> Iterable[Outgoing]:
        """Send the signals on."""
        signals: Signals = message.prepared
        yield Outgoing(SIGNALS, signals.event.publisher_id, signals)


def _thinned(frames: tuple[FrameHash, ...]) -> tuple[FrameHash, ...]:
    """At most MAX_HASHES of them, evenly spread."""
    while len(frames) > MAX_HASHES:
        frames = frames[::2]
    return frames
