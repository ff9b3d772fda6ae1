"""Rumours: which texts are taken to assert a listed claim, of the held-out half of tests/data/rumor, which trains and
tunes nothing. All claims are listed; an item is right if it asserts the claim that is matched.

A tenth of the items also goes through the picture (drawn as captions over real footage, encoded, decoded, read) and
through the sound (spoken by espeak-ng, written down by the model): misreadings and mishearings are in those figures.
A second, older set (`data/rumor_texts.jsonl`), by another hand and used for nothing else, stands beside it.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
from msgspec.structs import replace

from agents.captions.detector import CaptionsDetector
from agents.captions.strokes import scaled
from agents.rumor.match import RumorList, RumorMatch
from agents.rumor.meaning import Meanings, installed
from agents.rumor.model import shipped
from agents.rumor.train import titled, trained
from agents.speech.detector import SpeechDetector
from agents.text import passages
from schemas.bank import Rumor
from schemas.examples import EXAMPLES
from schemas.message import convert
from schemas.policy import default_policy
from schemas.signals import Signals
from streams.extraction.detector import SOUND_RATE, Frame, Source
from tests.bench.report import Row
from tests.evaluation.captioned import Style, drawn, footage, written
from tests.evaluation.footage import clip

NOW = datetime(2026, 6, 1, tzinfo=UTC)
DATA = Path(__file__).parents[1] / "data" / "rumor"
OLDER = Path(__file__).parent / "data"
SPLIT = "held_out"
#: Signs of a caption line, Chinese and Latin: what fits the width of the picture at the usual size.
LINE = {"zh": 22, "en": 44}
EACH_S = 2.0
VOICES = {"zh": "cmn", "en": "en-us"}


class Item(NamedTuple):
    """A text, and what was matched."""

    claim: str | None
    kind: str
    language: str
    text: str
    also: tuple[str, ...] = ()
    found: tuple[RumorMatch, ...] = ()


def measure(quick: bool) -> Iterator[Row]:
    """Written texts by language and kind; captions and speech; without embeddings; the older set."""
    threshold = default_policy().rumor.match
    listed = _listed(_rumors(), by_meaning=installed())
    items = _items()[:: 3 if quick else 1]
    read = [item._replace(found=tuple(listed.read(titled(item.text)))) for item in items]
    yield from _figures("rumor", read, threshold)
    for language in ("zh", "en"):
        yield from _figures(f"rumor.{language}", [one for one in read if one.language == language], threshold)
    for kind in ("question", "report", "mockery", "near", "unrelated"):
        some = [bool(_asserted(one, threshold)) for one in read if one.kind == kind]
        yield _share(f"rumor.flagged.{kind}", some, "share taken for an assertion")
    named = [
        any(match.stance in ("refuted", "mocked") for match in one.found) for one in read if one.kind == "refutation"
    ]
    yield _share("rumor.refutations_named", named, "share of refutations that are named as such")
    plain = _listed(_rumors(), by_meaning=False)
    words = [item._replace(found=tuple(plain.read(titled(item.text)))) for item in items]
    yield from _figures("rumor.without_embeddings", words, threshold)
    tenth = [one for one in _items() if one.also][:: 5 if quick else 1]
    yield from _channel("captions", tenth, _captions, listed, threshold)
    if shutil.which("espeak-ng"):
        yield from _channel("speech", tenth, _speech, listed, threshold)
    else:
        yield Row("rumor.speech.recall", None, "not measured: espeak-ng is not installed", 0)
    yield from _older(threshold)
    if installed() and not quick:
        now, then = trained(DATA), shipped()
        apart = max(float(np.abs(one - other).max()) for one, other in zip(now[1:], then[1:], strict=True))
        yield Row("rumor.weights_apart", apart, "largest difference of a shipped weight from one trained anew", 1)


def _channel(
    name: str,
    items: Sequence[Item],
    through: Callable[[Sequence[Item]], list[Signals]],
    listed: RumorList,
    threshold: float,
) -> Iterator[Row]:
    policy = default_policy().media_text
    read = [
        item._replace(found=tuple(listed.read(signals.event, passages(signals, policy))))
        for item, signals in zip(items, through(items), strict=True)
    ]
    yield from _figures(f"rumor.{name}", read, threshold)
    for language in ("zh", "en"):
        yield from _figures(f"rumor.{name}.{language}", [one for one in read if one.language == language], threshold)


def _older(threshold: float) -> Iterator[Row]:
    rows = [convert(Rumor, row | {"added_at": "2026-01-01T00:00:00Z"}) for row in _lines(OLDER / "rumors.jsonl")]
    listed = _listed(rows, by_meaning=installed())
    read = [
        Item(row["rumor"], row["kind"], "", row["text"], (), tuple(listed.read(titled(row["text"]))))
        for row in _lines(OLDER / "rumor_texts.jsonl")
    ]
    asserted = [bool(_right(one, threshold)) for one in read if one.claim]
    yield _share("rumor.older_set.recall", asserted, "share of texts that assert a listed claim")
    matched = [match.rumor.rumor_id == one.claim for one in read for match in _asserted(one, threshold)]
    yield _share("rumor.older_set.precision", matched, "share of matches whose text asserts that claim")
    flagged = [bool(_asserted(one, threshold)) for one in read if one.kind == "refutation"]
    yield _share("rumor.older_set.refutations_flagged", flagged, "share of refutations taken for the claim")


def _figures(name: str, items: Sequence[Item], threshold: float) -> Iterator[Row]:
    told = [bool(_right(one, threshold)) for one in items if one.kind == "assertion"]
    yield _share(f"{name}.recall", told, f"share of assertions matched ({SPLIT})")
    right = [bool(one.kind == "assertion" and match.rumor.rumor_id == one.claim)
             for one in items for match in _asserted(one, threshold)]  # fmt: skip
    yield _share(f"{name}.precision", right, f"share of matches that are right ({SPLIT})")
    refuting = [bool(_asserted(one, threshold)) for one in items if one.kind == "refutation"]
    yield _share(f"{name}.refutations_flagged", refuting, f"share of refutations taken for the claim ({SPLIT})")


def _asserted(item: Item, threshold: float) -> list[RumorMatch]:
    return [match for match in item.found if match.score >= threshold]


def _right(item: Item, threshold: float) -> list[RumorMatch]:
    return [match for match in _asserted(item, threshold) if match.rumor.rumor_id == item.claim]


def _share(name: str, each: Sequence[bool], unit: str) -> Row:
    return Row(name, sum(each) / len(each) if each else None, unit, len(each))


def _listed(rumors: Sequence[Rumor], *, by_meaning: bool) -> RumorList:
    listed = RumorList(rumors, NOW, meanings=Meanings() if by_meaning else None)
    listed.catch_up()
    return listed


def _rumors() -> list[Rumor]:
    return [convert(Rumor, row["rumor"]) for row in _lines(DATA / "claims.jsonl")]


def _items() -> list[Item]:
    return [
        Item(row["claim"], row["kind"], row["language"], row["text"], tuple(row.get("also", ())))
        for row in _lines(DATA / "items.jsonl")
        if row["split"] == SPLIT
    ]


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def _bare(**changes: Any) -> Signals:
    signals = EXAMPLES["signals"]
    assert isinstance(signals, Signals)
    event = replace(signals.event, title="", description="", tags=())
    return replace(signals, event=event, captions=(), speech=(), **changes)


def _captions(items: Sequence[Item]) -> list[Signals]:
    """Each text in lines, one after the other, over frames of real footage."""
    detector, found = CaptionsDetector(), []
    under = footage(clip("bunny"), 12)
    for number, item in enumerate(items):
        lines = _wrapped(item.text, item.language)
        pictures = [drawn(under[(number + place) % len(under)], line, Style()) for place, line in enumerate(lines)]
        with tempfile.TemporaryDirectory() as folder:
            path = written(Path(folder, "captioned.mp4"), pictures, each_s=0.2)
            with av.open(str(path)) as container:
                frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        detector.open(Source("", {}, [], BytesIO()))
        step = len(frames) // len(lines)
        for place, frame in enumerate(frames[step // 2 :: step][: len(lines)]):
            detector.see([Frame(place * EACH_S, scaled(frame, CaptionsDetector.side))])
        found.append(replace(_bare(), captions=detector.findings().captions))
    return found


def _wrapped(text: str, language: str) -> list[str]:
    if language == "zh":
        return [text[begin : begin + LINE["zh"]] for begin in range(0, len(text), LINE["zh"])]
    lines = [""]
    for word in text.split():
        if len(lines[-1]) + len(word) > LINE["en"]:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def _speech(items: Sequence[Item]) -> list[Signals]:
    detector, found = SpeechDetector(), []
    for item in items:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "said.wav")
            subprocess.run(
                ["espeak-ng", "-v", VOICES[item.language], "-s", "150", "-w", str(path), item.text],
                check=True, capture_output=True,
            )  # fmt: skip
            samples = _sound(path)
        detector.open(Source("", {}, [], BytesIO()))
        detector.hear(samples, 0.0)
        found.append(replace(_bare(), speech=detector.findings().speech))
    return found


def _sound(path: Path) -> np.ndarray[Any, np.dtype[np.float32]]:
    resampler = av.AudioResampler(format="flt", layout="mono", rate=SOUND_RATE)
    with av.open(str(path)) as container:
        frames = [*container.decode(audio=0), None]
        return np.concatenate([part.to_ndarray().reshape(-1) for frame in frames for part in resampler.resample(frame)])
