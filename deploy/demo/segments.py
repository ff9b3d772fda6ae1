"""Cutting a file into segments, as a platform's ingest tier does with a livestream."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from fractions import Fraction
from math import floor
from pathlib import Path
from tempfile import TemporaryDirectory

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.video.stream import VideoStream

from deploy.demo.footage import FootageError, Picture, Shot, Sound, copy_packets, encode


@dataclass(frozen=True, slots=True)
class SegmentFile:
    """One segment of a stream as a file of its own, whose own times start at 0.

    `seq` counts from 0. `start_s` and `duration_s` are seconds of the stream. `last` is true for the last one alone.
    """

    path: Path
    seq: int
    start_s: float
    duration_s: float
    last: bool


def cut_segments(path: Path, folder: Path, seconds: float) -> list[SegmentFile]:
    """Cut a file into MP4 segments of about `seconds` in `folder` (created if need be), in order, `seq` from 0.

    Streams are copied bit for bit where the pictures have a key frame at every cut; otherwise they are encoded anew
    first. A segment starts with a key frame and can be decoded without the others. Raises `av.FFmpegError` on a file
    that can't be read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".cutting-", dir=folder) as cutting:
        source = path
        if not _has_key_frames(path, seconds):
            source = Path(cutting, "keyed.mp4")
            _encode_keyed(path, source, seconds)
        listing = Path(cutting, "segments.csv")
        # A % in the stem or the folder would be read as a pattern.
        pattern = f"{Path(cutting, path.stem)}".replace("%", "%%") + "-%03d.mp4"
        options = {
            "segment_time": str(seconds),
            "segment_format": "mp4",
            "reset_timestamps": "1",
            "segment_list": str(listing),
            "segment_list_type": "csv",
            # AAC starts one frame before 0. Left to itself the muxer would move every time, and with it every cut's.
            "avoid_negative_ts": "disabled",
        }
        with (
            av.open(str(source)) as original,
            av.open(pattern, "w", format="segment", options=options) as output,
        ):
            copy_packets(original, output)
        with listing.open(encoding="utf-8", newline="") as lines:
            rows = [(name, float(start), float(end)) for name, start, end in csv.reader(lines)]
        for name, _, _ in rows:
            Path(cutting, name).replace(folder / name)
    return [
        SegmentFile(folder / name, seq, start - rows[0][1], end - start, last=seq == len(rows) - 1)
        for seq, (name, start, end) in enumerate(rows)
    ]


def _has_key_frames(path: Path, seconds: float) -> bool:
    """Whether a key frame stands at every multiple of `seconds`; true where there are no pictures."""
    with av.open(str(path)) as container:
        if not container.streams.video:
            return True
        video = container.streams.video[0]
        frame_s = 1 / (video.average_rate or Fraction(30))
        times = [
            (packet.pts * video.time_base, packet.is_keyframe)
            for packet in container.demux(video)
            if packet.pts is not None and video.time_base is not None
        ]
    if not times:
        return True
    first, last = min(times)[0], max(times)[0]
    keys = [time - first for time, is_key in times if is_key]
    cuts = [number * Fraction(seconds) for number in range(1, floor((last - first) / Fraction(seconds)) + 1)]
    return all(any(0 <= key - cut < frame_s for key in keys) for cut in cuts)


def _encode_keyed(path: Path, target: Path, seconds: float) -> None:
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        shot = Shot(path, 0, _length_s(container, video))
        # H.264 in 4:2:0 takes even sizes alone.
        size = (video.width - video.width % 2, video.height - video.height % 2)
        fps = video.average_rate or Fraction(30)
        audio = next(iter(container.streams.audio), None)
        sound = None if audio is None else Sound(path, 0, _length_s(container, audio))
    encode(target, Picture((shot,), size, fps, key_every_s=seconds), sound)


def _length_s(container: InputContainer, stream: VideoStream | AudioStream) -> float:
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    if container.duration is not None:
        return container.duration / av.time_base
    raise FootageError(f"{container.name} does not say how long it is")
