"""Each agent with a context made by hand: which messages a message causes, under which keys, and what is counted."""

from __future__ import annotations

import asyncio
import dataclasses

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from agents.identity.agent import Identity
from agents.review.agent import Review
from agents.review.bank_rows import bank_of
from agents.review.near_miss import NearMiss
from agents.rumor.agent import Rumor
from agents.rumor.match import RumorList
from agents.synthetic.agent import DAY_S, Synthetic
from agents.synthetic.marks import DAYS
from agents.verdict.agent import STREAMS_BACK_S, Verdict
from agents.verdict.join import KEEP_S
from schemas.message import encode
from schemas.policy import Term, default_policy
from schemas.signals import CODE_S, Evidence, FrameHash, SoundPrint
from schemas.topics import (
    DECISIONS,
    ENTITIES,
    FEATURES,
    HASHBANK,
    LISTS,
    MARKED,
    POLICIES,
    PROVIDERS,
    PUBLISHERS,
    RELEASES,
    RUMORS,
    STANDINGS,
    TAKEDOWNS,
    VERDICTS,
)
from streams.agent import Context, Incoming
from streams.metrics import Metrics
from streams.settings import Settings
from streams.views import View

CODE = int("0123456789abcdef" * 4, 16)


class World:
    """A context: views that are filled by hand, a clock that stands still until it is set, a topic to read back."""

    def __init__(self, make):
        self.metrics = Metrics(CollectorRegistry())
        self.views = {
            topic.name: View(topic, self.metrics)
            for topic in (POLICIES, PUBLISHERS, PROVIDERS, FEATURES, STANDINGS, ENTITIES, HASHBANK, LISTS, RUMORS)
        }
        self.now = make.now
        self.history = []
        self.asked = []
        self.make = make
        self.put(POLICIES, default_policy())
        self.context = Context(Settings(policy="default"), self.metrics, self.views, lambda: self.now, self._read_back)

    def _read_back(self, since, only, after):
        self.asked.append((since, only, after))
        return self.make.read_back(self.history, since)

    def put(self, topic, row):
        self.views[topic.name].apply(getattr(row, topic.key).encode(), encode(row))

    def delete(self, topic, key):
        self.views[topic.name].apply(key.encode(), None)

    def counted(self, name, **labels):
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


@pytest.fixture
def world(make):
    return World(make)


def sent(agent, message):
    """What a message causes, as (topic, key, value)."""
    out = agent.handle(Incoming("a topic", 0, 0, message))
    return [(each.topic.name, each.key, each.value) for each in out]


def routes(messages):
    return [(topic, key) for topic, key, _ in messages]


def value(messages, topic):
    (found,) = [value for name, _, value in messages if name == topic]
    return found


def codes(messages):
    return [reason.code for reason in value(messages, "decisions").reasons]


def known(make, world):
    world.put(PUBLISHERS, make.publisher())
    world.put(PROVIDERS, make.provider(make.licence(services=("*",))))


# Identity


@pytest.mark.parametrize("kind", ["upload", "segment"])
def test_identity_decides_and_admits_what_it_knows(make, world, kind):
    known(make, world)
    event = make.upload() if kind == "upload" else make.segment(3)
    messages = sent(Identity(world.context), event)
    assert routes(messages) == [("decisions", "p-1"), ("admitted", "p-1")]
    admitted = value(messages, "admitted")
    assert (admitted.event, admitted.admitted_at) == (event, make.now)
    assert world.counted("veristream_decisions_total", agent="identity", action="allow") == 1


def test_identity_holds_what_it_does_not_know_and_does_not_admit_it(make, world):
    messages = sent(Identity(world.context), make.upload(feature_id="f-1"))
    assert routes(messages) == [("decisions", "p-1"), ("takedowns", "c-1")]
    assert codes(messages) == ["ID-UNKNOWN", "LICENCE-UNKNOWN-PROVIDER", "FEATURE-UNKNOWN"]
    assert world.counted("veristream_decisions_total", agent="identity", action="takedown") == 1
    for code in codes(messages):
        labels = {"agent": "identity", "action": "takedown", "code": code}
        assert world.counted("veristream_decision_reasons_total", **labels) == 1


def test_identity_sees_a_row_from_the_next_message_on(make, world):
    agent = Identity(world.context)
    event = make.upload(feature_id="f-1")
    known(make, world)
    assert codes(sent(agent, event)) == ["FEATURE-UNKNOWN"]
    world.put(FEATURES, make.feature())
    assert codes(sent(agent, event)) == []
    world.now = make.at(2)  # the assessment has run out
    assert codes(sent(agent, event)) == ["FEATURE-EXPIRED"]
    world.delete(PUBLISHERS, "p-1")
    assert codes(sent(agent, event)) == ["ID-UNKNOWN", "FEATURE-EXPIRED"]


# Review


def test_review_allows_what_nothing_speaks_against(make, world):
    assert routes(sent(Review(world.context), make.signals())) == [("decisions", "p-1")]
    assert world.counted("veristream_decisions_total", agent="review", action="allow") == 1


def test_review_uses_a_row_of_the_hash_bank_from_the_next_message_on(make, world):
    agent = Review(world.context)
    signals = make.signals(frames=(make.frame(CODE),))
    assert codes(sent(agent, signals)) == []
    world.put(HASHBANK, make.entry(CODE))
    messages = sent(agent, signals)
    assert routes(messages) == [("decisions", "p-1"), ("takedowns", "c-1")]
    assert codes(messages) == ["REVIEW-HASH"]
    world.delete(HASHBANK, "b-1")
    assert codes(sent(agent, signals)) == []


def test_review_uses_a_banned_files_sha256_from_the_next_message_on(make, world):
    agent = Review(world.context)
    assert codes(sent(agent, make.signals())) == []
    world.put(HASHBANK, make.entry(sha256="ab" * 32))
    assert codes(sent(agent, make.signals())) == ["REVIEW-HASH"]


def test_review_drops_an_entry_when_it_expires_though_no_row_has_changed(make, world):
    agent = Review(world.context)
    world.put(HASHBANK, make.entry(CODE, sha256="ab" * 32, expires_at=make.at(10)))
    signals = make.signals(frames=(make.frame(CODE),))
    for seconds, expected in ((0, 2), (9.999, 2), (10, 0), (11, 0)):
        world.now = make.at(seconds)
        assert len(codes(sent(agent, signals))) == expected


def test_review_hears_a_sound_of_the_hash_bank_from_the_next_message_on_until_it_goes_or_expires(make, world):
    agent = Review(world.context)
    song = np.random.default_rng(1).integers(0, 2**32, 120, np.uint32).astype("<u4").tobytes()
    print_ = SoundPrint(at_s=0.0, until_s=120 * CODE_S, codes=song)
    signals = make.signals(sounds=(print_,))
    assert codes(sent(agent, signals)) == []
    world.put(HASHBANK, make.entry(sounds=(print_,)))
    assert codes(sent(agent, signals)) == ["REVIEW-SOUND"]
    world.put(HASHBANK, make.entry(sounds=(print_,), active=False))
    assert codes(sent(agent, signals)) == []
    world.put(HASHBANK, make.entry(sounds=(print_,), expires_at=make.at(10)))
    assert codes(sent(agent, signals)) == ["REVIEW-SOUND"]
    world.now = make.at(10)
    assert codes(sent(agent, signals)) == []
    world.put(HASHBANK, make.entry(sounds=(print_,)))
    world.delete(HASHBANK, "b-1")
    assert codes(sent(Review(world.context), signals)) == codes(sent(agent, signals)) == []


async def test_review_has_its_lists_ready_before_its_first_message(make, world, monkeypatch):
    loaded = asyncio.Event()
    agent = Review(dataclasses.replace(world.context, loaded=loaded.wait))
    starting = asyncio.create_task(agent.warm())
    await asyncio.sleep(0)
    terms = (Term(text="枪支出售", category="weapons", action="takedown"),)
    world.put(POLICIES, make.policy(version=2, review={"terms": terms}))  # it lay in the topic
    assert not starting.done()
    loaded.set()
    await starting
    other = Review(world.context)
    await other.restore(frozenset())  # with a worker's first partitions, which may come before
    monkeypatch.setattr("agents.review.lists.TermList", lambda *_: 1 / 0)  # nothing is left to be made
    for one in (agent, other):
        assert codes(sent(one, make.signals(event=make.upload(title="枪支出售")))) == ["REVIEW-TERM"]


def test_review_judges_by_a_new_policy_from_the_next_message_on_and_names_it(make, world):
    agent = Review(world.context)
    signals = make.signals(
        make.signal("nudity", 0.5), event=make.upload(title="a VPN"), frames=(make.frame(CODE ^ 0xFF, quality=60),)
    )
    world.put(HASHBANK, make.entry(CODE))

    def decided(version, **review):
        world.put(POLICIES, make.policy(version=version, review=review))
        decision = value(sent(agent, signals), "decisions")
        assert (decision.policy.name, decision.policy.version) == ("default", version)
        return [reason.code for reason in decision.reasons]

    assert decided(2) == ["REVIEW-HASH"]
    assert decided(3, hash_max_distance=7) == []
    assert decided(4, hash_min_quality=61) == []
    assert decided(5, hash_max_distance=7, nudity_review=0.5) == ["REVIEW-NUDITY"]
    assert decided(6, hash_max_distance=7, terms=(Term(text="vpn", category="c"),)) == ["REVIEW-TERM"]
    assert decided(7) == ["REVIEW-HASH"]


def test_review_and_extraction_look_into_one_bank_of_their_worker(make, world):
    agent, near = Review(world.context), NearMiss(world.views)
    world.put(HASHBANK, make.entry(CODE))
    bank = bank_of(world.views[HASHBANK.name])
    assert agent._bank is near._bank is bank
    assert (len(bank), bank["b-1"]) == (1, make.entry(CODE))


def test_review_asks_a_person_and_counts_the_reason(make, world):
    messages = sent(Review(world.context), make.signals(make.signal("nudity", 0.99)))
    assert routes(messages) == [("decisions", "p-1"), ("reviews", "c-1")]
    labels = {"agent": "review", "action": "review", "code": "REVIEW-NUDITY"}
    assert world.counted("veristream_decision_reasons_total", **labels) == 1


# Synthetic


def test_synthetic_orders_hold_and_label_of_what_is_declared_and_unlabelled(make, world):
    messages = sent(Synthetic(world.context), make.signals(event=make.upload(declared_synthetic=True)))
    assert routes(messages) == [("decisions", "p-1"), ("takedowns", "c-1"), ("labels", "c-1")]
    assert value(messages, "takedowns").until == "labelled"
    assert value(messages, "labels").level == 2
    assert world.counted("veristream_decisions_total", agent="synthetic", action="takedown") == 1


def test_synthetic_judges_by_a_new_policy_from_the_next_message_on_and_names_it(make, world):
    agent = Synthetic(world.context)
    signals = make.signals(make.signal("tool"))
    first = sent(agent, signals)
    world.put(POLICIES, make.policy(version=2, synthetic={"traces": "allow"}))
    second = sent(agent, signals)
    assert routes(first) == [("decisions", "p-1"), ("labels", "c-1")]
    assert routes(second) == [("decisions", "p-1")]
    assert [value(each, "decisions").policy.version for each in (first, second)] == [1, 2]
    assert len({value(each, "decisions").decision_id for each in (first, second)}) == 2


def test_a_policy_of_another_name_is_not_in_force(make, world):
    world.put(POLICIES, make.policy(name="trial", version=9, synthetic={"traces": "allow"}))
    decision = value(sent(Synthetic(world.context), make.signals(make.signal("tool"))), "decisions")
    assert (decision.action, decision.policy.name, decision.policy.version) == ("label", "default", 1)


# Rumour

CLAIM = "喝盐水可以预防核辐射"


def test_rumor_orders_notice_and_refutation_of_what_is_refuted(make, world):
    world.put(RUMORS, make.rumor(CLAIM))
    messages = sent(Rumor(world.context), make.signals(event=make.upload(title=CLAIM)))
    assert routes(messages) == [("decisions", "p-1"), ("labels", "c-1"), ("refutations", "c-1")]
    assert value(messages, "labels").implicit is None
    decision, refutation = value(messages, "decisions"), value(messages, "refutations")
    assert (refutation.rumor_id, refutation.content_id, refutation.publisher_id) == ("r-1", "c-1", "p-1")
    assert (refutation.text, refutation.authority) == ("the truth on r-1", "An authority")
    assert refutation.url == "https://example.org/1"
    assert (refutation.decision_id, refutation.ordered_at) == (decision.decision_id, make.now)


def test_rumor_orders_a_refutation_for_each_refuted_rumour_and_for_no_other(make, world):
    for rumor_id, status in (("a", "refuted"), ("b", "suspected"), ("c", "true"), ("d", "refuted")):
        world.put(RUMORS, make.rumor(CLAIM, rumor_id=rumor_id, status=status))
    agent = Rumor(world.context)
    event = make.upload(title=CLAIM)
    orders = [value for topic, _, value in sent(agent, make.signals(event=event)) if topic == "refutations"]
    assert [order.text for order in orders] == ["the truth on a", "the truth on d"]
    assert len({order.order_id for order in orders}) == 2
    world.now = make.at(60)
    again = [value for topic, _, value in sent(agent, make.signals(event=event)) if topic == "refutations"]
    assert [order.order_id for order in again] == [order.order_id for order in orders]


def test_rumor_uses_a_row_from_the_next_message_on(make, world):
    agent = Rumor(world.context)
    signals = make.signals(event=make.upload(title=CLAIM))
    assert codes(sent(agent, signals)) == []
    world.put(RUMORS, make.rumor(CLAIM, status="suspected"))
    assert codes(sent(agent, signals)) == ["RUMOR-SUSPECTED"]
    world.put(RUMORS, make.rumor(CLAIM))
    assert codes(sent(agent, signals)) == ["RUMOR-REFUTED"]
    world.delete(RUMORS, "r-1")
    assert codes(sent(agent, signals)) == []


def test_rumor_drops_a_rumour_when_it_expires_though_no_row_has_changed(make, world):
    agent = Rumor(world.context)
    world.put(RUMORS, make.rumor(CLAIM, expires_at=make.at(10)))
    signals = make.signals(event=make.upload(title=CLAIM))
    for seconds, expected in ((0, 1), (9.999, 1), (10, 0)):
        world.now = make.at(seconds)
        assert len(codes(sent(agent, signals))) == expected


def test_rumor_judges_by_a_new_policy_from_the_next_message_on_and_names_it(make, world):
    agent = Rumor(world.context)
    world.put(RUMORS, make.rumor(CLAIM))
    signals = make.signals(event=make.upload(title="喝盐水能够预防核辐射"))
    assert codes(sent(agent, signals)) == ["RUMOR-REFUTED"]
    world.put(POLICIES, make.policy(version=2, rumor={"match": 0.95}))
    messages = sent(agent, signals)
    assert (codes(messages), value(messages, "decisions").policy.version) == ([], 2)


def test_rumor_takes_changes_up_without_making_its_list_again(make, world, monkeypatch):
    made = []

    def counted(*arguments, **options):
        made.append(RumorList(*arguments, **options))
        return made[-1]

    monkeypatch.setattr("agents.rumor.agent.RumorList", counted)
    world.put(RUMORS, make.rumor("明天全市停水三天请做好准备"))
    agent = Rumor(world.context)
    signals = make.signals(event=make.upload(title=CLAIM))
    assert codes(sent(agent, signals)) == []
    world.put(RUMORS, make.rumor(CLAIM, rumor_id="r-2"))
    assert codes(sent(agent, signals)) == ["RUMOR-REFUTED"]
    world.delete(RUMORS, "r-2")
    assert codes(sent(agent, signals)) == []
    assert len(made) == 1


@pytest.mark.parametrize(("installed", "expected"), [(True, "use-multilingual-v3"), (False, "not installed")])
def test_rumor_says_whether_it_looked_by_meaning(make, world, monkeypatch, installed, expected):
    monkeypatch.setattr("agents.rumor.meaning.installed", lambda: installed)
    agent = Rumor(world.context)
    assert value(sent(agent, make.signals()), "decisions").models["rumor.meaning"] == expected
    world.put(POLICIES, make.policy(version=2, rumor={"meaning": "off"}))
    assert value(sent(agent, make.signals()), "decisions").models["rumor.meaning"] == "off"


# Verdict


@pytest.fixture
def four(make):
    def decide(event=None, **changed):
        return [
            make.decision(agent, *changed.get(agent, ("allow",)), event=event)
            for agent in ("identity", "review", "synthetic", "rumor")
        ]

    return decide


def test_verdict_answers_with_the_last_decision_and_counts(make, world, four):
    agent = Verdict(world.context)
    *first, last = four()
    assert [message for decision in first for message in sent(agent, decision)] == []
    world.now = make.at(2)
    messages = sent(agent, last)
    assert routes(messages) == [("verdicts", "c-1")]
    assert value(messages, "verdicts").verdict == "publish"
    assert world.counted("veristream_verdicts_total", verdict="publish") == 1
    assert world.counted("veristream_verdict_seconds_count", kind="upload") == 1
    assert world.counted("veristream_verdict_seconds_sum", kind="upload") == pytest.approx(3.0)


def test_verdict_orders_the_cut_of_a_stream_under_the_segments_content_id(make, world, four):
    agent = Verdict(world.context)
    segment = make.segment(4)
    messages = [m for decision in four(segment, review=("takedown", "REVIEW-HASH")) for m in sent(agent, decision)]
    assert routes(messages) == [("takedowns", segment.content_id), ("verdicts", segment.content_id)]
    assert value(messages, "takedowns").kind == "cut_stream"
    assert world.counted("veristream_verdict_seconds_count", kind="segment") == 1


def test_verdict_answers_at_the_deadline_and_measures_only_the_first_answer(make, world, four):
    agent = Verdict(world.context)
    *first, last = four()
    for decision in first:
        sent(agent, decision)
    assert list(agent.tick(make.at(119))) == []
    (out,) = agent.tick(make.at(120))
    assert (out.topic, out.key, out.value.verdict) == (VERDICTS, "c-1", "hold")
    world.now = make.at(130)
    assert value(sent(agent, last), "verdicts").replaces == out.value.verdict_id
    assert world.counted("veristream_verdicts_total", verdict="hold") == 1
    assert world.counted("veristream_verdicts_total", verdict="publish") == 1
    assert world.counted("veristream_verdict_seconds_count", kind="upload") == 1


def test_verdict_waits_for_the_agents_of_a_new_policy_from_the_next_message_on(make, world):
    agent = Verdict(world.context)
    world.put(POLICIES, make.policy(version=2, verdict={"agents": ("review",)}))
    verdict = value(sent(agent, make.decision("review")), "verdicts")
    assert (verdict.verdict, verdict.policy.version) == ("publish", 2)


async def test_verdict_reads_back_what_it_needs_and_no_more(make, world, four):
    agent = Verdict(world.context)
    removed = four(make.segment(0), review=("takedown", "REVIEW-HASH"))
    world.history = [*removed, *four()]
    await agent.restore(frozenset({("decisions", 3), ("decisions", 7), ("other", 1)}))
    mine = {DECISIONS: frozenset({3, 7})}
    assert [asked[:2] for asked in world.asked] == [
        ({DECISIONS: KEEP_S}, mine),
        ({VERDICTS: KEEP_S, TAKEDOWNS: STREAMS_BACK_S, RELEASES: STREAMS_BACK_S}, mine),
    ]
    assert world.asked[0][2] == {}, "of partitions that are new to it everything is read that is young enough"
    out = list(agent.tick(make.at(1)))
    assert [(each.topic.name, each.key) for each in out] == [
        ("takedowns", "c-s-1-0"),
        ("verdicts", "c-s-1-0"),
        ("verdicts", "c-1"),
    ]


async def test_verdict_reads_of_a_partition_that_stays_only_what_it_does_not_know(make, world, four):
    agent = Verdict(world.context)
    world.history = four()
    await agent.restore(frozenset({("decisions", 3)}))
    agent.handle(Incoming("decisions", 3, 11, four()[0]))
    world.history = []
    world.asked.clear()
    await agent.restore(frozenset({("decisions", 3)}))
    assert [dict(after) for _, _, after in world.asked] == [{("decisions", 3): 12}, {("decisions", 3): 12}]
    world.asked.clear()
    await agent.restore(frozenset({("decisions", 3), ("decisions", 5)}))
    assert world.asked[0][1] == {DECISIONS: frozenset({3, 5})}
    assert world.asked[0][2] == {("decisions", 3): 12}, "and of what is new to it everything"
    world.asked.clear()
    await agent.restore(frozenset({("decisions", 5)}))
    await agent.restore(frozenset({("decisions", 3), ("decisions", 5)}))
    assert ("decisions", 3) not in world.asked[2][2], "what it had before and another had since"


async def test_verdict_begins_anew_where_its_last_answers_may_not_have_been_produced(make, world, four):
    agent = Verdict(world.context)
    mine = frozenset({("decisions", 3)})
    await agent.restore(mine)
    first = [message for decision in four() for message in sent(agent, decision)]
    agent.doubt()
    world.history = four()
    await agent.restore(mine)
    assert world.asked[2][2] == {}
    again = list(agent.tick(make.at(1)))
    assert [each.value.verdict_id for each in again] == [value.verdict_id for _, _, value in first] != []


@pytest.mark.parametrize("kind", [Identity, Review, Synthetic, Rumor, Verdict])
def test_an_agent_looks_up_only_the_views_that_it_names(make, world, kind):
    named = {topic.name: world.views[topic.name] for topic in kind.views}
    agent = kind(dataclasses.replace(world.context, views=named))
    removal = make.decision("review", "takedown", "REVIEW-HASH")
    message = {Identity: make.upload(feature_id="f-1"), Verdict: removal}.get(kind, make.signals())
    assert sent(agent, message)  # a view that it does not name would be a KeyError


@pytest.mark.parametrize("kind", [Identity, Review, Synthetic, Rumor])
def test_what_agents_send_is_of_the_topics_type_and_under_its_key(make, world, kind):
    world.put(RUMORS, make.rumor(CLAIM))
    world.put(HASHBANK, make.entry(CODE))
    event = make.upload(title=CLAIM, declared_synthetic=True)
    message = event if kind is Identity else make.signals(event=event, frames=(make.frame(CODE),))
    out = list(kind(world.context).handle(Incoming("a topic", 0, 0, message)))
    assert len(out) > 1
    for each in out:
        assert isinstance(each.value, each.topic.message)
        assert each.key == getattr(each.value, each.topic.key)


# A label that was taken off


async def test_synthetic_knows_a_removed_label_after_a_restart_from_its_own_marks(make, world):
    shown = tuple(FrameHash(at_s=float(at), pdq=f"{at + 1:x}" * 64, quality=100) for at in range(4))
    label = make.signal("aigc.compliant", 1.0, Evidence(entry="1", text="Label 1"))
    first = make.signals(label, event=make.upload(event_id="first", content_id="c-first"), frames=shown)
    messages = sent(Synthetic(world.context), first)
    assert routes(messages)[0] == ("marked", "p-1")
    world.history.append(value(messages, "marked"))
    again = make.signals(event=make.upload(event_id="again", content_id="c-again"), frames=shown)
    fresh = Synthetic(world.context)
    assert value(sent(fresh, again), "decisions").action == "allow"
    await fresh.restore(frozenset({("signals", 3)}))
    assert world.asked == [({MARKED: DAYS * DAY_S}, {MARKED: frozenset({3})}, {})]
    decision = value(sent(fresh, again), "decisions")
    assert (decision.action, [reason.code for reason in decision.reasons]) == ("takedown", ["LABEL-REMOVED"])
