"""Publishers that wait for a verifier that is down, in memory: their numbers must lie nowhere else. What waits is lost
when the process ends; their rows then stay pending until the platform sends them again."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

from agents.identity.verifier import Verifier, VerifierDown, VerifyAnswer, VerifyRequest, ask
from schemas.registry import Publisher

log = logging.getLogger(__name__)

#: Asked together. After a failure half as many, down to one, so that one publisher on which the verifier chokes does
#: not hold up the others; after an answer twice as many again.
MOST = 100


@dataclass(frozen=True, slots=True)
class Entry:
    """Somebody who waits, the pending row that was sent for them, and since when."""

    request: VerifyRequest
    row: Publisher
    since: datetime


#: Takes an answer; False: not now, ask again.
Settle = Callable[[Entry, VerifyAnswer], Awaitable[bool]]


class Waiting:
    """A bounded queue that asks until it is answered."""

    def __init__(self, verifier: Verifier, size: int, settle: Settle) -> None:
        self._verifier, self._size, self._settle = verifier, size, settle
        self._entries: dict[str, Entry] = {}
        self._most = MOST

    def __len__(self) -> int:
        return len(self._entries)

    def takes(self, publisher_id: str) -> bool:
        """Whether there is room for this publisher."""
        return publisher_id in self._entries or len(self._entries) < self._size

    def put(self, entry: Entry) -> None:
        """Let somebody wait; a former entry of the same publisher is forgotten."""
        self.forget(entry.request.publisher_id)
        self._entries[entry.request.publisher_id] = entry

    def forget(self, publisher_id: str) -> None:
        """Somebody waits no longer."""
        self._entries.pop(publisher_id, None)

    def has(self, entry: Entry) -> bool:
        """Whether this very entry still waits, and no later one of the same publisher."""
        return self._entries.get(entry.request.publisher_id) is entry

    async def run(self, every_s: float) -> None:
        """Ask again and again."""
        while True:
            await asyncio.sleep(every_s * random.uniform(0.8, 1.2))
            try:
                await self.ask_all()
            except Exception as error:  # only its type: its text is not ours
                log.error("asking the verifier again failed: %s", type(error).__name__)

    async def ask_all(self) -> None:
        """Ask for each of those that wait, once."""
        left = list(self._entries.values())
        while left:
            some, left = left[: self._most], left[self._most :]
            try:
                answers = await ask(self._verifier, [entry.request for entry in some])
            except VerifierDown as down:
                self._most = max(1, len(some) // 2)
                for entry in some:
                    if self.has(entry):
                        self.put(entry)  # behind the others
                log.info("%d wait for the verifier: %s", len(self._entries), down)
                return
            self._most = min(MOST, self._most * 2)
            for entry, answer in zip(some, answers, strict=True):
                if self.has(entry) and await self._settle(entry, answer):
                    self.forget(entry.request.publisher_id)
