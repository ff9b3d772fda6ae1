"""The negative bank: what recall it costs, and which false hits it spares.

Each clip is banned and uploaded again, edited. For each, known good is once what ships, and once every other clip and
still beside it: a negative bank of pictures that have nothing to do with it, as a platform's is. Then clips that begin
with the same leader, a test card or a countdown, and are no copies of each other: each would be hit for its leader.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import numpy as np
from PIL import Image

from agents.review.bank import HashBank
from agents.review.cards import Picture, drawn
from agents.review.enrol import entry_from_file
from agents.review.negative import shipped_matches, weigh
from agents.review.pdq import PdqDetector, pdq
from schemas.bank import BankFrame, HashEntry
from schemas.policy import ReviewPolicy, default_policy
from schemas.signals import FrameHash
from streams.extraction.read import Limits, read
from streams.settings import Settings
from tests.bench.report import Row
from tests.evaluation.footage import CLIPS, EDITS, clip, edited, stills
from tests.evaluation.recall import tier0

#: JPEG qualities and sizes at which leaders are encoded anew, in place of what codecs do to them.
QUALITIES, SCALES = (20, 50, 80), (0.5, 0.75, 1.0)


def measure(quick: bool) -> Iterator[Row]:
    """Recall with and without the negative bank, and hits of leaders with and without it."""
    edits = list(EDITS)[:3] if quick else list(EDITS)
    policy = default_policy().review
    banned = {
        name: entry_from_file(clip(name), entry_id=name, category="eval", source="eval", now=_now()) for name in CLIPS
    }
    good = {
        name: msgspec.structs.replace(entry, entry_id=f"good-{name}", kind="known_good")
        for name, entry in banned.items()
    }
    good |= {
        f"still-{name}": _entry(f"good-{name}", [picture], kind="known_good") for name, picture in stills().items()
    }
    pairs = [(name, edit) for name in CLIPS for edit in edits]
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        queries = list(zip(pairs, pool.map(_query, *zip(*pairs, strict=True)), strict=True))
    off, ships = msgspec.structs.replace(policy, known_good="off"), policy
    plain = [_hit([banned[name]], frames, off) for (name, _), frames in queries]
    carded = [_hit([banned[name]], frames, ships) for (name, _), frames in queries]
    # Every other clip and still is known good.
    large = [
        _hit([banned[name], *(entry for other, entry in good.items() if other != name)], frames, ships)
        for (name, _), frames in queries
    ]
    for label, found in (("", large), (".shipped", carded)):
        lost = sum(before > 0 and after == 0 for before, after in zip(plain, found, strict=True))
        yield Row(f"review.negative_bank.recall_cost{label}", lost / len(plain), "share of edited clips", len(plain))
        frames_lost = sum(before - after for before, after in zip(plain, found, strict=True))
        yield Row(f"review.negative_bank.frames_cost{label}", frames_lost / sum(plain), "share of hits", sum(plain))
    yield from _leaders(banned, off, ships)


def _now() -> datetime:
    return datetime.now(UTC)


def _entry(name: str, pictures: Sequence[Picture], **fields: str) -> HashEntry:
    hashes = [pdq(picture) for picture in pictures]
    frames = tuple(BankFrame(pdq=code, quality=quality, at_s=float(n)) for n, (code, quality) in enumerate(hashes))
    made = HashEntry(entry_id=name, category="eval", source="eval", added_at=_now(), frames=frames)
    return msgspec.structs.replace(made, **fields)


def _hit(entries: Sequence[HashEntry], frames: Sequence[FrameHash], policy: ReviewPolicy) -> int:
    """Hits of banned entries that count."""
    bank = HashBank(entries)
    matches = bank.match(frames, max_distance=policy.hash_max_distance, min_quality=policy.hash_min_quality)
    matches += shipped_matches(frames, matches, policy)
    return len({match.at_s for match in weigh(matches, frames, policy).kept})


def _query(name: str, edit: str) -> tuple[FrameHash, ...]:
    """Edited, then read as the pipeline reads uploads."""
    settings = Settings()
    limits = Limits(settings.sample_interval_s, settings.max_pixels, settings.max_duration_s)
    with TemporaryDirectory(prefix="veristream-eval-") as folder:
        target = Path(folder, "edited.mp4")
        edited(clip(name), target, EDITS[edit])
        return read(target, [PdqDetector()], limits, tier0()).frames


def _leaders(banned: dict[str, HashEntry], off: ReviewPolicy, ships: ReviewPolicy) -> Iterator[Row]:
    """Each leader, encoded in two ways: before a banned clip, and before a clip of another's."""
    hits = {"without": 0, "with": 0}
    number = 0
    for _, _, pictures in drawn():
        for leader in pictures[:2]:
            if pdq(leader)[1] < off.hash_min_quality:
                continue  # without detail: it matches nothing in any case
            # The banned clip's own copy of it, which is closer to other copies than any drawing.
            frames = (*_entry("x", [_encoded(leader, 90, 1.0)]).frames, *banned["bunny"].frames)
            entry = msgspec.structs.replace(banned["bunny"], frames=frames)
            for quality in QUALITIES:
                for scale in SCALES:
                    code, detail = pdq(_encoded(leader, quality, scale))
                    query = [FrameHash(at_s=0.0, pdq=code, quality=detail)]
                    number += 1
                    hits["without"] += _hit([entry], query, off) > 0
                    hits["with"] += _hit([entry], query, ships) > 0
    for label, count in hits.items():
        yield Row(f"review.negative_bank.leader_hits.{label}", count, "unrelated clips hit for their leader", number)


def _encoded(picture: Picture, quality: int, scale: float) -> Picture:
    """As JPEG of that quality at that size, shown at the old one."""
    image = Image.fromarray(picture)
    small = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC)
    packed = io.BytesIO()
    small.save(packed, "JPEG", quality=quality)
    return np.asarray(Image.open(packed).convert("RGB").resize(image.size, Image.Resampling.BICUBIC))
