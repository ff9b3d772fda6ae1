"""Enrolling banned media: from a file to an entry of the hash bank."""

from __future__ import annotations

import hashlib
from datetime import datetime
from pathlib import Path

from msgspec.structs import replace

from agents.review.corners import EnrollingPointsDetector
from agents.review.pdq import PdqDetector
from agents.review.sound import EnrollingSoundDetector
from schemas.bank import BankFrame, HashEntry
from schemas.message import encode
from schemas.signals import FramePoints, SoundPrint
from streams.extraction.read import ExtractFailure, Limits, read

#: The bank takes every frame: in fast footage neighbouring frames are 30 bits apart, as much as a match may differ, and
#: enrolling is done once. Frames that show nothing new are left out (see `PdqDetector`).
BANK_INTERVAL_S = 0.0
#: Frames in one entry at most: 110 bytes each, and a message holds a million.
MOST_FRAMES = 7500
#: Bytes of an entry in all, of the million that a message holds: what is left of them is for points of frames.
MOST_BYTES = 950_000
#: Fingerprints of sound in one entry at most, in bytes, which base64 makes a third more: a quarter of an hour with all
#: its variants, 77 minutes of sound as it is.
MOST_SOUND = 150_000


def entry_from_file(path: Path, *, entry_id: str, category: str, source: str, now: datetime) -> HashEntry:
    """Hash every frame that shows something new.

    Raises:
        ExtractFailure: the file is not media that can be read, or so long that no message holds what is found.
    """
    if path.stat().st_size == 0:  # the demuxer answers with an OSError
        raise ExtractFailure("EXTRACT-EMPTY", "the file has no bytes")
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    limits = Limits(BANK_INTERVAL_S, 8192 * 4320, 6 * 3600.0)
    reading = read(path, [PdqDetector(), EnrollingSoundDetector(), EnrollingPointsDetector()], limits)
    frames = reading.frames
    if len(frames) > MOST_FRAMES:
        raise ExtractFailure("EXTRACT-LIMIT", f"it gives {len(frames)} hashes; an entry holds {MOST_FRAMES}: cut it")
    entry = HashEntry(
        entry_id=entry_id,
        category=category,
        source=source,
        added_at=now,
        sha256=sha256,
        frames=tuple(BankFrame(pdq=frame.pdq, quality=frame.quality, at_s=frame.at_s) for frame in frames),
        sounds=_fitting(reading.sounds),
    )
    return replace(entry, points=_evenly(reading.points, MOST_BYTES - len(encode(entry))))


def _evenly(points: tuple[FramePoints, ...], room: int) -> tuple[FramePoints, ...]:
    """As many as there is room for, in bytes of JSON, and evenly spread."""
    largest = max((len(encode(frame)) for frame in points), default=1)
    count = max(0, min(len(points), room // (largest + 1)))
    return tuple(points[place * len(points) // count] for place in range(count))


def _fitting(sounds: tuple[SoundPrint, ...]) -> tuple[SoundPrint, ...]:
    """All of them; of a long sound only those of it as it is."""
    plain = tuple(sound for sound in sounds if not sound.variant)
    for kept in (sounds, plain):
        if sum(len(sound.codes) for sound in kept) <= MOST_SOUND:
            return kept
    raise ExtractFailure("EXTRACT-LIMIT", "it holds more than 77 minutes of sound, and an entry no more: cut it")
