"""What one item may cost, and what it has cost so far."""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import av

if TYPE_CHECKING:  # a decoding process has no use for them
    from streams.settings import Settings


#: Samples of sound a second that no recording falls below. To bring one a second to what detectors hear takes minutes.
LEAST_RATE = 1000
#: Room that must be left, in bytes, when an item has been read; and of its largest picture, in frames of four bytes a
#: pixel: what a decoder may ask for before it shows the next.
LEAST_ROOM = 32 << 20
SPARE_FRAMES = 4


class ExtractFailure(Exception):
    """The media cannot be read: an EXTRACT-* code, and what is wrong in words."""

    def __init__(self, code: str, text: str) -> None:
        self.code = code
        self.text = text
        super().__init__(code, text)  # both, so that it survives pickling


class Limits(NamedTuple):
    """What one item may cost."""

    sample_interval_s: float
    max_pixels: int
    max_duration_s: float
    #: Streams of picture and sound, each of which is reviewed. Films come with a dozen languages.
    max_streams: int = 32
    #: Decoded frames of picture: six hours at 120 a second.
    max_frames: int = 6 * 3600 * 120
    #: Bytes of decoded pictures: six hours of 1080p at 60 a second are 4 TB.
    max_decoded_bytes: int = 8 << 40

    def check(self, videos: Sequence[Any], audios: Sequence[Any], stated_s: float) -> None:
        """Hold what a file says of itself against the limits, before anything of it is decoded.

        Raises:
            ExtractFailure: there is nothing to decode, or not by the decoders here, or too much.
        """
        count = len(videos) + len(audios)
        if not count:
            raise ExtractFailure("EXTRACT-FORMAT", "it holds neither picture nor sound")
        if count > self.max_streams:
            raise ExtractFailure(
                "EXTRACT-LIMIT", f"it has {count} streams of picture and sound; {self.max_streams} are allowed"
            )
        for stream in (*videos, *audios):
            if stream.codec_context is None:
                raise ExtractFailure("EXTRACT-FORMAT", f"the codec of its {stream.type} is not read here")
        if stated_s > self.max_duration_s:
            raise ExtractFailure(
                "EXTRACT-LIMIT", f"it says it lasts {stated_s:.0f} s; {self.max_duration_s:.0f} s are allowed"
            )
        for audio in audios:
            if 0 < (audio.rate or 0) < LEAST_RATE:
                raise ExtractFailure("EXTRACT-LIMIT", f"its sound has {audio.rate} samples a second, not {LEAST_RATE}")
        for video in videos:
            if video.width * video.height > self.max_pixels:
                raise ExtractFailure(
                    "EXTRACT-LIMIT",
                    f"its picture has {video.width} × {video.height} px; {self.max_pixels} px are allowed",
                )


def limits_of(settings: Settings) -> Limits:
    """The limits that the settings give."""
    return Limits(**{name: getattr(settings, name) for name in Limits._fields})


def check_room(videos: Sequence[Any] = ()) -> None:
    """Hold what was read against what a decoder says that got no memory: to FFmpeg a frame without room is damaged
    data, and what is damaged is passed over. Asked for after reading, when decoders hold all that they hold.

    Raises:
        MemoryError: there is too little left for anything to have been decoded for certain.
    """
    frame = max((video.width * video.height * 4 for video in videos), default=0)
    try:
        mmap.mmap(-1, max(LEAST_ROOM, SPARE_FRAMES * frame)).close()  # never touched, so it costs nothing
    except OSError as error:
        raise MemoryError from error


@dataclass
class Meter:
    """What an item has cost so far, against its limits."""

    limits: Limits
    start_s: float
    decoded: int = 0
    pictures: int = 0
    bytes: int = 0
    until_s: float = 0.0
    #: Stream → seconds of a tick: making a fraction of each packet's time costs as much as demuxing it.
    _ticks: dict[int, float] = field(default_factory=dict)

    def packet(self, packet: Any) -> float:
        """Count a packet; returns its time in seconds, or that of the item's beginning if it has none."""
        if packet.pts is None:
            return 0.0
        tick_s = self._ticks.get(packet.stream_index)
        if tick_s is None:
            tick_s = self._ticks[packet.stream_index] = float(packet.time_base)
        begin_s = float(packet.pts * tick_s) - self.start_s
        if begin_s > self.limits.max_duration_s:
            raise ExtractFailure("EXTRACT-LIMIT", f"it goes on past {self.limits.max_duration_s:.0f} s")
        self.until_s = max(self.until_s, begin_s + (packet.duration or 0) * tick_s)
        return begin_s

    def frame(self, frame: Any) -> None:
        """Count a decoded frame of picture or sound."""
        self.decoded += 1
        if isinstance(frame, av.AudioFrame):
            return
        pixels = frame.width * frame.height
        if pixels > self.limits.max_pixels:  # a stream may grow after its header
            raise ExtractFailure("EXTRACT-LIMIT", f"its picture grows to {frame.width} × {frame.height} px")
        self.pictures += 1
        self.bytes += pixels * frame.format.padded_bits_per_pixel // 8
        if self.pictures > self.limits.max_frames:
            raise ExtractFailure("EXTRACT-LIMIT", f"its picture has more than {self.limits.max_frames} frames")
        if self.bytes > self.limits.max_decoded_bytes:
            raise ExtractFailure(
                "EXTRACT-LIMIT", f"its picture has more than {self.limits.max_decoded_bytes} bytes when decoded"
            )
