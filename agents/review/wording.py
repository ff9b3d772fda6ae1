"""What follows from listed terms and links (Provisions, Art. 9). Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from agents.decide import SEVERITY, Finding, ground, remove, review
from agents.review.audience import action_for
from agents.review.links import LinkMatch
from agents.review.terms import TermMatch
from agents.text import Place
from schemas.policy import SEVERITIES, Category, Link, MediaTextPolicy, OnTerm, ReviewPolicy, Term
from schemas.signals import Evidence

#: Fields that a model read or heard; all others hold words as somebody wrote them.
BY_MODELS = ("captions", "speech")
#: How a term is there, in words, where it is not as it is listed.
HOW = {"sound": ", by its sound", "look": ", by its look"}


def findings(
    terms: Sequence[TermMatch], links: Sequence[LinkMatch], policy: ReviewPolicy, media: MediaTextPolicy
) -> Iterator[Finding]:
    """From the matches to findings, one for each action and, of what models read, each field. `policy`: as it is in
    force for the item, see `agents.review.audience`."""
    for code, matches in (("REVIEW-TERM", terms), ("REVIEW-LINK", links)):
        judged = [(match, _action(match, policy, media)) for match in matches]
        for field, least in (("", 1.0), ("captions", media.captions_from), ("speech", media.speech_from)):
            for action, finding in (("takedown", remove), ("review", review)):
                held = [match for match, asked in judged if asked == action and _read_by_model(match) == field]
                if held:
                    held.sort(key=lambda match: -SEVERITIES.index(_severity(match, policy)))
                    score = max(match.place.score for match in held if match.place) if field else 1.0
                    evidence = [_evidence(match, policy) for match in held]
                    yield finding(ground(code, score=score, threshold=least, evidence=evidence))


def _read_by_model(match: TermMatch | LinkMatch) -> str:
    return match.field if match.field in BY_MODELS else ""


def _listed(match: TermMatch | LinkMatch) -> Term | Link:
    return match.term if isinstance(match, TermMatch) else match.link


def _action(match: TermMatch | LinkMatch, policy: ReviewPolicy, media: MediaTextPolicy) -> OnTerm:
    listed = _listed(match)
    action = action_for(listed.category, listed.action, policy.stricter)
    if _read_by_model(match) and media.at_most == "review":
        action = _milder(action, "review")
    if isinstance(match, TermMatch) and match.how:
        action = _milder(action, policy.disguised_at_most)
    return action


def _milder(one: OnTerm, other: OnTerm) -> OnTerm:
    return min(one, other, key=lambda action: SEVERITY[action])


def _severity(match: TermMatch | LinkMatch, policy: ReviewPolicy) -> str:
    listed = _listed(match)
    return listed.severity or policy.categories.get(listed.category, Category()).severity


def _evidence(match: TermMatch | LinkMatch, policy: ReviewPolicy) -> Evidence:
    listed, place = _listed(match), match.place
    category = policy.categories.get(listed.category, Category())
    text = f"{listed.category} ({category.ground}, {_severity(match, policy)}) in {match.field}"
    text += HOW.get(match.how, "") if isinstance(match, TermMatch) else ""
    if words := _words(match, place):
        text += f": {words}"
    return Evidence(
        at_s=place.at_s if place else None,
        until_s=place.until_s if place else None,
        entry=listed.text if isinstance(listed, Term) else listed.pattern,
        text=text,
    )


def _words(match: TermMatch | LinkMatch, place: Place | None) -> str:
    """What stands there: of what is in the media all of the caption, of what is written as it is listed nothing."""
    if isinstance(match, TermMatch) and place is not None:
        return place.words
    return match.words
