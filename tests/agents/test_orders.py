"""From a decision to the orders that carry it out."""

from __future__ import annotations

import itertools
import json

import msgspec
import pytest

from agents.orders import outgoing, takedown
from schemas.aigc import FIELDS, Outcome, check_aigc
from schemas.message import encode
from schemas.topics import TOPICS

CODE = "001191110102MACQD9K64028705"


@pytest.fixture(scope="session")
def ordered(make):
    """topic → the message on it, of a decision under a policy whose section `synthetic` is given."""

    def order(*decision, event=None, synthetic=None, **changes):
        made = make.decision(*decision, event=event, **changes)
        sent = list(outgoing(made, make.policy(synthetic=synthetic or {})))
        assert len({out.topic.name for out in sent}) == len(sent)
        assert all(isinstance(out.value, TOPICS[out.topic.name].message) for out in sent)
        assert all(out.key == getattr(out.value, out.topic.key) for out in sent)
        return {out.topic.name: out.value for out in sent}

    return order


@pytest.mark.parametrize(
    ("action", "stop", "label", "topics"),
    [
        ("allow", None, None, ["decisions"]),
        ("label", None, 3, ["decisions", "labels"]),
        ("review", None, None, ["decisions", "reviews"]),
        ("review", None, 0, ["decisions", "reviews"]),
        ("takedown", ("remove", "forever"), None, ["decisions", "takedowns"]),
        ("takedown", ("hold", "reviewed"), None, ["decisions", "takedowns", "reviews"]),
        ("takedown", ("hold", "labelled"), 2, ["decisions", "takedowns", "labels"]),
    ],
)
def test_each_action_has_its_orders_and_the_decision_goes_first(ordered, action, stop, label, topics):
    assert list(ordered("review", action, stop=stop, label=label)) == topics


@pytest.mark.parametrize(
    ("action", "stop", "label", "topics"),
    [
        ("label", None, 3, ["decisions", "labels"]),
        ("review", None, None, ["decisions", "reviews"]),
        ("takedown", ("remove", "forever"), None, ["decisions"]),
        ("takedown", ("hold", "labelled"), 2, ["decisions", "labels"]),
    ],
)
def test_a_segments_takedown_is_left_to_the_verdict_agent(make, ordered, action, stop, label, topics):
    orders = ordered("review", action, event=make.segment(3), stop=stop, label=label)
    assert list(orders) == topics
    assert all(order.stream_id == "s-1" for order in orders.values())


def test_a_takedown_names_its_item_its_end_and_its_grounds(make, ordered):
    orders = ordered("review", "takedown", "REVIEW-HASH", stop=("hold", "reviewed"))
    decision, order = orders["decisions"], orders["takedowns"]
    assert (order.content_id, order.publisher_id, order.stream_id, order.seq) == ("c-1", "p-1", None, None)
    assert (order.kind, order.until, order.reasons) == ("hold", "reviewed", decision.reasons)
    assert (order.decision_id, order.ordered_at) == (decision.decision_id, make.now)
    assert order == takedown(decision)


def test_a_review_says_who_asks_and_why(ordered):
    orders = ordered("review", "review", "REVIEW-NUDITY", "REVIEW-TERM")
    decision, request = orders["decisions"], orders["reviews"]
    assert (request.agent, request.decision_id, request.content_id) == ("review", decision.decision_id, "c-1")
    assert [reason.code for reason in request.reasons] == ["REVIEW-NUDITY", "REVIEW-TERM"]


@pytest.mark.parametrize("level", [1, 2, 3])
def test_the_implicit_label_has_exactly_the_standards_fields_in_order(ordered, level):
    label = ordered("synthetic", "label", label=level, synthetic={"propagator": CODE})["labels"]
    fields = {
        "Label": str(level),
        "ContentProducer": "",
        "ProduceID": "",
        "ReservedCode1": "",
        "ContentPropagator": CODE,
        "PropagateID": "c-1",
        "ReservedCode2": "",
    }
    written = json.dumps(json.loads(encode(label))["implicit"])  # keeps the order of what is on the wire
    assert written == json.dumps({"AIGC": fields})
    assert tuple(fields) == FIELDS


@pytest.mark.parametrize("level", [2, 3])
def test_the_implicit_label_of_what_another_made_passes_our_own_check(ordered, level):
    label = ordered("synthetic", "label", label=level, synthetic={"propagator": CODE})["labels"]
    result = check_aigc({"AIGC": json.dumps(label.implicit)})
    assert (result.outcome, result.faults, result.label) == (Outcome.COMPLIANT, (), str(level))


def test_a_notice_of_another_kind_has_no_implicit_label(ordered):
    label = ordered("rumor", "label", "RUMOR-REFUTED", label=0, synthetic={"propagator": CODE})["labels"]
    assert (label.level, label.implicit) == (0, None)


def test_the_explicit_label_has_the_decisions_words_and_the_policys_seconds(ordered):
    label = ordered("synthetic", "label", label=2, synthetic={"label_min_seconds": 3.5})["labels"]
    assert (label.explicit.text, label.explicit.min_seconds) == ("label 2 of synthetic", 3.5)


def ids(orders):
    return {
        topic: getattr(order, "review_id" if topic == "reviews" else "order_id")
        for topic, order in orders.items()
        if topic != "decisions"
    }


def test_order_ids_are_the_same_for_the_same_decision_and_differ_otherwise(make, ordered):
    def all_ids(**changes):
        held = ids(ordered("synthetic", "takedown", stop=("hold", "labelled"), label=2, **changes))
        asked = ids(ordered("synthetic", "review", **changes))
        return held | asked

    first = all_ids()
    assert list(first) == ["takedowns", "labels", "reviews"]
    assert all_ids(decided_at=make.at(100), latency_s=9.0) == first
    sets = [first, all_ids(event=make.upload(event_id="e-2")), all_ids(version=2)]
    found = [number for ids_of_one in sets for number in ids_of_one.values()]
    assert len(set(found)) == len(found) == 9


def test_orders_go_over_the_wire_and_come_back(make, ordered):
    for stop, label in itertools.product([None, ("hold", "labelled")], [None, 1]):
        action = "takedown" if stop else "review"
        for topic, order in ordered("review", action, "REVIEW-HASH", stop=stop, label=label).items():
            assert msgspec.json.decode(encode(order), type=TOPICS[topic].message) == order
