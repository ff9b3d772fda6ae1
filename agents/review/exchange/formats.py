"""The formats of hash lists: their names, how one is recognised, and what reads it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import BinaryIO, NamedTuple

from agents.review.exchange import frames, hma, native, ncmec, pages, stopncii, threatexchange
from agents.review.exchange.lines import Lines
from agents.review.exchange.row import Given, Outcome, Reader
from agents.review.exchange.signals import ELSEWHERE, NAMES

#: Bytes that tell of which format a list is.
PEEK = 2**14


class Format(NamedTuple):
    """A format of hash lists."""

    read: Reader
    about: str


FORMATS: Mapping[str, Format] = {
    "veristream": Format(native.read, "our own: one HashEntry a line in JSON, without loss"),
    "signals": Format(
        threatexchange.read_signals, "python-threatexchange: TYPE SIGNAL a line (its local files, dataset -P)"
    ),
    "csv": Format(threatexchange.read_csv, "python-threatexchange: dataset -P --csv"),
    "te": Format(threatexchange.read_te, "python-threatexchange's former simple.TYPE.te files"),
    "threat_updates": Format(pages.reader(threatexchange.record), "JSON of the ThreatExchange API, pages or lines"),
    "hma": Format(pages.reader(hma.record), "JSON of Hasher-Matcher-Actioner: banked content with its signals"),
    "stopncii": Format(pages.reader(stopncii.record), "JSON of StopNCII.org's FetchHashes"),
    "ncmec": Format(ncmec.read, "XML of NCMEC's hash sharing API, version 2"),
    "vpdq": Format(frames.read, "text of the vPDQ program: one video, FRAME,QUALITY,PDQ,SECONDS a line"),
}
"""name → format, in the order of the docs."""

_TE = re.compile(r"simple\.([A-Za-z0-9_]+)\.te")
#: A field that only records of this format have → the format.
_MARKS = {
    "entry_id": "veristream", "signals": "hma", "hashRecords": "stopncii", "hashValue": "stopncii",
    "indicator": "threat_updates", "raw_indicator": "threat_updates", "data": "threat_updates",
}  # fmt: skip


def recognised(name: str, head: bytes) -> str | None:
    """Of which format a list with this name and beginning is; None if that is not to be seen."""
    if _TE.search(name):
        return "te"
    text = head.decode("utf-8", "replace").removeprefix("\ufeff").lstrip()
    first, _, _ = text.partition("\n")
    if text.startswith("<"):
        return "ncmec"
    if text.startswith(("{", "[")):
        return next((_MARKS[key] for key in re.findall(r'"(\w+)"\s*:', text) if key in _MARKS), None)
    if "signal_type" in first and "signal_str" in first:
        return "csv"
    if re.match(r"\d+,\d+,[0-9a-fA-F]{64}(,|\s|$)", first):
        return "vpdq"
    named = next((line.split(" ")[0] for line in text.splitlines() if line and not line.startswith("#")), "")
    if named in NAMES or named in ELSEWHERE or re.fullmatch("[0-9a-fA-F]{32,64}", named.strip()):
        return "signals"
    return None


def signal_type_of(name: str) -> str | None:
    """The signal type that a `.te` file's name says."""
    match = _TE.search(name)
    return match[1] if match else None


def read(file: BinaryIO, name: str, given: Given) -> Iterator[Outcome]:
    """What a list says, record by record, in the order of its lines; KeyError for a format that is not there.

    At most a line of it is in memory (a page, where a file is one), and no record stops those after it.
    """
    lines = Lines(file)
    for outcome in FORMATS[name].read(lines, given):
        yield from lines.refused()
        yield outcome
    yield from lines.refused()
