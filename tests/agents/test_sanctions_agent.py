"""The sanctions agent with a context made by hand: what it sends, under which keys, what it counts and reads back."""

from __future__ import annotations

from datetime import timedelta

import pytest
from prometheus_client import CollectorRegistry

from agents.sanctions.agent import ROWS_BACK_S, Sanctions
from schemas.message import Refused, encode
from schemas.policy import LabelRule, Policy, Rung, SanctionsPolicy, default_policy
from schemas.sanction import LabelSet, Ruling, Standing
from schemas.topics import DECISIONS, ENTITIES, POLICIES, RULINGS, STANDINGS
from streams.agent import Context, Incoming
from streams.metrics import Metrics
from streams.settings import Settings
from streams.views import View


class World:
    """Views that are filled by hand, and a topic to read back."""

    def __init__(self, make):
        self.make = make
        self.metrics = Metrics(CollectorRegistry())
        self.views = {topic.name: View(topic, self.metrics) for topic in Sanctions.views}
        self.history, self.asked = [], []
        self.put(POLICIES, default_policy())
        self.context = self.of_a_worker(self.metrics)

    def of_a_worker(self, metrics=None):
        """The context of another worker, which has metrics of its own."""
        metrics = metrics or Metrics(CollectorRegistry())
        return Context(Settings(policy="default"), metrics, self.views, lambda: self.make.now, self._read_back)

    def _read_back(self, since, only, after):
        self.asked.append((since, only, after))
        return self.make.read_back(self.history, since)

    def put(self, topic, row):
        self.views[topic.name].apply(getattr(row, topic.key).encode(), encode(row))

    def began(self, level):
        return self.metrics.registry.get_sample_value("veristream_sanctions_total", {"level": level}) or 0.0


@pytest.fixture
def world(make):
    return World(make)


def sent(agent, message):
    """What a message causes beside labels of the entity memory."""
    return [row for row in everything(agent, message) if row[0] != ENTITIES.name]


def everything(agent, message):
    return [(out.topic.name, out.key, out.value) for out in agent.handle(Incoming("a topic", 0, 0, message))]


def labels(agent, message):
    return [row for topic, _, row in everything(agent, message) if topic == ENTITIES.name]


def hit(make, name, publisher="p-1", **changes):
    event = make.upload(event_id=f"e-{name}", content_id=f"c-{name}", publisher_id=publisher)
    return make.decision("review", "takedown", "REVIEW-HASH", event=event, **changes)


def ruling(make, outcome, **about):
    fields = {"publisher_id": "p-1", "reviewer_id": "a person", "reason": "because", "ruled_at": make.at(60)}
    return Ruling(ruling_id="r-1", outcome=outcome, **fields | about)


def test_a_decision_with_points_sends_the_standing_and_what_follows_under_the_publishers_id(make, world):
    (first, key, standing), (second, other, sanction) = sent(Sanctions(world.context), hit(make, "1"))
    assert (first, second, key, other) == ("standings", "sanctions", "p-1", "p-1")
    assert standing.sanctions == (sanction,)
    assert sanction.level == "limit"
    assert (world.began("limit"), world.began("warn")) == (1, 0)


def test_a_repeat_sends_and_counts_nothing(make, world):
    agent = Sanctions(world.context)
    sent(agent, hit(make, "1"))
    assert sent(agent, hit(make, "1")) == []
    assert world.began("limit") == 1


@pytest.mark.parametrize("agent", ["sanctions", "review"])
def test_what_costs_nothing_or_is_its_own_is_passed_over(make, world, agent):
    code = "REVIEW-HASH" if agent == "sanctions" else "REVIEW-NUDITY"
    assert sent(Sanctions(world.context), make.decision(agent, "takedown", code)) == []


def test_an_entry_that_begins_nothing_sends_the_standing_alone(make, world):
    agent = Sanctions(world.context)
    fake = make.upload(event_id="e-2")
    sent(agent, hit(make, "1"))
    assert [name for name, *_ in sent(agent, make.decision("rumor", "takedown", "RUMOR-FAKE-NEWS", event=fake))] == [
        "standings"
    ]


def test_a_ruling_takes_back_and_is_not_counted(make, world):
    agent = Sanctions(world.context)
    decision = hit(make, "1")
    (*_, (_, _, limit)) = sent(agent, decision)
    (_, (topic, _, lifted)) = sent(agent, ruling(make, "reversed", decision_id=decision.decision_id))
    assert (topic, lifted.sanction_id, lifted.lifted_by) == ("sanctions", limit.sanction_id, "r-1")
    assert world.began("limit") == 1


def test_a_lift_of_what_does_not_stand_goes_to_the_dead_letters(make, world):
    with pytest.raises(Refused, match="unknown"):
        sent(Sanctions(world.context), ruling(make, "lifted", sanction_id="s-9"))


def test_it_goes_on_from_the_row_that_the_view_has(make, world):
    (_, _, standing), _ = sent(Sanctions(world.of_a_worker()), hit(make, "1"))
    world.put(STANDINGS, standing)
    agent = Sanctions(world.context)
    (_, (_, _, sanction)) = sent(agent, hit(make, "2"))
    assert (sanction.level, len(sanction.because)) == ("suspend", 2)
    # …and not from an older one that the view still has, once it has written its own.
    (_, _, standing), *_ = sent(agent, hit(make, "3"))
    assert len(standing.entries) == 3


async def test_it_reads_back_the_rows_of_its_partitions_and_trusts_them_over_the_view(make, world):
    writer = Sanctions(world.of_a_worker())
    rows = [sent(writer, hit(make, name))[0][2] for name in ("1", "2", "3")]
    world.put(STANDINGS, rows[0])
    world.history = rows
    heir = Sanctions(world.context)
    await heir.restore(frozenset({(DECISIONS.name, 3), (RULINGS.name, 3), (DECISIONS.name, 7)}))
    assert world.asked == [({STANDINGS: ROWS_BACK_S}, {STANDINGS: frozenset({3, 7})}, {})]
    (_, _, standing), _ = sent(heir, hit(make, "4"))
    assert len(standing.entries) == 4


async def test_what_it_wrote_before_a_rebalance_is_forgotten(make, world):
    agent = Sanctions(world.context)
    sent(agent, hit(make, "1"))
    await agent.restore(frozenset({(DECISIONS.name, 0)}))
    (_, _, standing), _ = sent(agent, hit(make, "2"))
    assert len(standing.entries) == 1


def test_publishers_are_apart(make, world):
    agent = Sanctions(world.context)
    sent(agent, hit(make, "1"))
    assert [(key, row.publisher_id) for _, key, row in sent(agent, hit(make, "2", "p-2"))] == [("p-2", "p-2")] * 2


def test_a_new_policy_holds_from_the_next_decision_on(make, world):
    agent = Sanctions(world.context)
    rules = SanctionsPolicy(ladder=(Rung(level="close", at_points=6.0),))
    world.put(POLICIES, Policy(name="default", version=2, sanctions=rules))
    (_, (_, _, sanction)) = sent(agent, hit(make, "1"))
    assert (sanction.level, sanction.policy.version) == ("close", 2)


def test_a_row_is_what_the_topic_promises(make, world):
    (topic, _, standing), _ = sent(Sanctions(world.context), hit(make, "1"))
    assert (topic, type(standing)) == (STANDINGS.name, Standing)
    world.put(STANDINGS, standing)
    assert world.views[STANDINGS.name].rows["p-1"] == standing


def test_a_sanctioned_publisher_is_labelled_for_as_long_as_the_sanction_lasts(make, world):
    agent = Sanctions(world.context)
    (label,) = labels(agent, hit(make, "1"))
    (sanction,) = agent._ledger.of("p-1").sanctions
    assert (label.kind, label.entity_id, label.label) == ("publisher", "p-1", "sanctioned")
    assert (label.set_by, label.expires_at) == (sanction.sanction_id, sanction.until)
    (ended,) = labels(agent, ruling(make, "lifted", sanction_id=sanction.sanction_id))
    assert (ended.label_id, ended.expires_at) == (label.label_id, make.at(60))


def test_a_rung_may_set_no_label(make, world):
    ladder = (Rung(level="suspend", at_points=1, label=""),)
    world.put(POLICIES, Policy(name="default", version=2, sanctions=SanctionsPolicy(ladder=ladder)))
    assert labels(Sanctions(world.context), hit(make, "1")) == []


def test_a_ruling_sets_the_labels_that_it_names(make, world):
    wanted = (LabelSet(kind="device", entity_id="d-1", label="banned", expires_at=make.at(99)),)
    ((topic, key, label),) = everything(Sanctions(world.context), ruling(make, "upheld", labels=wanted))
    assert (topic, key, label.set_by, label.reason) == ("entities", "device:d-1:banned", "r-1", "because")
    assert (label.kind, label.entity_id, label.label, label.expires_at) == ("device", "d-1", "banned", make.at(99))


def test_lifting_a_warning_leaves_the_label_of_a_suspension(make, world):
    ladder = (Rung(level="warn", at_points=1), Rung(level="suspend", at_points=12, days=30))
    world.put(POLICIES, Policy(name="default", version=2, sanctions=SanctionsPolicy(ladder=ladder)))
    agent = Sanctions(world.context)
    sent(agent, hit(make, "1", decided_at=make.at(-20)))
    (label,) = labels(agent, hit(make, "2", decided_at=make.at(-10)))
    warning, suspension = agent._ledger.of("p-1").sanctions
    assert (warning.level, suspension.level) == ("warn", "suspend")
    assert label.expires_at is None, "the warning has no end"
    (after,) = labels(agent, ruling(make, "lifted", sanction_id=warning.sanction_id, ruled_at=make.at(-5)))
    assert (after.set_by, after.expires_at) == (suspension.sanction_id, suspension.until)


def test_a_rule_of_the_policy_labels_who_a_decision_is_about(make, world):
    decision = make.decision("rumor", "takedown", "RUMOR-FAKE-NEWS", event=make.segment(3))
    rules = (
        LabelRule(code="RUMOR-FAKE-NEWS", label="fake-news", days=1),
        LabelRule(code="RUMOR-FAKE-NEWS", label="watched", kind="stream"),
        LabelRule(code="REVIEW-HASH", label="other"),
    )
    policy = SanctionsPolicy(points={}, labels=rules)
    world.put(POLICIES, Policy(name="default", version=2, sanctions=policy))
    one, other = labels(Sanctions(world.context), decision)
    assert (one.label_id, one.set_by) == ("publisher:p-1:fake-news", decision.decision_id)
    assert one.expires_at == decision.decided_at + timedelta(days=1)
    assert (other.label_id, other.expires_at) == ("stream:s-1:watched", None)


def test_a_rule_sets_nothing_on_a_stream_where_there_is_none(make, world):
    rules = (LabelRule(code="RUMOR-FAKE-NEWS", label="watched", kind="stream"),)
    world.put(POLICIES, Policy(name="default", version=2, sanctions=SanctionsPolicy(points={}, labels=rules)))
    assert labels(Sanctions(world.context), make.decision("rumor", "takedown", "RUMOR-FAKE-NEWS")) == []
