"""What is done about a rumour that is repeated, and about news made with generated media."""

from __future__ import annotations

import pytest

from agents.rumor.judge import judge, refuted
from agents.rumor.match import RumorMatch
from schemas.signals import Evidence

REMOVED = ("takedown", "remove", "forever")
NOTICE = "该内容涉及已辟谣信息 This repeats a claim that has been refuted"


@pytest.fixture(scope="session")
def decided(make):
    """Judges signals and matches; `event` changes the upload, the rest the policy's section `rumor`."""

    def decide(*found, matches=(), event=None, **policy):
        signals = make.signals(*found, event=make.upload(**event or {}))
        decision = make.wire(judge(signals, matches, make.policy(rumor=policy), make.now))
        assert decision.agent == "rumor"
        return decision

    return decide


@pytest.fixture(scope="session")
def repeated(make):
    """A match of a rumour of this status."""

    def match(status="refuted", score=0.9, **rumor):
        return RumorMatch(make.rumor("喝盐水可以预防", status=status, **rumor), "喝盐水可以预防", "title", score)

    return match


def done(decision):
    return (decision.action, *((decision.stop.kind, decision.stop.until) if decision.stop else ()))


def codes(decision):
    return [reason.code for reason in decision.reasons]


def test_what_repeats_nothing_is_allowed(decided):
    decision = decided()
    assert (decision.action, decision.reasons, decision.label) == ("allow", (), None)


@pytest.mark.parametrize(
    ("status", "policy", "expected", "code"),
    [
        ("refuted", {"on_refuted": "label"}, ("label",), "RUMOR-REFUTED"),
        ("refuted", {"on_refuted": "review"}, ("review",), "RUMOR-REFUTED"),
        ("refuted", {"on_refuted": "takedown"}, REMOVED, "RUMOR-REFUTED"),
        ("refuted", {"on_suspected": "allow"}, ("label",), "RUMOR-REFUTED"),
        ("suspected", {"on_suspected": "label"}, ("label",), "RUMOR-SUSPECTED"),
        ("suspected", {"on_suspected": "review"}, ("review",), "RUMOR-SUSPECTED"),
        ("suspected", {"on_suspected": "allow"}, ("allow",), None),
        ("suspected", {"on_refuted": "takedown"}, ("review",), "RUMOR-SUSPECTED"),
        ("true", {"on_refuted": "takedown", "on_suspected": "review"}, ("allow",), None),
    ],
)
def test_a_rumour_does_what_the_policy_says_for_its_status(decided, repeated, status, policy, expected, code):
    decision = decided(matches=[repeated(status)], **policy)
    assert (done(decision), codes(decision)) == (expected, [code] if code else [])


def test_a_notice_is_a_label_of_another_kind_in_the_policys_words(decided, repeated):
    label = decided(matches=[repeated()]).label
    assert (label.level, label.text) == (0, NOTICE)
    assert decided(matches=[repeated()], notice="其他").label.text == "其他"


def test_the_ground_names_rumour_field_and_wording_and_how_well_they_match(decided, repeated):
    (reason,) = decided(matches=[repeated(score=0.87, rumor_id="r-7")], match=0.85).reasons
    assert (reason.score, reason.threshold) == (0.87, 0.85)
    assert reason.evidence == (Evidence(entry="r-7", text="title repeats: 喝盐水可以预防"),)


def test_of_several_rumours_each_is_a_ground_and_the_most_severe_comes_first(decided, repeated):
    matches = [repeated(rumor_id="a"), repeated("true", rumor_id="b"), repeated("suspected", rumor_id="c")]
    decision = decided(matches=matches)
    assert (done(decision), codes(decision)) == (("review",), ["RUMOR-SUSPECTED", "RUMOR-REFUTED"])
    assert decision.label.level == 0


def test_only_refuted_rumours_have_a_refutation_to_show(make, repeated):
    matches = [repeated("suspected"), repeated(rumor_id="a"), repeated("true"), repeated(rumor_id="b")]
    assert [match.rumor.rumor_id for match in refuted(matches, make.policy().rumor)] == ["a", "b"]


@pytest.mark.parametrize(
    ("stance", "code", "words"),
    [
        ("refuted", "RUMOR-REFUTING", "refutes"),
        ("mocked", "RUMOR-REFUTING", "mocks"),
        ("asked", "RUMOR-MENTIONED", "asks about"),
        ("reported", "RUMOR-MENTIONED", "reports"),
    ],
)
@pytest.mark.parametrize("status", ["refuted", "suspected"])
def test_what_does_not_assert_a_claim_passes_and_is_named_for_what_it_does(
    make, decided, repeated, status, stance, code, words
):
    match = repeated(status, score=0.1)._replace(stance=stance)
    decision = decided(matches=[match], on_refuted="takedown")
    assert (decision.action, codes(decision), decision.label) == ("allow", [code], None)
    assert decision.reasons[0].evidence == (Evidence(entry="r-1", text=f"title {words}: 喝盐水可以预防"),)
    assert refuted([match], make.policy().rumor) == []


def test_what_is_too_unsure_to_be_an_assertion_passes_unnamed(decided, repeated):
    assert codes(decided(matches=[repeated(score=0.59)], match=0.6)) == []
    assert codes(decided(matches=[repeated(score=0.6)], match=0.6)) == ["RUMOR-REFUTED"]


def test_a_decision_names_what_its_matches_were_made_with(make):
    decision = judge(make.signals(), [], make.policy(), make.now, {"rumor.meaning": "off"})
    assert decision.models == {"rumor.meaning": "off"}


NEWS = {"category": "news"}


@pytest.mark.parametrize("signal", ["aigc.compliant", "aigc.non_compliant"])
@pytest.mark.parametrize(("policy", "expected"), [("takedown", REMOVED), ("review", ("review",))])
def test_news_with_a_label_of_generated_media_does_what_the_policy_says(make, decided, signal, policy, expected):
    decision = decided(make.signal(signal), event=NEWS, fake_news=policy)
    assert (done(decision), codes(decision)) == (expected, ["RUMOR-FAKE-NEWS"])
    assert [evidence.text for evidence in decision.reasons[0].evidence] == [f"signal {signal}"]


@pytest.mark.parametrize(("declared", "expected"), [(True, REMOVED), (False, ("allow",)), (None, ("allow",))])
def test_news_that_its_publisher_declares_generated_is_removed(decided, declared, expected):
    assert done(decided(event=NEWS | {"declared_synthetic": declared})) == expected


def test_label_and_declaration_are_evidence_of_one_ground(make, decided):
    (reason,) = decided(make.signal("aigc.compliant"), event=NEWS | {"declared_synthetic": True}).reasons
    assert [evidence.text for evidence in reason.evidence] == ["signal aigc.compliant", "declared by the publisher"]


@pytest.mark.parametrize("fake_news", ["takedown", "review"])
@pytest.mark.parametrize("signal", ["c2pa.synthetic", "tool"])
def test_traces_in_news_prove_nothing_and_ask_a_person_under_any_policy(make, decided, signal, fake_news):
    decision = decided(make.signal(signal), event=NEWS, fake_news=fake_news)
    assert (done(decision), codes(decision)) == (("review",), ["RUMOR-FAKE-NEWS"])
    assert decision.reasons[0].score < 1
    assert [evidence.text for evidence in decision.reasons[0].evidence] == [f"signal {signal}"]


@pytest.mark.parametrize("signal", ["c2pa", "nudity", "blank"])
def test_other_signals_in_news_are_no_ground(make, decided, signal):
    assert codes(decided(make.signal(signal), event=NEWS)) == []


@pytest.mark.parametrize("category", ["", "music", "NEWS", "news "])
def test_in_another_category_generated_media_is_no_fake_news(make, decided, category):
    found = [make.signal(name) for name in ("aigc.compliant", "aigc.non_compliant", "c2pa.synthetic", "tool")]
    assert codes(decided(*found, event={"category": category, "declared_synthetic": True})) == []


def test_the_categories_are_the_policys(make, decided):
    policy = {"news_categories": ("finance", "politics")}
    assert codes(decided(make.signal("aigc.compliant"), event={"category": "finance"}, **policy)) == ["RUMOR-FAKE-NEWS"]
    assert codes(decided(make.signal("aigc.compliant"), event=NEWS, **policy)) == []
    assert codes(decided(make.signal("aigc.compliant"), event={"category": ""}, news_categories=())) == []


def test_rumour_and_fake_news_are_both_grounds(make, decided, repeated):
    decision = decided(make.signal("aigc.compliant"), event=NEWS, matches=[repeated()])
    assert (done(decision), codes(decision)) == (REMOVED, ["RUMOR-FAKE-NEWS", "RUMOR-REFUTED"])
