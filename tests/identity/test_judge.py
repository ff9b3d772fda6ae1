"""The identity judge: real names that wait or run out, kinds of numbers, age, consent, agreement, permits, news and
features, each beside the neighbouring case that passes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace
from prometheus_client import CollectorRegistry

from agents.identity.agent import Identity
from agents.identity.judge import Known, age, judge
from agents.identity.licences import expiring
from schemas.event import Media, Upload
from schemas.message import encode
from schemas.policy import AgreementPolicy, IdentityPolicy, PermitPolicy, Policy, ServiceRules
from schemas.reasons import CATALOGUE
from schemas.registry import Acceptance, Assessment, Consent, Feature, IdentityNumber, Licence, Provider, Publisher
from schemas.topics import POLICIES, PROVIDERS
from streams.agent import Context
from streams.metrics import Metrics
from streams.settings import Settings
from streams.views import View

NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)


def number(kind="id_number", form="valid"):
    return IdentityNumber(kind=kind, form=form)


PUBLISHER = Publisher(
    publisher_id="p-1", kind="person", real_name="verified", verified_at=NOW, numbers=(number(),), born="1990-01"
)
LICENCE = Licence(kind="audio-video", number="0110538", services=("*",))
NEWS = Licence(kind="news", number="a news permit", services=("*",))
EVENT = Upload(
    event_id="e-1", content_id="c-1", publisher_id="p-1", provider_id="v-1", service="short_video",
    media=Media(uri="s3://media/1.mp4", sha256="ab" * 32, bytes=1000), created_at=NOW,
)  # fmt: skip


def decided(publisher=PUBLISHER, licences=(LICENCE,), feature=None, features=(), rules=None, **event):
    known = Known(
        publisher=publisher,
        provider=Provider(provider_id="v-1", name="A service", licences=tuple(licences)),
        feature=feature,
        features=features,
    )
    policy = Policy(name="default", version=1, identity=rules or IdentityPolicy())
    return judge(replace(EVENT, **event), known, policy, NOW)


def codes(*args, **kwargs):
    decision = decided(*args, **kwargs)
    assert all(reason.article == CATALOGUE[reason.code].article for reason in decision.reasons)
    return [(reason.code, decision.stop.until) for reason in decision.reasons]


def evidence(decision):
    return [(said.entry, said.text) for reason in decision.reasons for said in reason.evidence]


# Real names


def pending(days):
    return replace(PUBLISHER, real_name="pending", verified_at=None if days is None else NOW - timedelta(days=days))


@pytest.mark.parametrize(
    ("days", "grace", "passes"),
    [(0, 0, True), (1, 0, False), (7, 7, True), (7.001, 7, False), (None, 0, False), (None, 10_000, False)],
)
def test_who_waits_for_the_verifier_may_publish_within_the_grace_of_a_former_verification(days, grace, passes):
    found = codes(pending(days), rules=IdentityPolicy(grace_days=float(grace)))
    assert found == ([] if passes else [("ID-PENDING", "identified")])


@pytest.mark.parametrize(("seconds", "passes"), [(1, True), (0, False), (-1, False)])
def test_a_verification_runs_out(seconds, passes):
    publisher = replace(PUBLISHER, verified_until=NOW + timedelta(seconds=seconds))
    assert codes(publisher) == ([] if passes else [("ID-UNVERIFIED", "identified")])


# Numbers


@pytest.mark.parametrize(
    ("kinds", "accepted", "found"),
    [
        (["passport"], ("id_number", "mobile"), ["ID-NUMBER-KIND"]),
        (["permit"], ("id_number", "mobile"), ["ID-NUMBER-KIND"]),
        (["passport"], ("id_number", "passport"), []),
        (["passport", "mobile"], ("id_number", "mobile"), []),
        (["organisation_code"], ("organisation_code",), ["ID-NUMBER-MISSING"]),  # a person has none
        ([], ("id_number",), ["ID-NUMBER-MISSING"]),
    ],
)
def test_a_number_must_be_of_a_kind_that_the_policy_accepts(kinds, accepted, found):
    publisher = replace(PUBLISHER, numbers=tuple(map(number, kinds)))
    assert [code for code, _ in codes(publisher, rules=IdentityPolicy(accepted_numbers=accepted))] == found


def test_which_kinds_are_there_and_which_are_accepted_is_said():
    decision = decided(replace(PUBLISHER, numbers=(number("passport"),)))
    said = [text for _, text in evidence(decision)]
    assert said == ["on file: passport; accepted: id_number, organisation_code, mobile"]


def test_an_organisation_needs_its_code():
    assert codes(replace(PUBLISHER, kind="organisation", born=None)) == [("ID-NUMBER-MISSING", "identified")]
    organisation = replace(PUBLISHER, kind="organisation", born=None, numbers=(number("organisation_code"),))
    assert codes(organisation, service="live") == []


# Age


@pytest.mark.parametrize(
    ("born", "years"),
    [("2010-02", 16), ("2010-03", 15), ("2010-04", 15), ("2009-12", 16), ("2000-01", 26), ("2026-03", -1)],
)
def test_an_age_is_reached_for_certain_only_when_the_month_is_over(born, years):
    assert age(born, NOW) == years


CONSENT = Consent(reference="guardian 1", given_at=NOW)


@pytest.mark.parametrize(
    ("born", "consent", "found"),
    [
        ("2011-01", CONSENT, ["ID-AGE"]),
        ("2010-03", CONSENT, ["ID-AGE"]),  # sixteen this month, perhaps not yet today
        ("2010-02", CONSENT, []),
        ("2010-02", None, ["ID-CONSENT"]),
        ("2008-03", None, ["ID-CONSENT"]),
        ("2008-02", None, []),
        (None, None, ["ID-AGE"]),
        (None, CONSENT, ["ID-AGE"]),
    ],
)
def test_livestreams_ask_for_age_and_a_minors_for_consent(born, consent, found):
    publisher = replace(PUBLISHER, born=born, consent=consent)
    assert [code for code, _ in codes(publisher, service="live")] == found
    assert codes(publisher, service="short_video") == []


def test_a_service_without_a_least_age_may_still_ask_minors_for_consent():
    rules = IdentityPolicy(services={"short_video": ServiceRules(minors_need_consent=True)})
    assert [code for code, _ in codes(replace(PUBLISHER, born=None), rules=rules)] == ["ID-CONSENT"]
    assert codes(replace(PUBLISHER, born=None, consent=CONSENT), rules=rules) == []


def test_age_and_what_is_asked_for_are_said():
    said = [text for _, text in evidence(decided(replace(PUBLISHER, born="2011-01"), service="live"))]
    assert said == ["15, 16 is asked for"]
    assert [text for _, text in evidence(decided(replace(PUBLISHER, born=None), service="live"))] == ["age unknown"]


# Agreement


@pytest.mark.parametrize(
    ("accepted", "since_days", "grace", "passes"),
    [
        ("v2", 100, 0, True),
        ("v1", 13.9, 14, True),
        ("v1", 14, 14, False),
        ("v1", 100, 14, False),
        ("v1", None, 14, False),
        (None, 0, 14, False),
    ],
)
def test_the_agreement_in_force_must_be_accepted_a_former_one_is_enough_for_a_while(
    accepted, since_days, grace, passes
):
    since = None if since_days is None else NOW - timedelta(days=since_days)
    rules = IdentityPolicy(agreement=AgreementPolicy(version="v2", since=since, grace_days=float(grace)))
    publisher = replace(PUBLISHER, agreement=accepted and Acceptance(version=accepted, accepted_at=NOW))
    assert codes(publisher, rules=rules) == ([] if passes else [("AGREEMENT-MISSING", "agreed")])


def test_where_no_agreement_is_asked_for_none_is_missed():
    assert codes() == []


# Permits and news


@pytest.mark.parametrize("form", ["11053", "01105388", "0110538\n", "０１１０５３８", "A110538"])
def test_a_permit_has_the_form_of_its_kind(form):
    assert codes(licences=[replace(LICENCE, number=form)]) == [("LICENCE-FORM", "licensed")]


def test_one_permit_of_the_right_form_is_enough():
    assert codes(licences=[replace(LICENCE, number="wrong"), LICENCE]) == []


def test_kinds_and_their_forms_are_the_policys():
    permits = PermitPolicy(kinds={"audio": ("culture",), "*": ()}, forms={"culture": r"沪网文\[\d{4}\]\d{4}-\d{3}号"})
    rules = IdentityPolicy(permits=permits)
    culture = Licence(kind="culture", number="沪网文[2013]0480-056号", services=("audio",))
    assert codes(licences=[culture], rules=rules, service="audio") == []
    assert codes(licences=[replace(culture, number="1")], rules=rules, service="audio") == [
        ("LICENCE-FORM", "licensed")
    ]
    assert codes(licences=[], rules=rules) == []  # a service for which no kind is named needs none


@pytest.mark.parametrize(
    ("licences", "passes"),
    [
        ([LICENCE, NEWS], True),
        ([LICENCE], False),
        ([LICENCE, replace(NEWS, expires_at=NOW)], False),
        ([LICENCE, replace(NEWS, expires_at=NOW + timedelta(seconds=1))], True),
        ([LICENCE, replace(NEWS, services=("audio",))], False),
    ],
)
def test_news_asks_for_a_permit_of_its_own(licences, passes):
    assert codes(licences=licences, category="news") == ([] if passes else [("LICENCE-NEWS", "licensed")])
    assert codes(licences=licences, category="music") == []


@pytest.mark.parametrize(
    ("sources", "source", "passes"),
    [((), "anybody", True), (("Xinhua",), "Xinhua", True), (("Xinhua",), "anybody", False), (("Xinhua",), None, True)],
)
def test_reposted_news_comes_from_a_listed_source(sources, source, passes):
    rules = IdentityPolicy(permits=PermitPolicy(news_sources=sources))
    found = codes(licences=[LICENCE, NEWS], rules=rules, category="news", news_source=source)
    assert found == ([] if passes else [("NEWS-SOURCE", "licensed")])


def test_permits_that_expire_within_thirty_days_are_counted():
    soon, later = NOW + timedelta(days=30), NOW + timedelta(days=30, seconds=1)
    licences = [replace(LICENCE, expires_at=when) for when in (NOW - timedelta(days=1), soon, later, None)]
    providers = [Provider(provider_id="v-1", name="A", licences=tuple(licences))]
    assert [licence.expires_at for _, licence in expiring(providers, PermitPolicy(), NOW)] == [
        licences[0].expires_at,
        soon,
    ]

    async def nothing(*_):
        return []

    metrics = Metrics(CollectorRegistry())
    views = {topic.name: View(topic, metrics) for topic in Identity.views}
    policy = Policy(name="default", version=1)
    views[POLICIES.name].apply(b"default", encode(policy))
    views[PROVIDERS.name].apply(b"v-1", encode(providers[0]))
    agent = Identity(Context(Settings(), metrics, views, lambda: NOW, nothing))
    assert list(agent.tick(NOW)) == []
    assert metrics.registry.get_sample_value("veristream_licences_expiring") == 2.0


# Features


def test_an_unknown_feature_is_held_and_the_nearest_is_named():
    near = decided(feature_id="face-swpa", features=["face-swap", "voice"])
    assert [reason.code for reason in near.reasons] == ["FEATURE-UNKNOWN"]
    assert evidence(near) == [("face-swpa", "did you mean 'face-swap'?")]
    far = decided(feature_id="zzz", features=["face-swap", "voice"])
    assert evidence(far) == [("zzz", "nothing like it is registered")]
    assert near.stop.until == "assessed"


@pytest.mark.parametrize(("seconds", "passes"), [(1, True), (0, False)])
def test_an_assessment_runs_out(seconds, passes):
    assessment = Assessment(
        assessor="lab", report_sha256="cd" * 32, assessed_at=NOW, valid_until=NOW + timedelta(seconds=seconds)
    )
    feature = Feature(feature_id="f-1", name="Face swap", assessment=assessment)
    assert codes(feature=feature, feature_id="f-1") == ([] if passes else [("FEATURE-EXPIRED", "assessed")])


def test_everything_that_is_amiss_is_said_at_once():
    found = codes(pending(None), licences=[], category="news", service="live", feature_id="f-1")
    assert [code for code, _ in found] == ["ID-PENDING", "LICENCE-MISSING", "LICENCE-NEWS", "FEATURE-UNKNOWN"]
