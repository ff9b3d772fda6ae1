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


def dense(mask: NDArray[np.uint8], without: Iterable[Area] = (), searched: NDArray[np.uint8] | None = None) -> bool:
    """Whether somewhere outside those areas there may be writing that was not there in `searched`; both as `edges`."""
    rest = mask.copy()
    for left, top, right, bottom in without:
        rest[top:bottom, left:right] = 0
    full = cv2.boxFilter(rest, cv2.CV_8U, WINDOW) >= DENSE * 255
    if searched is None or searched.shape != mask.shape or not full.any():
        return bool(full.any())
    changed, either = (cv2.boxFilter(one, cv2.CV_32F, WINDOW) for one in (mask ^ searched, mask | searched))
    return bool((full & (changed > (1 - SAME) * either)).any())


def same(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> bool:
    """Whether two pictures of one place, as `changes`, show the same writing."""
    bold, other_bold = one > BOLD, other > BOLD
    either = np.count_nonzero(bold | other_bold)
    return bool(either) and bool(np.count_nonzero(bold & other_bold) >= SAME * either)
