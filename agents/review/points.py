"""Points of a picture: what is found again when a frame was cropped, turned, tilted, framed or filmed off a screen.

PDQ hashes a picture as a whole, so what moves its edges changes the hash: a border of 5 % costs 88 bits of 256. ORB
(Rublee, Rabaud, Konolige, Bradski: "ORB: an efficient alternative to SIFT or SURF", ICCV 2011) describes some hundred
corners by 256 bits each, whatever their turn and size. Two pictures show the same if many corners of one are described
as corners of the other are, and one affine map takes all of these from their places in one to those in the other.
Mirrored corners are described otherwise, so of an item's frames the mirrored picture is described as well.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.signals import FramePoints

#: Longer side, in pixels, at which pictures are described: places are bytes, and a frame costs a millisecond.
SIDE = 256
#: Points of an item's frame, and of a bank's at most. An item's frame has more: words over it take some.
QUERY_POINTS, BANK_POINTS = 400, 160
#: Points that are looked for, and the side, in pixels, of the cells from which the strongest are taken in turn: of a
#: frame's strongest points most lie in the words over it, if there are any.
LOOKED_FOR, CELL = 600, 32
#: Bytes of a point: its description, and its place.
WIDTH = 34
#: Bits of 256 in which descriptions of one corner differ at most; of different corners they differ in 128 as a rule.
MOST_BITS = 64
#: How much closer the closest corner has to be than the next closest: what is everywhere in a picture says nothing.
RATIO = 0.85
#: Pixels by which a corner may miss the place where the map takes it: two per cent of the side.
SLACK = 5.0
#: Points that agree in so small an area, in pixels, are one detail, such as a logo or a word.
LEAST_EXTENT = 24.0
#: Side, in pixels, of a place: corners found more than once at one place count once.
PLACE = 6
#: Pairs of corners from which a map is looked for.
LEAST_PAIRS = 6
#: How much a picture may be enlarged, made smaller or drawn out of shape.
MOST_SCALE, MOST_SHAPE = 5.0, 2.0
#: Tries at finding the map. With half of the pairs right, 35 are enough for 99 in 100.
TRIES = 300
#: Contrast of a corner, in steps of brightness. OpenCV's 20 finds too little in what is dark or blurred.
CONTRAST = 7
#: Pixels around a corner that are described; a margin as wide has no corners. OpenCV's 31 is an eighth of the side.
PATCH = 15


class Points(NamedTuple):
    """Corners of a picture: their descriptions (n × 32 bytes) and their places (n × 2, in pixels of SIDE)."""

    codes: NDArray[np.uint8]
    places: NDArray[np.float32]


class Describer:
    """Describes pictures. Needs OpenCV; an instance is for one thread."""

    def __init__(self, most: int = QUERY_POINTS) -> None:
        import cv2

        cv2.setNumThreads(1)  # processes × threads = cores
        self._cv2: Any = cv2
        self._most = most
        self._orb = self._cv2.ORB_create(LOOKED_FOR, 1.2, 8, PATCH, fastThreshold=CONTRAST, patchSize=PATCH)

    def describe(self, grey: NDArray[np.uint8], *, mirrored: bool = False) -> bytes:
        """Points of a picture (height × width of luma), or of its mirror image, from all over it; packed."""
        height, width = grey.shape
        scale = SIDE / max(height, width)
        if scale != 1:
            # What is smaller is enlarged: corners are looked for at sizes from SIDE down.
            how = self._cv2.INTER_AREA if scale < 1 else self._cv2.INTER_CUBIC
            size = max(1, round(width * scale)), max(1, round(height * scale))
            grey = self._cv2.resize(grey, size, interpolation=how)
        if mirrored:
            grey = np.ascontiguousarray(grey[:, ::-1])
        corners, codes = self._orb.detectAndCompute(grey, None)
        if codes is None:
            return b""
        places = np.array([corner.pt for corner in corners], np.float32).round().clip(0, 255).astype(np.uint8)
        chosen = _in_turn(places // CELL, np.array([corner.response for corner in corners]))[: self._most]
        return np.hstack([codes, places])[chosen].tobytes()


def _in_turn(cells: NDArray[np.uint8], strength: NDArray[np.float64]) -> NDArray[np.intp]:
    """The order in which each cell gives its strongest, then each its second, and so on."""
    number = cells[:, 0].astype(np.int64) * SIDE + cells[:, 1]
    order = np.lexsort((-strength, number))
    begins = np.flatnonzero(np.r_[True, np.diff(number[order]) != 0])
    rank = np.arange(len(order)) - np.repeat(begins, np.diff(np.r_[begins, len(order)]))
    return order[np.lexsort((-strength[order], rank))]


def unpacked(points: FramePoints, most: int = QUERY_POINTS) -> Points:
    """The points of a frame, in their order, at most so many."""
    rows = np.frombuffer(points.points, np.uint8).reshape(-1, WIDTH)[:most]
    return Points(np.ascontiguousarray(rows[:, :32]), rows[:, 32:].astype(np.float32))


class Comparer:
    """Counts points that agree. Needs OpenCV; an instance is for one thread."""

    def __init__(self) -> None:
        import cv2

        self._cv2: Any = cv2
        self._closest: Any = cv2.BFMatcher(cv2.NORM_HAMMING)

    def agreeing(self, one: Points, other: Points) -> int:
        """Places of `other` at which it shows what `one` shows, all moved, turned and enlarged alike. 0: too few."""
        if len(one.codes) < LEAST_PAIRS or len(other.codes) < LEAST_PAIRS:
            return 0
        pairs: dict[int, Any] = {}
        for two in self._closest.knnMatch(one.codes, other.codes, k=2):
            first, second = two
            if first.distance > MOST_BITS or first.distance >= RATIO * second.distance:
                continue
            rival = pairs.get(first.trainIdx)
            if rival is None or first.distance < rival.distance:
                pairs[first.trainIdx] = first
        if len(pairs) < LEAST_PAIRS:
            return 0
        here = one.places[[pair.queryIdx for pair in pairs.values()]]
        there = other.places[list(pairs)]
        self._cv2.setRNGSeed(1)  # the same item gives the same decision
        found, inside = self._cv2.estimateAffine2D(
            here, there, method=self._cv2.RANSAC, ransacReprojThreshold=SLACK, maxIters=TRIES, confidence=0.99
        )
        if found is None or not _likely(found[:, :2]):
            return 0
        agreed = there[inside.ravel() > 0]
        if (np.ptp(agreed, axis=0) < LEAST_EXTENT).any():
            return 0
        return len(np.unique(agreed // PLACE, axis=0))


def _likely(turn: NDArray[np.float64]) -> bool:
    """Whether somebody would turn, enlarge and draw out a picture so."""
    if np.linalg.det(turn) <= 0:  # a mirror image, and those are described by themselves
        return False
    large, small = np.linalg.svd(turn, compute_uv=False)
    return bool(large <= MOST_SCALE and small >= 1 / MOST_SCALE and large / small <= MOST_SHAPE)
