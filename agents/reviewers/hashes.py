"""Finding an item's hashes again, so that a ruling can put them into the hash bank, and the entry that is made of them.

They are in the item's signals, which stay on their topic for two weeks. They are read back when they are needed, from
about when the item was decided on, rather than kept for every item that somebody may rule on one day.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta

from msgspec.structs import replace

from schemas.bank import BankFrame, HashEntry
from schemas.message import Refused
from schemas.orders import Severity
from schemas.policy import SEVERITIES
from schemas.signals import FrameHash, Signals
from schemas.worklist import Banked, Vote, WorkItem
from streams.agent import Incoming

#: Signals come before the decisions on them; clocks of workers may differ by so much.
BEFORE = timedelta(minutes=15)
#: How far back they are looked for if they are not there, or nothing is known of when: as long as they are kept.
KEPT_S = 14 * 86_400.0
#: Frames of an entry at most, evenly over the media, so that it fits into its message (120 bytes each).
MOST_FRAMES = 7_500
#: Frames of less quality match nothing by themselves (PDQ's own advice), and would only fill the bank.
LEAST_QUALITY = 50
#: What a person has removed is removed the next time too, however mild the suspicion was: the policy that ships takes
#: entries down from here on.
LEAST_SEVERITY: Severity = "high"
#: Letters of a reviewer's reason in an entry's note.
MOST_NOTE = 500


async def signals_of(item: WorkItem, now: datetime, read: Callable[[float], AsyncIterator[Incoming]]) -> Signals | None:
    """The item's signals; None if they are no longer kept, or there never were any. `read`: the signals of its
    partition that are younger than so many seconds."""
    ages = [KEPT_S]
    if item.created_at:
        ages.insert(0, min(KEPT_S, max(0.0, (now - item.created_at + BEFORE).total_seconds())))
    for age in ages:
        found = read(age)
        try:
            async for message in found:
                if message.value.event.event_id == item.event_id:
                    return message.value  # type: ignore[no-any-return]
        finally:
            await found.aclose()  # type: ignore[attr-defined]
    return None


def entry_of(item: WorkItem, banked: Banked, signals: Signals) -> HashEntry:
    """The bank's entry for an item: its file, and what is to be seen and heard in it.

    Raises:
        Refused: the ruling that asked for it is not on the row.
    """
    vote = next((vote for vote in item.votes if vote.ruling_id == banked.by), None)
    if vote is None:
        raise Refused("bank", f"ruling {banked.by!r} is not on the row of {item.event_id!r}")
    return HashEntry(
        entry_id=banked.entry_id,
        category=category_of(item, vote),
        source="ruling",
        added_at=vote.ruled_at,
        kind=banked.kind,
        severity=max([LEAST_SEVERITY, *(each.severity for each in item.questions)], key=SEVERITIES.index),
        frames=frames_of(signals.frames),
        sha256=signals.event.media.sha256,
        sounds=signals.sounds,
        duration_s=signals.media.duration_s if signals.media else None,
        note=f"reviewer {vote.reviewer_id} (ruling {vote.ruling_id}) on {item.content_id}: {vote.reason}"[:MOST_NOTE],
    )


def category_of(item: WorkItem, vote: Vote) -> str:
    """What the entry is listed for: the reasons for which the item was asked about or stopped."""
    positions = [each for each in item.positions if vote.target in ("*", each.agent)]
    codes = [reason.code for each in item.questions for reason in each.reasons]
    codes += [reason.code for each in positions for reason in each.reasons]
    named = [code for code in dict.fromkeys(codes) if not code.startswith("PERSON-")]
    return ", ".join(named) or "ruling"


def frames_of(frames: tuple[FrameHash, ...]) -> tuple[BankFrame, ...]:
    """Frames that can match, each once, so many as fit."""
    first = {frame.pdq: frame for frame in reversed(frames) if frame.quality >= LEAST_QUALITY}
    kept = sorted(first.values(), key=lambda frame: frame.at_s)
    step = max(1, -(-len(kept) // MOST_FRAMES))
    return tuple(BankFrame(pdq=frame.pdq, quality=frame.quality, at_s=frame.at_s) for frame in kept[::step])


def done(item: WorkItem, banked: Banked, signals: Signals | None) -> WorkItem:
    """The row once the signals were looked for."""
    found = replace(banked, state="in" if signals else "missing")
    return replace(item, bank=replace(found, sha256=signals.event.media.sha256 if signals else found.sha256))
