"""The notice that is heard: spoken, or in the standard's rhythm, laid over the beginning of a sound at its loudness.

All of the sound is encoded again, by the same codec at the same rate: its frames overlap, and of few codecs a beginning
can be put before a rest without a gap.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from fractions import Fraction
from functools import cache
from importlib.resources import files
from typing import Any, BinaryIO, NamedTuple

import av
import numpy as np

from streams.labels.visible import copied, tags_of
from streams.labels.write import CannotLabel

Samples = np.ndarray[Any, np.dtype[np.float32]]

#: Decoder → encoder of the same codec; PCM, FLAC and ALAC are their own.
ENCODERS = {"aac": "aac", "mp3": "libmp3lame", "mp3float": "libmp3lame", "opus": "libopus", "libopus": "libopus"}
_LOSSLESS = frozenset({"flac", "alac", "pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s24be", "pcm_u8", "pcm_f32le"})
#: Seconds of the beginning whose loudness the notice is given.
MEASURED_S = 30.0
#: How much quieter the sound is beneath the notice, in dB: so much as makes speech over music understood (EBU R 128
#: s1 and broadcasters' own rules ask for 10 to 20).
DUCKED_DB = -15.0
#: Loudness of a notice over what is silent, and least and most of it, in LUFS (EBU R 128's target and what is heard).
SILENT_LUFS, LEAST_LUFS, MOST_LUFS = -23.0, -30.0, -10.0
#: Below this a block counts as silence (ITU-R BS.1770).
_GATE_LUFS = -70.0
#: Seconds in which the sound goes down and comes back.
_RAMP_S = 0.05
#: The standard's rhythm: short long, a pause, short short (Morse A and I). It gives no lengths: these are ten words a
#: minute, at a pitch that small loudspeakers have.
_UNIT_S, _PITCH_HZ = 0.12, 880.0
_RHYTHM = ((1, True), (1, False), (3, True), (3, False), (1, True), (1, False), (1, True))


class Notice(NamedTuple):
    """What shall be heard."""

    #: 1 is generated, 2 may be, 3 suspected: which of the notices is spoken.
    level: int
    #: By the rhythm instead of words.
    rhythm: bool = False


def mark_sound(
    source: BinaryIO, out: BinaryIO, form: str, notice: Notice, progress: Callable[[float], None] | None = None
) -> None:
    """Copy a sound with the notice at its beginning. `form`: FFmpeg's name of the container.

    Raises:
        CannotLabel: nothing here encodes it.
        av.FFmpegError: the file is damaged.
    """
    with av.open(source, "r") as given, av.open(out, "w", format=form) as made:
        if not given.streams.audio:
            raise CannotLabel("it has no sound to put the notice in")
        sound = given.streams.audio[0]
        context = sound.codec_context
        name = ENCODERS.get(context.name) or (context.name if context.name in _LOSSLESS else None)
        if name is None:
            raise CannotLabel(f"nothing here encodes {context.name}: the notice cannot be put in it")
        made.metadata.update(tags_of(given) | sound.metadata)
        ours: Any = made.add_stream(name, rate=context.sample_rate, layout=context.layout.name)
        if name not in _LOSSLESS and (rate := context.bit_rate or given.bit_rate):
            ours.codec_context.bit_rate = rate
        elif context.format.name in {one.name for one in ours.codec_context.codec.audio_formats or ()}:
            ours.codec_context.format = context.format.name
        outs, _ = copied(given, made, sound.index)
        _Mixer(made, ours, notice, progress).run(given, sound, outs)


class _Mixer:
    """One sound on its way through."""

    def __init__(
        self, made: av.container.OutputContainer, ours: Any, notice: Notice, progress: Callable[[float], None] | None
    ) -> None:
        self._made, self._ours, self._progress = made, ours, progress
        self._rate: int = ours.codec_context.sample_rate
        self._layout = ours.codec_context.layout.name
        self._notice = rhythm(self._rate) if notice.rhythm else spoken(notice.level, self._rate)
        self._begun: list[Samples] | None = []
        self._have = self._at = 0

    def run(self, given: av.container.InputContainer, sound: av.AudioStream, outs: dict[int, Any]) -> None:
        resampler = av.AudioResampler(format="fltp", layout=self._layout, rate=self._rate)
        for packet in given.demux():
            if packet.stream.index == sound.index:
                for frame in packet.decode():
                    self._resampled(resampler, frame)
            elif packet.size and packet.stream.index in outs:
                packet.stream = outs[packet.stream.index]
                self._made.mux(packet)
        self._resampled(resampler, None)
        self._begin()
        self._made.mux(self._ours.encode(None))

    def _resampled(self, resampler: av.AudioResampler, frame: Any) -> None:
        for plain in resampler.resample(frame):
            self._take(plain.to_ndarray().astype(np.float32, copy=False))

    def _take(self, samples: Samples) -> None:
        if self._begun is None:
            self._encode(samples)
            return
        self._begun.append(samples)
        self._have += samples.shape[1]
        if self._have >= MEASURED_S * self._rate:
            self._begin()

    def _begin(self) -> None:
        begun, self._begun = self._begun, None
        if begun:
            self._encode(mixed(np.concatenate(begun, axis=1), self._notice, self._rate))

    def _encode(self, samples: Samples) -> None:
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="fltp", layout=self._layout)
        frame.sample_rate, frame.time_base, frame.pts = self._rate, Fraction(1, self._rate), self._at
        self._at += samples.shape[1]
        self._made.mux(self._ours.encode(frame))
        if self._progress:
            self._progress(self._at / self._rate)


@cache
def notice_file(level: int) -> bytes:
    """The recording, read once."""
    return (files("streams.labels") / "notices" / f"{level}.ogg").read_bytes()


def spoken(level: int, rate: int) -> Samples:
    """The spoken notice of that level, at that rate: one channel."""
    with av.open(io.BytesIO(notice_file(level if level in (1, 2, 3) else 3)), "r") as given:
        resampler = av.AudioResampler(format="fltp", layout="mono", rate=rate)
        frames = [plain for frame in given.decode(audio=0) for plain in resampler.resample(frame)]
        frames += resampler.resample(None)
    return np.concatenate([frame.to_ndarray()[0] for frame in frames])


def rhythm(rate: int) -> Samples:
    """The standard's rhythm, at that rate: one channel."""
    parts = []
    for units, on in _RHYTHM:
        count = round(units * _UNIT_S * rate)
        edge = np.minimum(np.arange(count), np.arange(count)[::-1]) / (0.005 * rate)  # no clicks
        tone = np.sin(2 * np.pi * _PITCH_HZ * np.arange(count) / rate) * np.minimum(edge, 1)
        parts.append(0.25 * tone if on else np.zeros(count))
    return np.concatenate(parts).astype(np.float32)


def mixed(sound: Samples, notice: Samples, rate: int) -> Samples:
    """The sound's beginning with the notice over it; what is shorter than the notice becomes as long."""
    target = min(max(loudness(sound, rate), LEAST_LUFS), MOST_LUFS) if sound.any() else SILENT_LUFS
    own = notice * np.float32(10 ** ((target - loudness(notice[None], rate)) / 20))
    length, ramp = len(own), round(_RAMP_S * rate)
    made = np.zeros((sound.shape[0], max(sound.shape[1], length)), np.float32)
    made[:, : sound.shape[1]] = sound
    under = np.float32(10 ** (DUCKED_DB / 20))
    gain = np.full(min(length + ramp, made.shape[1]), under, np.float32)
    back = len(gain) - length
    gain[length:] = np.linspace(under, 1, back, dtype=np.float32)
    made[:, : len(gain)] *= gain
    room = 0.99 - np.abs(made[:, :length]).max(initial=0)
    made[:, :length] += own * np.float32(min(1.0, max(0.1, room) / max(float(np.abs(own).max()), 1e-9)))
    return made


def loudness(sound: Samples, rate: int) -> float:
    """Integrated loudness in LUFS (ITU-R BS.1770-5, EBU R 128), each channel counted alike. -70 for silence."""
    weighed = np.fft.irfft(np.fft.rfft(sound, axis=1) * _weights(sound.shape[1], rate), sound.shape[1], axis=1)
    block, step = round(0.4 * rate), round(0.1 * rate)
    power = np.concatenate([[0.0], np.cumsum((weighed**2).sum(axis=0))])
    starts = np.arange(0, max(1, sound.shape[1] - block + 1), step)
    ends = np.minimum(starts + block, sound.shape[1])
    mean = (power[ends] - power[starts]) / np.maximum(1, ends - starts)
    heard = mean[mean > 10 ** ((_GATE_LUFS + 0.691) / 10)]
    if not len(heard):
        return _GATE_LUFS
    heard = heard[heard > heard.mean() / 10]  # the second gate lies 10 LU below the mean
    return float(-0.691 + 10 * np.log10(heard.mean()))


def _weights(count: int, rate: int) -> Samples:
    """K-weighting as a response in frequency: the standard's two filters, given for 48 kHz, where they have their
    frequencies whatever the rate."""
    z = np.exp(-2j * np.pi * np.fft.rfftfreq(count, 1 / rate) / 48000)
    shelf = (1.53512485958697 - 2.69169618940638 * z + 1.19839281085285 * z**2) / (
        1 - 1.69065929318241 * z + 0.73248077421585 * z**2
    )
    high = (1 - 2 * z + z**2) / (1 - 1.99004745483398 * z + 0.99007225036621 * z**2)
    weights: Samples = shelf * high
    return weights
