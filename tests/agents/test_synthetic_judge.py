"""Whether an item is real, and if not, whether it is labelled: the grounds in the order of LBL-6."""

from __future__ import annotations

import pytest

from agents.synthetic.judge import judge
from schemas.reasons import CATALOGUE
from schemas.signals import Evidence

#: Signals that hint at generation; not that a store of C2PA is there, which cameras write too.
TRACES = ("c2pa.synthetic", "tool")
HELD_UNTIL_LABELLED = ("takedown", "hold", "labelled")
WORDS = {
    1: "内容由AI生成 AI-generated",
    2: "内容可能由AI生成 May be AI-generated",
    3: "内容疑似由AI生成 Suspected AI-generated",
}


@pytest.fixture(scope="session")
def decided(make):
    """Judges signals; `said` is what the publisher declared, the rest changes the policy's section `synthetic`."""

    def decide(*found, said=None, **policy):
        event = make.upload(declared_synthetic=said)
        signals = make.signals(*found, event=event, models={"container": "m-1"})
        decision = make.wire(judge(signals, make.policy(synthetic=policy), make.now))
        assert decision.agent == "synthetic"
        return decision

    return decide


@pytest.fixture(scope="session")
def aigc(make):
    """The signal of a check of the AIGC object that ended so, with the label that the object states."""

    def signal(outcome, label=None):
        stated = [Evidence(entry=label, text=f"Label {label}")] if label else []
        return make.signal(f"aigc.{outcome}", 1.0, *stated, Evidence(text="a fault"))

    return signal


def done(decision):
    return (decision.action, *((decision.stop.kind, decision.stop.until) if decision.stop else ()))


def codes(decision):
    return [reason.code for reason in decision.reasons]


def test_what_shows_no_sign_of_generation_is_allowed_and_its_models_are_named(decided):
    decision = decided()
    assert (decision.action, decision.reasons, decision.label, decision.stop) == ("allow", (), None, None)
    assert decision.models == {"container": "m-1"}


def test_every_code_of_the_synthetic_agent_has_a_signal_that_gives_it(make, decided, aigc):
    given_by = {
        "SYNTH-LABELLED": decided(aigc("compliant", "1")),
        "SYNTH-NONCOMPLIANT": decided(aigc("non_compliant")),
        "SYNTH-DECLARED": decided(said=True),
        "SYNTH-TRACE": decided(make.signal("tool")),
    }
    # LABEL-REMOVED is of what came before: see synthetic/test_marks.py.
    assert set(given_by) == {code for code, row in CATALOGUE.items() if row.agent == "synthetic"} - {"LABEL-REMOVED"}
    assert {code: codes(decision) for code, decision in given_by.items()} == {code: [code] for code in given_by}


def test_the_first_ground_in_the_order_of_the_measures_decides_alone(make, decided, aigc):
    grounds = [
        ("SYNTH-LABELLED", [aigc("compliant", "1")], None),
        ("SYNTH-NONCOMPLIANT", [aigc("non_compliant", "1")], None),
        ("SYNTH-NONCOMPLIANT", [aigc("inconclusive")], None),
        ("SYNTH-DECLARED", [], True),
        ("SYNTH-TRACE", [make.signal("c2pa.synthetic"), make.signal("tool")], None),
    ]
    for first, (code, _, _) in enumerate(grounds):
        found = [signal for _, signals, _ in reversed(grounds[first:]) for signal in signals]
        said = any(said for _, _, said in grounds[first:]) or None
        assert codes(decided(*found, said=said)) == [code]


@pytest.mark.parametrize(("label", "level"), [("1", 1), ("2", 2), ("3", 3), (None, 1)])
def test_a_valid_label_is_shown_at_the_level_it_states(decided, aigc, label, level):
    decision = decided(aigc("compliant", label))
    assert (done(decision), decision.label.level, decision.label.text) == (("label",), level, WORDS[level])


def test_a_valid_label_is_shown_under_any_policy(decided, aigc):
    strict = {"declared": "takedown", "non_compliant": "takedown", "traces": "takedown"}
    assert done(decided(aigc("compliant", "1"), said=True, **strict)) == ("label",)


@pytest.mark.parametrize("outcome", ["non_compliant", "inconclusive"])
@pytest.mark.parametrize(("label", "level"), [("1", 1), ("2", 2), (None, 3)])
@pytest.mark.parametrize(("policy", "expected"), [("takedown", HELD_UNTIL_LABELLED), ("label", ("label",))])
def test_a_faulty_label_does_what_the_policy_says(decided, aigc, outcome, label, level, policy, expected):
    decision = decided(aigc(outcome, label), non_compliant=policy)
    assert (done(decision), codes(decision)) == (expected, ["SYNTH-NONCOMPLIANT"])
    assert (decision.label.level, decision.label.text) == (level, WORDS[level])
    assert decision.reasons[0].evidence[-1].text == "a fault"


@pytest.mark.parametrize(
    ("said", "policy", "expected"),
    [
        (True, "takedown", HELD_UNTIL_LABELLED),
        (True, "label", ("label",)),
        (False, "takedown", ("allow",)),
        (None, "takedown", ("allow",)),
    ],
)
def test_what_is_declared_and_unlabelled_does_what_the_policy_says(decided, said, policy, expected):
    decision = decided(said=said, declared=policy)
    assert done(decision) == expected
    assert decision.label is None if expected == ("allow",) else decision.label.level == 2


@pytest.mark.parametrize("trace", TRACES)
@pytest.mark.parametrize(
    ("policy", "expected", "level"),
    [
        ("allow", ("allow",), None),
        ("label", ("label",), 3),
        ("review", ("review",), None),
        ("takedown", HELD_UNTIL_LABELLED, 3),
    ],
)
def test_a_trace_does_what_the_policy_says(make, decided, trace, policy, expected, level):
    decision = decided(make.signal(trace, 1.0, Evidence(text="seen")), traces=policy)
    assert (done(decision), decision.label and decision.label.level) == (expected, level)
    assert codes(decision) == ([] if policy == "allow" else ["SYNTH-TRACE"])


def test_all_traces_are_evidence_of_one_ground(make, decided):
    found = [make.signal(name, 1.0, Evidence(text=name)) for name in reversed(TRACES)]
    (reason,) = decided(*found).reasons
    assert [evidence.text for evidence in reason.evidence] == list(TRACES)


@pytest.mark.parametrize("said", [None, False])
def test_a_trace_counts_though_the_publisher_denies_it(make, decided, said):
    assert codes(decided(make.signal("tool"), said=said)) == ["SYNTH-TRACE"]


@pytest.mark.parametrize("name", ["c2pa", "nudity", "blank"])
def test_other_signals_say_nothing_of_generation(make, decided, name):
    assert codes(decided(make.signal(name))) == []


@pytest.mark.parametrize(("label", "field"), [("1", "generated"), ("2", "possible"), ("3", "suspected")])
def test_the_words_are_the_policys(decided, aigc, label, field):
    decision = decided(aigc("compliant", label), **{f"text_{field}": "其他的文字"})
    assert decision.label.text == "其他的文字"
    other = "generated" if field == "suspected" else "suspected"
    assert decided(aigc("compliant", label), **{f"text_{other}": "其他的文字"}).label.text == WORDS[int(label)]
