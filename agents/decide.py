"""From what a judge found to a decision. Pure: the time is an argument."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from schemas.decision import Action, Decision, LabelTerms, Level, Reason, Stop, StopKind, Until, decision_id, stable_id
from schemas.event import Event
from schemas.policy import Policy
from schemas.reasons import CATALOGUE
from schemas.signals import Evidence
from schemas.spread import Footage, Sighting

SEVERITY: Mapping[Action, int] = {"allow": 0, "label": 1, "review": 2, "takedown": 3}
"""action → how much it weighs against another."""
#: Of two takedowns the one that ends later stands.
_STOPS: Mapping[StopKind, int] = {"hold": 0, "remove": 1, "cut_stream": 2}


@dataclass(frozen=True, slots=True)
class Finding:
    """One ground and what it asks for."""

    reason: Reason
    action: Action
    stop: Stop | None = None
    label: LabelTerms | None = None


def ground(code: str, *, score: float = 1.0, threshold: float = 1.0, evidence: Sequence[Evidence] = ()) -> Reason:
    """A reason with its article from the catalogue. KeyError for a code that is not there."""
    return Reason(
        code=code, score=score, threshold=threshold, evidence=tuple(evidence), article=CATALOGUE[code].article
    )


def hold(reason: Reason, until: Until, label: LabelTerms | None = None) -> Finding:
    """Stop the item until something is done about it."""
    return Finding(reason, "takedown", Stop(kind="hold", until=until), label)


def remove(reason: Reason) -> Finding:
    """Stop the item for good."""
    return Finding(reason, "takedown", Stop(kind="remove", until="forever"))


def review(reason: Reason) -> Finding:
    """Ask a person."""
    return Finding(reason, "review")


def label(reason: Reason, level: Level, text: str) -> Finding:
    """Publish with a label."""
    return Finding(reason, "label", label=LabelTerms(level=level, text=text))


def acted(action: Action, reason: Reason, notice: str) -> Iterator[Finding]:
    """What a policy's action makes of a ground; nothing for `allow`. `notice`: the words of a label that is not about
    generation."""
    if action == "takedown":
        yield remove(reason)
    elif action == "review":
        yield review(reason)
    elif action == "label":
        yield label(reason, 0, notice)


def takedown_id(decision_id: str) -> str:
    """The id of the order by which a decision stops its item."""
    return stable_id("takedown", decision_id)


def label_id(decision_id: str) -> str:
    """The id of the order by which a decision labels its item."""
    return stable_id("label", decision_id)


def decide(
    agent: str,
    event: Event | Sighting | Footage,
    policy: Policy,
    findings: Iterable[Finding],
    now: datetime,
    models: Mapping[str, str] | None = None,
) -> Decision:
    """The decision that the findings add up to: the most severe action, every reason, most severe first.

    `event`: the item, or what an agent keeps of it.
    """
    ranked = sorted(findings, key=lambda found: -SEVERITY[found.action])
    stops = [found.stop for found in ranked if found.stop]
    labels = [found.label for found in ranked if found.label]
    return Decision(
        decision_id=decision_id(event.event_id, agent, policy.ref),
        event_id=event.event_id,
        content_id=event.content_id,
        publisher_id=event.publisher_id,
        stream_id=event.stream_id,
        seq=event.seq,
        reach=event.reach if isinstance(event, Event) else None,
        agent=agent,
        action=ranked[0].action if ranked else "allow",
        reasons=tuple(found.reason for found in ranked),
        stop=max(stops, key=lambda stop: _STOPS[stop.kind], default=None),
        # Level 1 ("is generated") says more than 2 and 3; 0 is a notice of another kind and yields to them.
        label=min(labels, key=lambda terms: terms.level or 4, default=None),
        policy=policy.ref,
        media=event.media if labels and isinstance(event, Event) else None,
        models=dict(models or {}),
        decided_at=now,
        latency_s=max(0.0, (now - event.created_at).total_seconds()),
    )
