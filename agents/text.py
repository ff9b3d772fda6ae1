"""An item's words, in the form in which they are searched: those that were written, and those that it shows and speaks.
Pure."""

from __future__ import annotations

import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import accumulate
from typing import NamedTuple, TypeVar

from schemas.event import Event
from schemas.policy import MediaTextPolicy
from schemas.signals import Caption, MediaText, Signals, Utterance

Piece = Caption | Utterance | MediaText
Spoken = TypeVar("Spoken", Utterance, MediaText)

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
    """Pieces that are read as one text: captions, utterances, subtitles. `raw` is as they came, `text` normalised."""

    def __init__(self, field: str, pieces: Sequence[Piece]) -> None:
        self.field = field
        self._pieces = pieces

    @cached_property
    def text(self) -> str:
        """The pieces' texts, normalised, one after the other."""
        return "".join(self._texts)

    @cached_property
    def raw(self) -> str:
        """The pieces' texts as they came, a line each."""
        return "\n".join(self._raws)

    @cached_property
    def _texts(self) -> list[str]:
        return [normalised(piece.text) for piece in self._pieces]

    @cached_property
    def _raws(self) -> list[str]:
        return [unicodedata.normalize("NFC", piece.text) for piece in self._pieces]

    @cached_property
    def _ends(self) -> list[int]:
        return list(accumulate(map(len, self._texts)))

    @cached_property
    def _raw_ends(self) -> list[int]:
        return list(accumulate(len(text) + 1 for text in self._raws))

    def at(self, begin: int, end: int) -> Place:
        """The place of the signs of `text` from `begin` to before `end`."""
        return self._held(self._ends, begin, end)

    def place(self, begin: int, end: int) -> Place:
        """The place of the signs of `raw` from `begin` to before `end`."""
        return self._held(self._raw_ends, begin, end)

    def _held(self, ends: Sequence[int], begin: int, end: int) -> Place:
        first = bisect_right(ends, begin)
        last = max(first, bisect_left(ends, end))
        held = self._pieces[first : last + 1]
        return Place(
            held[0].at_s,
            max(piece.until_s for piece in held),
            " / ".join(piece.text for piece in held)[:QUOTED],
            min(getattr(piece, "score", 1.0) for piece in held),
        )


def passages(signals: Signals, policy: MediaTextPolicy) -> list[Passage]:
    """What the item shows, speaks and carries as text, as far as the policy has it searched."""
    carried = [
        *(Passage("subtitles", pieces) for pieces in _tracks(signals.texts)),
        *(Passage("chapters", [one]) for one in signals.texts if one.kind == "chapter"),
    ]
    if policy.at_most == "nothing":
        return carried
    captions = [one for one in signals.captions if one.score >= policy.captions_from]
    speech = [one for one in signals.speech if one.score >= policy.speech_from]
    return [
        *(Passage("captions", pieces) for pieces in (*_rows(captions), *_stacks(captions))),
        *(Passage("speech", pieces) for pieces in _sequences(speech)),
        *carried,
    ]


def _tracks(texts: Sequence[MediaText]) -> Iterator[list[MediaText]]:
    """Subtitles that follow each other, of each track."""
    for track in sorted({one.track for one in texts if one.kind == "subtitles"}):
        yield from _sequences([one for one in texts if one.kind == "subtitles" and one.track == track])


def _sequences(pieces: Sequence[Spoken]) -> Iterator[list[Spoken]]:
    """Pieces that follow each other, in order of time."""
    row: list[Spoken] = []
    for one in sorted(pieces, key=lambda one: one.at_s):
        if row and one.at_s - row[-1].until_s > JOINED_S:
            yield row
            row = []
        row.append(one)
    if row:
        yield row


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
