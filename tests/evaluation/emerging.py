"""Bursts of the same claim found in a simulated day: how many, how soon, and how often nothing was there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from statistics import median
from time import perf_counter
from typing import NamedTuple
from zlib import crc32

from agents.emerging.agent import FirstHop, sightings, speaking_against
from agents.emerging.bursts import Bursts
from schemas.event import Event, Media
from schemas.plan import Plan, Ran
from schemas.policy import EmergingPolicy, default_policy
from schemas.signals import Signals
from tests.bench.report import Row
from tests.evaluation.day import DAY_S, Day, Item

#: Days that thresholds were tuned on, and those of the figures.
TUNED, MEASURED = (1, 2, 3), (101,)
BOTS, ORGANIC = 24, 8
WORKERS, PARTITIONS = 3, 12
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
_MEDIA = Media(uri="s3://media/1.mp4", sha256="0" * 64, bytes=0)
_NEW = Ran(plan=Plan(tier=1, why=("publisher_new",)))


class Call(NamedTuple):
    """People were asked: when, about which planted burst (-1: none)."""

    at: float
    burst: int


class Result(NamedTuple):
    """What a day came to."""

    day: Day
    calls: list[Call]
    items: int
    sightings: int
    seconds: float


def signals_of(item: Item, number: int) -> Signals:
    """The item as extraction hands it on."""
    at = BEGIN + timedelta(seconds=item.at)
    event = Event(
        event_id=f"{number} {item.burst}",
        content_id=str(number),
        publisher_id=str(item.account),
        provider_id="p",
        service="short_video",
        media=_MEDIA,
        created_at=at,
        title=item.title,
        description=item.description,
    )
    return Signals(event=event, extracted_at=at, extraction_s=0.0, ran=_NEW if item.low else None)


def watched(day: Day, policy: EmergingPolicy) -> Result:
    """The day as three workers see it: each has a third of the partitions, of both hops."""
    against = speaking_against(default_policy())
    met = [FirstHop(policy.window_s) for _ in range(WORKERS)]
    bursts = [Bursts() for _ in range(WORKERS)]
    calls, seen, items, seconds = [], 0, 0, 0.0
    for number, item in enumerate(day):
        signals = signals_of(item, number)
        begun = perf_counter()
        items += 1
        for sighting in sightings(met[_worker(signals.event.publisher_id)], signals, policy, against):
            seen += 1
            waiting = [sighting]
            while waiting:
                one = waiting.pop()
                if found := bursts[_worker(one.cluster)].take(one, policy):
                    planted = {int(example.event_id.split()[1]) for example in found.examples}
                    calls.append(Call(item.at, max(planted)))
                    waiting += bursts[0].called(found, one.at)
        seconds += perf_counter() - begun
    return Result(day, calls, items, seen, seconds)


def _worker(key: str) -> int:
    return crc32(key.encode()) % PARTITIONS % WORKERS


def figures(results: list[Result]) -> dict[str, tuple[float, int]]:
    """name → figure, and of how many."""
    bots, organic, leads, delays, repeats, false = 0, 0, [], [], 0, 0
    for day, calls, *_ in results:
        by_burst: dict[int, list[float]] = defaultdict(list)
        for call in calls:
            by_burst[call.burst].append(call.at)
        false += len(by_burst[-1])
        for burst in day.bursts:
            called = by_burst[burst.number]
            if not burst.bots:
                organic += bool(called)
                false += len(called)
                continue
            bots += 1
            repeats += max(0, len(called) - 1)
            if called:
                half = burst.times[len(burst.times) // 2]
                leads.append(half - min(called))
                delays.append(min(called) - burst.times[0])
    all_organic = sum(not burst.bots for result in results for burst in result.day.bursts)
    return {
        "called": (len(leads) / max(1, bots), bots),
        "lead_s": (median(leads) if leads else float("nan"), len(leads)),
        "delay_s": (median(delays) if delays else float("nan"), len(delays)),
        "repeats": (float(repeats), bots),
        "organic": (float(organic), all_organic),
        "false_alerts_a_day": (false / len(results), sum(result.items for result in results)),
    }


def measure(quick: bool) -> Iterator[Row]:
    """Days that no threshold was tuned on. `lead_s` is how long before half of a burst's accounts had said it people
    were asked; `delay_s` how long after the first had."""
    count = 100_000 if quick else 1_000_000
    results = [watched(Day(count, seed, bots=BOTS, organic=ORGANIC), default_policy().emerging) for seed in MEASURED]
    found = figures(results)
    yield Row("rumor.emerging.recall", *_with(found["called"], "share of planted bot bursts"))
    yield Row("rumor.emerging.lead_s", *_with(found["lead_s"], "s before half had said it, median"))
    yield Row("rumor.emerging.delay_s", *_with(found["delay_s"], "s after the first said it, median"))
    yield Row("rumor.emerging.repeats", *_with(found["repeats"], "further calls of the same bursts"))
    yield Row("rumor.emerging.organic_called", *_with(found["organic"], "of the organic events"))
    yield Row("rumor.emerging.false_alerts", *_with(found["false_alerts_a_day"], "a day, organic events included"))


def _with(figure: tuple[float, int], unit: str) -> tuple[float, str, int]:
    return figure[0], unit, figure[1]


def items_a_second(count: int = 100_000, seed: int = TUNED[0]) -> float:
    """Items that one core takes in a second, both hops."""
    result = watched(Day(count, seed, bots=3, organic=1), default_policy().emerging)
    return result.items / result.seconds


__all__ = ["DAY_S", "TUNED", "figures", "items_a_second", "measure", "watched"]
