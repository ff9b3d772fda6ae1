"""What a listed term is searched as: its folded form, and the forms in which it is disguised. Pure.

Variants are made of the terms, once, rather than of each text: a text has three forms, whatever a list asks for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

from agents import textforms_tables as tables
from agents.textforms import is_han
from schemas.policy import Term

#: How a term is there: as it is written, by its sound, or by what looks like it.
How = Literal["", "sound", "look"]
#: Chinese characters of which a term must have so many to be looked for by sound alone: 160,000 pairs of syllables are
#: few beside what a text has, and a list of short terms would match everywhere.
LEAST_SOUNDS = 3
#: A term of fewer Latin letters is no longer the same with digits for letters: 105 is no spelling of ios.
LEAST_LEET = 4
#: Letters that a term of two characters has at least in pinyin, to be looked for in pinyin alone: `dama` is a name.
LEAST_PINYIN = 6
_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af]")
#: Readings of a term, of characters with more than one: beyond them the list would grow without end.
MOST_READINGS = 8
#: Words that are written by a sign which sounds the same.
SAID_ALIKE = {"for": "4", "four": "4", "to": "2", "too": "2", "two": "2", "you": "u", "are": "r", "ate": "8", "be": "b",
              "and": "n", "see": "c", "why": "y"}  # fmt: skip


class Pattern(NamedTuple):
    """A form of the term with this number, as it is searched for in a folded text."""

    text: str
    number: int
    how: How


def written(number: int, term: Term, text: str) -> Iterator[Pattern]:
    """As it is written (`text` is folded), and what is disguised in few enough ways to be searched as it stands."""
    yield Pattern(text, number, "")
    if not term.disguises:
        return
    words = term.text.casefold().split()
    for place, word in enumerate(words):
        if word in SAID_ALIKE and len(words) > 2:
            changed = [*words[:place], SAID_ALIKE[word], *words[place + 1 :]]
            yield Pattern("".join(changed), number, "look")
    if len(text) == 2 and all(map(is_han, text)):
        first, second = (tables.syllables().get(sign, ("",))[0] for sign in text)
        if first:
            yield Pattern(first + text[1], number, "sound")
        if second:
            yield Pattern(text[0] + second, number, "sound")
        if first and second and len(first + second) >= LEAST_PINYIN:
            yield Pattern(first + second, number, "sound")


def spoken(term: Term, text: str) -> list[tuple[str, ...]]:
    """By its sound, what each of its signs is spoken as; nothing where it is too short.

    Texts are read by each character's most usual reading. Where a term has another (银行), that is the sound of what is
    written for the one character, while all others stand as they are: so one reading is changed at a time.
    """
    if not term.disguises or len(_HAN.findall(text)) < LEAST_SOUNDS:
        return []
    known = tables.syllables()
    choices = [known.get(sign) or ((sign,) if sign.isascii() else ()) for sign in text]
    if not all(choices):
        return []
    usual = tuple(readings[0] for readings in choices)
    found = [usual]
    for place, readings in enumerate(choices):
        found += [(*usual[:place], other, *usual[place + 1 :]) for other in readings[1:]]
    return found[:MOST_READINGS]


def is_leet(term: Term, text: str) -> bool:
    """Whether it is looked for with digits and signs for letters."""
    return term.disguises and len(text) >= LEAST_LEET and text.isascii() and sum(map(str.isalpha, text)) >= LEAST_LEET


def in_leet(text: str) -> str:
    """The term as `agents.textforms.leet` reads texts."""
    return "".join(tables.LEET.get(sign, "i" if sign == "l" else sign) for sign in text)
