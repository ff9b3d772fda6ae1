"""The nudity model on pictures that show none: how often would a person be asked for nothing?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from io import BytesIO

import numpy as np

from agents.review.nudity import NudityDetector
from schemas.policy import default_policy
from streams.extraction.detector import Frame, Source
from streams.extraction.read import Limits, read
from streams.settings import Settings
from tests.bench.report import Row
from tests.evaluation.footage import CLIPS, clip, stills

#: The pipeline looks once a second; twice as often gives more frames to count.
INTERVAL_S = 0.5


class _EachFrame(NudityDetector):
    """The detector, asked after every frame."""

    def __init__(self) -> None:
        super().__init__()
        self.scores: list[float] = []

    def see(self, frames: Sequence[Frame]) -> None:
        for frame in frames:
            self.open(_NOTHING)
            super().see([frame])
            self.scores += [signal.score for signal in self.findings().signals]


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
    # There is no labelled set that may be shipped or fetched here.
    yield Row("review.nudity.recall", None, "not measured", 0)
