"""What the review agent's detectors see and hear, in made pictures and sounds and through a real decoder."""

from __future__ import annotations

import hashlib
import io
from datetime import UTC, datetime

import numpy as np
import pytest
from PIL import Image

from agents.review.blank import BlankDetector
from agents.review.enrol import entry_from_file
from agents.review.nudity import MOST_EVIDENCE, NudityDetector
from agents.review.pdq import SAME_SCENE, PdqDetector, distance, pdq
from streams.extraction.detector import SOUND_RATE, Frame, Source
from streams.extraction.read import ExtractFailure, Limits, read

NOW = datetime(2026, 3, 1, tzinfo=UTC)
#: Meta's published threshold for PDQ.
SAME_PICTURE = 31
SOURCE = Source("mp4", {}, [], io.BytesIO())


def seen(detector, pictures, at_s=0.0):
    """What a detector finds in an item of these pictures, a second apart, four at a time."""
    detector.open(SOURCE)
    frames = [Frame(at_s + number, rgb) for number, rgb in enumerate(pictures)]
    for start in range(0, len(frames), 4):
        detector.see(frames[start : start + 4])
    return detector.findings()


def as_jpeg(rgb, quality):
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, "JPEG", quality=quality)
    return np.array(Image.open(file))


def black(level=0):
    return np.full((144, 256, 3), level, np.uint8)


def tone(seconds=1.0, loudness=0.3):
    return (loudness * np.sin(2 * np.pi * 440 * np.arange(int(seconds * SOUND_RATE)) / SOUND_RATE)).astype(np.float32)


def silence(seconds=1.0):
    return np.zeros(int(seconds * SOUND_RATE), np.float32)


# PDQ


@pytest.mark.parametrize("seed", range(4))
def test_a_picture_stays_the_same_at_low_quality_and_half_its_size(natural, seed):
    picture = natural(seed)
    code, quality = pdq(picture)
    half = np.array(Image.fromarray(picture).resize((256, 144), Image.Resampling.BOX))
    assert quality >= 50
    for changed in (as_jpeg(picture, 50), as_jpeg(picture, 15), half, as_jpeg(half, 30)):
        assert distance(code, pdq(changed)[0]) <= SAME_PICTURE


@pytest.mark.parametrize("seed", range(4))
def test_another_picture_and_a_mirrored_one_are_far_away(natural, seed):
    code, _ = pdq(natural(seed))
    assert distance(code, pdq(natural(seed + 100))[0]) > 2 * SAME_PICTURE
    assert distance(code, pdq(natural(seed)[:, ::-1])[0]) > 2 * SAME_PICTURE


def test_a_hash_is_64_digits_and_a_picture_without_detail_has_no_quality(natural):
    assert pdq(black()) == ("0" * 64, 0)
    code, quality = pdq(natural(1))
    assert (len(code), quality) == (64, 100)


def test_the_distance_is_the_number_of_bits():
    assert distance("f" * 64, "0" * 64) == 256
    assert distance("0" * 63 + "5", "0" * 63 + "a") == 4
    assert distance("ab" * 32, "ab" * 32) == 0


def test_a_still_scene_is_kept_once_and_each_new_scene_again(natural):
    one, other = natural(1), natural(2)
    nearly = as_jpeg(one, 95)
    assert 0 <= distance(pdq(one)[0], pdq(nearly)[0]) <= SAME_SCENE
    frames = seen(PdqDetector(), [one, nearly, one, one, one, other, other, one]).frames
    assert [(frame.at_s, frame.pdq) for frame in frames] == [
        (0.0, pdq(one)[0]),
        (5.0, pdq(other)[0]),
        (7.0, pdq(one)[0]),
    ]


def test_a_picture_that_fades_in_is_kept_once_it_shows_its_detail(natural):
    picture = natural(0)
    fading = [(picture * share).astype(np.uint8) for share in (0, 0.1, 0.2, 0.3, 0.5, 1, 1, 1)]
    frames = seen(PdqDetector(), fading).frames
    # The first that is not black is hashed as the whole picture is, but has too little detail to be looked up.
    assert distance(frames[1].pdq, pdq(picture)[0]) <= SAME_SCENE
    assert frames[1].quality < 50
    assert max(frame.quality for frame in frames if distance(frame.pdq, pdq(picture)[0]) <= SAME_SCENE) == 100
    assert len(frames) < len(fading)


@pytest.mark.parametrize(("bits", "kept"), [(SAME_SCENE, 1), (SAME_SCENE + 1, 2)])
def test_a_frame_is_new_from_one_bit_beyond_the_same_scene(monkeypatch, bits, kept):
    codes = iter(["0" * 64, f"{(1 << bits) - 1:064x}"])
    monkeypatch.setattr("agents.review.pdq.pdq", lambda rgb: (next(codes), 100))
    assert len(seen(PdqDetector(), [black(), black()]).frames) == kept


def test_pdq_forgets_the_former_item(natural):
    detector = PdqDetector()
    seen(detector, [natural(1), natural(2)])
    assert [frame.pdq for frame in seen(detector, [natural(2)]).frames] == [pdq(natural(2))[0]]
    assert seen(detector, []).frames == ()


# Nudity


@pytest.fixture(scope="module")
def nudity():
    return NudityDetector()


def test_the_nudity_model_is_the_one_that_was_measured():
    assert NudityDetector.problems() == []


def test_a_changed_or_missing_nudity_model_is_named(monkeypatch, tmp_path):
    model = tmp_path / "open_nsfw.onnx"
    monkeypatch.setattr("agents.review.nudity.MODEL_PATH", model)
    (problem,) = NudityDetector.problems()
    assert "open_nsfw.onnx is missing" in problem
    model.write_bytes(b"other weights")
    (problem,) = NudityDetector.problems()
    assert "open_nsfw.onnx has SHA-256" in problem


def test_nudity_is_a_score_with_the_highest_frames_as_evidence(natural, nudity):
    pictures = [natural(seed, 224, 224) for seed in range(MOST_EVIDENCE + 3)]
    (signal,) = seen(nudity, pictures).signals
    assert (signal.name, signal.detector) == ("nudity", "nudity")
    assert 0 <= signal.score <= 1
    scores = [float(evidence.text.removeprefix("score ").split(",")[0]) for evidence in signal.evidence]
    assert len(scores) == MOST_EVIDENCE
    assert scores == sorted(scores, reverse=True)
    assert scores[0] == pytest.approx(signal.score, abs=0.001)
    assert len({evidence.at_s for evidence in signal.evidence}) == MOST_EVIDENCE

    alone = [seen(nudity, [rgb]).signals[0].score for rgb in pictures]
    beside = [max(alone[max(0, at - 1) : at] + alone[at + 1 : at + 2]) for at in range(len(alone))]
    counts = [(one + other) / 2 for one, other in zip(alone, beside, strict=True)]
    highest = sorted(range(len(counts)), key=counts.__getitem__, reverse=True)[:MOST_EVIDENCE]
    assert [evidence.at_s for evidence in signal.evidence] == highest


def test_nudity_forgets_the_former_item(natural, nudity):
    seen(nudity, [natural(1, 224, 224)])
    assert seen(nudity, []).signals == ()
    (signal,) = seen(nudity, [natural(2, 224, 224)], at_s=40.0).signals
    assert [evidence.at_s for evidence in signal.evidence] == [40.0]


# Blank


@pytest.fixture(scope="session")
def blank():
    """The blank score of an item of these pictures and stretches of sound."""

    def score(pictures=(), sounds=(), detector=None):
        detector = detector or BlankDetector()
        detector.open(SOURCE)
        if pictures:
            detector.see([Frame(float(number), rgb) for number, rgb in enumerate(pictures)])
        for number, samples in enumerate(sounds):
            detector.hear(samples, float(number))
        (signal,) = detector.findings().signals
        assert (signal.name, signal.detector) == ("blank", "blank")
        return signal.score

    return score


def test_black_and_silent_is_blank(blank):
    assert blank([black(), black()], [silence(), silence()]) == 1


def test_black_with_sound_is_not_blank(blank):
    assert blank([black()], [tone()]) == 0


def test_a_picture_with_silence_is_not_blank(blank, natural):
    assert blank([natural(1)], [silence()]) == 0


def test_a_picture_without_sound_is_as_blank_as_the_picture(blank, natural):
    assert blank([black()]) == 1
    assert blank([natural(1)]) == 0


def test_sound_without_a_picture_is_as_blank_as_the_sound(blank):
    assert blank(sounds=[silence()]) == 1
    assert blank(sounds=[tone()]) == 0


def test_the_lesser_share_counts(blank, natural):
    half_black = [black(), natural(1)]
    assert blank(half_black, [silence()]) == 0.5
    assert blank([black()], [silence(), silence(), silence(), tone()]) == 0.75
    assert blank(half_black, [silence(), tone(), tone(), tone()]) == 0.25


def test_a_stretch_of_sound_weighs_by_its_length(blank):
    assert blank(sounds=[silence(3), tone(1)]) == 0.75


@pytest.mark.parametrize(("level", "expected"), [(0, 1), (16, 1), (19, 1), (20, 0), (128, 0)])
def test_black_as_television_has_it_is_black(blank, level, expected):
    assert blank([black(level)]) == expected


def test_a_line_of_text_on_black_is_not_blank(blank):
    picture = black()
    picture[70:74] = 255
    assert blank([picture]) == 0


def test_one_bright_speck_on_black_is_still_blank(blank):
    picture = black()
    picture[70, 70] = 255
    assert blank([picture]) == 1


def test_one_colour_at_full_strength_is_no_black(blank):
    picture = black()
    picture[..., 2] = 255
    assert blank([picture]) == 0


@pytest.mark.parametrize(("loudness", "expected"), [(0.0005, 1), (0.01, 0)])
def test_sound_below_the_noise_of_a_microphone_is_silence(blank, loudness, expected):
    assert blank(sounds=[tone(loudness=loudness)]) == expected


def test_where_there_is_neither_picture_nor_sound_there_is_nothing_to_review(blank):
    assert blank() == 1


def test_no_samples_are_no_sound(blank):
    assert blank([black()], [silence(0)]) == 1


def test_blank_forgets_the_former_item(blank, natural):
    detector = BlankDetector()
    blank([black()], [silence()], detector)
    assert blank([natural(1)], [tone()], detector) == 0


# Through a decoder


def test_what_is_blank_stays_so_through_encoding_and_decoding(media, natural):
    def score(path):
        (signal,) = read(path, [BlankDetector()], Limits(0.5, 10**6, 60.0)).signals
        return signal.score

    assert score(media("blank.mp4", [black()] * 8, sound=silence(2))) == 1
    assert score(media("sound.mp4", [black()] * 8, sound=tone(2))) < 0.1
    assert score(media("picture.mp4", [natural(1)] * 8, sound=silence(2))) == 0
    assert score(media("mute.mp4", [black()] * 8)) == 1
    assert score(media("song.mp4", sound=tone(2))) < 0.1


def test_a_file_becomes_an_entry_that_the_same_scenes_match(media, natural, make):
    scenes = [natural(1)] * 4 + [natural(2)] * 4
    path = media("banned.mp4", scenes, fps=4)
    entry = entry_from_file(path, entry_id="b-1", category="banned", source="test", now=NOW)
    assert (entry.entry_id, entry.category, entry.source, entry.added_at) == ("b-1", "banned", "test", NOW)
    assert entry.expires_at is None
    one, other = (frame for frame in entry.frames if frame.at_s in (0.0, 1.0))
    assert distance(one.pdq, pdq(natural(1))[0]) <= SAME_PICTURE
    assert distance(other.pdq, pdq(natural(2))[0]) <= SAME_PICTURE
    assert min(one.quality, other.quality) >= 50


def test_an_entry_holds_the_sha256_of_its_file(media):
    path = media("banned.mp4", [np.full((64, 64, 3), 90, np.uint8)] * 2)
    entry = entry_from_file(path, entry_id="b-1", category="c", source="s", now=NOW)
    assert entry.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_bank_takes_every_frame_that_shows_something_new(media, natural):
    path = media("fast.mp4", [natural(seed, 256, 144) for seed in range(8)], fps=4)
    entry = entry_from_file(path, entry_id="b-1", category="c", source="s", now=NOW)
    assert [frame.at_s for frame in entry.frames] == [number / 4 for number in range(8)]


def test_sound_alone_is_banned_by_its_sha256(media):
    entry = entry_from_file(media("song.mp4", sound=tone()), entry_id="b-1", category="c", source="s", now=NOW)
    assert (entry.frames, len(entry.sha256)) == ((), 64)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "EXTRACT-EMPTY"),
        (b"this is text, whatever its name says", "EXTRACT-FORMAT"),
        (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", "EXTRACT-FORMAT"),
        (b"\0\0\0\x18ftypisom\0\0\2\0isommp41" + b"\0" * 64, "EXTRACT-BROKEN"),
    ],
)
def test_a_file_that_is_no_media_becomes_no_entry(tmp_path, content, code):
    path = tmp_path / "banned.mp4"
    path.write_bytes(content)
    with pytest.raises(ExtractFailure) as failure:
        entry_from_file(path, entry_id="b-1", category="c", source="s", now=NOW)
    assert failure.value.code == code


def test_more_hashes_than_an_entry_holds_are_refused(media, natural, monkeypatch):
    path = media("long.mp4", [natural(seed, 256, 144) for seed in range(4)])
    monkeypatch.setattr("agents.review.enrol.MOST_FRAMES", 4)
    assert len(entry_from_file(path, entry_id="b-1", category="c", source="s", now=NOW).frames) == 4
    monkeypatch.setattr("agents.review.enrol.MOST_FRAMES", 3)
    with pytest.raises(ExtractFailure) as failure:
        entry_from_file(path, entry_id="b-1", category="c", source="s", now=NOW)
    assert failure.value.code == "EXTRACT-LIMIT"
