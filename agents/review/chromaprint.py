"""Chromaprint: sound as a code of 32 bits each 0.124 s, the same codes as the published library gives. Pure.

Source: L. Lalinsky, "Chromaprint" (MIT), https://acoustid.org/chromaprint, its default algorithm (CHROMAPRINT_ALGORITHM
_TEST2 of 1.5.1, `fpcalc -algorithm 2`); the idea is of Y. Ke, D. Hoiem and R. Sukthankar, "Computer Vision for Music
Identification" (2005). Written anew over numpy, because the library is no Python package, and as a system package it
would be missing where it is not installed; the tests compare every code with fpcalc's. Rounding in a Fourier transform
may turn a bit in some ten thousand.

A spectrum each 0.124 s becomes the energies of the twelve semitones, whatever their octave, smoothed over five spectra
and brought to the same length. Sixteen filters, each over some semitones and up to sixteen of these rows, ask which
half of their rectangle is the louder; each answer is one of four, two bits. So a code tells of 2.7 s of sound, and
says nothing of loudness.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

#: What prints of it are called.
ALGORITHM = "chromaprint"
#: Rate of the sound that is looked at, in Hz; what the published codes are made of.
RATE = 11_025
#: Samples in a spectrum, and from one to the next.
FRAME = 4096
HOP = FRAME // 3
#: Lowest and highest tone that is looked at, in Hz.
LOWEST_HZ, HIGHEST_HZ = 28, 3520
NOTES = 12
#: Weights of five spectra that are smoothed together.
SMOOTHING = np.array([0.25, 0.75, 1.0, 0.75, 0.25])
#: Rows of which the widest filter asks.
WIDEST = 16
#: Spectra in a code: the widest filter's, and those that its first row was smoothed with.
SPECTRA = WIDEST + len(SMOOTHING) - 1
#: Seconds of sound that a code tells of.
SPAN_S = (FRAME + (SPECTRA - 1) * HOP) / RATE
#: Length of a row of semitones under which it is silence.
SILENCE = 0.01


#: Rows that are kept until they become codes: half a minute.
KEPT_ROWS = 256


class _Filter(NamedTuple):
    """Which rectangle is halved or parted, and how; the thresholds between its four answers."""

    kind: int
    note: int
    notes: int
    rows: int
    thresholds: tuple[float, float, float]


#: The published filters, most significant bits first.
_FILTERS = (
    _Filter(0, 4, 3, 15, (1.98215, 2.35817, 2.63523)),
    _Filter(4, 4, 6, 15, (-1.03809, -0.651211, -0.282167)),
    _Filter(1, 0, 4, 16, (-0.298702, 0.119262, 0.558497)),
    _Filter(3, 8, 2, 12, (-0.105439, 0.0153946, 0.135898)),
    _Filter(3, 4, 4, 8, (-0.142891, 0.0258736, 0.200632)),
    _Filter(4, 0, 3, 5, (-0.826319, -0.590612, -0.368214)),
    _Filter(1, 2, 2, 9, (-0.557409, -0.233035, 0.0534525)),
    _Filter(2, 7, 3, 4, (-0.0646826, 0.00620476, 0.0784847)),
    _Filter(2, 6, 2, 16, (-0.192387, -0.029699, 0.215855)),
    _Filter(2, 1, 3, 2, (-0.0397818, -0.00568076, 0.0292026)),
    _Filter(5, 10, 1, 15, (-0.53823, -0.369934, -0.190235)),
    _Filter(3, 6, 2, 10, (-0.124877, 0.0296483, 0.139239)),
    _Filter(2, 1, 1, 14, (-0.101475, 0.0225617, 0.231971)),
    _Filter(3, 5, 6, 4, (-0.0799915, -0.00729616, 0.063262)),
    _Filter(1, 9, 2, 12, (-0.272556, 0.019424, 0.302559)),
    _Filter(3, 4, 2, 14, (-0.164292, -0.0321188, 0.0846339)),
)
#: Answers that are neighbours differ in one bit.
_GRAY = np.array([0, 1, 3, 2], np.uint32)
_WINDOW = np.hamming(FRAME) / np.iinfo(np.int16).max


@cache
def _notes(pitch: float) -> tuple[slice, NDArray[np.float64]]:
    """Which bins of a spectrum count, and to which semitone each adds its energy, for sound whose tones were made so
    many times as high."""
    first, last = (round(FRAME * hertz * pitch / RATE) for hertz in (LOWEST_HZ, HIGHEST_HZ))
    bins = np.arange(max(1, first), min(FRAME // 2, last))
    octaves = np.log(bins * RATE / FRAME / pitch / (440.0 / 16.0)) / np.log(2.0)
    weights = np.zeros((len(bins), NOTES))
    weights[np.arange(len(bins)), (NOTES * (octaves - np.floor(octaves))).astype(int)] = 1.0
    return slice(bins[0], bins[-1] + 1), weights


def codes_of(rows: NDArray[np.float64]) -> NDArray[np.uint32]:
    """The codes of rows of semitones, SPECTRA - 1 fewer than there are rows."""
    if len(rows) < SPECTRA:
        return np.zeros(0, np.uint32)
    count = len(rows) - len(SMOOTHING) + 1
    smooth = sum(weight * rows[shift : shift + count] for shift, weight in enumerate(SMOOTHING))
    length = np.sqrt(np.sum(np.square(smooth), axis=1, keepdims=True))
    smooth = np.where(length < SILENCE, 0.0, smooth / np.maximum(length, SILENCE))
    sums = np.zeros((count + 1, NOTES + 1))
    np.cumsum(np.cumsum(smooth, axis=0), axis=1, out=sums[1:, 1:])
    codes = np.zeros(count - WIDEST + 1, np.uint32)
    for one in _FILTERS:
        answer = np.searchsorted(one.thresholds, _answers(one, sums, len(codes)), side="right")
        codes = codes << np.uint32(2) | _GRAY[answer]
    return codes


def _answers(one: _Filter, sums: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """How much louder the one part of the rectangle is than the other, at each place."""

    def area(row: int, rows: int, note: int, notes: int) -> NDArray[np.float64]:
        top, bottom = sums[row : row + count], sums[row + rows : row + rows + count]
        return bottom[:, note + notes] - top[:, note + notes] - bottom[:, note] + top[:, note]

    kind, note, notes, rows, _ = one
    whole = area(0, rows, note, notes)
    if kind == 0:  # all of it
        return np.log1p(whole)
    if kind == 1:  # the higher notes against the lower
        loud = area(0, rows, note + notes // 2, notes - notes // 2)
    elif kind == 2:  # the later rows against the earlier
        loud = area(rows // 2, rows - rows // 2, note, notes)
    elif kind == 3:  # two quarters that lie crosswise against the others
        loud = area(0, rows // 2, note + notes // 2, notes - notes // 2)
        loud = loud + area(rows // 2, rows - rows // 2, note, notes // 2)
    elif kind == 4:  # the middle notes against those above and below
        loud = area(0, rows, note + notes // 3, notes // 3)
    else:  # the middle rows against those before and after
        loud = area(rows // 3, rows // 3, note, notes)
    return np.asarray(np.log((1.0 + loud) / (1.0 + (whole - loud))))


class Chromaprint:
    """Fingerprints one sound as it comes, samples of 16 bits at RATE, for one or several pitches at once.

    `pitches`: 1.0 for the sound as it is; 1.04 gives the codes that it would have, were it sped up or tuned up by 4 %.
    """

    def __init__(self, pitches: Sequence[float] = (1.0,)) -> None:
        self._pitches = tuple(pitches)
        self._held = np.zeros(0, np.int16)
        self._rows = [np.zeros((0, NOTES)) for _ in self._pitches]
        self._codes: list[list[NDArray[np.uint32]]] = [[] for _ in self._pitches]

    def feed(self, samples: NDArray[np.int16]) -> None:
        """Take the next samples."""
        self._held = np.concatenate([self._held, samples]) if len(self._held) else samples
        count = (len(self._held) - FRAME) // HOP + 1
        if count < 1:
            return
        frames = np.lib.stride_tricks.sliding_window_view(self._held, FRAME)[: count * HOP : HOP]
        spectra = np.fft.rfft(frames * _WINDOW, axis=1)
        energy = np.square(spectra.real) + np.square(spectra.imag)
        for number, pitch in enumerate(self._pitches):
            bins, weights = _notes(1 / pitch)
            self._rows[number] = np.concatenate([self._rows[number], energy[:, bins] @ weights])
        self._held = self._held[count * HOP :].copy()
        if len(self._rows[0]) >= KEPT_ROWS:
            self._encode()

    def codes(self) -> list[NDArray[np.uint32]]:
        """Of each pitch all codes so far; none of less than SPAN_S of sound."""
        self._encode()
        return [np.concatenate(parts) for parts in self._codes]

    def _encode(self) -> None:
        for number, rows in enumerate(self._rows):
            self._codes[number].append(codes_of(rows))
            self._rows[number] = rows[-(SPECTRA - 1) :]
