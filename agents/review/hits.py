"""What hits of the hash bank mean: the actions that the policy gives to bank and severity, with evidence. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from msgspec.structs import replace

from agents.decide import SEVERITY, Finding, acted, ground
from agents.review.bank import Match
from agents.review.copied import COPY
from agents.review.negative import Aside, cards_shown, weigh
from agents.review.sequence import Stretch, stretches
from schemas.bank import HashEntry
from schemas.policy import OnHash, ReviewPolicy
from schemas.signals import Evidence, FrameHash, Signal, Signals

#: PDQ hashes have 256 bits: a distance becomes a score as the share of bits that agree.
BITS = 256
#: Matching frames named as evidence.
MOST_EVIDENCE = 5


def findings(
    matches: Sequence[Match], files: Sequence[HashEntry], frames: Sequence[FrameHash], policy: ReviewPolicy
) -> Iterator[Finding]:
    """The findings of an item's hits.

    `matches`: of its frames, known good ones among them. `files`: entries that are the same file. A file that is known
    good itself explains every hit, whatever else is said of it.
    """
    threshold = 1 - policy.hash_max_distance / BITS
    banned = [file for file in files if file.kind == "banned"]
    if (good := known_good(files, policy)) is not None:
        hits = [match for match in matches if match.kind == "banned"]
        evidence = [*map(_same, banned), *map(_hit, _closest(hits))]
        if evidence:
            why = Evidence(entry=good.entry_id, text=f"{good.category}: the same file as known good media")
            yield _passed([why, *evidence[: MOST_EVIDENCE - 1]], 1.0, threshold)
        return
    for file in banned:
        yield from _acted(policy.hash_action(file.bank, file.severity), [_same(file)], 1.0, threshold, policy)
    weighed = weigh(matches, frames, policy)
    grouped: dict[OnHash, list[Match]] = defaultdict(list)
    for match in weighed.kept:
        grouped[_action(match, policy)].append(match)
    for action in sorted(grouped, key=lambda action: -SEVERITY[action]):
        hits = _closest(grouped[action])
        # Few frames are little to remove an item for.
        least = "review" if action == "takedown" and frames_of(hits) < policy.hash_min_frames else action
        evidence = _shown(hits)
        yield from _acted(least, evidence, 1 - hits[0].distance / BITS, threshold, policy)
    if weighed.aside:
        nearest = min(weighed.aside, key=lambda aside: aside.match.distance)
        yield _passed(
            [_explained(aside) for aside in weighed.aside[:MOST_EVIDENCE]], 1 - nearest.match.distance / BITS, threshold
        )


def known_good(files: Sequence[HashEntry], policy: ReviewPolicy) -> HashEntry | None:
    """The entry that says that the file itself is known good, whatever is banned; None if there is none."""
    if policy.known_good == "off":
        return None
    return next((file for file in files if file.kind == "known_good"), None)


def without_cards(signals: Signals, policy: ReviewPolicy) -> tuple[Signals, list[Finding]]:
    """The signals without copies that show test cards only, which have points as other pictures do; and a finding that
    says which those were."""
    if not any(signal.name == COPY for signal in signals.signals):
        return signals, []
    shown = cards_shown(signals.frames, policy)
    kept: list[Signal] = []
    aside: list[Evidence] = []
    for signal in signals.signals:
        cards = [card_of(one, shown) if signal.name == COPY else "" for one in signal.evidence]
        aside += [
            replace(one, text=f"{one.text}, but it shows known good {card}")
            for one, card in zip(signal.evidence, cards, strict=True)
            if card
        ]
        rest = tuple(one for one, card in zip(signal.evidence, cards, strict=True) if not card)
        if rest or not signal.evidence:
            kept.append(replace(signal, evidence=rest))
    if not aside:
        return signals, []
    threshold = 1 - policy.hash_max_distance / BITS
    return replace(signals, signals=tuple(kept)), [_passed(aside[:MOST_EVIDENCE], 1.0, threshold)]


def card_of(evidence: Evidence, shown: Sequence[tuple[float, str]]) -> str:
    """The card that is all that the item shows in this stretch; empty if it shows anything else."""
    begin, end = evidence.at_s or 0.0, evidence.until_s or evidence.at_s or 0.0
    at_first = [card for at_s, card in shown if at_s <= begin][-1:]
    met = {*at_first, *(card for at_s, card in shown if begin < at_s <= end)}
    return met.pop() if len(met) == 1 else ""


def frames_of(hits: Iterable[Match]) -> int:
    """How many frames of the item are hit; each may match many of the bank."""
    return len({match.at_s for match in hits})


def _action(match: Match, policy: ReviewPolicy) -> OnHash:
    return policy.hash_action(match.bank, match.severity)


def _same(file: HashEntry) -> Evidence:
    return Evidence(entry=file.entry_id, text=f"{file.category}: the same file")


def _closest(matches: Sequence[Match]) -> list[Match]:
    return sorted(matches, key=lambda match: match.distance)


def _hit(match: Match) -> Evidence:
    return Evidence(
        at_s=match.at_s,
        entry=match.entry_id,
        text=f"{match.category}: {match.distance} bits from the entry at {match.bank_at_s:.1f} s",
    )


def _shown(hits: Sequence[Match]) -> list[Evidence]:
    """Where the item shows entries: stretches, those with most frames first, then the closest, and frames by
    themselves."""
    found = [(stretch, _nearest(stretch, hits)) for stretch in stretches(hits)]
    found.sort(key=lambda pair: (-pair[0].frames, pair[1].distance))
    evidence = []
    for stretch, nearest in found[:MOST_EVIDENCE]:
        if stretch.frames == 1:
            evidence.append(_hit(nearest))
            continue
        speed = "" if stretch.speed is None else f" at {stretch.speed:.2f} × its speed"
        evidence.append(
            Evidence(
                at_s=stretch.at_s,
                until_s=stretch.until_s,
                entry=stretch.entry_id,
                text=f"{nearest.category}: {stretch.frames} frames show the entry from {stretch.bank_at_s:.1f} to "
                f"{stretch.bank_until_s:.1f} s{speed}, the closest {nearest.distance} bits away",
            )
        )
    return evidence


def _nearest(stretch: Stretch, hits: Sequence[Match]) -> Match:
    """The closest hit of a stretch; hits come the closest first."""
    return next(hit for hit in hits if hit.entry_id == stretch.entry_id and stretch.at_s <= hit.at_s <= stretch.until_s)


def _explained(aside: Aside) -> Evidence:
    match, by = aside
    if by is None:
        why = "a frame without detail does not count alone"
    else:
        why = f"but {by.distance} bits from known good {by.entry_id} ({by.category})"
    return Evidence(
        at_s=match.at_s, entry=match.entry_id, text=f"{match.category}: {match.distance} bits from the entry, {why}"
    )


def _passed(evidence: Sequence[Evidence], score: float, threshold: float) -> Finding:
    reason = ground("REVIEW-KNOWN-GOOD", score=score, threshold=threshold, evidence=evidence)
    return Finding(reason, "allow")


def _acted(
    action: OnHash, evidence: Sequence[Evidence], score: float, threshold: float, policy: ReviewPolicy
) -> Iterator[Finding]:
    reason = ground("REVIEW-HASH", score=score, threshold=threshold, evidence=evidence)
    return acted(action, reason, policy.hash_notice)
