"""The complaints agent with a context made by hand: routes, counts, and what it reads back."""

from __future__ import annotations

from datetime import timedelta

import pytest
from prometheus_client import CollectorRegistry

from agents.complaints.agent import DAY_S, Complaints
from schemas.complaint import Complaint
from schemas.message import Refused, encode
from schemas.policy import default_policy
from schemas.sanction import Ruling
from schemas.topics import COMPLAINT_RESULTS, COMPLAINTS, DECISIONS, POLICIES, REVIEWS, RULINGS, TAKEDOWNS
from streams.agent import Context, Incoming
from streams.metrics import Metrics
from streams.settings import Settings
from streams.views import View


class World:
    def __init__(self, make):
        self.metrics = Metrics(CollectorRegistry())
        self.now = make.now
        policies = View(POLICIES, self.metrics)
        policies.apply(b"default", encode(default_policy()))
        self.make, self.history, self.asked = make, [], []
        self.agent = Complaints(
            Context(Settings(policy="default"), self.metrics, {POLICIES.name: policies}, lambda: self.now, self._read)
        )

    def _read(self, since, only, after):
        self.asked.append((since, only, after))
        return self.make.read_back(self.history, since)

    def send(self, message):
        return list(self.agent.handle(Incoming("a topic", 0, 0, message)))

    def value(self, name, **labels):
        return self.metrics.registry.get_sample_value(name, labels)


@pytest.fixture
def world(make):
    world = World(make)
    world.send(make.decision("identity", event=make.upload()))
    return world


def complaint(make, number, kind="illegal"):
    return Complaint(
        complaint_id=f"k-{number}", receipt_sha256="ab" * 32, kind=kind, publisher_id="p-1", content_id="c-1",
        text="x", complainant=f"u-{number}", received_at=make.now,
    )  # fmt: skip


def routes(out):
    return [(each.topic.name, each.key) for each in out]


def test_a_complaint_is_answered_and_ordered_under_the_keys_of_the_topics(make, world):
    out = world.send(complaint(make, 0))
    assert routes(out) == [
        ("complaint_results", "k-0"),
        ("decisions", "p-1"),
        ("reviews", "c-1"),
        ("complaint_results", "k-0"),
    ]
    world.send(complaint(make, 1))
    assert ("takedowns", "c-1") in routes(world.send(complaint(make, 2)))
    for each in out:
        assert isinstance(each.value, each.topic.message)
        assert each.key == getattr(each.value, each.topic.key)
    assert world.value("veristream_decisions_total", agent="complaints", action="takedown") == 1
    assert world.value("veristream_complaints_total", kind="illegal") == 3


def test_an_appeal_of_what_is_held_asks_a_person(make, world):
    for number in range(3):
        world.send(complaint(make, number))
    assert routes(world.send(complaint(make, 9, "appeal"))) == [
        ("complaint_results", "k-9"),
        ("decisions", "p-1"),
        ("reviews", "c-1"),
        ("complaint_results", "k-9"),
    ]


def test_open_and_overdue_are_counted_and_the_time_to_the_result(make, world):
    world.send(complaint(make, 0))
    for hours, overdue in ((23, 0), (24, 1)):
        list(world.agent.tick(make.now + timedelta(hours=hours)))
        assert world.value("veristream_complaints_open", kind="illegal") == 1
        assert world.value("veristream_complaints_overdue", kind="illegal") == overdue
    assert world.value("veristream_complaints_open", kind="rumor") == 0
    world.now = make.at(3600)
    ruling = Ruling(
        ruling_id="r", publisher_id="p-1", outcome="upheld", reviewer_id="me", reason="x", ruled_at=world.now,
        complaint_id="k-0",
    )  # fmt: skip
    assert routes(world.send(ruling)) == [("complaint_results", "k-0")]
    list(world.agent.tick(make.at(90_000)))
    assert world.value("veristream_complaints_open", kind="illegal") == 0
    assert world.value("veristream_complaint_result_seconds_sum", kind="illegal") == pytest.approx(3600)
    with pytest.raises(Refused):
        world.send(Ruling(**{name: getattr(ruling, name) for name in ruling.__struct_fields__} | {"complaint_id": "?"}))


async def test_it_reads_back_its_partitions_and_every_result(make, world):
    world.history = [complaint(make, 0)]
    await world.agent.restore(frozenset({("complaints", 3), ("rulings", 3), ("decisions", 3), ("decisions", 7)}))
    ((since, only, _),) = world.asked
    assert since == {
        COMPLAINTS: 30 * DAY_S, RULINGS: 30 * DAY_S, COMPLAINT_RESULTS: 30 * DAY_S,
        DECISIONS: DAY_S, REVIEWS: DAY_S, TAKEDOWNS: DAY_S,
    }  # fmt: skip
    assert only == {COMPLAINTS: frozenset({3}), RULINGS: frozenset({3}), DECISIONS: frozenset({3, 7})}
