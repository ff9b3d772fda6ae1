"""Clips that go round with listed rumours: which of them an item shows. Pure.

Compared one by one with each picture of each entry: 10 ms an item at 100,000 pictures, and few rumours have a clip.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

import numpy as np
from msgspec.structs import replace

from agents.decide import decide, ground, review
from agents.recycled.judge import CODE, SHOWN
from agents.recycled.pictures import LEAST_QUALITY, packed, scenes
from schemas.bank import Rumor
from schemas.decision import Decision, Reason, stable_id
from schemas.event import Event
from schemas.policy import Policy, RecycledPolicy
from schemas.signals import Evidence, FrameHash


class Shown(NamedTuple):
    """A listed clip that an item shows: which pictures, where in the clip, and how many bits apart."""

    rumor: Rumor
    pairs: Sequence[tuple[FrameHash, float, int]]


class ListedClips:
    """The pictures of all entries that have some, in force at a time."""

    def __init__(self, rumors: Iterable[Rumor], now: datetime) -> None:
        kept = [
            rumor
            for rumor in rumors
            if rumor.frames and rumor.status != "true" and not (rumor.expires_at and rumor.expires_at <= now)
        ]
        #: When an entry expires next: from then on the list has to be made again.
        self.stale_at = min((rumor.expires_at for rumor in kept if rumor.expires_at), default=None)
        rows = [(rumor, frame) for rumor in kept for frame in rumor.frames if frame.quality >= LEAST_QUALITY]
        self._rumors = [rumor for rumor, _ in rows]
        self._at = [frame.at_s for _, frame in rows]
        self._codes = packed([FrameHash(at_s=0.0, pdq=frame.pdq, quality=frame.quality) for _, frame in rows])

    def shown(self, frames: Sequence[FrameHash], policy: RecycledPolicy) -> list[Shown]:
        """Each listed clip of which the item shows enough, by their ids."""
        seen = scenes([frame for frame in frames if frame.quality >= LEAST_QUALITY])
        if not seen or not self._rumors:
            return []
        apart = np.bitwise_count(packed(seen)[:, None, :] ^ self._codes[None, :, :]).sum(axis=2)
        pairs: dict[str, dict[int, tuple[FrameHash, float, int]]] = {}
        for new, old in np.argwhere(apart <= policy.max_distance).tolist():
            bits = int(apart[new, old])
            best = pairs.setdefault(self._rumors[old].rumor_id, {})
            if new not in best or bits < best[new][2]:
                best[new] = (seen[new], self._at[old], bits)
        by_id = {rumor.rumor_id: rumor for rumor in self._rumors}
        return [
            Shown(by_id[rumor_id], tuple(found.values()))
            for rumor_id, found in sorted(pairs.items())
            if len(found) >= min(policy.frames, len(seen), len(by_id[rumor_id].frames))
        ]


def reason_for_clip(one: Shown, policy: Policy) -> Reason:
    """Why a person is asked about an item that shows a listed clip."""
    closest = min(bits for *_, bits in one.pairs)
    evidence = [Evidence(entry=one.rumor.rumor_id, text=f"the clip that goes round with: {one.rumor.claims[0]}")]
    evidence += [
        Evidence(at_s=frame.at_s, entry=one.rumor.rumor_id, text=f"as at {at:g} s there, {bits} bits apart")
        for frame, at, bits in sorted(one.pairs, key=lambda pair: pair[2])[:SHOWN]
    ]
    threshold = 1 - policy.recycled.max_distance / 256
    return ground(CODE, score=1 - closest / 256, threshold=threshold, evidence=evidence)


def decision_on_listed(event: Event, reasons: Sequence[tuple[str, Reason]], policy: Policy, now: datetime) -> Decision:
    """The question to people about an item that shows or plays listed clips, for a reason of each rumour; its id names
    the rumours."""
    decision = decide("recycled", event, policy, [review(reason) for _, reason in reasons], now)
    named = sorted({rumor_id for rumor_id, _ in reasons})
    return replace(
        decision, decision_id=stable_id("decision", "listed clip", event.event_id, policy.name, policy.version, *named)
    )
