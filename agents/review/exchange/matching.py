"""What a media file meets in a hash bank: which entries, where, by picture, by sound or as the same file."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Literal, NamedTuple

from agents.review.bank import HashBank, Match
from agents.review.copied import FULL
from agents.review.corners import PointsDetector
from agents.review.heard import heard
from agents.review.hits import card_of, frames_of
from agents.review.known_pictures import told
from agents.review.negative import Aside, cards_shown, shipped_matches, weigh
from agents.review.pdq import PdqDetector
from agents.review.pointbank import PointBank
from agents.review.sequence import stretches
from agents.review.sound import SoundDetector
from agents.review.soundbank import SoundBank
from schemas.bank import HashEntry
from schemas.policy import OnHash, ReviewPolicy
from streams.extraction.read import ExtractFailure, Limits, Reading, read


class Met(NamedTuple):
    """A stretch of the file that meets an entry; times in seconds, of the file and of the entry's media."""

    entry: HashEntry
    by: Literal["file", "frames", "points", "sound"]
    begin_s: float = 0.0
    end_s: float = 0.0
    bank_begin_s: float | None = None
    bank_end_s: float | None = None
    #: How well, in words.
    close: str = ""
    #: What follows from it.
    action: OnHash = "allow"
    #: Why it does not count; empty if it does.
    aside: str = ""


class Digests(NamedTuple):
    """Of a file's bytes."""

    sha256: str
    md5: str


def digests(path: Path) -> Digests:
    """Both in one reading."""
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(2**20):
            sha256.update(chunk)
            md5.update(chunk)
    return Digests(sha256.hexdigest(), md5.hexdigest())


def met(path: Path, entries: Iterable[HashEntry], policy: ReviewPolicy, now: datetime, *, every_s: float) -> list[Met]:
    """What the file meets: what counts before what the negative bank sets aside, then by place. A frame each so many
    seconds is looked at (0: all).

    Raises:
        ExtractFailure: it is not media that can be read, and its bytes are not those of an entry either.
    """
    known = {entry.entry_id: entry for entry in entries if entry.active}
    found = list(_same_file(known.values(), digests(path), policy))
    try:
        if path.stat().st_size == 0:
            raise ExtractFailure("EXTRACT-EMPTY", "the file has no bytes")
        detectors = [PdqDetector(), PointsDetector(), SoundDetector()]
        reading = read(path, detectors, Limits(every_s, 8192 * 4320, 6 * 3600.0))
    except ExtractFailure:
        if not found:
            raise
        return found
    found += _by_frames(reading, known, policy, now)
    found += _by_points(reading, known, policy, now)
    found += _by_sound(reading, known, policy, now)
    if good := next((one.entry for one in found if one.by == "file" and one.entry.kind == "known_good"), None):
        aside = f"the same file is known good: {good.category} ({good.entry_id})"
        found = [one if one.entry is good else one._replace(aside=one.aside or aside) for one in found]
    return sorted(found, key=lambda one: (bool(one.aside), one.begin_s, one.entry.entry_id))


def _same_file(entries: Iterable[HashEntry], of_file: Digests, policy: ReviewPolicy) -> Iterator[Met]:
    for entry in entries:
        if entry.sha256 == of_file.sha256 or entry.md5 == of_file.md5:
            good = entry.kind == "known_good" and policy.known_good != "off"
            action: OnHash = "allow" if entry.kind == "known_good" else policy.hash_action(entry.bank, entry.severity)
            yield Met(entry, "file", close="the same file", action=action, aside="it is known good" if good else "")


def _by_frames(reading: Reading, known: Mapping[str, HashEntry], policy: ReviewPolicy, now: datetime) -> Iterator[Met]:
    matches = HashBank(known.values()).match(
        reading.frames, max_distance=policy.hash_max_distance, min_quality=policy.hash_min_quality, now=now
    )
    matches += shipped_matches(reading.frames, matches, policy)
    weighed = weigh(matches, reading.frames, policy)
    few = frames_of(weighed.kept) < policy.hash_min_frames
    for why, hits in (("", weighed.kept), *_reasons(weighed.aside).items()):
        for stretch in stretches(hits):
            entry = known[stretch.entry_id]
            action = policy.hash_action(entry.bank, entry.severity)
            closest = min(
                match.distance
                for match in hits
                if match.entry_id == stretch.entry_id and stretch.at_s <= match.at_s <= stretch.until_s
            )
            faster = (
                f", at {stretch.speed:.2f} times its speed" if stretch.speed and abs(stretch.speed - 1) > 0.01 else ""
            )
            yield Met(
                entry, "frames", stretch.at_s, stretch.until_s, stretch.bank_at_s, stretch.bank_until_s,
                f"{stretch.frames} frames, the closest {closest} bits away{faster}",
                "review" if few and action == "takedown" else action, why,
            )  # fmt: skip


def _reasons(asides: Sequence[Aside]) -> dict[str, list[Match]]:
    by_reason: dict[str, list[Match]] = defaultdict(list)
    for match, by in asides:
        why = f"known good: {by.category} ({by.entry_id})" if by is not None else "frames without detail only"
        by_reason[why].append(match)
    return by_reason


def _by_points(reading: Reading, known: Mapping[str, HashEntry], policy: ReviewPolicy, now: datetime) -> Iterator[Met]:
    if policy.points_review is None:
        return
    shown = cards_shown(reading.frames, policy)
    for signal in told(PointBank(known.values()).find(reading.points, now)):
        points = signal.score * FULL
        if points < policy.points_review:
            continue
        for evidence in signal.evidence:
            entry = known[evidence.entry or ""]
            action = policy.hash_action(entry.bank, entry.severity)
            if action == "takedown" and (policy.points_takedown is None or points < policy.points_takedown):
                action = "review"
            yield Met(
                entry, "points", evidence.at_s or 0.0, evidence.until_s or 0.0,
                close=f"{points:.0f} points of a frame agree", action=action,
                aside=f"known good: {card}" if (card := card_of(evidence, shown)) else "",
            )  # fmt: skip


def _by_sound(reading: Reading, known: Mapping[str, HashEntry], policy: ReviewPolicy, now: datetime) -> Iterator[Met]:
    if policy.sound_max_errors is None:
        return
    bank = SoundBank(known.values(), now=now)
    for one in bank.match(reading.sounds, max_errors=policy.sound_max_errors, min_s=policy.sound_min_s):
        action: OnHash = next((finding.action for finding in heard([one], policy)), "allow")
        yield Met(
            one.entry, "sound", one.at_s, one.until_s, one.bank_at_s, one.bank_until_s,
            f"{one.errors:.0%} of the bits differ", action,
        )  # fmt: skip
