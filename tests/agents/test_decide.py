"""From findings to a decision."""

from __future__ import annotations

import itertools

import pytest

from agents.decide import SEVERITY, Finding, decide, ground, hold, label, remove, review
from schemas.decision import Stop, decision_id
from schemas.reasons import CATALOGUE

ALLOW, LABEL, REVIEW, HOLD, REMOVE = (
    Finding(ground("SYNTH-TRACE"), "allow"),
    label(ground("SYNTH-DECLARED"), 2, "may be"),
    review(ground("REVIEW-NUDITY")),
    hold(ground("EXTRACT-BROKEN"), "reviewed"),
    remove(ground("REVIEW-HASH")),
)
#: Least severe first.
RANKED = (ALLOW, LABEL, REVIEW, HOLD, REMOVE)


@pytest.fixture(scope="session")
def decided(make):
    return lambda *findings, **options: decide(
        "test", make.upload(), options.pop("policy", make.policy()), findings, options.pop("now", make.now), **options
    )


def done(decision):
    return (decision.action, *((decision.stop.kind, decision.stop.until) if decision.stop else ()))


def test_nothing_found_is_allowed(decided):
    decision = decided()
    assert (done(decision), decision.reasons, decision.label) == (("allow",), (), None)


@pytest.mark.parametrize(
    ("finding", "expected"),
    [
        (LABEL, ("label",)),
        (REVIEW, ("review",)),
        (HOLD, ("takedown", "hold", "reviewed")),
        (REMOVE, ("takedown", "remove", "forever")),
    ],
)
def test_a_finding_alone_is_the_decision(decided, finding, expected):
    decision = decided(finding)
    assert (done(decision), decision.reasons) == (expected, (finding.reason,))


@pytest.mark.parametrize("findings", [c for n in (2, 3, 5) for c in itertools.combinations(RANKED, n)])
def test_the_most_severe_action_wins_in_any_order_and_every_ground_is_named(decided, findings):
    for order in itertools.permutations(findings):
        decision = decided(*order)
        assert decision.action == findings[-1].action
        assert decision.stop == (findings[-1].stop)
        assert len(decision.reasons) == len(findings)
        severities = [next(SEVERITY[f.action] for f in findings if f.reason is r) for r in decision.reasons]
        assert severities == sorted(severities, reverse=True)


@pytest.mark.parametrize("kinds", list(itertools.permutations(("hold", "remove", "cut_stream"))))
def test_of_several_stops_the_one_that_ends_later_stands(decided, kinds):
    def stop(kind):
        return Finding(ground("REVIEW-HASH"), "takedown", Stop(kind=kind, until="forever"))

    assert decided(*map(stop, kinds)).stop.kind == "cut_stream"
    assert decided(*(stop(kind) for kind in kinds if kind != "cut_stream")).stop.kind == "remove"


def test_of_several_holds_the_first_that_was_found_is_waited_for(decided):
    first, second = hold(ground("ID-UNKNOWN"), "identified"), hold(ground("LICENCE-MISSING"), "licensed")
    assert decided(first, second).stop.until == "identified"
    assert decided(second, first).stop.until == "licensed"


@pytest.mark.parametrize(
    ("levels", "expected"),
    [((1, 2, 3, 0), 1), ((2, 3, 0), 2), ((3, 0), 3), ((0,), 0), ((0, 0), 0), ((1, 0), 1)],
)
def test_of_several_labels_the_one_that_says_most_stands(decided, levels, expected):
    for order in itertools.permutations(levels):
        decision = decided(*(label(ground("SYNTH-TRACE"), level, f"level {level}") for level in order))
        assert (decision.label.level, decision.label.text) == (expected, f"level {expected}")


def test_a_hold_carries_the_label_that_it_waits_for(decided):
    terms = LABEL.label
    decision = decided(hold(ground("SYNTH-DECLARED"), "labelled", terms))
    assert (done(decision), decision.label) == (("takedown", "hold", "labelled"), terms)


@pytest.mark.parametrize("code", sorted(CATALOGUE))
def test_a_ground_carries_its_article(code):
    assert ground(code).article == CATALOGUE[code].article


def test_a_ground_that_is_not_in_the_catalogue_is_refused():
    with pytest.raises(KeyError):
        ground("REVIEW-WHIM")


def test_the_decision_is_about_its_event_under_its_policy(make):
    event = make.segment(4)
    decision = decide("test", event, make.policy(version=7), [REVIEW], make.at(5), {"nudity": "m-2"})
    for field in ("event_id", "content_id", "publisher_id", "stream_id", "seq"):
        assert getattr(decision, field) == getattr(event, field)
    assert (decision.agent, decision.policy.version, decision.models) == ("test", 7, {"nudity": "m-2"})
    assert (decision.decided_at, decision.latency_s) == (make.at(5), 6.0)


def test_latency_is_never_negative(make, decided):
    assert decided(now=make.at(-100)).latency_s == 0.0


def test_the_decision_id_is_the_same_for_the_same_event_agent_and_policy_version(make, decided):
    one = decided(HOLD)
    assert one.decision_id == decided(REVIEW, now=make.at(50)).decision_id
    assert one.decision_id == decision_id("e-1", "test", make.policy().ref)
    others = [
        decided(HOLD, policy=make.policy(version=2)),
        decided(HOLD, policy=make.policy(name="other")),
        decide("other", make.upload(), make.policy(), [HOLD], make.now),
        decide("test", make.upload(event_id="e-2"), make.policy(), [HOLD], make.now),
    ]
    assert len({one.decision_id, *(other.decision_id for other in others)}) == 5
