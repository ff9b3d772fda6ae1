"""Items whose files carried a label: so that the same pictures without one are known (DSP-18, LBL-10). Pure.

Kept by publisher, since whoever strips a label is whoever had the file; bounded by number, the publishers that were
met longest ago forgotten first.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.signals import Evidence, FrameHash, Signals
from schemas.spread import Marked

#: Pictures kept of an item, one a scene: enough to know it by its parts, and some 400 bytes.
MOST_PICTURES = 12
#: Marks of one publisher, and of all publishers of one worker: a mark takes about 1 kB.
MOST_OF_ONE, MOST = 200, 20_000
#: PDQ: pictures with less detail than this are like too many others (its own advice), and bits up to which two are one.
LEAST_QUALITY, SAME = 50, 31
#: Share of an item's pictures that were labelled before, from which on it is the same content: half, so that a new
#: opening or ending hides nothing, and one scene in common is no proof.
SHARE = 0.5
#: How long a mark counts; the topic keeps them as long.
DAYS = 60
_LEVELS: dict[str | None, Literal[1, 2, 3]] = {"1": 1, "2": 2, "3": 3}


class Earlier(NamedTuple):
    """The labelled item that an unlabelled one repeats, and the pictures by which it is known."""

    mark: Marked
    evidence: tuple[Evidence, ...]


class Marks:
    """The marks of one worker's publishers."""

    def __init__(self) -> None:
        self._of: OrderedDict[str, deque[tuple[Marked, NDArray[np.uint8]]]] = OrderedDict()
        self._number = 0

    def __len__(self) -> int:
        return self._number

    def add(self, mark: Marked) -> None:
        """Keep one."""
        kept = self._of.setdefault(mark.publisher_id, deque())
        self._of.move_to_end(mark.publisher_id)
        if any(each.event_id == mark.event_id for each, _ in kept):
            return
        kept.append((mark, _packed(mark.frames)))
        self._number += 1
        if len(kept) > MOST_OF_ONE:
            kept.popleft()
            self._number -= 1
        while self._number > MOST:
            _, oldest = self._of.popitem(last=False)
            self._number -= len(oldest)

    def stripped(self, signals: Signals, now: datetime) -> Earlier | None:
        """The item whose label this one lacks: the same publisher showed half of it or more with a label."""
        kept = self._of.get(signals.event.publisher_id)
        shown = pictures_of(signals)
        if not kept or not shown or labelled(signals):
            return None
        codes, since = _packed(shown), now - timedelta(days=DAYS)
        for mark, others in reversed(kept):
            if mark.created_at < since or mark.event_id == signals.event.event_id:
                continue
            apart = np.bitwise_count(codes[:, None, :] ^ others[None, :, :]).sum(axis=2).min(axis=1)
            alike = [frame for frame, bits in zip(shown, apart, strict=True) if bits <= SAME]
            if len(alike) >= SHARE * len(shown):
                what = f"shown with label {mark.level} in {mark.content_id}"
                evidence = [Evidence(at_s=frame.at_s, entry=mark.event_id, text=what) for frame in alike]
                return Earlier(mark, tuple(evidence[:MOST_PICTURES]))
        return None


def labelled(signals: Signals) -> bool:
    """Whether the file carries a label, right or wrong."""
    return any(signal.name.startswith("aigc.") for signal in signals.signals)


def mark_of(signals: Signals) -> Marked | None:
    """What is kept of an item whose file states a level; None where there is nothing to know it by.

    A livestream's segments are not kept: a player's copy of one is no upload of the same publisher.
    """
    stated: list[Literal[1, 2, 3]] = [
        _LEVELS[found.entry]
        for signal in signals.signals
        if signal.name.startswith("aigc.")
        for found in signal.evidence
        if found.entry in _LEVELS
    ]
    shown = pictures_of(signals)
    event = signals.event
    if not stated or not shown or event.stream_id is not None:
        return None
    return Marked(
        publisher_id=event.publisher_id,
        event_id=event.event_id,
        content_id=event.content_id,
        level=stated[0],
        frames=tuple(shown),
        created_at=event.created_at,
    )


def pictures_of(signals: Signals) -> Sequence[FrameHash]:
    """One picture of each scene, spread over the item."""
    scenes: list[FrameHash] = []
    codes: list[int] = []
    for frame in signals.frames:
        code = int(frame.pdq, 16)
        if frame.quality >= LEAST_QUALITY and all((code ^ other).bit_count() > SAME for other in codes):
            scenes.append(frame)
            codes.append(code)
            if len(scenes) == 4 * MOST_PICTURES:
                break
    return scenes[:: max(1, -(-len(scenes) // MOST_PICTURES))]


def _packed(frames: Sequence[FrameHash]) -> NDArray[np.uint8]:
    return np.frombuffer(bytes.fromhex("".join(frame.pdq for frame in frames)), np.uint8).reshape(len(frames), 32)
