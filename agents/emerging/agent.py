"""The emerging agent: finds what many accounts begin to say at once, and asks people about it (Provisions, Art. 13).

Two hops. The first sees a publisher's items, where they are, and passes on sentences that have been said before; the
second, keyed by what alike sentences share, sees who says them, from all partitions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import ClassVar

from prometheus_client import Counter, Gauge

from agents.emerging.bursts import Bursts, decision_on
from agents.emerging.sentences import name, sentences
from agents.emerging.sketch import DecayingSketch
from agents.judging import JudgingAgent
from schemas.policy import EmergingPolicy, Policy
from schemas.signals import Signals
from schemas.spread import Sighting
from schemas.topics import POLICIES, SIGHTINGS, SIGNALS, Topic
from streams.agent import Assigned, Context, Incoming, Outgoing

#: A sentence counts as said before if so many of its keys have been met: unlike sentences share one of four by chance.
KEYS_MET = 2
#: A key counts as met from here on: one that came a half-life (a window) ago.
MET = 0.45
#: How far back sightings are read after a restart, in seconds: twice the half-life of a cluster's past.
BACK_S = 2 * 86_400.0
#: What is taken of the share of low standing before any item was seen: as if so many had been, a tenth of them low.
PRIOR, PRIOR_LOW = 200.0, 0.1
#: That share counts half after so many items.
SHARE_MEMORY = 100_000.0
#: Reasons to look closer that speak against a publisher, as extraction's plan names them.
LOW = frozenset({"publisher_new", "publisher_sanctioned"})


class Emerging(JudgingAgent):
    """signals → sightings; sightings → decisions and reviews. It never stops or labels anything."""

    name = "emerging"
    inputs = (SIGNALS, SIGHTINGS)
    views: ClassVar[tuple[Topic, ...]] = (POLICIES,)
    outputs: ClassVar[tuple[Topic, ...]] = (*JudgingAgent.outputs, SIGHTINGS)

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._hop = FirstHop(context.policy.emerging.window_s)
        self._bursts = Bursts()
        self._against: tuple[Policy, frozenset[str]] | None = None
        registry = context.metrics.registry
        self._sightings = Counter("veristream_emerging_sightings", "Sentences that were said again", registry=registry)
        self._calls = Counter("veristream_emerging_calls", "Bursts that people were asked about", registry=registry)
        self._clusters = Gauge("veristream_emerging_clusters", "Clusters of sentences in memory", registry=registry)

    async def restore(self, assigned: Assigned) -> None:
        """Read back who said what, for the partitions that this worker now has.

        What the first hop has met is not restored: in each partition the first to say a sentence again after a restart
        goes uncounted.
        """
        mine = frozenset(partition for topic, partition in assigned if topic == SIGHTINGS.name)
        self._bursts = Bursts()
        policy = self.context.policy.emerging
        async for found in self.context.read_back({SIGHTINGS: BACK_S}, {SIGHTINGS: mine}, {}):
            self._bursts.recall(found.value, policy)

    def handle(self, message: Incoming) -> Iterable[Outgoing]:
        """Take an item, or a sighting."""
        policy = self.context.policy
        if not policy.emerging.enabled:
            return
        if isinstance(message.value, Signals):
            yield from self._sighted(message.value, policy.emerging)
        elif burst := self._bursts.take(message.value, policy.emerging):
            self._calls.inc()
            now = self.context.clock()
            yield from self.decided(decision_on(burst, policy, now), policy)
            # By the time of what was seen, as everything here: clocks of workers differ.
            for told in self._bursts.called(burst, message.value.at):
                yield Outgoing(SIGHTINGS, told.cluster, told)

    def tick(self, now: datetime) -> Iterable[Outgoing]:
        """Say how much is kept."""
        self._clusters.set(len(self._bursts))
        return ()

    def _sighted(self, signals: Signals, policy: EmergingPolicy) -> Iterator[Outgoing]:
        against = self._against
        if against is None or against[0] is not self.context.policy:
            against = self._against = (self.context.policy, speaking_against(self.context.policy))
        for sighting in sightings(self._hop, signals, policy, against[1]):
            self._sightings.inc()
            yield Outgoing(SIGHTINGS, sighting.cluster, sighting)


def speaking_against(policy: Policy) -> frozenset[str]:
    """Labels of the entity memory that speak against a publisher: those that the policy itself holds against items, and
    those that sanctions and rules leave. An authority's or a newspaper's label does not."""
    left = (*(rung.label for rung in policy.sanctions.ladder), *(rule.label for rule in policy.sanctions.labels))
    return frozenset({*policy.identity.entity_labels, *left} - {""})


class FirstHop:
    """What a worker has met of sentences, and how many of its items come from accounts of low standing."""

    def __init__(self, window_s: float) -> None:
        self.met = DecayingSketch(window_s)
        self._items, self._low = PRIOR, PRIOR * PRIOR_LOW

    def share(self, low: bool) -> float:
        """The share of low standing, this item's included."""
        self._items, self._low = self._items + 1, self._low + low
        if self._items > SHARE_MEMORY:
            self._items, self._low = self._items / 2, self._low / 2
        return self._low / self._items


def sightings(hop: FirstHop, signals: Signals, policy: EmergingPolicy, against: frozenset[str]) -> Iterator[Sighting]:
    """The item's sentences that have been said before, once for each of their keys; all are met from now on."""
    why = signals.ran.plan.why if signals.ran else ()
    low = not LOW.isdisjoint(why) or not against.isdisjoint(signals.labels)
    usual = hop.share(low)
    found = sentences(signals, policy.shortest)
    if not found:
        return
    event, at = signals.event, signals.extracted_at.timestamp()
    keys = [key for sentence in found for key in sentence.keys]
    counts = hop.met.add(keys, at).reshape(len(found), -1)
    for sentence, count in zip(found, counts, strict=True):
        if (count >= MET).sum() < KEYS_MET:
            continue
        names = tuple(map(name, sentence.keys))
        for key in names:
            yield Sighting(
                cluster=key,
                event_id=event.event_id,
                content_id=event.content_id,
                publisher_id=event.publisher_id,
                at=signals.extracted_at,
                text=sentence.text,
                field=sentence.field,
                low=low,
                usual=usual,
                keys=names,
                created_at=event.created_at,
                stream_id=event.stream_id,
                seq=event.seq,
            )
