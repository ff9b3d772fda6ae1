"""The rumour judge (Provisions, Art. 6, 11 and 13). Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from agents.decide import Finding, acted, decide, ground
from agents.rumor.match import RumorMatch
from agents.rumor.news import judge_news
from agents.rumor.stance import Stance
from schemas.decision import Decision
from schemas.policy import MediaTextPolicy, Policy, RumorPolicy
from schemas.signals import Evidence, Signals

#: What evidence says of a text that is about a claim.
_WORDS: Mapping[Stance, str] = {
    "asserted": "repeats", "asked": "asks about", "refuted": "refutes", "reported": "reports", "mocked": "mocks",
}  # fmt: skip
#: Of claims that a text is about and does not assert, so many are named.
MOST_NAMED = 5


def judge(
    signals: Signals,
    matches: Sequence[RumorMatch],
    policy: Policy,
    now: datetime,
    models: Mapping[str, str] | None = None,
) -> Decision:
    """Does it assert a rumour, or carry news made with generated media? `models`: what the matches were made with."""
    findings = [*_rumors(matches, policy.rumor, policy.media_text), *judge_news(signals, policy.rumor)]
    return decide("rumor", signals.event, policy, findings, now, models)


def asserted(matches: Sequence[RumorMatch], policy: RumorPolicy) -> list[RumorMatch]:
    """The matches that are taken to assert their claim."""
    return [match for match in matches if match.score >= policy.match and match.rumor.status != "true"]


def refuted(matches: Sequence[RumorMatch], policy: RumorPolicy) -> list[RumorMatch]:
    """The matches that have a refutation to show."""
    return [match for match in asserted(matches, policy) if match.rumor.status == "refuted"]


def _rumors(matches: Sequence[RumorMatch], policy: RumorPolicy, media: MediaTextPolicy) -> Iterator[Finding]:
    repeated = asserted(matches, policy)
    for match in repeated:
        code = "RUMOR-REFUTED" if match.rumor.status == "refuted" else "RUMOR-SUSPECTED"
        reason = ground(code, score=match.score, threshold=policy.match, evidence=[_evidence(match, "asserted")])
        action = policy.on_refuted if match.rumor.status == "refuted" else policy.on_suspected
        if action == "takedown" and match.place is not None and media.at_most != "takedown":
            action = "review"
        yield from acted(action, reason, policy.notice)
    for match in [match for match in matches if match not in repeated and match.rumor.status != "true"][:MOST_NAMED]:
        # What speaks against a claim is worth showing: it passes, and the decision says what it does. What is too
        # unsure to be taken for an assertion passes as well, unnamed.
        if match.stance != "asserted":
            code = "RUMOR-REFUTING" if match.stance in ("refuted", "mocked") else "RUMOR-MENTIONED"
            said = [_evidence(match, match.stance)]
            yield Finding(ground(code, score=match.score, threshold=policy.match, evidence=said), "allow")


def _evidence(match: RumorMatch, does: Stance) -> Evidence:
    place = match.place
    return Evidence(
        at_s=place.at_s if place else None,
        until_s=place.until_s if place else None,
        entry=match.rumor.rumor_id,
        text=f"{match.field} {_WORDS[does]}: {match.claim}",
    )
