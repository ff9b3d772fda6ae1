"""The reviewers agent: keeps the work list of people, and carries out what they rule (Provisions, Art. 7 and 12)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import ClassVar

from msgspec.structs import replace

from agents.judging import JudgingAgent
from agents.reviewers.board import KEEP_DAYS, Board
from agents.reviewers.effects import carried_out
from agents.reviewers.hashes import done, entry_of, signals_of
from agents.reviewers.settle import AGENT
from agents.reviewers.tally import Tally
from agents.reviewers.work import OUTCOMES, claimed, voted
from schemas.bank import HashEntry
from schemas.decision import Decision
from schemas.message import Refused
from schemas.orders import Release, Review
from schemas.sanction import Ruling
from schemas.signals import Signals
from schemas.topics import CLAIMS, DECISIONS, HASHBANK, RELEASES, REVIEWS, RULINGS, SIGNALS, WORKLIST, Topic
from schemas.worklist import Claim, WorkItem
from streams.agent import Assigned, Context, Incoming, Outgoing

log = logging.getLogger(__name__)

DAY_S = 86_400.0
#: How far back decisions are read after a restart, in seconds: for labels of items that nobody was asked about yet.
DECISIONS_BACK_S = 3600.0
#: How often the work list is counted and swept.
COUNT_S = 5.0


class Reviewers(JudgingAgent):
    """decisions, claims, rulings → worklist; decisions of people, with their orders; hashbank."""

    name = AGENT
    inputs = (DECISIONS, CLAIMS, RULINGS)
    outputs: ClassVar[tuple[Topic, ...]] = (*JudgingAgent.outputs, RELEASES, WORKLIST, HASHBANK)
    reads_back = (WORKLIST, SIGNALS)

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._board = Board()
        self._tally = Tally(context.metrics.registry)
        self._mine: frozenset[int] = frozenset()
        #: (topic, partition) → the offset after the last message of it that is known here.
        self._after: dict[tuple[str, int], int] = {}
        #: event → the search for its signals.
        self._searches: dict[str, asyncio.Task[Signals | None]] = {}
        self._counted: datetime | None = None

    def doubt(self) -> None:
        """Forget everything: what the rows here say may be on no topic."""
        self._board, self._mine, self._after = Board(), frozenset(), {}

    async def stop(self) -> None:
        """End what is being looked for; it is looked for again after the next start."""
        searches, self._searches = list(self._searches.values()), {}
        for search in searches:
            search.cancel()
        await asyncio.gather(*searches, return_exceptions=True)

    async def restore(self, assigned: Assigned) -> None:
        """Read back the rows, and the last hour's decisions, for the partitions that this worker now has.

        Rows and decisions lie in equally many partitions by the same key, so their numbers agree. Of partitions that it
        had before only what lies after the last row that it knows.
        """
        mine = frozenset(partition for topic, partition in assigned if topic == DECISIONS.name)
        gained, self._mine = mine - self._mine, mine
        self._after = {place: offset for place, offset in self._after.items() if place[1] in mine - gained}
        self._board.keep(mine)
        policy, now = self.context.policy, self.context.clock()
        only = {WORKLIST: mine, DECISIONS: mine}
        # Rows first: they hold what people said of an item, and decisions that they know change nothing.
        for since in ({WORKLIST: KEEP_DAYS * DAY_S}, {DECISIONS: DECISIONS_BACK_S}):
            async for found in self.context.read_back(since, only, dict(self._after)):
                self._after[found.topic, found.partition] = found.offset + 1
                if isinstance(found.value, WorkItem):
                    self._board.put(found.value, found.partition)
                elif found.value.ruling is None:
                    self._board.recall(found.value, found.partition, policy, now)

    def handle(self, message: Incoming) -> Iterable[Outgoing]:
        """Take a decision of an agent, a claim or a ruling."""
        value, now = message.value, self.context.clock()
        if isinstance(value, Decision):
            place = (message.topic, message.partition)
            self._after[place] = max(self._after.get(place, 0), message.offset + 1)
            if value.ruling is None:
                yield from self._decided(value, message.partition, now)
        elif isinstance(value, Claim):
            yield from self._claimed(value, message.partition, now)
        elif value.outcome in OUTCOMES:
            yield from self._ruled(value, message.partition, now)

    def tick(self, now: datetime) -> Iterable[Outgoing]:
        """Look for the hashes that the bank is to have, and count what waits."""
        yield from self._found(now)
        if self._counted and (now - self._counted).total_seconds() < COUNT_S:
            return
        self._counted = now
        self._board.forget(now)
        self._tally.waiting(*self._board.counts(now))

    def _decided(self, decision: Decision, partition: int, now: datetime) -> Iterator[Outgoing]:
        if row := self._board.take(decision, partition, self.context.policy, now):
            yield from self._row(row, partition)

    def _claimed(self, claim: Claim, partition: int, now: datetime) -> Iterator[Outgoing]:
        item = self._board.asked(claim.review_id)
        if item is None or item.publisher_id != claim.publisher_id:
            raise Refused(
                "review_id", f"{claim.review_id!r} is no review of publisher {claim.publisher_id!r} on the list"
            )
        after = claimed(item, claim, self.context.policy, now)
        mine = any(each.claim and each.claim.claim_id == claim.claim_id for each in after.questions)
        self._tally.claimed("released" if claim.kind == "release" else "given" if mine else "refused")
        yield from self._row(after, partition)

    def _ruled(self, ruling: Ruling, partition: int, now: datetime) -> Iterator[Outgoing]:
        if ruling.outcome == "reversed" and not self._board.knows(ruling.decision_id):
            return  # of a decision on no item here, or long ago: the publisher's points are given back by sanctions
        policy = self.context.policy
        before = self._board.of(ruling, now)
        after = voted(before, ruling, policy, now)
        again = after is before
        if again and self._board.is_written(before):
            yield from self._row(replace(before, answers=ruling.ruling_id), partition)
            return
        if again:
            before = replace(before, votes=tuple(v for v in before.votes if v.ruling_id != ruling.ruling_id))
            after = replace(after, answers=ruling.ruling_id)
        effects = carried_out(before, after, policy, now, self._board.stands, again=again)
        for message in effects.messages:
            yield from self._out(message)
        if not again:
            self._tally.ruled(before, effects.item)
        yield from self._row(effects.item, partition)

    def _out(self, message: Decision | Release | Review | HashEntry) -> Iterator[Outgoing]:
        if isinstance(message, Decision):
            yield from self.decided(message, self.context.policy)
        elif isinstance(message, Release):
            yield Outgoing(RELEASES, message.content_id, message)
        elif isinstance(message, Review):
            yield Outgoing(REVIEWS, message.content_id, message)
        else:
            yield Outgoing(HASHBANK, message.entry_id, message)

    def _row(self, item: WorkItem, partition: int) -> Iterator[Outgoing]:
        self._board.put(item, partition, written=True)
        yield Outgoing(WORKLIST, item.publisher_id, item)

    def _found(self, now: datetime) -> Iterator[Outgoing]:
        """What came of the searches; and a search for each item whose hashes are wanted."""
        wanted = self._board.wanted()
        for event in [event for event, search in self._searches.items() if search.done() or event not in wanted]:
            search = self._searches.pop(event)
            if event not in wanted:
                search.cancel()
                continue
            if error := search.exception():
                log.warning("reviewers: signals of event %s were not read, and are looked for again: %r", event, error)
                continue
            yield from self._enrolled(event, search.result(), now)
        for event, (item, partition) in wanted.items():
            if event not in self._searches:
                looking = self._search(item, partition, now)
                self._searches[event] = asyncio.get_running_loop().create_task(looking, name=f"signals of {event}")

    async def _search(self, item: WorkItem, partition: int, now: datetime) -> Signals | None:
        """Read an item's signals back. Signals lie in as many partitions as decisions, by the same key."""
        mine = {SIGNALS: frozenset({partition})}
        return await signals_of(item, now, lambda age: self.context.read_back({SIGNALS: age}, mine, {}))

    def _enrolled(self, event: str, signals: Signals | None, now: datetime) -> Iterator[Outgoing]:
        item, partition = self._board.wanted()[event]
        assert item.bank is not None
        if signals:
            yield from self._out(entry_of(item, item.bank, signals))
        else:
            log.warning("reviewers: the signals of event %s are no longer kept: enrol its file by hand", event)
        self._tally.banked(item.bank.kind, found=signals is not None)
        yield from self._row(replace(done(item, item.bank, signals), at=now, answers=None), partition)
