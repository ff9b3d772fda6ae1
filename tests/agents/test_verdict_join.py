"""The join: each item is answered once, in whatever order its decisions come, and each stream is stopped once."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.orders import takedown
from agents.verdict import join as join_module
from agents.verdict import stopped as stopped_module
from agents.verdict.join import KEEP_LATE_S, KEEP_S, Join
from schemas.decision import Decision
from schemas.orders import Takedown
from schemas.verdict import Verdict

AGENTS = ("identity", "review", "synthetic", "rumor")
HOLD = ("takedown", "ID-UNKNOWN")
REMOVE = ("takedown", "REVIEW-HASH")


class Driver:
    """A join under a policy, and everything that it has said."""

    def __init__(self, make, policy=None):
        self.make = make
        self.policy = policy or make.policy()
        self.join = Join()
        self.said = []

    def take(self, *decisions, at=0.0):
        said = [m for decision in decisions for m in self.join.take(decision, self.policy, self.make.at(at), 3)]
        self.said += said
        return said

    def due(self, at=0.0):
        said = list(self.join.due(self.policy, self.make.at(at)))
        self.said += said
        return said

    def restore(self, *messages, at=0.0, mine=(3,)):
        """A worker gets partition 3 anew, and reads back: decisions first."""
        self.join.keep(())
        self.join.keep(mine)
        for message in sorted(messages, key=lambda message: not isinstance(message, Decision)):
            self.join.recall(message, 3, self.make.at(at))
        self.join.recalled()

    @property
    def verdicts(self):
        return [message for message in self.said if isinstance(message, Verdict)]

    @property
    def orders(self):
        return [message for message in self.said if isinstance(message, Takedown)]


@pytest.fixture
def driver(make):
    return Driver(make)


@pytest.fixture(scope="session")
def four(make):
    """The four decisions on an item: all allow, except those that are given as (action, codes…)."""

    def decide(event=None, at=0.0, version=1, stop=None, **changed):
        return [
            make.decision(
                agent,
                *changed.get(agent, ("allow",)),
                event=event,
                stop=stop if changed.get(agent, ("allow",))[0] == "takedown" else None,
                version=version,
                decided_at=make.at(at),
            )
            for agent in AGENTS
        ]

    return decide


def answers(messages):
    return [message.verdict for message in messages if isinstance(message, Verdict)]


def codes(message):
    return [reason.code for reason in message.reasons]


def of_item(messages, event):
    return [message for message in messages if isinstance(message, Verdict) and message.event_id == event.event_id]


# One item


def test_an_item_is_answered_with_its_last_decision(driver, four):
    *first, last = four()
    assert driver.take(*first) == []
    assert answers(driver.take(last)) == ["publish"]
    assert driver.due(at=10_000) == []


def test_items_do_not_mix(make, driver, four):
    one, other = make.upload(event_id="e-1"), make.upload(event_id="e-2")
    pairs = zip(four(one), four(other, review=REMOVE), strict=True)
    driver.take(*itertools.chain.from_iterable(pairs))
    assert {verdict.event_id: verdict.verdict for verdict in driver.verdicts} == {"e-1": "publish", "e-2": "block"}
    assert len(driver.verdicts) == 2


def test_repeated_decisions_are_ignored(driver, four):
    decisions = four(review=("review", "REVIEW-NUDITY"))
    for decision in decisions:
        driver.take(decision, decision)
    assert answers(driver.said) == ["hold"]
    assert driver.take(*decisions, *reversed(decisions), at=30) == []
    assert driver.due(at=200) == []


def test_what_is_removed_is_blocked_at_once_and_the_rest_changes_nothing(driver, four):
    identity, review, *rest = four(review=REMOVE)
    driver.take(identity)
    (verdict,) = driver.take(review)
    assert (verdict.verdict, verdict.until, codes(verdict)) == ("block", "forever", ["REVIEW-HASH"])
    assert driver.take(*rest) == []


def test_what_identity_holds_is_answered_at_once(make, driver):
    (verdict,) = driver.take(make.decision("identity", *HOLD, stop=("hold", "identified")))
    assert (verdict.verdict, verdict.until, codes(verdict)) == ("hold", "identified", ["ID-UNKNOWN"])
    assert driver.due(at=10_000) == []


def test_what_another_agent_holds_waits_for_the_others(driver, four):
    identity, review, synthetic, rumor = four(review=("takedown", "EXTRACT-BROKEN"), stop=("hold", "reviewed"))
    assert driver.take(identity, review, synthetic) == []
    assert answers(driver.take(rumor)) == ["hold"]


@pytest.mark.parametrize(("kind", "deadline"), [("upload", 120.0), ("segment", 15.0)])
def test_an_item_is_held_at_its_deadline_and_not_before(make, driver, four, kind, deadline):
    event = make.segment(0) if kind == "segment" else make.upload()
    identity, review, *_ = four(event)
    driver.take(identity, at=1)
    driver.take(review, at=9)
    assert driver.due(at=deadline + 1 - 0.001) == []
    (verdict,) = driver.due(at=deadline + 1)
    assert (verdict.verdict, verdict.until, codes(verdict)) == ("hold", "reviewed", ["VERDICT-TIMEOUT"])
    assert driver.due(at=deadline + 2) == []


def test_the_deadlines_are_the_policys(make, four):
    driver = Driver(make, make.policy(verdict={"upload_deadline_s": 5.0, "segment_deadline_s": 3.0}))
    driver.take(four()[0], four(make.segment(0))[0])
    assert [verdict.stream_id for verdict in driver.due(at=4.0)] == ["s-1"]
    assert [verdict.stream_id for verdict in driver.due(at=5.0)] == [None]


def test_a_late_decision_gives_a_further_verdict_that_names_the_former(driver, four):
    *first, last = four()
    driver.take(*first)
    (former,) = driver.due(at=120)
    (later,) = driver.take(last, at=130)
    assert (former.verdict, later.verdict) == ("hold", "publish")
    assert (former.replaces, later.replaces) == (None, former.verdict_id)
    assert codes(later) == []


def test_late_decisions_change_nothing_until_the_last_has_come(driver, four):
    driver.take(four()[0])
    driver.due(at=120)
    _, review, synthetic, rumor = four(at=125)
    assert driver.take(review, synthetic, at=125) == []
    assert answers(driver.take(rumor, at=126)) == ["publish"]


def test_a_late_removal_does_not_wait_for_the_others(driver, four):
    driver.take(four()[0])
    (former,) = driver.due(at=120)
    (later,) = driver.take(four(at=125, review=REMOVE)[1], at=125)
    assert (later.verdict, later.replaces) == ("block", former.verdict_id)


def test_a_late_decision_that_does_not_change_the_answer_gives_no_verdict(driver, four):
    *first, last = four(rumor=("review", "RUMOR-SUSPECTED"))
    driver.take(*first)
    driver.due(at=120)
    assert driver.take(last, at=130) == []


@pytest.mark.parametrize(
    ("before", "after", "changes"),
    [
        ({}, {"review": REMOVE}, True),
        ({}, {"rumor": ("label", "RUMOR-REFUTED")}, True),
        ({"rumor": ("label", "RUMOR-REFUTED")}, {"rumor": ("label", "RUMOR-SUSPECTED")}, False),
        ({"rumor": ("label", "RUMOR-REFUTED")}, {}, True),
        ({"review": ("review", "REVIEW-NUDITY")}, {"review": ("review", "REVIEW-TERM")}, False),
        ({}, {}, False),
    ],
)
def test_a_decision_under_a_new_policy_changes_the_answer_only_where_it_is_another(
    driver, four, before, after, changes
):
    driver.take(*four(**before))
    (former,) = driver.verdicts
    said = driver.take(*four(at=10, version=2, **after), at=10)
    # Each of the four takes the place of one of the former; together they give one other answer at most.
    assert len(said) == (1 if changes else 0)
    assert all(verdict.replaces == former.verdict_id for verdict in said)


def test_a_repeat_of_a_decision_that_was_replaced_is_ignored(driver, four):
    old, new = four(), four(at=10, version=2, review=REMOVE)
    driver.take(*old, *new)
    assert answers(driver.said) == ["publish", "block"]
    assert driver.take(*old, *new, at=20) == []


KINDS = {
    "identity": [("allow",), HOLD],
    "review": [("allow",), ("review", "REVIEW-NUDITY"), REMOVE],
    "synthetic": [("allow",), ("label", "SYNTH-TRACE")],
    "rumor": [("allow",), ("label", "RUMOR-REFUTED"), ("review", "RUMOR-SUSPECTED")],
}


@given(
    st.fixed_dictionaries({agent: st.sampled_from(kinds) for agent, kinds in KINDS.items()}),
    st.permutations(AGENTS * 2),
    st.sampled_from([{}, {"stream": "s-1"}]),
)
def test_in_any_order_with_repeats_there_is_one_verdict_and_always_the_same_answer(make, four, kinds, order, stream):
    event = make.segment(0) if stream else make.upload()
    # Identity lets through what the others decide on: where it holds, only its decision comes.
    agents = [agent for agent in order if kinds["identity"] != HOLD or agent == "identity"]
    decisions = {decision.agent: decision for decision in four(event, **kinds)}
    straight, shuffled = Driver(make), Driver(make)
    straight.take(*(decisions[agent] for agent in AGENTS if agent in agents))
    shuffled.take(*(decisions[agent] for agent in agents))
    (one,), (other,) = straight.verdicts, shuffled.verdicts
    assert (one.verdict, one.until, one.labels) == (other.verdict, other.until, other.labels)
    assert [order.kind for order in straight.orders] == [order.kind for order in shuffled.orders]
    assert shuffled.due(at=1000) == []


@given(st.lists(st.sampled_from([*AGENTS, "due"]), max_size=12), st.sampled_from(KINDS["review"]))
def test_whatever_the_clock_does_between_the_last_verdict_is_the_right_one_and_each_names_the_one_before(
    make, four, steps, review
):
    driver = Driver(make)
    decisions = {decision.agent: decision for decision in four(review=review)}
    for second, step in enumerate([*steps, *AGENTS]):
        if step == "due":
            driver.due(at=120 + second)
        else:
            driver.take(decisions[step], at=second)
    expected = {"allow": "publish", "review": "hold", "takedown": "block"}[review[0]]
    assert driver.verdicts[-1].verdict == expected
    assert [v.replaces for v in driver.verdicts] == [None, *(v.verdict_id for v in driver.verdicts)][:-1]
    assert len({verdict.verdict_id for verdict in driver.verdicts}) == len(driver.verdicts)
    assert len(driver.verdicts) <= 2


# Streams


def test_a_removed_segment_cuts_its_stream_once_from_there_on(make, driver, four):
    segments = [make.segment(seq) for seq in range(5)]
    for segment in segments[:2]:
        driver.take(*four(segment))
    said = driver.take(*four(segments[2], review=REMOVE))
    (order,) = driver.orders
    assert (order.kind, order.until, order.stream_id, order.seq) == ("cut_stream", "forever", "s-1", 2)
    assert (order.content_id, codes(order)) == (segments[2].content_id, ["REVIEW-HASH"])
    assert said[0] is order
    driver.take(*four(segments[3], review=REMOVE), *four(segments[4], rumor=("takedown", "RUMOR-FAKE-NEWS")))
    assert driver.orders == [order]
    assert answers(driver.said) == ["publish", "publish", "block", "block", "block"]


def test_of_the_segments_after_the_cut_each_is_blocked_at_its_first_decision(make, driver, four):
    driver.take(*four(make.segment(2), review=REMOVE))
    identity, *rest = four(make.segment(3))
    (verdict,) = driver.take(identity)
    assert (verdict.verdict, verdict.until, codes(verdict)) == ("block", "forever", ["STREAM-CUT"])
    assert driver.take(*rest) == []


def test_segments_before_the_cut_are_answered_on_their_own(make, driver, four):
    early = four(make.segment(1))
    driver.take(*early[:2])
    driver.take(*four(make.segment(2), review=REMOVE))
    assert answers(driver.take(*early[2:])) == ["publish"]
    assert answers(driver.take(*four(make.segment(0)))) == ["publish"]


def test_segments_that_were_open_when_the_stream_was_cut_are_blocked_with_it(make, driver, four):
    before, after, far = make.segment(1), make.segment(3), make.segment(9)
    driver.take(four(before)[0], four(after)[0], *four(far)[:3])
    said = driver.take(four(make.segment(2), review=REMOVE)[1])
    assert [type(message) for message in said] == [Takedown, Verdict, Verdict, Verdict]
    assert [codes(verdict) for verdict in of_item(said, after) + of_item(said, far)] == [["STREAM-CUT"]] * 2
    assert of_item(said, before) == []


def test_another_stream_goes_on(make, driver, four):
    driver.take(*four(make.segment(2), review=REMOVE))
    assert answers(driver.take(*four(make.segment(3, stream="s-2")), *four())) == ["publish", "publish"]


def test_an_upload_that_is_removed_orders_nothing_here(driver, four):
    driver.take(*four(review=REMOVE))
    driver.take(*four(review=HOLD, stop=("hold", "reviewed")))
    assert driver.orders == []


def test_a_held_stream_is_ordered_to_hold_once_for_each_thing_it_waits_for(make, driver):
    def hold(seq, agent, until):
        return make.decision(agent, *HOLD, stop=("hold", until), event=make.segment(seq))

    driver.take(hold(0, "identity", "identified"), hold(1, "identity", "identified"), hold(2, "review", "reviewed"))
    driver.take(hold(3, "review", "reviewed"), hold(4, "identity", "licensed"))
    assert [(order.kind, order.until, order.seq) for order in driver.orders] == [
        ("hold", "identified", 0),
        ("hold", "reviewed", 2),
        ("hold", "licensed", 4),
    ]
    assert len({order.order_id for order in driver.orders}) == 3


def test_a_cut_stream_is_not_held_any_more_and_a_held_one_can_be_cut(make, driver):
    def decision(seq, *stop):
        return make.decision("review", "takedown", "REVIEW-HASH", stop=stop, event=make.segment(seq))

    driver.take(decision(0, "hold", "reviewed"), decision(1, "remove", "forever"), decision(2, "hold", "labelled"))
    assert [order.kind for order in driver.orders] == ["hold", "cut_stream"]


def test_an_order_of_a_stream_has_the_same_id_whichever_segment_gives_it(make, four):
    ids = set()
    for seq in (2, 5):
        driver = Driver(make)
        driver.take(*four(make.segment(seq), review=REMOVE))
        ids.add(driver.orders[0].order_id)
    other = Driver(make)
    other.take(*four(make.segment(2, stream="s-2"), review=REMOVE))
    assert len(ids) == 1
    assert other.orders[0].order_id not in ids


def test_a_segment_is_judged_though_only_its_removal_has_come(make, driver, four):
    said = driver.take(four(make.segment(0), review=REMOVE)[1])
    assert [type(message) for message in said] == [Takedown, Verdict]


# After a restart


def history(make, four):
    """What the topics hold of three items: one answered, one complete but unanswered, one begun."""
    driver = Driver(make)
    answered, complete, begun = (make.upload(event_id=name) for name in ("answered", "complete", "begun"))
    driver.take(*four(answered))
    return [*four(answered), *driver.said, *four(complete, at=1), *four(begun, at=2)[:2]]


@pytest.mark.parametrize("seed", range(8))
def test_after_a_restart_what_is_complete_is_answered_and_what_was_answered_is_not(make, four, seed):
    messages = history(make, four)
    random.Random(seed).shuffle(messages)
    driver = Driver(make)
    driver.restore(*messages)
    assert [(verdict.event_id, verdict.verdict) for verdict in driver.due(at=10)] == [("complete", "publish")]
    assert driver.due(at=20) == []
    (timeout,) = driver.due(at=122)
    assert (timeout.event_id, codes(timeout)) == ("begun", ["VERDICT-TIMEOUT"])


# When partitions move


def moved(driver, *messages, to, partition=3, at=0.0):
    """What is read back when this worker has these partitions from now on."""
    driver.join.keep(to)
    for message in messages:
        driver.join.recall(message, partition, driver.make.at(at))
    driver.join.recalled()


def test_items_of_a_partition_that_goes_are_forgotten_and_a_cut_stream_stays_cut(make, driver, four):
    driver.take(*four(make.segment(0), review=REMOVE), four()[0])
    moved(driver, to=())
    assert driver.due(at=1000) == []
    assert answers(driver.take(*four(make.segment(1)))) == ["block"]


def test_items_of_a_partition_that_stays_go_on_as_if_nothing_had_been(make, driver, four):
    *first, last = four()
    driver.take(*first)
    (former,) = driver.due(at=120)
    other = four(make.upload(event_id="e-2"))
    driver.take(*other[:3], at=130)
    moved(driver, to=(3, 4), at=140)
    (later,) = driver.take(last, at=150)
    assert (later.verdict, later.replaces) == ("publish", former.verdict_id)
    assert answers(driver.take(other[3], at=151)) == ["publish"]
    assert driver.take(*first, last, *other, at=152) == []


def test_what_another_worker_decided_while_this_one_was_cut_off_is_not_decided_otherwise(make, driver, four):
    """It was put out of its group and did not know: both begin with three decisions, the other sees the fourth."""
    *first, last = four()
    other = Driver(make)
    for worker in (driver, other):
        worker.take(*first)
    (answer,) = other.take(last, at=100)
    moved(driver, last, answer, to=(3,), at=130)
    assert driver.due(at=131) == []
    assert driver.due(at=1000) == []


def test_a_deadline_that_another_worker_saw_pass_does_not_pass_again(make, driver, four):
    *first, last = four()
    other = Driver(make)
    for worker in (driver, other):
        worker.take(*first)
    (held,) = other.due(at=121)
    moved(driver, held, to=(3,), at=130)
    assert driver.due(at=131) == []
    (later,) = driver.take(last, at=140)
    assert (later.verdict, later.replaces) == ("publish", held.verdict_id)


def test_verdicts_that_are_read_again_do_not_bring_an_older_answer_back(make, driver, four):
    *first, last = four()
    driver.take(*first)
    driver.due(at=120)
    driver.take(last, at=130)
    moved(driver, *driver.verdicts, to=(3,), at=140)
    removal = make.decision("review", *REMOVE, version=2)
    (later,) = driver.take(removal, at=150)
    assert later.replaces == driver.verdicts[1].verdict_id


def test_verdicts_on_items_of_others_are_not_kept(make, driver, four):
    others = Driver(make)
    for number in range(50):
        others.take(*four(make.upload(event_id=f"e-{number}")))
    moved(driver, *others.verdicts, to=(3,))
    assert not driver.join._items
    assert driver.due(at=1000) == []


def test_of_more_than_fits_the_newest_of_each_partition_are_read_back(make, driver, four, monkeypatch):
    monkeypatch.setattr(join_module, "MOST_ITEMS", 6)
    driver.join.keep((3, 4))
    for partition in (3, 4):
        for number in range(10):
            for decision in four(make.upload(event_id=f"e-{partition}-{number}")):
                driver.join.recall(decision, partition, make.at(0))
                assert len(driver.join._items) <= 6
    driver.join.recalled()
    known = {verdict.event_id for verdict in driver.due(at=1)}
    assert known == {f"e-{partition}-{number}" for partition in (3, 4) for number in (7, 8, 9)}


# Clocks that are wrong

HOUR = 3600.0


@pytest.mark.parametrize("skew", [-2 * HOUR, -HOUR, HOUR, 2 * HOUR])
@pytest.mark.parametrize("wrong", AGENTS)
def test_a_worker_with_a_wrong_clock_changes_no_answer_and_no_deadline(make, driver, four, skew, wrong):
    decisions = [
        make.decision(decision.agent, "allow", decided_at=make.at(skew if decision.agent == wrong else 0))
        for decision in four()
    ]
    driver.take(*decisions[:3], at=1)
    assert driver.due(at=120) == []
    (held,) = driver.due(at=121)
    driver.due(at=1000)
    (verdict,) = driver.take(decisions[3], at=1001)
    assert (verdict.verdict, verdict.replaces) == ("publish", held.verdict_id)
    assert driver.take(*decisions, at=1002) == []


@pytest.mark.parametrize("skew", [-2 * HOUR, -HOUR, HOUR, 2 * HOUR])
@pytest.mark.parametrize("wrong", AGENTS)
def test_after_a_restart_too(make, driver, four, skew, wrong):
    decisions = [
        make.decision(decision.agent, "allow", decided_at=make.at(skew if decision.agent == wrong else 0))
        for decision in four()
    ]
    driver.restore(*decisions[:3], at=10)
    said = driver.due(at=11)
    # An early deadline may pass at once, which holds and never publishes; the item is not forgotten.
    assert set(answers(said)) <= {"hold"}
    assert answers(driver.take(decisions[3], at=12)) == ["publish"]
    assert driver.take(*decisions, at=13) == []


@pytest.mark.parametrize("skew", [-HOUR, 0.0, HOUR])
def test_the_decision_that_came_last_stands_whatever_its_worker_takes_for_the_time(make, driver, four, skew):
    driver.take(*four())
    removal = make.decision("review", *REMOVE, version=2, decided_at=make.at(skew))
    assert answers(driver.take(removal, at=10)) == ["block"]
    assert driver.take(*four(), removal, at=11) == []


def test_of_several_verdicts_the_one_that_replaces_the_other_stands_whatever_its_workers_clock(make, driver, four):
    *first, last = four()
    slow = Driver(make)
    slow.take(*first)
    (hold,) = slow.due(at=HOUR)
    (publish,) = slow.take(last, at=10)  # by a worker whose clock is an hour behind
    assert publish.decided_at < hold.decided_at
    driver.restore(*first, last, hold, publish)
    (later,) = driver.take(make.decision("review", *REMOVE, version=2), at=20)
    assert later.replaces == publish.verdict_id


# After a restart: decisions again


def test_decisions_that_are_delivered_again_after_a_restart_give_no_second_verdict(make, driver, four):
    messages = history(make, four)
    driver.restore(*messages)
    first = driver.due(at=10)
    again = [message for message in messages if not isinstance(message, Verdict)]
    assert len(first) == 1
    assert driver.take(*again, at=11) == []


def test_after_a_restart_a_late_decision_still_changes_the_answer(make, driver, four):
    before = Driver(make)
    *first, last = four()
    before.take(*first)
    (former,) = before.due(at=120)
    driver.restore(*first, former)
    (later,) = driver.take(last, at=130)
    assert (later.verdict, later.replaces) == ("publish", former.verdict_id)


def test_a_late_decision_that_was_on_the_topic_but_not_yet_taken_still_changes_the_answer(make, driver, four):
    before = Driver(make)
    *first, last = four()
    before.take(*first)
    (former,) = before.due(at=120)
    driver.restore(*first, last, former)
    (later,) = driver.due(at=130)
    assert (later.verdict, later.replaces) == ("publish", former.verdict_id)
    assert driver.take(last, at=131) == []
    assert driver.due(at=132) == []


def test_of_several_verdicts_the_latest_is_the_former_one(make, driver, four):
    before = Driver(make)
    *first, last = four()
    before.take(*first)
    before.due(at=120)
    before.take(last, at=130)
    hold, publish = before.verdicts
    driver.restore(publish, hold, *first, last)
    assert driver.due(at=140) == []
    removal = make.decision("review", *REMOVE, version=2, decided_at=make.at(150))
    (later,) = driver.take(removal, at=150)
    assert (later.verdict, later.replaces) == ("block", publish.verdict_id)


def test_after_a_restart_a_cut_stream_stays_cut_and_is_not_cut_again(make, driver, four):
    before = Driver(make)
    decisions = four(make.segment(2), review=REMOVE)
    before.take(*decisions)
    driver.restore(*reversed([*decisions, *before.said]))
    assert driver.due(at=5) == []
    said = driver.take(*four(make.segment(3), review=REMOVE))
    assert (answers(said), driver.orders) == (["block"], [])
    assert answers(driver.take(*four(make.segment(1)))) == ["publish"]


def test_after_a_restart_a_held_stream_is_not_held_again(make, driver):
    before = Driver(make)
    hold = make.decision("identity", *HOLD, stop=("hold", "identified"), event=make.segment(0))
    before.take(hold)
    driver.restore(*before.said, hold)
    again = make.decision("identity", *HOLD, stop=("hold", "identified"), event=make.segment(1))
    said = driver.due(at=5) + driver.take(again)
    assert [type(message) for message in said] == [Verdict]


def test_after_a_restart_a_held_stream_is_not_a_cut_one(make, driver, four):
    before = Driver(make)
    before.take(make.decision("review", "takedown", "EXTRACT-BROKEN", stop=("hold", "reviewed"), event=make.segment(0)))
    driver.restore(*before.said)
    assert answers(driver.take(*four(make.segment(1)))) == ["publish"]


def test_after_a_restart_a_stream_that_was_cut_at_its_first_segment_stays_cut(make, driver, four):
    before = Driver(make)
    before.take(*four(make.segment(0), review=REMOVE))
    driver.restore(*before.said)
    assert answers(driver.take(*four(make.segment(1)))) == ["block"]


def test_after_a_restart_under_a_policy_that_waits_for_more_agents_answers_stand(make, four):
    before = Driver(make)
    before.take(*four())
    after = Driver(make, make.policy(version=2, verdict={"agents": (*AGENTS, "faces")}))
    after.restore(*four(), *before.said)
    assert after.due(at=1000) == []


@pytest.mark.parametrize("complete", [True, False])
def test_a_removal_that_was_on_the_topic_but_not_yet_taken_still_cuts_the_stream(make, driver, four, complete):
    removed, after = four(make.segment(2), review=REMOVE), four(make.segment(3), at=1)
    driver.restore(*(removed if complete else removed[:2]), *after)
    said = driver.due(at=5)
    (order,) = driver.orders
    assert (said[0], order.kind, order.seq) == (order, "cut_stream", 2)
    assert answers(of_item(said, make.segment(2))) == ["block"]
    assert [codes(verdict) for verdict in of_item(said, make.segment(3))] == [["STREAM-CUT"]]
    assert driver.take(*removed[:2], *after, at=6) == []
    assert driver.due(at=7) == []


def test_the_takedown_of_an_upload_stops_no_stream(make, driver, four):
    driver.restore(takedown(make.decision("review", *REMOVE)))
    assert answers(driver.take(*four(make.segment(1)))) == ["publish"]


@given(st.data())
def test_a_restart_between_any_two_messages_in_any_order_changes_no_answer(make, four, data):
    decisions = [
        *four(make.segment(0)),
        *four(make.segment(1), at=1, review=REMOVE),
        *four(make.segment(2), at=2),
        *four(make.upload(), at=3, rumor=("label", "RUMOR-REFUTED")),
    ]
    cut = data.draw(st.integers(0, len(decisions)), label="taken before the restart")
    ahead = data.draw(st.integers(cut, len(decisions)), label="on the topic at the restart")
    before, after = Driver(make), Driver(make)
    before.take(*decisions[:cut])
    after.restore(*data.draw(st.permutations([*decisions[:ahead], *before.said])))
    if data.draw(st.booleans(), label="a tick first"):
        after.due(at=4)
    after.take(*decisions[data.draw(st.integers(0, cut), label="delivered again from") :], at=5)
    after.due(at=6)
    said = [*before.said, *after.said]
    last = {message.event_id: message.verdict for message in said if isinstance(message, Verdict)}
    assert sorted(last.values()) == ["block", "block", "publish", "publish_labelled"]
    assert {order.kind for order in said if isinstance(order, Takedown)} == {"cut_stream"}
    assert len([order for order in said if isinstance(order, Takedown)]) == 1


def test_a_verdict_on_an_item_that_is_not_known_any_more_is_passed_over(make, driver, four):
    before = Driver(make)
    before.take(*four())
    driver.restore(*before.said)
    assert driver.due(at=1000) == []


# Agents that items do not wait for (complaints): they come after the answer


def complaint(make, *stop, event=None):
    return make.decision("complaints", "takedown", "COMPLAINT-WEIGHT", stop=stop, event=event, decided_at=make.at(30))


def test_a_complaint_about_an_item_that_is_not_known_any_more_gives_no_verdict(make, driver):
    assert driver.take(complaint(make, "hold", "reviewed"), at=30) == []
    driver.restore(complaint(make, "hold", "reviewed"))
    assert driver.due(at=1000) == []


def test_a_complaint_that_holds_an_item_changes_its_answer(make, driver, four):
    driver.take(*four())
    (verdict,) = driver.take(complaint(make, "hold", "reviewed"), at=30)
    assert (verdict.verdict, verdict.until, verdict.replaces) == ("hold", "reviewed", driver.verdicts[0].verdict_id)


@pytest.mark.parametrize("stop", [("hold", "reviewed"), ("remove", "forever")])
@pytest.mark.parametrize("restarted", [False, True])
def test_a_complaint_about_a_segment_stops_that_segment_and_not_its_stream(make, driver, four, stop, restarted):
    event = make.segment(0)
    driver.take(*four(event))
    if restarted:
        driver.restore(*four(event), *driver.said, complaint(make, *stop, event=event))
        assert [verdict.verdict for verdict in driver.due(at=31)] == ["hold" if stop[0] == "hold" else "block"]
    else:
        driver.take(complaint(make, *stop, event=event), at=30)
    assert answers(driver.take(*four(make.segment(1)), at=32)) == ["publish"]
    assert driver.orders == []


# Forgetting


def test_an_item_is_remembered_for_a_while_and_then_forgotten(driver, four):
    decisions = four()
    driver.take(*decisions)
    driver.due(at=KEEP_S - 1)
    assert driver.take(*decisions, at=KEEP_S - 1) == []
    driver.due(at=KEEP_S)
    assert answers(driver.take(*decisions, at=KEEP_S)) == ["publish"]  # nobody knows it any more


def test_of_too_many_items_the_oldest_are_forgotten(make, driver, four, monkeypatch):
    monkeypatch.setattr(join_module, "MOST_ITEMS", 2)
    items = [four(make.upload(event_id=f"e-{number}")) for number in range(3)]
    driver.take(*itertools.chain.from_iterable(items))
    driver.due(at=1)
    assert driver.take(*items[1], *items[2], at=2) == []
    assert answers(driver.take(*items[0], at=2)) == ["publish"]


def test_an_open_item_for_which_there_is_no_room_is_held_before_it_is_forgotten(make, driver, four, monkeypatch):
    monkeypatch.setattr(join_module, "MOST_ITEMS", 1)
    driver.take(four(make.upload(event_id="e-1"))[0], four(make.upload(event_id="e-2"))[0])
    (held,) = driver.due(at=1)
    assert (held.event_id, held.verdict, codes(held)) == ("e-1", "hold", ["VERDICT-TIMEOUT"])
    assert [verdict.event_id for verdict in driver.due(at=120)] == ["e-2"]


def test_complete_items_make_room_for_those_that_still_lack_a_decision(make, driver, four, monkeypatch):
    monkeypatch.setattr(join_module, "MOST_ITEMS", 3)
    *first, last = four(make.upload(event_id="late"))
    driver.take(*first)
    (held,) = driver.due(at=120)
    for number in range(10):
        driver.take(*four(make.upload(event_id=f"e-{number}")), at=130 + number)
        driver.due(at=130 + number)
    (verdict,) = driver.take(last, at=200)
    assert (verdict.verdict, verdict.replaces) == ("publish", held.verdict_id)


@pytest.mark.parametrize("hours", [2, 12, 23])
def test_what_an_agent_that_was_away_for_hours_still_owes_is_finished(make, driver, four, hours):
    event = [make.upload(event_id=f"e-{number}") for number in range(5)]
    for number, one in enumerate(event):
        driver.take(*four(one)[:3], at=number)
    held = {verdict.event_id: verdict.verdict_id for verdict in driver.due(at=200)}
    for hour in range(1, hours):
        driver.due(at=hour * HOUR)
    later = [driver.take(four(one)[3], at=hours * HOUR) for one in event]
    assert [(v.verdict, v.replaces) for (v,) in later] == [("publish", held[one.event_id]) for one in event]
    # … and is remembered as long as any other from then on, so that a repeat is one.
    driver.due(at=hours * HOUR + KEEP_S - 1)
    assert driver.take(*(four(one)[3] for one in event), at=hours * HOUR + KEEP_S - 1) == []


def test_what_lacks_a_decision_for_longer_than_a_day_is_forgotten(driver, four):
    driver.take(*four()[:3])
    driver.due(at=120)
    driver.due(at=KEEP_LATE_S)
    assert not driver.join._items
    assert not driver.join._late


def test_of_too_many_cut_streams_the_oldest_are_forgotten(make, driver, four, monkeypatch):
    monkeypatch.setattr(stopped_module, "MOST_STREAMS", 2)
    for stream in ("s-1", "s-2", "s-3"):
        driver.take(*four(make.segment(0, stream=stream), review=REMOVE))
    later = {stream: answers(driver.take(*four(make.segment(1, stream=stream)))) for stream in ("s-1", "s-2", "s-3")}
    assert later == {"s-1": ["publish"], "s-2": ["block"], "s-3": ["block"]}


@pytest.fixture
def failing(monkeypatch):
    """The ids of events whose answer fails."""
    events: set[str] = set()

    def judge(decisions, *args, **named):
        if next(iter(decisions.values())).event_id in events:
            raise ZeroDivisionError("a defect")
        return judged(decisions, *args, **named)

    judged = join_module.judge
    monkeypatch.setattr(join_module, "judge", judge)
    return events


def test_a_decision_whose_answer_fails_counts_as_not_taken_and_may_be_sent_again(make, driver, four, failing):
    *first, last = four(make.upload())
    driver.take(*first)
    failing.add("e-1")
    with pytest.raises(ZeroDivisionError):
        driver.take(last)
    failing.clear()
    assert answers(driver.take(last)) == ["publish"]


def test_no_order_to_a_stream_is_forgotten_with_a_decision_whose_answer_failed(make, driver, failing):
    event = make.segment(3)
    remove = make.decision("review", "takedown", "REVIEW-HASH", event=event)
    failing.add(event.event_id)
    with pytest.raises(ZeroDivisionError):
        driver.take(remove)
    failing.clear()
    order, verdict = driver.take(remove)
    assert (order.kind, verdict.verdict) == ("cut_stream", "block")


def test_an_item_whose_answer_fails_at_its_deadline_stops_no_other_and_is_not_tried_again(make, driver, four, failing):
    for number in range(3):
        driver.take(four(make.upload(event_id=f"e-{number}"))[0])
    failing.add("e-1")
    assert [verdict.event_id for verdict in driver.due(at=120)] == ["e-0", "e-2"]
    assert [event_id for event_id, _ in driver.join.failed] == ["e-1"]
    assert driver.due(at=121) == []
    assert len(driver.join.failed) == 1
    failing.clear()
    assert answers(driver.take(*four(make.upload(event_id="e-1")), at=122)) == ["publish"]


def test_an_item_whose_answer_failed_before_a_restart_stops_no_other_after_it(make, driver, four, failing):
    failing.add("e-1")
    driver.restore(*four(make.upload(event_id="e-1")), *four(make.upload(event_id="e-2")))
    assert [verdict.event_id for verdict in driver.due(at=1)] == ["e-2"]
    assert driver.due(at=2) == []


def test_a_decision_that_was_read_back_before_it_was_delivered_fails_when_it_is(make, driver, four, failing):
    # As when partitions move: the new owner finds on the topic what the former one had not taken yet.
    failing.add("e-1")
    decisions = four(make.upload(event_id="e-1"))
    driver.restore(*decisions)
    assert driver.due(at=1) == []
    driver.take(*decisions[:-1])
    with pytest.raises(ZeroDivisionError):
        driver.take(decisions[-1])
    failing.clear()
    assert answers(driver.take(decisions[-1])) == ["publish"]


def test_a_cut_blocks_the_segments_after_it_though_the_answer_to_one_of_them_fails(make, driver, four, failing):
    for seq in (1, 2):
        driver.take(four(make.segment(seq))[0])
    failing.add("e-s-1-1")
    driver.take(make.decision("review", "takedown", "REVIEW-HASH", event=make.segment(0)))
    assert {verdict.event_id for verdict in driver.verdicts} == {"e-s-1-0", "e-s-1-2"}
