"""Entries of rumours in files: JSON lines, which lose nothing, and ClaimReview. Pure.

A bad entry keeps no other out: each is named by its line or place, its field and the reason.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Literal, NamedTuple

from agents.rumor import claimreview
from schemas.bank import Rumor
from schemas.message import Refused, decode, encode

Format = Literal["jsonl", "claimreview"]


class Bad(NamedTuple):
    """An entry that is not one: where it stands, which field (empty: the whole), and why."""

    place: str
    field: str
    reason: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.place, self.field, self.reason) if part)


def format_of(data: bytes) -> Format:
    """What a file holds, by its first object: entries have a `rumor_id`, reviews an `@type`."""
    first = next((line for line in data.splitlines() if line.strip()), b"")
    try:
        found = json.loads(first)
    except ValueError:
        return "claimreview" if first[:1] in (b"{", b"[") and b'"rumor_id"' not in first else "jsonl"
    return "jsonl" if isinstance(found, dict) and not {"@type", "@graph", "@context"} & found.keys() else "claimreview"


def read(data: bytes, kind: Format, now: datetime) -> Iterator[Rumor | Bad]:
    """The entries of a file in their order, each good or bad. One whose time is over is bad; of two of one id, the
    second is."""
    seen: set[str] = set()
    for place, found in _parsed(data, kind, now):
        if isinstance(found, Refused):
            yield Bad(place, found.field, found.reason)
        elif found.expires_at and found.expires_at <= now:
            yield Bad(place, "expires_at", f"{found.expires_at:%Y-%m-%d %H:%M} is over: the entry would never match")
        elif found.rumor_id in seen:
            yield Bad(place, "rumor_id", f"{found.rumor_id!r:.80} stands in this file before")
        else:
            seen.add(found.rumor_id)
            yield found


def _parsed(data: bytes, kind: Format, now: datetime) -> Iterator[tuple[str, Rumor | Refused]]:
    if kind == "jsonl":
        for number, line in enumerate(data.splitlines(), 1):
            if line.strip():
                yield f"line {number}", _tried(line)
        return
    for where, document in _documents(data):
        if isinstance(document, Refused):
            yield where, document
            continue
        for place, review in claimreview.reviews(document):
            try:
                yield ", ".join(filter(None, (where, place))) or "review 1", claimreview.from_review(review, now)
            except Refused as refused:
                yield ", ".join(filter(None, (where, place))) or "review 1", refused


def _documents(data: bytes) -> Iterator[tuple[str, object]]:
    """The whole file as one document, or a document a line."""
    try:
        yield "", json.loads(data)
        return
    except (ValueError, RecursionError) as error:
        whole = error
    lines = [line for line in data.splitlines() if line.strip()]
    if len(lines) < 2 or not lines[0].rstrip().endswith(b"}"):
        yield "", Refused("", f"not JSON: {whole}")
        return
    for number, line in enumerate(data.splitlines(), 1):
        if line.strip():
            try:
                yield f"line {number}", json.loads(line)
            except (ValueError, RecursionError) as error:
                yield f"line {number}", Refused("", f"not JSON: {error}")


def _tried(line: bytes) -> Rumor | Refused:
    try:
        return decode(Rumor, line)
    except Refused as refused:
        return refused


def lines(rumors: Iterable[Rumor]) -> bytes:
    """The entries as JSON lines; read again they are the same."""
    return b"".join(encode(rumor) + b"\n" for rumor in rumors)
