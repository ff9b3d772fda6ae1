"""QR codes in pictures are read; what only looks busy costs no search."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest

from agents.review.finders import may_hold_code
from agents.review.qr import MOST_FAILURES, QrDetector
from streams.extraction.detector import Frame, Part, Source

SOURCE = Source("mp4", {}, [], io.BytesIO())
LINK = "https://casino.example/join?from=qr"


def code(text: str, side: int) -> np.ndarray:
    """The code as OpenCV draws it, with its quiet zone, so many points wide."""
    drawn = cv2.QRCodeEncoder.create().encode(text)
    drawn = cv2.copyMakeBorder(drawn, 4, 4, 4, 4, cv2.BORDER_CONSTANT, value=255)
    large = cv2.resize(drawn, None, fx=16, fy=16, interpolation=cv2.INTER_NEAREST)
    return cv2.resize(large, (side, side), interpolation=cv2.INTER_AREA)


def scene(natural, text=LINK, side=160, turned=0.0, seed=3):
    picture = natural(seed, 960, 540).copy()
    if text:
        square = cv2.cvtColor(code(text, side), cv2.COLOR_GRAY2RGB)
        turn = cv2.getRotationMatrix2D((side / 2, side / 2), turned, 1.0)
        turn[:, 2] += 300, 200
        mask = cv2.warpAffine(np.full((side, side), 255, np.uint8), turn, (960, 540))
        drawn = cv2.warpAffine(square, turn, (960, 540), flags=cv2.INTER_LINEAR)
        picture[mask > 0] = drawn[mask > 0]
    return picture


@pytest.fixture(scope="module")
def detector():
    return QrDetector()


def seen(detector, pictures, at_s=0.0):
    detector.open(SOURCE)
    for number, rgb in enumerate(pictures):
        detector.see([Frame(at_s + number, rgb)])
    return detector.findings()


@pytest.mark.parametrize(("side", "turned"), [(130, 0), (160, 10), (200, 0), (300, 30)])
def test_a_code_is_read_in_several_sizes_and_turned(natural, detector, side, turned):
    (signal,) = seen(detector, [scene(natural, side=side, turned=turned)]).signals
    assert (signal.name, signal.score) == ("qr", 1.0)
    assert [one.text for one in signal.evidence] == [LINK]


def test_it_says_from_when_to_when_each_text_is_shown(natural, detector):
    shown, other, none = scene(natural), scene(natural, "tel:10086"), scene(natural, None)
    (signal,) = seen(detector, [none, shown, none, none, shown, none, none, other], at_s=10.0).signals
    assert [(one.at_s, one.until_s, one.text) for one in signal.evidence] == [
        (11.0, 14.0, LINK),
        (17.0, 17.0, "tel:10086"),
    ]


def test_chinese_text_is_read_as_it_was_written(natural, detector):
    (signal,) = seen(detector, [scene(natural, "加微信领红包", side=220)]).signals
    assert signal.evidence[0].text == "加微信领红包"


def test_other_pictures_give_nothing_and_are_not_searched(natural, detector, monkeypatch):
    monkeypatch.setattr(detector, "_texts", lambda rgb: pytest.fail("searched"))
    assert seen(detector, [natural(seed, 960, 540) for seed in range(12)]).signals == ()


def test_stripes_and_boards_do_not_hold_a_code():
    stripes = np.tile(np.where(np.arange(960) // 8 % 2, 255, 0).astype(np.uint8), (540, 1))
    board = np.where((np.arange(540)[:, None] // 20 + np.arange(960) // 20) % 2, 255, 0).astype(np.uint8)
    for grey in (stripes, board):
        assert not may_hold_code(cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB))


def test_what_looks_like_a_code_and_is_none_is_not_searched_for_ever(natural, detector, monkeypatch):
    tries = []
    monkeypatch.setattr(detector, "_may_hold_code", lambda rgb: True)
    monkeypatch.setattr(detector, "_texts", lambda rgb: tries.append(1) or [])
    seen(detector, [np.zeros((54, 96, 3), np.uint8)] * (MOST_FAILURES + 50))
    assert len(tries) == MOST_FAILURES


def test_stretches_are_joined_to_one_signal(natural, detector):
    parts = [Part(at, at + 60, seen(detector, [scene(natural)], at)) for at in (0.0, 60.0)]
    (signal,) = QrDetector.merge(parts).signals
    assert [(one.at_s, one.until_s, one.text) for one in signal.evidence] == [(0.0, 60.0, LINK)]
