"""Stricter rules for a service or an audience, such as minors. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from agents.decide import SEVERITY
from schemas.event import Event
from schemas.policy import ModelRule, OnTerm, ReviewPolicy, Stricter

#: Thresholds that a stricter rule may lower.
LOWERED = ("nudity_review", "nudity_takedown", "blank_review")


def in_force(policy: ReviewPolicy, event: Event) -> ReviewPolicy:
    """What of the policy holds for this event: thresholds as the strictest rule has them, and of `stricter` only the
    rules that apply."""
    rules = tuple(rule for rule in policy.stricter if _applies(rule, event))
    if not rules:
        return replace(policy, stricter=()) if policy.stricter else policy
    asked: tuple[ReviewPolicy | Stricter, ...] = (policy, *rules)
    lowered = {name: _least(getattr(one, name) for one in asked) for name in LOWERED}
    named = dict.fromkeys(name for one in asked for name in one.models)
    models = {name: _strictest(one.models[name] for one in asked if name in one.models) for name in named}
    return replace(policy, stricter=rules, models=models, **lowered)


def action_for(category: str, action: OnTerm, rules: Iterable[Stricter]) -> OnTerm:
    """What a term or link of this category comes to, if its own action is this."""
    asked = [action, *(found for rule in rules for found in _asked(rule.actions, category))]
    return max(asked, key=lambda one: SEVERITY[one])


def _asked(actions: Mapping[str, OnTerm], category: str) -> Iterable[OnTerm]:
    return (actions[name] for name in (category, "*") if name in actions)


def _applies(rule: Stricter, event: Event) -> bool:
    return (not rule.services or event.service in rule.services) and (
        not rule.audiences or event.audience in rule.audiences
    )


def _strictest(rules: Iterable[ModelRule]) -> ModelRule:
    every = list(rules)
    return ModelRule(review=_least(one.review for one in every), takedown=_least(one.takedown for one in every))


def _least(values: Iterable[float | None]) -> float | None:
    return min((value for value in values if value is not None), default=None)
