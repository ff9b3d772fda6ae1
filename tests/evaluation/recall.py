"""What the cheapest look at an item misses: banned footage of a few seconds within five minutes of other footage.

Each part is inserted at a place of its own and counted for itself. Half of the videos have a key frame where a part
begins, as encoders set one at a cut; the others have one each ten seconds wherever it falls, as live encoders do.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from itertools import cycle, islice
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import av

from agents.review.bank import HashBank
from agents.review.enrol import entry_from_file
from agents.review.pdq import PdqDetector
from schemas.examples import EXAMPLES
from schemas.plan import Plan
from schemas.policy import default_policy
from schemas.topics import ADMITTED
from streams.extraction.detector import Detector
from streams.extraction.plan import plan_for
from streams.extraction.read import Limits, read
from streams.settings import Settings
from tests.bench.report import Row
from tests.evaluation.footage import clip

#: What is banned, and what it is inserted into.
BANNED, OTHER = ("bikes", "bunny"), ("world",)
SECONDS = (1, 2, 5, 10)
FPS = 25
SIZE = (480, 270)
LENGTH_S = 300
#: Parts in one video, and what lies between two at least, in seconds.
PARTS = 10
ENCODERS = {
    "cuts": {"preset": "veryfast", "crf": "26"},
    "no_cuts": {"preset": "veryfast", "crf": "26", "g": "250", "sc_threshold": "0"},
}
#: What is compared with: a frame sampled so often, every one decoded.
FULL = Plan(every_s=0.2, decode="all")


class Part(NamedTuple):
    """Seconds of a banned clip from `start_s` on, shown from `at_s` on."""

    name: str
    start_s: float
    at_s: float
    seconds: float


class Found(NamedTuple):
    """Of one video: parts, those that the cheap look found, and those that the full one did."""

    seconds: int
    parts: int
    cheap: int
    full: int


def tier0(kinds: Sequence[type[Detector]] = (PdqDetector,)) -> Plan:
    """The plan of these detectors for an item that gives no reason to look closer, by the policy that ships."""
    admitted: Any = EXAMPLES[ADMITTED.name]
    event = admitted.event
    plain = type(admitted)(
        event=type(event)(
            event_id="e",
            content_id="c",
            publisher_id="p",
            provider_id="q",
            service="short_video",
            media=event.media,
            created_at=event.created_at,
        ),
        admitted_at=admitted.admitted_at,
    )
    plan = plan_for(plain, default_policy(), kinds)
    if plan.tier:
        raise RuntimeError(f"the item is looked at closely: {plan.why}")
    return plan


def measure(quick: bool) -> Iterator[Row]:
    """Recall of parts of each length."""
    kinds = [(seconds, encoder) for seconds in SECONDS for encoder in ENCODERS]
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        found = list(pool.map(_video, *zip(*kinds, strict=True), [60 if quick else LENGTH_S] * len(kinds)))
    for seconds in SECONDS:
        of = [one for one in found if one.seconds == seconds]
        parts = sum(one.parts for one in of)
        cheap, full = sum(one.cheap for one in of), sum(one.full for one in of)
        yield Row(
            f"extraction.tier0.recall.{seconds}s",
            cheap / parts,
            "share of inserted parts found",
            parts,
            cheap / full if full else None,
            "a frame each 0.2 s, all decoded",
        )


def _video(seconds: int, encoder: str, length_s: int) -> Found:
    policy = default_policy().review
    parts = _parts(seconds, length_s, random.Random(f"{seconds} {encoder}"))
    entries = [
        entry_from_file(clip(name), entry_id=name, category="eval", source="eval", now=datetime.now(UTC))
        for name in BANNED
    ]
    bank = HashBank(entries)
    settings = Settings()
    limits = Limits(settings.sample_interval_s, settings.max_pixels, settings.max_duration_s)
    counts = []
    with TemporaryDirectory(prefix="veristream-eval-") as folder:
        path = Path(folder, "video.mp4")
        _encode(path, parts, length_s, ENCODERS[encoder])
        for plan in (tier0(), FULL):
            frames = read(path, [PdqDetector()], limits, plan).frames
            matches = bank.match(frames, max_distance=policy.hash_max_distance, min_quality=policy.hash_min_quality)
            counts.append(
                sum(
                    any(match.entry_id == part.name and 0 <= match.at_s - part.at_s < seconds for match in matches)
                    for part in parts
                )
            )
    return Found(seconds, len(parts), *counts)


def _parts(seconds: int, length_s: int, chance: random.Random) -> list[Part]:
    """Of each banned clip that is long enough, from anywhere in it, at times that fall anywhere between frames."""
    lasts = {name: _seconds(clip(name)) for name in BANNED}
    names = cycle([name for name in BANNED if lasts[name] >= seconds])
    room = length_s / PARTS
    parts = []
    for number, name in enumerate(islice(names, PARTS)):
        start_s = chance.uniform(0, lasts[name] - seconds)
        at = round((number * room + chance.uniform(2, max(2.0, room - seconds - 2))) * FPS)
        parts.append(Part(name, start_s, at / FPS, seconds))
    return parts


def _seconds(path: Path) -> float:
    with av.open(str(path)) as container:
        return container.streams.video[0].frames / float(container.streams.video[0].average_rate or FPS)


def _shown(path: Path, start_s: float = 0.0) -> Iterator[av.VideoFrame]:
    """A clip's frames from there on, at FPS."""
    with av.open(str(path)) as container:
        due = 0
        for frame in container.decode(video=0):
            at_s = float(frame.time or 0.0) - start_s
            while at_s >= due / FPS - 1e-6:
                due += 1
                yield frame


def _encode(target: Path, parts: Sequence[Part], length_s: int, options: dict[str, str]) -> None:
    others = (frame for name in cycle(OTHER) for frame in _shown(clip(name)))
    waiting = list(parts)
    with av.open(str(target), "w") as output:
        stream = output.add_stream("libx264", rate=FPS, options=options)
        stream.width, stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        number = 0
        while number < length_s * FPS:
            if waiting and number >= round(waiting[0].at_s * FPS):
                part = waiting.pop(0)
                frames = islice(_shown(clip(part.name), part.start_s), round(part.seconds * FPS))
            else:
                frames = islice(others, 1)
            for frame in frames:
                shown = frame.reformat(*SIZE, format="yuv420p")
                shown.pts, shown.time_base = number, 1 / stream.average_rate
                shown.pict_type = 0  # else the encoder repeats the source's
                output.mux(stream.encode(shown))
                number += 1
        output.mux(stream.encode(None))
