"""The desk: what a complaint and a ruling cause, once, and what a restart finds again."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from agents.complaints.case import outcome
from agents.complaints.desk import Desk
from agents.complaints.restore import needed, restored
from agents.complaints.weigh import Record
from agents.orders import outgoing
from agents.verdict.join import Join
from schemas.complaint import Complaint, ComplaintResult
from schemas.decision import Decision
from schemas.message import Refused
from schemas.orders import Review, Takedown
from schemas.policy import ComplaintsPolicy, default_policy
from schemas.sanction import Ruling
from schemas.verdict import Verdict

POLICY = default_policy()


class Trial:
    """A desk with a clock, and all that went in and came out."""

    def __init__(self, make, known=True, **terms):
        self.make, self.desk, self.now = make, Desk(), make.now
        self.policy = msgspec.structs.replace(POLICY, complaints=ComplaintsPolicy(**terms))
        self.log, self.numbers = [], iter(range(10_000))
        if known:
            self.know()

    def know(self, **fields):
        decision = self.make.decision("identity", event=self.make.upload(**fields))
        self.log.append(decision)
        self.desk.note(decision)

    def complaint(self, complainant=None, kind="rumor", content="c-1", device=None, **fields):
        number = next(self.numbers)
        row = {
            "complaint_id": f"k-{number}", "receipt_sha256": "ab" * 32, "kind": kind, "publisher_id": "p-1",
            "content_id": content, "text": "x", "complainant": complainant or f"u-{number}", "device": device,
            "received_at": self.now,
        }  # fmt: skip
        return Complaint(**row | fields)

    def take(self, complaint):
        self.log.append(complaint)
        return self._out(self.desk.take(complaint, self.policy, self.now))

    def file(self, *args, **fields):
        return self.take(self.complaint(*args, **fields))

    def ruling(self, complaint_id, outcome="upheld", **fields):
        row = {"ruling_id": f"r-{next(self.numbers)}", "publisher_id": "p-1", "reviewer_id": "me", "reason": "x"}
        return Ruling(**row | {"outcome": outcome, "complaint_id": complaint_id, "ruled_at": self.now} | fields)

    def rule(self, complaint_id, outcome="upheld", **fields):
        ruling = self.ruling(complaint_id, outcome, **fields)
        self.log.append(ruling)
        return self._out(self.desk.rule(ruling, self.now))

    def _out(self, messages):
        messages = list(messages)
        for message in messages:
            self.log.append(message)
            if isinstance(message, Decision):
                self.log += [out.value for out in outgoing(message, self.policy) if out.value is not message]
        self.now += timedelta(seconds=1)
        return messages

    def restart(self, without=()):
        desk = Desk()
        lying = [message for message in self.log if message not in without]
        self.desk = restored([message for message in lying if needed(message, desk)], self.now, desk)


def states(messages):
    return [message.state for message in messages if isinstance(message, ComplaintResult)]


def decisions(messages):
    return [(m.action, m.reasons[0].code) for m in messages if isinstance(m, Decision)]


REVIEW, HOLD = ("review", "COMPLAINT-WEIGHT"), ("takedown", "COMPLAINT-WEIGHT")


@pytest.fixture
def trial(make):
    return Trial(make)


def test_a_complaint_is_received_at_once_and_due_as_its_kind_promises(make):
    trial = Trial(make, review_weight=99.0)
    for kind, hours in trial.policy.complaints.deadline_hours.items():
        received = trial.now
        result = trial.file(kind=kind)[0]
        assert (result.state, result.kind, result.due_at) == ("received", kind, received + timedelta(hours=hours))


def test_enough_weight_asks_a_person_once(make):
    trial = Trial(make, review_weight=2.0, hold_weight=None)
    assert states(trial.file()) == ["received"]
    second = trial.file()
    assert decisions(second) == [REVIEW]
    # Both complainants are told, the one who waited too.
    assert sorted(m.complaint_id for m in second if getattr(m, "state", "") == "under_review") == ["k-0", "k-1"]
    third = trial.file()
    assert (decisions(third), states(third)) == ([], ["received", "under_review"])


def test_a_decision_says_what_it_rests_on_and_names_nobody(trial):
    (decision,) = [m for m in trial.file("alice", device="phone", kind="illegal") if isinstance(m, Decision)]
    (reason,) = decision.reasons
    assert (decision.event_id, decision.content_id, decision.agent) == ("e-1", "c-1", "complaints")
    assert (reason.score, reason.threshold, reason.article) == (2 / 3, 0.5, "AVP-15")
    assert b"alice" not in msgspec.json.encode(decision) and b"phone" not in msgspec.json.encode(decision)


def test_a_hold_needs_distinct_complainants_and_comes_once(trial):
    assert decisions(trial.file(kind="illegal")) == [REVIEW]
    assert decisions(trial.file(kind="illegal")) == []
    third = trial.file(kind="illegal")
    assert decisions(third) == [HOLD]
    (hold,) = [m for m in third if isinstance(m, Decision)]
    assert (hold.stop.kind, hold.stop.until) == ("hold", "reviewed")
    assert decisions(trial.file(kind="illegal")) == []
    assert len({m.decision_id for m in trial.log if isinstance(m, Decision)}) == 3  # identity's among them


def test_what_is_held_at_once_is_reviewed_before(make):
    trial = Trial(make, hold_weight=1.0, hold_distinct=1)
    assert decisions(trial.file()) == [REVIEW, HOLD]


def test_a_brigade_of_one_device_never_holds(trial):
    found = [decisions(trial.file(kind="illegal", device="d")) for _ in range(50)]
    assert [each for each in found if each] == [[REVIEW]]


def test_a_repeat_changes_nothing_but_gets_its_own_answers(make):
    trial = Trial(make, review_weight=2.0)
    trial.file("u")
    again = trial.file("u")
    assert (decisions(again), states(again)) == ([], ["received"])
    ruled = trial.rule("k-0")
    assert [(m.complaint_id, m.state) for m in ruled] == [("k-0", "upheld"), ("k-1", "upheld")]
    assert trial.desk.records["u"] == Record(1, 1)


def test_a_message_that_comes_again_causes_nothing(trial):
    complaint = trial.complaint()
    assert trial.take(complaint)
    assert trial.take(complaint) == []


def test_an_item_that_was_not_seen_goes_to_a_person(make):
    trial = Trial(make, known=False)
    first = trial.file(kind="unlabelled")
    assert decisions(first) == [("review", "COMPLAINT-UNKNOWN-CONTENT")]
    assert states(first) == ["received", "under_review"]
    assert first[-1].code == "COMPLAINT-UNKNOWN-CONTENT"
    found = [m for _ in range(5) for m in trial.file(kind="illegal")]
    assert decisions(found) == []  # nothing is held that was not seen
    trial.know()
    assert decisions(trial.file(kind="illegal")) == [HOLD]


def test_an_item_of_another_publisher_was_not_seen(trial):
    assert decisions(trial.file(publisher_id="p-2")) == [("review", "COMPLAINT-UNKNOWN-CONTENT")]


def test_an_appeal_asks_for_a_person_at_once_and_weighs_nothing(make):
    trial = Trial(make, review_weight=2.0)
    found = trial.file(kind="appeal")
    assert decisions(found) == [("review", "COMPLAINT-APPEAL")]
    assert states(found) == ["received", "under_review"]
    assert states(trial.file()) == ["received"]
    assert decisions(trial.file()) == [REVIEW]
    assert decisions(trial.file(kind="appeal")) == []


def test_an_appeal_of_what_is_held_does_not_lift_the_hold(make, trial):
    four = [make.decision(agent, event=make.upload()) for agent in trial.policy.verdict.agents]
    for _ in range(3):
        trial.file(kind="illegal")
    found = trial.file(kind="appeal")
    assert decisions(found) == [("review", "COMPLAINT-APPEAL")]
    held, asked = [m for m in trial.log if isinstance(m, Decision) and m.agent == "complaints"][-2:]
    assert held.stop and not asked.stop
    join = Join()
    said = [join.take(m, trial.policy, trial.now, 0) for m in (*four, held, asked)]
    verdicts = [m for taken in said for m in taken if isinstance(m, Verdict)]
    assert [m.verdict for m in verdicts] == ["publish", "hold"]


def test_a_ruling_settles_the_complaint_it_names_and_no_other(trial):
    trial.file("a")
    trial.file("b")
    assert [(m.complaint_id, m.state) for m in trial.rule("k-0", "reversed")] == [("k-0", "rejected")]
    assert trial.desk.counts(trial.now)[0] == {"rumor": 1}
    assert trial.rule("k-0", "reversed") == []
    assert (trial.desk.records["a"], trial.desk.records.get("b")) == (Record(0, 1), None)


def test_a_second_ruling_wins_and_the_complaint_still_counts_once(trial):
    trial.file("a")
    trial.rule("k-0", "reversed")
    assert states(trial.rule("k-0", "upheld")) == ["upheld"]
    assert trial.desk.records["a"] == Record(1, 1)


def test_a_record_makes_the_next_complaint_lighter(trial):
    trial.file("liar")
    trial.rule("k-0", "reversed")
    assert states(trial.file("liar")) == ["received"]  # 2/3, below the weight of a review


def test_after_all_are_ruled_on_a_new_round_begins_under_another_id(trial):
    first = trial.file("a")
    trial.rule("k-0", "reversed")
    second = trial.file("b")
    assert decisions(first) == decisions(second) == [REVIEW]
    assert first[1].decision_id != second[1].decision_id


def test_what_was_held_rightly_stays_held(trial):
    for name in "abc":
        trial.file(name, kind="illegal")
    for number in range(3):
        trial.rule(f"k-{number}")
    found = trial.file("d", kind="illegal")
    assert (decisions(found), states(found)) == ([], ["received", "under_review"])


def test_a_ruling_on_an_unknown_complaint_is_refused_and_names_the_field(trial):
    trial.file()
    for ruling in (trial.ruling("nobody"), trial.ruling("k-0", publisher_id="p-2")):
        with pytest.raises(Refused) as refused:
            list(trial.desk.rule(ruling, trial.now))
        assert refused.value.field == "complaint_id"


def test_a_ruling_on_something_else_is_not_the_desks(trial):
    assert list(trial.desk.rule(trial.ruling(None, decision_id="d-1"), trial.now)) == []


@pytest.mark.parametrize(
    ("kind", "named", "said", "result"),
    [
        ("rumor", {}, "upheld", "upheld"),
        ("rumor", {}, "reversed", "rejected"),
        ("rumor", {"decision_id": "d"}, "upheld", "upheld"),
        ("rumor", {"decision_id": "d"}, "reversed", "rejected"),
        ("appeal", {}, "upheld", "upheld"),
        ("appeal", {}, "reversed", "rejected"),
        ("appeal", {"decision_id": "d"}, "upheld", "rejected"),
        ("appeal", {"decision_id": "d"}, "reversed", "upheld"),
        ("appeal", {"sanction_id": "s"}, "lifted", "upheld"),
    ],
)
def test_what_an_outcome_means_for_the_complainant(trial, kind, named, said, result):
    assert outcome(trial.ruling("k-0", said, **named), kind) == result


def test_overdue_begins_when_it_is_due(make):
    trial = Trial(make, review_weight=99.0)
    due = trial.file(kind="illegal")[0].due_at
    assert trial.desk.counts(due - timedelta(microseconds=1)) == ({"illegal": 1}, {})
    assert trial.desk.counts(due) == ({"illegal": 1}, {"illegal": 1})
    trial.rule("k-0")
    assert trial.desk.counts(due) == ({}, {})


def test_closed_cases_are_forgotten_in_time_and_open_ones_are_not(trial):
    trial.file(content="c-1")
    trial.rule("k-0")
    trial.file(content="c-2")
    trial.desk.forget(trial.now + timedelta(days=29))
    assert len(trial.desk.cases) == 2
    trial.desk.forget(trial.now + timedelta(days=31))
    assert [content for _, content in trial.desk.cases] == ["c-2"]
    assert len(trial.desk.matters) == 1


# After a restart


def busy(trial):
    """Something of everything."""
    trial.know(event_id="e-2", content_id="c-2")
    for name in "abc":
        trial.file(name, kind="illegal")
    trial.file("a", content="c-2")
    trial.rule("k-3", "reversed")
    trial.file("b", content="c-2")
    trial.file("b", content="c-9")
    trial.file("p", kind="appeal")


def test_a_restart_finds_the_desk_as_it_was(trial):
    busy(trial)
    before = trial.desk
    trial.restart()
    assert trial.desk.cases == before.cases
    assert (trial.desk.records, trial.desk.contents) == (before.records, before.contents)
    assert trial.desk.counts(trial.now) == before.counts(trial.now)


def test_what_others_decided_and_ordered_is_noted_while_it_is_read_and_not_kept(make, trial):
    """A day of every agent's decisions would not fit memory."""
    desk = Desk()
    others = [make.decision(agent, "takedown", "REVIEW-HASH") for agent in ("identity", "review", "rumor")]
    orders = [out.value for each in others for out in outgoing(each, trial.policy) if out.value is not each]
    assert orders
    assert not any(needed(message, desk) for message in [*others, *orders])
    assert len(desk.contents) == 1
    busy(trial)
    left = [message for message in trial.log if needed(message, desk)]
    assert len(left) < len(trial.log)
    assert restored(left, trial.now).cases == restored(trial.log, trial.now).cases


def test_after_a_restart_nothing_that_was_answered_is_sent_again(trial):
    busy(trial)
    trial.restart()
    for message in [m for m in trial.log if isinstance(m, Complaint | Ruling)]:
        work = trial.desk.take(message, trial.policy, trial.now) if isinstance(message, Complaint) else None
        assert list(work if work is not None else trial.desk.rule(message, trial.now)) == []


@pytest.mark.parametrize("kind", [Decision, Review, Takedown, ComplaintResult])
def test_what_a_killed_worker_did_not_get_out_comes_after_the_restart(trial, kind):
    """Any single output of the last message is missing: its message comes again, and so do what is missing, alike."""
    for _ in range(2):
        trial.file(kind="illegal")
    begun = len(trial.log)
    complaint = trial.complaint(kind="illegal")
    before = trial.take(complaint)
    for lost in [m for m in trial.log[begun:] if isinstance(m, kind)]:
        trial.restart(without=[lost])
        again = list(trial.desk.take(complaint, trial.policy, trial.now))
        wanted = lost.decision_id if isinstance(lost, Takedown | Review) else getattr(lost, "decision_id", None)
        if isinstance(lost, ComplaintResult):
            assert lost.state in states(again) or lost.state == "received"
        else:
            assert wanted in {m.decision_id for m in again if isinstance(m, Decision)}
            assert wanted in {m.decision_id for m in before if isinstance(m, Decision)}


def test_a_complaint_without_an_answer_is_left_to_come_again(trial):
    complaint = trial.complaint()
    trial.log.append(complaint)
    trial.restart()
    assert trial.desk.cases == {}
    assert states(trial.take(complaint)) == ["received", "under_review"]


def test_what_was_asked_long_ago_is_not_asked_again_though_orders_are_not_read_so_far_back(trial):
    trial.file()
    answered = [m for m in trial.log if isinstance(m, Complaint | ComplaintResult)]
    trial.now += timedelta(days=2)
    trial.desk = restored(answered, trial.now)
    trial.know()
    assert decisions(trial.file()) == []


def test_a_result_without_its_ruling_still_counts(trial):
    trial.file("a")
    trial.rule("k-0", "reversed")
    trial.desk = restored([m for m in trial.log if not isinstance(m, Ruling)], trial.now)
    assert trial.desk.records == {"a": Record(0, 1)}
    assert trial.desk.counts(trial.now) == ({}, {})
