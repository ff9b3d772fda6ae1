"""What a media file meets in a hash bank: which entries, where, by picture, by sound or as the same file."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Literal, NamedTuple

from agents.review.bank import HashBank, Match
from agents.review.negative import entries_of, shipped_matches, weigh
from agents.review.pdq import PdqDetector
from agents.review.sound import SoundDetector
from agents.review.soundprint import SoundBank
from schemas.bank import HashEntry
from schemas.policy import ReviewPolicy
from streams.extraction.read import ExtractFailure, Limits, Reading, read

#: Hits of one entry this far apart in the file, in seconds, are two stretches.
APART_S = 5.0


class Met(NamedTuple):
    """A stretch of the file that meets an entry; times in seconds, of the file and of the entry's media."""

    entry: HashEntry
    by: Literal["file", "picture", "sound"]
    begin_s: float
    end_s: float
    bank_begin_s: float
    bank_end_s: float
    #: How well: bits of 256 of the closest frame, share of bits of sound that differ, 0 for the same file.
    distance: float
    #: Frames that hit.
    hits: int
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


def looked_at(path: Path, every_s: float) -> Reading:
    """Hash the file's frames, one each so many seconds (0: all), and its sound.

    Raises:
        ExtractFailure: it is not media that can be read.
    """
    if path.stat().st_size == 0:
        raise ExtractFailure("EXTRACT-EMPTY", "the file has no bytes")
    return read(path, [PdqDetector(), SoundDetector()], Limits(every_s, 8192 * 4320, 6 * 3600.0))


def met(path: Path, entries: Iterable[HashEntry], policy: ReviewPolicy, now: datetime, *, every_s: float) -> list[Met]:
    """What the file meets, what counts before what the negative bank sets aside, then by place.

    Raises:
        ExtractFailure: it is not media that can be read, and its bytes are not those of an entry either.
    """
    known = {entry.entry_id: entry for entry in entries if entry.active}
    of_file = digests(path)
    found = list(_same_file(known.values(), of_file))
    try:
        reading = looked_at(path, every_s)
    except ExtractFailure:
        if not found:
            raise
        return found
    frames = HashBank(known.values(), min_quality=policy.hash_min_quality, now=now).match(
        reading.frames, max_distance=policy.hash_max_distance, min_quality=policy.hash_min_quality
    )
    frames += shipped_matches(reading.frames, frames, policy)
    matched = entries_of(frames, known)
    weighed = weigh(frames, matched, reading.frames, policy)
    found += _stretches(weighed.kept, matched, "")
    for aside, why in _reasons(weighed.aside, matched).items():
        found += _stretches(why, matched, aside)
    if policy.sound_max_errors is not None:
        bank = SoundBank(known.values(), now=now)
        for heard in bank.match(reading.sounds, max_errors=policy.sound_max_errors, min_s=policy.sound_min_s):
            found.append(
                Met(
                    heard.entry,
                    "sound",
                    heard.at_s,
                    heard.until_s,
                    heard.bank_at_s,
                    heard.bank_until_s,
                    heard.errors,
                    0,
                )
            )
    return sorted(found, key=lambda one: (bool(one.aside), one.begin_s, one.distance))


def _same_file(entries: Iterable[HashEntry], of_file: Digests) -> Iterator[Met]:
    for entry in entries:
        if entry.sha256 == of_file.sha256 or entry.md5 == of_file.md5:
            good = "known good: the same file" if entry.kind == "known_good" else ""
            yield Met(entry, "file", 0.0, 0.0, 0.0, 0.0, 0.0, 0, good)


def _reasons(asides: Sequence[tuple[Match, Match | None]], entries: Mapping[str, HashEntry]) -> dict[str, list[Match]]:
    by_reason: dict[str, list[Match]] = defaultdict(list)
    for match, by in asides:
        known = f"known good: {entries[by.entry_id].category} ({by.entry_id})" if by is not None else ""
        by_reason[known or "frames without detail only"].append(match)
    return by_reason


def _stretches(matches: Iterable[Match], entries: Mapping[str, HashEntry], aside: str) -> Iterator[Met]:
    """Hits of the same entry, joined where they follow each other."""
    by_entry: dict[str, list[Match]] = defaultdict(list)
    for match in sorted(matches, key=lambda match: match.at_s):
        by_entry[match.entry_id].append(match)
    for name, hits in by_entry.items():
        begin = 0
        for end in range(1, len(hits) + 1):
            if end == len(hits) or hits[end].at_s - hits[end - 1].at_s > APART_S:
                part, begin = hits[begin:end], end
                places = [match.bank_at_s for match in part]
                yield Met(
                    entries[name], "picture", part[0].at_s, part[-1].at_s, min(places), max(places),
                    min(match.distance for match in part), len({match.at_s for match in part}), aside,
                )  # fmt: skip
