"""Which places and dates a text names, and whether two texts name different ones. Pure.

By a list of some 260 places and by the forms of dates. It knows no villages, streets or buildings, no nicknames
("魔都"), and cannot tell a place from a person or a firm that bears its name; what it does not know it does not
see, and then no one is asked.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from datetime import date, timedelta
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from ahocorasick_rs import AhoCorasick, MatchKind

_CHINESE_DATE = re.compile(
    r"(?<!\d)(?:((?:19|20)\d\d)\s*年)?\s*(1[0-2]|0?[1-9])\s*月(?:\s*(3[01]|[12]\d|0?[1-9])\s*[日号])?"
)
_YEAR = re.compile(r"(?<!\d)((?:19|20)\d\d)\s*年(?!\s*\d{1,2}\s*月)")
_NUMBERS = re.compile(r"(?<!\d)((?:19|20)\d\d)[-/.](1[0-2]|0?[1-9])(?:[-/.](3[01]|[12]\d|0?[1-9]))?(?!\d)")
_MONTHS = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)  # fmt: skip
_MONTH = "|".join(f"{month}|{month[:3]}" for month in _MONTHS)
_ENGLISH = re.compile(
    rf"\b(?:(\d{{1,2}})(?:st|nd|rd|th)?\s+)?({_MONTH})\.?\s*(?:(\d{{1,2}})(?:st|nd|rd|th)?,?\s*)?((?:19|20)\d\d)\b",
    re.I,
)
_LATIN = re.compile(r"[a-z]", re.I)
#: A text may name the day after (another zone), or the day on which it was put on the air.
NEAR_DAYS = 2


class Named(NamedTuple):
    """Places by their first name in the list, with what they lie in left out; dates as YYYY, YYYY-MM or YYYY-MM-DD."""

    places: tuple[str, ...]
    dates: tuple[str, ...]


@cache
def _gazetteer() -> tuple[AhoCorasick, list[str], dict[str, str]]:
    """What finds names, the place of each name, and what each place lies in."""
    names: dict[str, str] = {}
    within: dict[str, str] = {}
    for line in files("agents.recycled").joinpath("places.txt").read_text("utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        called, _, outer = line.partition(">")
        first, *others = called.split(",")
        names |= {name.casefold(): first for name in (first, *others)}
        if outer:
            within[first] = outer
    return AhoCorasick(list(names), matchkind=MatchKind.LeftmostLongest), list(names.values()), within


def named(text: str, today: date) -> Named:
    """What a text names; a month or day without a year is the last one that has been by `today`."""
    return Named(_places(text), tuple(sorted(set(_dates(text, today)))))


def differ(new: Named, old: Named) -> str | None:
    """In what two texts name different places or dates, in words; None if they do not.

    A city and the province that it lies in are no different places, a month and a day of it no different dates. Where
    one of them names nothing, nothing differs.
    """
    if new.places and old.places and not any(_touch(one, other) for one in new.places for other in old.places):
        return f"place: {', '.join(new.places)} instead of {', '.join(old.places)}"
    if new.dates and old.dates and not any(_overlap(one, other) for one in new.dates for other in old.dates):
        return f"date: {', '.join(new.dates)} instead of {', '.join(old.dates)}"
    return None


def later(dates: Collection[str], seen: date) -> str | None:
    """The first date if all of them lie after a day on which the footage had been seen; else None."""
    limit = seen + timedelta(days=NEAR_DAYS)
    if dates and all(_span(one)[0] > limit for one in dates):
        return min(dates)
    return None


def _places(text: str) -> tuple[str, ...]:
    matcher, firsts, within = _gazetteer()
    folded = text.casefold()
    found = {
        firsts[number] for number, begin, end in matcher.find_matches_as_indexes(folded) if _whole(folded, begin, end)
    }
    outer = {place for one in found for place in _outward(one, within)}
    return tuple(sorted(found - outer))


def _whole(text: str, begin: int, end: int) -> bool:
    """A name in Latin letters is a word of its own."""
    if not _LATIN.match(text[begin]):
        return True
    return not (begin and _LATIN.match(text[begin - 1])) and not (end < len(text) and _LATIN.match(text[end]))


def _outward(place: str, within: dict[str, str]) -> Iterator[str]:
    while outer := within.get(place):
        yield outer
        place = outer


def _touch(one: str, other: str) -> bool:
    _, _, within = _gazetteer()
    return one == other or one in _outward(other, within) or other in _outward(one, within)


def _dates(text: str, today: date) -> Iterator[str]:
    for year, month, day in _CHINESE_DATE.findall(text):
        yield from _date(int(year) if year else _last_year(int(month), int(day or 1), today), int(month), day)
    for year in _YEAR.findall(text):
        yield year
    for year, month, day in _NUMBERS.findall(text):
        yield from _date(int(year), int(month), day)
    for before, month, after, year in _ENGLISH.findall(text):
        number = next(place for place, name in enumerate(_MONTHS, 1) if name.startswith(month.casefold()[:3]))
        yield from _date(int(year), number, before or after)


def _last_year(month: int, day: int, today: date) -> int:
    return today.year if (month, day) <= (today.month, today.day) else today.year - 1


def _date(year: int, month: int, day: str) -> Iterator[str]:
    if not day:
        yield f"{year:04}-{month:02}"
        return
    try:
        yield date(year, month, int(day)).isoformat()
    except ValueError:  # the 31st of June
        yield f"{year:04}-{month:02}"


def _span(text: str) -> tuple[date, date]:
    """First and last day of a date."""
    parts = [int(part) for part in text.split("-")]
    if len(parts) == 1:
        return date(parts[0], 1, 1), date(parts[0], 12, 31)
    if len(parts) == 2:
        following = date(parts[0] + parts[1] // 12, parts[1] % 12 + 1, 1)
        return date(parts[0], parts[1], 1), following - timedelta(days=1)
    return date(*parts), date(*parts)


def _overlap(one: str, other: str) -> bool:
    (first, last), (begin, end) = _span(one), _span(other)
    near = timedelta(days=NEAR_DAYS)
    return first <= end + near and begin <= last + near
