"""Work that was done a moment ago is not done again: an item that arrives twice is answered from its signals."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Repeats(Generic[T]):
    """The last results by key, up to a bound on their size together; and what is under way, which is waited for.

    What fails is not kept: it may succeed another time.
    """

    def __init__(self, most: int, size: Callable[[T], int]) -> None:
        self._most = most
        self._size = size
        self._kept: OrderedDict[Hashable, T] = OrderedDict()
        self._held = 0
        self._under_way: dict[Hashable, asyncio.Event] = {}
        #: How often a result was given a second time.
        self.saved = 0

    async def once(self, key: Hashable, work: Callable[[], Awaitable[T]]) -> T:
        """The result for this key: kept, or waited for where it is under way, or else of `work`."""
        while key not in self._kept:
            if under_way := self._under_way.get(key):
                await under_way.wait()  # then look again: it may have failed, or been too large to keep
                continue
            self._under_way[key] = asyncio.Event()
            try:
                result = await work()
                self._keep(key, result)
                return result
            finally:
                self._under_way.pop(key).set()
        self._kept.move_to_end(key)
        self.saved += 1
        return self._kept[key]

    def _keep(self, key: Hashable, result: T) -> None:
        size = self._size(result)
        if size > self._most:
            return
        self._kept[key] = result
        self._held += size
        while self._held > self._most:
            self._held -= self._size(self._kept.popitem(last=False)[1])
