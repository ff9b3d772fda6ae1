"""The judge of recycled footage (Provisions, Art. 11): the same pictures, and a text that names another place or date.
Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from agents.decide import decide, ground, review
from agents.recycled.named import Named, differ, later
from agents.recycled.pictures import same
from schemas.decision import Decision
from schemas.policy import Policy, RecycledPolicy
from schemas.signals import Evidence, FrameHash
from schemas.spread import Footage

CODE = "RUMOR-RECYCLED"
#: Pictures that a reviewer is shown.
SHOWN = 5


class Recycled(NamedTuple):
    """An item that shows what an earlier one showed, and in what their texts differ."""

    new: Footage
    old: Footage
    pairs: Sequence[tuple[FrameHash, FrameHash, int]]
    what: str


def recycled(new: Footage, earlier: Iterable[Footage], policy: RecycledPolicy) -> Recycled | None:
    """The first of the earlier items whose footage comes again under a text that does not fit it; None: there is none.

    A text does not fit if it names other places or dates than the earlier one, or a date after the day on which the
    footage had been there already.
    """
    if not (new.places or new.dates):
        return None
    for old in earlier:
        if old.event_id == new.event_id or old.content_id == new.content_id:
            continue
        if old.stream_id is not None and old.stream_id == new.stream_id:
            continue
        what = differ(Named(new.places, new.dates), Named(old.places, old.dates))
        if what is None and (date := later(new.dates, old.created_at.date())):
            what = f"date: {date}, after it had been published on {old.created_at.date()}"
        if what is None:
            continue
        pairs = same(new.frames, old.frames, policy.max_distance)
        if len(pairs) >= min(policy.frames, len(new.frames), len(old.frames)):
            return Recycled(new, old, pairs, what)
    return None


def decision_on(found: Recycled, policy: Policy, now: datetime) -> Decision:
    """The question to people."""
    new, old = found.new, found.old
    closest = min(bits for *_, bits in found.pairs)
    evidence = [
        Evidence(entry=old.content_id, text=f"{found.what}; then: {old.title}; now: {new.title}"),
        *(
            Evidence(at_s=frame.at_s, entry=old.content_id, text=f"as at {other.at_s:g} s there, {bits} bits apart")
            for frame, other, bits in sorted(found.pairs, key=lambda pair: pair[2])[:SHOWN]
        ),
    ]
    reason = ground(CODE, score=1 - closest / 256, threshold=1 - policy.recycled.max_distance / 256, evidence=evidence)
    return decide("recycled", new, policy, [review(reason)], now)
