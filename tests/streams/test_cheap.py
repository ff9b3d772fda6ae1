"""What every item is looked at by is decoded for a part of the cost of all of it, and shows what all of it shows."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from zoo import Scene, moving

from schemas.plan import Plan
from streams.extraction.detector import Detector, Findings, Frame, Source
from streams.extraction.entry import enters
from streams.extraction.limits import Limits
from streams.extraction.read import read

LIMITS = Limits(sample_interval_s=1.0, max_pixels=1_000_000, max_duration_s=3600.0)
CHEAP = Plan(every_s=1.0)


class Looker(Detector):
    name = "looker"
    version = "1"
    wants_frames = True

    def open(self, source: Source) -> None:
        self.frames: list[Frame] = []

    def see(self, frames: Sequence[Frame]) -> None:
        self.frames += frames

    def findings(self) -> Findings:
        return Findings()

    @property
    def times(self) -> list[float]:
        return [frame.at_s for frame in self.frames]


def seen(path: Path, plan: Plan | None = CHEAP, **others: Any) -> Looker:
    looker = Looker()
    read(path, [looker], LIMITS, plan, **others)
    return looker


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many frames were decoded."""
    from streams.extraction.limits import Meter

    count = [0]
    plain = Meter.frame

    def frame(self: Meter, one: Any) -> None:
        count[0] += isinstance(one, av.VideoFrame)
        plain(self, one)

    monkeypatch.setattr(Meter, "frame", frame)
    return count


def gaps(times: Sequence[float], end_s: float) -> list[float]:
    edges = [*times, end_s]
    return [later - earlier for earlier, later in pairwise(edges)]


CODECS = {
    "h264 with B frames": ("mp4", "libx264", {"bf": "3", "g": "50", "sc_threshold": "0"}),
    "h264 without": ("mp4", "libx264", {"bf": "0", "g": "50", "sc_threshold": "0"}),
    "h264 in a transport stream": ("ts", "libx264", {"g": "50"}),
    "h264 with an open group": ("mkv", "libx264", {"x264-params": "open-gop=1:keyint=25:scenecut=0"}),
    "hevc": ("mp4", "libx265", {"x265-params": "log-level=none:keyint=50:open-gop=0:no-scenecut=1"}),
    "hevc with an open group": ("mp4", "libx265", {"x265-params": "log-level=none:keyint=50:open-gop=1:no-scenecut=1"}),
    "vp9": ("webm", "libvpx-vp9", {"deadline": "realtime", "cpu-used": "8", "g": "50"}),
    "vp8": ("webm", "libvpx", {"deadline": "realtime", "cpu-used": "8", "g": "50"}),
    "av1": ("mp4", "libsvtav1", {"preset": "12", "g": "50"}),
    "mpeg4": ("mp4", "mpeg4", {"g": "50", "bf": "2"}),
}


@pytest.fixture(scope="module", params=CODECS)
def coded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    suffix, codec, options = CODECS[request.param]
    return moving(tmp_path_factory.mktemp("coded") / f"clip.{suffix}", codec, seconds=4.3, options=options)


def test_no_two_samples_are_further_apart_than_asked_whatever_the_codec(coded: Path) -> None:
    looker = seen(coded)
    assert looker.times == sorted(looker.times)
    assert max(gaps(looker.times, 4.3)) <= 1.0 + 2 / 25
    assert 4 <= len(looker.times) <= 9


def test_a_frame_that_is_sampled_shows_what_it_shows_when_all_is_decoded(coded: Path) -> None:
    every = {round(frame.at_s, 2): frame for frame in seen(coded, Plan(every_s=0.01, decode="all")).frames}
    for frame in seen(coded).frames:
        difference = np.abs(frame.rgb.astype(int) - every[round(frame.at_s, 2)].rgb.astype(int)).mean()
        assert difference < 4, frame.at_s  # the loop filter is left out


def test_only_what_leads_to_a_sample_is_decoded(tmp_path: Path, counted: list[int]) -> None:
    path = moving(tmp_path / "clip.mp4", "libx264", seconds=8, options={"bf": "3", "g": "50", "sc_threshold": "0"})
    seen(path, Plan(every_s=2.0))
    assert counted[0] < 15  # four key frames, and what comes with them
    counted[0] = 0
    seen(path, Plan(every_s=1.0))
    assert counted[0] < 8 * 25 * 0.5
    counted[0] = 0
    seen(path, None)
    assert counted[0] == 8 * 25


def test_a_new_scene_is_sampled_though_no_key_frame_marks_it(tmp_path: Path) -> None:
    scenes = (Scene(0.0, 1), Scene(2.3, 2), Scene(3.8, 3))
    path = moving(tmp_path / "clip.mp4", "libx264", seconds=6, scenes=scenes, options={"g": "250", "sc_threshold": "0"})
    looker = seen(path, Plan(every_s=4.0))
    for scene in scenes:
        assert any(scene.at_s <= at_s < scene.at_s + 0.2 for at_s in looker.times), scene
    assert [frame.scene for frame in looker.frames if frame.at_s < 4.0].count(True) == 3


def test_a_picture_that_stands_still_between_two_key_frames_is_sampled_once(tmp_path: Path) -> None:
    path = moving(tmp_path / "slides.mp4", "libx264", seconds=9, fps=1, options={"g": "9"})
    assert max(gaps(seen(path, Plan(every_s=2.0)).times, 9)) <= 2.0


def test_pictures_that_the_file_calls_unimportant_are_sampled_like_others(tmp_path: Path) -> None:
    # All that is shown between two key frames is of frames that no other refers to: whoever leaves them out sees only
    # the key frames.
    path = moving(
        tmp_path / "clip.mp4",
        "libx264",
        seconds=4,
        options={"x264-params": "keyint=50:scenecut=0:bframes=15:b-adapt=0:b-pyramid=none:rc-lookahead=16"},
    )
    looker = seen(path, Plan(every_s=0.2))
    assert max(gaps(looker.times, 4)) <= 0.25


def test_a_file_without_its_table_of_key_frames_hides_nothing(tmp_path: Path) -> None:
    path = moving(tmp_path / "clip.mp4", "libx264", seconds=4, options={"bf": "0", "g": "100", "sc_threshold": "0"})
    content = bytearray(path.read_bytes())
    at = content.index(b"stss")  # the table of key frames; without one, all are
    content[at : at + 4] = b"free"
    lying = tmp_path / "lying.mp4"
    lying.write_bytes(content)
    honest = {frame.at_s: frame.rgb.astype(int) for frame in seen(path, Plan(every_s=0.04, decode="all")).frames}
    looker = seen(lying)
    assert len(looker.frames) >= 4
    for frame in looker.frames:
        assert np.abs(frame.rgb - honest[frame.at_s]).mean() < 4


def test_an_entry_is_read_from_the_picture_not_from_the_file() -> None:
    avcc = b"\x01\x64\x00\x1f\xff\xe1"
    idr, slice_, recovery = b"\0\0\0\2\x65\x88", b"\0\0\0\2\x41\x9a", b"\0\0\0\2\x06\x06\0\0\0\2\x61\x88"
    assert enters("h264", memoryview(idr), avcc)
    assert enters("h264", memoryview(b"\0\0\0\2\x09\xf0" + idr), avcc)
    assert not enters("h264", memoryview(slice_), avcc)
    assert not enters("h264", memoryview(slice_ + idr), avcc)
    assert not enters("h264", memoryview(recovery), avcc)
    assert enters("h264", memoryview(b"\0\0\0\1\x09\xf0\0\0\1\x65\x88"), None)
    assert not enters("h264", memoryview(b"\0\0\0\1\x09\xf0\0\0\1\x41\x88"), None)
    assert not enters("vp9", memoryview(b"\x86"), None)
    assert enters("vp9", memoryview(b"\x82"), None)
    assert not enters("vp9", memoryview(b"\x8a"), None)  # shown before
    assert enters("vp8", memoryview(b"\x10"), None)
    assert not enters("vp8", memoryview(b"\x11"), None)
    assert not enters("theora", memoryview(b"\0"), None)


@pytest.mark.parametrize("codec", ["h264", "hevc", "vp8", "vp9", "av1", "libdav1d"])
@pytest.mark.parametrize("content", [b"", b"\0", b"\x0a", b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff", b"\0\0\1"])
def test_a_packet_that_ends_in_its_head_is_no_entry(codec: str, content: bytes) -> None:
    if codec == "vp8" and content:
        return  # one byte tells
    assert not enters(codec, memoryview(content), b"\x01" * 30)
    assert not enters(codec, memoryview(content), None)
