"""The extraction agent: from an admitted event to its signals."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from time import monotonic
from typing import ClassVar

from schemas.event import Admitted, Media
from schemas.message import encode
from schemas.plan import Plan
from schemas.signals import ExtractError, FrameHash, Signal, Signals
from schemas.topics import ADMITTED, HASHBANK, POLICIES, SIGNALS, Topic
from streams.agent import Agent, Context, Incoming, Outgoing
from streams.extraction.fetch import Fetcher
from streams.extraction.plan import closer, plan_for
from streams.extraction.pool import Pool
from streams.extraction.read import ExtractFailure, Reading
from streams.extraction.reader import Reader
from streams.extraction.repeats import Repeats
from streams.extraction.turns import Lane, Turns
from streams.registered import installed

log = logging.getLogger(__name__)

#: Frame hashes in one message, about 250 kB. At one a second that is over half an hour of ever-changing footage.
MAX_HASHES = 2000
#: Items of a lane that are fetched, or being fetched, for each decoding process: so many files lie in the spool. One in
#: decoding and some long ones between their turns still leave a short one its place.
FETCHED_PER_WORKER = 8
#: Readings that are kept in case their item comes again: about the last half hour of a hundred streams.
KEPT_BYTES = 64 << 20


class Extraction(Agent):
    """Fetches, decodes in the pool, and says what the detectors found."""

    name = "extraction"
    inputs = (ADMITTED,)
    outputs = (SIGNALS,)
    #: Its triggers look items up in the bank.
    views: ClassVar[tuple[Topic, ...]] = (POLICIES, HASHBANK)
    slow = True
    #: Segments are answered within seconds; they never wait for an upload of an hour.
    lanes: ClassVar[tuple[str, ...]] = ("uploads", "segments")

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._kinds = list(installed("veristream.detectors", context.settings.detectors).values())
        self._fetcher: Fetcher | None = None
        self._pool: Pool | None = None
        #: Never set where the pool cannot begin: what waits is then not answered, and comes again after the next start.
        self._warmed = asyncio.Event()
        self._reader: Reader | None = None
        most = context.settings.extract_workers * FETCHED_PER_WORKER
        self._places: dict[Lane, asyncio.Semaphore] = {
            "segment": asyncio.Semaphore(most),
            "upload": asyncio.Semaphore(most),
        }
        self._triggers = [kind(context.views) for kind in installed("veristream.triggers", ()).values()]
        self._repeats: Repeats[Reading] = Repeats(KEPT_BYTES, _size)

    async def start(self) -> None:
        """Make the pool of decoding processes; none runs yet."""
        self._fetcher = Fetcher(self.context.settings)
        self._pool = Pool(self.context.settings, self._kinds, self.context.metrics)
        self._reader = Reader(
            self._pool, Turns(self._pool.size), self._kinds, timeout_s=self.context.settings.extract_timeout_s
        )
        self.context.metrics.pool_workers.set(self._pool.size)

    async def warm(self) -> None:
        """Start the decoding processes and load their models."""
        assert self._pool is not None
        await self._pool.warm()
        self._warmed.set()

    async def stop(self) -> None:
        """End the decoding processes."""
        if self._pool:
            await self._pool.close()
        if self._fetcher:
            await self._fetcher.close()

    async def prepare(self, message: Incoming) -> Signals:
        """Fetch and decode."""
        await self._warmed.wait()
        admitted: Admitted = message.value
        metrics = self.context.metrics
        lane: Lane = "upload" if admitted.event.stream_id is None else "segment"
        # The places, not the pool's queue, hold what waits: nothing more is spooled before its turn.
        async with self._places[lane]:
            begun = monotonic()
            with metrics.pool_busy.track_inprogress():
                outcome = await self._extract(admitted, lane)
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
            signals=(*outcome.signals, *await asyncio.to_thread(self._known, outcome)),
            frames=_thinned(outcome.frames),
            captions=outcome.captions,
            speech=outcome.speech,
            sounds=outcome.sounds,
            texts=outcome.texts,
            absent=outcome.absent,
            models=dict(outcome.models),
            ran=outcome.ran,
        )

    def _known(self, reading: Reading) -> tuple[Signal, ...]:
        """What triggers know of it. Not kept with the reading: what is known changes."""
        policy, now = self.context.policy, self.context.clock()
        return tuple(signal for trigger in self._triggers for signal in trigger.signals(reading, policy, now))

    async def _extract(self, admitted: Admitted, lane: Lane) -> Reading | ExtractError:
        media = admitted.event.media
        plan = plan_for(admitted, self.context.policy, self._kinds)
        try:
            # What lies at the same place with the same content, looked at as closely, gives the same.
            return await self._repeats.once((media, encode(plan)), lambda: self._read(media, plan, lane))
        except ExtractFailure as failure:
            return ExtractError(code=failure.code, text=failure.text)

    async def _read(self, media: Media, plan: Plan, lane: Lane) -> Reading:
        assert self._fetcher and self._reader, "start comes before the first message"
        policy = self.context.policy
        async with self._fetcher.fetched(media) as path:
            reading = await self._reader.read(path, plan, lane)
            for trigger in self._triggers:
                if not trigger.fires(reading, policy, self.context.clock()):
                    continue
                if again := closer(plan, trigger.why, policy, self._kinds):
                    return await self._reader.read(path, again, lane)
            return reading

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


def _size(reading: Reading) -> int:
    """Bytes that a reading holds, roughly: what grows with the item."""
    pieces = sum(map(len, (reading.signals, reading.captions, reading.speech, reading.sounds, reading.texts)))
    return (
        2000
        + 250 * len(reading.frames)
        + 500 * pieces
        + sum([len(sound.codes) for sound in reading.sounds] + [len(frame.points) for frame in reading.points])
    )
