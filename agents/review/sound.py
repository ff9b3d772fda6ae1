"""The sound detector: fingerprints of all that is heard, to be matched against the hash bank later."""

from __future__ import annotations

import av
import numpy as np
from av.audio.resampler import AudioResampler
from numpy.typing import NDArray

from agents.review.chromaprint import ALGORITHM, RATE, SPAN_S, Chromaprint
from schemas.signals import CODE_S, SoundPrint
from streams.extraction.detector import SOUND_RATE, Detector, Findings, Source

#: Sound that begins so much later than the former ended, in seconds, is taken for another: another track of the item.
APART_S = 0.5
#: By so many per cent the tones of a copy may be shifted and it is still found: the bank's fingerprints are made of
#: sound shifted so. A step of two leaves no copy more than one per cent from one of them. At one per cent 4 to 6 of 32
#: bits differ, at two 7, at five 11, and of strangers 14 to 16 (means over 14 sounds; `make eval`).
SHIFTS = (2, -2, 4, -4)


class _Track:
    """One sound from its beginning."""

    def __init__(self, at_s: float, pitches: tuple[float, ...]) -> None:
        self.at_s = self.until_s = at_s
        self._resampler = AudioResampler(format="s16", layout="mono", rate=RATE)
        self._chromaprint = Chromaprint(pitches)

    def hear(self, samples: NDArray[np.float32], at_s: float) -> None:
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="flt", layout="mono")
        frame.sample_rate = SOUND_RATE
        self.until_s = at_s + len(samples) / SOUND_RATE
        self._feed(self._resampler.resample(frame))

    def codes(self) -> list[NDArray[np.uint32]]:
        self._feed(self._resampler.resample(None))
        return self._chromaprint.codes()

    def _feed(self, frames: list[av.AudioFrame]) -> None:
        for frame in frames:
            self._chromaprint.feed(np.asarray(frame.to_ndarray(), np.int16).reshape(-1))


class SoundDetector(Detector):
    """Fingerprints of sound, one for each track of it; gives no signal of its own. Sound of less than 2.7 s has none.

    Of a long item that is read in stretches each has its own, and the codes that would lie across a joint are missing.
    """

    name = "sound"
    version = f"{ALGORITHM}-1"
    wants_sound = True
    #: For each of the tones' shifts a fingerprint, as `variant` names it.
    variants: tuple[str, ...] = ("",)

    def open(self, source: Source) -> None:
        """Forget the former item."""
        self._tracks: list[_Track] = []

    def hear(self, samples: NDArray[np.float32], at_s: float) -> None:
        """Take the next second."""
        if not len(samples):
            return
        last = self._tracks[-1] if self._tracks else None
        if last is None or abs(at_s - last.until_s) > APART_S:
            last = _Track(at_s, tuple(pitch_of(variant) for variant in self.variants))
            self._tracks.append(last)
        last.hear(samples, at_s)

    def findings(self) -> Findings:
        """The fingerprints."""
        return Findings(
            sounds=tuple(
                SoundPrint(
                    at_s=round(track.at_s, 3),
                    until_s=round(track.at_s + SPAN_S + (len(codes) - 1) * CODE_S, 3),
                    codes=codes.astype("<u4").tobytes(),
                    algorithm=ALGORITHM,
                    variant=variant,
                )
                for track in self._tracks
                for variant, codes in zip(self.variants, track.codes(), strict=True)
                if len(codes)
            )
        )


class EnrollingSoundDetector(SoundDetector):
    """Fingerprints for an entry of the bank: of the sound as it is, and of it with its tones shifted."""

    variants = ("", *(f"pitch{shift:+d}" for shift in SHIFTS))


def pitch_of(variant: str) -> float:
    """How many times as high the tones are: 1.04 of "pitch+4"."""
    return 1 + float(variant.removeprefix("pitch") or 0) / 100
