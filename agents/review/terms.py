"""Listed terms in an item's texts: Aho-Corasick over normalised text, whatever the list's length."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from ahocorasick_rs import AhoCorasick, MatchKind

from agents.text import Passage, Place, fields, normalised
from schemas.event import Event
from schemas.policy import Term


class TermMatch(NamedTuple):
    """A term and the field it stands in; of captions and speech, its place in the media as well."""

    term: Term
    field: str
    place: Place | None = None


class TermList:
    """A policy's terms, made ready for search."""

    def __init__(self, terms: Sequence[Term]) -> None:
        self._terms = {normalised(term.text): term for term in terms}
        self._terms.pop("", None)  # a term of punctuation alone would match everywhere
        self._patterns = list(self._terms)
        self._automaton = AhoCorasick(self._patterns, matchkind=MatchKind.Standard)

    def match(self, event: Event, passages: Iterable[Passage] = ()) -> list[TermMatch]:
        """Each term once a field; of captions and speech, where it comes first."""
        if not self._patterns:
            return []
        written = [
            TermMatch(self._terms[self._patterns[number]], field)
            for field, text in fields(event)
            for number in dict.fromkeys(number for number, _, _ in self._longest(normalised(text)))
        ]
        found: dict[tuple[str, int], Place] = {}
        for passage in passages:
            for number, begin, end in self._longest(passage.text):
                place, former = passage.at(begin, end), found.get((passage.field, number))
                if former is None or place.at_s < former.at_s:
                    found[passage.field, number] = place
        shown = [
            TermMatch(self._terms[self._patterns[number]], field, place) for (field, number), place in found.items()
        ]
        return written + sorted(shown, key=lambda match: match.place.at_s if match.place else 0.0)

    def _longest(self, text: str) -> Iterator[tuple[int, int, int]]:
        """(term, begin, end) of the terms in a text, except those that lie within a longer one; of two that overlap,
        neither hides the other."""
        found = self._automaton.find_matches_as_indexes(text, overlapping=True)
        reach = 0
        for number, begin, end in sorted(found, key=lambda match: (match[1], -match[2])):
            if end > reach:
                reach = end
                yield number, begin, end
