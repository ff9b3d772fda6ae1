"""The identity judge (Provisions, Art. 6, 7, 8, 10 and 14). Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from agents.decide import Finding, decide, ground, hold, remove, review
from agents.identity.licences import judge_licences, judge_news
from schemas.decision import Decision
from schemas.entity import EntityLabel
from schemas.event import Event, PublisherStanding
from schemas.policy import ExtractionPolicy, IdentityPolicy, Policy
from schemas.registry import Feature, Provider, Publisher
from schemas.sanction import Sanction
from schemas.signals import Evidence


@dataclass(frozen=True, slots=True)
class Known:
    """What the registry has on an event's publisher, provider and feature (None: no row), and what stands against the
    publisher: its own sanctions, those of other accounts of the same person, and labels of the entity memory."""

    publisher: Publisher | None = None
    provider: Provider | None = None
    feature: Feature | None = None
    sanctions: tuple[Sanction, ...] = ()
    relatives: tuple[Sanction, ...] = ()
    labels: tuple[EntityLabel, ...] = ()
    features: Iterable[str] = ()


def judge(event: Event, known: Known, policy: Policy, now: datetime) -> Decision:
    """May this publisher publish this through this provider? Everything that is amiss is a reason."""
    rules = policy.identity
    findings = [
        *_sanctions(event, known, now),
        *_labels(known.labels, rules),
        *_publisher(known.publisher, rules, now),
        *(_age(event, known.publisher, rules, now) if known.publisher else ()),
        *(_agreement(known.publisher, rules, now) if known.publisher else ()),
        *(judge_licences(known.provider, event, rules.permits, now) if rules.require_licence else ()),
        *judge_news(known.provider, event, policy, now),
        *(_feature(event.feature_id, known, now) if rules.require_assessment and event.feature_id else ()),
    ]
    return decide("identity", event, policy, findings, now)


def in_force(sanction: Sanction, now: datetime) -> bool:
    """Whether a sanction has begun, and neither ended nor been lifted."""
    if sanction.lifted_by is not None or sanction.begins_at > now:
        return False
    return sanction.until is None or sanction.until > now


def standing_of(known: Known, rules: ExtractionPolicy, now: datetime) -> tuple[PublisherStanding, ...]:
    """What of a publisher gives reason to look closer at its items: that it is new, or that it was sanctioned and the
    sanction is in force or ended no longer ago than a publisher is new."""
    recent = timedelta(days=rules.new_publisher_days)
    since = known.publisher.verified_at if known.publisher else None
    standing: list[PublisherStanding] = []
    if since is None or now - since < recent:
        standing.append("new")
    if any(
        sanction.lifted_by is None
        and sanction.begins_at <= now
        and (sanction.until is None or sanction.until > now - recent)
        for sanction in known.sanctions
    ):
        standing.append("sanctioned")
    return tuple(standing)


def _sanctions(event: Event, known: Known, now: datetime) -> Iterator[Finding]:
    for sanction in known.sanctions:
        if not in_force(sanction, now):
            continue
        until = "until it is lifted" if sanction.until is None else f"until {sanction.until.isoformat()}"
        said = [Evidence(entry=sanction.sanction_id, text=f"{sanction.level} {until}")]
        if sanction.level == "close":
            yield remove(ground("SANCTION-CLOSED", evidence=said))
        elif sanction.level == "suspend":
            yield hold(ground("SANCTION-SUSPENDED", evidence=said), "lifted")
        elif sanction.level == "limit" and event.service in sanction.limits:
            yield hold(ground("SANCTION-LIMITED", evidence=said), "lifted")
    # One account of a person inherits what stands against another; not its limits, which are of that account's use.
    related = [s for s in known.relatives if s.level in ("suspend", "close") and in_force(s, now)]
    if related:
        said = [
            Evidence(entry=sanction.sanction_id, text=f"{sanction.level} of another account") for sanction in related
        ]
        yield hold(ground("SANCTION-EVASION", evidence=said), "lifted")


def _labels(labels: Iterable[EntityLabel], rules: IdentityPolicy) -> Iterator[Finding]:
    for found in labels:
        if action := rules.entity_labels.get(found.label):
            said = Evidence(entry=found.label_id, text=found.reason)
            reason = ground("ENTITY-LABEL", evidence=[said])
            yield review(reason) if action == "review" else hold(reason, "reviewed")


def _publisher(publisher: Publisher | None, rules: IdentityPolicy, now: datetime) -> Iterator[Finding]:
    if publisher is None:
        yield hold(ground("ID-UNKNOWN", score=0.0), "identified")
        return
    if rules.require_real_name:
        yield from _real_name(publisher, rules, now)
    for number in publisher.numbers:
        if number.form == "invalid":
            code = {"id_number": "ID-NUMBER-FORM", "organisation_code": "ID-ORG-FORM", "mobile": "ID-MOBILE-FORM"}
            said = Evidence(text=f"the {number.kind.replace('_', ' ')} on file")
            yield hold(ground(code.get(number.kind, "ID-DOCUMENT-FORM"), score=0.0, evidence=[said]), "identified")
    if rules.require_number:
        wanted = (
            {"organisation_code"} if publisher.kind == "organisation" else {"id_number", "mobile", "passport", "permit"}
        )
        kinds = {number.kind for number in publisher.numbers} & wanted
        if not kinds:
            yield hold(ground("ID-NUMBER-MISSING", score=0.0), "identified")
        elif not kinds & set(rules.accepted_numbers):
            said = Evidence(text=f"on file: {', '.join(sorted(kinds))}; accepted: {', '.join(rules.accepted_numbers)}")
            yield hold(ground("ID-NUMBER-KIND", score=0.0, evidence=[said]), "identified")


def _real_name(publisher: Publisher, rules: IdentityPolicy, now: datetime) -> Iterator[Finding]:
    if publisher.real_name == "verified":
        if publisher.verified_until is not None and publisher.verified_until <= now:
            said = Evidence(text=f"verified until {publisher.verified_until.isoformat()}")
            yield hold(ground("ID-UNVERIFIED", score=0.0, evidence=[said]), "identified")
    elif publisher.real_name == "pending":
        since = publisher.verified_at
        if since is None or now - since > timedelta(days=rules.grace_days):
            yield hold(ground("ID-PENDING", score=0.0), "identified")
    else:
        said = Evidence(text=f"real name is {publisher.real_name}")
        yield hold(ground("ID-UNVERIFIED", score=0.0, evidence=[said]), "identified")


def age(born: str, now: datetime) -> int:
    """Age in whole years of whoever was born in this month ("YYYY-MM"), reached for certain: from the month's end."""
    year, month = int(born[:4]), int(born[5:])
    return now.year - year - (now.month <= month)


def _age(event: Event, publisher: Publisher, rules: IdentityPolicy, now: datetime) -> Iterator[Finding]:
    service = rules.services.get(event.service)
    if service is None or publisher.kind != "person":
        return
    years = age(publisher.born, now) if publisher.born else None
    if service.min_age and (years is None or years < service.min_age):
        text = "age unknown" if years is None else f"{years}, {service.min_age} is asked for"
        yield hold(ground("ID-AGE", score=0.0, evidence=[Evidence(text=text)]), "identified")
    elif service.minors_need_consent and publisher.consent is None and (years is None or years < 18):
        yield hold(ground("ID-CONSENT", score=0.0), "identified")


def _agreement(publisher: Publisher, rules: IdentityPolicy, now: datetime) -> Iterator[Finding]:
    asked = rules.agreement
    if not asked.version or (publisher.agreement and publisher.agreement.version == asked.version):
        return
    if publisher.agreement and asked.since and now < asked.since + timedelta(days=asked.grace_days):
        return  # an older version is enough for a while; none at all is not
    accepted = f"accepted: {publisher.agreement.version}" if publisher.agreement else "none was accepted"
    said = Evidence(entry=asked.version, text=accepted)
    yield hold(ground("AGREEMENT-MISSING", score=0.0, evidence=[said]), "agreed")


def _feature(feature_id: str, known: Known, now: datetime) -> Iterator[Finding]:
    feature = known.feature
    if feature is None:
        near = difflib.get_close_matches(feature_id, list(known.features), n=1)
        said = Evidence(
            entry=feature_id, text=f"did you mean {near[0]!r}?" if near else "nothing like it is registered"
        )
        yield hold(ground("FEATURE-UNKNOWN", score=0.0, evidence=[said]), "assessed")
    elif feature.assessment is None:
        said = Evidence(entry=feature.feature_id, text=feature.name)
        yield hold(ground("FEATURE-UNASSESSED", score=0.0, evidence=[said]), "assessed")
    elif feature.assessment.valid_until <= now:
        said = Evidence(entry=feature.feature_id, text=f"valid until {feature.assessment.valid_until}")
        yield hold(ground("FEATURE-EXPIRED", score=0.0, evidence=[said]), "assessed")
