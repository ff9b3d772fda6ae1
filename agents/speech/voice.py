"""Voice activity: in which stretches of the sound somebody speaks, by Silero VAD (MIT) on ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from agents.weights import wrong
from schemas.signals import Evidence, Signal
from streams.extraction.detector import MOST_EVIDENCE, SOUND_RATE, Cue, Detector, Findings, Part, Source, Unavailable

#: The form of the model that takes many windows in one call; SHA-256 as in the package's wheel.
MODEL = "silero_vad_16k_sequence.onnx"
MODEL_SHA256 = "9ccdacc4719d8aa7e45a77536bfabec45a03ba1f2fad5e241ab4060b24238a85"
#: Samples that the model judges at once, and those before them that it hears again.
WINDOW, CONTEXT = 512, 64
#: A voice begins at the first probability and ends below the second: the model's authors' own values.
BEGINS, ENDS = 0.5, 0.35
#: Silence, in seconds, that ends a stretch: shorter pauses lie within sentences.
PAUSE_S = 0.5
#: Shorter stretches, in seconds, are clicks and coughs.
SHORTEST_S = 0.25
#: Sound before and after a stretch, in seconds, that belongs to it: consonants are quiet.
PAD_S = 0.2


class Stretch(NamedTuple):
    """Somebody speaks, from when to when, in seconds. One that is not `over` goes on."""

    at_s: float
    until_s: float
    over: bool


def problems() -> list[str]:
    """What is missing or not as it was measured."""
    path = _model()
    if path is None:
        return ["the package silero-vad is missing: pip install 'veristream[speech]'"]
    return wrong({path: MODEL_SHA256})


def _model() -> Path | None:
    spec = find_spec("silero_vad")  # found, not imported: its package needs torch
    return Path(spec.origin).parent / "data" / MODEL if spec and spec.origin else None


class VoiceActivity:
    """Says stretch by stretch where somebody speaks. Keeps a second of what it hears, whatever the length."""

    def __init__(self) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1  # processes × threads = cores
        options.log_severity_level = 3  # of initial values that the model does not use we need not hear
        self._session = onnxruntime.InferenceSession(str(_model()), options, providers=["CPUExecutionProvider"])
        self.begin(0.0)
        self.hear(np.zeros(WINDOW, np.float32))

    def begin(self, at_s: float) -> None:
        """Forget what was heard: what comes now begins at `at_s`."""
        self._at_s = at_s  # when the next window begins
        self._rest = np.zeros(0, np.float32)
        self._context = np.zeros(CONTEXT, np.float32)
        self._hidden = self._cell = np.zeros((1, 1, 128), np.float32)
        self._from_s: float | None = None
        self._last_s = 0.0  # when the voice was last above `ENDS`
        self._free_s = at_s  # a stretch's padding does not reach into the one before it

    def hear(self, samples: NDArray[np.float32], last: bool = False) -> list[Stretch]:
        """The stretches that end in these samples, and the one that goes on after them. `last`: nothing follows."""
        sound = np.concatenate((self._rest, samples)) if len(self._rest) else samples
        if last:
            sound = np.concatenate((sound, np.zeros(-len(sound) % WINDOW, np.float32)))
        count = len(sound) // WINDOW
        self._rest = sound[count * WINDOW :].copy()
        found = [stretch for chance in self._chances(sound, count) if (stretch := self._step(chance))]
        if last and self._from_s is not None:
            found += filter(None, [self._end()])
        if self._from_s is not None and self._last_s - self._from_s >= SHORTEST_S:
            found.append(Stretch(self._padded(self._from_s), self._at_s, over=False))
        return found

    def _chances(self, sound: NDArray[np.float32], count: int) -> list[float]:
        if not count:
            return []
        windows = sound[: count * WINDOW].reshape(count, WINDOW)
        before = np.concatenate((self._context[None], windows[:-1, -CONTEXT:]))
        self._context = windows[-1, -CONTEXT:].copy()
        heard = {"input": np.hstack((before, windows)), "h": self._hidden, "c": self._cell}
        chances, self._hidden, self._cell = self._session.run(["speech_probs", "hn", "cn"], heard)
        return np.asarray(chances, np.float32).reshape(-1).tolist()

    def _step(self, chance: float) -> Stretch | None:
        begins_s, self._at_s = self._at_s, self._at_s + WINDOW / SOUND_RATE
        if self._from_s is None:
            if chance >= BEGINS:
                self._from_s, self._last_s = begins_s, self._at_s
            return None
        if chance >= ENDS:
            self._last_s = self._at_s
        return self._end() if self._at_s - self._last_s >= PAUSE_S else None

    def _end(self) -> Stretch | None:
        assert self._from_s is not None
        begun_s, ended_s, self._from_s = self._from_s, self._last_s, None
        if ended_s - begun_s < SHORTEST_S:
            return None
        at_s = self._padded(begun_s)
        self._free_s = min(ended_s + PAD_S, self._at_s)
        return Stretch(at_s, self._free_s, over=True)

    def _padded(self, at_s: float) -> float:
        return max(self._free_s, at_s - PAD_S)


class VoiceDetector(Detector):
    """Signal `speech`: the share of the sound in which somebody speaks, with the longest stretches; a cue `speech` for
    each, while it lasts."""

    name = "voice"
    version = "1-silero-vad-6.2-16k"
    wants_sound = True
    optional = True

    def __init__(self) -> None:
        self._missing = "; ".join(self.problems())
        if not self._missing:
            self._activity = VoiceActivity()
        self._forget()

    def _forget(self) -> None:
        self._until_s = 0.0
        self._heard_s = self._spoken_s = 0.0
        self._longest: list[Stretch] = []

    @classmethod
    def problems(cls) -> list[str]:
        """Whether the model is the one that was measured."""
        return problems()

    def open(self, source: Source) -> None:
        """Forget the former item."""
        if self._missing:
            raise Unavailable(self._missing)
        self._forget()
        self._activity.begin(0.0)

    def hear(self, samples: NDArray[np.float32], at_s: float) -> list[Cue]:
        """Point others to who speaks, up to here."""
        if apart(at_s, self._until_s):  # another track, or a gap
            self._take(self._activity.hear(np.zeros(0, np.float32), last=True))
            self._activity.begin(at_s)
        self._until_s = at_s + len(samples) / SOUND_RATE
        self._heard_s += len(samples) / SOUND_RATE
        stretches = self._activity.hear(samples)
        self._take(stretches)
        return [Cue("speech", one.at_s, one.until_s) for one in stretches]

    def _take(self, stretches: list[Stretch]) -> None:
        over = [one for one in stretches if one.over]
        self._spoken_s += sum(one.until_s - one.at_s for one in over)
        self._longest = sorted([*self._longest, *over], key=lambda one: one.at_s - one.until_s)[:MOST_EVIDENCE]

    def findings(self) -> Findings:
        """The share; nothing where there was no sound."""
        self._take(self._activity.hear(np.zeros(0, np.float32), last=True))
        stretches = [Evidence(at_s=round(one.at_s, 2), until_s=round(one.until_s, 2)) for one in self._longest]
        return _findings(self._heard_s, self._spoken_s, stretches)

    @classmethod
    def merge(cls, parts: Sequence[Part]) -> Findings:
        """The share of the whole, and the longest stretches of all."""
        heard_s, spoken_s = (
            sum(part.findings.tally.get(name, 0.0) for part in parts) for name in ("heard_s", "spoken_s")
        )
        evidence = [one for part in parts for signal in part.findings.signals for one in signal.evidence]
        return _findings(heard_s, spoken_s, evidence)


def _findings(heard_s: float, spoken_s: float, stretches: Sequence[Evidence]) -> Findings:
    if not heard_s:
        return Findings()
    longest = sorted(stretches, key=lambda one: (one.at_s or 0.0) - (one.until_s or 0.0))[:MOST_EVIDENCE]
    evidence = tuple(sorted(longest, key=lambda one: one.at_s or 0.0))
    share = round(min(1.0, spoken_s / heard_s), 4)
    return Findings(
        (Signal(name="speech", detector=VoiceDetector.name, score=share, evidence=evidence),),
        tally={"heard_s": heard_s, "spoken_s": spoken_s},
    )


def apart(at_s: float, until_s: float) -> bool:
    """Whether sound that begins at `at_s` does not go on from what ended at `until_s`: more than a window between."""
    return abs(at_s - until_s) > WINDOW / SOUND_RATE
