"""Where an item is black, stands still, is silent or at its peak is said with the times of it."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest

from agents.review.nudity import NudityDetector
from agents.review.stretches import StretchesDetector
from schemas.signals import Evidence, Signal
from streams.extraction.detector import SOUND_RATE, Findings, Frame, Part, Source

NOTHING = Source("", {}, [], BytesIO())
NOISE = np.random.default_rng(1).integers(0, 255, (60, 72, 128), dtype=np.uint8)
BLACK = np.full((72, 128), 16, np.uint8)


def found(frames=(), sound=()):
    detector = StretchesDetector()
    detector.open(NOTHING)
    detector.see([Frame(at_s, pixels, track=track) for at_s, pixels, track in frames])
    for at_s, samples in sound:
        detector.hear(samples.astype(np.float32), at_s)
    return detector.findings()


def signals(findings):
    return {
        signal.name: (round(signal.score, 2), [(one.at_s, one.until_s) for one in signal.evidence])
        for signal in findings.signals
    }


def shown(*pictures, track=0):
    return [(float(second), pixels, track) for second, pixels in enumerate(pictures)]


def test_black_and_frozen_stretches_are_named_from_their_first_frame_to_their_last():
    pictures = [*NOISE[:3], *[BLACK] * 5, *NOISE[3:5], *[NOISE[6]] * 4]
    assert signals(found(shown(*pictures))) == {"black": (0.31, [(3.0, 7.0)]), "frozen": (0.23, [(10.0, 13.0)])}


def test_coding_noise_is_no_movement_and_a_short_stop_no_stretch():
    still = NOISE[0].astype(int)
    noisy = [
        np.clip(still + np.random.default_rng(n).integers(-1, 2, still.shape), 0, 255).astype("u1") for n in range(4)
    ]
    assert signals(found(shown(*noisy))) == {"frozen": (1.0, [(0.0, 3.0)])}
    assert signals(found(shown(NOISE[0], NOISE[0], NOISE[1], NOISE[1]))) == {}


def test_a_second_picture_does_not_break_the_stretches_of_the_first():
    both = sorted([*shown(*[BLACK] * 4), *shown(*NOISE[:4], track=1)], key=lambda one: one[0])
    assert signals(found(both)) == {"black": (1.0, [(0.0, 3.0)])}


def test_silent_and_loud_stretches_are_named_by_their_times():
    quiet, tone = np.zeros(4 * SOUND_RATE), 0.3 * np.sin(np.arange(4 * SOUND_RATE) / 5)
    sound = np.concatenate([tone, quiet, np.sign(tone), tone])
    stretches = [(at / SOUND_RATE, sound[at : at + 16_384]) for at in range(0, len(sound), 16_384)]
    named = signals(found(sound=stretches))
    assert named == {
        "silent": (pytest.approx(0.25, abs=0.02), [(pytest.approx(4, abs=0.13), pytest.approx(8, abs=0.13))]),
        "loud": (pytest.approx(0.25, abs=0.02), [(pytest.approx(8, abs=0.13), pytest.approx(12, abs=0.13))]),
    }


def test_a_second_track_of_sound_begins_anew():
    quiet = np.zeros(3 * SOUND_RATE)
    assert signals(found(sound=[(0.0, quiet), (0.0, quiet)]))["silent"] == (1.0, [(0.0, 3.0), (0.0, 3.0)])


def test_of_stretches_read_apart_the_shares_are_of_the_whole():
    parts = [
        Part(0.0, 4.0, found(shown(*[BLACK] * 5))),
        Part(4.0, 8.0, found([(at_s + 4, pixels, track) for at_s, pixels, track in shown(*NOISE[:5])])),
    ]
    assert signals(StretchesDetector.merge(parts)) == {"black": (0.5, [(0.0, 4.0)])}


def test_nudity_of_stretches_keeps_the_highest_scores_of_all():
    def part(*scores):
        evidence = tuple(Evidence(at_s=score, text=f"score {score:.3f}") for score in scores)
        return Part(0, 1, Findings((Signal(name="nudity", detector="nudity", score=scores[0], evidence=evidence),)))

    (signal,) = NudityDetector.merge([part(0.3, 0.2, 0.1), Part(1, 2, Findings()), part(0.9, 0.25, 0.15)]).signals
    assert signal.score == 0.9
    assert [one.at_s for one in signal.evidence] == [0.9, 0.3, 0.25, 0.2, 0.15]
    assert NudityDetector.merge([Part(0, 1, Findings())]) == Findings()
