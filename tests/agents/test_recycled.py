"""Old footage under a new claim: which places and dates a text names, which pictures are the same, who is asked."""

from __future__ import annotations

import random
from datetime import date

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from agents.recycled.agent import Recycled, pictures_of
from agents.recycled.named import Named, differ, later, named
from agents.recycled.pictures import KEYS, PICTURES, keyed, same
from agents.recycled.store import FootageStore
from schemas.bank import BankFrame
from schemas.message import decode, encode
from schemas.policy import default_policy
from schemas.signals import CODE_S, FrameHash, SoundPrint
from schemas.spread import Footage
from schemas.topics import FOOTAGE, POLICIES, RUMORS, SIGNALS
from streams.agent import Context, Incoming
from streams.metrics import Metrics
from streams.settings import Settings
from streams.views import View

TODAY = date(2026, 3, 1)


# What a text names


@pytest.mark.parametrize(
    ("text", "places", "dates"),
    [
        ("2021年7月20日河南郑州暴雨", ("郑州",), ("2021-07-20",)),
        ("郑州和新乡的雨", ("新乡", "郑州"), ()),
        ("北京市今天下雨", ("北京",), ()),
        ("Flood in Valencia, Spain, 29 October 2024", ("巴伦西亚",), ("2024-10-29",)),
        ("Floods in New York City 2023-09-29", ("纽约",), ("2023-09-29",)),
        ("Oct 2024, Beijing", ("北京",), ("2024-10",)),
        ("2020年的视频", (), ("2020",)),
        ("4月1日 上海", ("上海",), ("2025-04-01",)),
        ("2月30日", (), ("2026-02",)),
        ("Indiana Jones romantic", (), ()),
        ("今天去公园散步", (), ()),
        ("版本 2021.13.40 发布", (), ()),
    ],
)  # fmt: skip
def test_places_and_dates_are_read(text, places, dates):
    assert named(text, TODAY) == Named(places, dates)


@pytest.mark.parametrize(
    ("new", "old", "what"),
    [
        ("郑州暴雨", "武汉暴雨", "place: 郑州 instead of 武汉"),
        ("郑州暴雨", "河南暴雨", None),
        ("中国暴雨", "武汉暴雨", None),
        ("郑州暴雨", "暴雨实拍", None),
        ("郑州、武汉都在下雨", "武汉暴雨", None),
        ("2026年2月 郑州暴雨", "2021年7月20日 郑州暴雨", "date: 2026-02 instead of 2021-07-20"),
        ("2021年 郑州暴雨", "2021年7月20日 郑州暴雨", None),
        ("7月21日 2021-07-21", "2021-07-20", None),
    ],
)  # fmt: skip
def test_texts_differ_only_where_both_name_something_and_nothing_fits(new, old, what):
    assert differ(named(new, date(2026, 8, 1)), named(old, date(2026, 8, 1))) == what


def test_a_date_after_the_footage_was_there_does_not_fit():
    assert later(["2026-02-20"], date(2026, 1, 5)) == "2026-02-20"
    assert later(["2026-01-06"], date(2026, 1, 5)) is None, "the next day may be another zone"
    assert later(["2026"], date(2026, 1, 5)) is None
    assert later(["2025-12-01", "2026-02-20"], date(2026, 1, 5)) is None
    assert later([], date(2026, 1, 5)) is None


# Pictures


def frames(count, seed, flips=0, quality=100):
    """Hashes of so many scenes; the same seed gives the same, with so many bits of each flipped."""
    chance, noise = random.Random(seed), random.Random(seed + 1000 + flips)
    found = []
    for number in range(count):
        code = chance.getrandbits(256)
        for bit in noise.sample(range(256), flips):
            code ^= 1 << bit
        found.append(FrameHash(at_s=float(number), pdq=f"{code:064x}", quality=quality))
    return tuple(found)


@pytest.mark.parametrize("flips", [0, 2, 4])
def test_the_same_pictures_share_keys_also_after_encoding_them_again(flips):
    shared = [len(set(keyed(frames(12, s)).keys) & set(keyed(frames(12, s, flips)).keys)) for s in range(30)]
    assert min(shared) >= 1


def test_a_part_of_the_footage_shares_keys_with_the_whole():
    shared = [len(set(keyed(frames(20, s)).keys) & set(keyed(frames(20, s, 2)[5:12]).keys)) for s in range(30)]
    assert sum(count > 0 for count in shared) >= 28


def test_unlike_pictures_seldom_share_a_key_and_are_never_the_same():
    keys = [set(keyed(frames(12, seed)).keys) for seed in range(40)]
    # 780 pairs of items with twelve keys each: some two by chance.
    assert sum(len(one & other) for at, one in enumerate(keys) for other in keys[:at]) < 10
    assert same(frames(12, 1), frames(12, 2), 31) == []


def test_keys_and_pictures_are_bounded_and_what_shows_little_has_none():
    made = keyed(frames(300, 1))
    assert (len(made.keys), len(made.pictures) <= PICTURES) == (KEYS, True)
    assert keyed(frames(5, 1, quality=49)).keys == ()
    assert keyed(()).keys == ()
    assert len(keyed(frames(1, 1) * 50).pictures) == 1, "a still scene is one picture"


def test_pairs_are_the_closest_within_the_distance():
    old, new = frames(3, 1), frames(3, 1, 6)
    assert [(one.at_s, other.at_s, bits) for one, other, bits in same(new, old, 31)] == [
        (0.0, 0.0, 6), (1.0, 1.0, 6), (2.0, 2.0, 6),
    ]  # fmt: skip
    assert same(new, old, 5) == []


# Store and agent


def item(make, number, title, shown, at=0.0, **changes):
    event = make.upload(
        event_id=f"e-{number}", content_id=f"c-{number}", publisher_id=f"p-{number}", title=title,
        created_at=make.at(at), **changes,
    )  # fmt: skip
    return make.signals(event=event, frames=shown, extracted_at=make.at(at))


def test_the_store_gives_what_came_before_and_outlives_a_restart(make, tmp_path):
    store = FootageStore(tmp_path / "footage-0.sqlite")
    first = next(pictures_of(item(make, 1, "郑州", frames(3, 1))))
    second = next(pictures_of(item(make, 2, "郑州", frames(3, 1), at=10.0)))
    for one in (second, first):
        store.add(one)
        store.read_up_to("footage", 7)
    assert [one.event_id for one in store.before(second)] == ["e-1"]
    assert list(store.before(first)) == []
    store.flush()
    store.add(next(pictures_of(item(make, 3, "x", frames(3, 1)))))
    store._db.close()  # the process dies
    again = FootageStore(tmp_path / "footage-0.sqlite")
    assert (len(again), again.place("footage")) == (2, 7)
    assert again.forget(make.at(5.0).timestamp(), 10**9) == 1
    assert [one.event_id for one in again.before(second)] == []
    assert again.forget(0.0, 0) == 1, "no room at all"
    again.close()


class World:
    def __init__(self, make, folder):
        self.make, self.folder, self.history, self.agents = make, folder, [], []

    async def worker(self):
        metrics = Metrics(CollectorRegistry())
        self.views = views = {topic.name: View(topic, metrics) for topic in Recycled.views}
        views[POLICIES.name].apply(b"default", encode(default_policy()))
        settings = Settings(policy="default", index_dir=self.folder)
        agent = Recycled(Context(settings, metrics, views, lambda: self.make.now, self._read_back))
        await agent.start()
        await agent.restore(frozenset({(FOOTAGE.name, 0), (SIGNALS.name, 0)}))
        self.agents.append(agent)
        return agent

    async def _read_back(self, since, only, after):
        for offset, value in enumerate(self.history):
            if offset >= after.get((FOOTAGE.name, 0), 0):
                yield Incoming(FOOTAGE.name, 0, offset, value)

    def through(self, agent, *items):
        out, waiting = [], []
        for signals in items:
            waiting += agent.handle(Incoming(SIGNALS.name, 0, 0, signals))
            while waiting:
                sent = waiting.pop(0)
                if sent.topic is FOOTAGE:
                    assert sent.key == sent.value.bucket
                    assert decode(Footage, encode(sent.value)) == sent.value
                    self.history.append(sent.value)
                    waiting += agent.handle(Incoming(FOOTAGE.name, 0, len(self.history) - 1, sent.value))
                else:
                    out.append(sent)
        return out


@pytest.fixture
async def world(make, tmp_path):
    made = World(make, tmp_path)
    yield made
    for agent in made.agents:
        await agent.stop()


async def test_old_footage_under_another_place_is_put_before_a_person_once(make, world):
    agent = await world.worker()
    old = item(make, 1, "2021年7月郑州暴雨", frames(8, 1))
    new = item(make, 2, "武汉昨夜暴雨成灾", frames(8, 1, 4), at=3600.0)
    out = world.through(agent, old, new)
    assert [(each.topic.name, each.key) for each in out] == [("decisions", "p-2"), ("reviews", "c-2")]
    reason = out[0].value.reasons[0]
    assert (reason.code, out[0].value.action, out[0].value.stop) == ("RUMOR-RECYCLED", "review", None)
    assert reason.evidence[0].entry == "c-1"
    assert "place: 武汉 instead of 郑州" in reason.evidence[0].text
    assert reason.evidence[1].text.endswith("4 bits apart")
    assert reason.score == pytest.approx(1 - 4 / 256)
    assert make.wire(out[0].value) == out[0].value


@pytest.mark.parametrize(
    ("then", "now", "seed"),
    [
        ("郑州暴雨", "河南暴雨", 1),
        ("郑州暴雨", "暴雨实拍", 1),
        ("暴雨实拍", "郑州暴雨", 1),
        ("郑州暴雨", "武汉暴雨", 2),
    ],
    ids=["within", "says nothing", "said nothing", "other footage"],
)
async def test_what_fits_or_shows_something_else_asks_nobody(make, world, then, now, seed):
    agent = await world.worker()
    assert world.through(agent, item(make, 1, then, frames(8, 1)), item(make, 2, now, frames(8, seed), at=60.0)) == []


async def test_a_date_after_the_footage_was_published_asks_though_the_old_text_names_none(make, world):
    agent = await world.worker()
    new = item(make, 2, "2026年3月20日暴雨", frames(8, 1), at=20 * 86_400.0)
    assert len(world.through(agent, item(make, 1, "暴雨实拍", frames(8, 1)), new)) == 2


async def test_segments_of_one_stream_and_the_item_itself_are_not_compared(make, world):
    agent = await world.worker()
    segments = [
        make.signals(event=make.segment(n, title=title, created_at=make.at(n)), frames=frames(4, 1))
        for n, title in enumerate(("郑州", "武汉"))
    ]
    assert world.through(agent, *segments) == []
    again = item(make, 5, "武汉", frames(4, 3)), item(make, 5, "郑州", frames(4, 3), at=5.0)
    assert world.through(agent, *again) == []


async def test_a_restart_knows_the_past_also_without_its_disk(make, world, tmp_path):
    agent = await world.worker()
    world.through(agent, item(make, 1, "郑州暴雨", frames(8, 1)))
    await agent.stop()
    for folder in (world.folder, tmp_path / "another"):
        world.folder = folder
        again = await world.worker()
        assert len(world.through(again, item(make, 2, "武汉暴雨", frames(8, 1), at=60.0))) == 2
        await again.stop()
        del world.history[-KEYS:]


async def test_the_clip_of_a_listed_rumour_asks_whatever_the_text_says_while_the_entry_is_in_force(make, world):
    agent = await world.worker()
    clip = tuple(BankFrame(pdq=frame.pdq, quality=frame.quality, at_s=frame.at_s) for frame in frames(6, 1))
    signals = item(make, 1, "快看", frames(6, 1, 4))

    def asked(**changes):
        row = make.rumor("山洪冲走了整个村庄的人", frames=clip, **changes)
        world.views[RUMORS.name].apply(row.rumor_id.encode(), encode(row))
        return [each for each in agent.handle(Incoming(SIGNALS.name, 0, 0, signals)) if each.topic is not FOOTAGE]

    decision, review = asked(status="suspected")
    assert (decision.value.action, decision.value.stop, review.topic.name) == ("review", None, "reviews")
    reason = decision.value.reasons[0]
    assert (reason.code, reason.evidence[0].entry) == ("RUMOR-RECYCLED", "r-1")
    assert reason.evidence[1].text.endswith("4 bits apart")
    assert make.wire(decision.value) == decision.value
    assert asked(status="true") == []
    assert asked(added_at=make.at(-100), expires_at=make.at(-50)) == []
    other = item(make, 2, "快看", frames(6, 2))
    assert [each for each in agent.handle(Incoming(SIGNALS.name, 0, 0, other)) if each.topic is not FOOTAGE] == []


def codes(seed, seconds):
    """Codes as sound has them: from one to the next, two of 32 bits change."""
    chance = np.random.default_rng(seed)
    count = round(seconds / CODE_S)
    steps = np.bitwise_or.reduce(np.uint32(1) << chance.integers(0, 32, (count, 2), np.uint32), axis=1)
    return np.bitwise_xor.accumulate(np.concatenate([chance.integers(0, 2**32, 1, np.uint32), steps[1:]]))


def sound(found):
    return SoundPrint(at_s=0.0, until_s=len(found) * CODE_S, codes=found.astype("<u4").tobytes())


async def test_the_sound_of_a_listed_rumours_clip_asks_whatever_is_shown_over_it_while_the_entry_is_in_force(
    make, world
):
    agent = await world.worker()
    clip = codes(1, 40)
    part = clip[round(10 / CODE_S) : round(22 / CODE_S)] ^ np.uint32(1)  # one of 32 bits is wrong
    played = make.signals(
        event=make.upload(title="快看", created_at=make.at(0)),
        sounds=(sound(np.concatenate([codes(2, 30), part, codes(3, 20)])),),
        frames=frames(6, 9),
    )

    def asked(signals=played, **changes):
        row = make.rumor("山洪冲走了整个村庄的人", **{"sounds": (sound(clip),), **changes})
        world.views[RUMORS.name].apply(row.rumor_id.encode(), encode(row))
        return [each for each in agent.handle(Incoming(SIGNALS.name, 0, 0, signals)) if each.topic is not FOOTAGE]

    for status in ("suspected", "refuted"):
        decision, review = asked(status=status)
        assert (decision.value.action, decision.value.stop, review.topic.name) == ("review", None, "reviews")
        (reason,) = decision.value.reasons
        first, where = reason.evidence
        assert (reason.code, first.entry, where.entry) == ("RUMOR-RECYCLED", "r-1", "r-1")
        assert where.at_s == pytest.approx(30, abs=2.5)
        assert where.until_s == pytest.approx(42, abs=2.5)
        assert where.text.startswith("as from 1"), "where in the clip it begins"
        assert reason.score >= reason.threshold
        assert make.wire(decision.value) == decision.value
    assert asked(status="true") == []
    assert asked(added_at=make.at(-100), expires_at=make.at(-50)) == []
    assert asked(make.signals(event=make.upload(), sounds=(sound(codes(5, 60)),))) == []
    assert asked(sounds=()) == []

    shown = tuple(BankFrame(pdq=frame.pdq, quality=frame.quality, at_s=frame.at_s) for frame in frames(6, 9))
    decision, _ = asked(frames=shown)
    assert len(decision.value.reasons) == 2, "shown and played: one decision"


async def test_the_sound_of_a_listed_rumour_is_matched_with_nothing_once_its_time_is_over(make, world, monkeypatch):
    agent = await world.worker()
    row = make.rumor("山洪冲走了整个村庄的人", sounds=(sound(codes(1, 40)),), expires_at=make.at(60.0))
    world.views[RUMORS.name].apply(row.rumor_id.encode(), encode(row))
    played = Incoming(SIGNALS.name, 0, 0, make.signals(event=make.upload(), sounds=(sound(codes(1, 40)),)))
    assert len(list(agent.handle(played))) == 2
    monkeypatch.setattr(make, "now", make.at(61.0))
    assert list(agent.handle(played)) == []
