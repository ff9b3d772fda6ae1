"""What is said, whatever the words: a text's concepts, by a list of Chinese and English words that mean the same. Pure.

Shared words tell of whom a text is; what happens to them is said in ever other words, and mostly in few of them.
"""

from __future__ import annotations

import tomllib
from functools import cache, lru_cache
from importlib.resources import files
from typing import NamedTuple

from ahocorasick_rs import AhoCorasick, MatchKind

from agents.rumor.words import is_chinese, is_word


class Concepts(NamedTuple):
    """What a text says, and by what it is of something else than a claim of the same subject may be."""

    said: frozenset[str]
    aside: frozenset[str]


class _Listed(NamedTuple):
    """Of each word: whether it is Chinese, and (whether of `said`, name) of its concepts."""

    chinese: list[bool]
    concepts: list[list[tuple[bool, str]]]
    automaton: AhoCorasick


@cache
def _listed() -> _Listed:
    table = tomllib.loads(files("agents.rumor").joinpath("concepts.toml").read_text("utf-8"))
    found: dict[str, list[tuple[bool, str]]] = {}
    for kind in ("said", "aside"):
        for name, words in table[kind].items():
            for word in words.split("|"):
                found.setdefault(word, []).append((kind == "said", name))
    words = list(found)
    automaton = AhoCorasick(words, matchkind=MatchKind.Standard)
    return _Listed([is_chinese(word) for word in words], list(found.values()), automaton)


@lru_cache(maxsize=1024)
def concepts(text: str) -> Concepts:
    """The concepts of a text in `plain` form."""
    chinese, of_word, automaton = _listed()
    met = {
        concept
        for number, begin, end in automaton.find_matches_as_indexes(text, overlapping=True)
        if chinese[number] or is_word(text, begin, end)
        for concept in of_word[number]
    }
    return Concepts(frozenset(name for said, name in met if said), frozenset(name for said, name in met if not said))
