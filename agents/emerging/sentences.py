"""The sentences of an item, and keys that alike sentences share. Pure.

A claim is a sentence, not a text: whoever spreads one puts it into a title here, beside another text there. Sentences
are alike by the share of the groups of signs that they have in common (Jaccard, J), and MinHash (Broder, 1997) makes
keys of that: of BANDS keys, each of ROWS smallest hashes, two sentences share one with a chance of 1 - (1 - J^2)^4:
0.98 at J = 0.8, 0.83 at 0.6, 0.31 at 0.3.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.signals import Signals

#: Sentences of an item that are looked at: its title, and then what comes first. A claim that is spread is at the top.
MOST = 8
#: Longer ones are cut: what is read aloud without a pause.
LONGEST = 300
BANDS, ROWS = 4, 2
#: Signs in a group: two of Chinese, which has some thousand signs; four of others, of which two occur in every text.
SIGNS_CJK, SIGNS = 2, 4

_END = re.compile(r"[。！？!?；;…\n\r]+|\.(?=\s|$)")
#: What is no letter, digit or mark on one; much faster than to look each sign up, and every item comes by here.
_SIGNS = re.compile(r"[\W_]+")
_CJK = re.compile(r"[぀-ヿ㐀-鿿가-힯]")
_MIX = np.uint64(0x9E3779B97F4A7C15)
#: Odd multipliers and offsets of the hash functions, from a fixed seed: all workers must make the same keys.
_RANDOM = np.random.default_rng(20200101)
_TIMES = (_RANDOM.integers(0, 2**63, BANDS * ROWS, dtype=np.uint64) * np.uint64(2) + np.uint64(1))[:, None]
_PLUS = _RANDOM.integers(0, 2**63, BANDS * ROWS, dtype=np.uint64)[:, None]


class Sentence(NamedTuple):
    """A sentence as it was written, its field, and its keys as numbers, one a band."""

    text: str
    field: str
    keys: tuple[int, ...]


def sentences(signals: Signals, shortest: int) -> list[Sentence]:
    """The first sentences of an item with at least so many letters and digits, each once."""
    found: dict[str, tuple[str, str]] = {}
    for field, text in _texts(signals):
        for piece in _END.split(text):
            if len(piece) < shortest:
                continue
            plain = _SIGNS.sub("", unicodedata.normalize("NFKC", piece[:LONGEST]).casefold())
            if len(plain) >= shortest and plain not in found:
                found[plain] = (piece.strip()[:LONGEST], field)
                if len(found) == MOST:
                    return _keyed(found)
    return _keyed(found)


def _texts(signals: Signals) -> Iterator[tuple[str, str]]:
    yield "title", signals.event.title
    yield "description", signals.event.description
    for caption in signals.captions:
        yield "captions", caption.text
    for utterance in signals.speech:
        yield "speech", utterance.text


def _keyed(found: dict[str, tuple[str, str]]) -> list[Sentence]:
    return [Sentence(text, field, keys_of(plain)) for plain, (text, field) in found.items()]


def keys_of(plain: str) -> tuple[int, ...]:
    """One key a band of a normalised sentence, 62 bits each; the band's number is part of it."""
    signs = np.frombuffer(plain.encode("utf-32-le"), np.uint32).astype(np.uint64)
    width = SIGNS_CJK if _CJK.search(plain) else SIGNS
    count = max(1, len(signs) - width + 1)
    groups: NDArray[np.uint64] = np.zeros(count, np.uint64)
    for place in range(min(width, len(signs))):
        groups = (groups ^ signs[place : place + count]) * _MIX
        groups ^= groups >> np.uint64(29)
    smallest = ((groups * _TIMES + _PLUS) >> np.uint64(2)).min(axis=1).reshape(BANDS, ROWS)
    made = (smallest[:, 0] * _MIX) ^ (smallest[:, 1] + (smallest[:, 0] >> np.uint64(31)))
    made = (made ^ np.arange(BANDS, dtype=np.uint64)) & np.uint64(2**62 - 1)
    return tuple(int(key) for key in made)


def name(key: int) -> str:
    """A key as it goes over the wire."""
    return f"{key:016x}"
