"""The archiver's loop: what it does when the disk refuses, the broker has less than it knows, or it is stopped."""

from __future__ import annotations

import asyncio
import errno
from types import SimpleNamespace

import pytest
from aiokafka import TopicPartition
from prometheus_client import CollectorRegistry

from streams.archive import serve
from streams.archive.chain import ArchiveError
from streams.archive.serve import Archiver
from streams.settings import load

from .conftest import PLACE, rows

PART = TopicPartition(PLACE.topic, PLACE.partition)


class Broker:
    """Gives what is put into it, and remembers what is committed."""

    def __init__(self, end: int) -> None:
        self.given: list[dict] = []
        self.taken = 0
        self.committed: list[dict] = []
        self.end = end

    async def getmany(self, **_: object) -> dict:
        await asyncio.sleep(0)
        self.taken += 1
        return self.given.pop(0) if self.given else {}

    async def commit(self, offsets: dict) -> None:
        self.committed.append(offsets)

    def assignment(self) -> set:
        return {PART}

    def highwater(self, _: object) -> int:
        return self.end


def records(first: int, last: int) -> dict:
    return {PART: [SimpleNamespace(**row._asdict()) for row in rows(first, last)]}


@pytest.fixture
def archiver(opened):
    """An archiver that writes what it takes at once, over a broker of the test's own."""
    full = [False]

    def step(name: str) -> None:
        if full[0] and name == "written":
            raise OSError(errno.ENOSPC, "No space left on device")

    with opened(step=step) as archive:
        made = Archiver(load(archive_flush_s=1e-9), archive, CollectorRegistry())
        made.taking = True
        made._consumer = Broker(end=40)
        yield made, full


def metric(archiver: Archiver) -> float:
    return archiver.full._value.get()


async def test_a_full_disk_stops_it_it_says_so_and_it_goes_on_with_nothing_lost(archiver, monkeypatch):
    monkeypatch.setattr(serve, "RETRY_S", 0.01)
    made, full = archiver
    full[0] = True
    made._consumer.given = [records(0, 9), records(10, 19)]
    stop = asyncio.Event()
    turning = asyncio.create_task(made._turn(stop))
    async with asyncio.timeout(5):
        while not made.problems():
            await asyncio.sleep(0.001)
    assert made.problems() == ["nothing can be written: [Errno 28] No space left on device; it is tried again"]
    assert (metric(made), made._consumer.taken, made._consumer.committed) == (1.0, 1, [])
    full[0] = False
    await turning
    await made._turn(stop)
    assert (made.problems(), metric(made)) == ([], 0.0)
    assert made._consumer.committed == [{PART: 10}, {PART: 20}]
    assert made._archive.next_of(PLACE) == 20


async def test_stopped_while_the_disk_is_full_it_ends_and_commits_nothing(archiver, monkeypatch):
    made, full = archiver
    full[0] = True
    made._consumer.given = [records(0, 9)]
    stop = asyncio.Event()
    turning = asyncio.create_task(made._turn(stop))
    async with asyncio.timeout(5):
        while not made.problems():
            await asyncio.sleep(0.001)
        stop.set()
        await turning
    assert (made._consumer.committed, made._archive.next_of(PLACE)) == ([], 0)


async def test_topics_that_were_made_anew_are_refused_rather_than_passed_over(archiver):
    made, _ = archiver
    made._consumer.given = [records(0, 9)]
    await made._turn(asyncio.Event())
    made._consumer.end = 3
    with pytest.raises(ArchiveError, match="was made anew: partition 3 ends at 3, and the archive has it up to 10"):
        await made._turn(asyncio.Event())


async def test_what_the_broker_no_longer_has_stands_in_the_chain_as_a_gap(archiver):
    made, _ = archiver
    made._gap(PART, 7)
    made._consumer.given = [records(5, 9)]
    await made._turn(asyncio.Event())
    kinds = [(one["kind"], one.get("first"), one.get("last")) for one in made._archive.chain.records()]
    assert kinds == [("begin", None, None), ("gap", 0, 6), ("file", 7, 9)]


async def test_rows_wait_for_no_more_memory_than_is_allowed(archiver, monkeypatch):
    made, _ = archiver
    made._settings = load(archive_flush_s=1e6)
    monkeypatch.setattr(serve, "MOST_WAITING", sum(row.size for row in rows(0, 14)))
    made._consumer.given = [records(0, 9), records(10, 19)]
    await made._turn(asyncio.Event())
    assert made._consumer.committed == []
    await made._turn(asyncio.Event())
    assert made._consumer.committed == [{PART: 20}]
    assert made._size == 0
