"""Which listed claim an item's title, description, captions or speech repeat. Pure.

Lexical only: the best alignment of claim and text by edit distance over normalised characters. It does not tell
whoever repeats a claim from whoever refutes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import pairwise
from typing import NamedTuple

from rapidfuzz import fuzz

from agents.text import Passage, Place, fields, normalised
from schemas.bank import Rumor
from schemas.event import Event

#: Claims shorter than this, once normalised, would align with almost any text.
SHORTEST = 4
#: What is spoken in an hour is compared so many signs at a time (and as many more as the longest claim has): few pairs
#: of signs are in so short a text, so that most claims need not be compared with it.
WINDOW = 300


class RumorMatch(NamedTuple):
    """A listed rumour, the wording and field that match best, and how well (0 to 1); of captions and speech, where."""

    rumor: Rumor
    claim: str
    field: str
    score: float
    place: Place | None = None


class RumorList:
    """The listed rumours, made ready for matching."""

    def __init__(self, rumors: Iterable[Rumor], now: datetime) -> None:
        kept = [rumor for rumor in rumors if not (rumor.expires_at and rumor.expires_at <= now)]
        #: When a rumour expires next: from then on the list has to be made again.
        self.stale_at = min((rumor.expires_at for rumor in kept if rumor.expires_at), default=None)
        self._claims = [
            (rumor, claim, text)
            for rumor in kept
            for claim in rumor.claims
            if len(text := normalised(claim)) >= SHORTEST
        ]

    def match(self, event: Event, threshold: float, passages: Iterable[Passage] = ()) -> list[RumorMatch]:
        """Each rumour that some field repeats at least so well, best first."""
        best: dict[str, RumorMatch] = {}
        for match in (*self._written(event, threshold), *self._shown(passages, threshold)):
            former = best.get(match.rumor.rumor_id)
            # What is written is certain, and hides no less severe consequence of words that a model heard.
            if former is None or (match.score > former.score and (former.place is None) == (match.place is None)):
                best[match.rumor.rumor_id] = match
        return sorted(best.values(), key=lambda match: -match.score)

    def _written(self, event: Event, threshold: float) -> Iterator[RumorMatch]:
        for field, raw in fields(event):
            if field.startswith("tags"):
                continue  # a tag names a subject, it claims nothing
            text = normalised(raw)
            for rumor, claim, wanted in self._claims:
                score = similarity(wanted, text, threshold)
                if score >= threshold:
                    yield RumorMatch(rumor, claim, field, score)

    def _shown(self, passages: Iterable[Passage], threshold: float) -> Iterator[RumorMatch]:
        longest = max((len(wanted) for _, _, wanted in self._claims), default=0)
        for passage in passages:
            for begin in range(0, max(1, len(passage.text) - longest), WINDOW):
                window = passage.text[begin : begin + WINDOW + longest]
                pairs = set(pairwise(window))
                for rumor, claim, wanted in self._claims:
                    if not may_repeat(wanted, pairs, threshold):
                        continue
                    score, first, last = aligned(wanted, window, threshold)
                    if score >= threshold:
                        place = passage.at(begin + first, begin + last)
                        yield RumorMatch(rumor, claim, passage.field, score, place)


def may_repeat(claim: str, pairs: set[tuple[str, str]], at_least: float) -> bool:
    """Whether a text with these pairs of neighbouring signs can be so similar to the claim. Never wrong where it says
    no: of a part of the text that is no longer than the claim, n signs, at most 2n(1 - s)/(2 - s) signs of the claim
    are missing, each with its two pairs, or n(1 - s) missing and as many added, with three pairs each time."""
    kept = sum(pair in pairs for pair in pairwise(claim))
    share = max(4 * (1 - at_least) / (2 - at_least), 3 * (1 - at_least))
    return kept >= len(claim) - 1 - share * len(claim)


def aligned(claim: str, text: str, at_least: float) -> tuple[float, int, int]:
    """`similarity`, and which part of the text it is of, as offsets."""
    if len(text) < len(claim):
        return similarity(claim, text, at_least), 0, len(text)
    found = fuzz.partial_ratio_alignment(claim, text, score_cutoff=at_least * 100.0)
    return (found.score / 100.0, found.dest_start, found.dest_end) if found else (0.0, 0, 0)


def similarity(claim: str, text: str, at_least: float = 0.0) -> float:
    """How well the best part of the text matches the claim, 0 to 1 (both normalised); 0 if below `at_least`.

    A text shorter than the claim is compared as a whole: aligned within the claim, a single word would match it.
    """
    compare = fuzz.partial_ratio if len(text) >= len(claim) else fuzz.ratio
    return compare(claim, text, score_cutoff=at_least * 100.0) / 100.0
