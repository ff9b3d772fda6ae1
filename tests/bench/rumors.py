"""What matching all text of one item with the listed claims costs, by their number, and what taking entries up does.

The entries are made of phrases of tests/data/rumor, put together anew: of that vocabulary, no two alike. The item has a
title, a description, twenty captions and a minute of speech, and is another one each time.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import numpy as np
from msgspec.structs import replace

from agents.rumor.match import RumorList
from agents.rumor.meaning import DIMENSIONS, Meanings, encode, installed
from agents.rumor.train import titled
from agents.rumor.words import is_chinese
from agents.text import Passage
from schemas.bank import Rumor
from schemas.event import Event
from schemas.signals import Caption, Utterance
from tests.bench.report import Row

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SIZES = {"1k_entries": 1_000, "10k_entries": 10_000, "100k_entries": 100_000}
DATA = Path(__file__).parents[1] / "data" / "rumor"
#: Of the listed entries, the share with keywords, as in the set.
WITH_KEYWORDS = 0.5
#: Items that are matched before the clock counts: caches of numpy and of the automaton are then filled.
WARM = 3


def measure(quick: bool) -> Iterator[Row]:
    """By number of entries: without embeddings, then with them."""
    runs = 10 if quick else 40
    phrases = _phrases()
    meant = Meanings() if installed() else None
    for name, size in SIZES.items():
        if quick and size > 10_000:
            continue
        rng = random.Random(size)
        rumors = [_rumor(rng, phrases, number) for number in range(size)]
        begun = time.process_time()
        listed = RumorList(rumors, NOW)
        yield Row(f"rumor.list_s.{name}", time.process_time() - begun, "CPU s to take all entries up", size)
        each = _timed(listed, rng, phrases, runs)
        yield Row(f"rumor.match_ms.{name}", 1000 * median(each), "CPU ms an item (all its text), by words", runs)
        yield Row(
            f"rumor.match_ms.{name}.p99",
            1000 * float(np.percentile(each, 99)),
            "the same, slowest of a hundred",
            runs,
        )
        begun = time.process_time()
        for number in range(100):
            listed.add(_rumor(rng, phrases, number), NOW)
        spent = 10 * (time.process_time() - begun)
        yield Row(f"rumor.change_ms.{name}", spent, "CPU ms to replace an entry", 100)
        if meant is None:
            yield Row(f"rumor.match_ms.{name}.embeddings", None, "not measured: not installed", 0)
            continue
        # The claims' vectors are random: what is measured is the item's, and the look-up among so many.
        held = Meanings()
        numbers = list(listed.index.wordings)
        vectors = np.random.default_rng(size).normal(size=(len(numbers), DIMENSIONS)).astype(np.float32)
        held.add(numbers, vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
        listed.meanings = held
        encode(["warm"])
        each = _timed(listed, rng, phrases, runs)
        yield Row(f"rumor.match_ms.{name}.embeddings", 1000 * median(each), "CPU ms an item, with embeddings", runs)


def _timed(listed: RumorList, rng: random.Random, phrases: list[str], runs: int) -> list[float]:
    spent = []
    for number in range(runs + WARM):
        event, passages = _item(rng, phrases)
        begun = time.process_time()
        listed.read(event, passages)
        if number >= WARM:
            spent.append(time.process_time() - begun)
    return spent


def _phrases() -> list[str]:
    rows = [json.loads(line) for line in (DATA / "items.jsonl").read_text("utf-8").splitlines()]
    found = []
    for row in rows:
        text: str = row["text"]
        if is_chinese(text):
            found += [text[begin : begin + 6] for begin in range(0, len(text) - 5, 3)]
        else:
            words = text.split()
            found += [" ".join(words[begin : begin + 4]) for begin in range(0, max(1, len(words) - 3), 2)]
    return found


def _text(rng: random.Random, phrases: list[str], count: int) -> str:
    return " ".join(f"{phrase}{rng.choice(('', '', ' ', '，', '。'))}" for phrase in rng.choices(phrases, k=count))


def _rumor(rng: random.Random, phrases: list[str], number: int) -> Rumor:
    claims = tuple(_text(rng, phrases, 3) + f" {rng.randrange(10**6)}" for _ in range(2))
    must = ()
    if rng.random() < WITH_KEYWORDS:
        must = tuple((phrase[:3] if is_chinese(phrase) else phrase.split()[0],) for phrase in rng.choices(phrases, k=2))
    return Rumor(rumor_id=f"r-{number}", claims=claims, status="suspected", added_at=NOW, must=must)


def _item(rng: random.Random, phrases: list[str]) -> tuple[Event, list[Passage]]:
    event = replace(titled(_text(rng, phrases, 4)), description=_text(rng, phrases, 15))
    captions = [
        Caption(at_s=2.0 * at, until_s=2.0 * at + 2, text=_text(rng, phrases, 2), score=0.95) for at in range(20)
    ]
    speech = [
        Utterance(at_s=3.0 * at, until_s=3.0 * at + 3, text=_text(rng, phrases, 3), score=0.9) for at in range(20)
    ]
    return event, [Passage("captions", captions), Passage("speech", speech)]
