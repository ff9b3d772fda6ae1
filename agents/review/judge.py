"""The review judge (Provisions, Art. 7, 9 and 12). Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from msgspec.structs import replace

from agents.decide import Finding, decide, ground, hold, remove, review
from agents.review import hits, wording
from agents.review.audience import in_force
from agents.review.bank import Match
from agents.review.copied import copied
from agents.review.heard import heard
from agents.review.links import LinkMatch
from agents.review.soundmatch import SoundMatch
from agents.review.terms import TermMatch
from schemas.bank import HashEntry
from schemas.decision import Decision
from schemas.policy import MediaTextPolicy, ModelRule, Policy, ReviewPolicy
from schemas.signals import UNAVAILABLE, Evidence, Signals


@dataclass(frozen=True, slots=True)
class Matched:
    """What the bank and the term list say to an item."""

    frames: Sequence[Match] = ()
    #: Entries of the bank that are the same file.
    files: Sequence[HashEntry] = ()
    terms: Sequence[TermMatch] = ()
    links: Sequence[LinkMatch] = ()
    #: Lists of terms and links that the policy names and that have not come whole.
    missing: Sequence[str] = ()
    sounds: Sequence[SoundMatch] = ()
    #: The entries that signals name as copied by their points, by id.
    copies: Mapping[str, HashEntry] | None = None


def judge(signals: Signals, matched: Matched, policy: Policy, now: datetime) -> Decision:
    """Must this not be published, or must a person see it first?"""
    rules = in_force(policy.review, signals.event)
    pictures, cards = hits.without_cards(signals, policy.review)
    good = hits.known_good(matched.files, policy.review)
    findings = [
        *_unread(signals, matched.missing, policy.media_text),
        *hits.findings(matched.frames, matched.files, signals.frames, policy.review),
        *cards,
        *(copied(pictures, matched.copies or {}, policy.review) if not good else ()),
        *(heard(matched.sounds, policy.review) if not good else ()),
        *_scored(
            signals, "nudity", "REVIEW-NUDITY", ModelRule(review=rules.nudity_review, takedown=rules.nudity_takedown)
        ),
        *(finding for name, rule in rules.models.items() for finding in _scored(signals, name, "REVIEW-MODEL", rule)),
        *wording.findings(matched.terms, matched.links, rules, policy.media_text),
        *_blank(signals, rules),
    ]
    return decide("review", signals.event, policy, findings, now, signals.models)


def _unread(signals: Signals, lists: Sequence[str], policy: MediaTextPolicy) -> Iterator[Finding]:
    if signals.error:
        said = Evidence(text=signals.error.text)
        yield hold(ground(signals.error.code, score=0.0, evidence=[said]), "reviewed")
    elif missed := [*(text for text in signals.absent if not _ignored(text, policy)), *lists]:
        yield review(ground("REVIEW-BLIND", score=0.0, evidence=[Evidence(text=text) for text in missed]))


def _ignored(absent: str, policy: MediaTextPolicy) -> bool:
    """Whether this detector, which is not installed, need not be."""
    detector, _, why = absent.partition(": ")
    return why.startswith(f"{UNAVAILABLE}: ") and policy.on_absent.get(detector) == "ignore"


def _scored(signals: Signals, name: str, code: str, rule: ModelRule) -> Iterator[Finding]:
    """What follows from a model's score."""
    signal = signals.best(name)
    if signal is None:
        return
    for threshold, finding in ((rule.takedown, remove), (rule.review, review)):
        if threshold is not None and signal.score >= threshold:
            evidence = signal.evidence
            if code == "REVIEW-MODEL":  # which of them
                evidence = tuple(replace(one, entry=name) for one in evidence) or (Evidence(entry=name),)
            yield finding(ground(code, score=signal.score, threshold=threshold, evidence=evidence))
            return


def _blank(signals: Signals, policy: ReviewPolicy) -> Iterator[Finding]:
    signal = signals.best("blank")
    if signal and policy.blank_review is not None and signal.score >= policy.blank_review:
        yield review(ground("REVIEW-BLANK", score=signal.score, threshold=policy.blank_review))
