"""Labelled copies: the metadata alone against a plain copy of the file, the words against PyAV's bare encoding of the
same pictures by the same encoder, and the opening alone against all of it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import av

from streams.labels import visible
from streams.labels.copy import Terms, label_copy
from tests.bench.clips import CLIPS, clip
from tests.bench.report import Row

#: How often the clip's packets are repeated, for a file whose copying takes long enough to time: some 100 MB.
TIMES = 20
#: Seconds from one to the next: more than the clip has.
APART_S = 30
_CODE = "001191110102MACQD9K64018705"
_LABEL = {"Label": "2", "ContentPropagator": _CODE, "PropagateID": "bench"}


def measure(quick: bool) -> Iterator[Row]:
    """The three figures; each pair is run in turn, and of each side the median counts."""
    av.logging.set_level(av.logging.ERROR)
    runs, encodings = (3, 1) if quick else (7, 5)
    short = clip(CLIPS[0])
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "copy.mp4"
        long = _repeated(short, Path(folder) / "long.mp4", 2 if quick else TIMES)
        label, copy = _in_turn(lambda: _label(long, out, ""), lambda: _copy(long, out), runs)
        megabytes = long.stat().st_size / 1e6
        yield Row("label.remux.mb_s", megabytes / label, "MB/s", runs)
        yield Row("label.remux.vs_copy", label, "s", runs, label / copy, "a plain copy of the file")
        full, bare = _in_turn(lambda: _label(short, out, "内容由AI生成", True), lambda: _bare(short, out), encodings)
        yield Row("label.transcode.vs_pyav", full, "s", encodings, full / bare, "PyAV, same encoder, all pictures")
        part, full = _in_turn(
            lambda: _label(short, out, "内容由AI生成"), lambda: _label(short, out, "内容由AI生成", True), encodings
        )
        yield Row("label.partial.vs_full", part, "s", encodings, part / full, "all pictures encoded again")


def _in_turn(one: Callable[[], None], other: Callable[[], None], runs: int) -> tuple[float, float]:
    took: tuple[list[float], list[float]] = ([], [])
    for number in range(runs + 1):
        for work, times in zip((one, other), took, strict=True):
            begun = perf_counter()
            work()
            if number:  # the first warms the page cache and the libraries
                times.append(perf_counter() - begun)
    return median(took[0]), median(took[1])


def _label(path: Path, out: Path, text: str, permanent: bool = False) -> None:
    with path.open("rb") as source, out.open("w+b") as made:
        label_copy(source, made, Terms(_LABEL, text, permanent=permanent))


def _copy(path: Path, out: Path) -> None:
    with path.open("rb") as source, out.open("wb") as made:
        while data := source.read(1 << 20):
            made.write(data)


def _bare(path: Path, out: Path) -> None:
    name, options = visible.ENCODERS["h264"]
    with av.open(str(path), "r") as given, av.open(str(out), "w") as made:
        pictures = given.streams.video[0]
        pictures.thread_type = "AUTO"
        ours: Any = made.add_stream(name, rate=pictures.average_rate, options=options | {"profile": "high"})
        context = pictures.codec_context
        ours.width, ours.height, ours.pix_fmt = context.width, context.height, context.pix_fmt
        ours.codec_context.time_base = pictures.time_base
        sound: Any = made.add_stream_from_template(given.streams.audio[0])
        for packet in given.demux():
            if packet.stream is pictures:
                for frame in packet.decode():
                    made.mux(ours.encode(frame))
            elif packet.size:
                packet.stream = sound
                made.mux(packet)
        made.mux(ours.encode(None))


def _repeated(path: Path, out: Path, times: int) -> Path:
    """The file, packet by packet, so often after itself."""
    with av.open(str(out), "w") as made:
        outs: dict[int, Any] = {}
        for number in range(times):
            with av.open(str(path), "r") as given:
                # All of them before the first packet, which writes the file's head.
                outs = outs or {one.index: made.add_stream_from_template(one) for one in given.streams}
                for packet in given.demux():
                    if packet.pts is None or packet.dts is None or not packet.time_base:
                        continue
                    later = round(number * APART_S / packet.time_base)
                    packet.pts, packet.dts = packet.pts + later, packet.dts + later
                    packet.stream = outs[packet.stream.index]
                    made.mux(packet)
    return out
