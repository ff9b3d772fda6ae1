"""Which listed claim an item's title or description repeats. Pure.

Lexical only: the best alignment of claim and text by edit distance over normalised characters. It does not tell
whoever repeats a claim from whoever refutes it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from rapidfuzz import fuzz

from agents.text import fields, normalised
from schemas.bank import Rumor
from schemas.event import Event

#: Claims shorter than this, once normalised, would align with almost any text.
SHORTEST = 4


class RumorMatch(NamedTuple):
    """A listed rumour, the wording and field that match best, and how well (0 to 1)."""

    rumor: Rumor
    claim: str
    field: str
    score: float


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

    def match(self, event: Event, threshold: float) -> list[RumorMatch]:
        """Each rumour that some field repeats at least so well, best first."""
        best: dict[str, RumorMatch] = {}
        for field, raw in fields(event):
            if field.startswith("tags"):
                continue  # a tag names a subject, it claims nothing
            text = normalised(raw)
            for rumor, claim, wanted in self._claims:
                score = similarity(wanted, text, threshold)
                former = best.get(rumor.rumor_id)
                if score >= threshold and (former is None or score > former.score):
                    best[rumor.rumor_id] = RumorMatch(rumor, claim, field, score)
        return sorted(best.values(), key=lambda match: -match.score)


def similarity(claim: str, text: str, at_least: float = 0.0) -> float:
    """How well the best part of the text matches the claim, 0 to 1 (both normalised); 0 if below `at_least`.

    A text shorter than the claim is compared as a whole: aligned within the claim, a single word would match it.
    """
    compare = fuzz.partial_ratio if len(text) >= len(claim) else fuzz.ratio
    return compare(claim, text, score_cutoff=at_least * 100.0) / 100.0
