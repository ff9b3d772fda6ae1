"""An item's words, in the form in which they are searched: those that were written, and those that it shows and speaks.
Pure."""

from __future__ import annotations

import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple

from schemas.event import Event
from schemas.policy import MediaTextPolicy
from schemas.signals import Caption, Signals, Utterance

#: Captions and utterances that follow each other within so many seconds are read as one text: what is said goes on from
#: one into the next, and so may a term.
JOINED_S = 3.0
#: Words around a match that a reviewer is shown.
QUOTED = 120


def normalised(text: str) -> str:
    """One form for what reads the same: NFKC (full and half width), case folded, letters and digits only.

    Spaces and punctuation go, so that a term cannot be hidden by a dot between its characters.
    """
    return "".join(
        character
        for character in unicodedata.normalize("NFKC", text).casefold()
        if unicodedata.category(character)[0] in "LN"
    )


def fields(event: Event) -> Iterator[tuple[str, str]]:
    """(field, its text) for every text of an event, as it came."""
    yield "title", event.title
    yield "description", event.description
    for number, tag in enumerate(event.tags):
        yield f"tags[{number}]", tag


class Place(NamedTuple):
    """Where in the media words were found: seconds, the words as they were read or heard, and how surely."""

    at_s: float
    until_s: float
    words: str
    score: float


class Passage:
    """Captions or utterances that are read as one text. `text` is normalised."""

    def __init__(self, field: str, pieces: Sequence[Caption | Utterance]) -> None:
        self.field = field
        self._pieces = pieces
        texts = [normalised(piece.text) for piece in pieces]
        self.text = "".join(texts)
        self._ends = list(accumulate(map(len, texts)))

    def at(self, begin: int, end: int) -> Place:
        """The place of the signs from `begin` to before `end`."""
        first = bisect_right(self._ends, begin)
        last = max(first, bisect_left(self._ends, end))
        held = self._pieces[first : last + 1]
        return Place(
            held[0].at_s,
            max(piece.until_s for piece in held),
            " / ".join(piece.text for piece in held)[:QUOTED],
            min(piece.score for piece in held),
        )


def passages(signals: Signals, policy: MediaTextPolicy) -> list[Passage]:
    """What the item shows and speaks, as far as the policy has it searched."""
    if policy.at_most == "nothing":
        return []
    captions = [one for one in signals.captions if one.score >= policy.captions_from]
    speech = [one for one in signals.speech if one.score >= policy.speech_from]
    return [
        *(Passage("captions", pieces) for pieces in (*_rows(captions), *_stacks(captions))),
        *(Passage("speech", pieces) for pieces in _sequences(speech)),
    ]


def _sequences(speech: Sequence[Utterance]) -> Iterator[list[Utterance]]:
    """Utterances that follow each other."""
    pieces: list[Utterance] = []
    for one in sorted(speech, key=lambda one: one.at_s):
        if pieces and one.at_s - pieces[-1].until_s > JOINED_S:
            yield pieces
            pieces = []
        pieces.append(one)
    if pieces:
        yield pieces


def _rows(captions: Sequence[Caption]) -> list[list[Caption]]:
    """Captions that follow each other at the same height, as subtitles do. Each caption is in one row."""
    rows: list[list[Caption]] = []
    open_: list[list[Caption]] = []
    for one in sorted(captions, key=lambda one: one.at_s):
        open_ = [row for row in open_ if one.at_s - row[-1].until_s <= JOINED_S]
        row = next((row for row in open_ if _level(row[-1], one) and one.at_s >= row[-1].until_s), None)
        if row is None:
            row = []
            rows.append(row)
            open_.append(row)
        row.append(one)
    return rows


def _stacks(captions: Sequence[Caption]) -> Iterator[list[Caption]]:
    """Lines that stand under each other at the same time: two at a time, since a term has no more."""
    ordered = sorted(captions, key=lambda one: one.at_s)
    for number, one in enumerate(ordered):
        for other in ordered[number + 1 :]:
            if other.at_s > one.until_s:
                break
            upper, lower = (one, other) if _top(one) <= _top(other) else (other, one)
            if _under(upper, lower):
                yield [upper, lower]


def _top(caption: Caption) -> float:
    return caption.box.top if caption.box else 0.0


def _level(one: Caption, other: Caption) -> bool:
    if one.box is None or other.box is None:
        return one.box is other.box
    return abs(one.box.top - other.box.top) < max(one.box.height, other.box.height) / 2


def _under(upper: Caption, lower: Caption) -> bool:
    if upper.box is None or lower.box is None or _level(upper, lower):
        return False
    above, below = upper.box, lower.box
    gap = below.top - (above.top + above.height)
    across = min(above.left + above.width, below.left + below.width) - max(above.left, below.left)
    return gap < max(above.height, below.height) and across > 0
