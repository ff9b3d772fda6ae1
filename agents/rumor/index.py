"""Which listed claims a text may be about: an inverted index of the claims' rarest tokens, and their keywords. Pure.

Adding and removing an entry costs as much as the entry is long, whatever else is listed.
"""

from __future__ import annotations

import math
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import compress
from typing import NamedTuple

import numpy as np
from ahocorasick_rs import AhoCorasick, MatchKind
from numpy.typing import NDArray

from agents.rumor.words import compact, holds, is_chinese, is_word, numbers, plain, tokens
from schemas.bank import Rumor

#: A claim is indexed by so many of its tokens, the rarest when it was added. A token of many claims then leads to few
#: of them, so that a look-up costs less than in proportion to their number. Claims have some ten to twenty tokens.
RAREST = 8
#: Rarity is weighed as if at least so many claims were listed: in a short list all tokens are rare.
LEAST_LISTED = 1000
#: Share of a claim's weight that a text must hold for it to be looked at more closely.
LEAST_COVER = 0.12
#: A keyword of more entries leads to none: an entry whose keywords are all so common is found by its wordings.
COMMON = 500
#: So many claims a text are looked at more closely, those that it covers best.
MOST = 12


class Wording(NamedTuple):
    """One wording of a rumour, as it is compared."""

    rumor: Rumor
    claim: str
    plain: str
    compact: str
    weights: dict[str, float]
    total: float
    #: Its tokens as one text.
    joined: str
    #: The entry's keywords, as `Rumor` has them, in `plain` form.
    must: tuple[tuple[str, ...], ...]
    must_not: tuple[str, ...]


class ClaimIndex:
    """The listed claims. Of a rumour that is added again, the latter row counts."""

    def __init__(self, rumors: Iterable[Rumor] = ()) -> None:
        self.wordings: dict[int, Wording] = {}
        self._of: dict[str, list[int]] = {}
        self._postings: dict[str, array[int]] = {}
        self._listed: dict[str, int] = defaultdict(int)
        self._keywords = _Keywords()
        self._next = 0
        for rumor in rumors:
            self.add(rumor)

    def __len__(self) -> int:
        return len(self._of)

    def add(self, rumor: Rumor) -> list[int]:
        """Take an entry up. Returns the numbers of its wordings."""
        self.remove(rumor.rumor_id)
        added = []
        must = tuple(tuple(map(plain, group)) for group in rumor.must)
        must_not = tuple(map(plain, rumor.must_not))
        for claim in rumor.claims:
            text = plain(claim)
            found = dict.fromkeys(tokens(text))
            if not found:
                continue
            for token in found:
                self._listed[token] += 1
            weights = {token: self._weight(token) for token in found}
            number, self._next = self._next, self._next + 1
            total, joined = sum(weights.values()), " ".join(weights)
            self.wordings[number] = Wording(
                rumor, claim, text, compact(text), weights, total, joined, must, must_not
            )  # fmt: skip
            for token in sorted(found, key=lambda token: -weights[token])[:RAREST]:
                self._postings.setdefault(token, array("q")).append(number)
            added.append(number)
        self._of[rumor.rumor_id] = added
        if added:
            self._keywords.add(rumor, added)
        return added

    def remove(self, rumor_id: str) -> None:
        """Drop an entry, if it is there."""
        for number in self._of.pop(rumor_id, ()):
            wording = self.wordings.pop(number)
            for token in wording.weights:
                self._listed[token] -= 1
                if not self._listed[token]:
                    del self._listed[token]
                if (posting := self._postings.get(token)) and number in posting:
                    posting.remove(number)
                    if not posting:
                        del self._postings[token]
        self._keywords.remove(rumor_id)

    def numbers_of(self, rumor_id: str) -> Sequence[int]:
        """The numbers of an entry's wordings."""
        return self._of.get(rumor_id, ())

    def candidates(self, text: str, found: dict[str, None]) -> list[int]:
        """Wordings that a text (`plain` form; its tokens) may repeat, most promising first."""
        parts = [posting for token in found if (posting := self._postings.get(token))]
        best: list[int] = []
        if parts:
            hits: NDArray[np.int64] = np.concatenate([np.frombuffer(part, np.int64) for part in parts])
            numbers_, counts = np.unique(hits, return_counts=True)
            # First by the number of shared tokens, which numpy counts; then by weight, which is looked up for few.
            few = numbers_[np.argsort(-counts, kind="stable")[: 4 * MOST]]
            scored = [(self.cover(self.wordings[int(number)], found), int(number)) for number in few]
            scored.sort(key=lambda pair: -pair[0])
            best = [number for cover, number in scored[:MOST] if cover >= LEAST_COVER]
        return list(dict.fromkeys([*best, *self._keywords.candidates(text)]))

    @staticmethod
    def cover(wording: Wording, found: dict[str, None]) -> float:
        """Which share of a wording's weight a text with these tokens holds."""
        return sum(compress(wording.weights.values(), map(found.__contains__, wording.weights))) / wording.total

    def _weight(self, token: str) -> float:
        listed = max(len(self._of) + 1, LEAST_LISTED)
        rarity = math.log(1 + listed / self._listed[token])
        # A pair of characters says about half of what a word does.
        return rarity if not is_chinese(token) else rarity / 2


class _Keywords:
    """Entries whose `must` is met, found by Aho-Corasick over all entries' keywords.

    An entry is listed under the words of one of its groups, the one whose words the fewest entries had when it was
    added: a text without any of them cannot meet it.
    """

    def __init__(self) -> None:
        self._entries: dict[str, tuple[tuple[frozenset[str], ...], list[int]]] = {}
        #: Word → how many entries have it in any group.
        self._held: Counter[str] = Counter()
        #: Word → entries that are listed under it.
        self._listed: dict[str, dict[str, None]] = defaultdict(dict)
        self._under: dict[str, frozenset[str]] = {}
        self._automaton: tuple[list[str], list[bool], AhoCorasick] | None = None

    def add(self, rumor: Rumor, wordings: list[int]) -> None:
        groups = tuple(frozenset(plain(word) for word in group) for group in rumor.must)
        if len(groups) < 2:  # one group alone is in too many texts: it narrows and finds nothing
            return
        self._entries[rumor.rumor_id] = groups, wordings
        words = frozenset().union(*groups)
        if any(word not in self._held for word in words):
            self._automaton = None
        self._held.update(words)
        under = min(groups, key=lambda group: sum(self._held[word] for word in group))
        self._under[rumor.rumor_id] = under
        for word in under:
            self._listed[word][rumor.rumor_id] = None

    def remove(self, rumor_id: str) -> None:
        groups, _ = self._entries.pop(rumor_id, ((), []))
        for word in self._under.pop(rumor_id, ()):
            del self._listed[word][rumor_id]
            if not self._listed[word]:
                del self._listed[word]
        for word in frozenset().union(*groups):
            self._held[word] -= 1
            if not self._held[word]:
                del self._held[word]
                self._automaton = None

    def candidates(self, text: str) -> Iterator[int]:
        if not self._entries:
            return
        if self._automaton is None:
            words = list(self._held)
            self._automaton = (
                words,
                [is_chinese(word) for word in words],
                AhoCorasick(words, matchkind=MatchKind.Standard),
            )
        words, chinese, automaton = self._automaton
        met = {
            words[number]
            for number, begin, end in automaton.find_matches_as_indexes(text, overlapping=True)
            if chinese[number] or is_word(text, begin, end)
        }
        # By the rarer words first, and by no word that is so common that it narrows nothing.
        listed = [word for word in met if word in self._listed and len(self._listed[word]) <= COMMON]
        seen: set[str] = set()
        for word in sorted(listed, key=lambda word: len(self._listed[word]))[: 2 * MOST]:
            for rumor_id in self._listed[word]:
                groups, wordings = self._entries[rumor_id]
                if rumor_id not in seen and not any(group.isdisjoint(met) for group in groups):
                    seen.add(rumor_id)
                    yield from wordings


def allows(wording: Wording, text: str, sentence: str) -> bool:
    """Whether the entry's keywords let it match: of each group of `must` one in the text, none of `must_not` in the
    sentence (both in `plain` form)."""
    return all(any(holds(text, word) for word in group) for group in wording.must) and not any(
        holds(sentence, word) for word in wording.must_not
    )


def numbers_disagree(claim: str, text: str) -> bool:
    """Whether a text gives other figures than the claim, of the same units and never the claim's own."""
    said: dict[str, set[float]] = defaultdict(set)
    for number in numbers(text):
        said[number.unit].add(number.value)
    return any(said.get(unit) and value not in said[unit] for value, unit in numbers(claim) if unit)
