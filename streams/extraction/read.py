"""Reading an item: one pass of the decoder, every detector over the same frames and samples. Runs in a pool process."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import av
import av.logging
import msgspec
import numpy as np
from av.audio.resampler import AudioResampler

from schemas.signals import FrameHash, MediaFacts, Signal
from streams.extraction.detector import BATCH, FRAME_SIDE, SOUND_RATE, Detector, Findings, Frame, Source

#: Containers of ingest tiers, by FFmpeg's names. What is not here (playlists, scripts, images, raw streams) is not
#: probed at all: an m3u8 or a concat script would have the demuxer open what it names.
FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,flv,mpegts,avi,wav,mp3,flac,ogg,aac"
#: Protocols the demuxer may open by itself: none. The bytes come from the file that we opened.
PROTOCOLS = "none"
#: First bytes of the containers above: tells damaged media from what never was media. (offset, bytes)
SIGNATURES = (
    *((4, box) for box in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"styp", b"moof")),
    *((0, magic) for magic in (b"\x1aE\xdf\xa3", b"FLV", b"RIFF", b"OggS", b"fLaC", b"ID3", b"\xff\xfb", b"\xff\xf1")),
    (188, b"G"),  # the second packet of a transport stream: a word may begin with a G too
)
#: A stream's line in FFmpeg's description of a container.
_STREAM = re.compile(r"^  Stream #0:\d+", re.MULTILINE)
_WIRE = msgspec.msgpack.Encoder()
_FINDINGS = msgspec.msgpack.Decoder(Findings)


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


class Reading(NamedTuple):
    """Everything that was found in one item."""

    media: MediaFacts
    signals: tuple[Signal, ...]
    frames: tuple[FrameHash, ...]
    absent: tuple[str, ...]
    models: Mapping[str, str]


class _Panel:
    """The detectors over one item; one that fails leaves, and the others go on."""

    def __init__(self, detectors: Sequence[Detector]) -> None:
        self._present = list(detectors)
        self.absent: list[str] = []

    def each(self, method: str, *args: Any, wants: str | None = None) -> dict[str, Any]:
        answers = {}
        for detector in tuple(self._present):
            if wants and not getattr(detector, wants):
                continue
            try:
                answer = getattr(detector, method)(*args)
                if method == "findings":  # what cannot go over the wire must not cost the item either
                    answer = _FINDINGS.decode(_WIRE.encode(answer))
                answers[detector.name] = answer
            except Exception as error:
                self._present.remove(detector)
                why = f"{detector.name}: {type(error).__name__}: {error}"[:300]
                self.absent.append(why.encode("utf-8", "replace").decode())  # it may quote the file's metadata
        return answers

    def want(self, what: str) -> bool:
        return any(getattr(detector, what) for detector in self._present)


def read(path: Path, detectors: Sequence[Detector], limits: Limits) -> Reading:
    """Decode the file once and let every detector look at it.

    Raises:
        ExtractFailure: it is not media, it is damaged, or it exceeds a limit.
    """
    with path.open("rb") as file, path.open("rb") as again:
        try:
            container = av.open(
                file,
                mode="r",
                metadata_errors="surrogateescape",  # one bad tag must not cost the whole item
                options={"format_whitelist": FORMATS, "protocol_whitelist": PROTOCOLS},
            )
        except (av.FFmpegError, ValueError) as error:
            raise _not_opened(path, error) from error
        with container:
            return _read(container, again, detectors, limits)


def _not_opened(path: Path, error: Exception) -> ExtractFailure:
    with path.open("rb") as file:
        head = file.read(256)
    if any(head.startswith(magic, at) for at, magic in SIGNATURES):
        return ExtractFailure("EXTRACT-BROKEN", f"it begins like media but cannot be opened: {_words(error)}")
    return ExtractFailure("EXTRACT-FORMAT", "it begins like no container that is read here")


def _words(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)


def _read(container: Any, file: BinaryIO, detectors: Sequence[Detector], limits: Limits) -> Reading:
    video = _first(container.streams.video)
    audio = _first(container.streams.audio)
    if video is None and audio is None:
        raise ExtractFailure("EXTRACT-FORMAT", "it holds neither picture nor sound")
    for stream in (video, audio):
        if stream is not None and stream.codec_context is None:
            raise ExtractFailure("EXTRACT-FORMAT", f"the codec of its {stream.type} is not read here")
    stated = container.duration / av.time_base if container.duration else 0.0
    _check(video, stated, limits)
    panel = _Panel(detectors)
    panel.each(
        "open",
        Source(
            container.format.name,
            dict(container.metadata),
            [dict(stream.metadata) for stream in container.streams],
            file,
        ),
    )
    # A transport stream's clock does not begin at 0: a segment may start hours into its broadcast.
    sampler = _Sampler(panel, limits, (container.start_time or 0) / av.time_base)
    wanted = [
        stream
        for stream, want in ((video, panel.want("wants_frames")), (audio, panel.want("wants_sound")))
        if stream is not None and want
    ]
    for stream in wanted:
        stream.thread_type = "NONE"  # processes × threads = cores: two decoders on two threads each cost a fifth more
    for frame in _decoded(container, wanted or [video or audio]):
        try:
            sampler.take(frame)
        except MemoryError:
            raise
        except (av.FFmpegError, ValueError):  # what cannot be converted is as good as damaged
            continue
    sampler.end()
    if _grown(container):
        raise ExtractFailure("EXTRACT-BROKEN", "a stream begins in its middle that was not there at its beginning")
    if not sampler.decoded:
        raise ExtractFailure("EXTRACT-BROKEN", "not one frame or sample of it could be decoded")
    if video in wanted and not sampler.frames_seen:
        raise ExtractFailure("EXTRACT-BROKEN", "its sound could be decoded, but not one frame of its picture")
    found: dict[str, Findings] = panel.each("findings")
    duration = max(stated, sampler.until_s)
    return Reading(
        media=MediaFacts(
            container=container.format.name,
            duration_s=duration,
            width=video.width if video else None,
            height=video.height if video else None,
            video_codec=video.codec_context.name if video else None,
            audio_codec=audio.codec_context.name if audio else None,
            frames_seen=sampler.frames_seen,
            sound_s=sampler.sound_s,
        ),
        signals=tuple(signal for findings in found.values() for signal in findings.signals),
        frames=tuple(frame for findings in found.values() for frame in findings.frames),
        absent=tuple(panel.absent),
        models={detector.name: detector.version for detector in detectors if detector.name in found},
    )


def _first(streams: Sequence[Any]) -> Any:
    """The first stream that is played: cover art is a stream of one picture, and not what the item shows."""
    return next((stream for stream in streams if not stream.disposition & stream.disposition.attached_pic), None)


def _check(video: Any, duration_s: float, limits: Limits) -> None:
    if duration_s > limits.max_duration_s:
        raise ExtractFailure(
            "EXTRACT-LIMIT", f"it says it lasts {duration_s:.0f} s; {limits.max_duration_s:.0f} s are allowed"
        )
    if video is not None and video.width * video.height > limits.max_pixels:
        raise ExtractFailure(
            "EXTRACT-LIMIT", f"its picture has {video.width} × {video.height} px; {limits.max_pixels} px are allowed"
        )


def _decoded(container: Any, streams: Sequence[Any]) -> Iterator[Any]:
    """Every frame of these streams. A damaged packet is passed over: players show the rest, so the rest is reviewed."""
    packets = container.demux(*streams)
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except av.FFmpegError:  # the file ends in the middle, or its index lies: what came before counts
            return
        except IndexError:  # PyAV's end, sometimes, of a file in which further streams have begun: see _grown
            return
        try:
            yield from packet.decode()
        except av.FFmpegError:
            continue


def _grown(container: Any) -> bool:
    """Whether streams have begun since the file was opened (.flv, .ts). PyAV passes over them in silence, but a player
    shows them: an item must not be judged by its first minutes of sound alone."""
    level = av.logging.get_level()
    av.logging.set_level(av.logging.INFO)  # the dump is made of log lines, and nothing else says how many there are now
    try:
        return len(_STREAM.findall(container.dumps_format())) > len(container.streams)
    finally:
        av.logging.set_level(level)


class _Sampler:
    """Picks frames by their time, scales them once, and hands frames and sound to the detectors."""

    def __init__(self, panel: _Panel, limits: Limits, start_s: float) -> None:
        self.decoded = 0
        self.frames_seen = 0
        self.sound_s = 0.0
        self.until_s = 0.0
        self._panel = panel
        self._limits = limits
        self._start_s = start_s
        self._sampled_s = self._shown_s = float("-inf")
        self._batch: list[Frame] = []
        self._form: tuple[Any, ...] | None = None
        self._resampler: AudioResampler | None = None

    def take(self, frame: Any) -> None:
        """A decoded frame of picture or sound."""
        at_s = float(frame.time) - self._start_s if frame.time is not None else self.until_s
        self.until_s = max(self.until_s, at_s)
        if at_s > self._limits.max_duration_s:
            raise ExtractFailure("EXTRACT-LIMIT", f"it goes on past {self._limits.max_duration_s:.0f} s")
        if isinstance(frame, av.VideoFrame):
            self._picture(frame, at_s)
        else:
            self._sound(frame)
        self.decoded += 1

    def end(self) -> None:
        """Hand on what is left."""
        self._look()
        self._hear_rest()

    def _picture(self, frame: av.VideoFrame, at_s: float) -> None:
        if frame.width * frame.height > self._limits.max_pixels:  # a stream may grow after its header
            raise ExtractFailure("EXTRACT-LIMIT", f"its picture grows to {frame.width} × {frame.height} px")
        # A time before the last picture's is sampled too: in two recordings put one after the other it begins anew,
        # and what the second shows must not pass unseen.
        back, self._shown_s = at_s < self._shown_s, at_s
        if not back and at_s < self._sampled_s + self._limits.sample_interval_s:
            return
        # On a grid: counted from the last sample, the steps would grow by the frame that each comes late.
        step = self._limits.sample_interval_s
        self._sampled_s = at_s // step * step if step else at_s
        scale = min(1.0, FRAME_SIDE / max(frame.width, frame.height))
        small = frame.reformat(
            width=max(1, round(frame.width * scale)),
            height=max(1, round(frame.height * scale)),
            format="rgb24",
            interpolation="AREA",
        )
        self._batch.append(Frame(round(max(0.0, at_s), 3), small.to_ndarray().astype(np.uint8, copy=False)))
        self.frames_seen += 1
        if len(self._batch) == BATCH:
            self._look()

    def _look(self) -> None:
        if self._batch:
            self._panel.each("see", tuple(self._batch), wants="wants_frames")
            self._batch.clear()

    def _sound(self, frame: av.AudioFrame) -> None:
        form = (frame.format.name, frame.layout.name, frame.sample_rate)
        if form != self._form:  # a stream may change its rate or its channels on the way
            self._hear_rest()
            self._form = form
            # Without the option two equal channels of full scale would add up to 1.4.
            self._resampler = AudioResampler(
                format="flt", layout="mono", rate=SOUND_RATE, options={"rematrix_maxval": "1.0"}
            )
        self._hear(frame)

    def _hear_rest(self) -> None:
        """Hand on what the resampler still holds; a sound that it could not take costs no more than itself."""
        with suppress(av.FFmpegError, ValueError):
            self._hear(None)

    def _hear(self, frame: av.AudioFrame | None) -> None:
        """Hand on this sound as detectors hear it; None: the end."""
        for part in self._resampler.resample(frame) if self._resampler else ():
            samples = part.to_ndarray().reshape(-1).astype(np.float32, copy=False)
            self._panel.each("hear", samples, round(self.sound_s, 3), wants="wants_sound")
            self.sound_s += len(samples) / SOUND_RATE
