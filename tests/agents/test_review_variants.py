"""Turned hashes: what a hash says of its picture turned."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from agents.review.pdq import distance, pdq
from agents.review.variants import TURNS, turned
from schemas.signals import FrameHash

#: How a picture is turned so that the hash of the result, turned back by the rule of that name, is that of the picture.
DONE = {
    "mirror": lambda rgb: rgb[:, ::-1],
    "rot180": lambda rgb: np.rot90(rgb, 2),
    "mirror_rot180": lambda rgb: rgb[::-1],
    "rot90": np.rot90,
    "rot270": lambda rgb: np.rot90(rgb, 3),
    "mirror_rot90": lambda rgb: rgb.transpose(1, 0, 2),
    "mirror_rot270": lambda rgb: np.rot90(rgb, 2).transpose(1, 0, 2),
}


@pytest.mark.parametrize("turn", TURNS)
def test_the_turned_hash_of_a_turned_picture_is_that_of_the_picture(turn: str) -> None:
    wrong = []
    for seed in range(8):
        chance = np.random.default_rng(seed)
        rgb = np.full((300, 300, 3), 128, np.uint8)
        for _ in range(40):
            corners = (chance.integers(0, 300, (1, 2)) + chance.integers(-70, 70, (4, 2))).astype(np.int32)
            cv2.fillConvexPoly(rgb, cv2.convexHull(corners), [int(level) for level in chance.integers(0, 256, 3)])
        [frame] = turned([FrameHash(at_s=1.0, pdq=pdq(np.ascontiguousarray(DONE[turn](rgb)))[0], quality=90)], turn)
        assert (frame.at_s, frame.quality) == (1.0, 90)
        wrong.append(distance(frame.pdq, pdq(rgb)[0]))
    assert np.median(wrong) <= 31 and max(wrong) < 64, wrong  # of another picture 128


@pytest.mark.parametrize("turn", ["mirror", "rot180", "mirror_rot180", "mirror_rot90", "mirror_rot270"])
def test_turning_twice_is_turning_back(turn: str) -> None:
    frames = [FrameHash(at_s=0.0, pdq="0123456789abcdef" * 4, quality=100)]
    assert turned(turned(frames, turn), turn) == frames


def test_a_right_angle_four_times_is_none() -> None:
    frames = [FrameHash(at_s=0.0, pdq="0123456789abcdef" * 4, quality=100)]
    for turn in ("rot90", "rot90", "rot90", "rot90"):
        frames = turned(frames, turn)
    assert frames[0].pdq == "0123456789abcdef" * 4
    assert turned([], "mirror") == []
