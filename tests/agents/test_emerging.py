"""Bursts of one claim: which sentences are alike, what a sketch forgets, whom a burst is called on, how it travels."""

from __future__ import annotations

import random

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from agents.emerging.agent import Emerging
from agents.emerging.bursts import MOST_ACCOUNTS, Bursts, at_least, decision_on
from agents.emerging.sentences import BANDS, MOST, keys_of, sentences
from agents.emerging.sketch import DecayingSketch
from agents.text import normalised
from schemas.message import decode, encode
from schemas.plan import Plan, Ran
from schemas.policy import EmergingPolicy, default_policy
from schemas.signals import Caption, Utterance
from schemas.spread import Sighting
from schemas.topics import POLICIES, SIGHTINGS, SIGNALS
from streams.agent import Context, Incoming
from streams.metrics import Metrics
from streams.settings import Settings
from streams.views import View

CLAIM = "明天起全市自来水停水三天请大家赶紧存水"
NEW = Ran(plan=Plan(tier=1, why=("publisher_new",)))
POLICY = EmergingPolicy()


# Sentences


def shared(one, other):
    return len(set(keys_of(normalised(one))) & set(keys_of(normalised(other))))


@pytest.mark.parametrize(
    "other",
    [CLAIM, f"【{CLAIM}】！！", CLAIM.replace("赶紧", "马上"), f"紧急 {CLAIM}", "Ｍ" + CLAIM],
    ids=["same", "marks", "word", "before", "width"],
)
def test_alike_sentences_share_keys(other):
    assert shared(CLAIM, other) >= 1


def test_unlike_sentences_share_none():
    chance = random.Random(1)
    texts = ["".join(chr(chance.randrange(0x4E00, 0x9FA0)) for _ in range(18)) for _ in range(60)]
    assert sum(shared(one, other) for one in texts for other in texts if one < other) == 0
    assert shared("the water will be shut off tomorrow", "a recipe for noodles with beef and chili") == 0


def test_keys_are_the_same_in_every_process_and_differ_by_band():
    assert keys_of("今天天气很好") == keys_of("今天天气很好")
    assert len(set(keys_of("今天天气很好"))) == BANDS
    assert keys_of("ab")  # shorter than a group of signs
    assert all(0 <= key < 2**62 for key in keys_of(normalised(CLAIM)))


def test_an_items_sentences_come_from_all_that_it_says_each_once(make):
    event = make.upload(title=f"{CLAIM}！快看", description=f"{CLAIM}。Drink plenty of salt water every day. 短。")
    found = sentences(
        make.signals(
            event=event,
            captions=(Caption(at_s=0.0, until_s=1.0, text="字幕里说的另外一件事情真的吗", score=1.0),),
            speech=(Utterance(at_s=0.0, until_s=1.0, text="说话的人讲了一件别的事情哦", score=1.0),),
        ),
        10,
    )
    assert [(one.field, one.text) for one in found] == [
        ("title", CLAIM),
        ("description", "Drink plenty of salt water every day"),
        ("captions", "字幕里说的另外一件事情真的吗"),
        ("speech", "说话的人讲了一件别的事情哦"),
    ]


def test_a_long_text_gives_only_its_first_sentences(make):
    text = "。".join(f"这是第{number}个足够长的句子了呀" for number in range(100))
    assert len(sentences(make.signals(event=make.upload(description=text)), 10)) == MOST


# Sketch


def test_a_sketch_counts_what_comes_and_halves_it_with_each_half_life():
    sketch = DecayingSketch(100.0, cells=1 << 12)
    for _ in range(4):
        sketch.add([7, 9], 1000.0)
    sketch.add([9], 1000.0)
    assert sketch.count([7, 9, 11], 1000.0).tolist() == [4.0, 5.0, 0.0]
    assert sketch.count([7], 1100.0)[0] == pytest.approx(2.0)
    sketch.add([7], 1100.0)
    assert sketch.count([7], 1200.0)[0] == pytest.approx(1.5)
    far = 1000.0 + 100.0 * 500
    sketch.add([3], far)
    assert sketch.count([3, 7], far).tolist() == [1.0, 0.0], "the scale is renewed before it overflows"


def test_a_sketch_counts_never_too_little_and_seldom_too_much():
    sketch, chance = DecayingSketch(1e9, cells=1 << 12), random.Random(2)
    true = {}
    for _ in range(6000):
        key = int(chance.paretovariate(0.6)) * 0x9E3779B97F4A7C15 % 2**62
        true[key] = true.get(key, 0) + 1
        sketch.add([key], 0.0)
    counted = sketch.count(list(true), 0.0)
    wrong = counted - np.array(list(true.values()))
    assert wrong.min() >= -1e-3
    assert (wrong > 2.72 * 6000 / 4096).mean() < 0.02


def test_sketches_of_two_workers_add_up_to_that_of_one():
    one, other, both = (DecayingSketch(50.0, cells=1 << 12) for _ in range(3))
    for at, key in ((0.0, 1), (10.0, 2), (30.0, 1)):
        one.add([key], at)
        both.add([key], at)
    for at, key in ((5.0, 1), (60.0, 3)):
        other.add([key], at)
        both.add([key], at)
    one.merge(other)
    assert one.count([1, 2, 3], 60.0) == pytest.approx(both.count([1, 2, 3], 60.0), rel=1e-4)
    with pytest.raises(ValueError, match="shape"):
        one.merge(DecayingSketch(50.0, cells=1 << 13))


# Bursts


def sighting(make, account, at, *, text=CLAIM, low=True, cluster="a", **changes):
    fields = {"event_id": f"e-{account}", "content_id": f"c-{account}", "publisher_id": f"p-{account}"}
    return Sighting(
        cluster=cluster, at=make.at(at), created_at=make.at(at), text=text, low=low, keys=("a", "b"), **fields | changes
    )


def called(bursts, sightings, policy=POLICY):
    return [found for one in sightings if (found := bursts.take(one, policy))]


def test_many_accounts_of_low_standing_that_say_the_same_within_minutes_are_called_once(make):
    bursts = Bursts(cells=1 << 10)
    (burst,) = called(bursts, [sighting(make, number, number * 10.0) for number in range(40)])
    assert (burst.accounts, burst.low) == (POLICY.publishers, POLICY.publishers)
    assert [one.content_id for one in burst.examples] == ["c-0", "c-1", "c-2", "c-3", "c-4"]
    decision = decision_on(burst, default_policy(), make.at(500))
    assert make.wire(decision) == decision
    assert (decision.agent, decision.action, decision.content_id) == ("emerging", "review", "c-0")
    reason = decision.reasons[0]
    assert (reason.code, reason.score, reason.threshold) == ("RUMOR-EMERGING", 1.0, 0.5)
    assert reason.evidence[0].text.startswith("8 accounts said it within 70 s, from 2026-03-01T12:00:00Z")
    assert [one.entry for one in reason.evidence[1:]] == ["c-0", "c-1", "c-2", "c-3", "c-4"]
    assert decision.stop is None and decision.label is None


@pytest.mark.parametrize(
    "rows",
    [
        [(number, 10.0 * number, False) for number in range(300)],
        [(number % 5, 10.0 * number, True) for number in range(300)],
        [(number, 200.0 * number, True) for number in range(300)],
        [(number, 10.0 * number, number % 3 == 0) for number in range(300)],
    ],
    ids=["established accounts", "few accounts", "slowly", "a third of low standing"],
)
def test_what_is_no_burst_is_not_called(make, rows):
    assert called(Bursts(cells=1 << 10), [sighting(make, a, at, low=low) for a, at, low in rows]) == []


def test_what_grows_no_faster_than_it_always_did_is_not_called_and_what_does_is(make):
    bursts = Bursts(cells=1 << 10)
    # Nine accounts in each window, of which one in ten is of low standing.
    day = [sighting(make, number, number * 100.0, low=number % 10 == 0) for number in range(864 * 3)]
    assert called(bursts, day) == []
    end = 864 * 300.0
    assert called(bursts, [sighting(make, 5000 + n, end + n * 40.0) for n in range(40)]) == [], "not four times as many"
    faster = [sighting(make, 9000 + n, end + 2500 + n * 5.0) for n in range(100)]
    (burst,) = called(bursts, faster)
    assert burst.expected == pytest.approx(8.0, abs=1.5)


def test_where_most_accounts_are_new_low_standing_alone_says_little(make):
    rows = [sighting(make, n, 10.0 * n, low=n % 10 < 7, usual=0.6) for n in range(60)]
    assert called(Bursts(cells=1 << 10), rows) == []
    assert len(called(Bursts(cells=1 << 10), [sighting(make, n, 10.0 * n, low=n % 10 < 7) for n in range(60)])) == 1


def test_chance_is_told_by_the_binomial_tail():
    assert at_least(0, 10, 0.2) == 1.0
    assert at_least(10, 10, 0.5) == pytest.approx(2**-10)
    assert at_least(3, 5, 0.3) == pytest.approx(10 * 0.3**3 * 0.7**2 + 5 * 0.3**4 * 0.7 + 0.3**5)
    assert (at_least(1, 5, 0.0), at_least(5, 5, 1.0)) == (0.0, 1.0)
    assert 0.0 < at_least(400, 500, 0.24) < 1e-100


def test_a_key_shared_by_chance_counts_for_nothing(make):
    bursts = Bursts(cells=1 << 10)
    other = "The quick brown fox jumps over the lazy dog"
    mixed = [sighting(make, n, 5.0 * n, text=CLAIM if n % 2 else other) for n in range(14)]
    assert called(bursts, mixed) == []


def test_it_is_asked_again_only_after_the_quiet_time_also_under_other_keys(make):
    bursts = Bursts(cells=1 << 10)
    (burst,) = called(bursts, [sighting(make, n, 10.0 * n) for n in range(60)])
    told = list(bursts.called(burst, make.at(120)))
    assert {one.cluster for one in told} == {"a", "b"}
    elsewhere = Bursts(cells=1 << 10)
    assert called(elsewhere, [*told, *(sighting(make, n, 200 + 10.0 * n, cluster="b") for n in range(60))]) == []
    later = [sighting(make, 100 + n, POLICY.quiet_s + 1000 + 10.0 * n, cluster="b") for n in range(60)]
    assert len(called(elsewhere, later)) == 1


def test_a_burst_that_comes_long_after_the_first_words_still_shows_who_said_it(make):
    bursts = Bursts(cells=1 << 10)
    slow = [sighting(make, n, 300.0 * n) for n in range(30)]
    assert called(bursts, slow) == []
    (burst,) = called(bursts, [sighting(make, 100 + n, 9000 + 10.0 * n) for n in range(60)])
    assert len(burst.examples) == 5
    assert all(one.at >= make.at(9000 - POLICY.window_s) for one in burst.examples)


def test_memory_is_bounded_for_one_cluster_and_for_all(make, monkeypatch):
    monkeypatch.setattr("agents.emerging.bursts.MOST_CLUSTERS", 50)
    bursts = Bursts(cells=1 << 10)
    for number in range(MOST_ACCOUNTS + 100):
        bursts.take(sighting(make, number, 0.1 * number, low=False), POLICY)
    assert len(bursts._clusters["a"].said) == len(bursts._clusters["a"].accounts) == MOST_ACCOUNTS
    for number in range(200):
        bursts.take(sighting(make, number, 100.0, cluster=f"k-{number}"), POLICY)
    assert len(bursts) == 50


# The agent


class World:
    def __init__(self, make):
        self.make, self.history = make, []
        self.metrics = Metrics(CollectorRegistry())
        views = {POLICIES.name: View(POLICIES, self.metrics)}
        views[POLICIES.name].apply(b"default", encode(default_policy()))
        self.views = views

    def worker(self):
        metrics = Metrics(CollectorRegistry())
        context = Context(Settings(policy="default"), metrics, self.views, lambda: self.make.now, self._read_back)
        return Emerging(context)

    async def _read_back(self, since, only, after):
        for offset, value in enumerate(self.history):
            yield Incoming(SIGHTINGS.name, 0, offset, value)


@pytest.fixture
def world(make):
    return World(make)


def item(make, number, title=CLAIM, at=0.0, **changes):
    event = make.upload(event_id=f"e-{number}", content_id=f"c-{number}", publisher_id=f"p-{number}", title=title)
    return make.signals(event=event, extracted_at=make.at(at), **{"ran": NEW} | changes)


def through(world, agent, items):
    """Items through both hops; every output beside sightings."""
    out, waiting = [], []
    for signals in items:
        waiting += agent.handle(Incoming(SIGNALS.name, 0, 0, signals))
        while waiting:
            sent = waiting.pop(0)
            if sent.topic is SIGHTINGS:
                assert sent.key == sent.value.cluster
                assert decode(Sighting, encode(sent.value)) == sent.value
                world.history.append(sent.value)
                waiting += agent.handle(Incoming(SIGHTINGS.name, 0, 0, sent.value))
            else:
                out.append(sent)
    return out


def test_a_burst_asks_people_once_and_nothing_else(make, world):
    out = through(world, world.worker(), [item(make, n, at=20.0 * n) for n in range(40)])
    assert [(each.topic.name, each.key) for each in out] == [("decisions", "p-1"), ("reviews", "c-1")]
    assert out[1].value.reasons[0].code == "RUMOR-EMERGING"


def test_what_is_said_for_the_first_time_goes_no_further(make, world):
    signs = [chr(0x4E00 + number) for number in range(5000)]
    items = [item(make, n, title="".join(signs[n * 20 : n * 20 + 20]), at=float(n)) for n in range(200)]
    assert through(world, world.worker(), items) == []
    assert world.history == []


def test_an_authoritys_label_is_none_that_speaks_against_it(make, world):
    items = [item(make, n, at=10.0 * n, ran=None, labels=("authority",)) for n in range(40)]
    assert through(world, world.worker(), items) == []
    against = [
        item(make, 100 + n, "另外一句话说的是完全不同的事情", at=10.0 * n, ran=None, labels=("watched",))
        for n in range(40)
    ]
    assert len(through(world, world.worker(), against)) == 2


async def test_a_restart_goes_on_where_the_burst_was_and_does_not_ask_twice(make, world):
    assigned = frozenset({(SIGNALS.name, 0), (SIGHTINGS.name, 0)})
    assert through(world, world.worker(), [item(make, n, at=20.0 * n) for n in range(8)]) == []
    second = world.worker()
    await second.restore(assigned)
    # One goes uncounted: what the first hop has met is not restored.
    assert len(through(world, second, [item(make, n, at=20.0 * n) for n in range(8, 16)])) == 2
    third = world.worker()
    await third.restore(assigned)
    assert through(world, third, [item(make, n, at=20.0 * n) for n in range(16, 60)]) == []


async def test_a_burst_that_was_complete_when_the_worker_died_is_called_by_the_next(make, world):
    first = world.worker()
    for number in range(20):  # what the second hop makes of it is lost
        for sent in first.handle(Incoming(SIGNALS.name, 0, 0, item(make, number, at=20.0 * number))):
            world.history.append(sent.value)
    second = world.worker()
    await second.restore(frozenset({(SIGHTINGS.name, 0)}))
    (decision, *_) = second.handle(Incoming(SIGHTINGS.name, 0, len(world.history) - 1, world.history[-1]))
    assert decision.value.reasons[0].code == "RUMOR-EMERGING"
