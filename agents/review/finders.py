"""The marks in three corners of a QR code, by which it is told from everything else that is black and white. Pure.

A line through the middle of a mark crosses dark, light, dark, light and dark in lengths of 1 : 1 : 3 : 1 : 1, whichever
way the code is turned, and the three middles are the corners of half a square (ISO/IEC 18004). Looking for that costs a
tenth of what reading costs.
"""

from __future__ import annotations

from itertools import combinations

import cv2
import numpy as np
from numpy.typing import NDArray

#: Longer sides of the pictures that are searched, in pixels: the smaller finds codes that fill the picture.
SIDES = (640, 256)
#: A point is dark if it is by so much darker than its surroundings, a square of so many pixels.
DARKER, AROUND = 10, 65
#: Share of the unit by which a length may miss what it should be.
OFF = 0.5
#: Times as long as each of the others that the middle length is at least; three times, but for blur.
WIDER = 1.6
#: Pixels of the shortest mark: seven units of one and a half.
SHORTEST = 10
#: Points of the grid in which marks are gathered: both lines through a mark's middle meet within it.
CELL = 4
#: Lines that must cross a mark's middle, each way: it is three units high and wide. What looks like a mark by chance is
#: crossed by one or two.
CROSSED = 3
#: Marks of one picture that are compared by threes; a page of small print may have more, and is no code.
MOST = 24
#: Times as large as each other that the units of three marks, and the two sides between them, may be: seen askew.
ALIKE = 1.6
#: Units from one mark's middle to the next: 14 in the smallest code; larger ones than 80 need a better picture.
APART = (11, 90)


def may_hold_code(rgb: NDArray[np.uint8]) -> bool:
    """Whether three marks of the picture may be those of a QR code."""
    grey = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8)
    return any(_corners(marks_of(scaled(grey, side))) for side in SIDES)


def scaled(grey: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """The picture made smaller, so that its longer side is `side` pixels at most."""
    height, width = grey.shape
    scale = side / max(height, width)
    if scale >= 1:
        return grey
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.uint8)


def marks_of(grey: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Rows, columns and units of what may be marks, in pixels."""
    mean = cv2.boxFilter(grey, -1, (AROUND, AROUND))
    dark = cv2.compare(grey, cv2.subtract(mean, DARKER), cv2.CMP_LT) >> 7
    across, units = _middles(dark)
    if not len(across):
        return np.zeros((0, 3))
    down, _ = _middles(np.ascontiguousarray(dark.T))
    shape = grey.shape[0] // CELL + 3, grey.shape[1] // CELL + 3
    crossed = [_gathered(middles, shape) for middles in (across, down[:, ::-1])]
    # A middle may lie where four cells meet.
    full = [cv2.boxFilter(one, -1, (3, 3), normalize=False) >= CROSSED for one in crossed]
    count, labels = cv2.connectedComponents((full[0] & full[1]).astype(np.uint8))
    of = labels[tuple((across // CELL + 1).T)]
    return np.array(
        [
            (*across[of == number].mean(axis=0), float(np.median(units[of == number])))
            for number in range(1, count)
            if (of == number).any()
        ]
    ).reshape(-1, 3)


def _gathered(middles: NDArray[np.int64], shape: tuple[int, int]) -> NDArray[np.float32]:
    cells = middles // CELL + 1
    counts = np.bincount(cells[:, 0] * shape[1] + cells[:, 1], minlength=shape[0] * shape[1])
    return counts.reshape(shape).astype(np.float32)


def _corners(marks: NDArray[np.float64]) -> bool:
    """Whether three of them lie as those of a code do."""
    for three in combinations(marks[:MOST], 3):
        units = [mark[2] for mark in three]
        if max(units) > ALIKE * min(units):
            continue
        one, other, far = sorted(float(np.hypot(*(first[:2] - second[:2]))) for first, second in combinations(three, 2))
        unit = sum(units) / 3
        if other > ALIKE * one or not APART[0] * unit <= (one + other) / 2 <= APART[1] * unit:
            continue
        if 0.75 <= far / float(np.hypot(one, other)) <= 1.3:  # the third side, of a right angle that is seen askew
            return True
    return False


def _middles(dark: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Where lines from left to right cross the middle of a mark, rows and columns, and the unit of each."""
    height, width = dark.shape
    lines = np.full((height, width + 1), 2, np.uint8)  # what parts one line from the next is neither dark nor light
    lines[:, :width] = dark
    flat = lines.ravel()
    ends = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    if len(ends) < 7:
        return np.zeros((0, 2), np.int64), np.zeros(0)
    lengths, shade = np.diff(ends), flat[ends[:-1]]
    count = len(lengths) - 4
    first = np.flatnonzero((shade[:count] == 1) & (shade[2 : 2 + count] == 1) & (shade[4 : 4 + count] == 1))
    first = first[(shade[first + 1] == 0) & (shade[first + 3] == 0)]
    parts = np.stack([lengths[first + number] for number in range(5)])
    unit = parts.sum(axis=0) / 7
    fits = (unit * 7 >= SHORTEST) & (np.abs(parts[2] - 3 * unit) <= 3 * OFF * unit)
    fits &= parts[2] >= WIDER * np.maximum.reduce(
        [parts[0], parts[1], parts[3], parts[4]]
    )  # a chequered board is not it
    for number in (0, 1, 3, 4):
        fits &= np.abs(parts[number] - unit) <= np.maximum(OFF * unit, 1.0)
    middle = ends[first[fits] + 2] + parts[2][fits] // 2
    return np.stack([middle // (width + 1), middle % (width + 1)], axis=1), unit[fits]
