"""A label that was taken off: the same publisher's same pictures, without one."""

from __future__ import annotations

from datetime import timedelta

import pytest

from agents.synthetic.judge import judge
from agents.synthetic.marks import DAYS, MOST, MOST_OF_ONE, MOST_PICTURES, SAME, Marks, mark_of
from schemas.signals import Evidence, FrameHash

#: Far from one another by any measure.
HASHES = [
    f"{number * 0x9E3779B97F4A7C15F39CC0605CEDC8341082276BF3A27251F86C6A11D0C18E95 % 2**256:064x}"
    for number in range(1, 9)
]


def frames(*hashes: str, quality: int = 100) -> tuple[FrameHash, ...]:
    return tuple(FrameHash(at_s=float(at), pdq=pdq, quality=quality) for at, pdq in enumerate(hashes))


def changed(pdq: str, bits: int) -> str:
    return f"{int(pdq, 16) ^ ((1 << bits) - 1):064x}"


@pytest.fixture
def item(make):
    """Signals of an item with these pictures, which states this label or none; the rest is of its event."""

    def signals(name, *hashes, label=None, quality=100, outcome="compliant", **event):
        found = [make.signal(f"aigc.{outcome}", 1.0, Evidence(entry=label, text=f"Label {label}"))] if label else []
        upload = make.upload(event_id=name, content_id=f"c-{name}", **event)
        return make.signals(*found, event=upload, frames=frames(*hashes, quality=quality))

    return signals


@pytest.fixture
def marks(item):
    kept = Marks()
    kept.add(mark_of(item("first", *HASHES[:4], label="1")))
    return kept


def test_the_same_pictures_without_a_label_are_known_and_held(make, item, marks):
    again = item("again", *HASHES[:4])
    earlier = marks.stripped(again, make.now)
    assert earlier.mark.content_id == "c-first"
    decision = make.wire(judge(again, make.policy(), make.now, earlier))
    assert (decision.action, decision.stop.kind, decision.stop.until) == ("takedown", "hold", "labelled")
    (reason,) = decision.reasons
    assert (reason.code, reason.article, len(reason.evidence)) == ("LABEL-REMOVED", "DSP-18", 4)
    assert reason.evidence[0].entry == "first"
    assert decision.label.level == 1


@pytest.mark.parametrize(
    ("policy", "action", "codes"),
    [
        ("allow", "allow", []),
        ("label", "label", ["LABEL-REMOVED"]),
        ("review", "review", ["LABEL-REMOVED"]),
        ("takedown", "takedown", ["LABEL-REMOVED"]),
    ],
)
def test_it_does_what_the_policy_says(make, item, marks, policy, action, codes):
    again = item("again", *HASHES[:4])
    rules = make.policy(synthetic={"removed": policy})
    decision = judge(again, rules, make.now, marks.stripped(again, make.now))
    assert (decision.action, [reason.code for reason in decision.reasons]) == (action, codes)


def test_it_comes_before_what_the_publisher_declares(make, item, marks):
    again = item("again", *HASHES[:4], declared_synthetic=True)
    decision = judge(again, make.policy(), make.now, marks.stripped(again, make.now))
    assert [reason.code for reason in decision.reasons] == ["LABEL-REMOVED"]


def test_coding_anew_and_a_new_opening_hide_nothing(make, item, marks):
    assert marks.stripped(item("again", *(changed(pdq, SAME) for pdq in HASHES[:4])), make.now)
    assert marks.stripped(item("again", HASHES[6], HASHES[7], *HASHES[:2]), make.now)


def test_other_pictures_a_scene_in_common_and_blank_ones_are_no_repeat(make, item, marks):
    assert marks.stripped(item("again", *(changed(pdq, SAME + 1) for pdq in HASHES[:4])), make.now) is None
    assert marks.stripped(item("again", HASHES[0], *HASHES[4:7]), make.now) is None
    assert marks.stripped(item("again", *HASHES[:4], quality=49), make.now) is None
    assert marks.stripped(item("again"), make.now) is None


def test_with_a_label_right_or_wrong_nothing_was_removed(make, item, marks):
    for outcome in ("compliant", "non_compliant", "inconclusive"):
        assert marks.stripped(item("again", *HASHES[:4], label="2", outcome=outcome), make.now) is None


def test_the_item_itself_sent_again_is_no_repeat_and_counts_once(make, item, marks):
    assert marks.stripped(item("first", *HASHES[:4]), make.now) is None
    marks.add(mark_of(item("first", *HASHES[:4], label="1")))
    assert len(marks) == 1


def test_another_publishers_label_says_nothing_of_this_one(make, item, marks):
    assert marks.stripped(item("again", *HASHES[:4], publisher_id="p-2"), make.now) is None


def test_a_mark_counts_for_as_long_as_its_topic_is_kept(make, item, marks):
    again, made = item("again", *HASHES[:4]), mark_of(item("first", *HASHES[:4], label="1")).created_at
    assert marks.stripped(again, made + timedelta(days=DAYS))
    assert marks.stripped(again, made + timedelta(days=DAYS, seconds=1)) is None


def test_what_states_no_level_or_shows_nothing_leaves_no_mark(item):
    assert mark_of(item("one", *HASHES)) is None
    assert mark_of(item("one", label="1")) is None
    assert mark_of(item("one", *HASHES, label="3", outcome="non_compliant")).level == 3


def test_a_long_item_is_kept_by_a_few_pictures_from_all_of_it(make, item):
    many = [f"{pow(3, 7 + n, 2**256):064x}" for n in range(200)]
    mark = mark_of(item("long", *many, label="1"))
    assert len(mark.frames) <= MOST_PICTURES
    kept = Marks()
    kept.add(mark)
    assert kept.stripped(item("again", *many), make.now).mark == mark


def test_what_is_kept_is_bounded_and_those_met_longest_ago_go_first(make, item):
    kept = Marks()
    first = mark_of(item("first", HASHES[0], label="1"))
    for number in range(MOST_OF_ONE + 5):
        kept.add(mark_of(item(f"e-{number}", HASHES[0], label="1")))
    assert len(kept) == MOST_OF_ONE
    for number in range(MOST):
        kept.add(
            type(first)(
                **{name: getattr(first, name) for name in first.__struct_fields__} | {"publisher_id": f"p{number}"}
            )
        )
    assert len(kept) == MOST
    assert kept.stripped(item("again", HASHES[0]), make.now) is None
    assert kept.stripped(item("again", HASHES[0], publisher_id=f"p{MOST - 1}"), make.now)
