"""Text as claims are compared in it: one form, sentences, tokens, numbers. Pure.

Other than `agents.text.normalised`, this form keeps what stance and word boundaries need: signs that end sentences, and
the blanks between words of Latin script.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache, lru_cache
from itertools import pairwise
from typing import NamedTuple

from agents.textforms_tables import HAN, SEVERAL, fold

#: A sentence ends with these signs, with a line, and with a full stop before a blank: figures and hosts hold stops too.
_SENTENCE = re.compile(r"(?:[^。！？!?；;\n….．]|[.．](?!\s|$))*(?:[。！？!?；;\n…]+|[.．]+(?=\s|$)|$)")
#: A sentence of more signs is cut, if possible at a pause.
LONGEST = 160
_PAUSES = ("，", ",", "、", " ")
#: Chinese characters, kana and Hangul.
_CJK = r"\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u3040-\u30ff\uac00-\ud7a3"
_RUN = re.compile(rf"[{_CJK}]+|[^\W_{_CJK}]+(?:['’][^\W_{_CJK}]+)*")
_CHINESE = re.compile(rf"[{_CJK}]")
_INNER = re.compile(rf"(?<=[{_CJK}])\s+(?=[{_CJK}])")
_BLANKS = re.compile(r"\s+")
_NUMBER = re.compile(r"(?<![a-z_\d.])(\d[\d,]*(?:\.\d+)?)\s*([%％]|[a-z]+|[\u4e00-\u9fff])?")
_NUMERALS = re.compile(r"(?<![\d.])([零〇一二两三四五六七八九十百千万亿]+)([\u4e00-\u9fff])")
_DIGITS = {sign: value for value, sign in enumerate("零一二三四五六七八九")} | {"〇": 0, "两": 2}
_PLACES = {"十": 10, "百": 100, "千": 1000}
_GROUPS = {"万": 10**4, "亿": 10**8}
_WORDS = (
    "a an and are as at be been but by can could did do does for from had has have he her his how i if in into is it "
    "its just me my no not of on one or our out so than that the their them they this those to up was we were what "
    "when which who will with would you your now new all any every"
)
#: Words that name no subject: they neither find a claim nor speak for one.
STOP_WORDS = frozenset(_WORDS.split())
#: A keyword of so many letters is found with an ending of so many: rain, raining. Shorter ones only with an s.
LEAST_STEM, LONGEST_ENDING = 4, 3
#: Endings that leave the word itself: drinking, drinks.
_ENDINGS = ("ing", "ies", "ed", "es", "s")


class Number(NamedTuple):
    """A number and the sign or word that follows it."""

    value: float
    unit: str


@lru_cache(maxsize=4096)
def plain(text: str) -> str:
    """NFKC, lower case, simplified Chinese, apostrophes and blanks of one kind; blanks between Chinese characters go.
    Signs stay."""
    text = unicodedata.normalize("NFKC", text).casefold().translate(_simplified())
    return _BLANKS.sub(" ", _INNER.sub("", text)).strip()


@cache
def _simplified() -> dict[int, int]:
    codes = fold().codes
    chinese = ((code, int(codes[code])) for first, last in HAN for code in range(first, last))
    return {code: other for code, other in chinese if other not in (0, code) and other < SEVERAL} | {ord("’"): ord("'")}


class Sentence(NamedTuple):
    """A sentence in `plain` form, with the sign that ends it, and which signs of the raw text it is."""

    text: str
    begin: int
    end: int


def sentences(raw: str) -> list[Sentence]:
    """The sentences of a text as it came; what holds no letter or digit is none."""
    found = []
    for part in _SENTENCE.finditer(raw):
        begin, end = part.span()
        while end - begin > LONGEST:  # speech often comes without signs
            cut = max((raw.rfind(sign, begin + LONGEST // 2, begin + LONGEST) for sign in _PAUSES), default=-1) + 1
            found.append((begin, cut or begin + LONGEST))
            begin = cut or begin + LONGEST
        found.append((begin, end))
    parts = (Sentence(plain(raw[begin:end]), begin, end) for begin, end in found)
    return [sentence for sentence in parts if _RUN.search(sentence.text)]


def compact(text: str) -> str:
    """Letters and digits only, of a text in `plain` form: what edit distance is taken of."""
    return "".join(_RUN.findall(text)).replace("'", "")


@lru_cache(maxsize=4096)
def tokens(text: str) -> tuple[str, ...]:
    """Pairs of neighbouring Chinese characters (a single one if it stands alone), and words of other scripts without
    their endings; of a text in `plain` form."""
    found: list[str] = []
    for run in _RUN.findall(text):
        if _CHINESE.match(run):
            found += [one + other for one, other in pairwise(run)] or [run]
        elif (word := stem(run)) and run not in STOP_WORDS:
            found.append(word)
    return tuple(found)


def stem(word: str) -> str:
    """A word of Latin script without its grammatical ending, where enough is left of it."""
    word = word.removesuffix("'s").replace("'", "")
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3 and not word.endswith("ss"):
            return word[: -len(ending)] + ("y" if ending == "ies" else "")
    return word


def is_chinese(text: str) -> bool:
    """Whether any of it is written in Chinese characters (or kana, Hangul)."""
    return _CHINESE.search(text) is not None


def chinese_signs(text: str) -> int:
    """How many signs of it are Chinese characters (or kana, Hangul)."""
    return len(_CHINESE.findall(text))


def holds(text: str, word: str) -> bool:
    """Whether a text holds a keyword (both in `plain` form); one of Latin script as a word, its plural too."""
    if is_chinese(word):
        return word in text
    begin = text.find(word)
    while begin >= 0:
        end = begin + len(word)
        if is_word(text, begin, end):
            return True
        begin = text.find(word, begin + 1)
    return False


def is_word(text: str, begin: int, end: int) -> bool:
    """Whether what stands there in Latin script begins a word and is most of it: salt in salty, not in salticid.
    Chinese beside it is no part of it."""
    if begin and _latin(text[begin - 1]) and _latin(text[begin]):
        return False
    if not _latin(text[end - 1]):
        return True
    after = next((place for place in range(end, len(text)) if not _latin(text[place])), len(text))
    return after - end <= (LONGEST_ENDING if end - begin >= LEAST_STEM else 0) or text[end:after] == "s"


def _latin(sign: str) -> bool:
    return sign.isalnum() and (sign.isascii() or not _CHINESE.match(sign))


@lru_cache(maxsize=4096)
def numbers(text: str) -> tuple[Number, ...]:
    """The numbers of a text in `plain` form, in digits or Chinese numerals, each with its unit."""
    found = []
    for match in _NUMBER.finditer(text):
        value, unit = float(match[1].replace(",", "")), match[2] or ""
        if unit in _GROUPS:
            after = text[match.end() : match.end() + 1]
            value, unit = value * _GROUPS[unit], after if _CHINESE.match(after) else ""
        found.append(Number(value, unit))
    found += [Number(_value(match[1]), match[2]) for match in _NUMERALS.finditer(text)]
    return tuple(found)


def _value(numerals: str) -> float:
    total = group = digit = 0
    for sign in numerals:
        if sign in _DIGITS:
            digit = _DIGITS[sign]
        elif sign in _PLACES:
            group, digit = group + (digit or 1) * _PLACES[sign], 0
        else:
            total, group, digit = (total + group + digit or 1) * _GROUPS[sign], 0, 0
    return float(total + group + digit)
