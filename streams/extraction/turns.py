"""Whose turn it is at the decoding processes: livestream segments before uploads, and each in the order they came.

A segment is worth something for seconds, an upload for as long as it takes. An upload that is long takes many turns,
and goes to the end of the line after each, so that short ones pass it by.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from time import monotonic
from typing import Literal

Lane = Literal["segment", "upload"]

#: So long after the last segment, in seconds, one place is kept free of uploads, so that the next segment does not wait
#: for a turn that has just begun. Segments of a stream come every 2 to 10 s; a minute without any means no stream.
LIVE_S = 60.0


class Turns:
    """So many places; whoever has a turn has one of them."""

    def __init__(self, places: int, clock: Callable[[], float] = monotonic) -> None:
        self._places = places
        self._clock = clock
        self._taken: dict[Lane, int] = {"segment": 0, "upload": 0}
        self._waiting: dict[Lane, deque[asyncio.Future[None]]] = {"segment": deque(), "upload": deque()}
        self._last_segment = float("-inf")

    def waiting(self, lane: Lane) -> int:
        """How many wait for their turn."""
        return sum(not future.done() for future in self._waiting[lane])

    @asynccontextmanager
    async def turn(self, lane: Lane) -> AsyncIterator[None]:
        """Wait for a place, and have it until the end of the block."""
        if lane == "segment":
            self._last_segment = self._clock()
        await self._take(lane)
        try:
            yield
        finally:
            self._give_back(lane)

    async def _take(self, lane: Lane) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[lane].append(future)
        self._wake()
        try:
            await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():  # the place came together with the cancellation
                self._give_back(lane)
            raise

    def _give_back(self, lane: Lane) -> None:
        self._taken[lane] -= 1
        self._wake()

    def _wake(self) -> None:
        lanes: tuple[Lane, ...] = ("segment", "upload")
        for lane in lanes:
            waiting = self._waiting[lane]
            while waiting and (waiting[0].done() or self._may(lane)):
                future = waiting.popleft()
                if not future.done():
                    self._taken[lane] += 1
                    future.set_result(None)

    def _may(self, lane: Lane) -> bool:
        if sum(self._taken.values()) >= self._places:
            return False
        live = self._clock() - self._last_segment < LIVE_S
        return lane == "segment" or self._taken["upload"] < max(1, self._places - live)
