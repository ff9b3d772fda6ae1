"""A circuit breaker: who is down is left alone for a while, instead of being asked by everybody at once."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic


class Breaker:
    """Opens after so many failures in a row; after some seconds lets one call through and closes if it succeeds."""

    def __init__(self, failures: int = 5, open_s: float = 30.0, clock: Callable[[], float] = monotonic) -> None:
        self._limit, self._open_s, self._clock = failures, open_s, clock
        self._failed = 0
        self._opened_at: float | None = None
        self._probing = False

    @property
    def is_open(self) -> bool:
        """Whether calls are kept back, but for a single one to try."""
        return self._opened_at is not None

    def lets(self) -> bool:
        """Whether a call may go now. Whoever is let must `note` its outcome."""
        if self._opened_at is None:
            return True
        if self._probing or self._clock() - self._opened_at < self._open_s:
            return False
        self._probing = True
        return True

    def note(self, *, ok: bool) -> None:
        """How a call went."""
        self._probing = False
        if ok:
            self._failed, self._opened_at = 0, None
            return
        self._failed += 1
        if self._opened_at is not None or self._failed >= self._limit:
            self._opened_at = self._clock()
