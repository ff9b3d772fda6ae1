"""A long item that is read a stretch at a time gives what one reading of it gives, within what is said of it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from clips import clip
from numpy.typing import NDArray
from zoo import moving

from agents.review.blank import BlankDetector
from agents.review.pdq import PdqDetector
from schemas.plan import Plan
from schemas.signals import Evidence, FrameHash, Signal
from streams.extraction.detector import SOUND_RATE, Detector, Findings, Frame, Part, Source
from streams.extraction.limits import ExtractFailure, Limits
from streams.extraction.read import Reading, read
from streams.extraction.stretches import merged, stretches

LIMITS = Limits(sample_interval_s=1.0, max_pixels=1_000_000, max_duration_s=3600.0)


class Watcher(Detector):
    name = "watcher"
    version = "1"
    wants_frames = True
    wants_sound = True

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.sound: list[tuple[float, NDArray[np.float32]]] = []

    def open(self, source: Source) -> None:
        self.opened = source

    def see(self, frames: Sequence[Frame]) -> None:
        self.frames += frames

    def hear(self, samples: NDArray[np.float32], at_s: float) -> None:
        self.sound.append((at_s, samples))

    def findings(self) -> Findings:
        return Findings()


@pytest.fixture(scope="module", params=["mp4", "mkv", "ts", "flv"])
def long(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clip(tmp_path_factory.mktemp("long") / f"long.{request.param}", seconds=10, key_every=25)


PLANS = {"cheap": Plan(every_s=1.0), "whole": None, "dense": Plan(every_s=0.2, decode="all")}


@pytest.mark.parametrize("plan", PLANS)
def test_the_stretches_of_an_item_show_what_one_reading_shows(long: Path, plan: str) -> None:
    whole, parts = Watcher(), Watcher()
    reading = read(long, [whole], LIMITS, PLANS[plan])
    joined = merged([read(long, [parts], LIMITS, PLANS[plan], stretch) for stretch in stretches(10.0, 3.1)], [Watcher])
    assert [frame.at_s for frame in parts.frames] == [frame.at_s for frame in whole.frames]
    for part, frame in zip(parts.frames, whole.frames, strict=True):
        assert np.abs(part.rgb.astype(int) - frame.rgb).max() <= 1
    assert joined.media.frames_seen == reading.media.frames_seen
    assert joined.media.duration_s == pytest.approx(reading.media.duration_s, abs=0.05)
    assert joined.media.sound_s == pytest.approx(reading.media.sound_s, abs=0.1)
    for (at_s, samples), (next_s, _) in pairwise(parts.sound):
        assert at_s + len(samples) / SOUND_RATE == pytest.approx(next_s, abs=0.03)
    heard, expected = (np.concatenate([samples for _, samples in one.sound]) for one in (parts, whole))
    assert np.sqrt(np.mean(heard**2)) == pytest.approx(np.sqrt(np.mean(expected**2)), rel=0.02)


def test_real_detectors_find_the_same_in_stretches(tmp_path: Path) -> None:
    path = moving(tmp_path / "clip.mp4", seconds=10, options={"g": "50"})
    kinds: list[type[Detector]] = [PdqDetector, BlankDetector]
    plan = Plan(every_s=1.0)
    whole = read(path, [kind() for kind in kinds], LIMITS, plan)
    detectors = [kind() for kind in kinds]
    parts = [read(path, detectors, LIMITS, plan, stretch) for stretch in stretches(10.0, 4.0)]
    joined = merged(parts[::-1], kinds)  # in whatever order they come
    assert joined.models == whole.models
    assert {frame.at_s for frame in whole.frames} <= {frame.at_s for frame in joined.frames}
    assert [(signal.name, signal.score) for signal in joined.signals] == [
        (signal.name, signal.score) for signal in whole.signals
    ]
    assert joined.stretch is None


def test_a_blank_stretch_weighs_as_much_as_it_is_long() -> None:
    def part(from_s: float, until_s: float, black: float, frames: float, silent: float, samples: float) -> Part:
        tally = {"black": black, "frames": frames, "silent": silent, "samples": samples}
        score = min(black / frames if frames else 1.0, silent / samples if samples else 1.0)
        return Part(from_s, until_s, Findings((Signal(name="blank", detector="blank", score=score),), tally=tally))

    (blank,) = BlankDetector.merge([part(0, 60, 60, 60, 60, 60), part(60, 80, 0, 20, 20, 20)]).signals
    assert blank.score == 0.75


def test_of_signals_the_highest_score_is_kept_with_the_evidence_of_all() -> None:
    def part(at_s: float, score: float) -> Part:
        signal = Signal(name="n", detector="watcher", score=score, evidence=(Evidence(at_s=at_s),))
        return Part(at_s, at_s + 1, Findings((signal,), (FrameHash(at_s=at_s, pdq="0" * 64, quality=9),)))

    found = Watcher.merge([part(0, 0.2), part(1, 0.9), part(2, 0.4)])
    (signal,) = found.signals
    assert (signal.score, [one.at_s for one in signal.evidence]) == (0.9, [0, 1, 2])
    assert [frame.at_s for frame in found.frames] == [0, 1, 2]


def test_a_detector_that_failed_in_one_stretch_is_absent_from_the_whole(tmp_path: Path) -> None:
    path = clip(tmp_path / "clip.mp4", seconds=4)

    class Once(Watcher):
        name = "once"

        def findings(self) -> Findings:
            if any(frame.at_s >= 2 for frame in self.frames):
                raise RuntimeError("ill")
            return Findings()

    detector = Once()
    joined = merged([read(path, [detector], LIMITS, None, stretch) for stretch in ((0, 2), (2, 9))], [Once])
    assert joined.models == {}
    assert joined.absent == ("once: RuntimeError: ill",)


def test_only_the_part_that_is_asked_for_is_decoded(long: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watcher = Watcher()
    reading = read(long, [watcher], LIMITS, Plan(every_s=1.0), (5.0, 7.0))
    assert [frame.at_s for frame in watcher.frames]
    assert all(5 <= frame.at_s < 7 for frame in watcher.frames)
    assert reading.decoded < 10 * (10 + 48_000 / 1024) / 2
    assert reading.media.sound_s == pytest.approx(2.0, abs=0.05)


def test_a_stretch_says_each_finding_once(tmp_path: Path) -> None:
    """They go over a pipe, and those of all stretches lie in the worker's memory until the last is there."""
    path = clip(tmp_path / "a.mp4", seconds=4)
    part = read(path, [PdqDetector()], LIMITS, None, (0.0, 2.0))
    assert part.findings["pdq"].frames
    assert part.frames == ()
    assert merged([part], [PdqDetector]).frames == part.findings["pdq"].frames


def test_stretches_are_even_and_the_last_has_no_end() -> None:
    assert stretches(10.0, 20.0) == [(0.0, float("inf"))]
    assert stretches(0.0, 20.0) == [(0.0, float("inf"))]
    assert stretches(100.0, 40.0) == [(0.0, 100 / 3), (100 / 3, 200 / 3), (200 / 3, float("inf"))]


def test_readings_of_whole_items_cannot_be_merged(tmp_path: Path) -> None:
    path = clip(tmp_path / "clip.mp4", seconds=1)
    whole: Reading = read(path, [], LIMITS)
    with pytest.raises(ValueError, match="stretches"):
        merged([whole], [])
    with pytest.raises(ValueError, match="stretches"):
        merged([], [])


def test_an_item_in_whose_stretches_nothing_can_be_seen_is_broken(tmp_path: Path) -> None:
    path = clip(tmp_path / "clip.mp4", seconds=2)
    beyond = [read(path, [Watcher()], LIMITS, None, stretch) for stretch in ((50, 60), (60, 70))]
    with pytest.raises(ExtractFailure):
        merged(beyond, [Watcher])
