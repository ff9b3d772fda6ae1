"""The negative bank: hits that known good media explain at least as well are set aside. Pure.

Test cards, countdowns, black frames and intros stand in banned clips as they stand in others, and some pictures only
look like banned ones. Entries of kind `known_good` hold their hashes. What is set aside is kept, so that whoever reads
the decision sees why nothing came of a hit.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from agents.review.bank import HashBank, Match
from schemas.bank import HashEntry
from schemas.message import decode
from schemas.policy import ReviewPolicy
from schemas.signals import FrameHash

#: Bank of known good entries of which any match sets a hit aside, however close the banned one is: a test card is no
#: evidence though one from a banned clip comes closer to itself than to the card as it was drawn.
CARDS = "cards"
#: PDQ's own bound of usable detail (Meta, 2019). Frames below it, blank ones first of all, never count alone, whatever
#: the policy lets take part in matching.
INFORMATIVE = 50


class Aside(NamedTuple):
    """A hit that does not count, and the known good match that is the reason; None: its entry met only frames without
    detail."""

    match: Match
    by: Match | None


@dataclass(frozen=True, slots=True)
class Weighed:
    """Hits that count, and those that do not."""

    kept: tuple[Match, ...] = ()
    aside: tuple[Aside, ...] = ()


def weigh(matches: Iterable[Match], frames: Sequence[FrameHash], policy: ReviewPolicy) -> Weighed:
    """Sort the matches of an item's frames, known good ones among them.

    A hit is set aside where the same frame matches known good media no farther than `policy.known_good_bits` beyond the
    banned, or a card at all; what remains of an entry is set aside if it met frames without detail only.
    """
    banned: list[Match] = []
    good: dict[float, list[Match]] = defaultdict(list)
    for match in matches:
        if match.kind == "banned":
            banned.append(match)
        else:
            good[match.at_s].append(match)
    kept, aside = [], []
    for match in banned:
        by = _explains(match, good.get(match.at_s, ()), policy) if policy.known_good != "off" else None
        if by is None:
            kept.append(match)
        else:
            aside.append(Aside(match, by))
    quality: dict[float, int] = {}
    for frame in frames:
        quality[frame.at_s] = max(frame.quality, quality.get(frame.at_s, 0))
    told = {match.entry_id for match in kept if quality.get(match.at_s, INFORMATIVE) >= INFORMATIVE}
    aside += [Aside(match, None) for match in kept if match.entry_id not in told]
    return Weighed(tuple(match for match in kept if match.entry_id in told), tuple(aside))


def _explains(match: Match, good: Iterable[Match], policy: ReviewPolicy) -> Match | None:
    """The closest known good match that explains this hit, if one does."""
    reach = match.distance + policy.known_good_bits
    return min((one for one in good if one.distance <= reach or one.bank == CARDS), key=_distance, default=None)


def _distance(match: Match) -> int:
    return match.distance


@cache
def shipped() -> Mapping[str, HashEntry]:
    """The known good entries that ship: test cards and plain pictures that `agents.review.cards` draws."""
    lines = files("agents.review").joinpath("known_good.jsonl").read_bytes().splitlines()
    return {entry.entry_id: entry for entry in (decode(HashEntry, line) for line in lines)}


def cards_shown(frames: Sequence[FrameHash], policy: ReviewPolicy) -> list[tuple[float, str]]:
    """(time, what is shown from then on) at each of the item's frames, in order: a card that ships, or "" for anything
    else. Frames that show nothing new are left out of `frames`, so each stands until the next."""
    if policy.known_good != "all":
        return []
    bank, ordered = _shipped_bank(), sorted(frames, key=lambda frame: frame.at_s)
    met = bank.match(ordered, max_distance=policy.hash_max_distance, min_quality=policy.hash_min_quality)
    closest = {match.at_s: match.entry_id for match in reversed(met)}
    return [(frame.at_s, closest.get(frame.at_s, "")) for frame in ordered]


@cache
def _shipped_bank() -> HashBank:
    return HashBank(shipped().values())


def shipped_matches(frames: Sequence[FrameHash], hits: Iterable[Match], policy: ReviewPolicy) -> list[Match]:
    """What those of an item's frames that hit the bank match among the known good entries that ship."""
    times = {match.at_s for match in hits}
    if policy.known_good != "all" or not times:
        return []
    met = [frame for frame in frames if frame.at_s in times]
    return _shipped_bank().match(met, max_distance=policy.hash_max_distance, min_quality=policy.hash_min_quality)
