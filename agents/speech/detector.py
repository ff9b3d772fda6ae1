"""The speech detector: what is said, in words, with when and in which language."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from agents.speech import voice, whisper
from agents.speech.voice import Stretch, VoiceActivity, apart
from schemas.signals import Evidence, Signal, Utterance
from streams.extraction.detector import SOUND_RATE, Detector, Findings, Part, Source, Unavailable

#: Speech, in seconds, that is written down together: a few sentences, so that a word has those beside it and evidence
#: still leads to its place.
TOGETHER_S = 8.0
#: …unless there is so much silence between, in seconds.
APART_S = 2.0
#: Longest text of one utterance in the signals.
LONGEST = 1000
#: Speech of one reading that is written down, in seconds: at 10 times its speed two minutes of processor time. What is
#: beyond says so by the signal `speech.unheard`.
MOST_S = 1200.0
#: Utterances of one item in the signals, about 250 kB: three hours of speech.
MOST_UTTERANCES = 1000


class SpeechDetector(Detector):
    """`speech`: utterances. Signal `speech.unheard`: somebody speaks for longer than is written down."""

    name = "speech"
    version = f"1-{whisper.VERSION}"
    wants_sound = True
    optional = True
    tier = 1
    wakes_on = frozenset({"speech"})

    def __init__(self) -> None:
        self._missing = "; ".join(self.problems())
        if not self._missing:
            self._activity = VoiceActivity()
            self._whisper = whisper.Whisper()
        self._forget()

    def _forget(self) -> None:
        self._until_s = 0.0  # where what was heard ends
        self._kept: list[tuple[float, NDArray[np.float32]]] = []  # sound since the stretch that goes on
        self._taken_s = 0.0  # up to where speech was taken out of it
        self._spoken: list[tuple[float, NDArray[np.float32]]] = []  # stretches that wait to be written down
        self._written_s = 0.0
        self._unheard_s: float | None = None
        self._utterances: list[Utterance] = []

    @classmethod
    def problems(cls) -> list[str]:
        """Whether the models are those that were measured."""
        return [*whisper.problems(), *voice.problems()]

    def open(self, source: Source) -> None:
        """Forget the former item."""
        if self._missing:
            raise Unavailable(self._missing)
        self._forget()
        self._activity.begin(0.0)

    def hear(self, samples: NDArray[np.float32], at_s: float) -> None:
        """Find who speaks, and write down what is over."""
        if apart(at_s, self._until_s):  # another track, or what lies between was not for us
            self._end()
            self._kept, self._taken_s = [], at_s
            self._activity.begin(at_s)
        self._kept.append((at_s, samples))
        self._until_s = at_s + len(samples) / SOUND_RATE
        going_on = None
        for stretch in self._activity.hear(samples):
            going_on = stretch if not stretch.over else None
            self._take(stretch)
        begin_s = going_on.at_s if going_on else self._until_s - 2 * voice.PAUSE_S - voice.SHORTEST_S
        while self._kept and self._kept[0][0] + len(self._kept[0][1]) / SOUND_RATE <= max(begin_s, self._taken_s):
            self._kept.pop(0)

    def findings(self) -> Findings:
        """All that was said, in order of time."""
        self._end()
        unheard: tuple[Signal, ...] = ()
        if self._unheard_s is not None:
            unheard = (
                Signal(
                    name="speech.unheard",
                    detector=self.name,
                    score=1.0,
                    evidence=(Evidence(at_s=self._unheard_s, text=f"only {MOST_S:.0f} s of speech are written down"),),
                ),
            )
        said = sorted(self._utterances, key=lambda one: one.at_s)[:MOST_UTTERANCES]
        return Findings(unheard, speech=tuple(said))

    @classmethod
    def merge(cls, parts: Sequence[Part]) -> Findings:
        """Those of all stretches, up to as many as a message holds."""
        whole = super().merge(parts)
        return whole._replace(speech=whole.speech[:MOST_UTTERANCES])

    def _end(self) -> None:
        for stretch in self._activity.hear(np.zeros(0, np.float32), last=True):
            self._take(stretch)
        self._write_down()

    def _take(self, stretch: Stretch) -> None:
        """Take a stretch's sound, or of one that goes on as much as is enough for a window."""
        begin_s = max(stretch.at_s, self._taken_s)
        until_s = min(stretch.until_s, self._until_s)
        if not stretch.over and until_s - begin_s < whisper.LONGEST_S - TOGETHER_S:
            return
        samples = self._between(begin_s, until_s)
        self._taken_s = max(self._taken_s, until_s)
        if not len(samples):
            return
        if self._spoken and begin_s - _end_of(self._spoken[-1]) > APART_S:
            self._write_down()
        self._spoken.append((begin_s, samples))
        if not stretch.over or sum(len(piece) for _, piece in self._spoken) >= TOGETHER_S * SOUND_RATE:
            self._write_down()

    def _between(self, begin_s: float, until_s: float) -> NDArray[np.float32]:
        pieces = [np.zeros(0, np.float32)]
        for at_s, samples in self._kept:
            begin = max(0, round((begin_s - at_s) * SOUND_RATE))
            pieces.append(samples[begin : max(begin, round((until_s - at_s) * SOUND_RATE))])
        return np.concatenate(pieces)

    def _write_down(self) -> None:
        spoken, self._spoken = self._spoken, []
        if not spoken:
            return
        at_s, until_s = spoken[0][0], _end_of(spoken[-1])
        samples = np.concatenate([piece for _, piece in spoken])
        if self._written_s >= MOST_S:
            self._unheard_s = at_s if self._unheard_s is None else self._unheard_s
            return
        self._written_s += len(samples) / SOUND_RATE
        heard = self._whisper.write_down(samples)
        if heard is not None:
            self._utterances.append(
                Utterance(
                    at_s=round(at_s, 2),
                    until_s=round(until_s, 2),
                    text=heard.text[:LONGEST],
                    language=heard.language,
                    score=round(heard.score, 3),
                )
            )


def _end_of(spoken: tuple[float, NDArray[np.float32]]) -> float:
    return spoken[0] + len(spoken[1]) / SOUND_RATE
