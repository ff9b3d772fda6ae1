"""Whether what matched is the term: where words begin and end, and what differs from the term. Pure.

A list's automaton finds characters; `gun for sale` is in `begun for sale`, and 迷药 in 低迷药店. What is here looks at
the few places that were found, in the text as it came.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from functools import cache, cached_property
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents import textforms_tables as tables
from agents.textforms import Form, codes_of, is_han, is_spaced

#: Chinese terms of so few characters stand within other words by chance.
SHORT = 2
#: What parts sentences: beyond it no word goes on. A line break parts captions and lines.
CLAUSE = frozenset('，。！？；：、,.!?;:\n\r…—（）()「」『』《》“”"')
#: After a Latin word, what leaves it the same.
_INFLECTED = re.compile(r"(?:['’]?s|es)(?![^\W\d_])", re.IGNORECASE)


def is_whole(form: Form, begin: int, end: int) -> bool:
    """Whether the signs from `begin` to before `end` begin and end where Latin words and numbers do. Of other scripts:
    always."""
    raw, first, last = form.raw, int(form.origin[begin]), int(form.origin[end - 1])
    if first > 0 and _joined(raw[first - 1], raw[first]):
        return False
    after = raw[last + 1 : last + 2]
    if not after or not _joined(raw[last], after):
        return True
    return is_spaced(raw[last]) and _INFLECTED.match(raw, last + 1) is not None


def _joined(one: str, other: str) -> bool:
    """Whether two neighbours are of one word or number. Within `BuyNow`, a word begins."""
    if one.isdecimal() and other.isdecimal():
        return True
    return is_spaced(one) and is_spaced(other) and not (one.islower() and other.isupper())


def is_unbroken(form: Form, begin: int, end: int, breaks: frozenset[int]) -> bool:
    """Whether a Latin term's words are not pieced together from others: `hero in` is no `heroin`, but `h e r o i n` is.

    `breaks`: after how many of its signs the term itself has a space.
    """
    raw, origin = form.raw, form.origin
    found = {
        number
        for number in range(1, end - begin)
        if any(sign.isspace() for sign in raw[int(origin[begin + number - 1]) + 1 : int(origin[begin + number])])
    }
    return found <= breaks or len(found) >= (end - begin - 1) / 2


def is_word(form: Form, begin: int, end: int, cuts: Cuts) -> bool:
    """Whether a Chinese term stands where a word may begin and end, as jieba cuts the sentence. What is written apart,
    by signs or emoji, is read as one; two clauses are not."""
    raw, first, last = form.raw, int(form.origin[begin]), int(form.origin[end - 1])
    if any(sign in CLAUSE or sign.isspace() for sign in raw[first : last + 1]):
        # 【迷】【药】 stands alone; in 一起来裸，聊下身体 both halves belong to what is around them.
        return not _goes_on(raw, first - 1) and not _goes_on(raw, last + 1)
    return cuts.begins_and_ends(begin, end)


def _goes_on(raw: str, at: int) -> bool:
    return 0 <= at < len(raw) and raw[at].isalnum()


class Cuts:
    """Where the words of a form begin and end. Each clause is cut once, when it is first asked for."""

    def __init__(self, form: Form) -> None:
        self._form = form
        self._known: dict[int, set[int]] = {}

    def begins_and_ends(self, begin: int, end: int) -> bool:
        """Whether words do so at these signs, which belong to one clause."""
        number = bisect_right(self._ends, begin)
        if (found := self._known.get(number)) is None:
            at = self._ends[number - 1] if number else 0
            text = self._form.text[at : self._ends[number] if number < len(self._ends) else None]
            found = self._known[number] = set(accumulate(map(len, _jieba().cut(text, False)), initial=at))
        return begin in found and end in found

    @cached_property
    def _ends(self) -> list[int]:
        """Before which signs a clause has ended."""
        parting = np.flatnonzero(_parts_clauses().take(codes_of(self._form.raw), mode="clip"))
        ends: list[int] = np.unique(np.searchsorted(self._form.origin, parting)).tolist()
        return ends


def is_spoken(form: Form, begin: int, end: int, signs: str, sounds: Sequence[str], cuts: Cuts) -> bool:
    """Whether the signs from `begin` to before `end` are the term by its sound, and not other words that sound alike.

    Each sign is the term's own, another character with the same reading, or the reading in Latin letters. Another
    character counts where it stands for itself: 枪只出售, but not 强制出售, which is made of words. `signs`: the term,
    folded; `sounds`: what each is spoken as.
    """
    text, at, others = form.text[begin:end], 0, []
    if text == signs:
        return False  # as it is written, which is found otherwise
    for sign, sound in zip(signs, sounds, strict=True):
        if text[at : at + 1] == sign:
            at += 1
        elif text.startswith(sound, at) and is_han(sign):
            at += len(sound)
        elif is_han(text[at : at + 1] or " ") and tables.syllables().get(text[at], ("",))[0] == sound:
            others.append(begin + at)
            at += 1
        else:
            return False
    if at != len(text):
        return False
    return is_whole(form, begin, end) and all(cuts.begins_and_ends(place, place + 1) for place in others)


def is_look_alike(form: Form, begin: int, end: int, text: str) -> bool:
    """Whether the signs from `begin` to before `end` of a `leet` form are the term with digits and signs for some of
    its letters. `text`: the term, folded."""
    changed = 0
    for number, wanted in enumerate(text):
        shown = form.raw[int(form.origin[begin + number])]
        if shown.casefold() == wanted or chr(int(tables.fold().codes[ord(shown)])) == wanted:
            continue
        letter = tables.LEET.get(shown)
        if letter == wanted or (wanted == "l" and shown in "1|!I"):
            changed += 1
        else:
            return False
    return 0 < changed <= len(text) / 2 and is_whole(form, begin, end)


@cache
def _parts_clauses() -> NDArray[np.bool_]:
    """Code point of the basic plane → whether it parts clauses; the last one, which stands for all beyond, does not."""
    table = np.zeros(0x10000, np.bool_)
    table[[ord(sign) for sign in CLAUSE]] = True
    return table


@cache
def _jieba() -> Any:
    import rjieba

    return rjieba
