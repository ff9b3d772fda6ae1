"""The refuting agent with a context made by hand: what was published gets its refutation when the entry comes."""

from __future__ import annotations

from datetime import timedelta
from time import monotonic

import pytest
from prometheus_client import CollectorRegistry

from agents.refuting.agent import WATCH_S, Refuting
from agents.refuting.judge import truth_id
from schemas.bank import RumorRefutation
from schemas.message import encode
from schemas.policy import default_policy
from schemas.topics import DECISIONS, POLICIES, RUMORS, SIGNALS
from streams.agent import Context, Incoming
from streams.metrics import Metrics
from streams.settings import Settings
from streams.views import View

CLAIM = "喝盐水可以预防核辐射"
SAID = f"邻居说{CLAIM}，快转发"
PARTITION = 3


class World:
    """Views that are filled by hand, topics to read back, and a folder that outlives workers."""

    def __init__(self, make, folder):
        self.make, self.folder = make, folder
        self.now = make.now
        self.history = []
        self.asked = []
        self.offsets = {SIGNALS.name: 0, DECISIONS.name: 0}
        self.rows = {}
        self.agents = []

    async def worker(self):
        """Another worker: the views read from the beginning, its partition assigned."""
        metrics = Metrics(CollectorRegistry())
        self.views = {topic.name: View(topic, metrics) for topic in Refuting.views}
        self.metrics = metrics
        settings = Settings(policy="default", index_dir=self.folder)
        agent = Refuting(Context(settings, metrics, self.views, lambda: self.now, self._read_back))
        self.put(POLICIES, default_policy())
        for topic, row in list(self.rows.values()):
            self.put(topic, row)
        await agent.start()
        await agent.restore(frozenset({(SIGNALS.name, PARTITION), (DECISIONS.name, PARTITION)}))
        self.agents.append(agent)
        return agent

    async def _read_back(self, since, only, after):
        self.asked.append((since, only, after))
        for topic, partition, offset, value in self.history:
            if offset >= after.get((topic, partition), 0):
                yield Incoming(topic, partition, offset, value)

    def put(self, topic, row):
        self.rows[topic.name, getattr(row, topic.key)] = (topic, row)
        self.views[topic.name].apply(getattr(row, topic.key).encode(), encode(row))

    def send(self, agent, value):
        """Deliver a message; what it causes."""
        topic = SIGNALS if type(value) is SIGNALS.message else DECISIONS
        offset = self.offsets[topic.name]
        self.offsets[topic.name] += 1
        self.history.append((topic.name, PARTITION, offset, value))
        return list(agent.handle(Incoming(topic.name, PARTITION, offset, value)))

    def ticks(self, agent, *, until=None):
        """Tick until nothing is to be searched for any more; everything that came of it."""
        out, deadline = [], monotonic() + 20
        while True:
            out += agent.tick(self.now)
            if self.sample("veristream_refuting_waiting") == 0 or (until and until(out)):
                return out + list(agent.tick(self.now))
            assert monotonic() < deadline

    def sample(self, name, **labels):
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


@pytest.fixture
async def world(make, tmp_path):
    made = World(make, tmp_path)
    yield made
    for agent in made.agents:
        await agent.stop()


def item(make, number, title=SAID, **changes):
    return make.signals(event=make.upload(event_id=f"e-{number}", content_id=f"c-{number}", title=title), **changes)


def segment(make, seq, title=SAID, **changes):
    return make.signals(event=make.segment(seq, title=title, **changes))


def orders(out, topic="refutations"):
    return [each.value for each in out if each.topic.name == topic]


async def test_what_was_published_gets_its_refutation_when_the_claim_is_refuted(make, world):
    agent = await world.worker()
    assert [out for n in (1, 2) for out in world.send(agent, item(make, n))] == []
    world.send(agent, item(make, 3, "今天天气很好，去公园散步"))
    world.put(RUMORS, make.rumor(CLAIM, status="suspected"))
    assert world.ticks(agent) == []
    world.now = make.at(100)
    world.put(RUMORS, make.rumor(CLAIM))
    out = world.ticks(agent)
    first, second = sorted(orders(out), key=lambda order: order.content_id)
    assert (first.content_id, second.content_id) == ("c-1", "c-2")
    assert (first.text, first.url, first.authority) == ("the truth on r-1", "https://example.org/1", "An authority")
    assert (first.content_ids, first.published_at, first.ordered_at) == (("c-1",), make.at(-1), make.at(100))
    assert {each.key for each in out if each.topic.name in ("labels", "refutations")} == {"c-1", "c-2"}
    label = next(label for label in orders(out, "labels") if label.content_id == "c-1")
    assert (label.explicit.text, label.level) == (default_policy().rumor.notice, 0)
    decision = next(each for each in orders(out, "decisions") if each.content_id == "c-1")
    assert (decision.agent, decision.action, decision.reasons[0].code) == ("refuting", "label", "RUMOR-REFUTED-LATER")
    assert first.decision_id == label.decision_id == decision.decision_id
    assert decision.reasons[0].evidence[0].entry == "r-1"
    assert world.sample("veristream_refuting_seconds_count") == 1
    assert world.sample("veristream_refuting_orders_total", of="item") == 2


async def test_neither_the_same_entry_nor_a_restart_orders_again(make, world):
    agent = await world.worker()
    world.send(agent, item(make, 1))
    world.put(RUMORS, make.rumor(CLAIM))
    assert len(orders(world.ticks(agent))) == 1
    world.put(RUMORS, make.rumor(CLAIM))
    assert world.ticks(agent) == []
    await agent.stop()
    again = await world.worker()
    assert world.ticks(again) == []
    assert world.asked[-1][2][SIGNALS.name, PARTITION] == 1, "only what the file lacks is read again"


async def test_a_worker_that_dies_before_the_broker_has_the_orders_gives_them_again_with_the_same_ids(make, world):
    agent = await world.worker()
    world.send(agent, item(make, 1))
    agent.tick(world.now)
    world.put(RUMORS, make.rumor(CLAIM))
    first = []
    while not first:
        first = orders(agent.tick(world.now))  # and is gone before the next tick, which acknowledges
    again = await world.worker()
    assert [order.order_id for order in orders(world.ticks(again))] == [first[0].order_id]


async def test_a_lost_disk_gives_the_same_orders_again(make, world, tmp_path):
    agent = await world.worker()
    for number in range(3):
        world.send(agent, item(make, number))
    world.put(RUMORS, make.rumor(CLAIM))
    first = {order.order_id for order in orders(world.ticks(agent))}
    world.folder = tmp_path / "another"
    again = await world.worker()
    assert {order.order_id for order in orders(world.ticks(again))} == first
    assert len(first) == 3


async def test_what_the_rumour_agent_refuted_itself_is_not_ordered_twice(make, world):
    agent = await world.worker()
    signals = item(make, 1)
    world.send(agent, signals)
    said = make.decision("rumor", "label", "RUMOR-REFUTED", event=signals.event)
    evidence = make.signals().signals
    assert evidence == ()
    world.send(agent, with_entry(said, "r-1"))
    world.put(RUMORS, make.rumor(CLAIM))
    assert orders(world.ticks(agent)) == []


def with_entry(decision, rumor_id):
    from msgspec.structs import replace

    from schemas.signals import Evidence

    reasons = tuple(replace(reason, evidence=(Evidence(entry=rumor_id),)) for reason in decision.reasons)
    return replace(decision, reasons=reasons)


async def test_another_text_of_the_refutation_is_ordered_anew_also_where_the_rumour_agent_had_the_former(make, world):
    agent = await world.worker()
    for number in (1, 2):
        world.send(agent, item(make, number))
    world.send(agent, with_entry(make.decision("rumor", "label", "RUMOR-REFUTED", event=item(make, 2).event), "r-1"))
    world.put(RUMORS, make.rumor(CLAIM))
    assert [order.content_id for order in orders(world.ticks(agent))] == ["c-1"]
    truth = RumorRefutation(text="a better text", authority="An authority")
    world.put(RUMORS, make.rumor(CLAIM, refutation=truth))
    found = orders(world.ticks(agent))
    assert {order.content_id for order in found} == {"c-1", "c-2"}
    assert {order.text for order in found} == {"a better text"}


async def test_a_removed_item_is_not_refuted(make, world):
    agent = await world.worker()
    for number in (1, 2):
        world.send(agent, item(make, number))
    world.send(agent, make.decision("review", "takedown", "REVIEW-HASH", event=item(make, 1).event))
    held = make.decision(
        "synthetic", "takedown", "SYNTH-DECLARED", event=item(make, 2).event, stop=("hold", "labelled")
    )
    world.send(agent, held)
    world.put(RUMORS, make.rumor(CLAIM))
    assert [order.content_id for order in orders(world.ticks(agent))] == ["c-2"], "what is held may be released"


async def test_a_stream_gets_one_order_that_names_its_segments_and_says_whether_it_runs(make, world):
    agent = await world.worker()
    for seq in range(5):
        world.send(agent, segment(make, seq, SAID if seq in (1, 3) else "别的话题，和它没有关系"))
    world.put(RUMORS, make.rumor(CLAIM))
    (order,) = orders(world.ticks(agent))
    assert (order.stream_id, order.content_ids, order.running) == ("s-1", ("c-s-1-1", "c-s-1-3"), True)
    assert order.content_id == "c-s-1-3"
    assert world.sample("veristream_refuting_orders_total", of="stream") == 1
    world.send(agent, segment(make, 5, "再见各位", last=True))
    world.put(RUMORS, make.rumor(CLAIM, refutation=RumorRefutation(text="another text", authority="A")))
    (order,) = orders(world.ticks(agent))
    assert order.running is False


async def test_an_item_on_its_way_when_the_entry_changed_is_refuted_whichever_of_its_messages_comes_last(make, world):
    agent = await world.worker()
    world.put(RUMORS, make.rumor(CLAIM))
    assert world.ticks(agent) == []
    # The rumour agent decided on these before it knew the entry; the search came before their signals did.
    allowed = [make.decision("rumor", event=item(make, number).event) for number in (1, 2, 3)]
    assert world.send(agent, item(make, 1)) == []
    assert [order.content_id for order in orders(world.send(agent, allowed[0]))] == ["c-1"]
    assert world.send(agent, allowed[1]) == []
    assert [order.content_id for order in orders(world.send(agent, item(make, 2)))] == ["c-2"]
    world.send(agent, item(make, 4))
    knew = with_entry(make.decision("rumor", "label", "RUMOR-REFUTED", event=item(make, 4).event), "r-1")
    assert world.send(agent, knew) == [], "this one it knew"
    world.now = make.at(WATCH_S + 1)
    world.send(agent, item(make, 3))
    assert world.send(agent, allowed[2]) == [], "whoever decides now knows the entry"


async def test_a_message_that_comes_again_is_kept_once(make, world):
    agent = await world.worker()
    world.send(agent, item(make, 1))
    assert list(agent.handle(Incoming(SIGNALS.name, PARTITION, 0, item(make, 1)))) == []
    list(agent.tick(world.now))
    assert world.sample("veristream_refuting_items") == 1


async def test_what_is_older_than_the_policys_days_is_not_refuted(make, world):
    agent = await world.worker()
    world.send(agent, item(make, 1))
    world.now = make.now + timedelta(days=15)
    list(agent.tick(world.now))
    world.send(agent, item(make, 2, extracted_at=world.now))
    world.put(RUMORS, make.rumor(CLAIM))
    assert [order.content_id for order in orders(world.ticks(agent))] == ["c-2"]


@pytest.mark.parametrize("row", [{"status": "suspected"}, {"status": "true"}, {"expires": True}], ids=str)
async def test_an_entry_that_is_not_refuted_or_no_longer_in_force_orders_nothing(make, world, row):
    agent = await world.worker()
    world.send(agent, item(make, 1))
    if row.pop("expires", False):
        world.put(RUMORS, make.rumor(CLAIM, added_at=make.at(-100), expires_at=make.at(-50)))
    else:
        world.put(RUMORS, make.rumor(CLAIM, **row))
    assert world.ticks(agent) == []


async def test_the_policy_says_what_follows_and_may_switch_it_off(make, world):
    agent = await world.worker()
    world.send(agent, item(make, 1))
    base = default_policy()
    import msgspec

    rules = msgspec.structs.replace(base.rumor, on_refuted="review")
    world.put(POLICIES, msgspec.structs.replace(base, version=2, rumor=rules))
    world.put(RUMORS, make.rumor(CLAIM))
    out = world.ticks(agent)
    assert [each.topic.name for each in out] == ["decisions", "reviews", "refutations"]
    off = msgspec.structs.replace(base, version=3, refuting=msgspec.structs.replace(base.refuting, days=0.0))
    world.put(POLICIES, off)
    world.send(agent, item(make, 2))
    world.put(RUMORS, make.rumor(CLAIM, rumor_id="r-2"))
    list(agent.tick(world.now))
    assert world.sample("veristream_refuting_items") == 1


def test_the_truth_is_known_by_what_is_shown():
    one = RumorRefutation(text="t", authority="a", url="u")
    assert truth_id(one) == truth_id(RumorRefutation(text="t", authority="a", url="u"))
    assert truth_id(one) != truth_id(RumorRefutation(text="t2", authority="a", url="u"))


# What was ordered is taken back.


def withdrawn(out):
    return [order for order in orders(out) if order.withdrawn]


def truth(make):
    """The entry, once the claim has turned out to be true."""
    return make.rumor(CLAIM, status="true", refutation=RumorRefutation(text="it is true", authority="An authority"))


async def refuted(make, world, *numbers):
    """A worker that has had these items refuted, and the orders."""
    agent = await world.worker()
    for number in numbers:
        world.send(agent, item(make, number))
    world.put(RUMORS, make.rumor(CLAIM))
    return agent, orders(world.ticks(agent))


def delete(world, rumor_id="r-1"):
    world.rows.pop((RUMORS.name, rumor_id))
    world.views[RUMORS.name].apply(rumor_id.encode(), None)


async def test_a_claim_that_is_true_after_all_has_its_refutations_taken_back_once(make, world):
    agent, ordered = await refuted(make, world, 1, 2)
    world.now = make.at(50)
    world.put(RUMORS, truth(make))
    out = world.ticks(agent)
    assert {each.topic.name for each in out} == {"refutations"}
    first, second = sorted(withdrawn(out), key=lambda order: order.content_id)
    assert (first.content_ids, second.content_ids) == (("c-1",), ("c-2",))
    assert (first.rumor_id, first.text, first.authority) == ("r-1", "it is true", "An authority")
    assert (first.ordered_at, first.publisher_id, first.stream_id) == (make.at(50), "p-1", None)
    assert {first.decision_id, second.decision_id} == {order.decision_id for order in ordered}
    assert {first.order_id, second.order_id}.isdisjoint(order.order_id for order in ordered)
    assert {each.key for each in out} == {"c-1", "c-2"}, "each follows its order in the same partition"
    world.put(RUMORS, truth(make))
    assert world.ticks(agent) == []
    await agent.stop()
    world.now = make.at(100)
    assert world.ticks(await world.worker()) == []
    assert world.sample("veristream_refuting_orders_total", of="withdrawal") == 0, "of the worker that came after"


@pytest.mark.parametrize("how", ["deleted", "suspected"])
async def test_an_entry_that_is_withdrawn_says_nothing_in_its_place(make, world, how):
    agent, _ = await refuted(make, world, 1)
    if how == "deleted":
        delete(world)
    else:
        world.put(RUMORS, make.rumor(CLAIM, status="suspected"))
    (message,) = withdrawn(world.ticks(agent))
    assert (message.content_ids, message.text, message.authority, message.url) == (("c-1",), "", "", "")


async def test_what_the_rumour_agent_ordered_is_taken_back_too(make, world):
    agent = await world.worker()
    world.put(RUMORS, make.rumor(CLAIM))
    world.send(agent, item(make, 1))
    said = make.decision("rumor", "label", "RUMOR-REFUTED", event=item(make, 1).event)
    world.send(agent, with_entry(said, "r-1"))
    assert world.ticks(agent) == []
    delete(world)
    (message,) = withdrawn(world.ticks(agent))
    assert (message.content_ids, message.decision_id) == (("c-1",), said.decision_id)


async def test_a_stream_has_all_its_segments_taken_back_in_one_message_that_says_whether_it_runs(make, world):
    agent = await world.worker()
    for seq in range(4):
        world.send(agent, segment(make, seq, SAID if seq in (1, 3) else "别的话题，和它没有关系"))
    world.put(RUMORS, make.rumor(CLAIM))
    assert len(orders(world.ticks(agent))) == 1
    late = make.decision("rumor", "label", "RUMOR-REFUTED", event=segment(make, 2).event)
    world.send(agent, with_entry(late, "r-1"))
    world.put(RUMORS, truth(make))
    (message,) = withdrawn(world.ticks(agent))
    assert (message.stream_id, message.running) == ("s-1", True)
    assert set(message.content_ids) == {"c-s-1-1", "c-s-1-2", "c-s-1-3"}


async def test_an_entry_that_changed_while_no_worker_ran_has_its_orders_taken_back_at_the_start(make, world):
    agent, _ = await refuted(make, world, 1)
    await agent.stop()
    world.rows.pop((RUMORS.name, "r-1"))
    world.now = make.at(100)
    (message,) = withdrawn(world.ticks(await world.worker()))
    assert message.content_ids == ("c-1",)


async def test_a_worker_that_dies_before_the_broker_has_the_withdrawal_gives_it_again_with_the_same_id(make, world):
    agent, _ = await refuted(make, world, 1)
    delete(world)
    first = withdrawn(agent.tick(world.now))  # and is gone before the next tick, which acknowledges
    world.now = make.at(100)
    again = await world.worker()
    assert [message.order_id for message in withdrawn(world.ticks(again))] == [first[0].order_id]


async def test_a_worker_that_lost_its_disk_knows_by_the_decisions_what_to_take_back(make, world, tmp_path):
    agent = await world.worker()
    world.send(agent, item(make, 1))
    world.put(RUMORS, make.rumor(CLAIM))
    for decision in orders(world.ticks(agent), "decisions"):
        world.send(agent, decision)
    world.folder = tmp_path / "another"
    delete(world)
    lost = await world.worker()
    assert withdrawn(lost.tick(world.now)) == [], "a decision may be on an entry that this worker has not heard of yet"
    world.now = make.at(100)
    (message,) = withdrawn(world.ticks(lost))
    assert message.content_ids == ("c-1",)


async def test_a_refutation_that_is_on_its_way_when_the_entry_changes_is_taken_back_as_well(make, world):
    agent, _ = await refuted(make, world, 1)
    world.put(RUMORS, truth(make))
    assert len(withdrawn(world.ticks(agent))) == 1
    # Decided by a worker that had not heard of it.
    world.send(agent, item(make, 2))
    world.send(agent, with_entry(make.decision("rumor", "label", "RUMOR-REFUTED", event=item(make, 2).event), "r-1"))
    assert world.ticks(agent) == []
    world.now = make.at(61)
    assert [message.content_ids for message in withdrawn(world.ticks(agent))] == [("c-2",)]


async def test_a_search_that_is_on_ends_when_the_claim_is_refuted_no_more(make, world, monkeypatch):
    monkeypatch.setattr("agents.refuting.agent.ORDERS_A_TICK", 1)
    agent = await world.worker()
    for number in range(5):
        world.send(agent, item(make, number))
    world.put(RUMORS, make.rumor(CLAIM))
    out = []
    while not orders(out):
        out += agent.tick(world.now)
    (only,) = orders(out)
    world.put(RUMORS, truth(make))
    out = orders(world.ticks(agent))
    assert [(order.withdrawn, order.content_ids) for order in out] == [(True, only.content_ids)]


async def test_a_claim_that_is_refuted_again_is_ordered_anew_and_can_be_taken_back_again(make, world):
    agent, (first,) = await refuted(make, world, 1)
    ids = [first.order_id]
    for _ in range(2):
        world.put(RUMORS, truth(make))
        (back,) = withdrawn(world.ticks(agent))
        world.put(RUMORS, make.rumor(CLAIM))
        (again,) = orders(world.ticks(agent))
        assert (again.withdrawn, again.text) == (False, first.text)
        ids += [back.order_id, again.order_id]
    assert len(set(ids)) == 5, "who has dealt with one must not take the next for it"


async def test_an_entry_whose_time_is_over_keeps_its_refutations(make, world):
    agent, _ = await refuted(make, world, 1)
    world.put(RUMORS, make.rumor(CLAIM, added_at=make.at(-9), expires_at=make.at(-1)))
    assert world.ticks(agent) == []
