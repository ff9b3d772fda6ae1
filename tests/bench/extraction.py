"""The cost of extraction: reading a file for the detectors, against decoding all of it with PyAV alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

import av

from streams.extraction.detector import Detector, Findings, Source
from streams.extraction.read import Limits, Reading, read
from streams.registered import installed
from streams.settings import Settings
from tests.bench.clips import CLIPS, clip
from tests.bench.report import Row


class Idle(Detector):
    """Wants pictures and sound, and does nothing with them: what is left is reading, sampling and scaling."""

    name = "idle"
    version = "1"
    wants_frames = True
    wants_sound = True

    def open(self, source: Source) -> None:
        """Nothing to begin."""

    def findings(self) -> Findings:
        """Nothing was found."""
        return Findings()


class Cost(NamedTuple):
    """Of one run: processor time of all threads, and time that passed, in seconds."""

    cpu_s: float
    wall_s: float


def measure(quick: bool) -> Iterator[Row]:
    """Each clip read with the idle detector, the first also with those installed, in turn with the bare decode."""
    settings = Settings()
    limits = Limits(settings.sample_interval_s, settings.max_pixels, settings.max_duration_s)
    detectors = [kind() for kind in installed("veristream.detectors", ()).values()]
    for kind in CLIPS[:1] if quick else CLIPS:
        path = clip(kind)
        name = f"extraction.tier0.vs_full_decode.{kind.name}"
        sides: dict[str, Callable[[], object]] = {
            "bare": lambda path=path: _decode(path),
            "idle": lambda path=path: _read(path, [Idle()], limits),
        }
        if kind is CLIPS[0]:
            sides["detectors"] = lambda path=path: _read(path, detectors, limits)
        costs = _in_turn(sides, 2 if quick else 5 if kind is CLIPS[0] else 3)
        minutes = _read(path, [Idle()], limits).media.duration_s / 60
        for side, suffix in (("idle", ""), ("detectors", ".with_detectors")):
            if side in costs:
                yield _row(name + suffix, costs, side, "cpu_s", minutes)
                yield _row(f"{name}{suffix}.wall", costs, side, "wall_s", minutes)


def _row(name: str, costs: dict[str, list[Cost]], side: str, what: str, minutes: float) -> Row:
    ours, bare = ([getattr(cost, what) for cost in costs[one]] for one in (side, "bare"))
    return Row(
        name,
        median(ours) / minutes,
        f"{'CPU ' if what == 'cpu_s' else ''}s a minute of media",
        len(ours),
        median(one / other for one, other in zip(ours, bare, strict=True)),
        "PyAV alone on one thread: all decoded",
    )


def _in_turn(sides: dict[str, Callable[[], object]], runs: int) -> dict[str, list[Cost]]:
    costs: dict[str, list[Cost]] = {side: [] for side in sides}
    for _ in range(runs):
        for side, work in sides.items():
            cpu, wall = time.process_time(), time.perf_counter()
            work()
            costs[side].append(Cost(time.process_time() - cpu, time.perf_counter() - wall))
    return costs


def _read(path: Path, detectors: Sequence[Detector], limits: Limits) -> Reading:
    reading = read(path, detectors, limits)
    if reading.absent:
        raise RuntimeError(f"detectors were absent: {reading.absent}")
    return reading


def _decode(path: Path) -> None:
    with av.open(str(path)) as container:
        for stream in container.streams:
            stream.thread_type = "NONE"
            stream.codec_context.thread_count = 1
        for packet in container.demux():
            for _ in packet.decode():
                pass
