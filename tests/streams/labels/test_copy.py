from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from schemas.aigc import Outcome, check_labels
from streams.labels import audible, avc, marks
from streams.labels.copy import Copied, Terms, label_copy
from streams.labels.read import read_labels
from streams.labels.write import CannotLabel, write_label
from tests.streams.labels.made import ORDER, PRODUCER, media, packets, picture

WORDS = "内容由AI生成"
SIZE = (320, 240)


def copied(data: bytes, **terms: Any) -> tuple[bytes, Copied]:
    out = io.BytesIO()
    made = label_copy(io.BytesIO(data), out, Terms(ORDER, WORDS, **terms))
    check = check_labels(read_labels(out).labels)
    assert check.outcome is Outcome.COMPLIANT, check
    return out.getvalue(), made


def shown(data: bytes) -> list[Any]:
    with av.open(io.BytesIO(data)) as file:
        return [(frame.time, frame.to_ndarray(format="gray").astype(int)) for frame in file.decode(video=0)]


def mark_seen(before: Any, after: Any) -> bool:
    """Whether an upper corner has white signs on dark that were not there."""
    differs = np.abs(after - before) > 45
    return bool(differs[: SIZE[1] // 3].sum() > 300 and differs[SIZE[1] // 2 :].mean() < 0.01)


@pytest.mark.parametrize("kind", ["mp4", "mov", "mkv", "flv"])
def test_only_the_opening_of_h264_is_encoded_again(kind: str) -> None:
    data = media(kind, 4.0, SIZE)
    labelled, made = copied(data, seconds=2.0)
    assert made.encoded_s == pytest.approx(2.0, abs=0.05)
    before, after = shown(data), shown(labelled)
    assert [time for time, _ in after] == pytest.approx([time for time, _ in before], abs=0.002)
    assert all(mark_seen(b, a) for (time, b), (_, a) in zip(before, after, strict=True) if time < 1.99)
    assert not any(mark_seen(b, a) for (time, b), (_, a) in zip(before, after, strict=True) if time >= 2.1)
    copy, old = packets(labelled), packets(data)
    pictures = [packet[3] for packet in copy if packet[0] == 0]
    assert pictures[50:] == [packet[3] for packet in old if packet[0] == 0][50:]
    assert [packet[3] for packet in copy if packet[0] == 1] == [packet[3] for packet in old if packet[0] == 1]


@pytest.mark.parametrize("kind", ["webm", "avi"])
def test_other_codecs_are_encoded_whole_by_the_same_codec_and_their_sound_is_copied(kind: str) -> None:
    data = media(kind, 2.0, SIZE)
    labelled, made = copied(data, seconds=1.0)
    assert made.encoded_s is None
    before, after = shown(data), shown(labelled)
    assert len(before) == len(after)
    assert mark_seen(before[0][1], after[0][1])
    assert not mark_seen(before[-1][1], after[-1][1])
    sounds = [[packet[3] for packet in packets(one) if packet[0] == 1] for one in (data, labelled)]
    assert sounds[0] == sounds[1]


def test_a_permanent_mark_stays_to_the_end() -> None:
    data = media("mp4", 4.0, SIZE)
    labelled, _ = copied(data, permanent=True)
    before, after = shown(data), shown(labelled)
    assert len(before) == len(after)
    assert mark_seen(before[-1][1], after[-1][1])


def test_the_index_of_a_copy_comes_before_its_media() -> None:
    labelled, _ = copied(media("mp4", 4.0, SIZE))
    assert labelled.index(b"moov") < labelled.index(b"mdat")


def test_the_label_of_the_original_outlives_the_encoding() -> None:
    first = io.BytesIO()
    label = ORDER | {"Label": "1", "ContentProducer": PRODUCER, "ProduceID": "made-1"}
    write_label(io.BytesIO(media("webm", 2.0, SIZE)), first, label)
    labelled, _ = copied(first.getvalue())
    (found,) = read_labels(io.BytesIO(labelled)).labels
    assert json.loads(found.text)["AIGC"]["ContentProducer"] == PRODUCER


@pytest.mark.parametrize(("width", "height"), [(1920, 1080), (720, 1280), (320, 240), (64, 64)])
def test_signs_are_as_high_as_the_standard_asks_and_fit(width: int, height: int) -> None:
    mark = marks.draw(WORDS, width, height)
    assert mark.height >= marks.LEAST_HEIGHT * min(width, height)
    assert mark.light.shape[0] <= height
    assert mark.light.shape[1] <= width


@pytest.mark.parametrize("beneath", [0, 128, 255])
def test_signs_stand_out_whatever_lies_beneath(beneath: int) -> None:
    made = np.asarray(marks.picture(Image.new("RGB", (640, 360), (beneath,) * 3), WORDS), np.float64)[:, :, 0] / 255
    made = np.where(made <= 0.04045, made / 12.92, ((made + 0.055) / 1.055) ** 2.4)
    mark = marks.draw(WORDS, 640, 360)
    gap = 360 // 50 & ~1
    area = made[gap:, gap:][: mark.light.shape[0], : mark.light.shape[1]]
    assert (area.max() + 0.05) / (np.median(area) + 0.05) >= 4.5


def test_a_mark_goes_where_it_is_calm() -> None:
    light = np.full((240, 320), 40.0)
    light[:80, :160] = np.random.default_rng(1).integers(0, 255, (80, 160))
    assert marks.corner(light, marks.draw("AI生成", 320, 240))[1] > 160


@pytest.mark.parametrize("kind", ["jpeg", "png"])
def test_a_picture_is_marked(kind: str) -> None:
    data = picture(kind, SIZE)
    labelled, made = copied(data)
    assert made.explicit == "seen"
    before, after = (np.asarray(Image.open(io.BytesIO(one)).convert("L"), int) for one in (data, labelled))
    assert mark_seen(before, after)


def _samples(data: bytes) -> Any:
    with av.open(io.BytesIO(data)) as file:
        resampler = av.AudioResampler("fltp", "mono", 48000)
        parts = [one.to_ndarray()[0] for frame in file.decode(audio=0) for one in resampler.resample(frame)]
    return np.concatenate(parts)


@pytest.mark.parametrize("kind", ["wav", "mp3", "m4a", "flac", "opus"])
def test_a_notice_is_spoken_over_the_beginning_of_a_sound(kind: str) -> None:
    data = media(kind, 8.0)
    labelled, made = copied(data)
    assert made.explicit == "heard"
    before, after = _samples(data), _samples(labelled)
    assert abs(len(after) - len(before)) < 4800
    begin, rest = after[4800:96000], after[7 * 48000 : 7 * 48000 + 24000]
    # A tone of 440 Hz is all of the rest, and little of the beginning.
    spectra = [np.abs(np.fft.rfft(one)) for one in (begin, rest)]
    share = [one[round(440 * 2 * (len(one) - 1) / 48000)] / one.sum() for one in spectra]
    assert share[0] < share[1] / 5


def test_lossless_sound_is_unchanged_after_the_notice() -> None:
    data = media("wav", 8.0)
    before, after = _samples(data), _samples(copied(data)[0])
    assert np.array_equal(before[7 * 48000 :], after[7 * 48000 :])


def test_the_notice_is_as_loud_as_the_sound() -> None:
    time = np.arange(48000 * 10) / 48000
    for level in (0.06, 0.1):
        sound = (level * np.sin(2 * np.pi * 1000 * time)).astype(np.float32)[None]
        notice = audible.spoken(2, 48000)
        made = audible.mixed(sound, notice, 48000)[:, : len(notice)]
        assert audible.loudness(made, 48000) == pytest.approx(audible.loudness(sound, 48000), abs=1.5)


def test_loudness_is_that_of_the_standard() -> None:
    # ITU-R BS.1770: a sine of 997 Hz at 0 dB in one channel is -3.01 LUFS; FFmpeg's own filter says the same.
    time = np.arange(48000 * 5) / 48000
    assert audible.loudness(np.sin(2 * np.pi * 997 * time)[None], 48000) == pytest.approx(-3.01, abs=0.05)
    assert audible.loudness(np.zeros((2, 48000), np.float32), 48000) == -70


@pytest.mark.parametrize("level", [1, 2, 3])
def test_notices_are_spoken_at_ordinary_pace(level: int) -> None:
    signs = {1: 10, 2: 12, 3: 12}[level]
    assert 120 <= signs / (len(audible.spoken(level, 48000)) / 48000 / 60) <= 160


def test_the_rhythm_is_short_long_pause_short_short() -> None:
    tone = np.abs(audible.rhythm(8000)) > 0.01
    edges = np.flatnonzero(np.diff(np.convolve(tone, np.ones(80), "same") > 0))
    lengths = np.diff(np.r_[0, edges, len(tone)])[:7] / 8000 / 0.12
    assert [round(float(one)) for one in lengths if one > 0.5] == [1, 1, 3, 3, 1, 1, 1]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (lambda: b"text, and no media at all", "container"),
        (lambda: media("mp4")[:3000] + b"\0" * 500, "."),
        (lambda: picture("jpeg")[:300], "picture"),
        (lambda: picture("png", (40, 30)), "too small"),
    ],
)
def test_what_cannot_be_marked_is_refused_with_the_reason(data: Callable[[], bytes], words: str) -> None:
    with pytest.raises(CannotLabel, match=words):
        label_copy(io.BytesIO(data()), io.BytesIO(), Terms(ORDER, WORDS))


def test_parameter_sets_of_two_encoders_stand_beside_each_other() -> None:
    with av.open(io.BytesIO(media("mp4"))) as file:
        one = avc.read(file.streams.video[0].codec_context.extradata or b"")
    both = avc.read(avc.written(one, one))
    assert len(both.sequence) == len(both.picture) == 2
    assert one.ids == {0}
    assert both.tail == one.tail
