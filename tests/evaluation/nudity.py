"""The nudity model on pictures that show none: how often would a person be asked for nothing?

Beside it the MobileNet of nsfwjs, where its package (npm pack nsfwjs) is unpacked in the folder that NSFWJS names.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agents.review.manifest import Input, Manifest, Meaning
from agents.review.nudity import NudityDetector
from agents.review.plugin import Model
from schemas.policy import default_policy
from streams.extraction.detector import Frame, Source
from streams.extraction.read import Limits, read
from streams.settings import Settings
from tests.bench.report import Row
from tests.evaluation import nsfwjs
from tests.evaluation.footage import CLIPS, clip, stills

#: The pipeline looks once a second; twice as often gives more frames to count.
INTERVAL_S = 0.5


class _EachFrame(NudityDetector):
    """The detector, asked after every frame."""

    def __init__(self) -> None:
        super().__init__()
        self.scores: list[float] = []
        self.pictures: list[NDArray[np.uint8]] = []

    def see(self, frames: Sequence[Frame]) -> None:
        for frame in frames:
            self.pictures.append(frame.rgb.copy())
            self.open(_NOTHING)
            super().see([frame])
            self.scores += [signal.score for signal in self.findings().signals]


def _beside(pictures: Sequence[NDArray[np.uint8]], threshold: float) -> Iterator[Row]:
    """The other model on the same frames; `sexy` is what it calls bare skin and underwear."""
    folder = os.environ.get("NSFWJS")
    if folder is None:
        yield Row("review.nudity.nsfwjs.false_positives", None, "not measured: NSFWJS names no folder", 0)
        return
    content = nsfwjs.onnx_of(Path(folder, "dist/models/mobilenet_v2"))
    manifest = Manifest(
        name="nsfwjs",
        version="4",
        file="nsfwjs.onnx",
        sha256=hashlib.sha256(content).hexdigest(),
        licence="MIT",
        source="npm: nsfwjs",
        input=Input(height=224, width=224),
        labels=nsfwjs.LABELS,
        signals=(
            Meaning(name="explicit", labels=("hentai", "porn")),
            Meaning(name="bare", labels=("hentai", "porn", "sexy")),
        ),
    )
    found = Model(manifest, content).scores(pictures)
    for name, scores in found.items():
        above = sum(score >= threshold for score in scores)
        row = f"review.nudity.nsfwjs.{name.removeprefix('trial.')}"
        yield Row(f"{row}.false_positives", above, f"frames at {threshold:g} or more", len(scores))
        yield Row(f"{row}.max", max(scores), "score", len(scores))


_NOTHING = Source("", {}, [], BytesIO())


def measure(quick: bool) -> Iterator[Row]:
    """All clips and stills."""
    threshold = default_policy().review.nudity_review
    if threshold is None:
        raise RuntimeError("the default policy asks nobody: nothing to measure")
    settings, detector = Settings(), _EachFrame()
    limits = Limits(INTERVAL_S * (4 if quick else 1), settings.max_pixels, settings.max_duration_s)
    for name in CLIPS:
        absent = read(clip(name), [detector], limits).absent
        if absent:
            raise RuntimeError(f"{name}: {absent}")
    detector.see([Frame(0.0, picture) for picture in stills().values()])
    scores = np.array(detector.scores)
    above = int((scores >= threshold).sum())
    yield Row("review.nudity.false_positives", above, f"frames at {threshold:g} or more", scores.size)
    yield Row("review.nudity.score.p50", float(np.percentile(scores, 50)), "score", scores.size)
    yield Row("review.nudity.score.p99", float(np.percentile(scores, 99)), "score", scores.size)
    yield Row("review.nudity.score.max", float(scores.max()), "score", scores.size)
    yield from _beside(detector.pictures, threshold)
    # There is no labelled set that may be shipped or fetched here.
    yield Row("review.nudity.recall", None, "not measured", 0)
