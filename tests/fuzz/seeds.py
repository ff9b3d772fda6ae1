"""A small sound file of every container that is read, to be damaged."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import av.logging
import numpy as np

from tests.fuzz.boxes import box
from tests.streams.clips import clip, with_cover

LABEL = (
    '{"Label":"1","ContentProducer":"a","ProduceID":"b","ReservedCode1":"","ContentPropagator":"c",'
    '"PropagateID":"d","ReservedCode2":""}'
)
#: What FFmpeg's encoders of subtitles want to know of their form.
ASS = (
    b"[Script Info]\r\nScriptType: v4.00+\r\nPlayResX: 384\r\nPlayResY: 288\r\n\r\n[V4+ Styles]\r\nFormat: Name,"
    b" Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, Underline,"
    b" StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, MarginV,"
    b" Encoding\r\nStyle: Default,Arial,16,&Hffffff,&Hffffff,&H0,&H0,0,0,0,0,100,100,0,0,1,1,0,2,10,10,10,1\r\n\r\n"
    b"[Events]\r\nFormat: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\r\n"
)
#: A C2PA store as mp4 carries one; its content names a generator.
C2PA = box(
    b"uuid",
    bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
    + b"\0\0\0\0manifest\0"
    + b"\0" * 8
    + box(
        b"jumb",
        box(b"jumd", b"c2pa" + bytes.fromhex("00110010800000aa00389b71") + b"\x03c2pa\0")
        + b"\x71digitalSourceType\x78\x46http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia",
    ),
)


class Seed(NamedTuple):
    """How a file is made: its suffix, its codecs, its muxer's options."""

    suffix: str
    video: str | None
    audio: str | None
    options: dict[str, str] = {}
    rate: int = 44_100


SEEDS = {
    "mp4": Seed("mp4", "libx264", "aac"),
    "mp4-front": Seed("mp4", "libx264", "aac", {"movflags": "faststart+use_metadata_tags"}),
    "mp4-hevc": Seed("mp4", "libx265", None),
    "fmp4": Seed("mp4", "libx264", "aac", {"movflags": "frag_keyframe+empty_moov+default_base_moof"}),
    "ts": Seed("ts", "libx264", "aac"),
    "ts-mpeg2": Seed("ts", "mpeg2video", "mp2"),
    "flv": Seed("flv", "flv1", "libmp3lame"),
    "flv-h264": Seed("flv", "libx264", "aac"),
    "mkv": Seed("mkv", "libx264", "aac"),
    "mkv-mpeg4": Seed("mkv", "mpeg4", "flac"),
    "webm": Seed("webm", "libvpx", "libopus", rate=48_000),
    "webm-vp9": Seed("webm", "libvpx-vp9", "libopus", rate=48_000),
    "mov": Seed("mov", "mpeg4", "pcm_s16le", rate=8_000),
    "m4a": Seed("m4a", None, "aac"),
    "mp3": Seed("mp3", None, "libmp3lame"),
    "aac": Seed("aac", None, "aac"),
    "wav": Seed("wav", None, "pcm_s16le", rate=8_000),
    "flac": Seed("flac", None, "flac"),
    "ogg": Seed("ogg", None, "flac"),
    "ogg-opus": Seed("ogg", None, "libopus", rate=48_000),
    "avi": Seed("avi", "mpeg4", "libmp3lame"),
}


def make_seeds(folder: Path) -> dict[str, bytes]:
    """The bytes of each seed; 5 to 60 kB. All carry an AIGC label where their container can; two a C2PA store."""
    av.logging.set_level(av.logging.PANIC)
    made = {}
    for name, seed in SEEDS.items():
        path = clip(
            folder / f"{name}.{seed.suffix}",
            video=seed.video, audio=seed.audio, seconds=1.0, size=(96, 64), rate=seed.rate,
            layout="stereo", metadata={"AIGC": LABEL, "title": "seed"}, options=seed.options, key_every=5,
        )  # fmt: skip
        made[name] = path.read_bytes()
    made["mp3-cover"] = with_cover(folder / "cover.mp3", folder / "mp3.mp3").read_bytes()
    made["mkv-black"] = black(folder / "black.mkv").read_bytes()
    made["mkv-subtitles"] = with_subtitles(folder / "subtitles.mkv", folder / "mkv.mkv", "ass").read_bytes()
    made["mp4-subtitles"] = with_subtitles(folder / "subtitles.mp4", folder / "mp4.mp4", "mov_text").read_bytes()
    made["mp4-c2pa"] = made["mp4"] + C2PA  # in front it would move the samples from where the index says
    made["mp3-c2pa"] = _geob() + made["mp3"]
    return made


def black(path: Path) -> Path:
    """A second of nothing to be seen, which detectors have branches of their own for."""
    with av.open(str(path), "w") as output:
        stream: Any = output.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for number in range(10):
            frame = av.VideoFrame.from_ndarray(np.zeros((64, 96, 3), np.uint8), format="rgb24")
            frame.pts = number
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def with_subtitles(path: Path, clip: Path, codec: str) -> Path:
    """A clip with a line of text beside it, and in Matroska with an attached file."""
    with av.open(str(clip)) as original, av.open(str(path), "w") as output:
        copies = {stream.index: output.add_stream_from_template(stream) for stream in original.streams}
        text: Any = output.add_stream(codec)
        text.codec_context.subtitle_header = ASS
        if path.suffix == ".mkv":
            output.add_attachment("letters.ttf", "application/x-truetype-font", b"no font")
        for packet in original.demux():
            if packet.dts is not None:
                packet.stream = copies[packet.stream.index]
                output.mux(packet)
        line = av.Packet(b"\0\x05Hello" if codec == "mov_text" else b"0,0,Default,,0,0,0,,Hello")
        line.stream, line.pts, line.dts, line.duration, line.time_base = text, 0, 0, 500, Fraction(1, 1000)
        output.mux(line)
    return path


def _geob() -> bytes:
    body = b"\0application/c2pa\0c2pa\0c2pa manifest store\0" + C2PA[45:]
    frame = b"GEOB" + len(body).to_bytes(4, "big") + b"\0\0" + body
    size = bytes(len(frame) >> shift & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\x03\0\0" + size + frame
