"""Captions: how many are read exactly, by size, look and compression, and how often the cheap look beforehand errs."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agents.captions.detector import CaptionsDetector
from agents.captions.strokes import SIDE, changes, dense, edges, scaled
from agents.text import normalised
from streams.extraction.detector import Frame, Source
from tests.bench.report import Row
from tests.evaluation.captioned import FPS, TEXTS, Style, drawn, footage, written
from tests.evaluation.footage import clip

#: Footage under the captions: that which has no text of its own.
UNDER = ("bunny", "bikes", "world", "carphone")
STYLES = {
    "small_24px": Style(height=24),
    "usual_40px": Style(height=40),
    "no_outline": Style(height=40, outline=0),
    "grey": Style(height=40, colour=(170, 170, 170), outline=0),
    "yellow_box": Style(height=32, colour=(255, 220, 0), outline=0, box=True),
}
"""name → look, of a picture 1280 × 720."""
CRFS = (23, 35)


def measure(quick: bool) -> Iterator[Row]:
    """Ten captions a language, look and quality, each over another frame."""
    detector = CaptionsDetector()
    exact: dict[str, list[bool]] = defaultdict(list)
    passed: dict[str, list[bool]] = defaultdict(list)
    for language, texts in TEXTS.items():
        for look, style in list(STYLES.items())[: 2 if quick else None]:
            for crf in CRFS:
                for picture, text in zip(_shown(texts, style, crf), texts, strict=True):
                    right = normalised(text) in [normalised(one) for one in _read(detector, picture)]
                    for name in (language, f"{language}.{look}", f"{language}.crf{crf}"):
                        exact[name].append(right)
                    passed[look].append(dense(edges(changes(scaled(picture, SIDE)))))
    for name, each in exact.items():
        yield _share(f"captions.recall.{name}", each, "share of captions read exactly")
    yield _share("captions.gate.recall", [one for each in passed.values() for one in each], "share let pass")
    for look, each in passed.items():
        yield _share(f"captions.gate.recall.{look}", each, "share let pass")
    bare = [picture for name in UNDER for picture in footage(clip(name), 4 if quick else 25)]
    yield _share(
        "captions.gate.passed_without_text",
        [dense(edges(changes(scaled(picture, SIDE)))) for picture in bare],
        "share of frames without text that are searched",
    )
    read = [_read(detector, picture) for picture in bare]
    yield _share("captions.false", [bool(texts) for texts in read], "share of frames without text that are read")


def _share(name: str, each: list[bool], unit: str) -> Row:
    return Row(name, sum(each) / len(each), unit, len(each))


@cache
def _under(count: int) -> list[NDArray[np.uint8]]:
    return [picture for name in UNDER for picture in footage(clip(name), -(-count // len(UNDER)))]


def _shown(texts: tuple[str, ...], style: Style, crf: int) -> list[NDArray[np.uint8]]:
    """Each text over a frame of its own, as a decoder gives it back, as large as the detector asks for."""
    pictures = [drawn(picture, text, style) for picture, text in zip(_under(len(texts)), texts, strict=False)]
    with tempfile.TemporaryDirectory() as folder:
        path = written(Path(folder, "captioned.mp4"), pictures, each_s=0.2, crf=crf)
        step = round(0.2 * FPS)
        every = footage(path, step * len(texts))
    return [scaled(picture, CaptionsDetector.side) for picture in every[step // 2 :: step]]


def _read(detector: CaptionsDetector, picture: NDArray[np.uint8]) -> list[str]:
    detector.open(Source("", {}, [], BytesIO()))
    detector.see([Frame(0.0, scaled(picture, CaptionsDetector.side))])
    return [caption.text for caption in detector.findings().captions]
