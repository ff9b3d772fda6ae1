"""Listed terms in an item's texts: Aho-Corasick over normalised text, whatever the list's length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ahocorasick_rs import AhoCorasick, MatchKind

from agents.text import fields, normalised
from schemas.event import Event
from schemas.policy import Term


class TermMatch(NamedTuple):
    """A term and the field it stands in."""

    term: Term
    field: str


class TermList:
    """A policy's terms, made ready for search."""

    def __init__(self, terms: Sequence[Term]) -> None:
        self._terms = {normalised(term.text): term for term in terms}
        self._terms.pop("", None)  # a term of punctuation alone would match everywhere
        self._patterns = list(self._terms)
        self._automaton = AhoCorasick(self._patterns, matchkind=MatchKind.Standard)

    def match(self, event: Event) -> list[TermMatch]:
        """Each term once a field."""
        if not self._patterns:
            return []
        return [
            TermMatch(self._terms[self._patterns[number]], field)
            for field, text in fields(event)
            for number in dict.fromkeys(self._longest(normalised(text)))
        ]

    def _longest(self, text: str) -> Iterator[int]:
        """The terms in a text, except those that lie within a longer one; of two that overlap, neither hides the
        other."""
        found = self._automaton.find_matches_as_indexes(text, overlapping=True)
        reach = 0
        for number, _, end in sorted(found, key=lambda match: (match[1], -match[2])):
            if end > reach:
                reach = end
                yield number
