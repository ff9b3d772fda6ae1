"""The review judge (Provisions, Art. 7, 9 and 12). Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from agents.decide import Finding, decide, ground, hold, remove, review
from agents.review.bank import Match
from agents.review.terms import TermMatch
from schemas.bank import HashEntry
from schemas.decision import Decision
from schemas.policy import MediaTextPolicy, OnTerm, Policy, ReviewPolicy
from schemas.signals import UNAVAILABLE, Evidence, Signals

#: PDQ hashes have 256 bits: a distance becomes a score as the share of bits that agree.
BITS = 256
#: Matching frames named as evidence.
MOST_EVIDENCE = 5


@dataclass(frozen=True, slots=True)
class Matched:
    """What the bank and the term list say to an item."""

    frames: Sequence[Match] = ()
    file: HashEntry | None = None
    terms: Sequence[TermMatch] = ()


def judge(signals: Signals, matched: Matched, policy: Policy, now: datetime) -> Decision:
    """Must this not be published, or must a person see it first?"""
    findings = [
        *_unread(signals, policy.media_text),
        *_banned(matched, policy.review),
        *_nudity(signals, policy.review),
        *_terms(matched.terms, policy.media_text),
        *_blank(signals, policy.review),
    ]
    return decide("review", signals.event, policy, findings, now, signals.models)


def _unread(signals: Signals, policy: MediaTextPolicy) -> Iterator[Finding]:
    if signals.error:
        said = Evidence(text=signals.error.text)
        yield hold(ground(signals.error.code, score=0.0, evidence=[said]), "reviewed")
    elif missed := [text for text in signals.absent if not _ignored(text, policy)]:
        yield review(ground("REVIEW-BLIND", score=0.0, evidence=[Evidence(text=text) for text in missed]))


def _ignored(absent: str, policy: MediaTextPolicy) -> bool:
    """Whether this detector, which is not installed, need not be."""
    detector, _, why = absent.partition(": ")
    return why.startswith(f"{UNAVAILABLE}: ") and policy.on_absent.get(detector) == "ignore"


def _banned(matched: Matched, policy: ReviewPolicy) -> Iterator[Finding]:
    threshold = 1 - policy.hash_max_distance / BITS
    if matched.file:
        same = Evidence(entry=matched.file.entry_id, text=f"{matched.file.category}: the same file")
        yield remove(ground("REVIEW-HASH", score=1.0, threshold=threshold, evidence=[same]))
    if matched.frames:
        closest = sorted(matched.frames, key=lambda match: match.distance)
        reason = ground(
            "REVIEW-HASH",
            score=1 - closest[0].distance / BITS,
            threshold=threshold,
            evidence=[
                Evidence(
                    at_s=match.at_s,
                    entry=match.entry_id,
                    text=f"{match.category}: {match.distance} bits from the entry at {match.bank_at_s:.1f} s",
                )
                for match in closest[:MOST_EVIDENCE]
            ],
        )
        yield remove(reason) if len(closest) >= policy.hash_min_frames else review(reason)


def _nudity(signals: Signals, policy: ReviewPolicy) -> Iterator[Finding]:
    signal = signals.best("nudity")
    if signal is None:
        return
    for threshold, finding in ((policy.nudity_takedown, remove), (policy.nudity_review, review)):
        if threshold is not None and signal.score >= threshold:
            yield finding(ground("REVIEW-NUDITY", score=signal.score, threshold=threshold, evidence=signal.evidence))
            return


def _terms(matches: Sequence[TermMatch], policy: MediaTextPolicy) -> Iterator[Finding]:
    for action, finding in (("takedown", remove), ("review", review)):
        evidence = [
            Evidence(entry=match.term.text, text=f"{match.term.category} in {match.field}")
            for match in matches
            if match.place is None and match.term.action == action
        ]
        if evidence:
            yield finding(ground("REVIEW-TERM", evidence=evidence))
    yield from _shown_terms(matches, policy)


def _shown_terms(matches: Sequence[TermMatch], policy: MediaTextPolicy) -> Iterator[Finding]:
    """Terms in captions and speech: the score is how surely the words were read or heard."""
    for field, least in (("captions", policy.captions_from), ("speech", policy.speech_from)):
        for action, finding in (("takedown", remove), ("review", review)):
            places = [
                (match.term, match.place)
                for match in matches
                if match.place is not None and match.field == field and _at_most(match.term.action, policy) == action
            ]
            if places:
                evidence = [
                    Evidence(
                        at_s=place.at_s,
                        until_s=place.until_s,
                        entry=term.text,
                        text=f"{term.category} in {field}: {place.words}",
                    )
                    for term, place in places
                ]
                score = max(place.score for _, place in places)
                yield finding(ground("REVIEW-TERM", score=score, threshold=least, evidence=evidence))


def _at_most(action: OnTerm, policy: MediaTextPolicy) -> OnTerm:
    return "review" if policy.at_most == "review" else action


def _blank(signals: Signals, policy: ReviewPolicy) -> Iterator[Finding]:
    signal = signals.best("blank")
    if signal and policy.blank_review is not None and signal.score >= policy.blank_review:
        yield review(ground("REVIEW-BLANK", score=signal.score, threshold=policy.blank_review))
