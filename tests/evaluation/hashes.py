"""The hash bank: is banned footage found again after it was edited, and is other footage taken for it?"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np

from agents.review.bank import HashBank
from agents.review.enrol import entry_from_file
from agents.review.pdq import PdqDetector, pdq
from schemas.bank import HashEntry
from schemas.policy import default_policy
from schemas.signals import FrameHash
from streams.extraction.read import Limits, read
from streams.settings import Settings
from tests.bench.report import Row
from tests.evaluation.footage import CLIPS, EDITS, clip, edited, stills
from tests.evaluation.recall import tier0


class Query(NamedTuple):
    """A clip as somebody uploads it again: which, edited how, and the hashes that extraction makes of it."""

    clip: str
    edit: str
    frames: tuple[FrameHash, ...]


def measure(quick: bool) -> Iterator[Row]:
    """Every clip is banned, every clip is edited in every way."""
    edits = list(EDITS)[:4] if quick else list(EDITS)
    policy = default_policy().review
    entries = [
        entry_from_file(clip(name), entry_id=name, category="eval", source="eval", now=datetime.now(UTC))
        for name in CLIPS
    ]
    bank = HashBank(entries, min_quality=policy.hash_min_quality)
    found: dict[str, list[bool]] = defaultdict(list)
    frames_found = frames_usable = wrong = 0
    queries = _queries(edits)
    for query in queries:
        matches = bank.match(query.frames, max_distance=policy.hash_max_distance, min_quality=policy.hash_min_quality)
        right = [match for match in matches if match.entry_id == query.clip]
        found[query.edit].append(len(right) >= policy.hash_min_frames)
        frames_found += len(right)
        frames_usable += sum(frame.quality >= policy.hash_min_quality for frame in query.frames)
        wrong += len(right) < len(matches)
    hits = [hit for of_edit in found.values() for hit in of_edit]
    yield Row("review.hash.recall", np.mean(hits).item(), "share of edited clips found", len(hits))
    for edit, of_edit in found.items():
        yield Row(f"review.hash.recall.{edit}", np.mean(of_edit).item(), "share of edited clips found", len(of_edit))
    yield Row("review.hash.recall.frames", frames_found / frames_usable, "share of sampled frames", frames_usable)
    yield Row("review.hash.wrong_entry", wrong, "edited clips matched with another entry", len(hits))
    yield from _unrelated(entries, queries, policy.hash_max_distance, policy.hash_min_quality)


def _queries(edits: list[str]) -> list[Query]:
    pairs = [(name, edit) for name in CLIPS for edit in edits]
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        return list(pool.map(_query, *zip(*pairs, strict=True)))


def _query(name: str, edit: str) -> Query:
    """Edited, then read as the pipeline reads uploads."""
    settings = Settings()
    limits = Limits(settings.sample_interval_s, settings.max_pixels, settings.max_duration_s)
    with TemporaryDirectory(prefix="veristream-eval-") as folder:
        target = Path(folder, "edited.mp4")
        edited(clip(name), target, EDITS[edit])
        return Query(name, edit, read(target, [PdqDetector()], limits, tier0()).frames)


def _unrelated(entries: list[HashEntry], queries: list[Query], most: int, quality: int) -> Iterator[Row]:
    """Every frame of a clip's entry against every frame of other clips, edited or not, and against stills."""
    shown = [(entry.entry_id, frame.pdq) for entry in entries for frame in entry.frames if frame.quality >= quality]
    shown += [(query.clip, frame.pdq) for query in queries for frame in query.frames if frame.quality >= quality]
    for name, picture in stills().items():
        code, usable = pdq(picture)
        shown += [(name, code)] if usable >= quality else []
    bits = np.array([np.frombuffer(bytes.fromhex(code), np.uint64) for _, code in shown])
    names = np.array([name for name, _ in shown])
    distances = []
    for entry in entries:
        others = bits[names != entry.entry_id]
        for frame in entry.frames:
            if frame.quality >= quality:
                mine = np.frombuffer(bytes.fromhex(frame.pdq), np.uint64)
                distances.append(np.bitwise_count(others ^ mine).sum(axis=1, dtype=np.uint16))
    every = np.concatenate(distances)
    yield Row("review.hash.false_matches", int((every <= most).sum()), "pairs of unrelated frames", every.size)
    yield Row("review.hash.closest_unrelated", int(every.min()), "bits of 256", every.size)
