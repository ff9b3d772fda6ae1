"""The count: what was sent, what came of it, and what is missing, twice, different or out of order. No Kafka.

It knows the wire by its JSON alone and shares no code with what it counts.
"""

from __future__ import annotations

import base64
import hashlib
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from statistics import quantiles
from typing import Any

import msgspec

#: Answers that take longer than this are late, unless answers took longer than half of it before the fault as well.
LATE_S = 2.0
#: For so long nothing may be late before a fault counts as over; longer than what makes an event late, so that an
#: event sent at the very moment of the fault is seen to be late.
CALM_S = 3.0
#: topic → where a message's id lies, and the fields that tell the time and may differ between two copies. Signals are
#: not compared: an item whose reading was cut short and which is then read again has other signals.
FORMS: dict[str, tuple[str, frozenset[str]]] = {
    "decisions": ("decision_id", frozenset({"decided_at", "latency_s"})),
    "admitted": ("event.event_id", frozenset({"admitted_at"})),
    "takedowns": ("order_id", frozenset({"ordered_at"})),
    "verdicts": ("verdict_id", frozenset({"decided_at", "latency_s"})),
    "signals": ("event.event_id", frozenset()),
}
COMPARED = frozenset(FORMS) - {"signals"}
#: Topics keyed by publisher: what one publisher sent must come in the order in which it was sent.
ORDERED = ("decisions", "admitted", "signals")


@dataclass(slots=True)
class Sent:
    """One event that was sent, and what must come of it."""

    number: int
    event_id: str
    publisher_id: str
    #: topic → what must be said there: the action, the answer, or nothing in particular.
    due: dict[str, str | None]
    at: float
    answered_at: float | None = None
    seen: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Count:
    """The figures of one fault. `lost`, `conflicting`, `wrong` and `out_of_order` must be 0."""

    events: int
    lost: int
    conflicting: int
    wrong: int
    out_of_order: int
    duplicated: int
    dead_letters: int
    longest_wait_s: float
    #: topic → how many events lack their message there.
    missing: dict[str, int]
    #: Why media was not read, by the code of the signals' error.
    unread: dict[str, int]


class Tally:
    """Takes what was sent and what arrived, in the order in which it arrived. Threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.events: dict[str, Sent] = {}
        self.duplicated = self.conflicting = self.wrong = self.out_of_order = 0
        self.examples: list[str] = []
        self._by_content: dict[str, Sent] = {}
        self._contents: dict[tuple[str, str], bytes] = {}
        self._furthest: dict[tuple[str, str], int] = {}
        self._verdicts: dict[str, str] = {}
        self._standings: dict[str, Counter[str]] = defaultdict(Counter)
        self._bad: dict[tuple[int, int], bool] = {}
        self._dead: set[tuple[str, int, int]] = set()
        self._unread: Counter[str] = Counter()
        self._waiting = 0

    # What was sent.

    def sent(self, event_id: str, content_id: str, publisher_id: str, due: dict[str, str | None], at: float) -> None:
        """An event is about to be sent; they are told in the order in which each publisher's are sent."""
        with self._lock:
            event = Sent(len(self.events), event_id, publisher_id, due, at)
            self.events[event_id] = self._by_content[content_id] = event
            self._waiting += 1

    def bad(self, partition: int, offset: int) -> None:
        """A message that cannot be judged lies there on `uploads`: it must become a dead letter."""
        with self._lock:
            self._bad[partition, offset] = ("uploads", partition, offset) in self._dead

    # What came.

    def take(self, topic: str, value: bytes, at: float) -> None:
        """A message has arrived on an output topic."""
        message = msgspec.json.decode(value)
        with self._lock:
            if topic == "deadletters":
                self._dead_letter(message, at)
            elif topic == "standings":
                self._standing(message, at)
            elif topic in FORMS and (event := self._event_of(topic, message)) is not None:
                self._output(topic, message, event, at)

    def _event_of(self, topic: str, message: dict[str, Any]) -> Sent | None:
        if topic == "decisions" and message["agent"] != "identity":
            return None
        if topic == "takedowns":
            return self._by_content.get(message["content_id"])
        return self.events.get(message["event"]["event_id"] if "event" in message else message["event_id"])

    def _output(self, topic: str, message: dict[str, Any], event: Sent, at: float) -> None:
        path, times = FORMS[topic]
        key = (topic, str(_at(message, path)))
        digest = _digest({name: value for name, value in message.items() if name not in times})
        former = self._contents.setdefault(key, digest)
        first = topic not in event.seen
        if not first:
            self.duplicated += 1
        if former != digest and topic in COMPARED:
            self.conflicting += 1
            self._note(f"{topic} {key[1]} of event {event.number} came with two contents")
        elif topic == "verdicts":
            self._verdict(message, event)
        if first:
            self._first(topic, message, event, at)

    def _verdict(self, message: dict[str, Any], event: Sent) -> None:
        """Two answers to one event contradict each other unless the later names the former."""
        former = self._verdicts.get(event.event_id)
        if former is not None and former != message["verdict_id"] and message.get("replaces") != former:
            self.conflicting += 1
            self._note(f"verdict {message['verdict_id']} of event {event.number} does not replace {former}")
        self._verdicts[event.event_id] = message["verdict_id"]

    def _first(self, topic: str, message: dict[str, Any], event: Sent, at: float) -> None:
        said = message.get("action") if topic == "decisions" else message.get("verdict")
        if topic not in event.due or event.due[topic] not in (None, said):
            self.wrong += 1
            self._note(f"{topic} of event {event.number}: {said}, due was {event.due}")
        if topic == "signals" and (error := message.get("error")):
            self._unread[error["code"]] += 1
        if topic in ORDERED:
            place = (topic, event.publisher_id)
            if event.number < self._furthest.get(place, -1):
                self.out_of_order += 1
                self._note(f"{topic}: event {event.number} came after {self._furthest[place]}, publisher {place[1]}")
            else:
                self._furthest[place] = event.number
        self._see(topic, event, at)

    def _see(self, topic: str, event: Sent, at: float) -> None:
        event.seen.add(topic)
        if event.answered_at is None and event.due.keys() <= event.seen:
            event.answered_at = at
            self._waiting -= 1

    def _standing(self, row: dict[str, Any], at: float) -> None:
        entries = Counter(entry["event_id"] for entry in row.get("entries", ()))
        self._standings[row["publisher_id"]] = entries
        for event_id in entries:
            if event := self.events.get(event_id):
                self._see("standings", event, at)

    def _dead_letter(self, letter: dict[str, Any], at: float) -> None:
        place = (letter["topic"].rpartition(".")[2], letter["partition"], letter["offset"])
        if place in self._dead:
            self.duplicated += 1
            return
        self._dead.add(place)
        if place[0] == "uploads" and place[1:] in self._bad:
            self._bad[place[1], place[2]] = True
            return
        event = self._in_letter(letter)
        if event is None:
            return
        # A letter of a later agent about an event whose decision failed there counts for that agent's topic.
        name = f"deadletters.{letter['agent']}"
        if name not in event.due:
            self.wrong += 1
            self._note(f"event {event.number} lies in the dead letters of {letter['agent']}: {letter['reason']}")
        self._see(name, event, at)

    def _in_letter(self, letter: dict[str, Any]) -> Sent | None:
        try:
            message = msgspec.json.decode(base64.b64decode(letter["value"] or b""))
            return self.events.get(message["event"]["event_id"] if "event" in message else message["event_id"])
        except (msgspec.DecodeError, KeyError, TypeError):
            return None

    def _note(self, text: str) -> None:
        if len(self.examples) < 10:
            self.examples.append(text)

    # What it adds up to.

    @property
    def complete(self) -> bool:
        """Whether everything that is due has come."""
        with self._lock:
            return self._waiting == 0 and all(self._bad.values())

    @property
    def waiting(self) -> int:
        """Events that lack something."""
        return self._waiting

    def count(self) -> Count:
        """The figures as they stand now."""
        with self._lock:
            return self._count()

    def _count(self) -> Count:
        missing: Counter[str] = Counter()
        lost = 0
        for event in self.events.values():
            lacks = event.due.keys() - event.seen
            if "standings" in event.due and not self._standings[event.publisher_id][event.event_id]:
                lacks = lacks | {"standings"}  # an older row may have been written over the one that held it
            missing.update(lacks)
            if lacks:
                lost += 1
                self._note(f"event {event.number} ({event.event_id}) lacks {', '.join(sorted(lacks))}")
        unread = sum(not found for found in self._bad.values())
        if unread:
            missing["deadletters"] += unread
        counted_twice = sum(
            times - 1 for entries in self._standings.values() for times in entries.values() if times > 1
        )
        waits = [event.answered_at - event.at for event in self.events.values() if event.answered_at is not None]
        return Count(
            events=len(self.events) + len(self._bad),
            lost=lost + unread,
            conflicting=self.conflicting + counted_twice,
            wrong=self.wrong,
            out_of_order=self.out_of_order,
            duplicated=self.duplicated,
            dead_letters=len(self._dead),
            longest_wait_s=max(waits, default=0.0),
            missing=dict(missing),
            unread=dict(self._unread),
        )

    def late_limit_s(self, begun: float, since: float = 0.0) -> float:
        """From how many seconds on an answer is late, by what was usual before the fault began; what was sent before
        `since` met workers that had just started."""
        # What the fault itself caught on its way says nothing of what is usual.
        before = [event for event in self.events.values() if since <= event.at < begun - LATE_S]
        waits = [min(event.answered_at or begun, begun) - event.at for event in before]
        usual = quantiles(waits, n=100)[-1] if len(waits) > 1 else 0.0
        return max(LATE_S, 2 * usual)

    def recovery_s(self, ended: float, *, limit: float, until: float) -> float | None:
        """Seconds from the fault's end until nothing is late, and stays so for a while; None: not before `until`.

        An event is late from `sent + limit` until it is answered. While the load goes on at its rate, no event being
        late means that answers flow at that rate and nothing has piled up.
        """
        calm = limit + CALM_S
        over = ended
        for start, end in self._late(limit, until):
            if start > over + calm:
                break
            over = max(over, end)
        return None if over >= until else over - ended

    def _late(self, limit: float, until: float) -> Iterator[tuple[float, float]]:
        spans = ((e.at + limit, until if e.answered_at is None else e.answered_at) for e in self.events.values())
        yield from sorted(span for span in spans if span[1] > span[0])


def _at(message: dict[str, Any], path: str) -> object:
    found: Any = message
    for name in path.split("."):
        found = found[name]
    return found


def _digest(tree: object) -> bytes:
    return hashlib.blake2b(msgspec.json.encode(tree, order="deterministic"), digest_size=8).digest()
