"""Work that takes seconds, in a thread of its own, while items go on being judged by what is there already."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

#: What such a thread is nicer than the rest of the process by: it has time, items have not.
NICER = 10

T = TypeVar("T")


class Aside(Generic[T]):
    """One piece of work at a time. Asked by one thread at a time."""

    def __init__(self, name: str) -> None:
        """`name`: of the thread."""
        self._name = name
        self._thread: threading.Thread | None = None
        self._made: T | None = None
        self._failed: Exception | None = None

    @property
    def busy(self) -> bool:
        """Whether work is under way, or has ended and was not taken up."""
        return self._thread is not None

    @property
    def ended(self) -> bool:
        """Whether work has ended that was not taken up."""
        return self._thread is not None and not self._thread.is_alive()

    def begin(self, work: Callable[[], T]) -> None:
        """Begin; nothing else may be under way."""
        if self._thread is not None:
            raise RuntimeError(f"{self._name}: the former work was not taken up")
        # A daemon, so that a process that ends does not wait for it.
        self._thread = threading.Thread(target=self._run, args=(work,), name=self._name, daemon=True)
        self._thread.start()

    def taken(self) -> T:
        """What the work has made; waits for it. Raises what the work raised."""
        assert self._thread is not None, "nothing is under way"
        self._thread.join()
        made, failed, self._thread, self._made, self._failed = self._made, self._failed, None, None, None
        if failed is not None:
            raise failed
        return made  # type: ignore[return-value]  # what did not fail has made one

    def wait(self) -> None:
        """Wait until nothing is under way."""
        if self._thread is not None:
            self._thread.join()

    async def over(self) -> None:
        """Wait until nothing is under way, without keeping the event loop."""
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    def _run(self, work: Callable[[], T]) -> None:
        with contextlib.suppress(OSError):  # of this thread alone, on Linux
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICER)
        try:
            self._made = work()
        except Exception as error:
            self._failed = error
