"""What rulings come to: one answer for the same set of them, in whatever order and however often they come."""

from __future__ import annotations

import itertools
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from agents.reviewers.report import wilson
from agents.reviewers.settle import answered, ruling_on, settle
from agents.reviewers.work import begun, claimed, decided, passed_on, voted
from schemas.decision import LabelTerms
from schemas.message import Refused
from schemas.policy import ReviewersPolicy, TwoPersonRule, default_policy
from schemas.sanction import Ruling
from schemas.worklist import Claim, Vote

POLICY = default_policy()
WAITED = POLICY.verdict.agents
BOTH = (TwoPersonRule(outcomes=("remove",)),)


def policy(**terms):
    return replace(POLICY, reviewers=ReviewersPolicy(**terms))


def vote(make, number, outcome="keep", reviewer="ann", at=None, **fields):
    row = {"on": "q", "target": "review", "ruled_at": make.at(number if at is None else at)}
    return Vote(ruling_id=f"r-{number}", reviewer_id=reviewer, outcome=outcome, **row | fields)


def asked(make, *agents, action="review", event=None, terms=POLICY):
    """A row on which these agents have asked."""
    item = None
    for agent in agents:
        code = {"rumor": "RUMOR-SUSPECTED", "complaints": "COMPLAINT-WEIGHT"}.get(agent, "REVIEW-NUDITY")
        decision = make.decision(agent, action, code, event=event)
        item = decided(item or begun(decision), decision, terms, make.now)
    return item


def ruling(make, number, outcome, question=None, reviewer="ann", at=None, **fields):
    row = {
        "ruling_id": f"r-{number}", "publisher_id": "p-1", "outcome": outcome, "reviewer_id": reviewer,
        "reason": "seen", "ruled_at": make.at(60 + number if at is None else at),
        "review_id": question.review_id if question else None,
    }  # fmt: skip
    return Ruling(**row | fields)


# One question


def test_the_later_of_two_votes_stands_by_the_reviewers_own_times(make):
    early, late = vote(make, 1, "remove"), vote(make, 2, "keep", "ben")
    assert settle([late, early]).final == settle([early, late]).final == (late,)


def test_what_needs_two_waits_for_another_person_who_says_the_same(make):
    first = vote(make, 1, "remove", alone=False)
    assert settle([first]).final == ()
    assert settle([first]).waiting == first
    again = vote(make, 2, "remove", alone=False)
    assert settle([first, again]).final == (), "the same person is no second voice"
    second = vote(make, 3, "remove", "ben", alone=False)
    assert settle([second, again, first]).final == (again, second)


@pytest.mark.parametrize(
    "other", [{"outcome": "keep"}, {"outcome": "keep", "alone": False}, {"outcome": "remove", "bank": "banned"}]
)
def test_whoever_disagrees_passes_it_on(make, other):
    first = vote(make, 1, "remove", alone=False)
    found = settle([first, vote(make, 2, reviewer="ben", **other)])
    assert (found.final, found.waiting, len(found.passed_on)) == ((), None, 2)


def test_what_was_ruled_before_it_was_passed_on_stays_and_later_votes_change_nothing(make):
    kept = vote(make, 1, "keep")
    found = settle([kept, vote(make, 2, "escalate", "ben"), vote(make, 3, "remove", "cem")])
    assert (found.final, len(found.passed_on)) == ((kept,), 1)


def test_those_who_ruled_before_have_no_say_where_it_was_passed_on(make):
    assert settle([vote(make, 1, "remove"), vote(make, 2, "keep", "ben")], barred={"ben"}).final[0].outcome == "remove"


votes = st.lists(
    st.tuples(
        st.sampled_from(["keep", "remove", "label", "escalate"]),
        st.sampled_from(["ann", "ben", "cem"]),
        st.integers(0, 3),
        st.sampled_from([None, 0, 1, 2]),
    ),
    max_size=6,
)


@given(rows=votes, order=st.randoms(use_true_random=False))
def test_any_order_and_repetition_of_rulings_comes_to_the_same(make, rows, order):
    terms = policy(two_person=BOTH)
    start = asked(make, "review", "rumor", "complaints", terms=terms)
    rulings = []
    for number, (outcome, reviewer, at, on) in enumerate(rows):
        label = LabelTerms(level=2, text="x") if outcome == "label" else None
        about = {"event_id": "e-1", "content_id": "c-1"} if on is None else {}
        question = None if on is None else start.questions[on]
        rulings.append(ruling(make, number, outcome, question, reviewer, at=at, label=label, **about))

    def final(sequence):
        item = start
        for each in sequence:
            item = voted(item, each, terms, make.now)
            item = passed_on(item, terms, make.now)
        found = ruling_on(item, WAITED)
        states = {question.review_id: (question.state, question.outcome) for question in answered(item, WAITED)}
        return found.said, found.overrules, {name: state for name, state in states.items() if name in first_ids}

    first_ids = {question.review_id for question in start.questions}
    mixed = [*rulings, *rulings]
    order.shuffle(mixed)
    assert final(mixed) == final(rulings)


# An item with several questions


def test_a_ruling_answers_the_question_it_was_asked_and_no_other(make):
    item = asked(make, "review", "rumor")
    item = voted(item, ruling(make, 1, "keep", item.questions[0]), POLICY, make.now)
    found = ruling_on(item, WAITED)
    assert found.overrules == ("review",)
    assert [each.agent for each in found.remains] == ["rumor"]
    assert [question.state for question in item.questions] == ["settled", "open"]


def test_a_ruling_on_the_item_answers_all_questions_and_sets_every_agent_aside(make):
    item = asked(make, "review", "rumor")
    item = voted(item, ruling(make, 1, "keep", event_id="e-1", content_id="c-1"), POLICY, make.now)
    assert ruling_on(item, WAITED).overrules == ("*",)
    assert {question.outcome for question in item.questions} == {"keep"}


def test_one_removal_outweighs_what_was_kept_elsewhere_until_the_item_as_a_whole_is_kept(make):
    item = asked(make, "review", "rumor")
    first, second = item.questions
    item = voted(item, ruling(make, 1, "remove", first), POLICY, make.now)
    item = voted(item, ruling(make, 2, "keep", second), POLICY, make.now)
    assert ruling_on(item, WAITED).outcome == "remove"
    item = voted(item, ruling(make, 3, "keep", event_id="e-1", content_id="c-1"), POLICY, make.now)
    assert ruling_on(item, WAITED).outcome == "keep"


def test_what_an_agent_decides_again_about_the_same_item_is_answered_already(make):
    item = asked(make, "review")
    item = voted(item, ruling(make, 1, "keep", item.questions[0]), POLICY, make.now)
    item = decided(item, make.decision("review", "review", "REVIEW-NUDITY", version=2), POLICY, make.now)
    assert [question.state for question in item.questions] == ["settled", "settled"]
    assert ruling_on(item, WAITED).remains == ()


def test_new_complaints_after_a_ruling_are_a_new_question(make):
    item = asked(make, "complaints")
    item = voted(item, ruling(make, 1, "keep", item.questions[0]), POLICY, make.now)
    later = make.decision("complaints", "takedown", "COMPLAINT-WEIGHT", stop=("hold", "reviewed"), decision_id="later")
    item = decided(item, later, POLICY, make.now)
    assert [each.decision_id for each in ruling_on(item, WAITED).remains] == ["later"]


def test_an_appeal_is_against_everything_that_was_decided(make):
    item = asked(make, "review", action="takedown")
    item = decided(item, make.decision("complaints", "review", "COMPLAINT-APPEAL"), POLICY, make.now)
    (question,) = item.questions
    assert question.target == "*"
    item = voted(item, ruling(make, 1, "keep", question), POLICY, make.now)
    assert [each.agent for each in ruling_on(item, WAITED).overruled] == ["review", "complaints"]


def test_an_appeal_does_not_end_what_complaints_hold_by_asking(make):
    hold = make.decision("complaints", "takedown", "COMPLAINT-WEIGHT", stop=("hold", "reviewed"))
    item = decided(begun(hold), hold, POLICY, make.now)
    appeal = make.decision("complaints", "review", "COMPLAINT-APPEAL", decision_id="appeal")
    item = decided(item, appeal, POLICY, make.now)
    assert [each.decision_id for each in item.positions] == [hold.decision_id]


@pytest.mark.parametrize(
    ("rule", "fields", "alone"),
    [
        ({}, {"outcome": "remove"}, False),
        ({}, {"outcome": "keep"}, True),
        ({"outcomes": ()}, {"outcome": "remove"}, True),
        ({"outcomes": ()}, {"outcome": "remove", "bank": "banned"}, False),
        ({"agents": ("rumor",)}, {"outcome": "remove"}, True),
        ({"agents": ("review",)}, {"outcome": "remove"}, False),
        ({"codes": ("REVIEW-NUDITY",)}, {"outcome": "remove"}, False),
        ({"codes": ("REVIEW-TERM",)}, {"outcome": "remove"}, True),
        ({"severity_from": "high"}, {"outcome": "remove"}, False),
        ({"severity_from": "highest"}, {"outcome": "remove"}, True),
    ],
)
def test_the_policy_says_what_needs_two(make, rule, fields, alone):
    terms = policy(two_person=(TwoPersonRule(**rule),))
    item = asked(make, "review", terms=terms)
    outcome, bank = fields["outcome"], fields.get("bank")
    item = voted(item, ruling(make, 1, outcome, item.questions[0], bank=bank), terms, make.now)
    assert item.votes[0].alone is alone
    assert item.questions[0].state == ("settled" if alone else "second")


def test_a_disagreement_asks_on_and_a_third_person_settles_it_alone(make):
    terms = policy(two_person=BOTH)
    item = asked(make, "review", terms=terms)
    item = voted(item, ruling(make, 1, "remove", item.questions[0]), terms, make.now)
    item = voted(item, ruling(make, 2, "keep", item.questions[0], "ben"), terms, make.now)
    item = passed_on(item, terms, make.now)
    first, further = item.questions
    assert (first.state, further.escalates, further.barred) == ("escalated", first.review_id, ("ann", "ben"))
    assert further.reasons[0].code == "PERSON-ESCALATED"
    with pytest.raises(Refused, match="another person"):
        voted(item, ruling(make, 3, "remove", further, "ben"), terms, make.now)
    item = voted(item, ruling(make, 4, "remove", further, "cem"), terms, make.now)
    assert ruling_on(item, WAITED).outcome == "remove"


def test_only_seniors_settle_what_was_passed_on_where_the_policy_names_some(make):
    terms = policy(seniors=("sen",))
    item = asked(make, "review", terms=terms)
    item = passed_on(voted(item, ruling(make, 1, "escalate", item.questions[0]), terms, make.now), terms, make.now)
    with pytest.raises(Refused, match="seniors"):
        voted(item, ruling(make, 2, "keep", item.questions[1], "ben"), terms, make.now)
    item = voted(item, ruling(make, 3, "keep", item.questions[1], "sen"), terms, make.now)
    assert [question.state for question in item.questions] == ["escalated", "settled"]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"outcome": "label"}, "label"),
        ({"outcome": "keep", "bank": "banned"}, "bank"),
        ({"outcome": "remove", "bank": "known_good"}, "bank"),
    ],
)
def test_a_ruling_that_contradicts_itself_is_refused_with_its_field(make, fields, field):
    item = asked(make, "review")
    with pytest.raises(Refused) as refused:
        voted(item, ruling(make, 1, question=item.questions[0], **fields), POLICY, make.now)
    assert refused.value.field == field


# Claims


def claim(make, number, reviewer="ann", kind="claim", item=None):
    review = item.questions[0].review_id
    return Claim(
        claim_id=f"k-{number}",
        publisher_id="p-1",
        review_id=review,
        reviewer_id=reviewer,
        claimed_at=make.now,
        kind=kind,
    )


def holder(item):
    held = item.questions[0].claim
    return held and held.reviewer_id


def test_of_two_claims_the_first_gets_it_until_it_ends(make):
    item = asked(make, "review")
    first = claimed(item, claim(make, 1, item=item), POLICY, make.now)
    assert (holder(first), first.answers) == ("ann", "k-1")
    second = claimed(first, claim(make, 2, "ben", item=item), POLICY, make.at(1))
    assert (holder(second), second.answers) == ("ann", "k-2")
    over = make.now + timedelta(minutes=POLICY.reviewers.claim_minutes)
    assert holder(claimed(second, claim(make, 3, "ben", item=item), POLICY, over)) == "ben"


def test_a_repeated_claim_lasts_no_longer_and_a_new_one_of_the_same_reviewer_does(make):
    item = asked(make, "review")
    one = claimed(item, claim(make, 1, item=item), POLICY, make.now)
    assert claimed(one, claim(make, 1, item=item), POLICY, make.at(60)).questions == one.questions
    longer = claimed(one, claim(make, 2, item=item), POLICY, make.at(60))
    assert longer.questions[0].claim.until > one.questions[0].claim.until


def test_only_who_has_a_review_gives_it_back_and_a_ruling_does_too(make):
    item = asked(make, "review")
    item = claimed(item, claim(make, 1, item=item), POLICY, make.now)
    assert holder(claimed(item, claim(make, 2, "ben", "release", item), POLICY, make.now)) == "ann"
    assert holder(claimed(item, claim(make, 3, "ann", "release", item), POLICY, make.now)) is None
    assert holder(voted(item, ruling(make, 1, "keep", item.questions[0]), POLICY, make.now)) is None


def test_what_is_settled_cannot_be_taken(make):
    item = asked(make, "review")
    item = voted(item, ruling(make, 1, "keep", item.questions[0]), POLICY, make.now)
    assert holder(claimed(item, claim(make, 1, item=item), POLICY, make.now)) is None


# The report


@pytest.mark.parametrize(
    ("hits", "total", "low", "high"),
    # Newcombe, "Two-sided confidence intervals for the single proportion", Statistics in Medicine 17 (1998), table I.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_the_interval_is_the_published_one(hits, total, low, high):
    assert wilson(hits, total) == pytest.approx((low, high), abs=5e-5)


def test_without_a_ruling_there_is_no_interval():
    assert wilson(0, 0) is None


def test_orders_of_three_votes_are_all_the_same(make):
    three = [
        vote(make, 1, "remove", alone=False),
        vote(make, 2, "remove", "ben", alone=False),
        vote(make, 3, "keep", "cem"),
    ]
    assert len({settle(order) for order in itertools.permutations(three)}) == 1
