"""A platform's day, simulated: what its accounts write, with bursts planted in it, some by bots and some not.

What it assumes. Items come evenly over the day, from accounts of which few write much (Zipf). A share LOW of them is
new or sanctioned. Words are made up of Chinese signs, by Zipf's law. Of the items, 68 % are in words of their own; 12 %
are instalments of an account's own series; 12 % are stock phrases with something put in; 8 % are verbatim copies of
what trends, growing and fading over hours, by accounts like all others.

Organic events (a concert, a holiday, a match, a storm): hundreds to thousands of accounts within one to six hours, of
which 8 to 30 % are of low standing; 55 % in words of their own around the event's name, 30 % after thirty patterns,
15 % its slogan word for word.

Bot bursts: 25 to 250 accounts, 60 to 95 % of low standing, within 3 to 40 minutes, growing; three to six wordings of
one claim, each with other words for a quarter of its words; each copy with up to three edits (a word for another,
marks, pictures, words before or after), four of five times as the title, else as a sentence of the description. One in
five of the bursts hires older accounts (45 to 60 % low).

Real platforms are not so simple: what a simulation finds says that a method can work, not how well it will.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import accumulate
from typing import NamedTuple

LOW = 0.12
DAY_S = 86_400.0
ACCOUNTS = 200_000
#: Share of a claim's words that each of its wordings puts in another way.
OTHER_WORDS = 0.25
_MARKS = ("！", "!!!", "～", "…", " ", "🔥", "⚠️", "，", "【", "】", "👇")


class Item(NamedTuple):
    """What one account writes. `burst`: of which burst it is, -1 of none."""

    at: float
    account: int
    low: bool
    title: str
    description: str
    burst: int


class Burst(NamedTuple):
    """What was planted."""

    number: int
    bots: bool
    times: tuple[float, ...]


class Day:
    """So many items, in the order of time, and what was planted in them."""

    def __init__(self, items: int, seed: int, *, bots: int, organic: int) -> None:
        self._chance = random.Random(seed)
        signs = [chr(0x4E00 + 7 * number) for number in range(2600)]
        weights = [1 / (rank + 20) for rank in range(len(signs))]
        words = {
            "".join(self._chance.choices(signs, weights, k=self._chance.choice((2, 2, 2, 3)))) for _ in range(30_000)
        }
        self._words = sorted(words)
        self._chance.shuffle(self._words)
        self._weights = list(accumulate(1 / (rank + 30) for rank in range(len(self._words))))
        self._accounts = list(accumulate(1 / (rank + 500) for rank in range(ACCOUNTS)))
        self._low = [self._chance.random() < LOW for _ in range(ACCOUNTS)]
        self._stock = [(self._said(3), self._said(3)) for _ in range(400)]
        self._trends = [
            (self._said(7), self._chance.uniform(0, DAY_S), self._chance.uniform(3600, 6 * 3600)) for _ in range(300)
        ]
        self.bursts: list[Burst] = []
        self._planted: list[Item] = []
        for _ in range(bots):
            self._bots()
        for _ in range(organic):
            self._organic()
        self._planted.sort()
        self._items = items

    def __iter__(self) -> Iterator[Item]:
        planted = iter(self._planted)
        following = next(planted, None)
        count = max(1, self._items - len(self._planted))
        for number in range(count):
            at = DAY_S * number / count
            while following and following.at <= at:
                yield following
                following = next(planted, None)
            yield self._ordinary(at)

    def _said(self, words: int) -> str:
        return "".join(self._chance.choices(self._words, cum_weights=self._weights, k=words))

    def _account(self) -> tuple[int, bool]:
        (account,) = self._chance.choices(range(ACCOUNTS), cum_weights=self._accounts)
        return account, self._low[account]

    def _ordinary(self, at: float) -> Item:
        account, low = self._account()
        kind = self._chance.random()
        description = self._said(self._chance.randint(4, 20)) if self._chance.random() < 0.5 else ""
        if kind < 0.68:
            title = self._said(self._chance.randint(3, 10))
        elif kind < 0.80:
            own = random.Random(account)
            title = "".join(own.choices(self._words, k=5)) + f"第{self._chance.randint(1, 300)}集"
        elif kind < 0.92:
            before, after = self._chance.choice(self._stock)
            title = before + self._said(1) + after
        else:
            title = self._trending(at)
        return Item(at, account, low, title, description, -1)

    def _trending(self, at: float) -> str:
        for _ in range(8):
            title, peak, length = self._chance.choice(self._trends)
            if self._chance.random() < max(0.0, 1 - abs(at - peak) / length):
                return title
        return self._said(7)

    def _bots(self) -> None:
        chance, number = self._chance, len(self.bursts)
        begin, length = chance.uniform(0.05, 0.95) * DAY_S, chance.uniform(180, 2400)
        size = chance.randint(25, 250)
        share = chance.uniform(0.45, 0.6) if chance.random() < 0.2 else chance.uniform(0.6, 0.95)
        claim = [self._said(1) for _ in range(chance.randint(6, 12))]
        wordings = [
            "".join(self._said(1) if chance.random() < OTHER_WORDS else word for word in claim)
            for _ in range(chance.randint(3, 6))
        ]
        times = sorted(begin + length * chance.random() ** 0.6 for _ in range(size))
        for at in times:
            said = self._edited(chance.choice(wordings))
            title, description = (said, "") if chance.random() < 0.8 else (self._said(4), f"{self._said(5)}。{said}。")
            account = ACCOUNTS + 10_000 * number + chance.randrange(10_000)
            self._planted.append(Item(at, account, chance.random() < share, title, description, number))
        self.bursts.append(Burst(number, True, tuple(times)))

    def _edited(self, text: str) -> str:
        chance = self._chance
        for _ in range(chance.randint(0, 3)):
            kind = chance.randrange(4)
            place = chance.randrange(len(text))
            if kind == 0:
                text = text[:place] + self._said(1) + text[place + 2 :]
            elif kind == 1:
                text = text[:place] + chance.choice(_MARKS) + text[place:]
            elif kind == 2:
                text = self._said(1) + text
            else:
                text += self._said(1)
        return text

    def _organic(self) -> None:
        chance, number = self._chance, len(self.bursts)
        length, size = chance.uniform(3600, 6 * 3600), chance.randint(400, 3000)
        begin, low = chance.uniform(0, DAY_S - length), chance.uniform(0.08, 0.30)
        name, slogan = self._said(2), self._said(7)
        patterns = [(self._said(2), self._said(2)) for _ in range(30)]
        times = sorted(begin + length * chance.triangular(0, 1, 0.3) for _ in range(size))
        for at in times:
            kind = chance.random()
            if kind < 0.55:
                title = self._said(chance.randint(1, 5)) + name + self._said(chance.randint(1, 5))
            elif kind < 0.85:
                before, after = chance.choice(patterns)
                title = before + name + self._said(1) + after
            else:
                title = slogan
            account = ACCOUNTS + 10_000 * number + chance.randrange(10_000)
            self._planted.append(Item(at, account, chance.random() < low, title, "", number))
        self.bursts.append(Burst(number, False, tuple(times)))
