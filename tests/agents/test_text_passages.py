"""Words that an item shows and speaks are searched as they go on from one caption or utterance into the next."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from agents.review.judge import Matched
from agents.review.judge import judge as judge_review
from agents.review.terms import TermList
from agents.rumor.judge import judge as judge_rumor
from agents.rumor.match import RumorList
from agents.text import JOINED_S, passages
from schemas.policy import MediaTextPolicy, Term
from schemas.signals import UNAVAILABLE, Box, Caption, Utterance
from streams.extraction.detector import Unavailable

CLAIM = "喝盐水可以预防核辐射"
EXACT = MediaTextPolicy()


def caption(text, at_s=0.0, until_s=None, *, top=0.8, left=0.2, score=0.99):
    box = Box(left=left, top=top, width=0.5, height=0.06)
    return Caption(at_s=at_s, until_s=at_s + 2 if until_s is None else until_s, text=text, score=score, box=box)


def utterance(text, at_s=0.0, until_s=None, *, score=0.9):
    until_s = at_s + 2 if until_s is None else until_s
    return Utterance(at_s=at_s, until_s=until_s, text=text, language="zh", score=score)


@pytest.fixture(scope="session")
def signalled(make):
    """Signals that hold these captions and this speech."""

    def signal(*words, **texts):
        event = make.upload(**texts)
        return replace(
            make.signals(),
            event=event,
            captions=tuple(one for one in words if isinstance(one, Caption)),
            speech=tuple(one for one in words if isinstance(one, Utterance)),
        )

    return signal


@pytest.fixture(scope="session")
def found(signalled):
    """(term, field, from, until) of each listed term in these captions and this speech."""

    def find(terms, *words, policy=EXACT):
        signals = signalled(*words)
        matches = TermList([Term(text=term, category="c") for term in terms]).match(
            signals.event, passages(signals, policy)
        )
        return [
            (one.term.text, one.field, one.place and one.place.at_s, one.place and one.place.until_s) for one in matches
        ]

    return find


@pytest.mark.parametrize(("kind", "field"), [(caption, "captions"), (utterance, "speech")])
def test_a_term_is_found_where_it_is_shown_or_spoken(found, kind, field):
    assert found(["代开发票"], kind("专业代 开发票！", 12.0, 14.0)) == [("代开发票", field, 12.0, 14.0)]


@pytest.mark.parametrize(("kind", "field"), [(caption, "captions"), (utterance, "speech")])
@pytest.mark.parametrize(("gap", "expected"), [(0.0, True), (JOINED_S, True), (JOINED_S + 0.1, False)])
def test_a_term_split_across_two_that_follow_each_other_is_found(found, kind, field, gap, expected):
    words = kind("专业代开", 4.0, 6.0), kind("发票联系", 6.0 + gap, 8.0 + gap)
    assert found(["代开发票"], *words) == ([("代开发票", field, 4.0, 8.0 + gap)] if expected else [])


def test_a_watermark_does_not_come_between_two_captions(found):
    words = caption("频道", 0.0, 60.0, top=0.05), caption("专业代开", 4.0, 6.0), caption("发票联系", 6.0, 8.0)
    assert found(["代开发票"], *words) == [("代开发票", "captions", 4.0, 8.0)]
    assert found(["代开频道"], *words) == []


def test_a_term_split_across_two_lines_that_stand_under_each_other_is_found(found):
    upper, lower = caption("专业代开", 4.0, 6.0, top=0.75), caption("发票联系", 4.0, 6.0, top=0.82)
    assert found(["代开发票"], lower, upper) == [("代开发票", "captions", 4.0, 6.0)]


@pytest.mark.parametrize("change", [{"top": 0.2}, {"at_s": 40.0}, {"left": 0.75, "top": 0.74}])
def test_lines_that_stand_apart_are_not_joined(found, change):
    # Only what is named differs: far above, much later, or to the right.
    assert found(["代开发票"], caption("专业代开", 4.0, 6.0), caption("发票联系", **({"at_s": 4.0} | change))) == []


def test_captions_and_speech_are_not_joined_with_each_other(found):
    assert found(["代开发票"], caption("代开", 1.0, 2.0), utterance("发票", 2.0, 3.0)) == []


def test_a_term_that_comes_often_is_named_once_a_field_where_it_comes_first(found):
    words = [caption("vpn", at_s) for at_s in (30.0, 10.0, 50.0)]
    assert found(["vpn"], *words, utterance("vpn", 20.0)) == [
        ("vpn", "captions", 10.0, 12.0),
        ("vpn", "speech", 20.0, 22.0),
    ]


@pytest.mark.parametrize(("off", "expected"), [(-0.01, 0), (0.0, 1)])
def test_words_are_searched_from_the_policys_score_on(found, off, expected):
    shown = caption("vpn", score=EXACT.captions_from + off)
    said = utterance("vpn", score=EXACT.speech_from + off)
    assert [len(found(["vpn"], one)) for one in (shown, said)] == [expected, expected]


def test_a_policy_may_search_none_of_them(found):
    assert found(["vpn"], caption("vpn"), utterance("vpn"), policy=MediaTextPolicy(at_most="nothing")) == []


def reviewed(make, signals, action, **media_text):
    policy = replace(make.policy(), media_text=MediaTextPolicy(**media_text))
    terms = TermList([Term(text="枪支出售", category="weapons", action=action)])
    matched = Matched(terms=terms.match(signals.event, passages(signals, policy.media_text)))
    return make.wire(judge_review(signals, matched, policy, make.now))


@pytest.mark.parametrize(
    ("listed", "at_most", "expected"),
    [("takedown", "review", "review"), ("takedown", "takedown", "takedown"), ("review", "takedown", "review")],
)
def test_a_term_in_a_caption_alone_does_at_most_what_the_policy_says(make, signalled, listed, at_most, expected):
    decision = reviewed(make, signalled(caption("枪支出售货到付款", 7.0, 9.0, score=0.97)), listed, at_most=at_most)
    assert decision.action == expected
    (reason,) = decision.reasons
    assert (reason.code, reason.score, reason.threshold) == ("REVIEW-TERM", 0.97, EXACT.captions_from)
    (evidence,) = reason.evidence
    assert (evidence.at_s, evidence.until_s, evidence.entry) == (7.0, 9.0, "枪支出售")
    assert evidence.text == "weapons (obscenity, highest) in captions: 枪支出售货到付款"


def test_a_term_in_the_title_removes_though_it_is_in_a_caption_too(make, signalled):
    decision = reviewed(make, signalled(caption("枪支出售"), title="枪支出售"), "takedown")
    assert (decision.action, [reason.code for reason in decision.reasons]) == ("takedown", ["REVIEW-TERM"] * 2)


def matched_rumors(signals, rumors, policy, now):
    return RumorList(rumors, now).match(signals.event, policy.rumor.match, passages(signals, policy.media_text))


def test_a_rumour_that_is_spoken_is_matched_with_its_place(make, signalled):
    signals = signalled(
        utterance("大家好", 0.0, 1.0),
        utterance("专家说喝盐水可以", 1.5, 4.0),
        utterance("预防核辐射，转发", 4.2, 7.0),
    )
    policy = make.policy()
    matches = matched_rumors(signals, [make.rumor(CLAIM)], policy, make.now)
    decision = make.wire(judge_rumor(signals, matches, policy, make.now))
    assert (decision.action, decision.reasons[0].code) == ("label", "RUMOR-REFUTED")
    (evidence,) = decision.reasons[0].evidence
    assert (evidence.at_s, evidence.until_s, evidence.entry) == (1.5, 7.0, "r-1")


@pytest.mark.parametrize(("at_most", "expected"), [("review", "review"), ("takedown", "takedown")])
def test_a_spoken_rumour_removes_only_where_the_policy_lets_it(make, signalled, at_most, expected):
    signals = signalled(utterance(CLAIM))
    policy = replace(make.policy(rumor={"on_refuted": "takedown"}), media_text=MediaTextPolicy(at_most=at_most))
    matches = matched_rumors(signals, [make.rumor(CLAIM)], policy, make.now)
    assert judge_rumor(signals, matches, policy, make.now).action == expected


def test_a_title_that_repeats_a_rumour_counts_before_speech_that_does(make, signalled):
    signals = signalled(utterance(CLAIM), title=CLAIM)
    (match,) = matched_rumors(signals, [make.rumor(CLAIM)], make.policy(), make.now)
    assert (match.field, match.place) == ("title", None)


def test_a_claim_is_found_wherever_it_stands_in_long_speech(make, signalled):
    for before in range(0, 700, 50):
        signals = signalled(utterance("天" * before, 0, 1), utterance(CLAIM, 1, 2), utterance("地" * 400, 2, 3))
        (match,) = matched_rumors(signals, [make.rumor(CLAIM)], make.policy(), make.now)
        assert match.place is not None
        assert (match.place.at_s, match.place.until_s) == (1, 2)


def absent_decision(make, signals, why, **on_absent):
    policy = replace(make.policy(), media_text=MediaTextPolicy(on_absent=on_absent))
    return judge_review(replace(signals, absent=(why,)), Matched(), policy, make.now)


@pytest.mark.parametrize(
    ("why", "rule", "expected"),
    [
        ("Unavailable: the package rapidocr is missing", {"captions": "ignore"}, "allow"),
        ("Unavailable: the package rapidocr is missing", {"captions": "review"}, "review"),
        ("Unavailable: the package rapidocr is missing", {}, "review"),
        ("RuntimeError: Unavailable: bad picture", {"captions": "ignore"}, "review"),
    ],
)
def test_the_policy_says_what_it_means_that_a_detector_is_not_installed_but_never_that_it_failed(
    make, signalled, why, rule, expected
):
    assert absent_decision(make, signalled(), f"captions: {why}", **rule).action == expected


def test_judges_know_a_detector_that_is_not_installed_by_the_name_that_detectors_use():
    assert Unavailable.__name__ == UNAVAILABLE
