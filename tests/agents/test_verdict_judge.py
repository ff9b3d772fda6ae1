"""From an item's decisions to its one answer."""

from __future__ import annotations

import itertools

import pytest

from agents.verdict.judge import is_final, judge, removes
from schemas.message import encode

AGENTS = ("identity", "review", "synthetic", "rumor")
#: class of a decision → (action, code of each agent that can decide so, stop)
CLASSES = {
    "allow": ("allow", {}, None),
    "label": ("label", {"synthetic": "SYNTH-TRACE", "rumor": "RUMOR-REFUTED"}, None),
    "review": ("review", {"review": "REVIEW-NUDITY", "synthetic": "SYNTH-TRACE", "rumor": "RUMOR-SUSPECTED"}, None),
    "hold": (
        "takedown",
        {"identity": "ID-UNKNOWN", "review": "EXTRACT-BROKEN", "synthetic": "SYNTH-DECLARED"},
        {"identity": "identified", "review": "reviewed", "synthetic": "labelled"},
    ),
    "remove": ("takedown", {"review": "REVIEW-HASH", "rumor": "RUMOR-FAKE-NEWS"}, None),
}
#: What each agent can decide.
POSSIBLE = [[kind for kind, (_, codes, _) in CLASSES.items() if kind == "allow" or agent in codes] for agent in AGENTS]
COMBINATIONS = list(itertools.product(*POSSIBLE))


@pytest.fixture(scope="session")
def decided(make):
    """Decisions by agent: `decided(review="hold", rumor="allow")`."""

    def decide(**kinds):
        made = {}
        for agent, kind in kinds.items():
            action, codes, untils = CLASSES[kind]
            stop = ("hold", untils[agent]) if untils else None
            made[agent] = make.decision(agent, action, *([codes[agent]] if codes else []), stop=stop)
        return made

    return decide


@pytest.fixture(scope="session")
def answered(make):
    return lambda decisions, **options: make.wire(judge(decisions, make.policy(), make.now, **options))


def expected_of(kinds):
    """(answer, until) by the rules as the design words them: what removes, then what stops, then what asks."""
    by_agent = dict(zip(AGENTS, kinds, strict=False))
    if "remove" in kinds:
        return "block", "forever"
    for agent in sorted(by_agent):
        if by_agent[agent] == "hold":
            return "hold", CLASSES["hold"][2][agent]
    if "review" in kinds:
        return "hold", "reviewed"
    return ("publish_labelled" if "label" in kinds else "publish"), None


@pytest.mark.parametrize("kinds", COMBINATIONS, ids="-".join)
def test_every_combination_of_decisions_has_its_answer_and_names_every_ground(decided, answered, kinds):
    decisions = decided(**dict(zip(AGENTS, kinds, strict=True)))
    verdict = answered(decisions)
    assert (verdict.verdict, verdict.until) == expected_of(kinds)
    grounds = sorted(reason.code for decision in decisions.values() for reason in decision.reasons)
    assert sorted(reason.code for reason in verdict.reasons) == grounds
    assert sorted(verdict.decisions) == sorted(decision.decision_id for decision in decisions.values())


def test_the_grounds_of_the_most_severe_decision_come_first(decided, answered):
    verdict = answered(decided(identity="allow", review="review", synthetic="label", rumor="remove"))
    assert [reason.code for reason in verdict.reasons] == ["RUMOR-FAKE-NEWS", "REVIEW-NUDITY", "SYNTH-TRACE"]


@pytest.mark.parametrize(
    ("kinds", "final"),
    [
        ({"identity": "allow", "review": "allow", "synthetic": "allow", "rumor": "allow"}, True),
        ({"identity": "allow", "review": "review", "synthetic": "label", "rumor": "label"}, True),
        ({"identity": "allow", "review": "allow", "synthetic": "allow"}, False),
        ({"review": "allow", "synthetic": "allow", "rumor": "allow"}, False),
        ({"identity": "allow"}, False),
        ({"identity": "hold"}, True),
        ({"review": "remove"}, True),
        ({"identity": "allow", "rumor": "remove"}, True),
        ({"identity": "allow", "review": "hold"}, False),
        ({"identity": "allow", "synthetic": "hold"}, False),
        ({"identity": "allow", "review": "review"}, False),
    ],
)
def test_an_answer_is_final_once_nothing_could_change_it(make, decided, kinds, final):
    assert is_final(decided(**kinds), make.policy()) is final


def test_the_agents_that_are_waited_for_are_the_policys(make, decided):
    only = decided(identity="allow", review="allow")
    assert is_final(only, make.policy(verdict={"agents": ("identity", "review")}))
    assert not is_final(only, make.policy(verdict={"agents": ("identity", "review", "faces")}))


def test_a_decision_removes_when_its_stop_is_more_than_a_hold(make):
    hold = make.decision("review", "takedown", stop=("hold", "reviewed"))
    gone = make.decision("rumor", "takedown", stop=("remove", "forever"))
    cut = make.decision("synthetic", "takedown", stop=("cut_stream", "forever"))
    assert removes([]) is None
    assert removes([make.decision(), hold]) is None
    assert removes([hold, gone, cut]) is gone
    assert removes([cut]) is cut


@pytest.mark.parametrize(
    ("kinds", "until"),
    [
        ({"identity": "allow"}, "reviewed"),
        ({"identity": "allow", "review": "allow", "synthetic": "label"}, "reviewed"),
        ({"identity": "allow", "synthetic": "hold"}, "labelled"),
    ],
)
def test_what_is_not_decided_in_time_is_held_and_says_so_first(decided, answered, kinds, until):
    verdict = answered(decided(**kinds))
    assert (verdict.verdict, verdict.until, verdict.labels) == ("hold", until, ())
    assert verdict.reasons[0].code == "VERDICT-TIMEOUT"
    assert verdict.reasons[0].score == len(kinds) / len(AGENTS)


def test_what_is_decided_whatever_is_missing_names_no_timeout(decided, answered):
    for kinds in ({"identity": "hold"}, {"identity": "allow", "review": "remove"}):
        assert "VERDICT-TIMEOUT" not in [reason.code for reason in answered(decided(**kinds)).reasons]


def test_labels_are_carried_where_the_item_is_published_and_nowhere_else(make, answered):
    def labels(**changed):
        agents = {agent: make.decision(agent) for agent in AGENTS}
        return answered(agents | {agent: make.decision(agent, *how) for agent, how in changed.items()})

    both = labels(synthetic=("label", "SYNTH-TRACE"), rumor=("label", "RUMOR-REFUTED"))
    assert both.verdict == "publish_labelled"
    assert [label.text for label in both.labels] == ["label 3 of rumor", "label 3 of synthetic"]
    for stopped in (("review", "REVIEW-NUDITY"), ("takedown", "REVIEW-HASH")):
        assert labels(review=stopped, synthetic=("label", "SYNTH-TRACE")).labels == ()
    assert labels().labels == ()


def test_a_segment_after_the_cut_is_blocked_for_it(decided, answered):
    verdict = answered(decided(identity="allow"), cut=True)
    assert (verdict.verdict, verdict.until) == ("block", "forever")
    assert [reason.code for reason in verdict.reasons] == ["STREAM-CUT"]


def test_that_the_stream_was_cut_is_said_before_a_segments_own_grounds(decided, answered):
    verdict = answered(decided(identity="allow", review="review"), cut=True)
    assert [reason.code for reason in verdict.reasons] == ["STREAM-CUT", "REVIEW-NUDITY"]


def test_a_segment_after_the_cut_that_is_removed_itself_is_blocked_for_its_own_grounds(decided, answered):
    verdict = answered(decided(identity="allow", review="remove"), cut=True)
    assert verdict.verdict == "block"
    assert [reason.code for reason in verdict.reasons] == ["REVIEW-HASH"]


def test_a_verdict_is_about_its_item_and_under_the_policy_in_force(make):
    event = make.segment(7)
    decisions = {agent: make.decision(agent, event=event) for agent in AGENTS}
    verdict = judge(decisions, make.policy(version=5), make.at(2))
    for field in ("event_id", "content_id", "publisher_id", "stream_id", "seq"):
        assert getattr(verdict, field) == getattr(event, field)
    assert (verdict.policy.version, verdict.decided_at) == (5, make.at(2))


def test_latency_counts_from_the_events_creation(make, decided):
    decisions = decided(identity="allow")  # decided now, a second after the event
    assert judge(decisions, make.policy(), make.at(3)).latency_s == pytest.approx(4.0)
    assert judge(decisions, make.policy(), make.at(-60)).latency_s == 0.0


def test_the_verdict_id_depends_on_decisions_and_answer_alone(make, decided):
    kinds = dict.fromkeys(AGENTS, "allow")
    decisions = decided(**kinds)
    one = judge(decisions, make.policy(), make.now)
    again = judge(dict(reversed(decisions.items())), make.policy(), make.at(99))
    assert one.verdict_id == again.verdict_id
    assert encode(one) == encode(judge(dict(reversed(decisions.items())), make.policy(), make.now))
    others = [
        judge(decided(**kinds | {"rumor": "label"}), make.policy(), make.now),
        judge(decided(identity="allow"), make.policy(), make.now),
        judge(decisions, make.policy(), make.now, cut=True),
        judge(decisions | {"rumor": make.decision("rumor", version=2)}, make.policy(), make.now),
    ]
    assert len({one.verdict_id, *(other.verdict_id for other in others)}) == 5


def test_a_verdict_names_the_former_that_it_changes(make, decided, answered):
    former = answered(decided(identity="allow"))
    later = answered(decided(**dict.fromkeys(AGENTS, "allow")), former=former)
    assert (former.replaces, later.replaces) == (None, former.verdict_id)
