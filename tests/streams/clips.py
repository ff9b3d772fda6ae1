"""Small media made with PyAV: a picture whose grey tells the second, and a tone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

FPS = 10


def grey_at(second: int) -> int:
    """How bright the picture is in a second, from dark to light."""
    return 40 + 20 * second


def clip(
    path: Path,
    *,
    video: str | None = "libx264",
    audio: str | None = "aac",
    seconds: float = 3.0,
    size: tuple[int, int] = (160, 120),
    rate: int = 48_000,
    layout: str = "stereo",
    start_s: float = 0.0,
    metadata: Mapping[str, str] | None = None,
    options: Mapping[str, str] | None = None,
    key_every: int = FPS,
) -> Path:
    """Write a clip in the container that the path's suffix names."""
    with av.open(str(path), "w", options=dict(options or {})) as output:
        output.metadata.update(metadata or {})
        packets: list[Any] = []
        if video:
            stream = output.add_stream(video, rate=FPS)
            stream.width, stream.height = size
            stream.pix_fmt = "yuv420p"
            stream.codec_context.gop_size = key_every
            stream.codec_context.thread_count = 1
            if video == "libx264":
                stream.options = {"preset": "ultrafast"}
            elif video == "libx265":
                stream.options = {"preset": "ultrafast", "x265-params": "log-level=none"}
            elif video == "libvpx-vp9":
                stream.options = {"deadline": "realtime", "cpu-used": "8"}
            packets += [(packet.dts * packet.time_base, packet) for packet in _pictures(stream, seconds, start_s)]
        if audio:
            stream = output.add_stream(audio, rate=rate, layout=layout)
            packets += [(packet.dts * packet.time_base, packet) for packet in _tone(stream, seconds, start_s)]
        for _, packet in sorted(packets, key=lambda timed: timed[0]):
            output.mux(packet)
    return path


def _pictures(stream: Any, seconds: float, start_s: float) -> Iterable[Any]:
    width, height = stream.width, stream.height
    for number in range(round(seconds * FPS)):
        rgb = np.full((height, width, 3), grey_at(number // FPS), np.uint8)
        frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
        frame.time_base = Fraction(1, FPS)
        frame.pts = number + round(start_s * FPS)
        yield from stream.encode(frame)
    yield from stream.encode(None)


def _tone(stream: Any, seconds: float, start_s: float) -> Iterable[Any]:
    rate = stream.codec_context.sample_rate
    layout = stream.codec_context.layout.name
    form = stream.codec_context.format.name
    total = round(seconds * rate)
    for at in range(0, total, 1024):
        times = np.arange(at, min(at + 1024, total)) / rate
        wave = 0.5 * np.sin(2 * np.pi * 440 * times)
        channels = 1 if layout == "mono" else 2
        if form.startswith("s16"):
            wave = (wave * 32_767).astype(np.int16)
        elif form.startswith("s32"):
            wave = (wave * (2**31 - 1)).astype(np.int32)
        else:
            wave = wave.astype(np.float32)
        shaped = np.tile(wave, (channels, 1)) if form.endswith("p") else np.repeat(wave, channels)[None, :]
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(shaped), format=form, layout=layout)
        frame.sample_rate = rate
        frame.time_base = Fraction(1, rate)
        frame.pts = at + round(start_s * rate)
        yield from stream.encode(frame)
    yield from stream.encode(None)


def with_cover(path: Path, sound: Path) -> Path:
    """The sound of a file with a cover picture beside it."""
    with av.open(str(sound)) as original, av.open(str(path), "w") as output:
        tone = original.streams.audio[0]
        copy = output.add_stream_from_template(tone)
        for packet in cover_of(output):
            output.mux(packet)
        for packet in original.demux(tone):
            if packet.dts is not None:
                packet.stream = copy
                output.mux(packet)
    return path


def cover_of(output: Any) -> Iterable[Any]:
    """A cover picture as a stream of its own, and its packets."""
    cover = output.add_stream("mjpeg", rate=1)
    cover.width, cover.height, cover.pix_fmt = 64, 64, "yuvj420p"
    cover.disposition = av.stream.Disposition.attached_pic
    picture = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 200, np.uint8), format="rgb24")
    return [*cover.encode(picture), *cover.encode(None)]
