"""Permits of providers (Provisions, Art. 6): which service they cover, their form, their expiry. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from agents.decide import Finding, ground, hold
from schemas.event import Event
from schemas.policy import PermitPolicy, Policy
from schemas.registry import Licence, Provider
from schemas.signals import Evidence


def judge_licences(provider: Provider | None, event: Event, rules: PermitPolicy, now: datetime) -> Iterator[Finding]:
    """Does the provider hold a permit of a kind that this service needs, covering it, of the right form, in force?"""
    if provider is None:
        yield hold(ground("LICENCE-UNKNOWN-PROVIDER", score=0.0), "licensed")
        return
    kinds = rules.kinds.get(event.service, rules.kinds.get("*", ()))
    covering = [licence for licence in provider.licences if licence.kind in kinds and _covers(licence, event.service)]
    if not kinds:
        return
    if not covering:
        said = Evidence(text=f"no permit of kind {' or '.join(kinds)} covers the service {event.service!r}")
        yield hold(ground("LICENCE-MISSING", score=0.0, evidence=[said]), "licensed")
        return
    wellformed = [licence for licence in covering if _has_form(licence, rules)]
    if not wellformed:
        said_of = [Evidence(entry=licence.number, text=f"not a number of kind {licence.kind}") for licence in covering]
        yield hold(ground("LICENCE-FORM", score=0.0, evidence=said_of), "licensed")
    elif all(_expired(licence, now) for licence in wellformed):
        gone = [Evidence(entry=licence.number, text=f"expired {licence.expires_at}") for licence in wellformed]
        yield hold(ground("LICENCE-EXPIRED", score=0.0, evidence=gone), "licensed")


def judge_news(provider: Provider | None, event: Event, policy: Policy, now: datetime) -> Iterator[Finding]:
    """May this provider carry news, and from this source?"""
    rules = policy.identity.permits
    if event.category not in policy.rumor.news_categories or provider is None:
        return
    if policy.identity.require_licence and rules.news_kind:
        held = [
            licence for licence in provider.licences if licence.kind == rules.news_kind and _has_form(licence, rules)
        ]
        if not any(_covers(licence, event.service) and not _expired(licence, now) for licence in held):
            said = Evidence(text=f"no permit of kind {rules.news_kind!r} in force covers the service {event.service!r}")
            yield hold(ground("LICENCE-NEWS", score=0.0, evidence=[said]), "licensed")
    if event.news_source is not None and rules.news_sources and event.news_source not in rules.news_sources:
        said = Evidence(entry=event.news_source, text="not among the listed sources")
        yield hold(ground("NEWS-SOURCE", score=0.0, evidence=[said]), "licensed")


def expiring(providers: Iterable[Provider], rules: PermitPolicy, now: datetime) -> list[tuple[Provider, Licence]]:
    """Permits that expire within the policy's warning time, or have expired."""
    soon = now + timedelta(days=rules.warn_days)
    return [
        (provider, licence)
        for provider in providers
        for licence in provider.licences
        if licence.expires_at is not None and licence.expires_at <= soon
    ]


def _covers(licence: Licence, service: str) -> bool:
    return bool({service, "*"} & set(licence.services))


def _has_form(licence: Licence, rules: PermitPolicy) -> bool:
    form = rules.forms.get(licence.kind)
    return form is None or re.fullmatch(form, licence.number) is not None


def _expired(licence: Licence, now: datetime) -> bool:
    return licence.expires_at is not None and licence.expires_at <= now
