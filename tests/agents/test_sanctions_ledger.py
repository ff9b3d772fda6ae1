"""The ladder of sanctions: what decisions cost, what that adds up to, and how a person takes it back."""

from __future__ import annotations

import random
from contextlib import suppress
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from agents.sanctions.ladder import entry_of, in_force, settle
from agents.sanctions.ledger import MOST_ENTRIES, Ledger, fold, points_at, taken
from schemas.message import Refused, decode, encode
from schemas.policy import Policy, Rung, SanctionsPolicy
from schemas.sanction import PointEntry, Ruling, Sanction, Standing

DAY = 86_400.0
POLICY = Policy(name="default", version=1)
#: Short enough that entries decay, and a step for every few points.
STEEP = Policy(
    name="default",
    version=1,
    sanctions=SanctionsPolicy(
        points={"REVIEW-HASH": 6.0, "RUMOR-FAKE-NEWS": 4.0, "SYNTH-NONCOMPLIANT": 1.0},
        half_life_days=2.0,
        ladder=(
            Rung(level="warn", at_points=1.0, days=1.0),
            Rung(level="limit", at_points=5.0, days=2.0, limits=("live",)),
            Rung(level="suspend", at_points=12.0, days=3.0),
            Rung(level="close", at_points=24.0),
        ),
    ),
)


def entry(make, points, day, name=None, code="REVIEW-HASH"):
    name = name or f"d-{day}"
    return PointEntry(decision_id=name, event_id=f"e-{name}", code=code, points=points, at=make.at(day * DAY))


def sanctions(*entries, policy=POLICY, overruled=(), lifts=None):
    return settle("p-1", entries, overruled, lifts or {}, policy)


def began(found, make):
    return [(s.level, (s.begins_at - make.now) / timedelta(days=1)) for s in found]


def hit(make, name, day=0.0, code="REVIEW-HASH", **changes):
    """A takedown on an upload of its own."""
    event = make.upload(event_id=f"e-{name}", content_id=f"c-{name}")
    changes = {"decision_id": f"d-{name}", "event": event, "decided_at": make.at(day * DAY)} | changes
    return make.decision("review", "takedown", code, **changes)


def ruling(make, outcome, ruling_id="r-1", day=0.0, **about):
    fields = {"publisher_id": "p-1", "reviewer_id": "a person", "reason": "because", "ruled_at": make.at(day * DAY)}
    return Ruling(ruling_id=ruling_id, outcome=outcome, **fields | about)


def taking(policy, *messages):
    """A ledger that has taken these, and what it said to the last."""
    ledger, said = Ledger({}), []
    for message in messages:
        said = ledger.take(message, policy)
    return ledger, said


def sent(said):
    return [row for row in said if isinstance(row, Sanction)]


# Points


def test_a_takedown_costs_its_dearest_reason(make):
    found = entry_of(hit(make, "1", code="SYNTH-NONCOMPLIANT"), POLICY)
    assert (found.code, found.points, found.at) == ("SYNTH-NONCOMPLIANT", 1.0, make.now)
    both = make.decision("review", "takedown", "SYNTH-NONCOMPLIANT", "REVIEW-HASH", "REVIEW-NUDITY")
    assert (entry_of(both, POLICY).code, entry_of(both, POLICY).points) == ("REVIEW-HASH", 6.0)


@pytest.mark.parametrize("action", ["allow", "label", "review"])
def test_what_is_not_taken_down_costs_nothing(make, action):
    assert entry_of(make.decision("review", action, "REVIEW-HASH"), POLICY) is None


def test_a_takedown_for_what_the_policy_does_not_list_costs_nothing(make):
    assert entry_of(make.decision("review", "takedown", "REVIEW-NUDITY"), POLICY) is None
    assert entry_of(make.decision("review", "takedown"), POLICY) is None
    free = Policy(name="default", version=1, sanctions=SanctionsPolicy(points={"REVIEW-HASH": 0.0}))
    assert entry_of(make.decision("review", "takedown", "REVIEW-HASH"), free) is None


def test_a_stream_costs_each_reason_once_in_whatever_order_its_segments_come(make):
    segments = [
        make.decision("review", "takedown", code, event=make.segment(seq), decided_at=make.at(seq))
        for seq in range(100)
        for code in ["REVIEW-HASH" if seq % 2 else "RUMOR-FAKE-NEWS"]
    ]
    ledger, _ = taking(POLICY, *segments)
    assert [(e.code, e.at) for e in ledger.of("p-1").entries] == [
        ("RUMOR-FAKE-NEWS", make.at(0)),
        ("REVIEW-HASH", make.at(1)),
    ]
    again, _ = taking(POLICY, *reversed(segments))
    assert again.of("p-1") == ledger.of("p-1")


def test_an_item_decided_again_under_a_new_policy_version_costs_once_and_is_given_back_by_either(make):
    first = make.decision("review", "takedown", "REVIEW-HASH")
    second = make.decision("review", "takedown", "REVIEW-HASH", version=2, decided_at=make.at(60))
    assert first.decision_id != second.decision_id
    ledger, said = taking(POLICY, first, second)
    assert sent(said) == []
    assert points_at(ledger.of("p-1"), POLICY, make.now) == 6
    for decision in (first, second):
        ledger, _ = taking(POLICY, first, second, ruling(make, "reversed", decision_id=decision.decision_id))
        assert points_at(ledger.of("p-1"), POLICY, make.now) == 0
        assert ledger.of("p-1").sanctions == ()


def test_a_reversal_that_waits_for_its_decision_gives_back_the_same_finding_made_before(make):
    first, second = (make.decision("review", "takedown", "REVIEW-HASH", version=version) for version in (1, 2))
    second = replace(second, decided_at=make.at(60))
    ledger, _ = taking(POLICY, ruling(make, "reversed", decision_id=second.decision_id), first)
    assert [s.lifted_by for s in sent(ledger.take(second, POLICY))] == [second.decision_id]
    assert ledger.of("p-1").sanctions == ()


def test_points_halve_with_each_half_life(make):
    standing = fold("p-1", [hit(make, "1"), hit(make, "2", 90)], [], POLICY)
    assert [points_at(standing, POLICY, make.at(day * DAY)) for day in (90, 180, 270)] == [9, 4.5, 2.25]


# The ladder


@pytest.mark.parametrize(
    ("points", "level", "days", "limits"),
    [
        (1, "warn", None, ()),
        (4.9, "warn", None, ()),
        (5, "limit", 7, ("live", "comments", "links")),
        (11.8, "limit", 7, ("live", "comments", "links")),
        (12, "suspend", 30, ()),
        (23.7, "suspend", 30, ()),
        (24, "close", None, ()),
        (1000, "close", None, ()),
    ],
)
def test_points_reach_the_highest_step_that_they_suffice_for(make, points, level, days, limits):
    (found,) = sanctions(entry(make, points, 0))
    assert (found.level, found.limits, found.points) == (level, limits, points)
    assert found.until == (None if days is None else make.at(days * DAY))
    assert (found.begins_at, found.because, found.policy) == (make.now, ("d-0",), POLICY.ref)


def test_too_few_points_reach_nothing(make):
    assert sanctions(entry(make, 0.98, 0)) == ()
    assert sanctions() == ()


def test_two_takedowns_within_two_days_reach_the_step_of_their_sum(make):
    assert began(sanctions(entry(make, 6, 0), entry(make, 6, 1.9)), make) == [("limit", 0), ("suspend", 1.9)]
    assert began(sanctions(entry(make, 6, 0), entry(make, 6, 4)), make) == [("limit", 0)]


def test_points_that_have_decayed_reach_no_higher_step(make):
    near = sanctions(entry(make, 4, 0), entry(make, 4, 1))
    far = sanctions(entry(make, 4, 0), entry(make, 4, 180), entry(make, 0.5, 181))
    assert began(near, make) == [("warn", 0), ("limit", 1)]
    assert began(far, make) == [("warn", 0), ("limit", 180)]
    assert far[1].points == 5


def test_nothing_milder_or_equal_begins_while_one_is_in_force(make):
    every_day = [entry(make, 2, day) for day in range(10)]
    found = sanctions(*every_day)
    assert began(found, make) == [("warn", 0), ("limit", 2), ("suspend", 6)]
    assert found[-1].because == tuple(f"d-{day}" for day in range(6, -1, -1))


def test_what_has_ended_begins_again_with_the_next_entry_and_not_before(make):
    first = entry(make, 6, 0)
    assert began(sanctions(first, entry(make, 0.1, 6.9)), make) == [("limit", 0)]
    assert began(sanctions(first, entry(make, 0.1, 7)), make) == [("limit", 0), ("limit", 7)]


def test_a_sanction_names_its_newest_twenty_decisions(make):
    found = sanctions(*(entry(make, 0.5, day / 10, f"d-{day:02}") for day in range(60)))
    assert found[-1].level == "close"
    assert found[-1].because == tuple(f"d-{number}" for number in range(48, 28, -1))


def test_a_sanctions_id_is_of_publisher_level_and_decision(make):
    one, other = sanctions(entry(make, 6, 0)), settle("p-2", [entry(make, 6, 0)], (), {}, POLICY)
    assert one[0].sanction_id == sanctions(entry(make, 5.5, 0))[0].sanction_id
    assert len({one[0].sanction_id, other[0].sanction_id, sanctions(entry(make, 1, 0))[0].sanction_id}) == 3


def test_an_empty_ladder_sanctions_nobody(make):
    assert sanctions(entry(make, 99, 0), policy=replace(POLICY, sanctions=SanctionsPolicy(ladder=()))) == ()


# What people take back


def test_a_reversed_decision_gives_its_points_back(make):
    entries = [entry(make, 6, 0), entry(make, 6, 1)]
    assert began(sanctions(*entries, overruled=["d-1"]), make) == [("limit", 0)]
    assert began(sanctions(*entries, overruled=["d-0"]), make) == [("limit", 1)]
    assert sanctions(*entries, overruled=["d-0", "d-1"]) == ()


def test_a_reversal_lifts_what_no_longer_follows_and_says_so_once(make):
    first, second = hit(make, "0"), hit(make, "1", 1)
    back = ruling(make, "reversed", day=2, decision_id="d-1")
    ledger, said = taking(POLICY, first, second)
    (suspension,) = sent(said)
    assert suspension.level == "suspend"
    said = ledger.take(back, POLICY)
    assert said[1:] == [replace(suspension, lifted_by="r-1", lifted_at=back.ruled_at)]
    assert began(said[0].sanctions, make) == [("limit", 0)]
    assert ledger.take(back, POLICY) == []


def test_a_reversal_may_put_a_milder_sanction_in_a_severer_ones_place(make):
    ledger, _ = taking(POLICY, hit(make, "0"), hit(make, "1", 1))
    limit, suspension = ledger.of("p-1").sanctions
    said = ledger.take(ruling(make, "reversed", decision_id="d-0"), POLICY)
    assert [(s.level, s.lifted_by, s.begins_at) for s in sent(said)] == [
        ("limit", None, make.at(DAY)),
        ("limit", "r-1", limit.begins_at),
        ("suspend", "r-1", suspension.begins_at),
    ]
    assert ledger.of("p-1").sanctions == (sent(said)[0],)


def test_a_reversal_that_comes_before_its_decision_is_kept_for_it(make):
    ledger, said = taking(POLICY, ruling(make, "reversed", decision_id="d-0"))
    assert said == [Standing(publisher_id="p-1", reversed=("d-0",))]
    (standing,) = ledger.take(hit(make, "0"), POLICY)
    assert (len(standing.entries), standing.sanctions) == (1, ())


def test_a_lifted_sanction_ends_and_its_points_stay(make):
    ledger, said = taking(POLICY, hit(make, "0"))
    (limit,) = sent(said)
    lift = ruling(make, "lifted", day=1, sanction_id=limit.sanction_id)
    standing, lifted = ledger.take(lift, POLICY)
    assert lifted == replace(limit, lifted_by="r-1", lifted_at=make.at(DAY))
    assert standing.sanctions == (lifted,)
    assert [in_force(lifted, make.at(day * DAY)) for day in (0, 0.99, 1, 2)] == [True, True, False, False]
    assert ledger.take(lift, POLICY) == []
    assert ledger.take(replace(lift, ruling_id="r-2", ruled_at=make.at(2 * DAY)), POLICY) == []
    (again,) = sent(ledger.take(hit(make, "1", 2, "SYNTH-NONCOMPLIANT"), POLICY))
    assert (again.level, again.because) == ("limit", ("d-1", "d-0"))


def test_a_lift_frees_what_came_after_it_and_was_taken_before(make):
    ledger, said = taking(POLICY, hit(make, "0"))
    (limit,) = sent(said)
    assert sent(ledger.take(hit(make, "1", 2, "SYNTH-NONCOMPLIANT"), POLICY)) == []
    said = ledger.take(ruling(make, "lifted", day=1, sanction_id=limit.sanction_id), POLICY)
    assert [(s.sanction_id == limit.sanction_id, s.begins_at, s.lifted_by) for s in sent(said)] == [
        (True, make.now, "r-1"),
        (False, make.at(2 * DAY), None),
    ]


def test_an_upheld_decision_and_a_ruling_on_a_complaint_change_nothing(make):
    ledger, _ = taking(POLICY, hit(make, "0"))
    upheld = [ruling(make, "upheld", decision_id="d-0"), ruling(make, "upheld", sanction_id="no such")]
    complaints = [ruling(make, outcome, complaint_id="k-1") for outcome in ("upheld", "reversed", "lifted")]
    for each in upheld + complaints:
        assert ledger.take(each, POLICY) == []


@pytest.mark.parametrize(
    ("outcome", "about", "field", "says"),
    [
        ("lifted", {"sanction_id": "s-9"}, "sanction_id", "'s-9' is unknown: publisher 'p-1' has no such sanction"),
        ("lifted", {"sanction_id": "s-9", "publisher_id": "p-9"}, "sanction_id", "publisher 'p-9' has no sanctions"),
        ("lifted", {"decision_id": "d-0"}, "sanction_id", "which sanction"),
        ("reversed", {"sanction_id": "s-9"}, "decision_id", "a decision is reversed"),
    ],
)
def test_a_ruling_on_nothing_known_is_refused_with_what_is_unknown(make, outcome, about, field, says):
    ledger, _ = taking(POLICY, hit(make, "0"))
    before = ledger.of("p-1")
    with pytest.raises(Refused, match=says) as refused:
        ledger.take(ruling(make, outcome, **about), POLICY)
    assert refused.value.field == field
    assert ledger.of("p-1") is before


# What comes late, again, or under another policy


def test_a_repeat_changes_nothing_even_with_another_time(make):
    ledger, _ = taking(POLICY, hit(make, "0"))
    assert ledger.take(hit(make, "0"), POLICY) == []
    assert ledger.take(hit(make, "0", 3), POLICY) == []


def test_a_decision_that_comes_late_replaces_what_followed_without_it(make):
    ledger, said = taking(POLICY, hit(make, "1", 1))
    (limit,) = sent(said)
    said = sent(ledger.take(hit(make, "0"), POLICY))
    assert [(s.level, s.begins_at, s.lifted_by) for s in said] == [
        ("limit", make.now, None),
        ("suspend", make.at(DAY), None),
        ("limit", limit.begins_at, "d-0"),
    ]


def test_what_was_ordered_stands_under_a_new_policy_and_the_next_entry_is_judged_by_it(make):
    ledger, _ = taking(POLICY, *(hit(make, name, code="SYNTH-NONCOMPLIANT") for name in ("0", "1")))
    (warning,) = ledger.of("p-1").sanctions
    strict = replace(
        POLICY, version=2, sanctions=SanctionsPolicy(ladder=(Rung(level="suspend", at_points=2.0, days=1.0),))
    )
    standing, suspension = ledger.take(hit(make, "2", 1, "SYNTH-NONCOMPLIANT"), strict)
    assert standing.sanctions == (warning, suspension)
    assert (suspension.begins_at, suspension.policy) == (make.at(DAY), strict.ref)


def test_another_worker_sends_again_what_may_not_have_been_sent(make):
    """A killed worker's row is there, and its messages come again: were its sanctions sent?"""
    messages = [hit(make, "0"), hit(make, "1", 1), ruling(make, "reversed", day=2, decision_id="d-1")]
    ledger, standing = Ledger({}), Standing(publisher_id="p-1")
    for message in messages:
        said = sent(ledger.take(message, POLICY))
        standing = ledger.of("p-1")
        heir = Ledger({"p-1": decode(Standing, encode(standing))})
        assert sent(heir.take(message, POLICY)) == said
        assert heir.of("p-1") == standing
    lift = ruling(make, "lifted", "r-2", day=2, sanction_id=standing.sanctions[0].sanction_id)
    said = ledger.take(lift, POLICY)
    assert Ledger({"p-1": said[0]}).take(lift, POLICY) == said[1:]


def test_rows_read_back_count_over_those_known_and_over_those_written_here(make):
    ledger, said = taking(POLICY, hit(make, "0"))
    newer = fold("p-1", [hit(make, "0"), hit(make, "1", 1)], [], POLICY)
    ledger.restore([said[0], newer])
    assert ledger.of("p-1") == newer
    assert sent(ledger.take(hit(make, "1", 1), POLICY)) == [newer.sanctions[1]]


def test_a_standing_is_bounded_and_what_was_forgotten_does_not_count_again(make):
    every_hour = [hit(make, f"{number:04}", number / 24, "SYNTH-NONCOMPLIANT") for number in range(MOST_ENTRIES + 50)]
    ledger, _ = taking(POLICY, *every_hour)
    standing = ledger.of("p-1")
    assert [e.decision_id for e in standing.entries] == [f"d-{number:04}" for number in range(50, MOST_ENTRIES + 50)]
    assert [s.level for s in standing.sanctions] == [
        "warn",
        "suspend",
        "close",
    ]  # the limit ended, and its entry is gone
    assert [taken(standing, decision, POLICY) is standing for decision in every_hour] == [True] * len(every_hour)
    assert len(encode(standing)) < 200_000


def test_what_has_decayed_is_forgotten_but_not_what_is_still_in_force(make):
    old, new = hit(make, "0", code="SYNTH-NONCOMPLIANT"), hit(make, "1", 90 * 9, "SYNTH-NONCOMPLIANT")
    ledger, said = taking(POLICY, old, new)
    standing = ledger.of("p-1")
    assert [e.decision_id for e in standing.entries] == ["d-1"]
    assert [(s.level, s.because) for s in standing.sanctions] == [("warn", ("d-0",))]
    assert sent(said) == []
    assert ledger.take(old, POLICY) == []
    said = ledger.take(ruling(make, "reversed", decision_id="d-0"), POLICY)
    assert [(s.because, s.lifted_by) for s in sent(said)] == [(("d-0",), "r-1")]


def test_what_has_ended_is_forgotten_with_its_entry_and_not_called_lifted(make):
    policy = replace(POLICY, sanctions=SanctionsPolicy(ladder=(Rung(level="limit", at_points=1.0, days=1.0),)))
    old, new = hit(make, "0", code="SYNTH-NONCOMPLIANT"), hit(make, "1", 90 * 9, "SYNTH-NONCOMPLIANT")
    ledger, said = taking(policy, old, new)
    assert [s.because for s in ledger.of("p-1").sanctions] == [("d-1",)]
    assert [(s.because, s.lifted_by) for s in sent(said)] == [(("d-1",), None)]


# Whatever the order


@st.composite
def histories(draw):
    """Decisions on uploads and segments over a few days, and rulings that reverse some of them, seen or unseen."""
    codes = st.sampled_from(["REVIEW-HASH", "RUMOR-FAKE-NEWS", "SYNTH-NONCOMPLIANT", "REVIEW-NUDITY"])
    marks = st.tuples(
        st.sampled_from(["upload", "upload", "segment"]),
        st.integers(0, 5),
        codes,
        st.integers(0, 200),
        st.sampled_from(["takedown", "takedown", "takedown", "review"]),
        st.integers(1, 2),
    )
    found = draw(st.lists(marks, max_size=14))
    wrong = draw(st.sets(st.integers(0, 15), max_size=4))
    return found, wrong, draw(st.randoms(use_true_random=False))


def messages(make, found, wrong):
    decisions = []
    for kind, number, code, hour, action, version in found:
        event = (
            make.upload(event_id=f"e-{number}") if kind == "upload" else make.segment(hour, stream=f"s-{number % 2}")
        )
        at = make.at(hour * 3600)
        decisions.append(make.decision("review", action, code, event=event, version=version, decided_at=at))
    # One id, one decision: the same event decided again under the same policy finds the same.
    decisions = list({decision.decision_id: decision for decision in decisions}.values())
    rulings = []
    for number in wrong:
        decision_id = decisions[number].decision_id if number < len(decisions) else f"unseen-{number}"
        outcome = "upheld" if number % 5 == 4 else "reversed"
        rulings.append(ruling(make, outcome, f"r-{number}", decision_id=decision_id))
    return decisions, rulings


@given(histories())
def test_any_order_and_any_repeats_give_the_same_standing(make, history):
    found, wrong, order = history
    decisions, rulings = messages(make, found, wrong)
    expected = fold("p-1", decisions, rulings, STEEP)
    assert fold("p-1", decisions[::-1] * 2, rulings[::-1] * 2, STEEP) == expected
    every: list[object] = [*decisions, *rulings]
    every += [message for message in every if order.random() < 0.5]
    # A decision made again after a crash has a later time.
    every += [replace(d, decided_at=d.decided_at + timedelta(hours=1)) for d in decisions if order.random() < 0.3]
    order.shuffle(every)
    ledger, told = Ledger({}), {}
    for message in every:
        said = ledger.take(message, STEEP)
        assert not said or said[0] == ledger.of("p-1")
        told |= {sanction.sanction_id: sanction for sanction in sent(said)}
    assert ledger.of("p-1") == expected
    # Whoever only heard the orders knows what stands, too.
    stands = {s.sanction_id: s.until for s in expected.sanctions}
    assert {key: s.until for key, s in told.items() if s.lifted_by is None} == stands


def followed(standing, messages):
    for message in messages:
        with suppress(Refused):  # one lift may leave another nothing to lift
            standing = taken(standing, message, STEEP)
    return standing


@given(histories(), st.integers(0, 250))
def test_lifts_too_are_what_they_are_in_any_order(make, history, hour):
    found, wrong, order = history
    decisions, rulings = messages(make, found, wrong)
    ledger, _ = taking(STEEP, *decisions, *rulings)
    before = ledger.of("p-1")
    lifts = [
        ruling(make, "lifted", f"l-{number}", day=(hour + 10 * number) / 24, sanction_id=sanction.sanction_id)
        for number, sanction in enumerate(before.sanctions)
        if order.random() < 0.7
    ]
    every = lifts + decisions + rulings
    assert followed(before, [*order.sample(every, len(every)), *lifts]) == followed(before, lifts)


@given(histories())
def test_resuming_finds_what_settling_from_the_first_entry_on_finds(make, history):
    found, wrong, order = history
    decisions, rulings = messages(make, found, wrong)
    every = order.sample([*decisions, *rulings], len(decisions) + len(rulings))
    ledger = Ledger({})
    for message in every:
        ledger.take(message, STEEP)
        standing = ledger.of("p-1")
        shuffled = random.Random(1).sample(standing.entries * 2, len(standing.entries) * 2)
        assert settle("p-1", shuffled, standing.reversed, {}, STEEP) == standing.sanctions
