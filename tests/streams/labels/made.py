"""Small files of every container that a label is written into, made by PyAV and Pillow."""

from __future__ import annotations

import io
import tempfile
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import numpy as np
from PIL import Image

PRODUCER = "001191440300708461136T1XGW3"
PLATFORM = "001191110102MACQD9K64018705"
ORDER = {
    "Label": "2",
    "ContentProducer": "",
    "ProduceID": "",
    "ReservedCode1": "",
    "ContentPropagator": PLATFORM,
    "PropagateID": "content-1",
    "ReservedCode2": "",
}
#: name → (FFmpeg's format, video codec, audio codec, options of the format).
KINDS: dict[str, tuple[str, str | None, str | None, dict[str, str]]] = {
    "mp4": ("mp4", "libx264", "aac", {}),
    "mp4 moov first": ("mp4", "libx264", "aac", {"movflags": "faststart"}),
    "mp4 in fragments": ("mp4", "libx264", "aac", {"movflags": "frag_keyframe+empty_moov"}),
    "mp4 with iTunes tags": ("mp4", "libx264", None, {"movflags": "faststart"}),
    "mov": ("mov", "libx264", "aac", {"movflags": "faststart"}),
    "m4a": ("ipod", None, "aac", {}),
    "mkv": ("matroska", "libx264", "aac", {}),
    "mkv cues first": ("matroska", "libx264", "aac", {"cues_to_front": "1"}),
    "mkv live": ("matroska", "libx264", "aac", {"live": "1"}),
    "webm": ("webm", "libvpx", "libopus", {}),
    "avi": ("avi", "mpeg4", "libmp3lame", {}),
    "flv": ("flv", "libx264", "aac", {}),
    "flv with an index": ("flv", "libx264", "aac", {"flvflags": "add_keyframe_index"}),
    "wav": ("wav", None, "pcm_s16le", {}),
    "wav RF64": ("wav", None, "pcm_s16le", {"rf64": "always"}),
    "mp3": ("mp3", None, "libmp3lame", {"id3v2_version": "3"}),
    "mp3 without a tag": ("mp3", None, "libmp3lame", {"id3v2_version": "0", "write_xing": "0"}),
    "flac": ("flac", None, "flac", {}),
    "opus": ("ogg", None, "libopus", {}),
    "vorbis": ("ogg", None, "vorbis", {}),
}
PICTURES = ("jpeg", "png")


@cache
def media(kind: str, seconds: float = 2.0, size: tuple[int, int] = (160, 120), **tags: str) -> bytes:
    """A file of that kind: a moving gradient, and a tone."""
    with tempfile.TemporaryDirectory() as folder:  # a real file: some formats go back and read what they wrote
        path = Path(folder) / "made"
        _make(path, kind, seconds, size, tags)
        return path.read_bytes()


def _make(path: Path, kind: str, seconds: float, size: tuple[int, int], tags: dict[str, str]) -> None:
    form, video, audio, options = KINDS[kind]
    with av.open(str(path), "w", format=form, options=options) as out:
        out.metadata.update({"title": "a title"} | tags)
        pictures = sound = None
        if video:
            pictures = out.add_stream(
                video, rate=25, options={"g": "25"} | ({"sc_threshold": "0"} if video == "libx264" else {})
            )
            pictures.width, pictures.height, pictures.pix_fmt = *size, "yuv420p"
        if audio:
            options = {"strict": "-2"} if audio == "vorbis" else {}
            layout = "stereo" if audio == "vorbis" else "mono"
            sound = out.add_stream(audio, rate=48000, options=options, layout=layout)
        if pictures:
            columns = np.arange(size[0] * 3, dtype=np.uint16).reshape(1, -1, 3)
            for n in range(round(seconds * 25)):
                picture = np.broadcast_to((columns + n * 5) % 200, (size[1], size[0], 3)).astype(np.uint8)
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
                out.mux(pictures.encode(frame))
            out.mux(pictures.encode(None))
        if sound:
            wave = 8000 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * 48000)) / 48000)
            channels = 2 if audio == "vorbis" else 1
            frame = av.AudioFrame.from_ndarray(
                np.repeat(wave.astype(np.int16), channels).reshape(1, -1),
                format="s16",
                layout="stereo" if channels == 2 else "mono",
            )
            frame.sample_rate, frame.time_base, frame.pts = 48000, Fraction(1, 48000), 0
            out.mux(sound.encode(frame))
            out.mux(sound.encode(None))


def picture(kind: str, size: tuple[int, int] = (200, 160)) -> bytes:
    """A picture."""
    file = io.BytesIO()
    Image.new("RGB", size, (40, 90, 160)).save(file, kind)
    return file.getvalue()


def packets(data: bytes) -> list[tuple[int, int | None, int | None, bytes]]:
    """Stream, times and bytes of every packet."""
    with av.open(io.BytesIO(data)) as file:
        return [(p.stream.index, p.pts, p.dts, bytes(p)) for p in file.demux() if p.size]
