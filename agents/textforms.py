"""Forms in which texts are searched for what was written so as not to be found. Pure.

Each form is made of a whole text at once, by a table (numpy), and knows for each of its signs where in the text it
stands. `folded` is what reads the same: case, width, marks, traditional and regional forms of Chinese characters,
look-alikes of other scripts; spaces, punctuation and emoji go. `sounded` is how that is spoken, in pinyin letters.
`leet` is what digits and signs among Latin letters stand for.
"""

from __future__ import annotations

import unicodedata
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from agents import textforms_tables as tables

#: Stands between texts that are folded together; see `together`.
BARRIER = chr(tables.BARRIER)
#: Below lie the scripts whose words are parted by spaces: Latin, Greek, Cyrillic, Armenian.
SPACED = 0x590
#: Kinds of signs, for `leet`.
_LETTER, _SIGN = 1, 2


class Form(NamedTuple):
    """A text as it came (in NFC), and as it is searched: the sign `text[i]` comes from `raw[origin[i]]`."""

    raw: str
    text: str
    codes: NDArray[np.uint32]
    origin: NDArray[np.intp]


def folded(raw: str) -> Form:
    """What reads the same is the same; letters and digits only."""
    table = tables.fold()
    if not unicodedata.is_normalized("NFC", raw):
        raw = unicodedata.normalize("NFC", raw)
    read = table.codes[codes_of(raw)]
    origin = np.flatnonzero(read)
    read = read[origin]
    if read.size and int(read.max()) >= tables.SEVERAL:
        read, origin = _expanded(read, origin, table.several)
    return Form(raw, _text(read), read, origin)


def together(texts: list[str]) -> list[str]:
    """Each text folded, all at once: what a list of thousands is prepared with."""
    joined = folded(BARRIER.join(text.replace(BARRIER, " ") for text in texts)).text
    return joined.split(BARRIER)


class Sounded(NamedTuple):
    """The letters that a form is spoken as; `at[i]` is the sign of the form that letter `i` belongs to."""

    letters: bytes
    at: NDArray[np.intp]


def sounded(form: Form, near_letters: int | None = None) -> Sounded:
    """Each Chinese character its most usual reading without tones, Latin letters and digits themselves, else blanks.

    `near_letters`: only what is so many signs or fewer away from a Latin letter; the rest is blank.
    """
    table = tables.readings()
    codes = np.where(form.codes < table.counts.size, form.codes, 0)
    if near_letters is not None:
        codes = np.where(_near(codes, near_letters), codes, 0)
    letters = table.letters[codes].tobytes().translate(None, b"\0")
    return Sounded(letters, np.repeat(np.arange(codes.size), table.counts[codes]))


def _near(codes: NDArray[np.uint32], reach: int) -> NDArray[np.bool_]:
    """Which signs are so near to a Latin letter."""
    letters = np.flatnonzero((codes >= ord("a")) & (codes <= ord("z")))
    begins = np.bincount(np.maximum(letters - reach, 0), minlength=codes.size + 1)
    ends = np.bincount(np.minimum(letters + reach + 1, codes.size), minlength=codes.size + 1)
    return np.cumsum(begins - ends)[: codes.size] > 0


def leet(raw: str) -> Form | None:
    """Digits and signs as the Latin letters that they stand for, and l as i; None where none stands beside a letter.
    `raw` is a form's."""
    codes = codes_of(raw)
    kinds = _kinds()[np.minimum(codes, 0xFF)]
    if not bool(np.any(kinds[1:] + kinds[:-1] == _LETTER + _SIGN)):
        return None
    read = tables.leet()[codes]
    origin = np.flatnonzero(read)
    read = read[origin]
    return Form(raw, _text(read), read, origin)


def is_spaced(character: str) -> bool:
    """Whether it is a letter of a script whose words are parted by spaces, in whatever width or style."""
    code = int(tables.fold().codes[ord(character)])
    return code < SPACED and chr(code).isalpha()


def is_han(character: str) -> bool:
    """Whether it is a Chinese character."""
    code = ord(character)
    return 0x4E00 <= code < 0xA000 or (code >= 0x3400 and any(first <= code < last for first, last in tables.HAN))


@cache
def _kinds() -> NDArray[np.uint8]:
    kinds = np.zeros(0x100, np.uint8)
    kinds[[*range(ord("A"), ord("Z") + 1), *range(ord("a"), ord("z") + 1)]] = _LETTER
    kinds[[ord(sign) for sign in tables.LEET if ord(sign) < kinds.size]] = _SIGN
    return kinds


def codes_of(raw: str) -> NDArray[np.uint32]:
    """The code points of a text."""
    return np.frombuffer(raw.encode("utf-32-le", "surrogatepass"), np.uint32)


def _text(codes: NDArray[np.uint32]) -> str:
    return codes.tobytes().decode("utf-32-le")


def _expanded(
    read: NDArray[np.uint32], origin: NDArray[np.intp], several: tuple[str, ...]
) -> tuple[NDArray[np.uint32], NDArray[np.intp]]:
    """Signs that stand for several letters (㎏, ﬁ, ß), replaced by those."""
    places = np.flatnonzero(read >= tables.SEVERAL)
    texts = [several[number] for number in (read[places] - tables.SEVERAL).tolist()]
    counts = np.ones(read.size, np.intp)
    counts[places] = [len(text) for text in texts]
    longer = np.repeat(read, counts)
    longer[longer >= tables.SEVERAL] = codes_of("".join(texts))
    return longer, np.repeat(origin, counts)
