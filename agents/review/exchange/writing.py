"""Entries of the hash bank in the formats that others read."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import msgspec

from agents.review.exchange.signals import signals_of
from schemas.bank import HashEntry
from schemas.message import encode

#: HMA's rule for the names of banks.
_BANK = re.compile("[^A-Z0-9_]+")


class Writer(NamedTuple):
    """Writes entries in one format; `lost` counts, by what it was, what the format cannot hold."""

    head: bytes
    #: The lines of one entry; none for an entry of which nothing can be written.
    lines: Callable[[HashEntry, Counter[str]], Iterator[bytes]]
    about: str


def _veristream(entry: HashEntry, lost: Counter[str]) -> Iterator[bytes]:
    yield encode(entry) + b"\n"


def _signals(entry: HashEntry, lost: Counter[str]) -> Iterator[bytes]:
    # A line says no more than that it is to be matched.
    if entry.kind != "banned" or not entry.active:
        lost["entries that are known good or switched off"] += 1
        return
    yield from (f"{kind} {signal}\n".encode() for kind, signal in _held(entry, lost))


def opinion_of(entry: HashEntry) -> str:
    """The opinion that python-threatexchange has for an entry like this."""
    if entry.kind != "banned" or not entry.active:
        return "NEGATIVE_CLASS"
    return "POSITIVE_CLASS" if entry.severity in ("high", "highest") else "INVESTIGATION_SEED"


def _csv(entry: HashEntry, lost: Counter[str]) -> Iterator[bytes]:
    tags = " ".join("_".join(tag.split()) for tag in entry.tags)
    for kind, signal in _held(entry, lost):
        yield _row((kind, signal, entry.source, opinion_of(entry), tags))


def _row(cells: tuple[str, ...]) -> bytes:
    out = io.StringIO(newline="")
    # A record is a line, whatever somebody wrote into a source.
    csv.writer(out, lineterminator="\n").writerow(" ".join(cell.splitlines()) for cell in cells)
    return out.getvalue().encode()


def _hma(entry: HashEntry, lost: Counter[str]) -> Iterator[bytes]:
    if entry.kind != "banned":
        lost["entries that are known good"] += 1
        return
    if signals := dict(_held(entry, lost)):
        content = {
            "disable_until_ts": int(entry.active),
            "original_media_uri": None,
            "bank": {"name": _BANK.sub("_", entry.bank.upper()), "matching_enabled_ratio": 1.0},
            "signals": signals,
            "metadata": {
                "content_id": entry.entry_id,
                "json": {"category": entry.category, "source": entry.source, "severity": entry.severity}
                | ({"licence": entry.licence} if entry.licence else {}),
            },
            "note": entry.note[:255] or None,
        }
        yield msgspec.json.encode(content) + b"\n"


def _held(entry: HashEntry, lost: Counter[str]) -> Iterator[tuple[str, str]]:
    held = list(signals_of(entry))
    if not held:
        lost["entries of sound alone"] += 1
    yield from held


WRITERS: Mapping[str, Writer] = {
    "veristream": Writer(b"", _veristream, "our own: one HashEntry a line in JSON, without loss"),
    "signals": Writer(b"", _signals, "python-threatexchange's local files: TYPE SIGNAL a line"),
    "csv": Writer(b"signal_type,signal_str,collab,category,tags\n", _csv, "python-threatexchange's CSV"),
    "hma": Writer(b"", _hma, "Hasher-Matcher-Actioner: banked content a line in JSON"),
}
"""name → writer, in the order of the docs."""
