"""How far two fingerprints of sound agree from a place on, and how much that speaks for a copy. Pure.

From a seed that holds, the comparison is carried on in both directions as long as it pays, as BLAST does for genes
(Altschul et al., 1990), letting the two run apart by a code now and then, since a copy may play faster or slower.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

#: Bits of a code.
BITS = 32
#: A pair of codes counts for as much as its bits differ less than this, and against as much as they differ more:
#: halfway between those of copies and of strangers.
PAR = 10.0
#: What it costs to let the two run apart by one code.
SLIP = 3.0
#: Codes by which the two may run apart within a block of so many: a tenth of the tempo, and some more.
BLOCK, BAND = 32, 5
#: The comparison ends where it has lost so much since its best: a second and a half of strangers.
LOST = 70.0
#: By how many codes one of two sounds is moved to see whether it stands out where it is: one to four seconds.
MOVES = (8, 12, 18, 27, 34)


class Aligned(NamedTuple):
    """Codes `item` of the item beside codes `bank` of a print, from one up to another, and bits that differ on
    average."""

    item: tuple[int, int]
    bank: tuple[int, int]
    score: float
    errors: float

    def holds(self, at: int, place: int) -> bool:
        """Whether this pair lies on it."""
        (begin, end), (first, last) = self.item, self.bank
        if not begin <= at < end:
            return False
        expected = first + (at - begin) * (last - first) / max(1, end - begin)
        return abs(place - expected) <= BAND


def aligned(codes: NDArray[np.uint32], bank: NDArray[np.uint32], at: int, place: int) -> Aligned:
    """The best comparison that goes through this pair, of the item and one print."""
    ours, theirs, after, wrong = _extended(codes[at:], bank[place:])
    ours_back, theirs_back, before, wrong_back = _extended(codes[:at][::-1], bank[:place][::-1])
    count = ours + ours_back
    return Aligned(
        (at - ours_back, at + ours),
        (place - theirs_back, place + theirs),
        after + before,
        (wrong + wrong_back) / count if count else float(BITS),
    )


def _extended(ours: NDArray[np.uint32], theirs: NDArray[np.uint32]) -> tuple[int, int, float, float]:
    """How far the two agree from their beginning: codes of each, the score, and bits that differ in all."""
    if not len(ours) or not len(theirs):
        return 0, 0, 0.0, 0.0
    width = 2 * BAND + 1
    # Scores of the band, with a border that is never the best; beside each the bits that differed on the way there.
    score, wrong = np.full(width + 2, -np.inf), np.zeros(width + 2)
    score[BAND + 1] = 0.0
    options = np.empty((3, width))
    columns = np.arange(width)
    best = (0, 0, 0.0, 0.0)
    shift = 0
    for begin in range(0, len(ours), BLOCK):
        part = ours[begin : begin + BLOCK]
        places = np.arange(begin, begin + len(part))[:, None] + (shift - BAND) + columns
        bits = np.bitwise_count(part[:, None] ^ theirs.take(places, mode="clip")).astype(np.float64)
        gains = np.where((places >= 0) & (places < len(theirs)), PAR - bits, -np.inf)
        for row in range(len(part)):
            options[0], options[1], options[2] = score[1:-1], score[:-2] - SLIP, score[2:] - SLIP
            came = options.argmax(axis=0)
            wrong[1:-1] = wrong[_FROM[came] + columns] + bits[row]
            score[1:-1] = options.max(axis=0) + gains[row]
            top = int(score.argmax())
            reached = float(score[top])
            if reached > best[2]:
                best = (begin + row + 1, begin + row + 1 + shift + top - 1 - BAND, reached, float(wrong[top]))
            elif not reached > best[2] - LOST:
                return best
        move = int(score.argmax()) - 1 - BAND
        if move:  # follow a copy that plays at another tempo
            shift += move
            score[1:-1] = np.concatenate([score[1:-1], np.full(width, -np.inf)])[_moved(move, width)]
            wrong[1:-1] = np.concatenate([wrong[1:-1], np.zeros(width)])[_moved(move, width)]
    return best


#: Where in the bordered band each of the three options came from: the same place, the one before, the one after.
_FROM = np.array([1, 0, 2])


def _moved(move: int, width: int) -> NDArray[np.int64]:
    """Places of a band that is centred anew; those that lie outside the former one are taken from beyond its end."""
    places = np.arange(width) + move
    return np.where((places >= 0) & (places < width), places, width)


def moved_bits(codes: NDArray[np.uint32], bank: NDArray[np.uint32], aligned: Aligned) -> float:
    """Bits that differ on average when the bank's codes are moved against the item's. Where they are as few as at the
    right place, the sound does not change: a hum, a held chord, and any other of the kind would match as well."""
    (begin, end), (first, last) = aligned.item, aligned.bank
    ours = np.arange(begin, end)
    theirs = first + (ours - begin) * (last - first) // max(1, end - begin)
    total = count = 0
    for lag in MOVES:
        for move, still in ((lag, 0), (-lag, 0), (0, lag), (0, -lag)):
            one, other = ours + still, theirs + move
            inside = (other >= 0) & (other < len(bank)) & (one >= 0) & (one < len(codes))
            total += int(np.bitwise_count(codes[one[inside]] ^ bank[other[inside]]).sum())
            count += int(inside.sum())
    return total / count if count else 0.0  # less than a second in all: it cannot stand out


def weight(count: int, errors: float, moved: float) -> float:
    """So many codes, times the divergence (Kullback and Leibler) of this share of wrong bits from that of the same two
    moved against one another: much where both are long, alike, and unlike themselves a second before."""
    wrong, usual = max(errors, 1e-3), min(max(moved, 1e-3), 0.5)
    if wrong >= usual:
        return 0.0
    return float(count * (wrong * np.log(wrong / usual) + (1 - wrong) * np.log((1 - wrong) / (1 - usual))))
