"""Clusters of alike sentences: who said them within the last minutes, and whether that is to be asked about. Pure.

Called is what many accounts say within minutes, several times as many as have said just that before, most of them of
low standing, more than are so among all. A concert or a holiday is said by many at once too, but by accounts like all
others; and where each finds words of its own, no cluster comes of it.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import blake2b
from math import exp, lgamma, log, log1p
from typing import NamedTuple

from msgspec.structs import replace
from rapidfuzz import fuzz

from agents.decide import decide, ground, review
from agents.emerging.sketch import DecayingSketch
from schemas.decision import Decision
from schemas.policy import EmergingPolicy, Policy
from schemas.signals import Evidence
from schemas.spread import Sighting

CODE = "RUMOR-EMERGING"
#: Clusters that are kept, the ones seen last; each takes about 1.5 kB, and more the more it is seen.
MOST_CLUSTERS = 30_000
#: Accounts of a cluster that are kept, the last ones: enough for any threshold that makes sense.
MOST_ACCOUNTS = 500
#: Examples that a reviewer is shown.
EXAMPLES = 5
#: A sentence counts for its cluster from this likeness to the one that began it (share of signs that stay); a key that
#: two unlike sentences share by chance counts for nothing.
ALIKE = 0.5
#: What was said in the past counts half after a day: yesterday's greeting is no news today.
PAST_HALF_LIFE_S = 86_400.0
#: So many times the share of low standing among all items is taken as usual: a crowd of fans is newer than others.
USUAL = 2.0
#: With such a chance at most may as many accounts of low standing have come together by themselves. Some thousand
#: clusters a day get so far that it is asked.
CHANCE = 1e-3
#: Of the keys of its first sentence one, the smallest, calls a burst as soon as it may; under the others, which see the
#: same at the same time, this many times as many accounts are waited for: edits may have led most of them there.
OTHER_KEYS = 1.5


class Said(NamedTuple):
    """That an account said it."""

    at: float
    account: bytes
    low: bool
    sighting: Sighting | None


@dataclass(slots=True)
class Cluster:
    """What is known of one key."""

    leader: str
    #: In the order in which they came; each account once.
    said: deque[Said] = field(default_factory=deque)
    accounts: dict[bytes, float] = field(default_factory=dict)
    #: How many of `said` keep their sighting.
    examples: int = 0
    called_at: float | None = None

    def let_go(self) -> Said:
        """Forget the first account."""
        gone = self.said.popleft()
        del self.accounts[gone.account]
        self.examples -= gone.sighting is not None
        return gone


class Burst(NamedTuple):
    """A cluster that people are to be asked about."""

    accounts: int
    low: int
    expected: float
    usual_low: float
    begun: float
    last: float
    examples: tuple[Sighting, ...]

    @property
    def low_share(self) -> float:
        """Share of accounts of low standing."""
        return self.low / self.accounts


class Bursts:
    """All clusters whose keys lie in this worker's partitions."""

    def __init__(self, *, cells: int = 1 << 18) -> None:
        self._clusters: OrderedDict[str, Cluster] = OrderedDict()
        self._past = DecayingSketch(PAST_HALF_LIFE_S, cells=cells)

    def __len__(self) -> int:
        return len(self._clusters)

    def recall(self, sighting: Sighting, policy: EmergingPolicy) -> None:
        """Count a sighting that was taken before. Whatever it completed has been called, and then a further sighting
        says so, or is called by the next one that comes."""
        self._count(sighting, policy)

    def take(self, sighting: Sighting, policy: EmergingPolicy) -> Burst | None:
        """Count a sighting; the burst that it completes, if it does. A repeat counts nothing."""
        cluster = self._count(sighting, policy)
        if cluster is None:
            return None
        return self._burst(sighting, cluster, policy)

    def _count(self, sighting: Sighting, policy: EmergingPolicy) -> Cluster | None:
        now = sighting.at.timestamp()
        if sighting.called:
            cluster = self._of(sighting)
            cluster.called_at = max(now, cluster.called_at or 0.0)
            return None
        cluster = self._of(sighting)
        self._let_go(sighting.cluster, cluster, now - policy.window_s)
        if not cluster.said:
            cluster.leader = sighting.text
        elif fuzz.ratio(cluster.leader, sighting.text) < ALIKE * 100:
            return None
        account = blake2b(sighting.publisher_id.encode(), digest_size=8).digest()
        if account not in cluster.accounts:
            cluster.accounts[account] = now
            kept = sighting if cluster.examples < EXAMPLES else None
            cluster.examples += kept is not None
            cluster.said.append(Said(now, account, sighting.low, kept))
            if len(cluster.said) > MOST_ACCOUNTS:
                cluster.let_go()
        return cluster

    def called(self, burst: Burst, at: datetime) -> Iterator[Sighting]:
        """What tells every key of the burst's sentences that it has been called."""
        keys = dict.fromkeys(key for one in burst.examples for key in (one.cluster, *one.keys))
        for key in keys:
            yield replace(burst.examples[0], cluster=key, at=at, called=True, keys=())

    def _of(self, sighting: Sighting) -> Cluster:
        found = self._clusters.get(sighting.cluster)
        if found is None:
            found = self._clusters[sighting.cluster] = Cluster(sighting.text)
            while len(self._clusters) > MOST_CLUSTERS:
                key, oldest = self._clusters.popitem(last=False)
                self._let_go(key, oldest, float("inf"))
        self._clusters.move_to_end(sighting.cluster)
        return found

    def _let_go(self, key: str, cluster: Cluster, before: float) -> None:
        """What has left the window becomes the cluster's past."""
        while cluster.said and cluster.said[0].at < before:
            self._past.add([_number(key)], cluster.let_go().at)

    def _burst(self, sighting: Sighting, cluster: Cluster, policy: EmergingPolicy) -> Burst | None:
        key, now, usual = sighting.cluster, sighting.at.timestamp(), sighting.usual
        accounts = len(cluster.said)
        first = next((one.sighting for one in cluster.said if one.sighting), None)
        own = first is not None and key == min(first.keys, default=key)
        if accounts < policy.publishers * (1.0 if own else OTHER_KEYS):
            return None
        if cluster.called_at is not None and now - cluster.called_at < policy.quiet_s:
            return None
        past = float(self._past.count([_number(key)], now)[0])
        expected = past / self._past.memory_s * policy.window_s
        if accounts < policy.growth * max(1.0, expected):
            return None
        low = sum(one.low for one in cluster.said)
        if low < policy.low_standing * accounts or at_least(low, accounts, min(1.0, USUAL * usual)) > CHANCE:
            return None
        cluster.called_at = now
        examples = tuple(one.sighting for one in cluster.said if one.sighting)
        return Burst(accounts, low, expected, usual, cluster.said[0].at, now, examples)


def decision_on(burst: Burst, policy: Policy, now: datetime) -> Decision:
    """The question to people, on the first item that said it."""
    first = burst.examples[0]
    summary = (
        f"{burst.accounts} accounts said it within {burst.last - burst.begun:.0f} s, from {_clock(burst.begun)} to "
        f"{_clock(burst.last)}; {burst.expected:.1f} were to be expected; {burst.low} are of low standing, "
        f"{burst.low_share:.0%} against {burst.usual_low:.0%} of all"
    )
    shown = [
        Evidence(
            entry=one.content_id, text=f"{_clock(one.at.timestamp())} {one.publisher_id} in {one.field}: {one.text}"
        )
        for one in burst.examples
    ]
    reason = ground(
        CODE, score=burst.low_share, threshold=policy.emerging.low_standing, evidence=[Evidence(text=summary), *shown]
    )
    return decide("emerging", first, policy, [review(reason)], now)


def at_least(hits: int, of: int, chance: float) -> float:
    """The probability of so many hits or more among so many, each with that chance (binomial)."""
    if hits <= 0 or chance >= 1.0:
        return 1.0
    if chance <= 0.0:
        return 0.0
    whole, yes, no = lgamma(of + 1), log(chance), log1p(-chance)
    return min(
        1.0,
        sum(exp(whole - lgamma(k + 1) - lgamma(of - k + 1) + k * yes + (of - k) * no) for k in range(hits, of + 1)),
    )


def _number(key: str) -> int:
    return int.from_bytes(blake2b(key.encode(), digest_size=8).digest(), "big")


def _clock(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%SZ}"
