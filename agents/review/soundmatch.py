"""Which stretches of an item sound like which of a banned sound. Pure.

Fingerprints of two copies of a sound agree in most bits, and at the same distance in time. So places where a code of
the item equals one of the bank, or differs in two bits at most, are looked up; around each such seed the codes are
compared bit by bit, and from the seeds that hold, the comparison is carried on.

How far apart copies and strangers lie was measured over real sound: see `make eval` (review.sound.*).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from agents.review.chromaprint import SPAN_S
from agents.review.soundalign import BITS, Aligned, aligned, moved_bits, weight
from agents.review.soundsegment import Print, Segment
from schemas.bank import HashEntry
from schemas.signals import CODE_S, SoundPrint

CODE_BYTES = 4
#: Codes around a seed, and how many of them in a row must agree, in bits that differ on average: a wide mesh, since
#: what passes is compared closely.
AROUND, SEEN, LOOSE = 16, 16, 9.5
#: Codes by which the two may be apart at a seed already.
APART = 2
#: Closest comparisons that one print of an item gets at most, by how well the seeds hold: time is bounded.
MOST_COMPARED = 2_000
#: Of two matches of one entry, the second carries on the first if it begins at most so many seconds after it, in both:
#: an item's sound is read in pieces, and codes that lie across a joint are missing.
JOINED_S = 6.0
#: Times as long as a match that both must be apart by to be two.
TEMPO = 0.15
#: What a match must weigh (see `weight`): the highest among all pairs of 110 recordings of different packages, five
#: hours of music and speech with all shifts of pitch, was 3.7.
LEAST_WEIGHT = 4.2
#: Of an item with fewer codes than this, fewer are compared, and strangers reach less: by chance one of so many items
#: weighs one more for each e^2.5 times as many codes (2,000 stretches of 3.5 s and 660 of 10 s against 620,000 codes).
FEW_CODES, STEEPNESS = 60, 2.5


class SoundMatch(NamedTuple):
    """A stretch of the item that sounds like one of an entry, both in seconds."""

    entry: HashEntry
    at_s: float
    until_s: float
    bank_at_s: float
    bank_until_s: float
    #: How the bank's sound was changed: "" or, say, "pitch+4".
    variant: str
    #: Share of bits that differ.
    errors: float
    #: Share of bits that differ between the same two when one of them is moved by a second or a few.
    moved: float
    #: How much it speaks for a copy; see `weight`.
    score: float

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.until_s - self.at_s


def least_weight(codes: int) -> float:
    """What a match of an item with so many codes must weigh: of short items and long as few are taken for another."""
    return LEAST_WEIGHT + float(np.log(min(max(codes, 1) / FEW_CODES, 1.0))) / STEEPNESS


def matches(one: SoundPrint, segment: Segment, gone: frozenset[str] | set[str]) -> list[SoundMatch]:
    """All of a print of the item with those of a segment, but for entries that are gone."""
    codes = codes_in(one)
    if not len(segment.codes) or not len(codes):
        return []
    item, bank = _holding(codes, segment, *segment.seeds(codes))
    found: list[SoundMatch] = []
    covered: dict[int, list[Aligned]] = {}
    for at, place in zip(item.tolist(), bank.tolist(), strict=True):
        number = int(np.searchsorted(segment.begins, place, "right")) - 1
        known, begin = segment.prints[number], int(segment.begins[number])
        if known.entry.entry_id in gone:
            continue
        former = covered.setdefault(number, [])
        if any(other.holds(at, place - begin) for other in former):
            continue
        beside = aligned(codes, known.codes, at, place - begin)
        former.append(beside)
        if beside.score > 0:
            found.append(_match(beside, one, codes, known))
    return found


def _holding(
    codes: NDArray[np.uint32], segment: Segment, item: NDArray[np.int64], bank: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Those seeds around which the codes agree, the best first."""
    best = np.full(len(item), float(BITS))
    around = np.arange(-AROUND, AROUND)
    for begin in range(0, len(item), 8192):
        ours = item[begin : begin + 8192, None] + around
        theirs = bank[begin : begin + 8192, None] + around
        here = codes[np.clip(ours, 0, len(codes) - 1)]
        for apart in range(-APART, APART + 1):
            there = segment.codes[np.clip(theirs + apart, 0, len(segment.codes) - 1)]
            sums = np.zeros((len(ours), 2 * AROUND + 1), np.int32)
            np.cumsum(np.bitwise_count(here ^ there), axis=1, out=sums[:, 1:])
            least = (sums[:, SEEN:] - sums[:, :-SEEN]).min(axis=1) / SEEN
            best[begin : begin + 8192] = np.minimum(best[begin : begin + 8192], least)
    order = np.argsort(best, kind="stable")
    order = order[best[order] <= LOOSE][:MOST_COMPARED]
    return item[order], bank[order]


def _match(aligned: Aligned, one: SoundPrint, codes: NDArray[np.uint32], known: Print) -> SoundMatch:
    """In seconds. A code stands for the middle of what it tells of, since at the edge of a stretch as many codes agree
    as have half of their sound in it; where a sound begins or ends, nothing is cut off it."""
    (begin, end), (first, last) = aligned.item, aligned.bank
    half = SPAN_S / 2
    head = half if begin == 0 or first == 0 else 0.0
    tail = half if end == len(codes) or last == len(known.codes) else 0.0
    moved = moved_bits(codes, known.codes, aligned)
    return SoundMatch(
        known.entry,
        round(one.at_s + begin * CODE_S + half - head, 2),
        round(one.at_s + (end - 1) * CODE_S + half + tail, 2),
        round(known.at_s + first * CODE_S + half - head, 2),
        round(known.at_s + (last - 1) * CODE_S + half + tail, 2),
        known.variant,
        aligned.errors / BITS,
        moved / BITS,
        weight(end - begin, aligned.errors / BITS, moved / BITS),
    )


def codes_in(one: SoundPrint) -> NDArray[np.uint32]:
    """The codes of a print."""
    return np.frombuffer(one.codes, "<u4").astype(np.uint32, copy=False)


def joined(matches: Iterable[SoundMatch]) -> list[SoundMatch]:
    """Matches of one variant of an entry that carry one another on, made one. Of those that overlap, the best."""
    variants: dict[tuple[str, str], list[SoundMatch]] = {}
    for match in matches:
        variants.setdefault((match.entry.entry_id, match.variant), []).append(match)
    joined: list[SoundMatch] = []
    for alike in variants.values():
        begun = len(joined)
        for match in sorted(best_of(alike), key=lambda one: one.at_s):
            former = joined[-1] if len(joined) > begun else None
            if former is None or not _carries_on(former, match):
                joined.append(match)
                continue
            one, other = max(former.seconds, 0.1), max(match.seconds, 0.1)
            joined[-1] = former._replace(
                until_s=max(former.until_s, match.until_s),
                bank_until_s=max(former.bank_until_s, match.bank_until_s),
                errors=(former.errors * one + match.errors * other) / (one + other),
                moved=(former.moved * one + match.moved * other) / (one + other),
                score=former.score + match.score,
            )
    return joined


def _carries_on(former: SoundMatch, match: SoundMatch) -> bool:
    apart = match.at_s - former.at_s
    slack = 1.0 + TEMPO * apart
    return match.at_s - former.until_s <= JOINED_S and abs(match.bank_at_s - former.bank_at_s - apart) <= slack


def covers(good: SoundMatch, match: SoundMatch) -> bool:
    """Whether a known good sound explains most of it, as well or better."""
    shared = min(good.until_s, match.until_s) - max(good.at_s, match.at_s)
    return shared >= match.seconds / 2 and good.errors <= match.errors + 1 / BITS


def best_of(matches: Sequence[SoundMatch]) -> list[SoundMatch]:
    """Of matches that overlap by most of the shorter, the one with the higher score."""
    kept: list[SoundMatch] = []
    for match in sorted(matches, key=lambda one: -one.score):
        if not any(
            min(other.until_s, match.until_s) - max(other.at_s, match.at_s) > match.seconds / 2 for other in kept
        ):
            kept.append(match)
    return sorted(kept, key=lambda one: -one.seconds)
