"""Speech: words that are written down wrongly, and what is heard where nobody speaks.

Real speech with a known text is scarce in packages: a film line (in gradio), and, where Debian's packages
`asterisk-core-sounds-en-wav` and `asterisk-core-sounds-en` are unpacked under the folder that SPEECH_PROMPTS names,
prompts of one speaker over a telephone. No recording of Chinese is at hand: its error is not measured.
"""

from __future__ import annotations

import gzip
import os
import re
from collections.abc import Iterator
from io import BytesIO
from itertools import islice
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein

from agents.speech.detector import SpeechDetector
from agents.speech.voice import VoiceDetector
from deploy.demo.footage import find_footage
from schemas.signals import Utterance
from streams.extraction.detector import SOUND_RATE, Source
from tests.bench.report import Row

#: What is said in a film's line, and sound in which nobody speaks.
LINES = {"heath_ledger.mp3": "If you're good at something never do it for free"}
SPEECHLESS = ("sax.wav", "cantina.wav", "recording1.wav")
#: Prompts of fewer words are commands without a sentence.
LEAST_WORDS = 6
#: Prompts that are measured: half a minute of processor time.
PROMPTS = 120


def measure(quick: bool) -> Iterator[Row]:
    """Word errors, and false speech."""
    speech, voices = SpeechDetector(), VoiceDetector()
    lines = {find_footage("gradio", f"gradio/media_assets/audio/{name}"): text for name, text in LINES.items()}
    yield _errors("speech.wer.film_line", speech, lines)
    folder = os.environ.get("SPEECH_PROMPTS")
    prompts = dict(islice(_prompts(Path(folder)), 20 if quick else PROMPTS)) if folder else {}
    if prompts:
        yield _errors("speech.wer.telephone_prompts", speech, prompts)
    else:
        yield Row("speech.wer.telephone_prompts", None, "not measured", 0)
    yield Row("speech.wer.zh", None, "not measured", 0)
    quiet = [_sound(find_footage("gradio", f"gradio/media_assets/audio/{name}")) for name in SPEECHLESS]
    seconds = sum(len(samples) for samples in quiet) / SOUND_RATE
    share = sum(_voiced(voices, samples) * len(samples) for samples in quiet) / SOUND_RATE / seconds
    yield Row("speech.vad.false", share, "share of music and noise taken for a voice", len(quiet))
    said = sum(len(_said(speech, samples)) for samples in quiet)
    yield Row("speech.false", said, "utterances in music and noise", len(quiet))


def _errors(name: str, detector: SpeechDetector, texts: dict[Path, str]) -> Row:
    wrong = total = 0
    for path, text in texts.items():
        wanted = _words(text)
        wrong += Levenshtein.distance(wanted, _words(" ".join(one.text for one in _said(detector, _sound(path)))))
        total += len(wanted)
    return Row(name, wrong / total, f"share of words wrong ({len(texts)} recordings)", total)


def _words(text: str) -> list[str]:
    return re.sub(r"[^a-z0-9' ]", "", text.casefold().replace("-", " ")).split()


def _prompts(folder: Path) -> Iterator[tuple[Path, str]]:
    listed = next(folder.rglob("core-sounds-en.txt.gz"), None)
    if listed is None:
        return
    recordings = {path.stem: path for path in folder.rglob("en_US_f_Allison/*.wav")}
    for line in gzip.decompress(listed.read_bytes()).decode("utf-8", "replace").splitlines():
        name, _, text = line.partition(": ")
        # What stands in brackets describes a sound; numbers and signs may be written in more than one way.
        if name in recordings and len(text.split()) >= LEAST_WORDS and not re.search(r"[\[\]*#0-9]", text):
            yield recordings[name], text


def _sound(path: Path) -> NDArray[np.float32]:
    resampler = av.AudioResampler(format="flt", layout="mono", rate=SOUND_RATE)
    with av.open(str(path)) as container:
        frames = [*container.decode(audio=0), None]
        return np.concatenate([part.to_ndarray().reshape(-1) for frame in frames for part in resampler.resample(frame)])


def _said(detector: SpeechDetector, samples: NDArray[np.float32]) -> tuple[Utterance, ...]:
    detector.open(Source("", {}, [], BytesIO()))
    detector.hear(samples, 0.0)
    return detector.findings().speech


def _voiced(detector: VoiceDetector, samples: NDArray[np.float32]) -> float:
    detector.open(Source("", {}, [], BytesIO()))
    detector.hear(samples, 0.0)
    return detector.findings().signals[0].score
