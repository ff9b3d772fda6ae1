"""What listed terms and links come to: their actions, for whom, and what a reviewer is told."""

from __future__ import annotations

import asyncio
import threading

import pytest
from msgspec.structs import replace

from agents.review import lists
from agents.review.audience import in_force
from agents.review.judge import Matched, judge
from agents.review.lists import Wording, gathered
from schemas.lists import parted
from schemas.message import Refused, convert
from schemas.policy import Category, Link, MediaTextPolicy, ModelRule, Policy, ReviewPolicy, Stricter, Term
from schemas.signals import Caption, Evidence, MediaText

GUNS = Term(text="枪支出售", category="weapons", action="takedown")
CASINO = Link(pattern="casino.example", category="gambling", action="takedown")


@pytest.fixture
def decided(make):
    """The decision on an item under this review policy."""

    def decide(review, media_text=None, parts=(), signals=(), captions=(), texts=(), **event):
        policy = replace(make.policy(), review=review, media_text=media_text or MediaTextPolicy())
        found = make.signals(*signals, event=make.upload(**event), captions=captions, texts=texts)
        wording = Wording()
        wording.renew(policy.review, {part.part_id: part for part in parts}, 1)
        terms, links = wording.match(found, policy.media_text)
        matched = Matched(terms=terms, links=links, missing=wording.missing)
        return make.wire(judge(found, matched, policy, make.now))

    return decide


def told(decision):
    return [(reason.code, one.text) for reason in decision.reasons for one in reason.evidence]


def test_a_reviewer_is_told_the_category_the_ground_in_law_how_grave_and_where(decided):
    review = ReviewPolicy(terms=(GUNS,), categories={"weapons": Category(ground="obscenity", severity="highest")})
    decision = decided(review, title="枪支出售")
    assert decision.action == "takedown"
    assert told(decision) == [("REVIEW-TERM", "weapons (obscenity, highest) in title")]
    graver = ReviewPolicy(terms=(replace(GUNS, severity="low"),), categories={})
    assert told(decided(graver, title="枪支出售")) == [("REVIEW-TERM", "weapons (other, low) in title")]


@pytest.mark.parametrize(("most", "action"), [("allow", "allow"), ("review", "review"), ("takedown", "takedown")])
def test_a_term_in_disguise_does_at_most_what_the_policy_says(decided, most, action):
    decision = decided(ReviewPolicy(terms=(GUNS,), disguised_at_most=most), title="枪只出售")
    assert decision.action == action
    if action != "allow":
        assert told(decision) == [("REVIEW-TERM", "weapons (obscenity, highest) in title, by its sound: 枪只出售")]


def test_subtitles_and_chapters_are_words_as_somebody_wrote_them(decided):
    texts = (
        MediaText(kind="subtitles", at_s=4.0, until_s=5.0, text="这里枪支"),
        MediaText(kind="subtitles", at_s=5.5, until_s=6.0, text="出售"),
        MediaText(kind="chapter", at_s=60.0, until_s=90.0, text="枪支出售"),
    )
    decision = decided(ReviewPolicy(terms=(GUNS,)), MediaTextPolicy(at_most="nothing"), texts=texts)
    assert decision.action == "takedown"
    (reason,) = decision.reasons
    assert [(one.at_s, one.until_s, one.text.rpartition(" in ")[2]) for one in reason.evidence] == [
        (4.0, 6.0, "subtitles: 这里枪支 / 出售"),
        (60.0, 90.0, "chapters: 枪支出售"),
    ]


def test_subtitles_of_two_tracks_are_not_read_as_one(decided):
    texts = tuple(
        MediaText(kind="subtitles", at_s=at, until_s=at + 1, text=text, track=track)
        for at, text, track in ((1.0, "枪支", 0), (1.5, "出售", 1))
    )
    assert decided(ReviewPolicy(terms=(GUNS,)), texts=texts).action == "allow"


def test_a_link_removes_where_it_is_written_or_a_code_and_asks_where_a_model_read_it(decided, make):
    review = ReviewPolicy(links=(CASINO,))
    code = make.signal("qr", 1.0, Evidence(at_s=2.0, text="http://casino.example"))
    shown = Caption(at_s=1.0, until_s=2.0, text="casino.example", score=0.9)
    assert decided(review, title="casino dot example").action == "takedown"
    assert decided(review, signals=(code,)).action == "takedown"
    decision = decided(review, captions=(shown,))
    assert decision.action == "review"
    assert [reason.code for reason in decision.reasons] == ["REVIEW-LINK"]
    assert decision.reasons[0].score == 0.9


# Stricter rules.

MINORS = Stricter(audiences=("minors",), nudity_review=0.4, nudity_takedown=0.7, actions={"gambling": "takedown"})


@pytest.mark.parametrize(
    ("score", "audience", "action"),
    [(0.5, "", "allow"), (0.5, "minors", "review"), (0.75, "minors", "takedown"), (0.85, "adults", "review")],
)
def test_thresholds_are_stricter_for_an_audience(decided, make, score, audience, action):
    review = ReviewPolicy(stricter=(MINORS,))
    decision = decided(review, signals=(make.signal("nudity", score),), audience=audience)
    assert decision.action == action


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (Stricter(services=("kids",), actions={"alcohol": "takedown"}), "takedown"),
        (Stricter(services=("kids",), actions={"*": "review"}), "review"),
        (Stricter(services=("kids",), actions={"tobacco": "takedown"}), "allow"),
        (Stricter(services=("live",), actions={"alcohol": "takedown"}), "allow"),
        (Stricter(services=("kids",), audiences=("minors",), actions={"*": "takedown"}), "allow"),
    ],
)
def test_a_category_that_is_allowed_elsewhere_is_not_for_a_service(decided, rule, expected):
    review = ReviewPolicy(terms=(Term(text="白酒促销", category="alcohol", action="allow"),), stricter=(rule,))
    assert decided(review, title="白酒促销").action == "allow"
    assert decided(review, title="白酒促销", service="kids").action == expected


def test_of_several_rules_the_strictest_holds_and_none_makes_anything_laxer(make):
    plain = ReviewPolicy(
        nudity_review=0.5,
        stricter=(
            Stricter(services=("kids",), nudity_review=0.3),
            Stricter(audiences=("minors",), nudity_review=0.2, blank_review=0.9),
            Stricter(services=("live",), nudity_review=0.1),
        ),
    )
    held = in_force(plain, make.upload(service="kids", audience="minors"))
    assert (held.nudity_review, held.nudity_takedown, held.blank_review) == (0.2, None, 0.9)
    assert len(held.stricter) == 2
    assert in_force(plain, make.upload()).stricter == ()


@pytest.mark.parametrize(
    ("score", "audience", "action"),
    [(0.5, "", "allow"), (0.5, "minors", "review"), (0.7, "minors", "takedown"), (0.9, "minors", "takedown")],
)
def test_thresholds_of_a_platforms_own_models_are_stricter_too(decided, make, score, audience, action):
    rule = Stricter(audiences=("minors",), models={"gore": ModelRule(review=0.4, takedown=0.6)})
    review = ReviewPolicy(models={"gore": ModelRule(review=0.8)}, stricter=(rule,))
    decision = decided(review, signals=(make.signal("gore", score),), audience=audience)
    assert decision.action == action


def test_a_model_may_count_for_an_audience_alone(decided, make):
    rule = Stricter(services=("kids",), models={"smoking": ModelRule(review=0.5)})
    found = make.signal("smoking", 0.6)
    assert decided(ReviewPolicy(stricter=(rule,)), signals=(found,), service="kids").action == "review"
    assert decided(ReviewPolicy(stricter=(rule,)), signals=(found,)).action == "allow"


@pytest.mark.parametrize(
    ("rule", "field"),
    [
        ({"audiences": ["minors"], "models": {"gore": {"review": 0.9}}}, "review.stricter[0].models.gore.review"),
        ({"audiences": ["minors"], "models": {"gore": {}}}, "review.stricter[0]"),
        ({"audiences": ["minors"], "nudity_review": 0.9}, "review.stricter[0].nudity_review"),
        ({"audiences": ["minors"], "blank_review": 0.99}, "review.stricter[0].blank_review"),
        ({"nudity_review": 0.1}, "review.stricter[0]"),
        ({"audiences": ["minors"]}, "review.stricter[0]"),
        ({"audiences": ["minors"], "nudity_revue": 0.1}, "review.stricter[0].nudity_revue"),
    ],
)
def test_a_rule_that_is_laxer_or_says_nothing_is_refused_with_its_field(rule, field):
    with pytest.raises(Refused) as refused:
        convert(
            Policy, {"name": "p", "version": 1, "review": {"models": {"gore": {"review": 0.8}}, "stricter": [rule]}}
        )
    assert refused.value.field == field


# Long lists.


def test_lists_that_a_policy_names_are_searched_with_its_own_terms(decided):
    ref, parts = parted("law", [GUNS], [CASINO])
    own = Term(text="代开发票", category="fraud")
    review = ReviewPolicy(terms=(own,), term_lists=(ref,))
    decision = decided(review, parts=parts, title="枪支出售 代开发票 casino.example")
    assert [code for code, _ in told(decision)] == ["REVIEW-TERM", "REVIEW-LINK", "REVIEW-TERM"]


def test_an_item_that_a_list_could_not_be_held_against_is_seen_by_a_person(decided):
    ref, parts = parted("law", [Term(text=f"词语{number:06}" * 8, category="c") for number in range(6000)])
    assert len(parts) > 2
    review = ReviewPolicy(term_lists=(ref,))
    assert decided(review, parts=parts, title="-").action == "allow"
    decision = decided(review, parts=parts[:-1], title="-")
    assert decision.action == "review"
    assert told(decision) == [("REVIEW-BLIND", f"list law: 1 of {len(parts)} parts have not come")]


def test_a_list_with_other_content_than_the_policy_names_is_not_taken_for_it():
    ref, (part,) = parted("law", [GUNS])
    found = gathered(ReviewPolicy(term_lists=(ref,)), {part.part_id: replace(part, terms=())})
    assert found.missing == ("list law: its content is not what the policy names",)


def test_where_list_and_policy_have_the_same_term_the_policys_is_in_force(decided):
    ref, parts = parted("law", [GUNS])
    review = ReviewPolicy(terms=(replace(GUNS, action="review"),), term_lists=(ref,))
    assert decided(review, parts=parts, title="枪支出售").action == "review"


def test_a_list_is_made_ready_once_until_it_changes():
    ref, (part,) = parted("law", [GUNS])
    wording, review = Wording(), ReviewPolicy(term_lists=(ref,))
    wording.renew(review, {}, 1)
    assert wording.missing
    wording.renew(review, {part.part_id: part}, 1)  # no change was told
    assert wording.missing
    wording.renew(review, {part.part_id: part}, 2)
    assert not wording.missing


def listed(terms, version=1):
    ref, parts = parted("law", terms)
    return ReviewPolicy(term_lists=(ref,)), {part.part_id: part for part in parts}, version


def held_up(monkeypatch):
    """Lists that are made from now on are not ready before the event that is returned is set."""
    go_on, made = threading.Event(), lists.TermList

    def slowly(*args):
        assert go_on.wait(10)
        return made(*args)

    monkeypatch.setattr(lists, "TermList", slowly)
    return go_on


def found_in(wording, signals):
    return [match.term.text for match in wording.match(signals, MediaTextPolicy())[0]]


@pytest.fixture
def item(make):
    return make.signals(event=make.upload(title="枪支出售 代开发票"))


async def test_a_long_list_is_made_ready_while_the_former_one_is_in_force(item, monkeypatch):
    wording = Wording()
    wording.renew(*listed([GUNS]))
    monkeypatch.setattr(lists, "AT_ONCE", 1)
    go_on = held_up(monkeypatch)
    longer = listed([replace(GUNS, text="代开发票"), replace(GUNS, text="其他")], version=2)
    for _ in range(3):  # nobody waits for it
        wording.renew(*longer)
        assert sorted(found_in(wording, item)) == ["枪支出售"]
    go_on.set()
    await wording.ready(*longer)
    assert sorted(found_in(wording, item)) == ["代开发票"]


def test_a_short_list_is_in_force_with_the_next_item(item):
    wording = Wording()
    wording.renew(*listed([GUNS]))
    wording.renew(*listed([replace(GUNS, text="代开发票")], version=2))
    assert sorted(found_in(wording, item)) == ["代开发票"]


async def test_nothing_is_judged_before_the_first_list_is_ready(item, monkeypatch):
    wording, go_on = Wording(), held_up(monkeypatch)
    starting = asyncio.create_task(wording.ready(*listed([GUNS])))
    await asyncio.sleep(0)
    assert not starting.done()
    go_on.set()
    wording.renew(*listed([GUNS]))  # an item that comes meanwhile waits for it
    assert sorted(found_in(wording, item)) == ["枪支出售"]
    await starting
    assert sorted(found_in(wording, item)) == ["枪支出售"]


def test_lists_that_cannot_be_made_ready_leave_the_former_in_force_and_are_told(item, monkeypatch):
    wording = Wording()
    wording.renew(*listed([GUNS]))
    monkeypatch.setattr(lists, "TermList", lambda *_: 1 / 0)
    wording.renew(*listed([replace(GUNS, text="代开发票")], version=2))
    assert sorted(found_in(wording, item)) == ["枪支出售"]
    assert "could not be made ready: ZeroDivisionError" in wording.missing[0]
