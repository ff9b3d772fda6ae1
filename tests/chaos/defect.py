"""Which events a defective judge raises at, and what. Both the worker and the count know it."""

from __future__ import annotations

import hashlib

#: One event in so many.
IDENTITY_EVERY = 40
VERDICT_EVERY = 60
KINDS: tuple[type[Exception], ...] = (
    ValueError, KeyError, TypeError, ZeroDivisionError, RecursionError, MemoryError, TimeoutError, StopIteration,
    OSError, UnicodeError, AssertionError, NotImplementedError,
)  # fmt: skip


def strikes(event_id: str, agent: str) -> type[Exception] | None:
    """What that agent's judge raises at that event, always the same; None: it does not."""
    number = int.from_bytes(hashlib.blake2b(f"{agent} {event_id}".encode(), digest_size=8).digest(), "big")
    every = {"identity": IDENTITY_EVERY, "verdict": VERDICT_EVERY}[agent]
    return KINDS[number // every % len(KINDS)] if number % every == 0 else None
