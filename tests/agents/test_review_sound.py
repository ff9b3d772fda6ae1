"""Fingerprints of sound: the codes are those of Chromaprint, and survive what happens to sound on its way."""

from __future__ import annotations

import io
import json
import subprocess
import wave

import av
import numpy as np
import pytest

from agents.review.chromaprint import FRAME, HOP, RATE, SPAN_S, Chromaprint
from agents.review.enrol import entry_from_file
from agents.review.heard import heard
from agents.review.sound import EnrollingSoundDetector, SoundDetector
from agents.review.soundbank import SoundBank
from agents.review.soundsegment import SILENT
from schemas.policy import ReviewPolicy
from schemas.signals import CODE_S
from streams.extraction.detector import SOUND_RATE, Part, Source
from streams.extraction.read import Limits, read

LIMITS = Limits(1.0, 10**8, 3600.0)
SOURCE = Source("wav", {}, [], io.BytesIO())


def melody(seed: int, seconds: float, rate: int = SOUND_RATE, pitch: float = 1.0) -> np.ndarray:
    """Chords of a few notes with overtones, each a fifth to half a second long, over a little noise."""
    chance = np.random.default_rng(seed)
    parts, total = [], 0
    while total < seconds * rate:
        length = int(chance.uniform(0.2, 0.5) * rate)
        at = np.arange(length) / rate
        notes = 110 * 2 ** (chance.integers(0, 36, 3) / 12) * pitch
        chord = sum(np.sin(2 * np.pi * note * over * at) / over for note in notes for over in (1, 2, 3))
        parts.append(chord * np.exp(-3 * at) / 8)
        total += length
    whole = np.concatenate(parts)[: int(seconds * rate)]
    return (whole + chance.normal(0, 0.003, len(whole))).astype(np.float32)


def heard_by(detector, samples, at_s=0.0):
    detector.open(SOURCE)
    for begin in range(0, len(samples), 16_384):
        detector.hear(samples[begin : begin + 16_384], at_s + begin / SOUND_RATE)
    return detector.findings().sounds


def numbers(sound):
    return np.frombuffer(sound.codes, "<u4")


def encoded(path, samples, codec, bitrate, rate=44_100):
    with av.open(str(path), "w") as file:
        stream = file.add_stream(codec, rate=rate, layout="mono")
        stream.bit_rate = bitrate
        resampler = av.AudioResampler(format=stream.format.name, layout="mono", rate=rate)
        frame = av.AudioFrame.from_ndarray(samples[None], format="flt", layout="mono")
        frame.sample_rate = SOUND_RATE
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            file.mux(stream.encode(part))
        file.mux(stream.encode(None))
    return path


@pytest.mark.needs("fpcalc")
@pytest.mark.parametrize("seed", range(3))
def test_the_codes_are_those_of_the_published_program_bit_for_bit(tmp_path, seed):
    samples = (melody(seed, 30, RATE) * 20_000).astype(np.int16)
    path = tmp_path / "melody.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes(samples.tobytes())
    said = subprocess.run(
        ["fpcalc", "-raw", "-json", "-length", "0", path], capture_output=True, text=True
    )  # Debian's ends with 3 at the end of a wav
    fingerprint = Chromaprint()
    fingerprint.feed(samples)
    (codes,) = fingerprint.codes()
    assert codes.tolist() == json.loads(said.stdout)["fingerprint"]


def test_the_codes_do_not_depend_on_how_the_sound_is_handed_over():
    samples = (melody(1, 45, RATE) * 20_000).astype(np.int16)
    whole, pieces = Chromaprint(), Chromaprint()
    whole.feed(samples)
    for begin in range(0, len(samples), 1000):
        pieces.feed(samples[begin : begin + 1000])
    (one,), (other,) = whole.codes(), pieces.codes()
    assert len(one) == (len(samples) - FRAME) // HOP + 1 - 19
    assert np.array_equal(one, other)


def test_silence_has_one_code_and_less_than_a_codes_sound_has_none():
    (silence,) = heard_by(SoundDetector(), np.zeros(10 * SOUND_RATE, np.float32))
    assert set(numbers(silence).tolist()) == {SILENT}
    assert heard_by(SoundDetector(), melody(1, SPAN_S - 0.1)) == ()


def test_a_print_says_from_when_to_when_it_tells_and_tracks_are_told_apart():
    detector = SoundDetector()
    detector.open(SOURCE)
    for number in range(2):
        for second in range(8):
            samples = melody(number, 8)[second * SOUND_RATE : (second + 1) * SOUND_RATE]
            detector.hear(samples, 3.0 + second)
    prints = detector.findings().sounds
    assert [one.at_s for one in prints] == [3.0, 3.0]
    assert all(10.7 < one.until_s <= 11.0 for one in prints)
    assert not np.array_equal(*(numbers(one) for one in prints))
    assert heard_by(detector, melody(3, 5)) and len(detector.findings().sounds) == 1


def test_the_prints_of_stretches_stand_side_by_side():
    parts = []
    for begin in (0.0, 60.0):
        detector = SoundDetector()
        sounds = heard_by(detector, melody(1, 120)[int(begin * SOUND_RATE) :][: 60 * SOUND_RATE], begin)
        parts.append(Part(begin, begin + 60, detector.findings()._replace(sounds=sounds)))
    merged = SoundDetector.merge(parts).sounds
    assert [one.at_s for one in merged] == [0.0, 60.0]


@pytest.mark.parametrize(("codec", "suffix", "bitrate"), [("aac", "mp4", 48_000), ("libmp3lame", "mp3", 32_000)])
def test_a_banned_sound_is_found_again_in_a_file_at_a_low_bitrate(tmp_path, make, codec, suffix, bitrate):
    song, other = melody(1, 20), melody(2, 60)
    entry = entry_from_file(
        encoded(tmp_path / "banned.wav", song, "pcm_s16le", 0, SOUND_RATE),
        entry_id="b-1", category="song", source="test", now=make.now,
    )  # fmt: skip
    assert (entry.frames, [one.variant for one in entry.sounds]) == (
        (),
        ["", "pitch+2", "pitch-2", "pitch+4", "pitch-4"],
    )
    mixed = np.concatenate([other[: 30 * SOUND_RATE], song[5 * SOUND_RATE : 11 * SOUND_RATE], other[30 * SOUND_RATE :]])
    item = read(encoded(tmp_path / f"item.{suffix}", mixed, codec, bitrate), [SoundDetector()], LIMITS)
    policy = ReviewPolicy()
    matches = SoundBank([entry]).match(item.sounds, max_errors=policy.sound_max_errors, min_s=policy.sound_min_s)
    assert len(matches) == 1
    assert (matches[0].at_s, matches[0].until_s) == (pytest.approx(30, abs=1.2), pytest.approx(36, abs=1.2))
    assert (matches[0].bank_at_s, matches[0].bank_until_s) == (pytest.approx(5, abs=1.2), pytest.approx(11, abs=1.2))
    (finding,) = heard(matches, policy)
    assert (finding.action, finding.reason.code) == ("takedown", "REVIEW-SOUND")


@pytest.mark.parametrize("shift", [-5, -3, 3, 5])
def test_a_banned_sound_is_found_again_with_its_tones_shifted(make, shift):
    song = melody(1, 20)
    entry = make.entry(sounds=heard_by(EnrollingSoundDetector(), song))
    item = heard_by(SoundDetector(), melody(1, 20, pitch=1 + shift / 100))
    (match,) = SoundBank([entry]).match(item, max_errors=0.3, min_s=2.0)
    assert match.seconds > 15
    assert match.variant.startswith("pitch+" if shift > 0 else "pitch-")


def test_a_code_stands_each_eighth_of_a_second():
    assert pytest.approx(HOP / RATE) == CODE_S
