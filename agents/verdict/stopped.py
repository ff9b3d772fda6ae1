"""Streams that are stopped: which orders stand, and which a ruling lifts. No Kafka.

A stream is cut once, and held once for each thing that it waits for; once a ruling has lifted that, it can be stopped
again, under another id. Which orders stand does not depend on the order in which they are read back: an order that a
release names does not.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import NamedTuple

from schemas.decision import Decision, Stop, Until, stable_id
from schemas.orders import Release, Takedown

#: Stopped streams remembered at most, and lifted orders; few livestreams outlast a day, and a day has far fewer that
#: are stopped.
MOST_STREAMS = 100_000


class Standing(NamedTuple):
    """An order on a stream: its id, and the segment from which on it stops."""

    order_id: str
    seq: int


class Streams:
    """The orders on streams that stand."""

    def __init__(self) -> None:
        self._cut: OrderedDict[str, Standing] = OrderedDict()
        self._held: OrderedDict[tuple[str, Until], Standing] = OrderedDict()
        #: Ids of orders that were lifted, and by stream the last release.
        self._lifted: OrderedDict[str, None] = OrderedDict()
        self._release: OrderedDict[str, str] = OrderedDict()

    def is_cut(self, stream: str | None, seq: int | None) -> bool:
        """Whether a segment comes after the one for which its stream was cut."""
        standing = self._cut.get(stream or "")
        return standing is not None and seq is not None and seq > standing.seq

    def recall(self, message: Takedown | Release) -> None:
        """Take an order that was read back."""
        stream = message.stream_id or ""
        if isinstance(message, Release):
            self._note(message)
        elif message.order_id not in self._lifted:
            standing = Standing(message.order_id, message.seq or 0)
            if message.kind == "cut_stream":
                self._cut[stream] = standing
            else:
                self._held[stream, message.until] = standing
        self._forget()

    def stop(self, decision: Decision, *, cut: bool) -> list[Takedown]:
        """The order that stops a decision's stream; none if it stands."""
        stream, stop = decision.stream_id or "", decision.stop
        assert stop is not None
        if stream in self._cut or (not cut and (stream, stop.until) in self._held):
            return []
        stop = Stop(kind="cut_stream", until="forever") if cut else stop
        order = _order(decision, stop, self._id(stream, stop))
        standing = Standing(order.order_id, decision.seq or 0)
        if cut:
            self._cut[stream] = standing
        else:
            self._held[stream, stop.until] = standing
        self._forget()
        return [order]

    def take_back(self, orders: Iterable[Takedown]) -> None:
        """Make it as if these had not been ordered."""
        for order in orders:
            if order.kind == "cut_stream":
                del self._cut[order.stream_id or ""]
            else:
                del self._held[order.stream_id or "", order.until]

    def free(self, decision: Decision) -> list[Release]:
        """The order that lifts what a ruling says nothing asks for any more. Of an order that is not known here,
        because it was given long ago, the id is what it then was."""
        stream, ruling = decision.stream_id, decision.ruling
        if stream is None or ruling is None or not ruling.frees:
            return []
        found = []
        for stop in ruling.frees:
            known = self._cut.get(stream) if stop.kind != "hold" else self._held.get((stream, stop.until))
            name = known.order_id if known else self._id(stream, stop)
            if name not in self._lifted:
                found.append(name)
        if not found:
            return []
        release = Release(
            order_id=stable_id("release", "stream", decision.decision_id),
            decision_id=decision.decision_id,
            publisher_id=decision.publisher_id,
            content_id=decision.content_id,
            stream_id=stream,
            releases=tuple(found),
            reasons=decision.reasons,
            ordered_at=decision.decided_at,
        )
        self._note(release)
        return [release]

    def _id(self, stream: str, stop: Stop) -> str:
        again = (self._release[stream],) if stream in self._release else ()
        return stable_id("takedown", stream, stop.kind, stop.until, *again)

    def _note(self, release: Release) -> None:
        stream = release.stream_id or ""
        self._lifted.update(dict.fromkeys(release.releases))
        self._release[stream] = release.order_id
        standing = self._cut.get(stream)
        if standing and standing.order_id in self._lifted:
            del self._cut[stream]
        for place in [place for place, held in self._held.items() if place[0] == stream]:
            if self._held[place].order_id in self._lifted:
                del self._held[place]

    def _forget(self) -> None:
        for known in (self._cut, self._held, self._lifted, self._release):
            while len(known) > MOST_STREAMS:
                known.popitem(last=False)


def _order(decision: Decision, stop: Stop, order_id: str) -> Takedown:
    return Takedown(
        order_id=order_id,
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
