"""Sound: one track of an item as detectors hear it, mono at 16 kHz, in stretches of about a second."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import av
import numpy as np
from av.audio.fifo import AudioFifo
from av.audio.resampler import AudioResampler
from numpy.typing import NDArray

from streams.extraction.detector import SOUND_RATE

#: Samples handed to the detectors at once: about a second, in whole windows of 512, which voice detectors take.
STRETCH = 16_384
#: Decoded sound is converted so much at a time, in seconds: a conversion has a fixed cost, and codecs give 20 ms.
CONVERTED_S = 1.0
#: Decoding begins so long before a stretch of the item, in seconds: codecs need a few frames to come up.
RUN_IN_S = 0.5


class Heard(NamedTuple):
    """A stretch of sound, and when it begins, in seconds from the item's beginning."""

    samples: NDArray[np.float32]
    at_s: float


class Sound:
    """One track of sound between two times of the item, in seconds."""

    def __init__(self, stream: Any, start_s: float, between: tuple[float, float]) -> None:
        self.stream = stream
        #: Sound that was handed on, in seconds.
        self.heard_s = 0.0
        self._start_s = start_s
        self._from_s, self._until_s = max(0.0, between[0]), between[1]
        self._form: tuple[Any, ...] | None = None
        self._resampler: AudioResampler | None = None
        self._fifo = AudioFifo()
        self._held: list[NDArray[np.float32]] = []
        self._count = 0
        self._at_s: float | None = None  # when what is held begins
        stream.thread_type = "NONE"

    def feed(self, packet: Any) -> Iterator[Any]:
        """The frames that this packet holds."""
        begins_s = float(packet.pts * packet.time_base) - self._start_s if packet.pts is not None else self._from_s
        if begins_s < self._from_s - RUN_IN_S:
            return
        try:
            yield from packet.decode()
        except MemoryError:
            raise
        except av.FFmpegError:  # players play the rest, so the rest is reviewed
            return

    def take(self, frame: av.AudioFrame) -> Iterator[Heard]:
        """Add a decoded frame; what has become a whole stretch is handed on."""
        form = (frame.format.name, frame.layout.name, frame.sample_rate)
        if form != self._form:  # a stream may change its rate or its channels on the way
            yield from self._rest()
            self._form = form
            # Without the option two equal channels of full scale would add up to 1.4.
            self._resampler = AudioResampler(
                format="flt", layout="mono", rate=SOUND_RATE, options={"rematrix_maxval": "1.0"}
            )
            self._fifo = AudioFifo()
        if self._at_s is None:
            begins_s = float(frame.time) - self._start_s if frame.time is not None else 0.0
            self._at_s = max(0.0, begins_s)
        frame.pts = None  # gaps are for players; here every sample counts
        self._fifo.write(frame)
        if self._fifo.samples >= CONVERTED_S * frame.sample_rate:
            self._convert()
        yield from self._whole()

    def end(self) -> Iterator[Heard]:
        """What is left."""
        yield from self._rest()
        if self._count:
            yield from self._hand_on(self._count)

    def _rest(self) -> Iterator[Heard]:
        """What the resampler still holds; sound that it could not take costs no more than itself."""
        if (resampler := self._resampler) is not None:
            for last in (self._convert, lambda: self._keep(resampler.resample(None))):
                try:
                    last()
                except MemoryError:
                    raise
                except (av.FFmpegError, ValueError):
                    continue
            self._resampler = None
        yield from self._whole()

    def _convert(self) -> None:
        whole = self._fifo.read(0)
        if whole is not None and self._resampler is not None:
            whole.pts = None
            self._keep(self._resampler.resample(whole))

    def _keep(self, parts: list[av.AudioFrame]) -> None:
        for part in parts:
            samples = part.to_ndarray().reshape(-1).astype(np.float32, copy=False)
            self._held.append(samples)
            self._count += len(samples)

    def _whole(self) -> Iterator[Heard]:
        while self._count >= STRETCH:
            yield from self._hand_on(STRETCH)

    def _hand_on(self, count: int) -> Iterator[Heard]:
        every = np.concatenate(self._held) if len(self._held) > 1 else self._held[0]
        samples, rest = every[:count], every[count:]
        self._held, self._count = ([rest] if len(rest) else []), len(rest)
        at_s = self._at_s or 0.0
        self._at_s = at_s + count / SOUND_RATE
        begin = min(count, max(0, round((self._from_s - at_s) * SOUND_RATE)))
        end = max(begin, min(count, round(min(self._until_s - at_s, count / SOUND_RATE) * SOUND_RATE)))
        if begin < end:
            self.heard_s += (end - begin) / SOUND_RATE
            yield Heard(samples[begin:end], at_s + begin / SOUND_RATE)
