"""The rumour judge (Provisions, Art. 11 and 13). Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from agents.decide import Finding, decide, ground, label, remove, review
from agents.rumor.match import RumorMatch
from schemas.decision import Decision
from schemas.policy import MediaTextPolicy, Policy, RumorPolicy
from schemas.signals import Evidence, Signals


def judge(signals: Signals, matches: Sequence[RumorMatch], policy: Policy, now: datetime) -> Decision:
    """Does it repeat a rumour, or carry news made with generated media?"""
    findings = [*_rumors(matches, policy.rumor, policy.media_text), *_fake_news(signals, policy.rumor)]
    return decide("rumor", signals.event, policy, findings, now)


def refuted(matches: Sequence[RumorMatch]) -> list[RumorMatch]:
    """The matches that have a refutation to show."""
    return [match for match in matches if match.rumor.status == "refuted"]


def _rumors(matches: Sequence[RumorMatch], policy: RumorPolicy, media: MediaTextPolicy) -> Iterator[Finding]:
    for match in matches:
        if match.rumor.status == "true":
            continue
        code = "RUMOR-REFUTED" if match.rumor.status == "refuted" else "RUMOR-SUSPECTED"
        place = match.place
        evidence = [
            Evidence(
                at_s=place.at_s if place else None,
                until_s=place.until_s if place else None,
                entry=match.rumor.rumor_id,
                text=f"{match.field} repeats: {match.claim}",
            )
        ]
        reason = ground(code, score=match.score, threshold=policy.match, evidence=evidence)
        action = policy.on_refuted if match.rumor.status == "refuted" else policy.on_suspected
        if action == "takedown" and (place is None or media.at_most == "takedown"):
            yield remove(reason)
        elif action in ("review", "takedown"):
            yield review(reason)
        elif action == "label":
            yield label(reason, 0, policy.notice)


def _fake_news(signals: Signals, policy: RumorPolicy) -> Iterator[Finding]:
    if signals.event.category not in policy.news_categories:
        return
    said = [
        Evidence(text=f"signal {signal.name}", entry=signal.detector)
        for name in ("aigc.compliant", "aigc.non_compliant")
        if (signal := signals.best(name))
    ]
    if signals.event.declared_synthetic:
        said.append(Evidence(text="declared by the publisher"))
    if said:
        reason = ground("RUMOR-FAKE-NEWS", evidence=said)
        yield remove(reason) if policy.fake_news == "takedown" else review(reason)
    elif traces := [signal.name for name in ("c2pa.synthetic", "tool") if (signal := signals.best(name))]:
        # Traces prove nothing, and removing true news is a harm of its own: a person looks.
        yield review(
            ground("RUMOR-FAKE-NEWS", score=0.5, evidence=[Evidence(text=f"signal {name}") for name in traces])
        )
