"""Segments come before uploads, long uploads let short ones by, and no place is ever lost."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.extraction.turns import LIVE_S, Lane, Turns


class Clock:
    """A clock that is set."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class Line:
    """Turns, and who has had one."""

    def __init__(self, places: int) -> None:
        self.clock = Clock()
        self.turns = Turns(places, self.clock)
        self.begun: list[str] = []
        self._ends: dict[str, asyncio.Event] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def come(self, name: str, lane: Lane) -> None:
        self._ends[name] = asyncio.Event()
        self._tasks[name] = asyncio.create_task(self._have(name, lane))
        await self.settle()

    async def _have(self, name: str, lane: Lane) -> None:
        async with self.turns.turn(lane):
            self.begun.append(name)
            await self._ends[name].wait()

    async def over(self) -> None:
        for name in self._tasks:
            await self.cancel(name)

    async def end(self, name: str) -> None:
        self._ends[name].set()
        await self._tasks[name]
        await self.settle()

    async def cancel(self, name: str) -> None:
        self._tasks[name].cancel()
        await asyncio.gather(self._tasks[name], return_exceptions=True)
        await self.settle()

    @staticmethod
    async def settle() -> None:
        for _ in range(5):
            await asyncio.sleep(0)


@pytest.fixture
async def of() -> AsyncIterator[Callable[[int], Line]]:
    lines: list[Line] = []

    def of(places: int) -> Line:
        lines.append(Line(places))
        return lines[-1]

    yield of
    for line in lines:
        await line.over()


async def test_each_lane_keeps_its_order(of: Callable[[int], Line]) -> None:
    line = of(1)
    for name in ("a", "b", "c"):
        await line.come(name, "upload")
    for name in ("a", "b"):
        await line.end(name)
    assert line.begun == ["a", "b", "c"]


async def test_a_segment_goes_before_the_uploads_that_wait(of: Callable[[int], Line]) -> None:
    line = of(1)
    for name in ("a", "b"):
        await line.come(name, "upload")
    await line.come("live", "segment")
    await line.end("a")
    assert line.begun == ["a", "live"]
    await line.end("live")
    assert line.begun == ["a", "live", "b"]


async def test_while_streams_are_live_a_place_is_kept_for_their_next_segment(of: Callable[[int], Line]) -> None:
    line = of(2)
    await line.come("live", "segment")
    await line.end("live")
    for name in ("a", "b"):
        await line.come(name, "upload")
    assert line.begun == ["live", "a"]
    await line.come("live 2", "segment")
    assert line.begun == ["live", "a", "live 2"]


async def test_a_minute_after_the_last_segment_uploads_have_every_place(of: Callable[[int], Line]) -> None:
    line = of(2)
    await line.come("live", "segment")
    await line.end("live")
    line.clock.now = LIVE_S
    for name in ("a", "b"):
        await line.come(name, "upload")
    assert line.begun == ["live", "a", "b"]


async def test_uploads_that_waited_for_the_kept_place_get_it_once_streams_have_ended(of: Callable[[int], Line]) -> None:
    line = of(2)
    await line.come("live", "segment")
    await line.end("live")
    for name in ("a", "b", "c"):
        await line.come(name, "upload")
    line.clock.now = LIVE_S
    await line.end("a")
    assert line.begun == ["live", "a", "b", "c"]


async def test_one_place_serves_both(of: Callable[[int], Line]) -> None:
    line = of(1)
    await line.come("live", "segment")
    await line.end("live")
    await line.come("a", "upload")
    assert line.begun == ["live", "a"]


async def test_who_gives_up_waiting_holds_nobody_up(of: Callable[[int], Line]) -> None:
    line = of(1)
    for name in ("a", "b", "c"):
        await line.come(name, "upload")
    await line.cancel("b")
    assert line.turns.waiting("upload") == 1
    await line.end("a")
    assert line.begun == ["a", "c"]


async def test_a_place_that_comes_together_with_a_cancellation_is_given_on(of: Callable[[int], Line]) -> None:
    line = of(1)
    for name in ("a", "b", "c"):
        await line.come(name, "upload")
    line._ends["a"].set()
    while line._tasks["b"]._fut_waiter and not line._tasks["b"]._fut_waiter.done():  # type: ignore[attr-defined]
        await asyncio.sleep(0)
    await line.cancel("b")
    assert line.begun[-1] == "c"


async def test_a_failure_inside_a_turn_gives_the_place_back() -> None:
    turns = Turns(1)
    with pytest.raises(RuntimeError):
        async with turns.turn("upload"):
            raise RuntimeError
    async with asyncio.timeout(1), turns.turn("upload"):
        pass


@settings(max_examples=50, deadline=None)
@given(places=st.integers(1, 4), seed=st.integers(0, 10**6))
async def test_never_more_turns_than_places_and_all_come_to_their_end(places: int, seed: int) -> None:
    chance = random.Random(seed)
    turns = Turns(places)
    now = most = done = 0

    async def one(lane: Lane) -> None:
        nonlocal now, most, done
        async with turns.turn(lane):
            now += 1
            most = max(most, now)
            try:
                for _ in range(chance.randrange(4)):
                    await asyncio.sleep(0)
            finally:
                now -= 1
        done += 1

    tasks = [asyncio.create_task(one(chance.choice(("segment", "upload")))) for _ in range(40)]
    for task in chance.sample(tasks, 8):
        await asyncio.sleep(0)
        task.cancel()
    await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 5)
    assert most <= places
    assert done + sum(task.cancelled() for task in tasks) == 40
    assert turns.waiting("segment") == turns.waiting("upload") == 0
