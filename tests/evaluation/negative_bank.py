"""The negative bank: what recall it costs, and which false hits it spares.

Each clip of the evasion suite is banned and uploaded again, edited. Known good is once what ships, and once every other
clip and still beside it: a negative bank of pictures that have nothing to do with it, as a platform's is, parts of the
same film among them. Then clips that begin with the same leader, a test card or a countdown, and are no copies of each
other: each would be hit for its leader.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

import msgspec
import numpy as np
from PIL import Image

from agents.review.bank import HashBank
from agents.review.cards import Picture, drawn
from agents.review.copied import FULL
from agents.review.hits import card_of
from agents.review.known_pictures import told
from agents.review.negative import cards_shown, shipped_matches, weigh
from agents.review.pdq import pdq
from agents.review.pointbank import PointBank
from schemas.bank import BankFrame, HashEntry
from schemas.policy import ReviewPolicy, default_policy
from schemas.signals import FrameHash
from tests.bench.report import Row
from tests.evaluation.evasion import QUICK_CLIPS, QUICK_EDITS, Query, _clip
from tests.evaluation.evasion_clips import CLIPS, Still
from tests.evaluation.evasion_edits import EDITS
from tests.evaluation.evasion_files import INSTEAD, OTHER, banned
from tests.evaluation.footage import stills

#: Of the suite's edits of the picture so many are left out between two: a third says enough of a difference.
EACH = 3
#: JPEG qualities and sizes at which leaders are encoded anew, in place of what codecs do to them.
QUALITIES, SCALES = (20, 50, 80), (0.5, 0.75, 1.0)
UNIT = "share of edited clips found without it"


def measure(quick: bool) -> Iterator[Row]:
    """Recall with and without the negative bank, and hits of leaders with and without it."""
    names = list(islice(CLIPS, QUICK_CLIPS)) if quick else list(CLIPS)
    pictures = [name for name, edit in EDITS.items() if not edit.of_sound]
    edits = [edit for edit in QUICK_EDITS if edit in pictures] if quick else pictures[::EACH]
    for name in (OTHER, INSTEAD):
        banned(name)
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        of_clips = dict(zip(names, pool.map(_clip, names, [edits] * len(names)), strict=True))
    good = {name: _good(entry) for name, (entry, _) in of_clips.items()}
    shown = {Path(clip.file).name for clip in CLIPS.values() if isinstance(clip, Still)}  # clips are made of these
    good |= {f"still {name}": _good(_entry(name, [picture])) for name, picture in stills().items() if name not in shown}
    ships = default_policy().review
    off = msgspec.structs.replace(ships, known_good="off")
    by_hash, by_picture = _Loss(), _Loss()
    ship_only = _Loss()
    for name, (entry, queries) in of_clips.items():
        others = [one for other, one in good.items() if other != name]
        alone, points_alone = HashBank([entry]), PointBank([entry])
        beside, points_beside = HashBank([entry, *others]), PointBank([entry, *others])
        for query in queries:
            plain = _hits(alone, query.frames, off)
            carded = _hits(alone, query.frames, ships)
            weighed = _hits(beside, query.frames, ships)
            ship_only.add(plain, carded)
            by_hash.add(plain, weighed)
            by_picture.add(plain + _copies(points_alone, query, off), weighed + _copies(points_beside, query, ships))
    yield by_picture.row("review.negative_bank.recall_cost")
    yield by_hash.row("review.negative_bank.recall_cost.by_hash")
    yield ship_only.row("review.negative_bank.recall_cost.shipped")
    yield Row(
        "review.negative_bank.frames_cost", by_hash.frames_lost, "share of frames that hit without it", by_hash.frames
    )
    yield from _leaders(next(iter(of_clips.values()))[0], off, ships)


class _Loss:
    """Edited clips that are found without the negative bank, and those of them that are not found with it."""

    def __init__(self) -> None:
        self.found = self.lost = self.frames = self.frames_left = 0

    def add(self, before: int, after: int) -> None:
        """Hits of one edited clip."""
        self.found += before > 0
        self.lost += before > 0 and after == 0
        self.frames += before
        self.frames_left += after

    @property
    def frames_lost(self) -> float:
        """Share of hits that no longer count."""
        return 1 - self.frames_left / self.frames

    def row(self, name: str) -> Row:
        """The share that is lost."""
        return Row(name, self.lost / self.found, UNIT, self.found)


def _good(entry: HashEntry) -> HashEntry:
    return msgspec.structs.replace(entry, entry_id=f"good {entry.entry_id}", kind="known_good")


def _entry(name: str, pictures: Sequence[Picture]) -> HashEntry:
    hashes = [pdq(picture) for picture in pictures]
    frames = tuple(BankFrame(pdq=code, quality=quality, at_s=float(n)) for n, (code, quality) in enumerate(hashes))
    return HashEntry(entry_id=name, category="eval", source="eval", added_at=datetime.now(UTC), frames=frames)


def _hits(bank: HashBank, frames: Sequence[FrameHash], policy: ReviewPolicy) -> int:
    """Frames that hit banned entries and count."""
    matches = bank.match(frames, max_distance=policy.hash_max_distance, min_quality=policy.hash_min_quality)
    matches += shipped_matches(frames, matches, policy)
    return len({match.at_s for match in weigh(matches, frames, policy).kept})


def _copies(bank: PointBank, query: Query, policy: ReviewPolicy) -> int:
    """Stretches that are copies by their points, and show more than cards."""
    shown = cards_shown(query.frames, policy)
    signals = told(bank.find(query.points, datetime.now(UTC)))
    sure = [signal for signal in signals if signal.score * FULL >= (policy.points_review or FULL + 1)]
    return sum(not card_of(evidence, shown) for signal in sure for evidence in signal.evidence)


def _leaders(clip: HashEntry, off: ReviewPolicy, ships: ReviewPolicy) -> Iterator[Row]:
    """Each leader, encoded in two ways: before a banned clip, and before a clip of another's."""
    hits = {"without": 0, "with": 0}
    number = 0
    for _, _, pictures in drawn():
        for leader in pictures[:2]:
            if pdq(leader)[1] < off.hash_min_quality:
                continue  # without detail: it matches nothing in any case
            # The banned clip's own copy of it, which is closer to other copies than any drawing.
            frames = (*_entry("x", [_encoded(leader, 90, 1.0)]).frames, *clip.frames)
            bank = HashBank([msgspec.structs.replace(clip, frames=frames)])
            for quality in QUALITIES:
                for scale in SCALES:
                    code, detail = pdq(_encoded(leader, quality, scale))
                    query = [FrameHash(at_s=0.0, pdq=code, quality=detail)]
                    number += 1
                    hits["without"] += _hits(bank, query, off) > 0
                    hits["with"] += _hits(bank, query, ships) > 0
    for label, count in hits.items():
        yield Row(f"review.negative_bank.leader_hits.{label}", count, "unrelated clips hit for their leader", number)


def _encoded(picture: Picture, quality: int, scale: float) -> Picture:
    """As JPEG of that quality at that size, shown at the old one."""
    image = Image.fromarray(picture)
    small = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC)
    packed = io.BytesIO()
    small.save(packed, "JPEG", quality=quality)
    return np.asarray(Image.open(packed).convert("RGB").resize(image.size, Image.Resampling.BICUBIC))
