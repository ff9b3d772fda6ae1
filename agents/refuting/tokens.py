"""The tokens by which items that may repeat a claim are found: pairs of Chinese signs, beginnings of words. Pure.

Not the words that are compared in the end, only what leads to them; so coarse that a claim told in other words still
shares some. On the 151 assertions of `tests/data/rumor`, most of them free paraphrases, groups of three signs (two
shared, and a fifth of a wording's) find 17 % of those in Chinese; these tokens, weighed by how rare they are, 97 %, and
all of those in English.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import cache
from itertools import pairwise

from agents.textforms_tables import HAN, SEVERAL, fold

#: Letters of a word that count: endings do not (vaccine, vaccines; rain, raining).
STEM = 4
#: Letters of the shortest word that counts.
SHORTEST = 2

_CJK = r"㐀-䶿一-鿿豈-﫿぀-ヿ가-힯"
_RUN = re.compile(rf"[{_CJK}]+|[^\W_{_CJK}]+")
_IS_CJK = re.compile(rf"[{_CJK}]")


def tokens(text: str) -> set[str]:
    """The tokens of a text, in simplified Chinese and lower case."""
    found: set[str] = set()
    for run in _RUN.findall(unicodedata.normalize("NFKC", text).casefold().translate(_simplified())):
        if not _IS_CJK.match(run):
            if len(run) >= SHORTEST:
                found.add(run[:STEM])
        elif len(run) == 1:
            found.add(run)
        else:
            found.update(one + other for one, other in pairwise(run))
    return found


def needed(words: Iterable[str]) -> list[frozenset[str]] | None:
    """Of keywords of which one must occur: the tokens that come with each. None if one of them leaves no trace among
    tokens: a single Chinese sign may stand within any pair."""
    found = []
    for word in words:
        mine = tokens(word)
        if not mine or any(len(token) == 1 and _IS_CJK.match(token) for token in mine):
            return None
        found.append(frozenset(mine))
    return found


@cache
def _simplified() -> dict[int, int]:
    """Traditional characters as their simplified forms."""
    codes = fold().codes
    chinese = ((code, int(codes[code])) for first, last in HAN for code in range(first, last))
    return {code: other for code, other in chinese if other not in (0, code) and other < SEVERAL}
