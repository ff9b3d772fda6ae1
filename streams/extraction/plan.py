"""From an event, its publisher and the policy to the plan: how closely the item is looked at. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from schemas.event import Admitted
from schemas.plan import Look, Plan, Why
from schemas.policy import DetectorRule, Policy
from streams.extraction.detector import Detector


def plan_for(admitted: Admitted, policy: Policy, detectors: Sequence[type[Detector]]) -> Plan:
    """How closely to look at the item at first."""
    return _plan(_reasons(admitted, policy), policy, detectors)


def closer(plan: Plan, why: Why, policy: Policy, detectors: Sequence[type[Detector]]) -> Plan | None:
    """How to read an item again for this reason: tier 1, sampled densely, every frame decoded. None: not at all, since
    the policy does not ask for it, or it was read so already."""
    if why not in policy.extraction.escalate or why in plan.why:
        return None
    return msgspec.structs.replace(
        _plan((*plan.why, why), policy, detectors), every_s=policy.extraction.dense_s, decode="all"
    )


def _reasons(admitted: Admitted, policy: Policy) -> tuple[Why, ...]:
    event = admitted.event
    holds: dict[Why, bool] = {
        "always": True,
        "publisher_new": "new" in admitted.standing,
        "publisher_sanctioned": "sanctioned" in admitted.standing,
        "labelled": bool(admitted.labels),
        "news": event.category in policy.rumor.news_categories,
        "declared_synthetic": event.declared_synthetic is True,
    }
    return tuple(why for why, true in holds.items() if true and why in policy.extraction.escalate)


def _plan(why: tuple[Why, ...], policy: Policy, detectors: Sequence[type[Detector]]) -> Plan:
    rules = policy.extraction
    return Plan(
        tier=1 if why else 0,
        why=why,
        every_s=rules.every_s,
        detectors={
            kind.name: _look(kind, rules.detectors.get(kind.name, DetectorRule()), bool(why)) for kind in detectors
        },
    )


def _look(kind: type[Detector], rule: DetectorRule, escalated: bool) -> Look:
    asked = rule.run or ("always" if kind.tier == 0 else "cued" if kind.wakes_on else "escalated")
    if asked == "off":
        return Look(run="off")
    if escalated:
        return Look()
    if asked == "always":
        return Look(every_s=rule.every_s)
    return Look(run="cued" if asked == "cued" and kind.wakes_on else "off", every_s=rule.every_s)
