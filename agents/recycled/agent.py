"""The recycled agent: knows footage of the platform's own past again, and asks people where its text does not fit.

Two hops. The first makes keys of an item's pictures, where its publisher's items are; the second, keyed by what alike
pictures share, compares them with what came before, from all partitions.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import ClassVar

from prometheus_client import Counter, Gauge

from agents.judging import JudgingAgent
from agents.recycled.heard import ListedSounds, reason_for
from agents.recycled.judge import decision_on, recycled
from agents.recycled.listed import ListedClips, decision_on_listed, reason_for_clip
from agents.recycled.named import named
from agents.recycled.pictures import keyed
from agents.recycled.store import FootageStore
from schemas.signals import Signals
from schemas.spread import Footage
from schemas.topics import FOOTAGE, POLICIES, RUMORS, SIGNALS, Topic
from streams.agent import Assigned, Context, Incoming, Outgoing

DAY_S = 86_400.0
#: Characters of a title that are kept, and of a description that is searched for places and dates.
TITLE, SEARCHED = 200, 2000
#: Items that were asked about, kept so that one found under several keys is asked about once. A repeat that is
#: forgotten, or met by another worker, carries the same decision_id.
MOST_ASKED = 10_000


class Recycled(JudgingAgent):
    """signals → footage; footage → decisions and reviews. It never stops or labels anything."""

    name = "recycled"
    inputs = (SIGNALS, FOOTAGE)
    views: ClassVar[tuple[Topic, ...]] = (POLICIES, RUMORS)
    outputs: ClassVar[tuple[Topic, ...]] = (*JudgingAgent.outputs, FOOTAGE)

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._folder: Path | None = None
        self._stores: dict[int, FootageStore] = {}
        self._asked: OrderedDict[str, None] = OrderedDict()
        self._made_of = -1
        self._listed = ListedClips([], context.clock())
        self._sounds = ListedSounds([], context.clock())
        registry = context.metrics.registry
        self._bytes = Gauge("veristream_recycled_index_bytes", "What known footage takes on disk", registry=registry)
        self._calls = Counter("veristream_recycled_calls", "Items that people were asked about", registry=registry)

    async def start(self) -> None:
        """Find the folder."""
        given = self.context.settings.index_dir
        self._folder = given / self.name if given else Path(tempfile.mkdtemp(prefix="veristream-recycled-"))

    async def stop(self) -> None:
        """Let go of the files; a temporary folder is deleted."""
        for store in self._stores.values():
            store.close()
        self._stores = {}
        if self._folder and self.context.settings.index_dir is None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def doubt(self) -> None:
        """What was asked may have reached nobody."""
        self._asked.clear()

    async def restore(self, assigned: Assigned) -> None:
        """Open the files of the partitions that this worker now has, and read what they lack."""
        mine = {partition for topic, partition in assigned if topic == FOOTAGE.name}
        for partition in self._stores.keys() - mine:
            self._stores.pop(partition).close()
        assert self._folder is not None
        for partition in mine - self._stores.keys():
            self._stores[partition] = FootageStore(self._folder / f"footage-{partition}.sqlite")
        days = self.context.policy.recycled.days
        if not mine or not self.context.policy.recycled.enabled:
            return
        after = {
            (FOOTAGE.name, partition): place
            for partition, store in self._stores.items()
            if (place := store.place(FOOTAGE.name)) is not None
        }
        async for found in self.context.read_back({FOOTAGE: days * DAY_S}, {FOOTAGE: frozenset(mine)}, after):
            self._stores[found.partition].add(found.value)
            # Not its place: what was not delivered before the restart is still to be judged.

    def handle(self, message: Incoming) -> Iterable[Outgoing]:
        """Take an item, or pictures of one."""
        policy = self.context.policy
        if not policy.recycled.enabled:
            return
        if isinstance(message.value, Signals):
            yield from self._on_list(message.value)
            for footage in pictures_of(message.value):
                yield Outgoing(FOOTAGE, footage.bucket, footage)
        elif (store := self._stores.get(message.partition)) is not None:
            yield from self._met(store, message.value)
            store.read_up_to(FOOTAGE.name, message.offset + 1)

    def _on_list(self, signals: Signals) -> Iterator[Outgoing]:
        """Ask about an item that shows or plays the clip of a listed rumour, whatever its text says."""
        policy, now = self.context.policy, self.context.clock()
        view = self.context.views[RUMORS.name]
        stale = any(at and at <= now for at in (self._listed.stale_at, self._sounds.stale_at))
        if self._made_of != view.version or stale:
            rumors = list(view.rows.values())
            self._listed, self._sounds = ListedClips(rumors, now), ListedSounds(rumors, now)
            self._made_of = view.version
        shown = self._listed.shown(signals.frames, policy.recycled)
        errors = policy.review.sound_max_errors
        heard = self._sounds.heard(signals.sounds, errors, policy.review.sound_min_s)
        reasons = [(one.rumor.rumor_id, reason_for_clip(one, policy)) for one in shown]
        reasons += [(one.rumor.rumor_id, reason_for(one, errors or 0.0)) for one in heard]
        if reasons:
            self._calls.inc()
            yield from self.decided(decision_on_listed(signals.event, reasons, policy, now), policy)

    def _met(self, store: FootageStore, footage: Footage) -> Iterator[Outgoing]:
        policy, now = self.context.policy, self.context.clock()
        found = recycled(footage, store.before(footage), policy.recycled)
        store.add(footage)
        if found is None or footage.event_id in self._asked:
            return
        self._asked[footage.event_id] = None
        while len(self._asked) > MOST_ASKED:
            self._asked.popitem(last=False)
        self._calls.inc()
        yield from self.decided(decision_on(found, policy, now), policy)

    def tick(self, now: datetime) -> Iterable[Outgoing]:
        """Write what waits; forget what is old."""
        before = (now - timedelta(days=self.context.policy.recycled.days)).timestamp()
        share = self.context.settings.index_mb * 1_000_000 // max(1, len(self._stores))
        for store in self._stores.values():
            store.forget(before, share)
            store.flush()
        self._bytes.set(sum(store.bytes_used for store in self._stores.values()))
        return ()


def pictures_of(signals: Signals) -> Iterator[Footage]:
    """An item's pictures with what its text names, once for each key."""
    event = signals.event
    made = keyed(signals.frames)
    if not made.keys:
        return
    # What a caption names is in the footage itself, and comes again with it.
    says = named(f"{event.title}\n{event.description[:SEARCHED]}\n{' '.join(event.tags)}", event.created_at.date())
    for key in made.keys:
        yield Footage(
            bucket=key,
            event_id=event.event_id,
            content_id=event.content_id,
            publisher_id=event.publisher_id,
            at=signals.extracted_at,
            frames=made.pictures,
            places=says.places,
            dates=says.dates,
            title=event.title[:TITLE],
            stream_id=event.stream_id,
            seq=event.seq,
            created_at=event.created_at,
        )
