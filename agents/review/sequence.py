"""Where an item shows an entry: matching frames put in order, so that offsets in time agree. Pure.

Frame by frame a match is as vPDQ has it (Meta, "The TMK+PDQF Video-Hashing Algorithm and the PDQ Image-Hashing
Algorithm", 2019, and the README of vpdq in ThreatExchange): 31 of 256 bits at most, quality 50 or more on both sides,
and of two videos the share of either's frames that match a frame of the other. That says neither where nor in what
order. A copy plays the entry at some speed: item time = offset + entry time / speed. For each speed in question the
offsets of all pairs of frames are sorted, and the window that holds most frames of the item is a copy; what remains is
searched again, since an item may show an entry twice.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from math import exp, log
from typing import NamedTuple, Protocol

#: How far offsets of one copy lie apart, in seconds, on either side: frames are sampled each second, entries leave out
#: what shows nothing new, and both are off by a part of that.
SLACK_S = 0.75
#: Speeds in question, from slow to fast, a fiftieth apart: over 30 s that is 0.6 s. People change speed by a tenth.
MOST_SPEED = 1.25
SPEEDS = tuple(sorted((exp(0.02 * step) for step in range(-11, 12)), key=lambda speed: abs(log(speed))))
#: Frames of one copy lie no further apart than this, in seconds, in the item: two copies otherwise.
MOST_GAP_S = 10.0
#: Pairs of frames that are looked at for one entry, and copies of it that are named: what takes long is bounded.
MOST_PAIRS, MOST_STRETCHES = 600, 5
#: Entries of which copies are looked for, those with most frames.
MOST_ENTRIES = 20
#: Copies shorter than this, in seconds, say nothing of their speed.
LEAST_FOR_SPEED_S = 2.0


class Pair(Protocol):
    """A frame of the item, at a time in seconds, that matches a frame of an entry."""

    @property
    def entry_id(self) -> str:
        """Of which entry."""

    @property
    def at_s(self) -> float:
        """When in the item."""

    @property
    def bank_at_s(self) -> float:
        """When in the entry."""


class Stretch(NamedTuple):
    """From when to when an item shows an entry, by its sampled frames, in seconds of either."""

    entry_id: str
    at_s: float
    until_s: float
    bank_at_s: float
    bank_until_s: float
    #: How much faster than the entry the item shows it. None: it is too short to tell.
    speed: float | None
    #: Frames of the item that match.
    frames: int


class Shares(NamedTuple):
    """vPDQ's measure of two videos: of the frames with enough detail of each, how many match the other's."""

    item: float
    entry: float


def stretches(pairs: Iterable[Pair]) -> list[Stretch]:
    """Where the item shows each entry, those with most frames first."""
    of_entry: dict[str, set[tuple[float, float]]] = defaultdict(set)
    for pair in pairs:
        of_entry[pair.entry_id].add((pair.at_s, pair.bank_at_s))
    most = sorted(of_entry, key=lambda entry: (-len({at for at, _ in of_entry[entry]}), entry))[:MOST_ENTRIES]
    found = [stretch for entry in most for stretch in _of_entry(entry, _thinned(sorted(of_entry[entry])))]
    return sorted(found, key=lambda stretch: (-stretch.frames, stretch.entry_id, stretch.at_s))


def shares(pairs: Iterable[Pair], entry_id: str, item_frames: int, entry_frames: int) -> Shares:
    """Shares of matching frames. `item_frames`, `entry_frames`: those with enough detail to match at all."""
    mine = [pair for pair in pairs if pair.entry_id == entry_id]
    return Shares(
        min(1.0, len({pair.at_s for pair in mine}) / max(1, item_frames)),
        min(1.0, len({pair.bank_at_s for pair in mine}) / max(1, entry_frames)),
    )


def _thinned(pairs: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most MOST_PAIRS of them, evenly."""
    count = min(len(pairs), MOST_PAIRS)
    return [pairs[place * len(pairs) // count] for place in range(count)]


def _of_entry(entry_id: str, pairs: list[tuple[float, float]]) -> list[Stretch]:
    moments = [bank for _, bank in pairs]
    if max(moments) - min(moments) <= 2 * SLACK_S:  # one still moment, however long it is shown, lies on no line
        return [_stretch(entry_id, run) for run in _runs(pairs)][:MOST_STRETCHES]
    found: list[Stretch] = []
    while pairs and len(found) < MOST_STRETCHES:
        runs = _runs(_best(pairs))
        found += [_stretch(entry_id, run) for run in runs]
        seen = [(run[0][0], run[-1][0]) for run in runs]
        # What else is matched while a copy runs is the same scene at other moments of the entry.
        pairs = [pair for pair in pairs if not any(begin <= pair[0] <= end for begin, end in seen)]
    return found[:MOST_STRETCHES]


def _best(pairs: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The pairs that lie on the line with most frames of the item."""
    best: list[tuple[float, float]] = []
    most = 0
    for speed in SPEEDS:  # the plainest first: another has to explain more frames
        placed = sorted((at - bank / speed, at, bank) for at, bank in pairs)
        held: dict[float, int] = defaultdict(int)
        begin = 0
        for end, (offset, at, _) in enumerate(placed):
            held[at] += 1
            while offset - placed[begin][0] > 2 * SLACK_S:
                left = placed[begin][1]
                held[left] -= 1
                if not held[left]:
                    del held[left]
                begin += 1
            if len(held) > most:
                most = len(held)
                best = [(at, bank) for _, at, bank in placed[begin : end + 1]]
    return sorted(best)


def _runs(pairs: Sequence[tuple[float, float]]) -> list[list[tuple[float, float]]]:
    """Parted where the item shows something else for long."""
    runs: list[list[tuple[float, float]]] = []
    for pair in pairs:
        if not runs or pair[0] - runs[-1][-1][0] > MOST_GAP_S:
            runs.append([])
        runs[-1].append(pair)
    return runs


def _stretch(entry_id: str, run: Sequence[tuple[float, float]]) -> Stretch:
    times, moments = [at for at, _ in run], [bank for _, bank in run]
    return Stretch(
        entry_id, times[0], times[-1], min(moments), max(moments), _speed(run, times[-1] - times[0]), len(set(times))
    )


def _speed(run: Sequence[tuple[float, float]], lasts_s: float) -> float | None:
    """By the line through the pairs that leaves least."""
    if lasts_s < LEAST_FOR_SPEED_S:
        return None
    mean_at = sum(at for at, _ in run) / len(run)
    mean_bank = sum(bank for _, bank in run) / len(run)
    spread = sum((at - mean_at) ** 2 for at, _ in run)
    speed = sum((at - mean_at) * (bank - mean_bank) for at, bank in run) / spread
    return speed if 1 / MOST_SPEED <= speed <= MOST_SPEED else None  # a still picture is at every moment
