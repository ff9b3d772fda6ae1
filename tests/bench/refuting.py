"""How long it takes from an entry to the last refutation of what was published before, without a broker."""

from __future__ import annotations

import asyncio
import random
import resource
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from pathlib import Path
from time import perf_counter

from prometheus_client import CollectorRegistry

from agents.refuting.agent import Refuting
from schemas.bank import Rumor, RumorRefutation
from schemas.event import Event, Media
from schemas.message import encode
from schemas.policy import default_policy
from schemas.signals import Signals, Utterance
from schemas.topics import DECISIONS, POLICIES, REFUTATIONS, RUMORS, SIGNALS
from streams.agent import Context, Incoming
from streams.metrics import Metrics
from streams.settings import Settings
from streams.views import View
from tests.bench.report import Row

PARTITIONS = 12
NOW = datetime(2026, 3, 1, tzinfo=UTC)
CLAIM = "喝盐水可以预防核辐射"
#: One of a thousand items repeats the claim, in words like these; as many say something near it.
REPEATS = (
    "听说{0}，大家快去买盐吧",
    "紧急通知：{0}！请转发给家人",
    "医生朋友告诉我{0}",
    "专家证实{0}，赶紧收藏",
)
NEAR = ("盐水鸭怎么做才好吃", "核辐射到底是什么？科普一下", "每天喝水可以预防结石")
_MEDIA = Media(uri="s3://media/1.mp4", sha256="0" * 64, bytes=0)


def measure(quick: bool) -> Iterator[Row]:
    """A million items (quick: 50,000) of 150 signs in twelve partitions on one worker; one entry turns refuted."""
    count = 50_000 if quick else 1_000_000
    with tempfile.TemporaryDirectory(prefix="veristream-bench-") as folder:
        found = asyncio.run(_measured(Path(folder), count))
    size = "1m" if count == 1_000_000 else f"{count // 1000}k"
    yield Row(f"rumor.retro_s.{size}", found["sweep_s"], "s from the entry to the last order", int(found["orders"]))
    yield Row(f"rumor.retro_cpu_s.{size}", found["cpu_s"], "s of one core, meanwhile", 1)
    yield Row("rumor.retro.found", found["share"], "of the items that repeat it", int(found["planted"]))
    yield Row(
        "rumor.retro.near", found["near"], "of the items that say something near (ordered by mistake)", count // 1000
    )
    yield Row("rumor.retro.index_items_s", found["items_s"], "items/s into the index, one core", count)
    yield Row("rumor.retro.index_kb", found["kb"], "kB an item on disk", count)


async def _measured(folder: Path, count: int) -> dict[str, float]:
    metrics = Metrics(CollectorRegistry())
    views = {topic.name: View(topic, metrics) for topic in Refuting.views}
    views[POLICIES.name].apply(b"default", encode(default_policy()))

    async def nothing_back(*_: object):
        for one in ():
            yield one

    context = Context(Settings(policy="default", index_dir=folder), metrics, views, lambda: NOW, nothing_back)
    agent = Refuting(context)
    await agent.start()
    places = frozenset((topic.name, part) for topic in (SIGNALS, DECISIONS) for part in range(PARTITIONS))
    await agent.restore(places)
    list(agent.tick(NOW))
    planted, near, spent = set(), set(), 0.0
    for number, signals in enumerate(items(count)):
        if number % 1000 == 0:
            planted.add(signals.event.content_id)
        elif number % 1000 == 1:
            near.add(signals.event.content_id)
        begun = perf_counter()
        list(agent.handle(Incoming(SIGNALS.name, number % PARTITIONS, number // PARTITIONS, signals)))
        spent += perf_counter() - begun
    list(agent.tick(NOW))
    kb = sum(path.stat().st_size for path in folder.rglob("*")) / count / 1000
    rumor = Rumor(
        rumor_id="salt", claims=(CLAIM, "盐水防核辐射"), status="refuted", added_at=NOW,
        refutation=RumorRefutation(text="不能", authority="A"),
    )  # fmt: skip
    begun, used = perf_counter(), _cpu()
    views[RUMORS.name].apply(b"salt", encode(rumor))
    ordered, last = set(), begun
    waiting = "veristream_refuting_waiting"
    while True:
        turn = perf_counter()
        out = [each for each in agent.tick(NOW) if each.topic is REFUTATIONS]
        if out:
            ordered |= {each.value.content_id for each in out}
            last = perf_counter()
        if metrics.registry.get_sample_value(waiting) == 0:
            break
        await asyncio.sleep(max(0.0, 1.0 - (perf_counter() - turn)))  # as the delivery loop ticks
    cpu = _cpu() - used
    await agent.stop()
    return {
        "sweep_s": last - begun, "cpu_s": cpu, "orders": float(len(ordered)), "planted": float(len(planted)),
        "share": len(ordered & planted) / len(planted), "near": len(ordered & near) / len(near),
        "items_s": count / spent, "kb": kb,
    }  # fmt: skip


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def items(count: int, seed: int = 1) -> Iterator[Signals]:
    """Items with a title, a description and some speech, in made-up words by Zipf's law; every thousandth repeats the
    claim, and the one after it says something near."""
    chance = random.Random(seed)
    signs = [chr(0x4E00 + 3 * number) for number in range(3000)]
    weights = [1 / (rank + 5) for rank in range(len(signs))]
    words = sorted({"".join(chance.choices(signs, weights, k=2)) for _ in range(40_000)})
    chance.shuffle(words)
    by_rank = list(accumulate(1 / (rank + 10) for rank in range(len(words))))

    def said(many: int) -> str:
        return "".join(chance.choices(words, cum_weights=by_rank, k=many))

    for number in range(count):
        title = said(8)
        if number % 1000 == 0:
            title = chance.choice(REPEATS).format(CLAIM)
        elif number % 1000 == 1:
            title = chance.choice(NEAR)
        event = Event(
            event_id=f"event-{number}", content_id=f"content-{number}", publisher_id=f"publisher-{number % 9973}",
            provider_id="p", service="short_video", media=_MEDIA, created_at=NOW - timedelta(hours=1),
            title=title, description=said(27),
        )  # fmt: skip
        speech = (Utterance(at_s=0.0, until_s=10.0, text=said(40), language="zh", score=0.9),)
        yield Signals(event=event, extracted_at=NOW, extraction_s=0.0, speech=speech)


def emerging(quick: bool) -> Iterator[Row]:
    """Items that one core takes in a second, both hops of the emerging agent together."""
    from statistics import median

    from tests.evaluation.emerging import items_a_second

    runs, count = (1, 20_000) if quick else (5, 60_000)
    rates = [items_a_second(count) for _ in range(runs)]
    yield Row("rumor.emerging.items_s", median(rates), "items/s", runs)
