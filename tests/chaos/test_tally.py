"""The count must be able to fail: a loss, a contradiction, a swap and a copy are each counted, and as nothing else."""

from __future__ import annotations

import base64
import json

import pytest

from tests.chaos.tally import Count, Tally

DUE = {"decisions": "allow", "verdicts": "publish"}


class Played:
    """A tally with four events of one publisher, and messages as they lie on the topics."""

    def __init__(self, due: dict[str, str | None] | None = None) -> None:
        self.tally = Tally()
        for number in range(4):
            self.tally.sent(f"e{number}", f"c{number}", "alice", dict(due or DUE), float(number))

    def decision(self, number: int, **fields: object) -> None:
        message = {
            "decision_id": f"d{number}", "event_id": f"e{number}", "content_id": f"c{number}", "agent": "identity",
            "action": "allow", "reasons": [], "decided_at": "2026-01-01T00:00:00Z", "latency_s": 0.1,
        }  # fmt: skip
        self.take("decisions", {**message, **fields}, at=number + 0.1)

    def verdict(self, number: int, **fields: object) -> None:
        message = {"verdict_id": f"v{number}", "event_id": f"e{number}", "verdict": "publish", "replaces": None}
        self.take("verdicts", {**message, **fields}, at=number + 0.2)

    def take(self, topic: str, message: dict[str, object], at: float = 9.0) -> None:
        self.tally.take(topic, json.dumps(message).encode(), at)

    def all(self, *, without: int | None = None) -> None:
        for number in range(4):
            if number != without:
                self.decision(number)
                self.verdict(number)

    def dead(self, value: object, *, offset: int, agent: str = "identity") -> None:
        text = base64.b64encode(json.dumps(value).encode()).decode()
        letter = {"topic": "x.uploads", "partition": 3, "offset": offset, "agent": agent, "value": text, "reason": "?"}
        self.take("deadletters", letter)

    @property
    def count(self) -> Count:
        return self.tally.count()


def figures(count: Count) -> dict[str, int]:
    names = ("lost", "conflicting", "wrong", "out_of_order", "duplicated")
    return {name: value for name in names if (value := getattr(count, name))}


def test_what_came_whole_and_in_order_is_no_fault():
    played = Played()
    played.all()
    assert (played.tally.complete, played.count.events, figures(played.count)) == (True, 4, {})


def test_a_decision_that_never_came_is_lost():
    played = Played()
    played.all(without=2)
    played.verdict(2)
    assert (played.tally.complete, figures(played.count)) == (False, {"lost": 1})
    assert played.count.missing == {"decisions": 1}


def test_a_verdict_that_never_came_is_lost():
    played = Played()
    played.all(without=3)
    played.decision(3)
    assert figures(played.count) == {"lost": 1}


def test_a_copy_is_counted_as_one_whatever_its_time():
    played = Played()
    played.all()
    played.decision(1, decided_at="2026-01-01T00:00:09Z", latency_s=9.0)
    assert figures(played.count) == {"duplicated": 1}


def test_a_decision_of_one_id_with_other_content_conflicts():
    played = Played()
    played.all()
    played.decision(1, reasons=[{"code": "ID-UNKNOWN"}])
    assert figures(played.count) == {"conflicting": 1, "duplicated": 1}


@pytest.mark.parametrize(("replaces", "expected"), [(None, 1), ("v9", 1), ("v1", 0)])
def test_a_further_verdict_conflicts_unless_it_names_the_former(replaces, expected):
    played = Played()
    played.all()
    played.verdict(1, verdict_id="v1b", verdict="hold", replaces=replaces)
    assert played.count.conflicting == expected


def test_a_further_verdict_that_replaces_one_before_the_last_conflicts():
    played = Played()
    played.all()
    played.verdict(1, verdict_id="v1b", verdict="hold", replaces="v1")
    played.verdict(1, verdict_id="v1c", verdict="publish", replaces="v1")
    assert played.count.conflicting == 1


def test_a_swap_within_a_publisher_is_out_of_order():
    played = Played()
    for number in (0, 2, 1, 3):
        played.decision(number)
        played.verdict(number)
    assert figures(played.count) == {"out_of_order": 1}


def test_copies_that_come_late_are_not_out_of_order():
    played = Played()
    played.all()
    for number in (0, 1, 2, 3):
        played.decision(number)
    assert figures(played.count) == {"duplicated": 4}


def test_events_of_two_publishers_have_no_order_between_them():
    played = Played()
    played.tally.sent("e4", "c4", "bob", dict(DUE), 4.0)
    played.decision(4)
    played.verdict(4)
    played.all()
    assert figures(played.count) == {}


def test_an_answer_that_the_state_does_not_allow_is_wrong():
    played = Played()
    played.all(without=3)
    played.decision(3, action="takedown")
    played.verdict(3, verdict="hold")
    assert figures(played.count) == {"wrong": 2}


def test_an_output_that_was_not_due_is_wrong():
    played = Played()
    played.all()
    played.take("admitted", {"event": {"event_id": "e1"}})
    assert figures(played.count) == {"wrong": 1}


def test_a_good_event_in_the_dead_letters_is_wrong_and_what_it_lacks_is_lost():
    played = Played()
    played.all(without=3)
    played.dead({"event_id": "e3"}, offset=7)
    assert figures(played.count) == {"lost": 1, "wrong": 1}


def test_a_bad_message_must_become_a_dead_letter_whichever_is_seen_first():
    played = Played()
    played.all()
    played.dead("rubbish", offset=7)
    played.tally.bad(3, 7)
    played.tally.bad(3, 8)
    assert (played.tally.complete, figures(played.count)) == (False, {"lost": 1})
    played.dead("rubbish", offset=8)
    assert (played.tally.complete, figures(played.count)) == (True, {})
    played.dead("rubbish", offset=8)
    assert figures(played.count) == {"duplicated": 1}


def test_an_event_at_which_the_judge_raises_is_due_in_the_dead_letters():
    played = Played({"deadletters.identity": None})
    assert figures(played.count) == {"lost": 4}
    for number in range(4):
        played.dead({"event_id": f"e{number}"}, offset=number)
    assert (played.tally.complete, figures(played.count)) == (True, {})


def standing(*events: str) -> dict[str, object]:
    return {"publisher_id": "alice", "entries": [{"event_id": event} for event in events]}


def test_points_that_a_later_row_lacks_are_lost():
    played = Played({"standings": None})
    played.take("standings", standing("e0", "e1", "e2", "e3"))
    assert figures(played.count) == {}
    played.take("standings", standing("e0", "e1", "e2"))
    assert (played.count.missing, figures(played.count)) == ({"standings": 1}, {"lost": 1})


def test_points_counted_twice_conflict():
    played = Played({"standings": None})
    played.take("standings", standing("e0", "e1", "e2", "e3", "e3"))
    assert figures(played.count) == {"conflicting": 1}


def flow(outage: tuple[float, float] | None, *, until: float = 40.0) -> Tally:
    """Ten events a second, answered at once; those sent in the outage are answered one after the other after it."""
    tally = Tally()
    for number in range(int(until * 10)):
        at = number / 10
        tally.sent(f"e{number}", f"c{number}", "alice", {"decisions": None}, at)
        answered = at + 0.05
        if outage and outage[0] <= at < outage[1]:
            answered = outage[1] + (at - outage[0]) / 10
        message = {"decision_id": f"d{number}", "event_id": f"e{number}", "agent": "identity", "action": "allow"}
        tally.take("decisions", json.dumps(message).encode(), answered)
    return tally


def test_recovery_takes_no_time_where_nothing_was_late():
    assert flow(None).recovery_s(20.0, limit=2.0, until=40.0) == 0.0


def test_recovery_lasts_until_what_piled_up_is_answered():
    recovered = flow((10.0, 20.0)).recovery_s(10.0, limit=2.0, until=40.0)
    assert recovered == pytest.approx(10.8, abs=0.3)  # those sent last before the end were never late


def test_recovery_counts_from_the_end_of_the_fault():
    recovered = flow((10.0, 20.0)).recovery_s(18.0, limit=2.0, until=40.0)
    assert recovered == pytest.approx(2.8, abs=0.3)


def test_what_is_late_long_after_is_another_matter():
    assert flow((30.0, 35.0)).recovery_s(10.0, limit=2.0, until=40.0) == 0.0


def test_there_is_no_recovery_while_answers_are_missing():
    tally = flow(None)
    tally.sent("never", "never", "alice", {"decisions": None}, 12.0)
    assert tally.recovery_s(10.0, limit=2.0, until=40.0) is None


def test_what_the_fault_caught_on_its_way_does_not_count_as_usual():
    assert flow((9.0, 30.0)).late_limit_s(10.0) == 2.0
