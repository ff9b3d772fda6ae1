"""What is news, which news is made with generated media, and whose news it is."""

from __future__ import annotations

import pytest

from agents.rumor.judge import judge
from schemas.message import Refused, convert
from schemas.policy import RumorPolicy

REMOVED = ("takedown", "remove", "forever")


@pytest.fixture(scope="session")
def decided(make):
    """Judges signals; `labels` are the publisher's, `event` changes the upload, the rest the policy's section."""

    def decide(*found, labels=(), event=None, **policy):
        signals = make.signals(*found, event=make.upload(**event or {}), labels=labels)
        return make.wire(judge(signals, [], make.policy(rumor=policy), make.now))

    return decide


def done(decision):
    return (decision.action, *((decision.stop.kind, decision.stop.until) if decision.stop else ()))


@pytest.mark.parametrize(
    ("event", "labels", "told"),
    [
        ({"service": "news"}, (), "news by its service news"),
        ({}, ("news-channel",), "news by its publisher is labelled news-channel"),
        ({"title": "突发新闻：市中心发生爆炸"}, (), "news by its form of the title"),
        ({"title": "【快讯】市中心发生爆炸"}, (), "news by its form of the title"),
        ({"title": "Breaking news: explosion downtown"}, (), "news by its form of the title"),
        ({"title": "BREAKING | explosion downtown"}, (), "news by its form of the title"),
    ],
)
def test_news_is_known_by_service_channel_and_title_and_removed_if_generated(decided, event, labels, told):
    decision = decided(labels=labels, event=event | {"declared_synthetic": True})
    (reason,) = decision.reasons
    assert (done(decision), reason.code, reason.article) == (REMOVED, "RUMOR-FAKE-NEWS", "AVP-11")
    assert [evidence.text for evidence in reason.evidence] == ["declared by the publisher", told]
    assert decided(labels=labels, event=event).action == "allow"


@pytest.mark.parametrize(
    "title", ["新闻专业的大学生活", "今天的突发新闻我看哭了", "Breaking bread with friends", "快讯手机开箱"]
)
def test_a_title_that_only_speaks_of_news_is_none(decided, title):
    assert decided(event={"title": title, "declared_synthetic": True}).action == "allow"


@pytest.mark.parametrize(("score", "expected"), [(0.95, REMOVED), (0.94, ("allow",))])
def test_a_detector_proves_only_what_the_policy_arms_it_for(make, decided, score, expected):
    found, news = make.signal("synthetic.face", score), {"category": "news"}
    assert done(decided(found, event=news, synthetic_signals={"synthetic.face": 0.95})) == expected
    assert done(decided(found, event=news)) == ("allow",)


@pytest.mark.parametrize(
    "event",
    [
        {"news_source": "小道消息网"},
        {"title": "重大消息，来源：小道消息网"},
        {"description": "转自小道消息网的报道"},
        {"title": "Big news", "description": "Source: Back Alley Daily"},
    ],
)
@pytest.mark.parametrize(("action", "expected"), [("review", ("review",)), ("takedown", REMOVED)])
def test_news_of_a_source_that_is_shut_out_does_what_the_policy_says(decided, event, action, expected):
    rules = {"unlicensed_sources": ("小道消息网", "back alley daily"), "on_unlicensed": action}
    decision = decided(event=event | {"category": "news"}, **rules)
    assert (done(decision), decision.reasons[0].code) == (expected, "RUMOR-NEWS-SOURCE")
    assert decision.reasons[0].evidence[0].entry in rules["unlicensed_sources"]
    assert decided(event=event, **rules).action == "allow"


def test_other_sources_are_let_be(decided):
    rules = {"unlicensed_sources": ("小道消息网",)}
    assert decided(event={"category": "news", "news_source": "新华社"}, **rules).action == "allow"
    assert decided(event={"category": "news", "title": "小道消息网红店打卡"}, **rules).action == "allow"


def test_a_form_of_titles_that_is_no_regular_expression_is_refused_with_its_place():
    with pytest.raises(Refused) as refused:
        convert(RumorPolicy, {"news_titles": ["fine", "("]})
    assert refused.value.field == "news_titles.1"
