"""The provider's monthly summary (AVP-15, AVP-7): what was decided, stopped, labelled and complained of. Pure.

A month is one of China Standard Time, which is where its readers are. Everything is counted once, however often it lies
on its topic.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from typing import NamedTuple

from schemas.complaint import Complaint, ComplaintResult
from schemas.decision import Decision
from schemas.message import Message
from schemas.orders import Label, Refutation, Takedown
from schemas.sanction import Sanction
from schemas.topics import COMPLAINT_RESULTS, COMPLAINTS, DECISIONS, LABELS, REFUTATIONS, SANCTIONS, TAKEDOWNS

#: China has had no daylight saving time since 1991.
CHINA = timezone(timedelta(hours=8))
SOURCES = (DECISIONS, TAKEDOWNS, LABELS, REFUTATIONS, SANCTIONS, COMPLAINTS, COMPLAINT_RESULTS)


class Line(NamedTuple):
    """One line: how many of what. `a` and `b` are what the category is divided by."""

    category: str
    a: str
    b: str
    number: int
    share: str = ""


def month_of(text: str) -> tuple[datetime, datetime]:
    """Begin and end of a month written 2026-11. ValueError if it is written otherwise."""
    try:
        begin = datetime.strptime(text, "%Y-%m").replace(tzinfo=CHINA)
    except ValueError:
        raise ValueError(f"{text!r} is no month; write it as 2026-11") from None
    return begin, (begin + timedelta(days=32)).replace(day=1)


class Summary:
    """Counts messages of a month, one after the other."""

    def __init__(self, begin: datetime, end: datetime, *, now: datetime) -> None:
        self._begin, self._end, self._now = begin, end, now
        self._seen: set[str] = set()
        self._counts: Counter[tuple[str, str, str]] = Counter()
        self._filed: dict[str, Complaint] = {}
        self._results: dict[str, ComplaintResult] = {}

    def add(self, message: Message) -> None:
        """Count one message, if it is of this month."""
        if isinstance(message, ComplaintResult):
            former = self._results.get(message.complaint_id)
            if former is None or message.at >= former.at:
                self._results[message.complaint_id] = message
        elif isinstance(message, Complaint):
            if self._begin <= message.received_at < self._end:
                self._filed[message.complaint_id] = message
        elif entry := _entry(message):
            name, at, counted = entry
            if self._begin <= at < self._end and name not in self._seen:
                self._seen.add(name)
                self._counts.update(counted)

    def lines(self) -> list[Line]:
        """What was counted, by category; of complaints what has become of them until now, and the share of those
        answered late or overdue."""
        lines = [Line(*what, count) for what, count in sorted(self._counts.items())]
        outcomes, late, total = Counter[tuple[str, str]](), Counter[str](), Counter[str]()
        for name, complaint in self._filed.items():
            result = self._results.get(name)
            outcomes[complaint.kind, result.state if result else "received"] += 1
            total[complaint.kind] += 1
            late[complaint.kind] += bool(result and self._is_late(result))
        lines += [Line("complaint", kind, state, count) for (kind, state), count in sorted(outcomes.items())]
        lines += [
            Line("complaint overdue", kind, "", late[kind], f"{late[kind] / count:.1%}")
            for kind, count in sorted(total.items())
        ]
        return lines

    def _is_late(self, result: ComplaintResult) -> bool:
        settled = result.state in ("upheld", "rejected")
        return result.at > result.due_at if settled else self._now >= result.due_at


def _entry(message: Message) -> tuple[str, datetime, list[tuple[str, str, str]]] | None:
    """A message's id, its time, and what it counts as; None for one that is not counted."""
    match message:
        case Decision():
            # A ground counts once a decision, however often it was found.
            codes = sorted({reason.code for reason in message.reasons})
            counted: list[tuple[str, str, str]] = [("decision", message.agent, message.action)]
            counted += [("reason", message.agent, code) for code in codes]
            return message.decision_id, message.decided_at, counted
        case Takedown():
            return message.order_id, message.ordered_at, [("takedown", message.kind, message.until)]
        case Label():
            return message.order_id, message.ordered_at, [("label", f"level {message.level}", "")]
        case Refutation():
            return (
                message.order_id,
                message.ordered_at,
                [("refutation taken back" if message.withdrawn else "refutation", "", "")],
            )
        case Sanction():
            # A later message of the same id, that it was lifted, is no second sanction.
            return message.sanction_id, message.begins_at, [("sanction", message.level, "")]
    return None


def summarise(messages: Iterable[Message], month: str, now: datetime) -> list[Line]:
    """The summary of a month from these messages."""
    summary = Summary(*month_of(month), now=now)
    for message in messages:
        summary.add(message)
    return summary.lines()
