"""The join: which decisions an item has so far, which streams are stopped, and what has been answered. No Kafka."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from agents.verdict.judge import is_final, judge, removes
from schemas.decision import Decision, Stop, stable_id
from schemas.orders import Takedown
from schemas.policy import Policy
from schemas.verdict import Verdict

#: How long an item is remembered after its first decision, in seconds: late decisions within it change the answer, and
#: repeats within it are recognised. Deadlines are minutes; an hour outlasts a worker's restart and a long backlog.
KEEP_S = 3600.0
#: Items remembered at most, oldest forgotten first: about 200 MB.
MOST_ITEMS = 100_000
#: Stopped streams remembered at most; few livestreams outlast a day, and a day has far fewer that are stopped.
MOST_STREAMS = 100_000


@dataclass(slots=True)
class Item:
    """An item's decisions by agent, and its last answer."""

    opened_at: datetime
    decisions: dict[str, Decision] = field(default_factory=dict)
    verdict: Verdict | None = None

    @property
    def any(self) -> Decision:
        """One of its decisions, for what they have in common."""
        return next(iter(self.decisions.values()))


class Join:
    """Takes decisions; says which verdicts and stream orders follow."""

    def __init__(self) -> None:
        self._items: OrderedDict[str, Item] = OrderedDict()
        self._open: dict[str, Item] = {}
        #: stream → the segment from which on it is cut.
        self._cut: OrderedDict[str, int] = OrderedDict()
        self._held: OrderedDict[tuple[str, str], None] = OrderedDict()
        #: What a restart found on the topic, oldest first: their streams may not have been ordered to stop.
        self._restored: list[Decision] = []

    def restore(self, messages: Iterable[object]) -> None:
        """Begin from what the topics hold: decisions, verdicts and takedowns, in any order. Nothing follows from it
        at once; what is due is said by the next `due`."""
        messages = list(messages)
        self.__init__()  # type: ignore[misc]
        for message in messages:
            if isinstance(message, Decision):
                self._note(message)
            elif isinstance(message, Takedown) and message.stream_id:
                if message.kind == "cut_stream":
                    self._cut[message.stream_id] = message.seq or 0
                else:
                    self._held[message.stream_id, message.until] = None
        for message in messages:
            if (
                isinstance(message, Verdict)
                and (item := self._items.get(message.event_id))
                and (item.verdict is None or message.decided_at >= item.verdict.decided_at)
            ):
                item.verdict = message
        # What lies on the topic may not have been taken before the restart, and is ignored as a repeat when it is
        # delivered: what follows from it is found out here.
        for event_id, item in self._items.items():
            if item.verdict and {d.decision_id for d in item.decisions.values()} <= set(item.verdict.decisions):
                del self._open[event_id]
        noted = [decision for item in self._items.values() for decision in item.decisions.values()]
        self._restored = sorted(noted, key=lambda decision: decision.decided_at)

    def take(self, decision: Decision, policy: Policy, now: datetime) -> Iterator[Verdict | Takedown]:
        """What follows from one decision; nothing if it was taken before."""
        yield from self._owed(policy)
        if decision.event_id not in self._items and decision.agent not in policy.verdict.agents:
            return  # about an item long answered (a complaint): its order is all that is needed
        item = self._note(decision)
        if item is None:
            return
        for order in self._stream_order(decision, policy):
            yield order
            if order.kind == "cut_stream":
                yield from self._after_cut(decision.stream_id, policy, now)
        if self._is_cut(decision) or is_final(item.decisions, policy):
            yield from self._answer(decision.event_id, item, policy, now)

    def due(self, policy: Policy, now: datetime) -> Iterator[Verdict | Takedown]:
        """Answers for items that are complete and unanswered (after a restart), or past their deadline; and what
        streams are owed since a restart."""
        yield from self._owed(policy)
        for event_id, item in list(self._open.items()):
            if not item.decisions.keys() & set(policy.verdict.agents):
                del self._items[event_id], self._open[event_id]  # read back without the decisions it is about
                continue
            segment = item.any.stream_id is not None
            limit = policy.verdict.segment_deadline_s if segment else policy.verdict.upload_deadline_s
            if is_final(item.decisions, policy) or now - item.opened_at >= timedelta(seconds=limit):
                yield from self._answer(event_id, item, policy, now)
        self._forget(now)

    def _owed(self, policy: Policy) -> Iterator[Takedown]:
        """What streams are owed since a restart."""
        restored, self._restored = self._restored, []
        for decision in restored:
            yield from self._stream_order(decision, policy)

    def _note(self, decision: Decision) -> Item | None:
        item = self._items.get(decision.event_id)
        if item is None:
            item = self._items[decision.event_id] = self._open[decision.event_id] = Item(decision.decided_at)
        known = item.decisions.get(decision.agent)
        if known and (known.decision_id == decision.decision_id or known.decided_at > decision.decided_at):
            return None  # a repeat, of this decision or of one that it has replaced
        item.decisions[decision.agent] = decision
        return item

    def _answer(self, event_id: str, item: Item, policy: Policy, now: datetime) -> Iterator[Verdict]:
        former = item.verdict
        verdict = judge(item.decisions, policy, now, former=former, cut=self._is_cut(item.any))
        self._open.pop(event_id, None)
        if former and (former.verdict, former.until, former.labels) == (verdict.verdict, verdict.until, verdict.labels):
            return  # the answer stands; the decisions are on their topic
        item.verdict = verdict
        yield verdict

    def _after_cut(self, stream: str | None, policy: Policy, now: datetime) -> Iterator[Verdict]:
        """What follows the cut and waits for other decisions need wait no longer."""
        for event_id, item in list(self._open.items()):
            if item.any.stream_id == stream and self._is_cut(item.any):
                yield from self._answer(event_id, item, policy, now)

    def _is_cut(self, decision: Decision) -> bool:
        since = self._cut.get(decision.stream_id or "")
        return since is not None and decision.seq is not None and decision.seq > since

    def _stream_order(self, decision: Decision, policy: Policy) -> Iterator[Takedown]:
        """A takedown on a segment stops its stream, once; of an agent that items do not wait for, not."""
        stream, stop = decision.stream_id, decision.stop
        if stream is None or stop is None or decision.agent not in policy.verdict.agents:
            return
        if removes([decision]):
            if stream not in self._cut:
                self._cut[stream] = decision.seq or 0
                yield _order(decision, Stop(kind="cut_stream", until="forever"))
        elif stream not in self._cut and (stream, stop.until) not in self._held:
            self._held[stream, stop.until] = None
            yield _order(decision, stop)
        for streams in (self._cut, self._held):
            while len(streams) > MOST_STREAMS:
                streams.popitem(last=False)

    def _forget(self, now: datetime) -> None:
        while self._items:
            event_id, oldest = next(iter(self._items.items()))
            if len(self._items) <= MOST_ITEMS and (now - oldest.opened_at).total_seconds() < KEEP_S:
                return
            del self._items[event_id]
            self._open.pop(event_id, None)


def _order(decision: Decision, stop: Stop) -> Takedown:
    return Takedown(
        order_id=stable_id("takedown", decision.stream_id, stop.kind, stop.until),
        decision_id=decision.decision_id,
        publisher_id=decision.publisher_id,
        content_id=decision.content_id,
        stream_id=decision.stream_id,
        seq=decision.seq,
        kind=stop.kind,
        until=stop.until,
        reasons=decision.reasons,
        ordered_at=decision.decided_at,
    )
