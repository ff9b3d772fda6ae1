"""Media as platforms get it: whatever form its picture and sound have, detectors see it as a player shows it, and every
stream that a player could choose."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from clips import clip, with_cover
from numpy.typing import NDArray
from zoo import Scene, add, frames, moving, picture, tone

from schemas.plan import Look, Plan
from streams.extraction.detector import SOUND_RATE, Detector, Findings, Frame, Source
from streams.extraction.picture import Easel
from streams.extraction.read import ExtractFailure, Limits, Reading, read

LIMITS = Limits(sample_interval_s=1.0, max_pixels=1_000_000, max_duration_s=3600.0)
PLANS = {"cheap": Plan(every_s=1.0), "whole": None}
SIZE = (192, 128)
#: Mean difference (0 to 255) that another codec or colour space makes; another picture, or this one turned, is 25 and
#: more away.
SAME = 8.0


class Watcher(Detector):
    name = "watcher"
    version = "1"
    wants_frames = True
    wants_sound = True

    def open(self, source: Source) -> None:
        self.frames: list[Frame] = []
        self.sound: list[tuple[float, NDArray[np.float32]]] = []

    def see(self, frames: Sequence[Frame]) -> None:
        self.frames += frames

    def hear(self, samples: NDArray[np.float32], at_s: float) -> None:
        self.sound.append((at_s, samples))

    def findings(self) -> Findings:
        return Findings()


class Grey(Watcher):
    name = "grey"
    colour = "grey"
    side = 64


def watched(path: Path, plan: Plan | None = None, limits: Limits = LIMITS) -> tuple[Watcher, Reading]:
    watcher = Watcher()
    return watcher, read(path, [watcher], limits, plan)


def close(frame: Frame, expected: NDArray[np.uint8]) -> bool:
    return float(np.abs(frame.rgb.astype(int) - expected).mean()) <= SAME


FORMS: dict[str, tuple[str, str, dict[str, Any]]] = {
    # name: suffix, codec, arguments
    "h264 mp4": ("mp4", "libx264", {}),
    "fragmented mp4": ("mp4", "libx264", {"mux": {"movflags": "frag_keyframe+empty_moov"}}),
    "h264 transport stream": ("ts", "libx264", {}),
    "h264 flv": ("flv", "libx264", {}),
    "h264 mkv": ("mkv", "libx264", {}),
    "hevc mov": ("mov", "libx265", {"options": {"x265-params": "log-level=none"}}),
    "vp9 webm": ("webm", "libvpx-vp9", {"options": {"deadline": "realtime", "cpu-used": "8"}}),
    "av1 mkv": ("mkv", "libsvtav1", {"options": {"preset": "12"}}),
    "mpeg4 avi": ("avi", "mpeg4", {}),
    "ten bits": ("mkv", "libx265", {"pix_fmt": "yuv420p10le", "options": {"x265-params": "log-level=none"}}),
    "4:4:4": ("mp4", "libx264", {"pix_fmt": "yuv444p"}),
    "interlaced": ("mp4", "libx264", {"options": {"x264-params": "tff=1"}}),
    "odd size": ("mkv", "ffv1", {"size": (191, 127), "pix_fmt": "yuv444p"}),
    "variable rate": ("mkv", "libx264", {"times": [0, 0.05, 0.3, 0.31, 1.2, 1.7, 1.75, 1.99]}),
    "a frame a second": ("mp4", "libx264", {"fps": 1}),
    "grey": ("mkv", "ffv1", {"pix_fmt": "gray"}),
}


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_picture_is_seen_as_it_was_made(tmp_path: Path, form: str, plan: str) -> None:
    suffix, codec, how = FORMS[form]
    watcher, reading = watched(moving(tmp_path / f"clip.{suffix}", codec, **how), PLANS[plan])
    size = how.get("size", SIZE)
    assert (reading.media.width, reading.media.height) == size
    assert [frame.at_s for frame in watcher.frames][:1] == [pytest.approx(0, abs=0.1)]
    assert len(watcher.frames) >= 2
    for frame in watcher.frames:
        assert frame.rgb.shape == (size[1], size[0], 3)
        expected = picture(1, frame.at_s, size)
        assert close(
            frame, expected if form != "grey" else np.repeat(expected.mean(2, keepdims=True), 3, 2).astype("u1")
        )
    assert reading.media.duration_s == pytest.approx(2.0, abs=0.12)


TURNS: dict[str, tuple[Callable[[Any], None], Callable[[NDArray[np.uint8]], NDArray[np.uint8]]]] = {
    # what the file says is to be done, and what was done to the picture so that it comes out as it was
    "a quarter to the left": (lambda stream: stream.set_display_rotation(90), lambda pixels: np.rot90(pixels, -1)),
    "half": (lambda stream: stream.set_display_rotation(180), lambda pixels: np.rot90(pixels, 2)),
    "a quarter to the right": (lambda stream: stream.set_display_rotation(-90), lambda pixels: np.rot90(pixels, 1)),
    "mirrored": (lambda stream: stream.set_display_rotation(0, hflip=True), lambda pixels: pixels[:, ::-1]),
    "mirrored and turned": (
        lambda stream: stream.set_display_rotation(90, hflip=True),
        lambda pixels: np.rot90(pixels[:, ::-1], -1),
    ),
}


@pytest.mark.parametrize("turn", TURNS)
def test_a_picture_that_the_file_says_to_turn_is_seen_upright(tmp_path: Path, turn: str) -> None:
    prepare, change = TURNS[turn]
    width, height = SIZE if turn in ("half", "mirrored") else SIZE[::-1]
    with av.open(str(tmp_path / "turned.mp4"), "w") as output:
        stream = add(output, "libx264", 25, (width, height))
        prepare(stream)
        for number in range(10):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(change(picture(1, number / 25, SIZE))))
            frame.pts = number
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    watcher, reading = watched(tmp_path / "turned.mp4")
    seen = watcher.frames[0]
    assert seen.rgb.shape == (SIZE[1], SIZE[0], 3)
    assert close(seen, picture(1, 0, SIZE))
    assert (reading.media.width, reading.media.height) == (width, height)


@pytest.mark.parametrize(("aspect", "shape"), [("16/11", (88, 192)), ("1/2", (128, 96)), ("1000/1", (128, 192))])
def test_a_picture_of_pixels_that_are_not_square_is_seen_as_wide_as_it_is_shown(
    tmp_path: Path, aspect: str, shape: tuple[int, int]
) -> None:
    def squeezed(stream: Any) -> None:
        stream.codec_context.sample_aspect_ratio = Fraction(aspect)

    watcher, _ = watched(moving(tmp_path / "wide.mp4", prepare=squeezed, seconds=0.5))
    assert watcher.frames[0].rgb.shape == (*shape, 3)


def test_what_shines_through_is_seen_over_black(tmp_path: Path) -> None:
    def half(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        alpha = np.full((*pixels.shape[:2], 1), 255, np.uint8)
        alpha[:, : pixels.shape[1] // 2] = 0
        return np.concatenate([pixels, alpha], axis=2)

    path = moving(
        tmp_path / "alpha.mov", "qtrle", pix_fmt="argb", form="rgba", change=half, seconds=0.2, size=(128, 128)
    )
    watcher, _ = watched(path)
    shown = watcher.frames[0].rgb
    assert shown[:, :64].max() == 0
    assert np.abs(shown[:, 64:].astype(int) - picture(1, 0, (128, 128))[:, 64:]).max() <= 1


def test_a_form_is_made_of_those_frames_alone_that_somebody_looks_at_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: Counter[Any] = Counter()
    plain = Easel._form

    def form(self: Easel, *given: Any) -> Any:
        made[given[-1]] += 1
        return plain(self, *given)

    monkeypatch.setattr(Easel, "_form", form)
    watcher, grey = Watcher(), Grey()
    path = moving(tmp_path / "a.mp4", "libx264")
    read(path, [watcher, grey], LIMITS, Plan(every_s=0.2, detectors={"grey": Look(every_s=1.0)}))
    assert made[512, "rgb"] == len(watcher.frames)
    assert made[64, "grey"] == len(grey.frames) < len(watcher.frames)


def test_a_detector_gets_grey_and_small_pictures_if_it_asks_for_them(tmp_path: Path) -> None:
    grey, watcher = Grey(), Watcher()
    read(moving(tmp_path / "clip.mp4"), [grey, watcher], LIMITS)
    assert [frame.pixels.shape for frame in grey.frames] == [(43, 64)] * 2
    assert [frame.pixels.shape for frame in watcher.frames] == [(128, 192, 3)] * 2
    assert grey.frames[0].pixels.mean() == pytest.approx(watcher.frames[0].rgb.mean(), abs=12)


# Several streams.


def several(path: Path, pictures: int, tones: Sequence[float]) -> Path:
    with av.open(str(path), "w") as output:
        streams = [add(output, "libx264", 25, SIZE) for _ in range(pictures)]
        packets = [packet for hertz in tones for packet in tone(output, "aac", 2.0, hertz)]
        for number, stream in enumerate(streams):
            for frame in frames(2.0, 25, SIZE, (Scene(0.0, number + 1),)):
                packets += stream.encode(frame)
            packets += stream.encode(None)
        for packet in sorted(packets, key=lambda one: one.dts * one.time_base):
            output.mux(packet)
    return path


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_every_stream_of_pictures_is_seen(tmp_path: Path, suffix: str, plan: str) -> None:
    watcher, reading = watched(several(tmp_path / f"several.{suffix}", 3, ()), PLANS[plan])
    assert {frame.track for frame in watcher.frames} == {0, 1, 2}
    for frame in watcher.frames:
        assert close(frame, picture(frame.track + 1, frame.at_s, SIZE))
    assert reading.media.frames_seen == 6


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_every_stream_of_sound_is_heard_one_after_the_other(tmp_path: Path, suffix: str) -> None:
    watcher, reading = watched(several(tmp_path / f"several.{suffix}", 1, (300, 500, 700)))
    tracks: list[list[NDArray[np.float32]]] = []
    for at_s, samples in watcher.sound:
        if at_s < 0.2:
            tracks.append([])
        tracks[-1].append(samples)
    heard = [np.concatenate(track) for track in tracks]
    peaks = [np.abs(np.fft.rfft(track)).argmax() * SOUND_RATE / len(track) for track in heard]
    assert peaks == pytest.approx([300, 500, 700], abs=5)
    assert reading.media.sound_s == pytest.approx(6.0, abs=0.3)


def test_more_streams_than_allowed_are_refused_before_anything_is_decoded(tmp_path: Path) -> None:
    path = several(tmp_path / "several.mp4", 2, (300, 500))
    assert watched(path, limits=LIMITS._replace(max_streams=4))[1].media.frames_seen == 4
    with pytest.raises(ExtractFailure) as caught:
        watched(path, limits=LIMITS._replace(max_streams=3))
    assert (caught.value.code, caught.value.text) == (
        "EXTRACT-LIMIT",
        "it has 4 streams of picture and sound; 3 are allowed",
    )


@pytest.mark.parametrize("plan", PLANS)
def test_more_frames_than_allowed_are_refused(tmp_path: Path, plan: str) -> None:
    path = moving(tmp_path / "clip.mp4")
    with pytest.raises(ExtractFailure) as caught:
        watched(path, PLANS[plan], LIMITS._replace(max_frames=20))
    assert (caught.value.code, caught.value.text) == ("EXTRACT-LIMIT", "its picture has more than 20 frames")
    assert watched(path, PLANS[plan], LIMITS._replace(max_frames=50))[1].media.frames_seen == 2


def test_more_bytes_than_allowed_when_decoded_are_refused(tmp_path: Path) -> None:
    path = moving(tmp_path / "clip.mp4")
    each = SIZE[0] * SIZE[1] * 3 // 2
    assert watched(path, limits=LIMITS._replace(max_decoded_bytes=50 * each))[1].media.frames_seen == 2
    with pytest.raises(ExtractFailure, match="EXTRACT-LIMIT") as caught:
        watched(path, limits=LIMITS._replace(max_decoded_bytes=50 * each - 1))
    assert "bytes when decoded" in caught.value.text


SOUNDS = {"m4a": "aac", "mp3": "libmp3lame", "aac": "aac", "wav": "pcm_s16le", "flac": "flac", "ogg": "libopus"}


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("suffix", SOUNDS)
def test_sound_alone_is_heard_to_its_end(tmp_path: Path, suffix: str, plan: str) -> None:
    path = clip(tmp_path / f"sound.{suffix}", video=None, audio=SOUNDS[suffix])
    watcher, reading = watched(path, PLANS[plan])
    assert watcher.frames == []
    assert reading.media.sound_s == pytest.approx(3.0, abs=0.08)
    assert sum(len(samples) for _, samples in watcher.sound) == round(reading.media.sound_s * SOUND_RATE)


@pytest.mark.parametrize("plan", PLANS)
def test_cover_art_is_no_picture_of_the_item(tmp_path: Path, plan: str) -> None:
    path = with_cover(tmp_path / "cover.mp3", clip(tmp_path / "sound.mp3", video=None, audio="libmp3lame"))
    watcher, reading = watched(path, PLANS[plan])
    assert watcher.frames == []
    assert reading.media.sound_s == pytest.approx(3.0, abs=0.08)
