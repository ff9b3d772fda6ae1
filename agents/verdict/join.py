"""The join: which decisions an item has so far, which streams are stopped, and what has been answered. No Kafka.

What came first and what replaces what is told by the order on the topics, never by the times in messages: the workers
that wrote them may have clocks that are hours apart. Deadlines and forgetting go by this worker's clock alone.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from sys import intern
from typing import Any

from msgspec.structs import replace

from agents.verdict.judge import PEOPLE, in_force, is_final, judge, removes
from agents.verdict.stopped import MOST_STREAMS, Streams
from schemas.decision import Decision, Position
from schemas.orders import Release, Takedown
from schemas.policy import Policy
from schemas.verdict import Verdict

#: How long an item is remembered once it is complete, in seconds: decisions under a new policy and complaints within it
#: change the answer, and repeats within it are recognised. It outlasts a worker's restart, after which so much is read
#: back.
KEEP_S = 3600.0
#: How long an item is remembered that lacks a decision, in seconds: an agent that was away for most of a day and comes
#: back still finishes what was held for it.
KEEP_LATE_S = 86_400.0
#: Items remembered at most: about 250 MB (`make bench ARGS=state`). Complete ones are forgotten first, oldest first.
MOST_ITEMS = 100_000
#: Failures kept to be told: a defect that strikes every item would otherwise fill memory.
MOST_FAILED = 100
#: Policies and sets of models that are held once; there are a handful at a time.
MOST_COMMON = 1_000


@dataclass(slots=True)
class Item:
    """An item's decisions by agent, and its last answer."""

    #: When its deadline began.
    opened_at: datetime
    #: When this worker met it.
    noted_at: datetime
    #: Of the topic of decisions.
    partition: int
    decisions: dict[str, Decision] = field(default_factory=dict)
    #: Ids of decisions that others have taken the place of.
    replaced: tuple[str, ...] = ()
    verdict: Verdict | None = None
    #: Whether all that is known of it was read back.
    recalled: bool = False
    #: Whether people ruled on it when it was no longer remembered: all that is known of it came with their ruling.
    forgotten: bool = False

    @property
    def any(self) -> Decision:
        """One of its decisions, for what they have in common."""
        return next(iter(self.decisions.values()))


class Join:
    """Takes decisions; says which verdicts and stream orders follow."""

    def __init__(self) -> None:
        #: In the order in which this worker met them.
        self._items: OrderedDict[str, Item] = OrderedDict()
        #: Those that lacked a decision when the others of their age were forgotten.
        self._late: OrderedDict[str, Item] = OrderedDict()
        self._open: dict[str, Item] = {}
        self._streams = Streams()
        #: What was read back that stops streams, oldest first: the order may not have been given.
        self._owing: deque[Decision] = deque(maxlen=MOST_STREAMS)
        #: Items that were read back since `keep`, by partition, and how many of each partition there may be.
        self._recalled: dict[int, deque[str]] = {}
        self._share = MOST_ITEMS
        #: What decisions have in common, by its value: policies and models.
        self._common: dict[Any, Any] = {}
        #: Events whose answer failed when no message was to blame, and why: for whoever calls to say, and to empty.
        self.failed: deque[tuple[str, Exception]] = deque(maxlen=MOST_FAILED)

    def keep(self, partitions: Collection[int]) -> None:
        """Only these partitions of decisions are this worker's from now on; what was met of others is forgotten.

        Then follow, where they are read back, `recall` for decisions in the order of their partitions, `recall` for
        verdicts and takedowns, and `recalled`. Nothing follows from it at once; what is due is said by the next `due`.
        """
        for items in (self._items, self._late):
            for event_id in [event_id for event_id, item in items.items() if item.partition not in partitions]:
                del items[event_id]
                self._open.pop(event_id, None)
        self._recalled = {}
        self._share = max(1, (MOST_ITEMS - len(self._items) - len(self._late)) // max(1, len(partitions)))

    def recall(self, message: object, partition: int, now: datetime) -> None:
        """Take what lies on a topic. Bounded: verdicts count only for items whose decisions were read before."""
        if isinstance(message, Decision):
            self._recall_decision(message, partition, now)
        elif isinstance(message, Verdict):
            item = self._item(message.event_id)
            # A later verdict names the one before it, and comes after it; an older one that is read again says nothing.
            if item and not (item.verdict and item.verdict.replaces == message.verdict_id):
                item.verdict = message
        elif isinstance(message, Takedown | Release) and message.stream_id:
            self._streams.recall(message)

    def _recall_decision(self, decision: Decision, partition: int, now: datetime) -> None:
        # The deadline goes on from where it began before the restart, as far as another's clock can say.
        item = self._note(decision, partition, now, opened_at=min(decision.decided_at, now))
        if item is None:
            return
        self._open[decision.event_id] = item
        if decision.stop and decision.stream_id:
            self._owing.append(decision)
        item.recalled = True
        if len(item.decisions) == 1:
            mine = self._recalled.setdefault(partition, deque())
            mine.append(decision.event_id)
            if len(mine) > self._share:
                oldest = mine.popleft()
                self._items.pop(oldest, None)
                self._open.pop(oldest, None)

    def recalled(self) -> None:
        """Everything has been read back."""
        # What lies on the topic may not have been taken before the restart, and is ignored as a repeat when it is
        # delivered: what follows from it is found out by `due`.
        for event_id, item in list(self._open.items()):
            if item.verdict and {d.decision_id for d in item.decisions.values()} <= set(item.verdict.decisions):
                del self._open[event_id]
        self._recalled = {}

    def take(
        self, decision: Decision, policy: Policy, now: datetime, partition: int
    ) -> Iterator[Verdict | Takedown | Release]:
        """What follows from one decision; nothing if it was taken before.

        Raises whatever judging raises. The decision then counts as not taken: it becomes a dead letter, and is taken
        when that is sent again.
        """
        yield from self._owed(policy)
        known = self._item(decision.event_id)
        if decision.ruling:
            yield from self._ruled(decision, policy, now, partition)
            return
        if decision.agent not in policy.verdict.agents and known is None:
            return  # about an item long answered (a complaint): its order is all that is needed
        former = (known.decisions.copy(), known.replaced) if known else None
        item = self._note(decision, partition, now, opened_at=now)
        if item is None:
            return
        item.recalled = False
        orders = self._stream_order(decision, item, policy)
        final = self._is_cut(decision) or self._is_final(item, policy)
        try:
            answer = list(self._answer(decision.event_id, item, policy, now)) if final else []
        except Exception:
            self._untake(decision, former, orders)
            raise
        for order in orders:
            yield order
            if order.kind == "cut_stream":
                yield from self._after_cut(decision.stream_id, policy, now)
        yield from answer
        if final and decision.event_id in self._late:
            item.noted_at = now
            self._items[decision.event_id] = self._late.pop(decision.event_id)

    def _untake(
        self, decision: Decision, former: tuple[dict[str, Decision], tuple[str, ...]] | None, orders: list[Takedown]
    ) -> None:
        """Make it as if the decision had not come."""
        if former is None:
            self._drop(decision.event_id)
        elif item := self._item(decision.event_id):
            item.decisions, item.replaced = former
        self._streams.take_back(orders)

    def due(self, policy: Policy, now: datetime) -> Iterator[Verdict | Takedown | Release]:
        """Answers for items that are complete and unanswered (after a restart), or past their deadline; and what
        streams are owed since a restart."""
        yield from self._owed(policy)
        for event_id, item in list(self._open.items()):
            people = item.decisions.get(PEOPLE)
            if people and item.recalled and (len(item.decisions) == 1 or not self._is_final(item, policy)):
                # Read back without all of the decisions it is about: what it carries itself answers.
                if _changes(people, policy):
                    yield from self._answer_long_ago(event_id, item, policy, now)
                else:
                    self._drop(event_id)
                continue
            if not item.decisions.keys() & set(policy.verdict.agents):
                # Read back without the decisions it is about.
                self._drop(event_id)
                continue
            segment = item.any.stream_id is not None
            limit = policy.verdict.segment_deadline_s if segment else policy.verdict.upload_deadline_s
            if self._is_final(item, policy) or now - item.opened_at >= timedelta(seconds=limit):
                yield from self._answer_apart(event_id, item, policy, now)
        yield from self._forget(policy, now)

    @staticmethod
    def _is_final(item: Item, policy: Policy) -> bool:
        return item.forgotten or is_final(item.decisions, policy)

    def _item(self, event_id: str) -> Item | None:
        return self._items.get(event_id) or self._late.get(event_id)

    def _drop(self, event_id: str) -> None:
        self._items.pop(event_id, None)
        self._late.pop(event_id, None)
        self._open.pop(event_id, None)

    def _owed(self, policy: Policy) -> Iterator[Takedown]:
        """What streams are owed since a restart."""
        while self._owing:
            decision = self._owing.popleft()
            yield from self._stream_order(decision, self._item(decision.event_id), policy)

    def _note(self, decision: Decision, partition: int, now: datetime, *, opened_at: datetime) -> Item | None:
        item = self._item(decision.event_id)
        if item is None:
            item = self._items[decision.event_id] = self._open[decision.event_id] = Item(opened_at, now, partition)
        known = item.decisions.get(decision.agent)
        if known:
            if decision.decision_id in (known.decision_id, *item.replaced):
                return None  # a repeat, of this decision or of one that it has replaced
            item.replaced = (*item.replaced, decision.decision_id if _only_asks(decision, known) else known.decision_id)
            if _only_asks(decision, known):
                return item
            # In the order in which they came: what complaints say after people have ruled is new.
            del item.decisions[decision.agent]
        item.decisions[decision.agent] = self._slim(decision, item)
        return item

    def _slim(self, decision: Decision, item: Item) -> Decision:
        """The decision with what it has in common with others held once for all of them."""
        first = next(iter(item.decisions.values()), decision)
        models = tuple(decision.models.items())
        if len(self._common) > MOST_COMMON:
            self._common.clear()
        return replace(
            decision,
            event_id=first.event_id,
            content_id=first.content_id if first.content_id == decision.content_id else decision.content_id,
            publisher_id=first.publisher_id if first.publisher_id == decision.publisher_id else decision.publisher_id,
            agent=intern(decision.agent),
            policy=self._common.setdefault(decision.policy, decision.policy),
            models=self._common.setdefault(models, decision.models),
        )

    def _answer(self, event_id: str, item: Item, policy: Policy, now: datetime) -> Iterator[Verdict]:
        former = item.verdict
        verdict = judge(
            item.decisions, policy, now, former=former, cut=self._is_cut(item.any), forgotten=item.forgotten
        )
        self._open.pop(event_id, None)
        if former and _said(former) == _said(verdict):
            return  # the answer stands; the decisions are on their topic
        item.verdict = verdict
        yield verdict

    def _answer_apart(self, event_id: str, item: Item, policy: Policy, now: datetime) -> Iterator[Verdict]:
        """As `_answer`, where no message is to blame if it fails: the item is set aside until a decision on it comes.

        Raising here would end the worker, and after its restart the same item would end it again. What was only read
        back is forgotten: where its decisions are still to be delivered, they fail then, and become dead letters.
        """
        try:
            yield from self._answer(event_id, item, policy, now)
        except Exception as error:
            self._open.pop(event_id, None)
            if item.recalled:
                self._drop(event_id)
            self.failed.append((event_id, error))

    def _after_cut(self, stream: str | None, policy: Policy, now: datetime) -> Iterator[Verdict]:
        """What follows the cut and waits for other decisions need wait no longer."""
        for event_id, item in list(self._open.items()):
            if item.any.stream_id == stream and self._is_cut(item.any):
                yield from self._answer_apart(event_id, item, policy, now)

    def _is_cut(self, decision: Decision) -> bool:
        return self._streams.is_cut(decision.stream_id, decision.seq)

    def _stream_order(self, decision: Decision, item: Item | None, policy: Policy) -> list[Takedown]:
        """A takedown on a segment stops its stream, once; of an agent that items do not wait for, not, but of people;
        and not if people have set it aside."""
        if decision.stream_id is None or decision.stop is None:
            return []
        if decision.agent not in policy.verdict.agents and decision.ruling is None:
            return []
        if item and decision.agent in item.decisions and decision.agent not in in_force(item.decisions, policy):
            return []
        return self._streams.stop(decision, cut=removes([decision]) is not None)

    def _ruled(
        self, decision: Decision, policy: Policy, now: datetime, partition: int
    ) -> Iterator[Verdict | Takedown | Release]:
        """What follows from a ruling of people: at once, also on an item that nobody remembers."""
        known = self._item(decision.event_id)
        if known is None and not _changes(decision, policy):
            return
        item = self._note(decision, partition, now, opened_at=now)
        if item is None:
            return
        item.recalled = False
        for release in self._streams.free(decision):
            yield release
            yield from self._after_release(decision.stream_id, decision.event_id, policy, now)
        for order in self._stream_order(decision, item, policy):
            yield order
            yield from self._after_cut(decision.stream_id, policy, now)
        if known is None:
            yield from self._answer_long_ago(decision.event_id, item, policy, now)
        elif item.verdict or self._is_final(item, policy):
            yield from self._answer_apart(decision.event_id, item, policy, now)

    def _answer_long_ago(self, event_id: str, item: Item, policy: Policy, now: datetime) -> Iterator[Verdict]:
        """Answer an item of which only what people ruled is known, and what their decision says of the others."""
        ruled = item.decisions[PEOPLE]
        assert ruled.ruling is not None
        item.forgotten = True
        others = {each.agent: _as_decision(each, ruled) for each in ruled.ruling.remains}
        item.decisions = {**others, PEOPLE: ruled}
        yield from self._answer_apart(event_id, item, policy, now)

    def _after_release(self, stream: str | None, event_id: str, policy: Policy, now: datetime) -> Iterator[Verdict]:
        """What was blocked because its stream was cut is answered by its own decisions."""
        for name, item in list(self._items.items()) + list(self._late.items()):
            if name != event_id and item.any.stream_id == stream and item.verdict:
                yield from self._answer_apart(name, item, policy, now)

    def _forget(self, policy: Policy, now: datetime) -> Iterator[Verdict]:
        """Forget what is complete and old; what lacks a decision only after a day, or where there is no more room."""
        while self._items:
            event_id, oldest = next(iter(self._items.items()))
            crowded = len(self._items) + len(self._late) > MOST_ITEMS
            if not crowded and (now - oldest.noted_at).total_seconds() < KEEP_S:
                break
            if self._is_final(oldest, policy):
                self._drop(event_id)
            else:
                self._late[event_id] = self._items.pop(event_id)
        while self._late:
            event_id, oldest = next(iter(self._late.items()))
            crowded = len(self._items) + len(self._late) > MOST_ITEMS
            if not crowded and (now - oldest.noted_at).total_seconds() < KEEP_LATE_S:
                break
            if event_id in self._open:  # there is no room to wait for its deadline, but it must not go unanswered
                yield from self._answer_apart(event_id, oldest, policy, now)
            self._drop(event_id)


def _said(verdict: Verdict) -> tuple[object, ...]:
    """What the ingest tier goes by."""
    return verdict.verdict, verdict.until, verdict.labels, verdict.media


def _only_asks(decision: Decision, known: Decision) -> bool:
    """Whether a decision leaves what the same agent holds as it is: complaints ask people about it again."""
    return known.stop is not None and decision.action == "review" and decision.agent == "complaints"


def _changes(decision: Decision, policy: Policy) -> bool:
    """Whether a ruling on an item that is not remembered changes its answer: people remove or label it, or set aside
    what stopped or labelled it, or take back what they said before. Where it is not known what they set aside, it
    may."""
    ruling = decision.ruling
    assert ruling is not None
    if decision.stop or decision.label or ruling.former:
        return True
    mattered = [
        each.stop or each.label or (each.action == "review" and each.agent in policy.verdict.agents)
        for each in ruling.overruled
    ]
    return bool(ruling.overrules) and (not mattered or any(mattered))


def _as_decision(position: Position, ruled: Decision) -> Decision:
    """What people's decision says of another agent's, as that decision."""
    return replace(
        ruled,
        decision_id=position.decision_id,
        agent=position.agent,
        action=position.action,
        policy=position.policy,
        reasons=position.reasons,
        stop=position.stop,
        label=position.label,
        ruling=None,
    )
