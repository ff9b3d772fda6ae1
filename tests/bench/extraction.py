"""The cost of extraction: reading a file for the detectors, against decoding all of it with PyAV alone."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

import av
import numpy as np

from schemas.plan import Plan
from streams.extraction.detector import Detector, Findings, Source
from streams.extraction.pool import Pool
from streams.extraction.read import Limits, Reading, read
from streams.extraction.reader import Reader
from streams.extraction.turns import Turns
from streams.registered import installed
from streams.settings import load
from tests.bench.clips import CAPTIONED, CLIPS, clip, longer
from tests.bench.report import BUILD, Row
from tests.evaluation.recall import tier0

#: Detectors of tier 0 that need no model.
CHEAP = ("pdq", "points", "sound", "qr", "blank", "stretches", "container")
CAPTIONS = "captions"
#: Lengths of media whose memory is compared, in minutes.
SHORT_MIN, LONG_MIN = 5, 120
#: Seconds of a livestream segment.
SEGMENT_S = 2.0


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
    """Each clip by the plan that every item gets, the first also with detectors, against the bare decode.

    "plain" and "captions" are with every detector that is installed, over footage without text and with captions.
    """
    settings = load()
    limits = Limits(settings.sample_interval_s, settings.max_pixels, settings.max_duration_s)
    kinds = installed("veristream.detectors", ())
    every = {name: kind() for name, kind in kinds.items() if not kind.problems()}
    plan = tier0([type(detector) for detector in every.values()])
    gc.collect()
    gc.freeze()  # as a decoding process does once its models are loaded
    cheap = [every[name] for name in CHEAP]
    for kind in CLIPS[:1] if quick else CLIPS:
        path = clip(kind)
        sides: dict[str, Callable[[], object]] = {
            "bare": lambda path=path: _decode(path),
            "idle": lambda path=path: _read(path, [Idle()], limits, plan),
        }
        if kind is CLIPS[0]:
            sides |= {
                "whole": lambda path=path: _read(path, [Idle()], limits, None),
                "tier0": lambda path=path: _read(path, cheap, limits, plan),
                "plain": lambda path=path: _read(path, list(every.values()), limits, plan),
            }
        costs = _in_turn(sides, 2 if quick else 5)
        minutes = _read(path, [Idle()], limits, plan).media.duration_s / 60
        names = {
            "idle": f"extraction.tier0.vs_full_decode.{kind.name}",
            "whole": f"extraction.whole.vs_full_decode.{kind.name}",
            "tier0": f"extraction.tier0.vs_full_decode.{kind.name}.with_detectors",
            "plain": f"extraction.tier01.vs_full_decode.{kind.name}.plain",
        }
        for side, name in names.items():
            if side in costs:
                yield _row(name, costs, side, "cpu_s", minutes)
        yield _row(f"{names['idle']}.wall", costs, "idle", "wall_s", minutes)
    if CAPTIONS in every:
        yield from _captioned(list(every.values()), limits, plan, 2 if quick else 5)


def _captioned(detectors: Sequence[Detector], limits: Limits, plan: Plan, runs: int) -> Iterator[Row]:
    """The same with captions read, over a clip that has some all the way through."""
    path = clip(CAPTIONED)
    reading = _read(path, detectors, limits, plan)
    if not reading.captions:
        raise RuntimeError("not one caption was read")
    costs = _in_turn(
        {"bare": lambda: _decode(path), "captions": lambda: _read(path, detectors, limits, plan)},
        runs,
    )
    name = "extraction.tier01.vs_full_decode.h264_720p.captions"
    yield _row(name, costs, "captions", "cpu_s", reading.media.duration_s / 60)
    yield Row(f"{name}.read", len(reading.captions), f"captions in {reading.media.duration_s:.0f} s", 1)


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


def _read(path: Path, detectors: Sequence[Detector], limits: Limits, plan: Plan | None) -> Reading:
    reading = read(path, detectors, limits, plan)
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


# Memory: of a process as the worker has it, with every detector.


def memory(quick: bool) -> Iterator[Row]:
    """What a decoding process with every detector holds at most, of a short item and of a long one."""
    short_min, long_min = (1, 5) if quick else (SHORT_MIN, LONG_MIN)
    peaks = {minutes: asyncio.run(_peak_mb(minutes)) for minutes in (short_min, long_min)}
    yield Row("extraction.memory_mb", peaks[long_min], "MB at most, models included", 1)
    yield Row(
        f"extraction.memory_growth_mb.{long_min // 60}h" if long_min >= 60 else "extraction.memory_growth_mb",
        peaks[long_min] - peaks[short_min],
        f"MB more for {long_min} minutes than for {short_min}",
        1,
        peaks[long_min] / peaks[short_min],
        f"the same media, {short_min} minutes of it",
    )


async def _peak_mb(minutes: int) -> float:
    """Of the one process of a pool that reads so many minutes of media, in stretches as the worker does."""
    kind = CLIPS[0]
    source = clip(kind)
    with av.open(str(source)) as container:
        repeats = round(minutes * 60 / ((container.duration or 0) / av.time_base))
    path = longer(source, BUILD / "clips" / f"{source.stem}-{minutes}min.mp4", repeats)
    kinds = [one for one in installed("veristream.detectors", ()).values() if not one.problems()]
    settings = load(extract_workers=1)
    pool = Pool(settings, kinds)
    try:
        await pool.warm()
        (pid,) = pool.pids
        reader = Reader(pool, Turns(1), kinds, timeout_s=settings.extract_timeout_s)
        reading = await reader.read(path, tier0(kinds), "upload")
        if reading.absent or pool.pids != {pid}:
            raise RuntimeError(f"another process went on ({dict(pool.ended)}), or some saw nothing: {reading.absent}")
        status = Path(f"/proc/{pid}/status").read_text().splitlines()
        return int(next(line for line in status if line.startswith("VmHWM")).split()[1]) / 1024
    finally:
        await pool.close()


# Side by side: the pool alone, without Kafka.


def side_by_side(quick: bool) -> Iterator[Row]:
    """Two decoding processes against one, and how many livestreams two hold in real time."""
    yield from asyncio.run(_side_by_side(quick))


async def _side_by_side(quick: bool) -> list[Row]:
    path, items = clip(CLIPS[0]), 4 if quick else 8
    rates: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(1 if quick else 5):
        for workers, found in rates.items():
            pool, plan = await _pool(workers)
            begun = time.perf_counter()
            await asyncio.gather(*(pool.read(path, plan) for _ in range(items)))
            found.append(items / (time.perf_counter() - begun))
            await pool.close()
    ratio = median(two / one for one, two in zip(rates[1], rates[2], strict=True))
    with av.open(str(path)) as container:
        seconds = (container.duration or 0) / av.time_base
    rows = [
        Row(
            "extraction.scaling.2_processes",
            median(rates[2]) * seconds,
            "times real time",
            len(rates[2]),
            ratio,
            "one process",
        )
    ]
    segment = _segment(path)
    waits: list[float] = []
    streams = 0
    for tried in (2, 4) if quick else (4, 8, 12, 16, 20, 24, 28, 32, 40, 48):
        taken = await _hold(segment, tried, 4 if quick else 10)
        if np.percentile(taken, 99) > SEGMENT_S:
            break
        streams, waits = tried, taken
    rows.append(Row("extraction.segment_p99_s", float(np.percentile(waits or [0.0], 99)), "s", len(waits)))
    rows.append(Row("extraction.streams_per_core", streams / 2, "720p streams in real time, a core", len(waits)))
    return rows


async def _pool(workers: int) -> tuple[Pool, Plan]:
    kinds = list(installed("veristream.detectors", (*CHEAP, "nudity")).values())
    pool = Pool(load(extract_workers=workers), kinds)
    await pool.warm()
    return pool, tier0(kinds)


async def _hold(segment: Path, streams: int, rounds: int) -> list[float]:
    """So many streams send a segment every SEGMENT_S, each at a time of its own: how long each takes to be read."""
    pool, plan = await _pool(2)

    async def stream(number: int) -> list[float]:
        taken = []
        due = time.perf_counter() + SEGMENT_S * number / streams
        for _ in range(rounds):
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            await pool.read(segment, plan)
            taken.append(time.perf_counter() - due)
            due += SEGMENT_S
        return taken

    found = await asyncio.gather(*(stream(number) for number in range(streams)))
    await pool.close()
    return [one for of_stream in found for one in of_stream]


def _segment(source: Path) -> Path:
    """The first SEGMENT_S of a clip as a transport stream."""
    target = BUILD / "clips" / f"{source.stem}-segment.ts"
    with av.open(str(source)) as original, av.open(str(target), "w") as output:
        copies = {stream.index: output.add_stream_from_template(stream) for stream in original.streams}
        for packet in original.demux():
            if packet.dts is not None and packet.pts * packet.time_base < SEGMENT_S:
                packet.stream = copies[packet.stream.index]
                output.mux(packet)
    return target
