"""The visible mark put into a video: decoded, drawn on and encoded again is no more than the opening where the codec
allows it; everything else is copied packet by packet.

Of H.264 the pictures up to the first point after the mark at which decoding can begin anew are encoded with parameter
sets of their own ids, beside those that are there; the rest stays as it was. Of other codecs all of the video is
encoded again by the same codec.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any, BinaryIO, NamedTuple

import av
import numpy as np

from streams.extraction.entry import enters
from streams.labels import avc, marks
from streams.labels.write import CannotLabel

#: Decoder → encoder of the same codec, and how well it encodes: about what platforms' own encoders give.
ENCODERS: dict[str, tuple[str, dict[str, str]]] = {
    "h264": ("libx264", {"crf": "18", "preset": "fast"}),
    "hevc": ("libx265", {"crf": "20", "preset": "fast", "x265-params": "log-level=none"}),
    "vp8": ("libvpx", {"crf": "8", "deadline": "realtime", "cpu-used": "4"}),
    "vp9": ("libvpx-vp9", {"crf": "24", "b": "0", "deadline": "realtime", "cpu-used": "6", "row-mt": "1"}),
    "av1": ("libsvtav1", {"crf": "26", "preset": "8"}),
    "libdav1d": ("libsvtav1", {"crf": "26", "preset": "8"}),
    "mpeg4": ("mpeg4", {"qmin": "2", "qmax": "4"}),
    "mpeg2video": ("mpeg2video", {"qmin": "2", "qmax": "4"}),
    "mjpeg": ("mjpeg", {"qmin": "2", "qmax": "3"}),
    "flv": ("flv", {"qmin": "2", "qmax": "4"}),
}
#: x264's names of profiles that older devices are bound to; of others the pixels decide.
_PROFILES = {"Baseline": "baseline", "Constrained Baseline": "baseline", "Main": "main", "High": "high"}
_GLOBAL_HEADER = 1 << 22
#: Bytes of encoded pictures that are held until it is known where the rest begins; pictures without any such point come
#: to more in minutes, and are all encoded again.
MAX_HELD = 64 << 20
#: Pixel formats in which a mark is drawn as they are.
_DRAWN = frozenset({"yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p", "yuv420p10le", "yuv422p10le"})


class Wanted(NamedTuple):
    """What shall be seen."""

    text: str
    #: Seconds from the opening picture.
    seconds: float = 2.0
    #: To the end.
    permanent: bool = False


class Marked(NamedTuple):
    """What was done."""

    #: Seconds of pictures that were encoded again; None: all of them.
    encoded_s: float | None
    #: Streams that the container could not take (timecodes, data).
    dropped: tuple[str, ...] = ()


def mark_video(
    source: BinaryIO, out: BinaryIO, form: str, wanted: Wanted, progress: Callable[[float], None] | None = None
) -> Marked:
    """Copy a video with the mark. `form`: FFmpeg's name of the container; `progress` is told seconds of the video.

    Raises:
        CannotLabel: of this codec or size no copy can be made.
        av.FFmpegError: the file is damaged.
    """
    with av.open(source, "r") as given, av.open(out, "w", format=form, options=_options(form)) as made:
        video = pictures_of(given)
        if video is None:
            raise CannotLabel("it has no pictures to put the words on")
        made.metadata.update(tags_of(given))
        if chapters := given.chapters():
            made.set_chapters(chapters)
        job = _Job(video, made, wanted)
        outs, dropped = copied(given, made, video.index)
        _carry(given, outs, job, progress)
        return Marked(job.encoded_s, dropped)


def _options(form: str) -> dict[str, str]:
    return {"movflags": "use_metadata_tags"} if form in ("mp4", "mov") else {}


def pictures_of(given: av.container.InputContainer) -> av.VideoStream | None:
    """The video, if it has one that is not a cover."""
    cover = av.stream.Disposition.attached_pic
    return next((one for one in given.streams.video if not one.disposition & cover), None)


def tags_of(given: av.container.InputContainer) -> dict[str, str]:
    """What the file says of its content; not what it says of its own container, which the new one says anew."""
    return {name: value for name, value in given.metadata.items() if name.lower() not in _OF_CONTAINER}


_OF_CONTAINER = frozenset({"major_brand", "minor_version", "compatible_brands", "encoder"})


def copied(
    given: av.container.InputContainer, made: av.container.OutputContainer, but: int
) -> tuple[dict[int, Any], tuple[str, ...]]:
    """Streams of the copy for all but one of the given: by their index, and what there can be none for."""
    outs: dict[int, Any] = {}
    dropped = []
    for stream in given.streams:
        if stream.index == but:
            continue
        try:
            outs[stream.index] = made.add_stream_from_template(stream)
            outs[stream.index].metadata.update(stream.metadata)
        except (ValueError, av.FFmpegError, NotImplementedError):
            dropped.append(f"{stream.type} {stream.index}")
    return outs, tuple(dropped)


def _carry(
    given: av.container.InputContainer, outs: dict[int, Any], job: _Job, progress: Callable[[float], None] | None
) -> None:
    for packet in given.demux():
        if packet.stream.index == job.given.index:
            job.take(packet)
            if progress and packet.pts is not None and packet.time_base:
                progress(float(packet.pts * packet.time_base))
        elif packet.size and packet.stream.index in outs:
            packet.stream = outs[packet.stream.index]
            job.made.mux(packet)
    job.finish()


class _Job:
    """One video on its way through."""

    def __init__(self, given: av.VideoStream, made: av.container.OutputContainer, wanted: Wanted) -> None:
        self.given, self.made, self._wanted = given, made, wanted
        self._base = given.time_base or Fraction(1, 1000)
        context = given.codec_context
        if context.name not in ENCODERS:
            raise CannotLabel(f"nothing here encodes {context.name}: the words cannot be put on it")
        given.thread_type = "AUTO"
        self._start: Fraction | None = None
        self._mark: tuple[marks.Mark, tuple[int, int]] | None = None
        self._held: list[av.Packet[Any]] | None = None
        self._held_bytes = 0
        self._lag: int | None = None
        self._encoding = True
        self.encoded_s: float | None = None
        self._ours: av.VideoCodecContext | None = None
        self._sets = _sets(context) if context.name == "h264" else None
        if self._sets is None:
            self._stream: Any = self._whole()
            return
        # The template brings what players must know of it: rotation, shape of pixels, colours.
        self._stream = made.add_stream_from_template(given)
        self._ours, more = self._beside(self._sets)
        if context.extradata and context.extradata[0] == 1:
            self._stream.codec_context.extradata = avc.written(self._sets, more)
        self._stream.metadata.update(given.metadata)
        if not wanted.permanent:
            self._held = []

    def _beside(self, sets: avc.Sets) -> tuple[av.VideoCodecContext, avc.Sets]:
        """An encoder whose parameter sets stand beside those that are there."""
        free = next((one for one in range(avc.IDS) if one not in sets.ids), None)
        if free is None:
            raise CannotLabel("its parameter sets leave no id free")
        name, options = ENCODERS["h264"]
        options = options | {"x264-params": f"sps-id={free}:" + ("" if self._wanted.permanent else "bframes=0")}
        if profile := _PROFILES.get(self.given.codec_context.profile or ""):
            options["profile"] = profile
        ours: Any = av.CodecContext.create(name, "w")
        self._same(ours, options)
        if self.given.codec_context.extradata and self.given.codec_context.extradata[0] == 1:
            ours.flags |= _GLOBAL_HEADER
        ours.open()
        return ours, avc.of_start_codes(ours.extradata) if ours.extradata else sets

    def _whole(self) -> Any:
        context = self.given.codec_context
        name, options = ENCODERS[context.name]
        stream: Any = self.made.add_stream(name, rate=self._rate(), options=options)
        self._same(stream.codec_context, options)
        if context.bit_rate and "crf" not in options:
            stream.codec_context.bit_rate = round(context.bit_rate * 1.2)
        stream.metadata.update(self.given.metadata)
        self._ours = stream.codec_context
        return stream

    def _same(self, ours: Any, options: dict[str, str]) -> None:
        context = self.given.codec_context
        ours.width, ours.height, ours.options = context.width, context.height, options
        ours.pix_fmt = context.pix_fmt if context.pix_fmt in _DRAWN else "yuv420p"
        ours.time_base, ours.framerate = self.given.time_base, self._rate()
        if ours.name in ("mpeg4", "mpeg2video"):  # whose times count frames
            ours.time_base = 1 / self._rate()
        if context.sample_aspect_ratio:
            ours.sample_aspect_ratio = context.sample_aspect_ratio
        for name in ("color_range", "color_primaries", "color_trc", "colorspace"):
            setattr(ours, name, getattr(context, name))

    def _rate(self) -> Fraction:
        return self.given.average_rate or self.given.base_rate or Fraction(25)

    def take(self, packet: av.Packet[Any]) -> None:
        """One packet of the video."""
        if not packet.size:
            return
        if self._encoding and self._held is not None and self._cut(packet):
            self._close(packet)
        if not self._encoding:
            packet.stream = self._stream
            self.made.mux(packet)
            return
        if self._lag is None and packet.pts is not None and packet.dts is not None:
            self._lag = max(0, packet.pts - packet.dts)
        for frame in packet.decode():
            self._encode(frame)

    def _cut(self, packet: av.Packet[Any]) -> bool:
        """Whether the rest may begin with this packet."""
        if self._start is None or packet.pts is None or packet.dts is None:
            return False
        if packet.pts * self._base - self._start < self._wanted.seconds:
            return False
        return enters("h264", memoryview(packet), self.given.codec_context.extradata)

    def _close(self, packet: av.Packet[Any] | None) -> None:
        """What is before this packet is encoded to its end, and written."""
        assert self._ours is not None, "made at the beginning"
        for frame in self.given.decode(None):
            self._encode(frame)
        for encoded in self._ours.encode(None):
            self._emit(encoded)
        if packet is not None and packet.pts is not None and packet.dts is not None and self._start is not None:
            self._lag = packet.pts - packet.dts
            self.encoded_s = float(packet.pts * self._base - self._start)
        self._release()
        self._encoding = False

    def finish(self) -> None:
        """There are no more."""
        if self._encoding:
            self._close(None)

    def _encode(self, frame: av.VideoFrame) -> None:
        assert self._ours is not None, "made at the beginning"
        if frame.pts is None:
            return
        now = frame.pts * self._base
        if self._start is None:
            self._start = now
            if frame.rotation and self._sets is None:
                raise CannotLabel("its pictures are turned by the player, and of this codec all would be encoded again")
        if frame.format.name != self._ours.pix_fmt:
            frame = frame.reformat(format=self._ours.pix_fmt)
        if self._wanted.permanent or now - self._start < self._wanted.seconds:
            self._draw(frame)
        frame.pict_type = 0
        for encoded in self._ours.encode(frame):
            self._emit(encoded)

    def _draw(self, frame: av.VideoFrame) -> None:
        frame.make_writable()
        planes = [_pixels(plane, frame) for plane in frame.planes[:3]]
        deep = "10" in frame.format.name
        if self._mark is None:
            turned = frame.rotation % 180 != 0
            size = (frame.height, frame.width) if turned else (frame.width, frame.height)
            try:
                mark = marks.turned(marks.draw(self._wanted.text, *size), frame.rotation)
            except ValueError as error:
                raise CannotLabel(str(error)) from error
            self._mark = mark, marks.corner(planes[0].astype(np.float32) / (4 if deep else 1), mark, frame.rotation)
        full = "j" in frame.format.name
        white, black = (255, 0) if full else (235, 16)
        scale = 4 if deep else 1
        marks.lay(planes, *self._mark, white * scale, black * scale, 128 * scale)

    def _emit(self, packet: av.Packet[Any]) -> None:
        if self._sets is None:
            packet.stream = self._stream
            self.made.mux(packet)
            return
        data = bytes(packet)
        if (self.given.codec_context.extradata or b"")[:1] == b"\x01":
            data = avc.with_lengths(data, self._sets.length)
        ready = av.Packet(data)
        ready.pts, ready.dts, ready.time_base = packet.pts, packet.dts, packet.time_base
        ready.duration, ready.is_keyframe = packet.duration, packet.is_keyframe
        if self._held is None:
            ready.stream = self._stream
            self.made.mux(ready)
            return
        self._held.append(ready)
        self._held_bytes += len(data)
        if self._held_bytes > MAX_HELD:
            self._release()

    def _release(self) -> None:
        """Write what was held: decoded in the order in which it is shown, as long before that as the rest is."""
        held, self._held = self._held, None
        for packet in held or ():
            if packet.pts is not None:
                packet.dts = packet.pts - (self._lag or 0)
            packet.stream = self._stream
            self.made.mux(packet)


def _sets(context: Any) -> avc.Sets | None:
    """The parameter sets of a stream; None: they are not known beforehand, and all is encoded again."""
    try:
        extradata = context.extradata or b""
        return avc.read(extradata) if extradata[:1] == b"\x01" else avc.of_start_codes(extradata)
    except (ValueError, IndexError):
        return None


def _pixels(plane: Any, frame: av.VideoFrame) -> Any:
    wide = 2 if "10" in frame.format.name else 1
    rows = np.frombuffer(plane, np.uint16 if wide == 2 else np.uint8).reshape(plane.height, plane.line_size // wide)
    return rows[:, : plane.width]
