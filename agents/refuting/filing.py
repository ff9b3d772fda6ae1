"""The record of a refutation for filing (Provisions, Art. 13): what was refuted when and by whom, how far it had
spread, and what was done. Pure."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from html import escape
from typing import Any, NamedTuple

from schemas.bank import Rumor
from schemas.decision import Decision
from schemas.orders import Refutation
from schemas.reasons import CLAIM_REPEATED


class Record(NamedTuple):
    """One line of the filing: a refuted claim, its spread, and what was done. Times are UTC."""

    rumor_id: str
    claim: str
    status: str
    refutation: str
    authority: str
    url: str
    refuted_at: datetime | None
    listed_at: datetime
    first_seen: datetime | None
    last_seen: datetime | None
    items: int
    streams: int
    accounts: int
    refuted_with_the_item: int
    refuted_afterwards: int
    first_order: datetime | None
    last_order: datetime | None
    taken_back: int
    labelled: int
    reviewed: int
    removed: int
    by_day: dict[str, int]
    content_ids: tuple[str, ...]


@dataclass
class _Spread:
    contents: dict[str, None] = field(default_factory=dict)
    streams: set[str] = field(default_factory=set)
    accounts: set[str] = field(default_factory=set)
    decisions: set[str] = field(default_factory=set)
    actions: dict[str, set[str]] = field(default_factory=dict)
    days: Counter[str] = field(default_factory=Counter)
    orders: dict[str, tuple[datetime, bool]] = field(default_factory=dict)
    taken_back: set[str] = field(default_factory=set)
    first: datetime | None = None
    last: datetime | None = None


class Filing:
    """Takes rumours, decisions and refutations, in any order and as often as they come; gives the record."""

    def __init__(self, begin: datetime | None = None, end: datetime | None = None) -> None:
        """`begin`, `end`: only what was decided and ordered from then on, and before."""
        self._begin, self._end = begin, end
        self._rumors: dict[str, Rumor] = {}
        self._spread: dict[str, _Spread] = {}

    def add(self, message: object) -> None:
        """Take a message; of other kinds it takes none."""
        if isinstance(message, Rumor):
            self._rumors[message.rumor_id] = message
        elif isinstance(message, Decision):
            self._decided(message)
        elif isinstance(message, Refutation) and self._is_within(message.ordered_at):
            spread = self._of(message.rumor_id)
            if message.withdrawn:
                spread.taken_back.add(message.order_id)
                return
            spread.orders[message.order_id] = (message.ordered_at, message.published_at is not None)

    def records(self, rumor_id: str | None = None) -> list[Record]:
        """Every refuted claim, or that one whatever its status; in the order of their ids."""
        return [
            self._record(rumor)
            for name, rumor in sorted(self._rumors.items())
            if name == rumor_id or (rumor_id is None and rumor.status == "refuted")
        ]

    def _is_within(self, at: datetime) -> bool:
        return (self._begin is None or at >= self._begin) and (self._end is None or at < self._end)

    def _of(self, rumor_id: str) -> _Spread:
        return self._spread.setdefault(rumor_id, _Spread())

    def _decided(self, decision: Decision) -> None:
        if not self._is_within(decision.decided_at):
            return
        entries = {
            evidence.entry
            for reason in decision.reasons
            if reason.code in CLAIM_REPEATED
            for evidence in reason.evidence
            if evidence.entry
        }
        for rumor_id in entries:
            self._seen(self._of(rumor_id), decision)

    @staticmethod
    def _seen(spread: _Spread, decision: Decision) -> None:
        spread.actions.setdefault(decision.action, set()).add(decision.content_id)
        if decision.decision_id in spread.decisions:
            return
        spread.decisions.add(decision.decision_id)
        # When it came, not when it was decided on: an item that is refuted later was there before.
        at = datetime.fromtimestamp(decision.decided_at.timestamp() - decision.latency_s, decision.decided_at.tzinfo)
        if decision.content_id not in spread.contents:
            spread.contents[decision.content_id] = None
            spread.days[f"{at:%Y-%m-%d}"] += 1
            spread.first = min(at, spread.first or at)
            spread.last = max(at, spread.last or at)
        spread.accounts.add(decision.publisher_id)
        if decision.stream_id:
            spread.streams.add(decision.stream_id)

    def _record(self, rumor: Rumor) -> Record:
        spread, truth = self._of(rumor.rumor_id), rumor.refutation
        ordered = [at for at, _ in spread.orders.values()]
        return Record(
            rumor_id=rumor.rumor_id,
            claim=rumor.claims[0],
            status=rumor.status,
            refutation=truth.text if truth else "",
            authority=truth.authority if truth else "",
            url=truth.url if truth else "",
            refuted_at=truth.published_at if truth else None,
            listed_at=rumor.added_at,
            first_seen=spread.first,
            last_seen=spread.last,
            items=len(spread.contents),
            streams=len(spread.streams),
            accounts=len(spread.accounts),
            refuted_with_the_item=sum(not later for _, later in spread.orders.values()),
            refuted_afterwards=sum(later for _, later in spread.orders.values()),
            first_order=min(ordered, default=None),
            last_order=max(ordered, default=None),
            taken_back=len(spread.taken_back),
            labelled=len(spread.actions.get("label", ())),
            reviewed=len(spread.actions.get("review", ())),
            removed=len(spread.actions.get("takedown", ())),
            by_day=dict(sorted(spread.days.items())),
            content_ids=tuple(spread.contents),
        )


def as_rows(records: Iterable[Record]) -> Iterator[dict[str, Any]]:
    """The records as plain values, for JSON."""
    for record in records:
        yield {name: _plain(value) for name, value in record._asdict().items()}


def as_csv(records: Iterable[Record]) -> str:
    """One line a record, with a header; lists with blanks between. What a spreadsheet would take for a formula is
    written as text."""
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(Record._fields)
    for record in as_rows(records):
        rows.writerow([_cell(value) for value in record.values()])
    return text.getvalue()


def as_html(records: Iterable[Record], title: str) -> str:
    """A page that prints."""
    head = "".join(f"<th>{escape(name.replace('_', ' '))}</th>" for name in Record._fields[:-1])
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(_shown(value))}</td>" for value in list(record.values())[:-1]) + "</tr>\n"
        for record in as_rows(records)
    )
    return (
        f'<!doctype html>\n<html lang="zh"><meta charset="utf-8"><title>{escape(title)}</title>\n'
        "<style>body{font:14px sans-serif}table{border-collapse:collapse}th,td{border:1px solid #999;padding:3px 6px;"
        "text-align:left;vertical-align:top}@page{size:A3 landscape}</style>\n"
        f"<h1>{escape(title)}</h1>\n<table><thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody></table></html>\n"
    )


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%dT%H:%M:%SZ}"
    return list(value) if isinstance(value, tuple) else value


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(f"{day}:{count}" for day, count in value.items())
    return " ".join(value) if isinstance(value, list) else "" if value is None else str(value)


def _cell(value: Any) -> str:
    text = _shown(value)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
