"""How much one complainant, or one address, may send: token buckets, in a table that cannot grow without end. Pure."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address
from math import ceil
from time import monotonic

#: Buckets at most, the least used forgotten first: about 20 MB. Whoever is forgotten has a full bucket again.
MOST_BUCKETS = 100_000
#: Of an hour's allowance, what may come at once.
BURST_SHARE = 0.5


class Buckets:
    """One bucket for each name, filled evenly: so many an hour, half of them at once (one at least). 0: no limit."""

    def __init__(self, an_hour: float, clock: Callable[[], float] = monotonic) -> None:
        self._a_second = an_hour / 3600
        self._burst = max(1.0, an_hour * BURST_SHARE)
        self._clock = clock
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, name: str) -> int:
        """Take one: 0 if it was there, else the seconds, rounded up, until it will be."""
        if not self._a_second:
            return 0
        now = self._clock()
        level, since = self._levels.pop(name, (self._burst, now))
        level = min(self._burst, level + (now - since) * self._a_second)
        allowed = level >= 1
        self._levels[name] = (level - allowed, now)
        if len(self._levels) > MOST_BUCKETS:
            self._levels.popitem(last=False)
        return 0 if allowed else max(1, ceil((1 - level) / self._a_second))


def network(peer: str | None) -> str:
    """Who an address stands for: of IPv6 the /64, which is what one subscriber gets."""
    try:
        address = ip_address(peer or "")
    except ValueError:
        return peer or ""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is None:
        return str(IPv6Address(int(address) >> 64 << 64))
    return str(address)
