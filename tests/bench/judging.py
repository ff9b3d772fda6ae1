"""What looking up and judging one item costs, without a broker."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from statistics import median

import numpy as np
from msgspec.structs import replace

from agents.review.bank import HashBank
from agents.review.terms import TermList
from schemas.bank import BankFrame, HashEntry
from schemas.event import Upload
from schemas.policy import Term, default_policy
from schemas.signals import FrameHash
from tests.bench.report import Row
from tests.bench.traffic import identity_alone, uploads

#: Frames of one item: a minute at one a second.
FRAMES = 60
NOW = datetime(2026, 1, 1, tzinfo=UTC)
#: Characters of which listed words and claims are made: frequent ones, so that their beginnings stand in every text.
CHARACTERS = (
    "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可"
    "也你对生能而子那得于着下自之年过发后作里用道行所然家种事"
)
TITLE = "周末骑行第三天：沿着河边一路向北，路上遇到了很多朋友"
DESCRIPTION = "今天天气很好，风不大。我们沿着河边骑了四个小时，在山脚下的小店里休息，又继续向北走。" * 3


def review(quick: bool) -> Iterator[Row]:
    """The hash bank at two sizes, and the term list."""
    runs, random = _runs(quick), np.random.default_rng(1)
    policy = default_policy().review
    frames = [FrameHash(at_s=float(at), pdq=code, quality=100) for at, code in enumerate(_hashes(random, FRAMES))]
    for size, name in ((1_000, "1k"), (100_000, "100k")):
        bank = HashBank(_entries(random, size))
        seconds = _median_s(
            lambda bank=bank: bank.match(
                frames, max_distance=policy.hash_max_distance, min_quality=policy.hash_min_quality
            ),
            runs,
        )
        yield Row(f"review.lookup_ms.{name}", seconds / FRAMES * 1e3, "ms a frame", runs)
    terms = TermList([Term(text=text, category="bench") for text in _texts(random, 1000, 4)])
    yield Row("review.terms_us", _median_s(lambda: terms.match(_event()), runs) * 1e6, "µs an item, 1000 terms", runs)


def judge(quick: bool) -> Iterator[Row]:
    """The identity agent from an event to what it sends, without reading or writing bytes."""
    runs, handle = _runs(quick), identity_alone()
    events = list(uploads(1000))
    seconds = _median_s(lambda: [handle(event) for event in events], runs)
    yield Row("judge.identity_us", seconds / len(events) * 1e6, "µs an event", runs)


def _runs(quick: bool) -> int:
    return 5 if quick else 25


def _median_s(work: Callable[[], object], runs: int) -> float:
    work()
    seconds = []
    for _ in range(runs):
        begun = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begun)
    return median(seconds)


def _event() -> Upload:
    return replace(next(uploads(1)), title=TITLE, description=DESCRIPTION)


def _hashes(random: np.random.Generator, count: int) -> list[str]:
    return [random.bytes(32).hex() for _ in range(count)]


def _entries(random: np.random.Generator, frames: int) -> Iterator[HashEntry]:
    """Entries of a hundred frames."""
    for number in range(frames // 100):
        rows = tuple(BankFrame(pdq=code, quality=100) for code in _hashes(random, 100))
        yield HashEntry(entry_id=str(number), category="bench", source="bench", added_at=NOW, frames=rows)


def _texts(random: np.random.Generator, count: int, length: int) -> list[str]:
    return ["".join(random.choice(list(CHARACTERS), length)) for _ in range(count)]
