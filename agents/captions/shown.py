"""What one track of pictures shows: the captions that stand, and those that stood."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from rapidfuzz import fuzz

from agents.captions.reader import Line
from agents.captions.strokes import SIDE, Area, bands, changes, clear, edges, same, scaled, writing
from agents.text import normalised
from schemas.signals import Box, Caption

#: What the reader is less sure of is no text: foliage and fences read as `1`, `|` and the like.
LEAST = 0.6
#: Signs of one text from which two readings at one place are of the same text (0 to 100): letters over moving pictures
#: are read a little differently from frame to frame.
ALIKE = 70.0
#: Longer texts are cut: a line that fills a picture has some 200 signs.
LONGEST = 500
#: Lines that are read in one frame. A page of small print has more; nobody reads it in passing either.
MOST_LINES = 40
#: Frames with little that looks like writing that are searched in vain before only one in so many is. At a look each
#: two seconds that finds what stands for four, and saves half of what footage full of leaves costs.
MOST_VAIN, EACH_VAIN = 2, 2


class Reads(Protocol):
    """What reads: see `agents.captions.reader.Reader`."""

    def find(self, rgb: NDArray[np.uint8]) -> list[Line]:
        """Lines of text."""

    def read(self, rgb: NDArray[np.uint8], line: Line) -> tuple[str, float]:
        """A line's text, and how sure it is."""


@dataclass
class _Standing:
    """A caption that the last frame showed. `area` and `change` are of the picture at strokes.SIDE."""

    at_s: float
    until_s: float
    text: str
    score: float
    area: Area
    change: NDArray[np.uint8]
    box: Box

    def stands(self, change: NDArray[np.uint8]) -> bool:
        left, top, right, bottom = self.area
        piece = change[top:bottom, left:right]
        return piece.shape == self.change.shape and same(self.change, piece)

    def caption(self) -> Caption:
        return Caption(at_s=self.at_s, until_s=self.until_s, text=self.text, score=self.score, box=self.box)


class Shown:
    """Looks at frames in order of time. A caption that stands still is read once, however long it stands."""

    def __init__(self, reader: Reads, most: int) -> None:
        self._reader = reader
        self._most = most
        self._standing: list[_Standing] = []
        self._gone: list[Caption] = []
        self._searched: NDArray[np.uint8] | None = None
        self._vain = self._passed = 0
        #: How often the reader was asked, for measures.
        self.searched = self.read = 0

    def look(self, rgb: NDArray[np.uint8], at_s: float) -> None:
        """Look at a frame."""
        small = scaled(rgb, SIDE)
        change = changes(small)
        mask = edges(change)
        stand = [one for one in self._standing if one.stands(change)]
        gone = [one for one in self._standing if one not in stand]
        if gone:
            self._searched = None  # should it come back, it is to be found again
        for one in stand:
            one.until_s = at_s
        places = writing(mask, (one.area for one in stand), self._searched)
        if places.any() and self._worth(sure := clear(places)):
            self._searched = mask
            self.searched += 1
            lines = [
                Line(line.corners + np.array([0, top], np.float32))
                for top, bottom in bands(places)
                for line in self._reader.find(small[top:bottom])
            ]
            self._vain = 0 if lines else self._vain + (not sure)
            for line in lines[:MOST_LINES]:
                self._take(line, rgb, change, at_s, stand, gone)
        self._standing = stand
        self._gone += [one.caption() for one in gone if len(self._gone) < self._most]

    def _worth(self, sure: bool) -> bool:
        """Whether to search. Foliage and fences look like a little writing frame after frame: where some of them were
        searched in vain, further ones are searched now and then only, which finds what stands for some seconds."""
        if sure or self._vain < MOST_VAIN:
            return True
        self._passed = (self._passed + 1) % EACH_VAIN
        return self._passed == 0

    def captions(self) -> list[Caption]:
        """All captions so far."""
        return [*self._gone, *(one.caption() for one in self._standing)]

    def _take(
        self,
        line: Line,
        rgb: NDArray[np.uint8],
        change: NDArray[np.uint8],
        at_s: float,
        stand: list[_Standing],
        gone: list[_Standing],
    ) -> None:
        area = _area(line, change.shape)
        if any(_share(area, one.area) > 0.5 for one in stand):
            return
        self.read += 1
        text, score = self._reader.read(rgb, Line(line.corners * (rgb.shape[1] / change.shape[1])))
        text = text.strip()[:LONGEST]
        if score < LEAST or not normalised(text):
            return
        former = next((one for one in gone if _share(area, one.area) > 0.5 and _alike(one.text, text)), None)
        left, top, right, bottom = area
        now = _Standing(at_s, at_s, text, score, area, change[top:bottom, left:right].copy(), _box(area, change.shape))
        if former is not None:
            gone.remove(former)
            now.at_s = former.at_s
            if former.score > score:
                now.text, now.score = former.text, former.score
        stand.append(now)


def _area(line: Line, shape: tuple[int, ...]) -> Area:
    left, top = np.floor(line.corners.min(axis=0)).astype(int)
    right, bottom = np.ceil(line.corners.max(axis=0)).astype(int)
    height, width = shape[:2]
    return max(0, int(left)), max(0, int(top)), min(width, int(right)), min(height, int(bottom))


def _box(area: Area, shape: tuple[int, ...]) -> Box:
    left, top, right, bottom = area
    height, width = shape[:2]
    sides = left / width, top / height, (right - left) / width, (bottom - top) / height
    x, y, w, h = (round(min(1.0, max(0.0, side)), 4) for side in sides)
    return Box(left=x, top=y, width=w, height=h)


def _share(one: Area, other: Area) -> float:
    """Of the smaller rectangle, how much the larger covers."""
    across = min(one[2], other[2]) - max(one[0], other[0])
    down = min(one[3], other[3]) - max(one[1], other[1])
    if across <= 0 or down <= 0:
        return 0.0
    least = min((area[2] - area[0]) * (area[3] - area[1]) for area in (one, other))
    return across * down / least if least else 0.0


def _alike(one: str, other: str) -> bool:
    return fuzz.ratio(normalised(one), normalised(other)) >= ALIKE
