"""What follows from banned sound that was heard again. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from agents.decide import Finding, ground, remove, review
from agents.review.soundmatch import SoundMatch
from schemas.policy import OnHash, ReviewPolicy
from schemas.signals import Evidence

#: Matching stretches named as evidence.
MOST_EVIDENCE = 5
#: From mildest to severest.
_RANK: tuple[OnHash, ...] = ("allow", "label", "review", "takedown")


def heard(matches: Sequence[SoundMatch], policy: ReviewPolicy) -> Iterator[Finding]:
    """One finding of the severest that the matches bring."""
    most = policy.sound_max_errors
    if most is None:
        return
    for action, finding in (("takedown", remove), ("review", review)):
        found = [match for match in matches if _action(match, policy) == action]
        if found:
            yield finding(
                ground(
                    "REVIEW-SOUND",
                    score=1 - min(match.errors for match in found),
                    threshold=1 - most,
                    evidence=[_evidence(match) for match in found[:MOST_EVIDENCE]],
                )
            )


def _action(match: SoundMatch, policy: ReviewPolicy) -> OnHash:
    entry = match.entry
    asked = policy.hash_action(entry.bank, entry.severity)
    # There is no notice for sound: a person says what becomes of it.
    asked = "review" if asked == "label" else asked
    return min(asked, policy.soundtrack_at_most, key=_RANK.index) if entry.frames else asked


def _evidence(match: SoundMatch) -> Evidence:
    changed = f", {match.variant}" if match.variant else ""
    return Evidence(
        at_s=match.at_s,
        until_s=match.until_s,
        entry=match.entry.entry_id,
        text=(
            f"{match.entry.category}: sounds like the entry from {match.bank_at_s:.1f} to {match.bank_until_s:.1f} s"
            f" ({match.errors:.0%} of the bits differ{changed})"
        ),
    )
