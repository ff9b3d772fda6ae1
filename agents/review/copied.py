"""What it means that pictures agree with banned ones by their points: a hit, by thresholds of its own. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec.structs import replace

from agents.decide import Finding, acted, ground
from schemas.bank import HashEntry
from schemas.policy import ReviewPolicy
from schemas.signals import Signals

#: Signals' name, and points that agree for a score of 1: half of those that an entry has of a frame.
COPY = "copy"
FULL = 64


def named(signals: Signals, rows: Mapping[str, HashEntry]) -> dict[str, HashEntry]:
    """The entries that the signals `copy` name, of those that there are."""
    ids = {signal.evidence[0].entry or "" for signal in signals.signals if signal.name == COPY and signal.evidence}
    return {entry_id: rows[entry_id] for entry_id in ids if entry_id in rows}


def copied(signals: Signals, entries: Mapping[str, HashEntry], policy: ReviewPolicy) -> Iterator[Finding]:
    """The findings of the signals `copy`.

    `entries`: of the hash bank, by id; of one that is not there any more, or is switched off, nothing is found.
    """
    if policy.points_review is None:
        return
    for signal in signals.signals:
        entry = entries.get(signal.evidence[0].entry or "") if signal.name == COPY and signal.evidence else None
        if entry is None or not entry.active or entry.kind != "banned":
            continue
        if signal.score < policy.points_review / FULL:
            continue
        sure = policy.points_takedown is not None and signal.score >= policy.points_takedown / FULL
        action = policy.hash_action(entry.bank, entry.severity)
        if action == "takedown" and not sure:
            action = "review"
        reason = ground(
            "REVIEW-HASH",
            score=signal.score,
            threshold=(policy.points_takedown if sure and policy.points_takedown else policy.points_review) / FULL,
            evidence=[replace(one, text=f"{entry.category}: {one.text}") for one in signal.evidence],
        )
        yield from acted(action, reason, policy.hash_notice)
