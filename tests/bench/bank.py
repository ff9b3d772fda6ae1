"""What the hash bank costs at a million and ten million frames: look-ups, memory, and how soon a change shows; beside
python-threatexchange's index and faiss on the same hashes.

The hashes are like those of real footage, and lie in clips: PDQ's transform of frames of real clips is mixed by chance,
so that bits depend on each other as they do in pictures, and within a clip each frame is some bits from the one before.
That makes buckets fuller than with bits thrown like coins.
"""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import TypeVar

import av
import faiss
import numpy as np
import pdqhash
from aiokafka import AIOKafkaProducer
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry
from threatexchange.signal_type.pdq.pdq_index import PDQIndex

from agents.review.bank import HashBank
from agents.review.bank_rows import bank_of
from schemas.bank import BankFrame, HashEntry
from schemas.message import encode
from schemas.policy import default_policy
from schemas.signals import FrameHash
from schemas.topics import HASHBANK
from streams.kafka import create_topics
from streams.metrics import Metrics
from streams.views import View, Views
from tests.bench.beside import broker, settings_for
from tests.bench.report import Row
from tests.evaluation.footage import CLIPS, clip

ROOT = Path(__file__).parents[2]
T = TypeVar("T")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
POLICY = default_policy().review
#: Frames of one item, looked up together: a minute at one a second.
FRAMES = 60
#: Frames of one entry, and bits in which each differs from the one before, about.
CLIP_FRAMES, STEP_BITS = 100, 12
#: Bits in which a copy's frames differ from the original's, about.
COPY_BITS = 14
#: Frames of real clips that are mixed, and how many go into one picture; noise against the size of their values.
PER_CLIP, MIXED, NOISE = 200, 20, 2.5
#: Changes of bits to choose from.
MASKS = 1 << 16
#: Made at once: bounds the memory of making them.
AT_ONCE = 20_000
#: How long two processes look frames up beside each other.
BESIDE_S = 10.0
#: Changes of which it is measured how soon they show.
CHANGES = 40

Hashes = NDArray[np.uint8]


def measure(quick: bool) -> Iterator[Row]:
    """All of it, smaller first."""
    small, large = (100_000, 1_000_000) if quick else (1_000_000, 10_000_000)
    runs = 5 if quick else 25
    made = Made(np.random.default_rng(1))
    with tempfile.TemporaryDirectory(prefix="veristream-bank-") as folder:
        one = Path(folder, "small")
        hashes = made.clips(small // CLIP_FRAMES)
        bank, seconds = _filled(one, hashes)
        yield Row("review.bank_fill_s.1m", seconds, f"s to take in {small:,} frames and have them searched", 1)
        yield from _lookups("1m", bank, made, hashes, runs)
        shared, own = bank.nbytes
        yield Row("review.index_mb_per_million", (shared + own) / small, "MB a million frames", 1)
        yield from _beside(bank, made, hashes, runs, quick)
        bank.close()
        del bank
        yield _two_processes(one, hashes, small)
        yield from _stall(made.clips(small // CLIP_FRAMES // 2))
        yield from _update(made.clips((small if quick else small // 4) // CLIP_FRAMES))
        del hashes
        gc.collect()
        yield from _ten_million(Path(folder, "large"), made, large, runs)


def _ten_million(folder: Path, made: Made, count: int, runs: int) -> Iterator[Row]:
    hashes = made.clips(count // CLIP_FRAMES)
    before = _resident_own()
    bank, seconds = _filled(folder, hashes)
    yield Row("review.bank_fill_s.10m", seconds, f"s to take in {count:,} frames and have them searched", 1)
    yield from _lookups("10m", bank, made, hashes, runs)
    gc.collect()
    held = bank.nbytes[0] + max(bank.nbytes[1], _resident_own() - before)
    yield Row("review.index_gb.10m", held / 1e9, f"GB: the shared file and one worker's own, {count:,} frames", 1)
    bank.close()


class Made:
    """Hashes like those of real footage."""

    def __init__(self, random: np.random.Generator) -> None:
        self.random = random
        self._changes: dict[int, Hashes] = {}
        real = np.array([frame for name in CLIPS for frame in _transforms(name)], np.float32)
        real -= np.median(real, axis=1, keepdims=True)
        self._real = real / np.abs(real).mean(axis=1, keepdims=True)

    def pictures(self, count: int) -> Hashes:
        """Hashes of so many pictures that have nothing to do with each other."""
        parts = [self._pictures(min(AT_ONCE, count - at)) for at in range(0, count, AT_ONCE)]
        return np.concatenate(parts) if parts else np.zeros((0, 32), np.uint8)

    def _pictures(self, count: int) -> Hashes:
        shape = (count, self._real.shape[1])
        mixed = NOISE * np.sqrt(MIXED) / 2 * self.random.standard_normal(shape, np.float32)
        for _ in range(MIXED):
            some = self._real[self.random.integers(0, len(self._real), count)]
            mixed += some * self.random.standard_normal((count, 1), np.float32)
        return np.packbits(mixed > np.median(mixed, axis=1, keepdims=True), axis=1)

    def clips(self, count: int) -> Hashes:
        """So many clips' frames, one after another."""
        frames = np.empty((count, CLIP_FRAMES, 32), np.uint8)
        frames[:, 0] = self.pictures(count)
        for at in range(1, CLIP_FRAMES):
            frames[:, at] = self.copies(frames[:, at - 1], STEP_BITS)
        return frames.reshape(-1, 32)

    def copies(self, hashes: Hashes, bits: int) -> Hashes:
        """The same with about so many bits the other way: two changes of half as many, each by chance one of many."""
        if bits not in self._changes:
            self._changes[bits] = np.packbits(self.random.random((MASKS, 256), np.float32) < bits / 512, axis=1)
        changes = self._changes[bits]
        changed = hashes ^ changes[self.random.integers(0, MASKS, len(hashes))]
        return changed ^ changes[self.random.integers(0, MASKS, len(hashes))]


def _transforms(name: str) -> Iterator[NDArray[np.float32]]:
    """PDQ's transform of frames that have detail enough."""
    with av.open(str(clip(name))) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number >= PER_CLIP:
                return
            values, quality = pdqhash.compute_float(frame.to_ndarray(format="rgb24", width=512, height=288))
            if quality >= POLICY.hash_min_quality:
                yield values


def _entries(hashes: Hashes, prefix: str = "clip") -> Iterator[HashEntry]:
    for number in range(len(hashes) // CLIP_FRAMES):
        code = hashes[number * CLIP_FRAMES : (number + 1) * CLIP_FRAMES].tobytes().hex()
        frames = tuple(
            BankFrame(pdq=code[at * 64 : at * 64 + 64], quality=100, at_s=at / 25) for at in range(CLIP_FRAMES)
        )
        yield HashEntry(
            entry_id=f"{prefix}-{number}", category="bench", source="bench", added_at=NOW, frames=frames,
            duration_s=CLIP_FRAMES / 25,
        )  # fmt: skip


def _queries(hashes: Iterable[NDArray[np.uint8]]) -> list[FrameHash]:
    return [FrameHash(at_s=float(at), pdq=code.tobytes().hex(), quality=100) for at, code in enumerate(hashes)]


def _filled(folder: Path | None, hashes: Hashes) -> tuple[HashBank, float]:
    """A bank as a worker has it that has read the topic, and how long that took, without the decoding."""
    bank, seconds = HashBank(folder=folder), 0.0
    for entry in _entries(hashes):
        begun = time.perf_counter()
        bank[entry.entry_id] = entry
        seconds += time.perf_counter() - begun
    begun = time.perf_counter()
    bank.settle()
    return bank, seconds + time.perf_counter() - begun


def _lookups(size: str, bank: HashBank, made: Made, hashes: Hashes, runs: int) -> Iterator[Row]:
    """Items of strangers, which nearly all are, and copies of entries; each item another."""
    for name, items in (
        ("", [made.pictures(FRAMES) for _ in range(runs)]),
        (
            ".copies",
            [_copied(made, hashes, number) for number in made.random.integers(0, len(hashes) // CLIP_FRAMES, runs)],
        ),
    ):
        frames = [_queries(item) for item in items]
        bank.match(frames[0], max_distance=POLICY.hash_max_distance, min_quality=POLICY.hash_min_quality)
        seconds, found = [], 0
        for item in frames:
            begun = time.perf_counter()
            found += len(_match(bank, item))
            seconds.append(time.perf_counter() - begun)
        yield Row(
            f"review.lookup_ms.{size}{name}",
            median(seconds) / FRAMES * 1e3,
            f"ms a frame, {FRAMES} together, {bank.frames:,} frames; {found / runs / FRAMES:.1f} matches a frame",
            runs,
        )


def _copied(made: Made, hashes: Hashes, number: int) -> Hashes:
    begin = int(number) * CLIP_FRAMES
    return made.copies(hashes[begin : begin + FRAMES], COPY_BITS)


def _match(bank: HashBank, frames: list[FrameHash]) -> list[tuple[float, int]]:
    found = bank.match(frames, max_distance=POLICY.hash_max_distance, min_quality=POLICY.hash_min_quality)
    return [(match.at_s, match.distance) for match in found]


def _beside(bank: HashBank, made: Made, hashes: Hashes, runs: int, quick: bool) -> Iterator[Row]:
    """Faiss with one thread, and python-threatexchange's index, on the same hashes and items as the bank."""
    faiss.omp_set_num_threads(1)
    items = [_copied(made, hashes, number) if number % 2 else made.pictures(FRAMES) for number in range(runs)]
    frames = [_queries(item) for item in items]
    flat = faiss.IndexBinaryFlat(256)
    flat.add(hashes)
    ours, theirs, found, every, wrong = [], [], 0, 0, 0
    for item, queries in zip(items, frames, strict=True):  # by turns, so that both meet the same machine
        seconds, matches = _timed(lambda queries=queries: _match(bank, queries))
        ours.append(seconds)
        seconds, expected = _searched(flat, item)
        theirs.append(seconds)
        every += len(expected)
        found += len(expected) - len(_without(expected, matches))
        wrong += len(_without(matches, expected))
    flat.reset()
    yield Row("review.lookup_recall.1m", found / every, "share of what faiss's flat index finds", every)
    yield Row("review.lookup_wrong.1m", wrong, "matches that faiss's flat index does not find", every)
    yield Row(
        "review.lookup.vs_faiss_flat", median(theirs) / FRAMES * 1e3, "ms a frame, faiss", runs,
        median(ours) / median(theirs), "faiss IndexBinaryFlat, range search, one thread",
    )  # fmt: skip
    few = items[: 3 if quick else 6]
    multi = faiss.IndexBinaryMultiHash(256, 12, 21)
    multi.nflip = 2
    multi.add(hashes)
    theirs = [_searched(multi, item)[0] for item in few]
    multi.reset()
    yield Row(
        "review.lookup.vs_faiss_multihash", median(theirs) / FRAMES * 1e3, "ms a frame, faiss", len(few),
        median(ours[: len(few)]) / median(theirs), "faiss IndexBinaryMultiHash, 12 tables of 21 bits, 2 changed",
    )  # fmt: skip
    codes = hashes.tobytes().hex()
    index = PDQIndex((codes[at * 64 : at * 64 + 64], at) for at in range(len(hashes)))
    theirs = [_timed(lambda item=item: [index.query(code.tobytes().hex()) for code in item])[0] for item in few]
    yield Row(
        "review.lookup.vs_threatexchange", median(theirs) / FRAMES * 1e3, "ms a frame, python-threatexchange", len(few),
        median(ours[: len(few)]) / median(theirs), "threatexchange PDQIndex.query, frame by frame as its API is",
    )  # fmt: skip


def _searched(index: faiss.IndexBinary, item: Hashes) -> tuple[float, list[tuple[float, int]]]:
    # Faiss gives what is nearer than its radius.
    seconds, (ends, distances, _) = _timed(lambda: index.range_search(item, POLICY.hash_max_distance + 1))
    query = np.repeat(np.arange(FRAMES, dtype=float), np.diff(ends.astype(np.int64)))
    return seconds, list(zip(query.tolist(), distances.astype(int).tolist(), strict=True))


def _without(some: Iterable[tuple[float, int]], others: Iterable[tuple[float, int]]) -> list[tuple[float, int]]:
    return list((Counter(some) - Counter(others)).elements())


def _timed(work: Callable[[], T]) -> tuple[float, T]:
    begun = time.perf_counter()
    done = work()
    return time.perf_counter() - begun, done


def _two_processes(folder: Path, hashes: Hashes, count: int) -> Row:
    """Two workers of a machine that map the same file, each looking items up as fast as it can."""
    np.save(folder / "hashes.npy", hashes)
    command = [sys.executable, "-m", "tests.bench.bank", str(folder)]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) for _ in range(2)
    ]
    try:
        for process in processes:
            assert process.stdout and process.stdout.readline() == "ready\n", "a process of the measure has ended"
        for process in processes:
            assert process.stdin
            process.stdin.write("go\n")
            process.stdin.flush()
        rates, owns = zip(*(map(float, process.communicate()[0].split()) for process in processes), strict=True)
    finally:
        for process in processes:
            process.kill()
            process.wait()
    told = f"frames a second, two processes together, {count:,} frames, {max(owns) / 1e6:.0f} MB of its own each"
    return Row("review.lookups_per_s.1m", sum(rates), told, 2)


def _process(folder: Path) -> None:
    """One of the two: its bank is in force, it waits for a word, and then counts."""
    hashes = np.load(folder / "hashes.npy", mmap_mode="r")
    bank, _ = _filled(folder, hashes)
    made = Made(np.random.default_rng(os.getpid()))
    items = [_queries(_copied(made, hashes, number) if number == 0 else made.pictures(FRAMES)) for number in range(10)]
    print("ready", flush=True)
    sys.stdin.readline()
    done, begun = 0, time.perf_counter()
    while (passed := time.perf_counter() - begun) < BESIDE_S:
        _match(bank, items[done % len(items)])
        done += 1
    print(done * FRAMES / passed, bank.nbytes[1])


def _stall(hashes: Hashes) -> Iterator[Row]:
    """How long a merge in its thread keeps the event loop from going on, at worst."""
    bank = HashBank()
    for entry in _entries(hashes):
        bank[entry.entry_id] = entry
    longest, seconds = asyncio.run(_longest_gap(bank))
    yield Row(
        "review.bank_stall_ms", longest * 1e3, f"ms at worst, {len(hashes):,} frames merged in {seconds:.1f} s", 1
    )


async def _longest_gap(bank: HashBank) -> tuple[float, float]:
    _match(bank, [])  # each look-up takes up what was merged, and begins what is due
    begun = last = time.perf_counter()
    longest = 0.0
    while bank.busy:
        await asyncio.sleep(0.001)
        _match(bank, [])
        now = time.perf_counter()
        longest, last = max(longest, now - last), now
    return longest, last - begun


def _update(hashes: Hashes) -> Iterator[Row]:
    """From a message on `hashbank` to the first look-up that knows of it, over a broker, in a bank of some size."""
    added, removed = asyncio.run(_changes(hashes))
    for name, seconds in (("", added), (".removal", removed)):
        told = f"s at worst from message to match, {len(hashes):,} frames; median {median(seconds):.3f}"
        yield Row(f"review.bank_update_s{name}", max(seconds), told, len(seconds))


async def _changes(hashes: Hashes) -> tuple[list[float], list[float]]:
    with broker() as fresh:
        settings = settings_for(fresh)
        await create_topics(settings)
        view: View[HashEntry] = View(HASHBANK, Metrics(CollectorRegistry()))
        bank = bank_of(view)
        for entry in _entries(hashes):
            bank[entry.entry_id] = entry
        views = Views([view], settings)
        producer = AIOKafkaProducer(bootstrap_servers=settings.broker)
        await views.start()
        await producer.start()
        try:
            await views.loaded()
            new = list(_entries(Made(np.random.default_rng(9)).clips(CHANGES), "new"))
            topic = settings.topic_prefix + HASHBANK.name
            added = [await _shows(bank, producer, topic, entry, encode(entry)) for entry in new]
            removed = [await _shows(bank, producer, topic, entry, None) for entry in new]
        finally:
            await producer.stop()
            await views.stop()
    return added, removed


async def _shows(
    bank: HashBank, producer: AIOKafkaProducer, topic: str, entry: HashEntry, value: bytes | None
) -> float:
    frame = FrameHash(at_s=0.0, pdq=entry.frames[0].pdq, quality=100)
    begun = time.perf_counter()
    await producer.send(topic, value, key=entry.entry_id.encode())
    while True:
        matches = bank.match([frame], max_distance=0, min_quality=0)
        if any(match.entry_id == entry.entry_id for match in matches) == (value is not None):
            return time.perf_counter() - begun
        await asyncio.sleep(0.005)


def _resident_own() -> int:
    """Memory of this process that no file backs, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon:"))


if __name__ == "__main__":
    _process(Path(sys.argv[1]))
