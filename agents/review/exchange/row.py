"""What a hash list says, record by record: an entry, that one is gone, something not matched here, or a mistake."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple

import msgspec

from agents.review.exchange.lines import Bad, Lines
from schemas.bank import HashEntry
from schemas.decision import stable_id
from schemas.message import Refused, convert

Severity = Literal["low", "medium", "high", "highest"]
Kind = Literal["banned", "known_good"]


class Row(NamedTuple):
    """An entry, and the line on which its record begins."""

    line: int
    entry: HashEntry


class Gone(NamedTuple):
    """The list says that this entry is to be deleted."""

    line: int
    entry_id: str


class Passed(NamedTuple):
    """A good record of something that is not matched here: which kind, and why."""

    line: int
    what: str


Outcome = Row | Gone | Passed | Bad


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What whoever imports says of all records of a list. None: what the list says, or the default."""

    now: datetime
    source: str | None = None
    bank: str | None = None
    category: str | None = None
    severity: Severity | None = None
    kind: Kind | None = None
    tags: tuple[str, ...] = ()
    licence: str | None = None
    expires_at: datetime | None = None
    #: Of lists that do not say what their hashes are.
    signal_type: str | None = None

    def said(self) -> dict[str, Any]:
        """The fields that are given."""
        names = ("source", "bank", "category", "severity", "kind", "licence", "expires_at")
        return {name: value for name in names if (value := getattr(self, name)) is not None}

    def over(self, entry: HashEntry) -> HashEntry:
        """The entry with what is given in place of its own; tags come to its own."""
        tags = (*entry.tags, *(tag for tag in self.tags if tag not in entry.tags))
        return msgspec.structs.replace(entry, **self.said(), tags=tags)

    def row(self, line: int, own: Sequence[object], source: str, **fields: Any) -> Outcome:
        """An entry of these fields, with an id that the same record of the same source always gets.

        `own`: what tells the record from others of its source, its number there or the hash itself.
        """
        named = {name: value for name, value in fields.items() if value is not None}
        named |= self.said()
        named.setdefault("source", source)
        named.setdefault("category", "banned")
        named.setdefault("added_at", self.now)
        named["tags"] = list(dict.fromkeys((*named.get("tags", ()), *self.tags)))
        named.setdefault("entry_id", stable_id("hashbank", named["source"], *own))
        try:
            return self.kept(line, convert(HashEntry, named))
        except Refused as refused:
            return Bad(line, refused.field, refused.reason)

    def kept(self, line: int, entry: HashEntry) -> Outcome:
        """The entry, unless its time is over."""
        if entry.expires_at is not None and entry.expires_at <= self.now:
            return Passed(line, "expired")
        return Row(line, entry)

    def gone(self, line: int, own: Sequence[object], source: str) -> Gone:
        """That the record is to be deleted which `row` made of the same."""
        return Gone(line, stable_id("hashbank", self.source or source, *own))


#: Reads a list of one format.
Reader = Callable[[Lines, Given], Iterator[Outcome]]
