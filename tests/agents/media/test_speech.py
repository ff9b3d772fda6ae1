"""Who speaks is found in sound of any kind, and what is said is written down; music and noise say nothing."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from agents.speech import detector as speech_module
from agents.speech import voice, whisper
from agents.speech.detector import SpeechDetector
from agents.speech.voice import VoiceActivity, VoiceDetector
from agents.speech.whisper import Heard
from agents.text import normalised
from deploy.demo.footage import find_footage
from schemas.signals import Evidence, Signal, Utterance
from streams.extraction.detector import SOUND_RATE, Findings, Part, Source, Unavailable
from streams.extraction.read import Limits, read

NOTHING = Source("", {}, [], None)
STRETCH = 16_384
HEATH = "If you're good at something never do it for free"


@pytest.fixture(scope="module")
def voices():
    assert VoiceDetector.problems() == []
    return VoiceDetector()


@pytest.fixture(scope="module")
def speech():
    assert SpeechDetector.problems() == []
    return SpeechDetector()


@pytest.fixture(scope="session")
def line(sound):
    """Three seconds in which one man speaks."""
    return sound("heath_ledger.mp3")


def silence(seconds):
    return np.zeros(round(seconds * SOUND_RATE), np.float32)


def heard(detector, samples, *, step=STRETCH, at_s=0.0):
    """(findings, cues) of a detector that hears this in stretches of so many samples."""
    detector.open(NOTHING)
    cues = []
    for begin in range(0, len(samples), step):
        cues += detector.hear(samples[begin : begin + step], at_s + begin / SOUND_RATE) or ()
    return detector.findings(), cues


def noise(seconds, seed=1):
    return np.random.default_rng(seed).normal(0, 0.1, round(seconds * SOUND_RATE)).astype(np.float32)


def tone(seconds):
    return (0.3 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * SOUND_RATE)) / SOUND_RATE)).astype(np.float32)


# Voice


def test_speech_between_silences_is_found_where_it_is(voices, line):
    findings, cues = heard(voices, np.concatenate([silence(5), line, silence(4)]))
    (signal,) = findings.signals
    (evidence,) = signal.evidence
    assert (signal.name, signal.detector) == ("speech", "voice")
    assert evidence.at_s == pytest.approx(5.3, abs=0.3)
    assert evidence.until_s == pytest.approx(8.0, abs=0.3)
    assert signal.score == pytest.approx(2.7 / 12, abs=0.05)
    assert {cue.name for cue in cues} == {"speech"}
    assert min(cue.at_s for cue in cues) == pytest.approx(evidence.at_s, abs=0.01)
    assert max(cue.until_s for cue in cues) == pytest.approx(evidence.until_s, abs=0.3)


@pytest.mark.parametrize("step", [300, 4096, 100_000])
def test_it_does_not_matter_in_what_stretches_sound_comes(voices, line, step):
    samples = np.concatenate([silence(1), line, silence(1)])
    assert heard(voices, samples, step=step)[0].signals == heard(voices, samples)[0].signals


@pytest.mark.parametrize("samples", [silence(5), noise(5), tone(5)], ids=["silence", "noise", "tone"])
def test_what_is_no_voice_is_none(voices, samples):
    findings, cues = heard(voices, samples)
    assert (findings.signals[0].score, findings.signals[0].evidence, cues) == (0.0, (), [])


def test_music_is_no_voice(voices, sound):
    assert heard(voices, sound("cantina.wav"))[0].signals[0].score == 0.0


def test_an_item_without_sound_says_nothing_of_voices(voices):
    assert heard(voices, silence(0))[0] == Findings()


def test_voices_are_pointed_to_before_they_end(voices, line):
    _, cues = heard(voices, line[: 2 * SOUND_RATE])  # cut in the middle of the sentence
    assert max(cue.until_s for cue in cues) == pytest.approx(2.0, abs=0.1)


def test_an_item_forgets_the_former_ones_voices(voices, line):
    heard(voices, line)
    assert heard(voices, silence(3))[0].signals[0].score == 0.0


def test_stretches_of_an_item_make_the_share_of_the_whole():
    def part(heard_s, spoken_s, *evidence):
        signal = Signal(name="speech", detector="voice", score=spoken_s / heard_s, evidence=evidence)
        return Part(0.0, 1.0, Findings((signal,), tally={"heard_s": heard_s, "spoken_s": spoken_s}))

    one, other = Evidence(at_s=1.0, until_s=2.0), Evidence(at_s=101.0, until_s=102.0)
    (signal,) = VoiceDetector.merge([part(100.0, 1.0, one), part(50.0, 5.0, other)]).signals
    assert (signal.score, signal.evidence) == (0.04, (one, other))
    assert VoiceDetector.merge([Part(0.0, 1.0, Findings())]) == Findings()


# Words


def test_what_is_said_is_written_down_with_its_place_and_language(speech, line):
    findings, _ = heard(speech, np.concatenate([silence(5), line, silence(4)]))
    (utterance,) = findings.speech
    assert normalised(utterance.text) == normalised(HEATH)
    assert utterance.language == "en"
    assert utterance.score > 0.6
    assert utterance.at_s == pytest.approx(5.3, abs=0.3)
    assert utterance.until_s == pytest.approx(8.0, abs=0.3)


def test_speech_to_the_very_end_is_written_down(speech, line):
    (utterance,) = heard(speech, line)[0].speech
    assert normalised(utterance.text) == normalised(HEATH)


def test_speech_far_apart_makes_utterances_of_its_own(speech, line):
    said = heard(speech, np.concatenate([line, silence(4), line]))[0].speech
    assert [normalised(one.text) for one in said] == [normalised(HEATH)] * 2
    assert said[1].at_s == pytest.approx(7.2, abs=0.4)


def test_what_a_cue_brings_to_it_with_gaps_is_heard_as_it_is(speech, line):
    speech.open(NOTHING)
    for at_s in (10.0, 60.0):
        speech.hear(line, at_s)
    assert [round(one.at_s / 10) for one in speech.findings().speech] == [1, 6]


@pytest.mark.parametrize("samples", [silence(5), noise(8), tone(5)], ids=["silence", "noise", "tone"])
def test_what_is_no_speech_is_not_written_down(speech, samples):
    assert heard(speech, samples)[0] == Findings()


@pytest.mark.parametrize("name", ["sax.wav", "cantina.wav", "recording1.wav"])
def test_music_and_rustling_say_nothing(speech, sound, name):
    assert heard(speech, sound(name))[0].speech == ()


def test_the_model_itself_says_nothing_to_music(speech, sound):
    """Even where voice activity errs."""
    for name in ("sax.wav", "cantina.wav"):
        assert speech._whisper.write_down(sound(name)[: 6 * SOUND_RATE]) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("wuh wuh wuh wuh wuh wuh wuh wuh", True),
        ("Please enter the pin. " * 12, True),
        ("哈" * 60, True),
        ("no no no", False),
        ("Please enter the pin. Please enter the pin.", False),
        (HEATH, False),
    ],
)
def test_text_that_repeats_itself_is_a_guess(text, expected):
    assert whisper._repeats(text) is expected


class Stub:
    """Writes down how much it heard."""

    def __init__(self):
        self.seconds = []

    def write_down(self, samples):
        self.seconds.append(len(samples) / SOUND_RATE)
        return Heard(f"{len(self.seconds)}", "en", 0.9)


@pytest.fixture
def stubbed(speech, monkeypatch):
    stub = Stub()
    monkeypatch.setattr(speech, "_whisper", stub)
    return stub


def test_no_window_is_longer_than_the_model_hears(speech, stubbed, line):
    without_pause = np.concatenate([line[8000:40_000]] * 45)  # ninety seconds in one breath
    said = heard(speech, without_pause)[0].speech
    assert sum(stubbed.seconds) == pytest.approx(90, abs=3)
    assert max(stubbed.seconds) <= whisper.LONGEST_S
    assert all(one.until_s <= other.at_s + 0.01 for one, other in pairwise(said))


def test_little_sound_is_kept_however_long_it_lasts(speech, stubbed, line):
    speech.open(NOTHING)
    samples = np.concatenate([line, silence(1)])
    for number in range(200):
        speech.hear(samples, number * len(samples) / SOUND_RATE)
        assert sum(len(kept) for _, kept in speech._kept) <= whisper.LONGEST_S * SOUND_RATE


def test_speech_beyond_what_is_written_down_is_told(speech, stubbed, line, monkeypatch):
    monkeypatch.setattr(speech_module, "MOST_S", 5.0)
    findings = heard(speech, np.concatenate([part for _ in range(5) for part in (line, silence(3))]))[0]
    (signal,) = findings.signals
    assert (signal.name, signal.evidence[0].at_s) == ("speech.unheard", pytest.approx(12.2, abs=0.5))
    assert len(findings.speech) == 2


def test_speech_and_voice_come_through_decoding(speech, voices):
    path = find_footage("gradio", "gradio/media_assets/audio/heath_ledger.mp3")
    reading = read(path, [voices, speech], Limits(1.0, 10**7, 100.0))
    assert reading.absent == ()
    assert [normalised(one.text) for one in reading.speech] == [normalised(HEATH)]
    assert [signal.name for signal in reading.signals] == ["speech"]


def test_utterances_of_all_stretches_are_kept():
    one, other = (Utterance(at_s=at_s, until_s=at_s + 1, text="a", score=0.9) for at_s in (1.0, 11.0))
    parts = [Part(0.0, 10.0, Findings(speech=(one,))), Part(10.0, 20.0, Findings(speech=(other,)))]
    assert SpeechDetector.merge(parts).speech == (one, other)


# Where they are not installed


@pytest.mark.parametrize(("kind", "module"), [(VoiceDetector, voice), (SpeechDetector, whisper)])
def test_where_it_is_not_installed_it_can_be_made_and_says_so_at_each_item(kind, module, monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    assert any("veristream[speech]" in problem for problem in kind.problems())
    with pytest.raises(Unavailable, match="veristream"):
        kind().open(NOTHING)


def test_other_weights_than_the_measured_ones_are_told(monkeypatch):
    monkeypatch.setattr(whisper, "MODEL_SHA256", "0" * 64)
    assert any("Whisper base has SHA-256 d01c3014" in problem for problem in SpeechDetector.problems())


def test_a_window_between_two_stretches_of_sound_is_none():
    activity = VoiceActivity()
    activity.begin(3.0)
    assert activity.hear(silence(1)) == []
