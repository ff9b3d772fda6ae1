"""Weighing: records, related complainants, and an order that does not matter."""

from __future__ import annotations

from datetime import UTC, datetime
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.complaints.weigh import Record, score, weigh
from schemas.complaint import Complaint
from schemas.policy import ComplaintsPolicy

TERMS = ComplaintsPolicy()
NOW = datetime(2026, 3, 1, tzinfo=UTC)


def complaint(number, complainant=None, device=None, kind="rumor"):
    return Complaint(
        complaint_id=f"k-{number}", receipt_sha256="ab" * 32, kind=kind, publisher_id="p-1", content_id="c-1",
        text="x", complainant=complainant or f"u-{number}", device=device, received_at=NOW,
    )  # fmt: skip


def weighed(complaints, **records):
    return weigh(complaints, records, TERMS.severity)


def test_nothing_weighs_nothing():
    assert weighed([])[:2] == (0.0, 0)


@pytest.mark.parametrize(
    ("record", "factor"), [((0, 0), 1.0), ((1, 1), 4 / 3), ((0, 1), 2 / 3), ((98, 98), 1.98), ((0, 98), 0.02)]
)
def test_a_record_weighs_by_what_became_of_it(record, factor):
    assert Record(*record).factor == pytest.approx(factor)
    assert weigh([complaint(1, "u")], {"u": Record(*record)}, TERMS.severity).weight == pytest.approx(factor)


@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_no_record_silences_anybody_or_more_than_doubles_them(upheld, rejected):
    assert 0 < Record(upheld, upheld + rejected).factor < 2


def test_each_kind_weighs_what_the_policy_says():
    for kind, weight in TERMS.severity.items():
        assert weighed([complaint(1, kind=kind)]).weight == weight


def test_an_appeal_is_no_complaint_whatever_the_policy_says():
    assert weigh([complaint(1, kind="appeal")], {}, dict(TERMS.severity) | {"appeal": 5.0})[:2] == (0.0, 0)


def test_one_complainant_is_one_voice_and_says_the_heaviest():
    assert weighed([complaint(1, "u"), complaint(2, "u", kind="illegal"), complaint(3, "u")])[:2] == (2.0, 1)


def test_one_device_is_one_voice_however_many_accounts_use_it():
    assert weighed([complaint(n, device="d") for n in range(100)])[:2] == (1.0, 1)


def test_related_through_others_is_related():
    chain = [complaint(1, "a", "d1"), complaint(2, "b", "d1"), complaint(3, "b", "d2"), complaint(4, "c", "d2")]
    assert weighed(chain).unrelated == 1
    assert weighed([chain[0], chain[3]]).unrelated == 2


def test_an_account_and_a_device_of_one_name_are_two_things():
    assert weighed([complaint(1, "x"), complaint(2, "y", "x")]).unrelated == 2


def test_of_related_complainants_the_better_record_counts():
    related = [complaint(1, "good", "d"), complaint(2, "bad", "d")]
    assert weighed(related, good=Record(8, 8), bad=Record(0, 8)).weight == pytest.approx(1.8)


def test_a_hold_needs_weight_and_unrelated_complainants():
    terms = ComplaintsPolicy(hold_weight=5.0, hold_distinct=3)
    assert not weighed([complaint(n, kind="illegal") for n in range(2)]).held(terms)
    assert not weighed([complaint(n) for n in range(4)]).held(terms)
    assert weighed([complaint(n) for n in range(5)]).held(terms)
    assert weighed([complaint(n, kind="illegal") for n in range(3)]).held(terms)
    assert not weighed([complaint(n) for n in range(500)]).held(ComplaintsPolicy(hold_weight=None))


def test_what_is_held_is_reviewed_too():
    terms = ComplaintsPolicy(review_weight=10.0, hold_weight=3.0)
    assert weighed([complaint(n) for n in range(3)]).reviewed(terms)


def test_evidence_says_what_and_how_many_and_not_who():
    text = weighed([complaint(1, "alice", "phone"), complaint(2, "bob", kind="illegal")]).evidence.text
    assert text == "1 illegal, 1 rumor; unrelated complainants: 2"


def test_a_score_is_a_score():
    assert [score(weight) for weight in (0, 1, 3)] == [0, 0.5, 0.75]
    assert score(1e18) <= 1


COMPLAINTS = st.lists(
    st.tuples(
        st.sampled_from("abcdefgh"), st.sampled_from(["1", "2", "3", "4", None]), st.sampled_from(list(TERMS.severity))
    ),
    max_size=25,
).map(lambda rows: [complaint(number, who, device, kind) for number, (who, device, kind) in enumerate(rows)])
RECORDS = st.dictionaries(
    st.sampled_from("abcdefgh"), st.tuples(st.integers(0, 9), st.integers(0, 9)).map(lambda r: Record(r[0], sum(r)))
)


@given(COMPLAINTS, RECORDS, st.randoms(use_true_random=False))
def test_the_order_in_which_complaints_arrive_does_not_matter(complaints, records, random: Random):
    mixed = complaints[:]
    random.shuffle(mixed)
    assert weigh(complaints, records, TERMS.severity) == weigh(mixed, records, TERMS.severity)


@given(COMPLAINTS, RECORDS)
def test_a_complaint_sent_again_changes_no_weight(complaints, records):
    once = weigh(complaints, records, TERMS.severity)
    again = [*complaints, *(complaint(100 + n, c.complainant, c.device, c.kind) for n, c in enumerate(complaints))]
    assert weigh(again, records, TERMS.severity)[:2] == once[:2]
