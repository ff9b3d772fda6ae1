"""Strokes: where a picture is so full of strong edges as writing is. Costs a few milliseconds a frame, and so decides
whether the reader, which costs forty times as much, looks at all. Pure."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import NDArray

#: Longer side, in pixels, of the pictures that are looked at: strokes of the smallest readable text are a pixel wide.
SIDE = 640
#: Steps of brightness between neighbouring pixels that make an edge. Text that is meant to be read has more; half of it
#: is lost to scaling and compression.
EDGE = 50
#: A window about as high as a line of small text and as wide as a few of its characters, in pixels.
WINDOW = (48, 12)
#: Share of a window that is edges from which it may be writing. `make eval` says what this finds and what it lets pass.
DENSE = 0.62
#: Pixels of the largest place where there may be writing, from which it is clear. Of 200 captions all but fifteen have
#: 178 and more, of 100 frames without text none has more than 96.
CLEAR = 150
#: Rows around such a place that are searched with it: letters four times as high as the window.
AROUND = 30
#: Rows that are searched at once at least, and the step of their number that the finder takes.
LEAST_BAND, STEP = 96, 32
#: Share of the rows from which the picture is searched as a whole.
MOST_IN_BANDS = 0.7
#: Steps of brightness by which two pictures of one place are compared: more than EDGE, so that what is behind letters
#: counts less.
BOLD = 100
#: Share of such edges in common from which they show the same writing. Captions that changed over a still picture had
#: 0.78 at most; captions that stood over moving pictures had more in nine of ten cases, after compression.
SAME = 0.8

#: A rectangle in pixels: left, top, right, bottom.
Area = tuple[int, int, int, int]


def scaled(rgb: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """The picture made smaller, so that its longer side is `side` pixels at most."""
    height, width = rgb.shape[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return rgb
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)


def changes(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """How much brightness changes around each pixel."""
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.morphologyEx(grey, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)), np.uint8)


def edges(change: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """255 where it changes as strongly as at the edge of a stroke, else 0."""
    return np.asarray(cv2.threshold(change, EDGE, 255, cv2.THRESH_BINARY)[1], np.uint8)


def writing(
    mask: NDArray[np.uint8], without: Iterable[Area] = (), searched: NDArray[np.uint8] | None = None
) -> NDArray[np.bool_]:
    """Around which pixels outside those areas there may be writing that is not in `searched`; both as `edges`."""
    rest = mask.copy()
    for left, top, right, bottom in without:
        rest[top:bottom, left:right] = 0
    full = np.asarray(cv2.boxFilter(rest, cv2.CV_8U, WINDOW) >= DENSE * 255)
    if searched is None or searched.shape != mask.shape or not full.any():
        return full
    changed, either = (cv2.boxFilter(one, cv2.CV_32F, WINDOW) for one in (mask ^ searched, mask | searched))
    return np.asarray(full & (changed > (1 - SAME) * either))


def dense(mask: NDArray[np.uint8]) -> bool:
    """Whether somewhere there may be writing."""
    return bool(writing(mask).any())


def clear(places: NDArray[np.bool_]) -> bool:
    """Whether one of the places is as large as those of most captions, and larger than foliage makes them."""
    _, _, sizes, _ = cv2.connectedComponentsWithStats(places.astype(np.uint8))
    return bool((sizes[1:, cv2.CC_STAT_AREA] >= CLEAR).any())


def bands(places: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Rows, from and to, in which writing may stand, with some around them: to find lines in these alone costs half of
    what the whole picture does."""
    rows = np.flatnonzero(places.any(axis=1))
    height = len(places)
    found: list[tuple[int, int]] = []
    for part in np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1) if len(rows) else ():
        begin, end = int(part[0]) - AROUND, int(part[-1]) + AROUND
        if found and begin <= found[-1][1]:
            begin = found.pop()[0]
        found.append((max(0, begin), min(height, end)))
    found = [_whole(begin, end, height) for begin, end in found]
    return found if sum(end - begin for begin, end in found) < MOST_IN_BANDS * height else [(0, height)]


def _whole(begin: int, end: int, height: int) -> tuple[int, int]:
    """The same rows and some more, so many as the finder takes: others it would squeeze."""
    size = min(height, max(LEAST_BAND, -(-(end - begin) // STEP) * STEP))
    begin = max(0, min(begin - (size - (end - begin)) // 2, height - size))
    return begin, begin + size


def same(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> bool:
    """Whether two pictures of one place, as `changes`, show the same writing."""
    bold, other_bold = one > BOLD, other > BOLD
    either = np.count_nonzero(bold | other_bold)
    return bool(either) and bool(np.count_nonzero(bold & other_bold) >= SAME * either)
