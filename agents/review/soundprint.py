"""Known sound found again: which stretch of an item sounds like which stretch of a banned sound. Pure.

Fingerprints of two copies of a sound agree in most bits, and at the same distance in time. So places where a code of
the item equals one of the bank, or differs in a single bit, are looked up in a sorted index of all codes; around each
such seed the codes are compared bit by bit; and from the seeds that hold, the comparison is carried on in both
directions as long as it pays, as BLAST does for genes (Altschul et al., 1990), letting the two run apart by a code now
and then, since a copy may play faster or slower.

How far apart copies and strangers lie was measured over real sound: see `make eval` (review.sound.*).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from agents.review.aside import Aside
from agents.review.chromaprint import NOTES, SPAN_S, SPECTRA, codes_of
from schemas.bank import HashEntry
from schemas.signals import CODE_S, SoundPrint

log = logging.getLogger(__name__)

#: The algorithm whose codes are compared.
ALGORITHM = "chromaprint"
BITS = 32
CODE_BYTES = 4
#: The code of silence, which is the same in all sounds.
SILENT = int(codes_of(np.zeros((SPECTRA, NOTES)))[0])
#: What is looked up for each code: itself, and all that differ from it in one bit or two. One bit alone finds a third
#: of what is shifted in pitch less.
_NEIGHBOURS = np.array(sorted({1 << one | 1 << other for one in range(BITS) for other in range(BITS)} | {0}), np.uint32)
#: Bits of the filter for each code: one in sixteen codes that are not in the bank passes.
FILTER_BITS = 16
#: Knuth's multiplier for hashing by multiplication, modulo 2**32.
_SPREAD = np.uint32(2_654_435_761)
#: Codes looked up at once: 2 MB of neighbours.
LOOKED_UP = 1024
#: Codes that stand more often in the bank than this are no seeds: a hum, a held note. So is a code that more than a
#: hundredth of a percent of a large bank has; what is spoken or played around it has others.
COMMON, COMMON_SHARE = 200, 1e-4
#: Codes around a seed, and how many of them in a row must agree, in bits that differ on average: a wide mesh, since
#: what passes is compared closely.
AROUND, SEEN, LOOSE = 16, 16, 9.5
#: Codes by which the two may be apart at a seed already.
APART = 2
#: A pair of codes counts for as much as its bits differ less than this, and against as much as they differ more:
#: halfway between those of copies and of strangers.
PAR = 10.0
#: What it costs to let the two run apart by one code.
SLIP = 3.0
#: Codes by which the two may run apart within a block of so many: a tenth of the tempo, and some more.
BLOCK, BAND = 32, 5
#: The comparison ends where it has lost so much since its best: a second and a half of strangers.
LOST = 70.0
#: Of two matches of one entry, the second carries on the first if it begins at most so many seconds after it, in both:
#: an item's sound is read in pieces, and codes that lie across a joint are missing.
JOINED_S = 6.0
#: Times as long as a match that both must be apart by to be two.
TEMPO = 0.15
#: Closest comparisons that one print of an item gets at most, by how well the seeds hold: time is bounded.
MOST_COMPARED = 2_000
#: By how many codes one of two sounds is moved to see whether it stands out where it is: one to four seconds.
MOVES = (8, 12, 18, 27, 34)
#: What a match must weigh (see `_weight`): the highest among all pairs of 110 recordings of different packages, five
#: hours of music and speech with all shifts of pitch, was 3.7.
LEAST_WEIGHT = 4.2
#: Of an item with fewer codes than this, fewer are compared, and strangers reach less: by chance one of so many items
#: weighs one more for each e^2.5 times as many codes (2,000 stretches of 3.5 s and 660 of 10 s against 620,000 codes).
FEW_CODES, STEEPNESS = 60, 2.5
#: Codes in the segment of what was added last, which is sorted anew with the next item: some ten milliseconds.
RECENT = 200_000


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
    #: How much it speaks for a copy; see `_weight`.
    score: float

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.until_s - self.at_s


class _Print(NamedTuple):
    """A fingerprint of the bank. Of its entry neither frames nor sounds are kept: they take far more memory."""

    entry: HashEntry
    at_s: float
    variant: str
    codes: NDArray[np.uint32]


class _Filter:
    """Which codes are none of a set, said of most of them: a bitmap of their hashes (Bloom, 1970, with one hash). Of
    500 neighbours that are looked up for each code of an item hardly any is in the bank."""

    def __init__(self, codes: NDArray[np.uint32]) -> None:
        bits = min(max(int(FILTER_BITS * len(codes)).bit_length(), 13), 31)
        self._shift = np.uint32(32 - bits)
        places = (codes * _SPREAD) >> self._shift
        held = np.zeros(1 << bits, np.bool_)
        held[places] = True
        self._map = np.packbits(held, bitorder="little")

    @property
    def nbytes(self) -> int:
        """Memory that it takes."""
        return self._map.nbytes

    def passed(self, codes: NDArray[np.uint32]) -> NDArray[np.int64]:
        """Places of those that may be in the set."""
        places = (codes * _SPREAD) >> self._shift
        bytes_ = self._map.take(places >> np.uint32(3))
        return np.flatnonzero((bytes_ >> (places & np.uint32(7)).astype(np.uint8)) & 1)


class _Segment:
    """Some prints of the bank: all codes in a row, and the same sorted, each with its place. 14 to 16 bytes a code."""

    def __init__(self, prints: Iterable[_Print]) -> None:
        held = list(prints)
        self.codes = np.concatenate([one.codes for one in held]) if held else np.zeros(0, np.uint32)
        self.begins = np.cumsum([0, *(len(one.codes) for one in held)])
        self.prints = [
            one._replace(codes=self.codes[self.begins[number] : self.begins[number + 1]])
            for number, one in enumerate(held)
        ]
        self.places = np.argsort(self.codes, kind="stable").astype(np.uint32)
        self.sorted = self.codes[self.places]
        self._filter = _Filter(self.codes)

    @property
    def nbytes(self) -> int:
        """Memory that it takes, without what is said of each print."""
        return sum(part.nbytes for part in (self.codes, self.places, self.sorted, self.begins, self._filter))

    def seeds(self, codes: NDArray[np.uint32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Places in the item and in the segment whose codes are the same but for two bits at most."""
        known, where = np.unique(codes, return_inverse=True)
        most = max(COMMON, int(COMMON_SHARE * len(self.codes)))
        order = np.argsort(where, kind="stable")
        uses = np.searchsorted(where[order], np.arange(len(known) + 1))
        item, bank = [], []
        for begin in range(0, len(known), LOOKED_UP):
            probes = known[begin : begin + LOOKED_UP, None] ^ _NEIGHBOURS
            probes[known[begin : begin + LOOKED_UP] == SILENT] = SILENT
            flat = probes.ravel()
            likely = self._filter.passed(flat)
            sorting = likely[np.argsort(flat[likely], kind="stable")]  # looked up in order, the index is read through
            wanted = flat[sorting]
            first = np.searchsorted(self.sorted, wanted, "left")
            counts = np.searchsorted(self.sorted, wanted, "right") - first
            counts[(counts > most) | (wanted == SILENT)] = 0
            hit = np.flatnonzero(counts)
            number = begin + sorting[hit] // len(_NEIGHBOURS)
            places = self.places[_ranges(first[hit], counts[hit])].astype(np.int64)
            number = np.repeat(number, counts[hit])
            times = uses[number + 1] - uses[number]
            item.append(order[_ranges(uses[number], times)])
            bank.append(np.repeat(places, times))
        return (np.concatenate(item), np.concatenate(bank)) if item else (np.zeros(0, np.int64), np.zeros(0, np.int64))


def _ranges(begins: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """All numbers of the ranges that begin there and are so long, one range after the other."""
    return np.repeat(begins - np.cumsum(lengths) + lengths, lengths) + np.arange(lengths.sum())


class SoundBank:
    """The sounds of the hash bank. For one thread; what is settled is sorted anew in another."""

    def __init__(self, entries: Iterable[HashEntry] = (), *, now: datetime | None = None) -> None:
        #: When an entry expires next, if one does: `expire` is asked for then.
        self.stale_at: datetime | None = None
        self._expires: dict[str, datetime] = {}
        #: What is settled, of which some entries are no longer in force, and what came since; None: to be made.
        self._base = _Segment(())
        self._fresh: _Segment | None = None
        self._settled, self._gone = set[str](), set[str]()
        self._recent: dict[str, list[_Print]] = {}
        self._recent_codes = 0
        self._sorting: Aside[_Segment] = Aside("sound bank")
        #: Entries that have changed since that began.
        self._changed = set[str]()
        self._take({entry.entry_id: entry for entry in entries}, now)
        self._sort()
        self._take_up(wait=True)

    def __contains__(self, entry_id: str) -> bool:
        return entry_id in self._recent or (entry_id in self._settled and entry_id not in self._gone)

    def __len__(self) -> int:
        return len(self._base.codes) + self._recent_codes

    @property
    def nbytes(self) -> int:
        """Memory of the index, in bytes."""
        return sum(segment.nbytes for segment in self._segments())

    def update(self, changes: Mapping[str, HashEntry | None], *, now: datetime | None = None) -> None:
        """Take entries in, in place of those of the same id, or out (None)."""
        self._take_up()
        self._take(changes, now)
        if self._recent_codes > max(RECENT, len(self._base.codes) // 8) and not self._sorting.busy:
            self._sort()

    def expire(self, now: datetime) -> None:
        """Take out what has expired."""
        self.update({entry_id: None for entry_id, at in self._expires.items() if at <= now})

    async def settled(self) -> None:
        """Wait until what is sorted anew is in force."""
        await self._sorting.over()
        self._take_up()

    def _take(self, changes: Mapping[str, HashEntry | None], now: datetime | None) -> None:
        for entry_id, entry in changes.items():
            self._recent_codes -= sum(len(one.codes) for one in self._recent.pop(entry_id, ()))
            self._expires.pop(entry_id, None)
            self._changed.add(entry_id)
            if entry_id in self._settled:
                self._gone.add(entry_id)
            if entry is None or not entry.active or (now and entry.expires_at and entry.expires_at <= now):
                continue
            if prints := _prints(entry):
                self._recent[entry_id] = prints
                self._recent_codes += sum(len(one.codes) for one in prints)
                if entry.expires_at:
                    self._expires[entry_id] = entry.expires_at
        if changes:
            self._fresh = None
            self.stale_at = min(self._expires.values(), default=None)

    def _segments(self) -> tuple[_Segment, _Segment]:
        if self._fresh is None:
            self._fresh = _Segment(one for prints in self._recent.values() for one in prints)
        return self._base, self._fresh

    def _sort(self) -> None:
        """Begin to sort all that is in force anew."""
        kept, gone = self._base.prints, frozenset(self._gone)
        recent = [one for prints in self._recent.values() for one in prints]
        self._changed = set()
        self._sorting.begin(lambda: _Segment([*(one for one in kept if one.entry.entry_id not in gone), *recent]))

    def _take_up(self, *, wait: bool = False) -> None:
        if not (self._sorting.ended or (wait and self._sorting.busy)):
            return
        try:
            self._base = self._sorting.taken()
        except MemoryError:
            log.exception("banned sounds could not be sorted anew; they are compared as they came")
            return
        self._settled = {one.entry.entry_id for one in self._base.prints}
        self._gone = self._changed & self._settled
        self._recent = {entry_id: prints for entry_id, prints in self._recent.items() if entry_id in self._changed}
        self._recent_codes = sum(len(one.codes) for prints in self._recent.values() for one in prints)
        self._fresh = None

    def match(self, sounds: Sequence[SoundPrint], *, max_errors: float, min_s: float) -> list[SoundMatch]:
        """Stretches of banned sounds of at least so many seconds in which at most so large a share of bits differs, the
        longest first; of one stretch the closest entry's.

        What a known good sound explains as well is none.
        """
        self._take_up()
        base, fresh = self._segments()
        found: list[SoundMatch] = []
        for one in sounds:
            if one.algorithm != ALGORITHM:
                continue
            found += _matches(one, base, self._gone)
            found += _matches(one, fresh, frozenset())
        least = _least_weight(sum(len(one.codes) // CODE_BYTES for one in sounds))
        joined = [
            match
            for match in _joined(found)
            if match.score >= least and match.errors <= max_errors and match.seconds >= min_s
        ]
        good = [match for match in joined if match.entry.kind == "known_good"]
        banned = [
            match
            for match in joined
            if match.entry.kind == "banned" and not any(_covers(other, match) for other in good)
        ]
        return _best(banned)


def _least_weight(codes: int) -> float:
    """What a match of an item with so many codes must weigh: of short items and long as few are taken for another."""
    return LEAST_WEIGHT + float(np.log(min(max(codes, 1) / FEW_CODES, 1.0))) / STEEPNESS


def _prints(entry: HashEntry) -> list[_Print]:
    # Whether it has pictures is still to be seen.
    slim = replace(entry, frames=entry.frames[:1], sounds=entry.sounds[:1])
    return [_Print(slim, one.at_s, one.variant, _codes(one)) for one in entry.sounds if one.algorithm == ALGORITHM]


def _codes(one: SoundPrint) -> NDArray[np.uint32]:
    return np.frombuffer(one.codes, "<u4").astype(np.uint32, copy=False)


def _matches(one: SoundPrint, segment: _Segment, gone: frozenset[str] | set[str]) -> list[SoundMatch]:
    codes = _codes(one)
    if not len(segment.codes) or not len(codes):
        return []
    item, bank = _holding(codes, segment, *segment.seeds(codes))
    found: list[SoundMatch] = []
    covered: dict[int, list[_Aligned]] = {}
    for at, place in zip(item.tolist(), bank.tolist(), strict=True):
        number = int(np.searchsorted(segment.begins, place, "right")) - 1
        known, begin = segment.prints[number], int(segment.begins[number])
        if known.entry.entry_id in gone:
            continue
        former = covered.setdefault(number, [])
        if any(other.holds(at, place - begin) for other in former):
            continue
        aligned = _aligned(codes, known.codes, at, place - begin)
        former.append(aligned)
        if aligned.score > 0:
            found.append(_match(aligned, one, codes, known))
    return found


def _holding(
    codes: NDArray[np.uint32], segment: _Segment, item: NDArray[np.int64], bank: NDArray[np.int64]
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


class _Aligned(NamedTuple):
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


def _aligned(codes: NDArray[np.uint32], bank: NDArray[np.uint32], at: int, place: int) -> _Aligned:
    """The best comparison that goes through this pair, of the item and one print."""
    ours, theirs, after, wrong = _extended(codes[at:], bank[place:])
    ours_back, theirs_back, before, wrong_back = _extended(codes[:at][::-1], bank[:place][::-1])
    count = ours + ours_back
    return _Aligned(
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


def _match(aligned: _Aligned, one: SoundPrint, codes: NDArray[np.uint32], known: _Print) -> SoundMatch:
    """In seconds. A code stands for the middle of what it tells of, since at the edge of a stretch as many codes agree
    as have half of their sound in it; where a sound begins or ends, nothing is cut off it."""
    (begin, end), (first, last) = aligned.item, aligned.bank
    half = SPAN_S / 2
    head = half if begin == 0 or first == 0 else 0.0
    tail = half if end == len(codes) or last == len(known.codes) else 0.0
    moved = _moved_bits(codes, known.codes, aligned)
    return SoundMatch(
        known.entry,
        round(one.at_s + begin * CODE_S + half - head, 2),
        round(one.at_s + (end - 1) * CODE_S + half + tail, 2),
        round(known.at_s + first * CODE_S + half - head, 2),
        round(known.at_s + (last - 1) * CODE_S + half + tail, 2),
        known.variant,
        aligned.errors / BITS,
        moved / BITS,
        _weight(end - begin, aligned.errors / BITS, moved / BITS),
    )


def _moved_bits(codes: NDArray[np.uint32], bank: NDArray[np.uint32], aligned: _Aligned) -> float:
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


def _weight(count: int, errors: float, moved: float) -> float:
    """So many codes, times the divergence (Kullback and Leibler) of this share of wrong bits from that of the same two
    moved against one another: much where both are long, alike, and unlike themselves a second before."""
    wrong, usual = max(errors, 1e-3), min(max(moved, 1e-3), 0.5)
    if wrong >= usual:
        return 0.0
    return float(count * (wrong * np.log(wrong / usual) + (1 - wrong) * np.log((1 - wrong) / (1 - usual))))


def _joined(matches: Iterable[SoundMatch]) -> list[SoundMatch]:
    """Matches of one variant of an entry that carry one another on, made one. Of those that overlap, the best."""
    variants: dict[tuple[str, str], list[SoundMatch]] = {}
    for match in matches:
        variants.setdefault((match.entry.entry_id, match.variant), []).append(match)
    joined: list[SoundMatch] = []
    for alike in variants.values():
        begun = len(joined)
        for match in sorted(_best(alike), key=lambda one: one.at_s):
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


def _covers(good: SoundMatch, match: SoundMatch) -> bool:
    """Whether a known good sound explains most of it, as well or better."""
    shared = min(good.until_s, match.until_s) - max(good.at_s, match.at_s)
    return shared >= match.seconds / 2 and good.errors <= match.errors + 1 / BITS


def _best(matches: Sequence[SoundMatch]) -> list[SoundMatch]:
    """Of matches that overlap by most of the shorter, the one with the higher score."""
    kept: list[SoundMatch] = []
    for match in sorted(matches, key=lambda one: -one.score):
        if not any(
            min(other.until_s, match.until_s) - max(other.at_s, match.at_s) > match.seconds / 2 for other in kept
        ):
            kept.append(match)
    return sorted(kept, key=lambda one: -one.seconds)
