"""Evasion: is banned media found again whatever was done to it, and is anything else taken for it?

Every clip of `evasion_clips.CLIPS` is banned, and uploaded again edited in every way of `evasion_edits.EDITS`; it is
read as the pipeline reads any item that gives no reason to look closer, and matched by the policy that ships. Variants
and thresholds were chosen on `evasion_clips.TUNING`, whose own figure is a row of its own. Edits of sound are done to
the clips that have some, and there the picture is as it was: what sound finds by itself is told apart.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from itertools import islice
from multiprocessing import get_context
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from agents.review.bank import HashBank
from agents.review.corners import PointsDetector
from agents.review.enrol import entry_from_file
from agents.review.pdq import PdqDetector, pdq
from agents.review.pointbank import Copy, PointBank
from agents.review.points import BANK_POINTS, Comparer, unpacked
from agents.review.sequence import stretches
from agents.review.sound import SoundDetector
from agents.review.soundbank import SoundBank
from schemas.bank import HashEntry
from schemas.policy import default_policy
from schemas.signals import FrameHash, FramePoints, SoundPrint
from streams.extraction.read import Limits, read
from streams.settings import Settings
from tests.bench.report import Row
from tests.evaluation.evasion_clips import CLIPS, SOUNDS, TUNING
from tests.evaluation.evasion_edits import EDITS
from tests.evaluation.evasion_files import INSTEAD, OTHER, banned, edited, pairs
from tests.evaluation.footage import stills
from tests.evaluation.recall import tier0

#: What a try is made of.
QUICK_CLIPS, QUICK_EDITS = 4, ("crf40", "crop10", "mirror", "tilt10", "caption", "screen", "splice", "pitch_up")
#: Pairs of pictures of different clips that are compared point by point, whether anything asks for it or not.
COMPARED = 20_000
#: When the part begins that the edit `splice` puts into other content, in seconds.
SPLICED_AT_S = 4.32
UNIT = "share of edited clips found"

KINDS = (PdqDetector, PointsDetector, SoundDetector)


class Query(NamedTuple):
    """A clip as somebody uploads it again: which, edited how, and what extraction finds in it."""

    clip: str
    edit: str
    frames: tuple[FrameHash, ...]
    points: tuple[FramePoints, ...]
    sounds: tuple[SoundPrint, ...]


class Found(NamedTuple):
    """What of it was found, by what; `removes`: for certain enough to be removed, not only for a person to look at."""

    query: Query
    hash: bool
    points: bool
    sound: bool
    removes: bool
    wrong: tuple[str, ...]

    @property
    def picture(self) -> bool:
        """By the picture alone."""
        return self.hash or self.points

    @property
    def any(self) -> bool:
        """At all."""
        return self.picture or self.sound


class Banks(NamedTuple):
    """Everything that is banned."""

    entries: list[HashEntry]
    hashes: HashBank
    points: PointBank
    sounds: SoundBank


def measure(quick: bool) -> Iterator[Row]:
    """Every clip is banned, every clip is edited in every way."""
    names = list(islice(CLIPS, QUICK_CLIPS)) if quick else list(CLIPS)
    edits = list(QUICK_EDITS) if quick else list(EDITS)
    for name in (OTHER, INSTEAD):
        banned(name)
    groups = [(name, edits) for name in (*names, *(() if quick else TUNING))]
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        read_clips = dict(zip([name for name, _ in groups], pool.map(_clip, *zip(*groups, strict=True)), strict=True))
    banks = _banks([read_clips[name][0] for name in names])
    found = [_found(query, banks) for name in names for query in read_clips[name][1]]
    yield from _recall(found)
    if not quick:
        tuned = _banks([read_clips[name][0] for name in TUNING])
        of_tuning = [_found(query, tuned).any for name in TUNING for query in read_clips[name][1]]
        yield Row("review.recall.tuning_clips", np.mean(of_tuning).item(), UNIT, len(of_tuning))
    yield from _places(found, banks)
    everything = [query for entry, queries in read_clips.values() for query in queries]
    yield from _false(banks, found, everything)


def _clip(name: str, edits: list[str]) -> tuple[HashEntry, list[Query]]:
    """The entry of a clip, and all its edits as the pipeline reads uploads."""
    settings = Settings()
    limits = Limits(settings.sample_interval_s, settings.max_pixels, settings.max_duration_s)
    entry = entry_from_file(banned(name), entry_id=name, category="eval", source="eval", now=datetime.now(UTC))
    queries = []
    for of, edit in pairs([name], edits):
        reading = read(edited(of, edit), [kind() for kind in KINDS], limits, tier0(KINDS))
        if reading.absent:
            raise RuntimeError(f"{of}, {edit}: {reading.absent}")
        queries.append(Query(of, edit, reading.frames, reading.points, reading.sounds))
    return entry, queries


def _banks(entries: list[HashEntry]) -> Banks:
    return Banks(entries, HashBank(entries), PointBank(entries), SoundBank(entries))


def _found(query: Query, banks: Banks) -> Found:
    policy, now = default_policy().review, datetime.now(UTC)
    hashes = banks.hashes.match(
        query.frames, max_distance=policy.hash_max_distance, min_quality=policy.hash_min_quality
    )
    right = {match.at_s for match in hashes if match.entry_id == query.clip}
    copies = _best(banks.points.find(query.points, now))
    sounds = banks.sounds.match(query.sounds, max_errors=policy.sound_max_errors or 0.0, min_s=policy.sound_min_s)
    points = copies.get(query.clip, 0)
    least, sure = policy.points_review or 256, policy.points_takedown or 256
    wrong = {match.entry_id for match in hashes} | {entry for entry, count in copies.items() if count >= least}
    wrong |= {match.entry.entry_id for match in sounds}
    return Found(
        query,
        hash=len(right) > 0,
        points=points >= least,
        sound=any(match.entry.entry_id == query.clip for match in sounds),
        removes=len(right) >= policy.hash_min_frames or points >= sure,
        wrong=tuple(sorted(wrong - {query.clip})),
    )


def _best(copies: Sequence[Copy]) -> dict[str, int]:
    best: dict[str, int] = defaultdict(int)
    for copy in copies:
        best[copy.entry_id] = max(best[copy.entry_id], copy.points)
    return best


def _recall(found: Sequence[Found]) -> Iterator[Row]:
    def row(name: str, rows: Sequence[Found], by: Callable[[Found], bool]) -> Row:
        return Row(name, sum(map(by, rows)) / len(rows) if rows else None, UNIT, len(rows))

    heard = [one for one in found if one.query.clip in SOUNDS]
    yield row("review.recall", found, lambda one: one.any)
    yield row("review.recall.removed", found, lambda one: one.removes)
    yield row("review.recall.by_picture", found, lambda one: one.picture)
    yield row("review.recall.by_hash", found, lambda one: one.hash)
    yield row("review.recall.by_points", found, lambda one: one.points)
    yield row("review.recall.by_sound", heard, lambda one: one.sound)
    for edit in dict.fromkeys(one.query.edit for one in found):
        of_edit = [one for one in found if one.query.edit == edit]
        if EDITS[edit].of_sound:  # the picture is as it was, and finds them all
            yield row(f"review.recall.{edit}.by_sound", of_edit, lambda one: one.sound)
        else:
            yield row(f"review.recall.{edit}", of_edit, lambda one: one.any)
            yield row(f"review.recall.{edit}.by_hash", of_edit, lambda one: one.hash)
    for name in dict.fromkeys(one.query.clip for one in found):
        yield row(f"review.recall.of_{name}", [one for one in found if one.query.clip == name], lambda one: one.any)


def _places(found: Sequence[Found], banks: Banks) -> Iterator[Row]:
    """How far from the truth it is said where the part lies that was put into other content."""
    policy, now = default_policy().review, datetime.now(UTC)
    errors = []
    for query in (one.query for one in found if one.query.edit == "splice"):
        hashes = banks.hashes.match(
            query.frames, max_distance=policy.hash_max_distance, min_quality=policy.hash_min_quality
        )
        copies = [copy for copy in banks.points.find(query.points, now) if copy.points >= (policy.points_review or 0)]
        said = [one for one in stretches([*hashes, *copies]) if one.entry_id == query.clip]
        if said:
            errors.append(abs(said[0].at_s - SPLICED_AT_S))
    yield Row("review.stretch.begin_error_s", np.mean(errors).item() if errors else None, "s, mean", len(errors))


def _false(banks: Banks, found: Sequence[Found], queries: Sequence[Query]) -> Iterator[Row]:
    """Everything against every entry that it is not of, and against stills."""
    policy = default_policy().review
    distances = _distances(banks.entries, queries, policy.hash_min_quality)
    agreeing = _agreeing(banks.entries, queries)
    false = int((distances <= policy.hash_max_distance).sum()) + int((agreeing >= (policy.points_review or 256)).sum())
    false += sum(len(one.wrong) for one in found)
    yield Row("review.false_matches", false, "of pairs of unrelated frames", distances.size + agreeing.size)
    yield Row("review.false_matches.clips", sum(bool(one.wrong) for one in found), "edited clips", len(found))
    yield Row("review.closest_unrelated.hash", int(distances.min()), "bits of 256", distances.size)
    yield Row("review.closest_unrelated.points", int(agreeing.max()), "points that agree", agreeing.size)


def _distances(entries: Sequence[HashEntry], queries: Sequence[Query], quality: int) -> NDArray[np.uint16]:
    shown = [(entry.entry_id, frame.pdq) for entry in entries for frame in entry.frames if frame.quality >= quality]
    # What is put over or into other footage shows that as well, so it is no stranger to the clip that it comes from.
    shown += [
        (query.clip, frame.pdq)
        for query in queries
        if query.edit not in ("splice", "inset")
        for frame in query.frames
        if frame.quality >= quality
    ]
    for name, picture in stills().items():
        if not any(name in str(clip) for clip in (CLIPS | TUNING).values()):
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
    return np.concatenate(distances)


def _agreeing(entries: Sequence[HashEntry], queries: Sequence[Query]) -> NDArray[np.int64]:
    """Points that agree, of pairs that are taken by chance."""
    chance, compare = np.random.default_rng(11), Comparer()
    frames = [
        (query.clip, frame) for query in queries if query.edit not in ("splice", "inset") for frame in query.points
    ]
    known = [(entry.entry_id, frame) for entry in entries for frame in entry.points]
    counts = []
    while len(counts) < COMPARED:
        (clip, frame), (entry, banned_frame) = frames[chance.integers(len(frames))], known[chance.integers(len(known))]
        if clip != entry:
            counts.append(compare.agreeing(unpacked(frame), unpacked(banned_frame, BANK_POINTS)))
    return np.array(counts)
