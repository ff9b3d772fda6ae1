"""The refuting agent: keeps what was published, and has it refuted when its claim is (Provisions, Art. 13)."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import ClassVar

from prometheus_client import Counter, Gauge, Histogram

from agents.judging import JudgingAgent
from agents.refuting.index import ItemIndex, event_number
from agents.refuting.index import Swept as SweptEntry
from agents.refuting.judge import CODE, Ordered, judge, order, truth_id
from agents.refuting.matching import make_claims, repeated
from agents.refuting.sweep import Failed, Found, Sweep, Swept
from agents.refuting.withdraw import MOST_NAMED, Withdrawals, is_running
from schemas.bank import Rumor
from schemas.decision import Decision, stable_id
from schemas.message import encode
from schemas.reasons import REFUTED
from schemas.signals import Signals
from schemas.topics import DECISIONS, LOG_DAYS, POLICIES, REFUTATIONS, RUMORS, SIGNALS, Topic
from streams.agent import Assigned, Context, Incoming, Outgoing

log = logging.getLogger(__name__)

DAY_S = 86_400.0
#: Orders that one tick sends at most: a second's work of the producer, so that nothing else waits for longer.
ORDERS_A_TICK = 3000
#: Entries that one tick looks at, whether they have been searched for: some 0.1 s with twelve partitions.
LOOKED_AT = 500
#: For so long after an entry was searched for, each item that the rumour agent decides on is held against it: the item
#: may have been on its way past one agent and not yet at the other. It outlasts any lag that is not an alarm already.
WATCH_S = 900.0
#: Decisions of the rumour agent that came before their item's signals, kept for so many items.
MOST_EARLY = 10_000
#: A rumour's order of a former text does not stand for the new one; clocks of workers may differ by so much.
SKEW_S = 60.0
#: From a single look-up to what the bar of 60 s leaves room for, and beyond.
SWEEP_BUCKETS = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 1800.0)


class Refuting(JudgingAgent):
    """signals, decisions → decisions, labels, refutations, reviews, takedowns; at the time when an entry is refuted."""

    name = "refuting"
    inputs = (SIGNALS, DECISIONS)
    views: ClassVar[tuple[Topic, ...]] = (POLICIES, RUMORS)
    outputs: ClassVar[tuple[Topic, ...]] = (*JudgingAgent.outputs, REFUTATIONS)

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._make = make_claims()
        self._folder: Path | None = None
        self._indexes: dict[int, ItemIndex] = {}
        #: Entries that have to be looked at, and when this worker met them (monotonic).
        self._changed: OrderedDict[str, float] = OrderedDict()
        self._sweep: Sweep | None = None
        self._begun = 0.0
        self._doing = SweptEntry("", "", 0.0)
        #: Partitions searched to their end, whose orders are not acknowledged yet.
        self._ending: set[int] = set()
        self._failed = False
        #: What was ordered in the last tick: told to the index once the broker has it.
        self._sent: list[tuple[int, str, str, Ordered]] = []
        self._withdrawals = Withdrawals(context.views[RUMORS.name].rows, self._indexes)
        self._streams: dict[str, list[Found]] = {}
        self._early: OrderedDict[int, Decision] = OrderedDict()
        self._watched: dict[str, tuple[Rumor, float]] = {}
        registry = context.metrics.registry
        self._seconds = Histogram(
            "veristream_refuting_seconds",
            "From an entry's change to the last order that it brought",
            buckets=SWEEP_BUCKETS,
            registry=registry,
        )
        self._orders = Counter(
            "veristream_refuting_orders",
            "Refutations ordered after publication, and taken back",
            ["of"],
            registry=registry,
        )
        self._items = Gauge("veristream_refuting_items", "Items kept to be refuted later", registry=registry)
        self._bytes = Gauge("veristream_refuting_index_bytes", "What they take on disk", registry=registry)
        self._waiting = Gauge("veristream_refuting_waiting", "Entries still to be searched for", registry=registry)
        self._failures = Counter(
            "veristream_refuting_failures", "Searches that failed and are tried again", registry=registry
        )
        context.views[RUMORS.name].listen(self._entry_changed)
        for rumor_id in context.views[RUMORS.name].rows:
            self._changed[rumor_id] = monotonic()

    def _entry_changed(self, rumor_id: str, former: Rumor | None, new: Rumor | None) -> None:
        if new is not None and new.status == "refuted":
            self._changed.setdefault(rumor_id, monotonic())
        else:
            self._watched.pop(rumor_id, None)
            if former is not None and former.status == "refuted":
                self._withdrawals.look_at(rumor_id, self.context.clock().timestamp())

    # What is kept

    async def start(self) -> None:
        """Find the folder."""
        given = self.context.settings.index_dir
        self._folder = given / self.name if given else Path(tempfile.mkdtemp(prefix="veristream-refuting-"))

    async def stop(self) -> None:
        """Let go of the files; a temporary folder is deleted."""
        self.doubt()
        for index in self._indexes.values():
            index.close()
        self._indexes.clear()
        if self._folder and self.context.settings.index_dir is None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def doubt(self) -> None:
        """What was ordered may be at no broker: the search is begun again. Orders have the same ids then."""
        if self._sweep:
            self._changed[self._sweep.rumor.rumor_id] = self._begun
            self._changed.move_to_end(self._sweep.rumor.rumor_id, last=False)
        self._give_up()
        self._sent = []
        self._withdrawals.doubt()

    def _give_up(self) -> None:
        """End the search that is on."""
        if self._sweep:
            self._sweep.end()
        self._sweep = None
        self._ending, self._streams = set(), {}

    async def restore(self, assigned: Assigned) -> None:
        """Open the files of the partitions that this worker now has, and read what they lack."""
        self.doubt()
        mine = {partition for _, partition in assigned}
        for partition in self._indexes.keys() - mine:
            self._indexes.pop(partition).close()
        assert self._folder is not None
        for partition in mine - self._indexes.keys():
            self._indexes[partition] = ItemIndex(self._folder / f"items-{partition}.sqlite")
        days = self.context.policy.refuting.days
        if mine and days:
            after = {
                (topic.name, partition): offset
                for partition, index in self._indexes.items()
                for topic in self.inputs
                if (offset := index.place(topic.name)) is not None
            }
            since: dict[Topic, float] = {SIGNALS: days * DAY_S, DECISIONS: days * DAY_S}
            numbers = frozenset(mine)
            async for found in self.context.read_back(since, {SIGNALS: numbers, DECISIONS: numbers}, after):
                self._keep(found)
        for index in self._indexes.values():
            index.flush()
        # A partition that came may not have been searched for entries that the others were.
        for rumor_id in self.context.views[RUMORS.name].rows:
            self._changed.setdefault(rumor_id, monotonic())
        self._withdrawals.look_at_all(self.context.clock().timestamp())

    def handle(self, message: Incoming) -> Iterable[Outgoing]:
        """Keep an item, or what was decided on it."""
        if not self.context.policy.refuting.days or not self._keep(message):
            return
        yield from self._overtaken(message)

    def _keep(self, message: Incoming) -> bool:
        """Take a message into its partition's index; whether it was new there."""
        index = self._indexes.get(message.partition)
        if index is None or message.offset < (index.place(message.topic) or 0):
            return False
        if isinstance(message.value, Signals):
            if message.value.error is None:
                index.add(message.value, message.value.extracted_at.timestamp())
        else:
            self._note(index, message.value)
        index.read_up_to(message.topic, message.offset + 1)
        return True

    def _note(self, index: ItemIndex, decision: Decision) -> None:
        event, at = event_number(decision.event_id), decision.decided_at.timestamp()
        if decision.stop and decision.stop.kind != "hold":
            index.remove(event, at)
        elif decision.ruling is not None and decision.ruling.overrules:
            index.bring_back(event)
        if decision.agent not in ("rumor", self.name):
            return
        for rumor_id in _refuted_in(decision):
            if decision.agent == "rumor":
                index.tell(event, rumor_id, "", at)
            # Its own as well: a lost disk, or a worker that died before it had written them down.
            index.keep_order(rumor_id, _ordered(decision))
            self._withdrawals.ordered(rumor_id, self.context.clock().timestamp())

    # What was on its way when an entry changed

    def _overtaken(self, message: Incoming) -> Iterator[Outgoing]:
        now = self.context.clock()
        for rumor_id in [rumor_id for rumor_id, (_, until) in self._watched.items() if until < now.timestamp()]:
            del self._watched[rumor_id]
        if not self._watched:
            return
        index, value = self._indexes[message.partition], message.value
        if isinstance(value, Signals):
            event = event_number(value.event.event_id)
            if self._early.pop(event, None) is None:
                return
        elif value.agent == "rumor":
            event = event_number(value.event_id)
        else:
            return
        kept = index.find(event)
        if kept is None:
            if isinstance(value, Decision):
                self._early[event] = value
                while len(self._early) > MOST_EARLY:
                    self._early.popitem(last=False)
            return
        claims = self._make([rumor for rumor, _ in self._watched.values()], now)
        for rumor_id, how in repeated(claims, kept.signals, self.context.policy).items():
            found = Found(message.partition, kept, how)
            rumor = self._watched[rumor_id][0]
            if self._is_due(found, rumor):
                yield from self._ordered(rumor, [found], now)

    # Searching for an entry

    def tick(self, now: datetime) -> Iterable[Outgoing]:
        """Take back what stands no more; go on with the search that is on, or begin the next; forget what is old."""
        self._acknowledge()
        if self._sweep is not None and not self._withdrawals.stands(self._sweep.rumor.rumor_id):
            self._give_up()
        if self.context.policy.refuting.days:
            yield from self._taken_back(now)
        if self._sweep is None:
            self._tidy(now)
            self._begin(now)
        if self._sweep is not None:
            yield from self._take(now)
        waiting = self._withdrawals.waiting(now.timestamp())
        self._waiting.set(len(self._changed) + (self._sweep is not None) + waiting)
        self._items.set(sum(map(len, self._indexes.values())))

    def _acknowledge(self) -> None:
        """The orders of the last tick are at the broker: what they were for need not be ordered again."""
        at = self.context.clock().timestamp()
        self._withdrawals.acknowledge(at)
        for partition, rumor_id, truth, ordered in self._sent:
            if (index := self._indexes.get(partition)) is not None:
                index.tell(ordered.event, rumor_id, truth, at)
                index.keep_order(rumor_id, ordered)
                self._withdrawals.ordered(rumor_id, at)
        self._sent = []
        if self._sweep is None:
            return
        rumor = self._sweep.rumor
        for partition in self._ending:
            if (index := self._indexes.get(partition)) is not None:
                index.sweep_done(rumor.rumor_id, self._doing)
        self._ending = set()
        if self._sweep.is_over and not self._streams:
            self._seconds.observe(monotonic() - self._begun)
            self._sweep = None
            if self._failed:
                self._changed.setdefault(rumor.rumor_id, monotonic())

    def _taken_back(self, now: datetime) -> Iterator[Outgoing]:
        for message in self._withdrawals.take(now, ORDERS_A_TICK):
            self._orders.labels("withdrawal").inc()
            yield Outgoing(REFUTATIONS, message.content_id, message)

    def _begin(self, now: datetime) -> None:
        rows, days = self.context.views[RUMORS.name].rows, self.context.policy.refuting.days
        for _ in range(min(len(self._changed), LOOKED_AT) if days else 0):
            rumor_id, met = self._changed.popitem(last=False)
            rumor: Rumor | None = rows.get(rumor_id)
            if rumor is None or rumor.status != "refuted" or (rumor.expires_at and rumor.expires_at <= now):
                continue
            entry = stable_id("entry", encode(rumor))
            unknown = {}
            for partition, index in self._indexes.items():
                done = index.swept(rumor_id)
                if done is None or done.entry != entry:
                    unknown[partition] = index
                elif now.timestamp() - done.at < WATCH_S:
                    self._watched[rumor_id] = (rumor, done.at + WATCH_S)
            if not unknown:
                continue
            assert rumor.refutation is not None
            for index in unknown.values():
                index.flush()
            self._begun, self._failed = met, False
            self._doing = SweptEntry(entry, truth_id(rumor.refutation), now.timestamp())
            self._watched[rumor_id] = (rumor, now.timestamp() + WATCH_S)
            paths = {partition: index.path for partition, index in unknown.items()}
            self._sweep = Sweep(rumor, paths, self._make, self.context.policy, self.context.clock)
            return

    def _take(self, now: datetime) -> Iterator[Outgoing]:
        assert self._sweep is not None
        rumor = self._sweep.rumor
        for found in self._sweep.take(ORDERS_A_TICK):
            if isinstance(found, Failed):
                self._failed = True
                self._failures.inc()
                self._streams = {
                    s: parts for s, parts in self._streams.items() if parts[0].partition != found.partition
                }
            elif isinstance(found, Swept):
                self._ending.add(found.partition)
                for done in [s for s, parts in self._streams.items() if parts[0].partition == found.partition]:
                    yield from self._ordered(rumor, self._streams.pop(done), now)
            elif self._is_due(found, rumor):
                stream = found.kept.signals.event.stream_id
                if stream is None:
                    yield from self._ordered(rumor, [found], now)
                else:
                    self._streams.setdefault(stream, []).append(found)

    def _is_due(self, found: Found, rumor: Rumor) -> bool:
        """Whether the item stands, and has not had this refutation."""
        index = self._indexes.get(found.partition)
        if index is None or index.is_removed(found.kept.event):
            return False
        told = index.told(found.kept.event, rumor.rumor_id)
        assert rumor.refutation is not None
        truth = truth_id(rumor.refutation)
        if truth in told:
            return False
        former = index.swept(rumor.rumor_id)
        changed = former is not None and former.truth != truth
        return "" not in told or (changed and told[""] < self._doing.at + SKEW_S)

    def _ordered(self, rumor: Rumor, found: list[Found], now: datetime) -> Iterator[Outgoing]:
        """One item's orders, or those of one stream: for all of its segments that repeat the claim together."""
        last = found[-1]
        event = last.kept.signals.event
        how, policy = last.how, self.context.policy
        index = self._indexes[last.partition]
        after = sorted({by for one in found if (by := index.withdrawn_by(one.kept.event, rumor.rumor_id))})
        decision = judge(
            event, rumor, policy, now,
            score=how.score, threshold=how.threshold, evidence=how.evidence, shown_only=how.shown_only, after=after,
        )  # fmt: skip
        yield from self.decided(decision, policy)
        named = list(dict.fromkeys(one.kept.signals.event.content_id for one in found))[-MOST_NAMED:]
        running = event.stream_id is not None and is_running(index, event.stream_id, now)
        message = order(event, rumor, decision, named, running=running, after=after)
        yield Outgoing(REFUTATIONS, event.content_id, message)
        self._orders.labels("stream" if event.stream_id else "item").inc()
        assert rumor.refutation is not None
        truth = truth_id(rumor.refutation)
        for one in found:
            ordered = _ordered(decision)._replace(event=one.kept.event, content_id=one.kept.signals.event.content_id)
            self._sent.append((one.partition, rumor.rumor_id, truth, ordered))

    def _tidy(self, now: datetime) -> None:
        """Forget what is older than the policy's days, and the oldest where there is more than the settings allow."""
        before = (now - timedelta(days=self.context.policy.refuting.days)).timestamp()
        share = self.context.settings.index_mb * 1_000_000 // max(1, len(self._indexes))
        for index in self._indexes.values():
            index.forget(before, share)
            index.forget_orders((now - timedelta(days=LOG_DAYS)).timestamp())
        self._bytes.set(sum(index.bytes_used for index in self._indexes.values()))


def _refuted_in(decision: Decision) -> Iterator[str]:
    for reason in decision.reasons:
        if reason.code in (REFUTED, CODE):
            yield from (evidence.entry for evidence in reason.evidence if evidence.entry)


def _ordered(decision: Decision) -> Ordered:
    return Ordered(
        event_number(decision.event_id),
        decision.decision_id,
        decision.content_id,
        decision.publisher_id,
        decision.stream_id,
        decision.decided_at.timestamp(),
    )
