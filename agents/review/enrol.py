"""Enrolling banned media: from a file to an entry of the hash bank."""

from __future__ import annotations

import hashlib
from datetime import datetime
from pathlib import Path

from agents.review.pdq import PdqDetector
from schemas.bank import BankFrame, HashEntry
from streams.extraction.read import ExtractFailure, Limits, read

#: The bank takes every frame: in fast footage neighbouring frames are 30 bits apart, as much as a match may differ, and
#: enrolling is done once. Frames that show nothing new are left out (see `PdqDetector`).
BANK_INTERVAL_S = 0.0
#: Frames in one entry at most: 110 bytes each, and a message holds a million.
MOST_FRAMES = 7500


def entry_from_file(path: Path, *, entry_id: str, category: str, source: str, now: datetime) -> HashEntry:
    """Hash every frame that shows something new.

    Raises:
        ExtractFailure: the file is not media that can be read; audio alone is banned by its SHA-256 only.
    """
    if path.stat().st_size == 0:  # the demuxer answers with an OSError
        raise ExtractFailure("EXTRACT-EMPTY", "the file has no bytes")
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    limits = Limits(BANK_INTERVAL_S, 8192 * 4320, 6 * 3600.0)
    frames = read(path, [PdqDetector()], limits).frames
    if len(frames) > MOST_FRAMES:
        raise ExtractFailure("EXTRACT-LIMIT", f"it gives {len(frames)} hashes; an entry holds {MOST_FRAMES}: cut it")
    return HashEntry(
        entry_id=entry_id,
        category=category,
        source=source,
        added_at=now,
        sha256=sha256,
        frames=tuple(BankFrame(pdq=frame.pdq, quality=frame.quality, at_s=frame.at_s) for frame in frames),
    )
