"""The reviewers agent beside those that follow it: what a ruling does to verdict, orders, points, complaints, bank."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from msgspec.structs import replace
from prometheus_client import CollectorRegistry

from agents.complaints.desk import Desk
from agents.decide import takedown_id
from agents.orders import outgoing
from agents.reviewers.agent import DAY_S, Reviewers
from agents.reviewers.board import KEEP_DAYS
from agents.reviewers.report import precision
from agents.sanctions.ledger import Ledger
from agents.verdict.join import KEEP_S, Join
from schemas.complaint import Complaint, ComplaintResult
from schemas.decision import Decision, LabelTerms
from schemas.message import Refused, encode
from schemas.orders import Release, Review, Takedown
from schemas.policy import ReviewersPolicy, TwoPersonRule, default_policy
from schemas.sanction import Ruling, Sanction
from schemas.topics import DECISIONS, POLICIES, WORKLIST
from schemas.verdict import Verdict
from schemas.worklist import Claim, WorkItem
from streams.agent import Context, Incoming
from streams.metrics import Metrics
from streams.settings import load
from streams.views import View

BOTH = ReviewersPolicy(two_person=(TwoPersonRule(),))
HIT = ("takedown", "REVIEW-HASH")
NUDE = ("review", "REVIEW-NUDITY")


class World:
    """All that lies on the topics, and the agents that a ruling moves, with their state."""

    def __init__(self, make, **sections):
        self.make, self.now = make, make.now
        self.policy = replace(default_policy(), **sections)
        self.log, self.numbers = [], iter(range(10_000))
        self.start()

    def start(self):
        """All agents anew, as after a restart of which nothing is remembered but what is read back."""
        self.metrics = Metrics(CollectorRegistry())
        view = View(POLICIES, self.metrics)
        view.apply(b"default", encode(self.policy))
        context = Context(load(policy="default"), self.metrics, {POLICIES.name: view}, lambda: self.now, self._read)
        self.agent = Reviewers(context)
        self.join, self.ledger, self.desk = Join(), Ledger({}), Desk()

    def _read(self, since, only, after):
        young = [m for m in self.log if not isinstance(m, WorkItem | Decision) or self._young(m, since)]
        return self.make.read_back(young, since)

    def _young(self, message, since):
        topic = WORKLIST if isinstance(message, WorkItem) else DECISIONS
        at = message.at if isinstance(message, WorkItem) else message.decided_at
        return (self.now - at).total_seconds() <= since.get(topic, 0)

    async def restart(self):
        self.start()
        await self.agent.restore(frozenset({("decisions", 3)}))
        for message in [m for m in self.log if isinstance(m, Decision)]:
            if (self.now - message.decided_at).total_seconds() <= KEEP_S:
                self.join.recall(message, 3, self.now)
        for message in [m for m in self.log if isinstance(m, Verdict | Takedown | Release)]:
            self.join.recall(message, 3, self.now)
        self.join.recalled()

    def send(self, *messages):
        """Messages come, and all that follows from them does."""
        said = []
        for message in messages:
            self.log.append(message)
            said += self._follow(message)
        return said

    def _follow(self, message):
        said = [out.value for out in self.agent.handle(Incoming("decisions", 3, len(self.log), message))]
        if isinstance(message, Decision):
            said += self.join.take(message, self.policy, self.now, 3)
            said += self.ledger.take(message, self.policy)
            said += self.desk.settled(message, self.now)
            self.desk.note(message)
        elif isinstance(message, Ruling):
            said += self.ledger.take(message, self.policy)
        self.log += said
        decided = [each for each in said if isinstance(each, Decision)]
        return said + [each for decision in decided for each in self._follow(decision)]

    def decide(self, event=None, **changed):
        """The four agents decide; all allow, but those that are given."""
        event = event or self.make.upload()
        four = [
            self.make.decision(agent, *changed.get(agent, ("allow",)), event=event, decided_at=self.now)
            for agent in self.policy.verdict.agents
        ]
        said = self.send(*four)
        orders = [out.value for each in four for out in outgoing(each, self.policy) if out.value is not each]
        self.log += orders
        return said + orders

    def rule(self, outcome, review=None, reviewer="ann", **about):
        fields = {
            "ruling_id": f"r-{next(self.numbers)}", "publisher_id": "p-1", "reviewer_id": reviewer, "reason": "seen",
            "ruled_at": self.now, "review_id": review and review.review_id,
        }  # fmt: skip
        return self.send(Ruling(outcome=outcome, **fields | about))

    def later(self, **time):
        self.now += timedelta(**time)

    def value(self, name, **labels):
        return self.metrics.registry.get_sample_value(name, labels)


def of(kind, messages):
    return [message for message in messages if isinstance(message, kind)]


def answers(messages):
    return [message.verdict for message in of(Verdict, messages)]


@pytest.fixture
def world(make):
    return World(make)


def test_a_kept_item_is_published_and_the_decision_says_who_and_why(world):
    held = world.decide(review=NUDE)
    assert answers(held) == ["hold"]
    (review,) = of(Review, held)
    said = world.rule("keep", review, article="AVP-9")
    (decision,), (verdict,) = of(Decision, said), of(Verdict, said)
    (reason,) = decision.reasons
    assert (reason.code, reason.article, reason.evidence[0].entry, reason.evidence[0].text) == (
        "PERSON-KEPT", "AVP-9", "ann", "seen",
    )  # fmt: skip
    assert (verdict.verdict, verdict.ruling) == ("publish", decision.decision_id)
    assert verdict.replaces == of(Verdict, held)[0].verdict_id
    assert (decision.agent, decision.action, decision.ruling.overrules) == ("reviewers", "allow", ("review",))


def test_a_removed_item_is_blocked_ordered_away_and_costs_its_publisher_points(world):
    (review,) = of(Review, world.decide(review=NUDE))
    said = world.rule("remove", review)
    (order,) = of(Takedown, said)
    assert (order.kind, order.until, answers(said)) == ("remove", "forever", ["block"])
    assert [reason.code for reason in order.reasons] == ["PERSON-REMOVED", "REVIEW-NUDITY"]
    assert [sanction.level for sanction in of(Sanction, said)] == ["warn"]


def test_a_labelled_item_is_published_with_the_label(world):
    (review,) = of(Review, world.decide(review=NUDE))
    said = world.rule("label", review, label=LabelTerms(level=2, text="words"))
    (verdict,) = of(Verdict, said)
    assert (verdict.verdict, [terms.text for terms in verdict.labels]) == ("publish_labelled", ["words"])


def test_what_others_hold_is_held_still_and_published_once_it_is_kept_as_a_whole(world):
    unlabelled = {"synthetic": ("takedown", "SYNTH-DECLARED")}
    event = world.make.upload()
    held = [
        world.make.decision("synthetic", *unlabelled["synthetic"], stop=("hold", "labelled"), event=event),
        *(world.make.decision(agent, event=event) for agent in ("identity", "rumor")),
        world.make.decision("review", *NUDE, event=event),
    ]
    world.send(*held)
    said = world.rule("keep", event_id="e-1", content_id="c-1", review_id=None, decision_id=held[-1].decision_id)
    assert answers(said) == [] and of(Decision, said)[0].ruling.remains[0].agent == "synthetic"
    said = world.rule("keep", event_id="e-1", content_id="c-1")
    assert answers(said) == ["publish"]
    assert of(Release, said)[0].releases == (takedown_id(held[0].decision_id),)


async def test_days_later_and_after_a_restart_the_verdict_still_changes(world):
    said = world.decide(review=NUDE, rumor=("label", "RUMOR-REFUTED"))
    (review,) = of(Review, said)
    world.later(days=5)
    await world.restart()
    said = world.rule("keep", review)
    (verdict,) = of(Verdict, said)
    assert (verdict.verdict, len(verdict.labels)) == ("publish_labelled", 1), "what the rumor agent said is not lost"
    assert verdict.ruling and verdict.replaces is None
    await world.restart()
    assert list(world.join.due(world.policy, world.now)) == [], "and is not answered twice"
    assert answers(world.rule("remove", review)) == ["block"]


async def test_a_ruling_that_was_not_carried_out_when_the_worker_was_killed_is_after_its_restart(world):
    (review,) = of(Review, world.decide(review=NUDE))
    world.rule("keep", review)
    ruling = of(Ruling, world.log)[-1]
    lost = [m for m in world.log if isinstance(m, Decision) and m.ruling] + of(Verdict, world.log)[-1:]
    world.log = [m for m in world.log if m not in lost]
    world.later(seconds=5)
    await world.restart()
    said = world.send(ruling)
    assert answers(said) == ["publish"]
    assert of(Decision, said)[0].decision_id == lost[0].decision_id
    assert of(Decision, world.send(ruling)) == [], "a repeat is answered and decides nothing"


def test_an_item_that_is_on_no_list_is_ruled_on_by_naming_it(world):
    with pytest.raises(Refused, match="name `event_id` and `content_id`"):
        world.rule("remove", review_id="nobody-knows")
    said = world.rule("remove", event_id="e-9", content_id="c-9")
    assert (answers(said), of(Takedown, said)[0].content_id) == (["block"], "c-9")
    assert answers(world.rule("keep", event_id="e-9", content_id="c-9")) == ["publish"]


def test_the_item_of_another_publisher_is_not_ruled_on(world):
    (review,) = of(Review, world.decide(review=NUDE))
    with pytest.raises(Refused, match="publisher"):
        world.rule("keep", review, publisher_id="p-2")


@pytest.mark.parametrize("outcome", ["keep", "reversed"])
def test_a_takedown_that_was_wrong_is_lifted_and_its_points_are_given_back(world, outcome):
    said = world.decide(review=HIT)
    (order,), (sanction,) = of(Takedown, said), of(Sanction, said)
    (decision,) = [each for each in of(Decision, world.log) if each.stop]
    said = world.rule(outcome, decision_id=decision.decision_id)
    assert answers(said) == ["publish"]
    assert of(Release, said)[0].releases == (order.order_id,)
    lifted = {each.sanction_id for each in of(Sanction, said) if each.lifted_by}
    assert lifted == {sanction.sanction_id}


def test_a_removal_by_people_is_taken_back_with_its_order_and_points(world):
    (review,) = of(Review, world.decide(review=NUDE))
    (order,) = of(Takedown, world.rule("remove", review))
    world.later(hours=1)
    said = world.rule("keep", review, "ben")
    assert answers(said) == ["publish"]
    assert of(Release, said)[0].releases == (order.order_id,)
    assert any(each.lifted_by for each in of(Sanction, said))


def test_two_must_agree_where_the_policy_asks_and_nothing_happens_before(make):
    world = World(make, reviewers=BOTH)
    (review,) = of(Review, world.decide(review=NUDE))
    first = world.rule("remove", review)
    assert (of(Decision, first), of(WorkItem, first)[-1].questions[0].state) == ([], "second")
    second = world.rule("remove", review, "ben")
    assert (answers(second), of(Decision, second)[0].ruling.reviewers) == (["block"], ("ann", "ben"))


def test_whoever_disagrees_sends_it_to_others_and_the_item_stays_held(make):
    world = World(make, reviewers=BOTH)
    (review,) = of(Review, world.decide(review=NUDE))
    world.rule("remove", review)
    said = world.rule("keep", review, "ben")
    (further,) = of(Review, said)
    assert (further.escalates, further.agent, answers(said)) == (review.review_id, "reviewers", [])
    assert answers(world.rule("keep", further, "cem")) == ["publish"]


def test_a_cut_stream_goes_on_once_its_segment_is_kept_and_can_be_cut_again(world):
    def segment(seq, **changed):
        return world.decide(world.make.segment(seq), **changed)

    said = segment(3, review=HIT)
    (cut,) = of(Takedown, said)
    assert (cut.kind, cut.seq) == ("cut_stream", 3)
    assert answers(segment(4)) == ["block"]
    (wrong,) = [each for each in of(Decision, world.log) if each.stop]
    said = world.rule("keep", decision_id=wrong.decision_id)
    (release,) = of(Release, said)
    assert (release.stream_id, release.releases) == ("s-1", (cut.order_id,))
    assert sorted((each.seq, each.verdict) for each in of(Verdict, said)) == [(3, "publish"), (4, "publish")]
    assert answers(segment(5)) == ["publish"]
    (again,) = of(Takedown, segment(6, review=HIT))
    assert again.order_id != cut.order_id, "a platform that knows the first order must see a second"


async def test_a_stream_goes_on_only_when_no_other_segment_asks_for_its_cut(world):
    world.decide(world.make.segment(3), review=HIT)
    world.decide(world.make.segment(4), review=HIT)
    first, second = [each for each in of(Decision, world.log) if each.stop]
    world.later(days=2)
    await world.restart()
    assert of(Release, world.rule("keep", decision_id=first.decision_id)) == []
    (release,) = of(Release, world.rule("keep", decision_id=second.decision_id))
    assert release.releases == (of(Takedown, world.log)[0].order_id,), "of an order that nobody remembers, too"


def test_a_removed_segment_cuts_its_stream_and_goes_itself(world):
    (review,) = of(Review, world.decide(world.make.segment(3), review=NUDE))
    kinds = {(each.kind, each.stream_id) for each in of(Takedown, world.rule("remove", review))}
    assert kinds == {("remove", None), ("cut_stream", "s-1")}


# Complaints


def complain(world, kind="appeal", number=0):
    complaint = Complaint(
        complaint_id=f"k-{number}", receipt_sha256="ab" * 32, kind=kind, publisher_id="p-1", content_id="c-1",
        text="x", complainant=f"u-{number}", received_at=world.now,
    )  # fmt: skip
    said = list(world.desk.take(complaint, world.policy, world.now))
    world.log += said
    for decision in of(Decision, said):
        said += [out.value for out in outgoing(decision, world.policy) if out.value is not decision]
        said += world.send(decision)
    return said


@pytest.mark.parametrize(("outcome", "told", "verdicts"), [("keep", "upheld", ["publish"]), ("remove", "rejected", [])])
def test_an_appeal_reopens_the_item_and_its_ruling_answers_both(world, outcome, told, verdicts):
    world.decide(review=HIT)
    (review,) = of(Review, complain(world))
    assert review.due_at == world.now + timedelta(hours=24)
    said = world.rule(outcome, review)
    assert [(each.complaint_id, each.state) for each in of(ComplaintResult, said)] == [("k-0", told)]
    assert answers(said) == verdicts, "of what stays blocked no second answer is given"


def test_complaints_are_upheld_by_a_removal_and_again_by_none_of_a_former_round(world):
    world.decide()
    (review,) = of(Review, complain(world, "illegal"))
    said = world.rule("keep", review)
    assert [each.state for each in of(ComplaintResult, said)] == ["rejected"]
    world.later(hours=1)
    (second,) = of(Review, complain(world, "illegal", 1))
    assert of(ComplaintResult, world.rule("keep", event_id="e-2", content_id="c-1", ruling_id="other")) == []
    said = world.rule("remove", second)
    assert [(each.complaint_id, each.state) for each in of(ComplaintResult, said)] == [("k-1", "upheld")]
    assert answers(said) == ["block"]


# The bank


async def until_banked(world):
    for _ in range(100):
        found = list(world.agent.tick(world.now))
        world.log += [out.value for out in found]
        if entries := [out.value for out in found if out.topic.name == "hashbank"]:
            return entries[0]
        if any(isinstance(out.value, WorkItem) for out in found):
            return None
        await asyncio.sleep(0)
    raise AssertionError("nothing came of the search for the signals")


async def test_a_removed_item_goes_into_the_bank_and_out_again_once_it_is_kept(make, world):
    world.log.append(make.signals(frames=(make.frame(7), make.frame(7, at_s=1.0), make.frame(8, 10))))
    (review,) = of(Review, world.decide(review=NUDE))
    world.rule("remove", review, bank="banned")
    entry = await until_banked(world)
    assert (entry.kind, entry.source, entry.category, entry.sha256) == ("banned", "ruling", "REVIEW-NUDITY", "ab" * 32)
    assert [frame.at_s for frame in entry.frames] == [0.0], "each hash once, and none that could match nothing"
    assert "ann" in entry.note and entry.active
    assert world.policy.review.hash_action(entry.bank, entry.severity) == "takedown"
    world.later(hours=1)
    said = world.rule("keep", review, "ben")
    (off,) = [message for message in said if getattr(message, "entry_id", "") == entry.entry_id]
    assert not off.active and "ben" in off.note


async def test_what_was_wanted_of_the_bank_is_found_after_a_restart(make, world):
    (review,) = of(Review, world.decide(review=NUDE))
    world.rule("keep", review, bank="known_good")
    await world.restart()
    world.log.append(make.signals(frames=(make.frame(7),)))
    assert (await until_banked(world)).kind == "known_good"


async def test_an_item_whose_signals_are_gone_is_said_to_be_missing(world):
    (review,) = of(Review, world.decide(review=NUDE))
    world.rule("remove", review, bank="banned")
    assert await until_banked(world) is None
    assert of(WorkItem, world.log)[-1].bank.state == "missing"
    assert world.value("veristream_reviews_banked_total", kind="banned", outcome="missing") == 1


# The queue


def test_claims_are_answered_and_counted_and_a_claim_of_nothing_is_refused(make, world):
    (review,) = of(Review, world.decide(review=NUDE))

    def claim(number, reviewer):
        return Claim(
            claim_id=f"k-{number}", publisher_id="p-1", review_id=review.review_id, reviewer_id=reviewer,
            claimed_at=make.now,
        )  # fmt: skip

    rows = of(WorkItem, world.send(claim(1, "ann"), claim(2, "ben")))
    assert [(row.answers, row.questions[0].claim.reviewer_id) for row in rows] == [("k-1", "ann"), ("k-2", "ann")]
    assert [world.value("veristream_review_claims_total", outcome=name) for name in ("given", "refused")] == [1, 1]
    with pytest.raises(Refused, match="no review"):
        world.send(replace(claim(3, "ann"), review_id="x"))


def test_what_waits_and_what_is_overdue_is_counted(world):
    world.decide(review=NUDE)
    list(world.agent.tick(world.now))
    assert world.value("veristream_reviews_open", severity="high", state="open") == 1
    assert world.value("veristream_reviews_overdue", severity="high") == 0
    world.later(hours=4)
    list(world.agent.tick(world.now))
    assert world.value("veristream_reviews_overdue", severity="high") == 1


def test_reach_and_severity_make_a_review_urgent(make, world):
    (small,) = of(Review, world.decide(make.upload(reach=9), review=NUDE))
    big = make.decision("review", *NUDE, event=make.upload(event_id="e-2", reach=999_999), reach=999_999)
    (review,) = [out.value for out in outgoing(big, world.policy) if isinstance(out.value, Review)]
    assert (small.severity, review.priority, review.reach) == ("high", 5.0, 999_999)
    assert small.priority == 2.0, "a decision made by hand names no reach"


def test_outcomes_feed_precision_by_reason_and_version(world):
    for number, outcome in enumerate(("remove", "remove", "keep", None)):
        event = world.make.upload(event_id=f"e-{number}", content_id=f"c-{number}")
        (review,) = of(Review, world.decide(event, review=("review", "REVIEW-NUDITY", "REVIEW-TERM")))
        if outcome:
            world.rule(outcome, review)
    name = "veristream_review_outcomes_total"
    assert world.value(name, code="REVIEW-TERM", policy_version="1", outcome="remove") == 2
    rows = {item.event_id: item for item in of(WorkItem, world.log)}
    (nudity, term) = precision(rows.values())
    assert nudity[1:] == term[1:] == ("default", 1, 4, 2, 1, 1)
    assert nudity.share == pytest.approx(2 / 3)


async def test_a_restart_reads_as_far_back_as_rows_are_kept_and_only_its_partitions(world):
    asked = []

    def read(since, only, after):
        asked.append((dict(since), dict(only)))
        return world.make.read_back([], since)

    world.agent.context = replace_read(world.agent.context, read)
    await world.agent.restore(frozenset({("decisions", 3), ("rulings", 3)}))
    assert asked[0][0] == {WORKLIST: KEEP_DAYS * DAY_S}
    assert {topic.name: parts for topic, parts in asked[0][1].items()} == {
        "worklist": frozenset({3}), "decisions": frozenset({3}),
    }  # fmt: skip


def replace_read(context, read):
    return Context(context.settings, context.metrics, context.views, context.clock, read)
