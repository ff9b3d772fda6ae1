"""Listed terms in an item's texts: Aho-Corasick over normalised text, whatever the list's length. Pure.

All texts of an item are read as one, parted by a sign that nothing matches across, so that an item costs one search of
each form, however many captions it has.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

import numpy as np
from ahocorasick_rs import BytesAhoCorasick, MatchKind

from agents.review.automaton import Automaton
from agents.review.boundaries import SHORT, Cuts, is_look_alike, is_spoken, is_unbroken, is_whole, is_word
from agents.review.soundindex import SoundIndex
from agents.review.termforms import How, Pattern, in_leet, is_leet, spoken, written
from agents.text import QUOTED, Passage, Place, fields
from agents.textforms import BARRIER, Form, folded, is_han, leet, sounded, together
from schemas.event import Event
from schemas.policy import Term

#: Signs around Latin letters that are searched for terms which are partly spelled: no term that people know is longer.
LONGEST_SPELLED = 24
#: The number of what no term means harm in.
EVERY = -1


class TermMatch(NamedTuple):
    """A term, the field it stands in, and how; of what is not written in the event, its place in the media as well.
    `words`: what stands there, where that is not the term."""

    term: Term
    field: str
    place: Place | None = None
    how: How = ""
    words: str = ""


@dataclass(frozen=True, slots=True)
class _Listed:
    """A term, ready to be checked."""

    term: Term
    text: str
    #: Chinese characters alone.
    chinese: bool
    #: … of which a word must begin and end with the first and last.
    word: bool
    #: After how many of its signs it has a space itself; None: it is not of Latin letters alone.
    breaks: frozenset[int] | None


class _Hit(NamedTuple):
    """A term in the text as it came, from `begin` to before `end`."""

    begin: int
    end: int
    number: int
    how: How


class Texts:
    """All texts of an item, as one that is searched."""

    def __init__(self, event: Event, passages: Iterable[Passage] = ()) -> None:
        self._places: list[tuple[str, Passage | None]] = [(field, None) for field, _ in fields(event)]
        texts = [text for _, text in fields(event)]
        for passage in passages:
            self._places.append((passage.field, passage))
            texts.append(passage.raw)
        self.form: Form = folded(BARRIER.join(text.replace(BARRIER, " ") for text in texts))
        # Of the text in its normal form, which may be shorter than what came.
        self._begins = [0, *accumulate(len(text) + 1 for text in self.form.raw.split(BARRIER))]

    def at(self, begin: int, end: int) -> tuple[str, Place | None, str]:
        """Of a part of `form.raw`: its field, its place in the media, and what stands there."""
        number = bisect_right(self._begins, begin) - 1
        field, passage = self._places[number]
        base = self._begins[number]
        place = passage.place(begin - base, end - base) if passage else None
        return field, place, self.form.raw[begin:end][:QUOTED]


class TermList:
    """A policy's terms, made ready for search."""

    def __init__(self, terms: Sequence[Term], allow_phrases: Sequence[str] = ()) -> None:
        texts = together([term.text for term in terms])
        last = {text: number for number, text in enumerate(texts) if text}  # of terms that read the same, the last
        self._listed = {number: _listed(terms[number], text) for text, number in last.items()}
        patterns = [pattern for number in last.values() for pattern in written(number, terms[number], texts[number])]
        self._patterns = [one for one in patterns if not one.how or one.text not in last]
        self._allowed = _allowed(terms, last, allow_phrases)
        self._written = Automaton([one.text for one in self._patterns] + [one.text for one in self._allowed])
        self._sounds = [(number, one) for number in last.values() for one in spoken(terms[number], texts[number])]
        self._syllables = SoundIndex([s if self._listed[n].chinese else () for n, s in self._sounds])
        letters = ["".join(sounds).encode() for _, sounds in self._sounds]
        self._spelled = BytesAhoCorasick(letters, matchkind=MatchKind.Standard) if letters else None
        self._reach = min(LONGEST_SPELLED, max((len(sounds) for _, sounds in self._sounds), default=0))
        self._leet = [number for text, number in last.items() if is_leet(terms[number], text)]
        self._look_alike = Automaton([in_leet(texts[number]) for number in self._leet])

    def __len__(self) -> int:
        return len(self._listed)

    def match(self, event: Event, passages: Iterable[Passage] = ()) -> list[TermMatch]:
        """Each term once a field; of captions, speech and the like, where it comes first."""
        return self.match_in(Texts(event, passages)) if self._listed else []

    def match_in(self, texts: Texts) -> list[TermMatch]:
        """The same, of texts that are ready."""
        if not self._listed:
            return []
        found: dict[tuple[str, int], TermMatch] = {}
        for hit in self._hits(texts.form):
            field, place, words = texts.at(hit.begin, hit.end)
            match = TermMatch(self._listed[hit.number].term, field, place, hit.how, words if hit.how else "")
            former = found.get((field, hit.number))
            if former is None or _before(match, former):
                found[field, hit.number] = match
        in_event = [match for match in found.values() if match.place is None]
        in_media = [match for match in found.values() if match.place is not None]
        return in_event + sorted(in_media, key=lambda match: match.place.at_s if match.place else 0.0)

    def _hits(self, form: Form) -> list[_Hit]:
        """Terms as they are written, then those that are disguised and not written at the same place as well."""
        cuts = Cuts(form)
        shown, allowed = self._as_written(form, cuts)
        harmless = _Covered(allowed)
        plain = list(_longest(hit for hit in shown if not hit.how and hit not in harmless))
        disguised = [*(hit for hit in shown if hit.how), *self._by_sound(form, cuts), *self._by_look(form)]
        written_ = _Covered(plain)
        return plain + list(_longest(hit for hit in disguised if hit not in harmless and hit not in written_))

    def _as_written(self, form: Form, cuts: Cuts) -> tuple[list[_Hit], list[_Hit]]:
        """What stands there as it is searched, checked; and phrases in which it means no harm."""
        hits, allowed = [], []
        for which, begin, end in self._written.matches(form.text):
            if which >= len(self._patterns):
                allowed.append(_hit(form, begin, end, self._allowed[which - len(self._patterns)]))
            else:
                pattern = self._patterns[which]
                if self._stands(form, begin, end, pattern, cuts):
                    hits.append(_hit(form, begin, end, pattern))
        return hits, allowed

    def _stands(self, form: Form, begin: int, end: int, pattern: Pattern, cuts: Cuts) -> bool:
        listed = self._listed[pattern.number]
        if listed.term.boundary == "none" and not pattern.how:
            return True
        if listed.chinese and not pattern.how:
            return not listed.word or is_word(form, begin, end, cuts)
        if not is_whole(form, begin, end):
            return False
        return listed.breaks is None or pattern.how != "" or is_unbroken(form, begin, end, listed.breaks)

    def _by_sound(self, form: Form, cuts: Cuts) -> Iterator[_Hit]:
        for begin, end, which in (*self._in_characters(form), *self._in_letters(form)):
            number, sounds = self._sounds[which]
            if is_spoken(form, begin, end, self._listed[number].text, sounds, cuts):
                yield _hit(form, begin, end, Pattern("", number, "sound"))

    def _in_characters(self, form: Form) -> Iterator[tuple[int, int, int]]:
        for begin, which in self._syllables.candidates(form):
            end = begin + len(self._sounds[which][1])
            if end <= len(form.text):
                yield begin, end, which

    def _in_letters(self, form: Form) -> Iterator[tuple[int, int, int]]:
        """Only where Latin letters are near: most of what people write in Chinese has none."""
        if self._spelled is None or not np.any((form.codes >= ord("a")) & (form.codes <= ord("z"))):
            return
        letters, at = sounded(form, near_letters=self._reach)
        for which, first, last in self._spelled.find_matches_as_indexes(letters, overlapping=True):
            begin, end = int(at[first]), int(at[last - 1]) + 1
            # Where syllables of the text begin and end, not within: xian is no xi and an.
            if (first == 0 or at[first - 1] != begin) and (last == len(at) or at[last] != end - 1):
                yield begin, end, which

    def _by_look(self, form: Form) -> Iterator[_Hit]:
        if not self._leet or (other := leet(form.raw)) is None:
            return
        for which, begin, end in self._look_alike.matches(other.text):
            number = self._leet[which]
            if is_look_alike(other, begin, end, self._listed[number].text):
                yield _hit(other, begin, end, Pattern("", number, "look"))


def _listed(term: Term, text: str) -> _Listed:
    short = len(text) <= SHORT and term.boundary == "auto"
    chinese = all(map(is_han, text))
    word = chinese and (short or term.boundary == "word")
    breaks = None
    if text.isascii():
        breaks = frozenset(accumulate(map(len, together(term.text.split()))))
    return _Listed(term, text, chinese, word, breaks)


def _allowed(terms: Sequence[Term], last: dict[str, int], phrases: Sequence[str]) -> list[Pattern]:
    """Phrases in which no term, or one of them, means harm."""
    wanted = [(phrase, EVERY) for phrase in phrases]
    wanted += [(phrase, number) for number in last.values() for phrase in terms[number].unless]
    texts = together([phrase for phrase, _ in wanted]) if wanted else []
    return [Pattern(text, number, "") for text, (_, number) in zip(texts, wanted, strict=True) if text]


def _hit(form: Form, begin: int, end: int, pattern: Pattern) -> _Hit:
    return _Hit(int(form.origin[begin]), int(form.origin[end - 1]) + 1, pattern.number, pattern.how)


def _longest(hits: Iterable[_Hit]) -> Iterator[_Hit]:
    """Those that do not lie within a longer one; of two that overlap, neither hides the other."""
    reach = 0
    for hit in sorted(hits, key=lambda hit: (hit.begin, -hit.end)):
        if hit.end > reach:
            reach = hit.end
            yield hit


class _Covered:
    """Parts of a text, each of one term or of every term: whether a hit of that term lies within one."""

    def __init__(self, hits: Iterable[_Hit]) -> None:
        self._begins: dict[int, list[int]] = defaultdict(list)
        #: The furthest end of those that begin here or before.
        self._ends: dict[int, list[int]] = defaultdict(list)
        for hit in sorted(hits):
            ends = self._ends[hit.number]
            self._begins[hit.number].append(hit.begin)
            ends.append(max(hit.end, ends[-1]) if ends else hit.end)

    def __contains__(self, hit: _Hit) -> bool:
        for number in (hit.number, EVERY):
            if number in self._begins:
                before = bisect_right(self._begins[number], hit.begin)
                if before and self._ends[number][before - 1] >= hit.end:
                    return True
        return False


def _before(match: TermMatch, former: TermMatch) -> bool:
    """Whether this says more of the term: as written rather than disguised, then earlier in the media."""
    if bool(match.how) != bool(former.how):
        return bool(former.how)
    return match.place is not None and former.place is not None and match.place.at_s < former.place.at_s
