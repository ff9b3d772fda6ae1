"""The identity judge (Provisions, Art. 6, 8 and 10). Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import stdnum.cn.ric
import stdnum.cn.uscc

from agents.decide import Finding, decide, ground, hold
from schemas.decision import Decision
from schemas.event import Event
from schemas.policy import Policy
from schemas.registry import Feature, Provider, Publisher
from schemas.signals import Evidence

#: Mobile numbers of mainland China, with or without the country code.
_MOBILE = re.compile(r"^(?:\+?86)?1[3-9][0-9]{9}$")


@dataclass(frozen=True, slots=True)
class Known:
    """What the registry has on an event's publisher, provider and feature; None: no row."""

    publisher: Publisher | None
    provider: Provider | None
    feature: Feature | None


def judge(event: Event, known: Known, policy: Policy, now: datetime) -> Decision:
    """May this publisher publish this through this provider? Everything that is amiss is a reason of the hold."""
    findings = [
        *_publisher(known.publisher, policy),
        *(_licence(known.provider, event.service, now) if policy.identity.require_licence else ()),
        *(_feature(known.feature, now) if policy.identity.require_assessment and event.feature_id else ()),
    ]
    return decide("identity", event, policy, findings, now)


def _publisher(publisher: Publisher | None, policy: Policy) -> Iterator[Finding]:
    if publisher is None:
        yield hold(ground("ID-UNKNOWN", score=0.0), "identified")
        return
    if policy.identity.require_real_name and publisher.real_name != "verified":
        said = Evidence(text=f"real name is {publisher.real_name}")
        yield hold(ground("ID-UNVERIFIED", score=0.0, evidence=[said]), "identified")
    # Never the numbers themselves: decisions are read by many.
    if publisher.id_number is not None and not stdnum.cn.ric.is_valid(publisher.id_number):
        yield hold(ground("ID-NUMBER-FORM", score=0.0), "identified")
    if publisher.organisation_code is not None and not stdnum.cn.uscc.is_valid(publisher.organisation_code):
        yield hold(ground("ID-ORG-FORM", score=0.0), "identified")
    if publisher.mobile is not None and not _MOBILE.match(re.sub(r"[\s-]", "", publisher.mobile)):
        yield hold(ground("ID-MOBILE-FORM", score=0.0), "identified")
    numbers = (publisher.organisation_code,)
    if publisher.kind == "person":
        numbers = (publisher.id_number or publisher.mobile,)
    if policy.identity.require_number and not any(numbers):
        yield hold(ground("ID-NUMBER-MISSING", score=0.0), "identified")


def _licence(provider: Provider | None, service: str, now: datetime) -> Iterator[Finding]:
    if provider is None:
        yield hold(ground("LICENCE-UNKNOWN-PROVIDER", score=0.0), "licensed")
        return
    covering = [licence for licence in provider.licences if {service, "*"} & set(licence.services)]
    if not covering:
        said = Evidence(text=f"no licence covers the service {service!r}")
        yield hold(ground("LICENCE-MISSING", score=0.0, evidence=[said]), "licensed")
    elif all(licence.expires_at is not None and licence.expires_at <= now for licence in covering):
        gone = [Evidence(entry=licence.number, text=f"expired {licence.expires_at}") for licence in covering]
        yield hold(ground("LICENCE-EXPIRED", score=0.0, evidence=gone), "licensed")


def _feature(feature: Feature | None, now: datetime) -> Iterator[Finding]:
    if feature is None:
        yield hold(ground("FEATURE-UNKNOWN", score=0.0), "assessed")
    elif feature.assessment is None:
        said = Evidence(entry=feature.feature_id, text=feature.name)
        yield hold(ground("FEATURE-UNASSESSED", score=0.0, evidence=[said]), "assessed")
    elif feature.assessment.valid_until <= now:
        said = Evidence(entry=feature.feature_id, text=f"valid until {feature.assessment.valid_until}")
        yield hold(ground("FEATURE-EXPIRED", score=0.0, evidence=[said]), "assessed")
