"""The same work asked for twice is done once, and a failure is not remembered."""

from __future__ import annotations

import asyncio

import pytest

from streams.extraction.repeats import Repeats


class Work:
    """Work that ends when it is let, and counts how often it was begun."""

    def __init__(self, result: str = "result") -> None:
        self.result = result
        self.begun = 0
        self.let = asyncio.Event()
        self.failure: Exception | None = None

    async def __call__(self) -> str:
        self.begun += 1
        await self.let.wait()
        if failure := self.failure:
            self.failure = None
            raise failure
        return self.result


async def test_what_comes_again_is_answered_without_work() -> None:
    repeats: Repeats[str] = Repeats(100, len)
    work = Work()
    work.let.set()
    assert [await repeats.once("a", work) for _ in range(3)] == ["result"] * 3
    assert (work.begun, repeats.saved) == (1, 2)


async def test_what_comes_again_while_it_is_under_way_waits_for_it() -> None:
    repeats: Repeats[str] = Repeats(100, len)
    work = Work()
    both = asyncio.gather(repeats.once("a", work), repeats.once("a", work))
    await asyncio.sleep(0)
    work.let.set()
    assert await both == ["result", "result"]
    assert work.begun == 1


async def test_other_keys_are_other_work() -> None:
    repeats: Repeats[str] = Repeats(100, len)
    work = Work()
    work.let.set()
    await repeats.once("a", work)
    await repeats.once("b", work)
    assert work.begun == 2


async def test_a_failure_is_raised_and_whoever_waited_does_the_work_anew() -> None:
    repeats: Repeats[str] = Repeats(100, len)
    work = Work()
    work.failure = RuntimeError("once")
    first = asyncio.create_task(repeats.once("a", work))
    second = asyncio.create_task(repeats.once("a", work))
    await asyncio.sleep(0)
    work.let.set()
    with pytest.raises(RuntimeError, match="once"):
        await first
    assert await second == "result"
    assert work.begun == 2


async def test_one_that_is_cancelled_leaves_the_work_to_whoever_waits() -> None:
    repeats: Repeats[str] = Repeats(100, len)
    work = Work()
    first = asyncio.create_task(repeats.once("a", work))
    second = asyncio.create_task(repeats.once("a", work))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    work.let.set()
    assert await second == "result"


async def test_the_oldest_results_make_room_and_one_beyond_the_bound_is_given_but_not_kept() -> None:
    repeats: Repeats[str] = Repeats(10, len)
    for key, result in (("a", "aaaa"), ("b", "bbbb")):
        work = Work(result)
        work.let.set()
        await repeats.once(key, work)
    work = Work("aaaa")
    work.let.set()
    await repeats.once("a", work)  # used again, so b is the oldest
    await repeats.once("c", work)
    assert set(repeats._kept) == {"a", "c"}
    large = Work("x" * 11)
    large.let.set()
    assert await repeats.once("d", large) == "x" * 11
    assert await repeats.once("d", large) == "x" * 11
    assert large.begun == 2
    assert set(repeats._kept) == {"a", "c"}
