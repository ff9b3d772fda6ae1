"""Entries of NCMEC's hash sharing, in the XML of its API, version 2.

Source: https://report.cybertip.org/hashsharing/v2/documentation.pdf, and the examples in
`exchanges/clients/ncmec/tests/data.py` of python-threatexchange.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from xml.parsers import expat

from agents.review.exchange.lines import Bad, Lines
from agents.review.exchange.row import Given, Outcome, Passed
from agents.review.exchange.signals import Malformed, fields_of

SOURCE = "ncmec"
#: Bytes that are read at a time.
CHUNK = 2**16
#: Fingerprints that are matched here → the signal type whose form they have.
MATCHED = {"md5": "video_md5", "pdq": "pdq"}
_RECORDS = frozenset({"image", "video", "deletedImage", "deletedVideo"})


class _Records:
    """Records as expat meets them, one at a time."""

    def __init__(self) -> None:
        self.done: deque[tuple[int, str, dict[str, str], dict[str, str]]] = deque()
        self.parser = expat.ParserCreate(namespace_separator=" ")
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text
        self.parser.buffer_text = True
        self.parser.EntityDeclHandler = self._entity
        self._path: list[str] = []
        self._record: tuple[int, str, dict[str, str], dict[str, str]] | None = None

    def _entity(self, *_: object) -> None:
        raise ValueError("declares entities of its own, which no answer of the API does")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        tag = name.rpartition(" ")[2]
        if self._record is None and tag in _RECORDS:
            self._record = (self.parser.CurrentLineNumber, tag, {}, {})
            self._path = []
        else:
            self._path.append(tag)
        if self._record is not None and self._path == ["member"]:
            self._record[2]["member.id"] = attributes.get("id", "")

    def _end(self, name: str) -> None:
        if self._record is not None and not self._path:
            self.done.append(self._record)
            self._record = None
        elif self._path:
            self._path.pop()

    def _text(self, text: str) -> None:
        if self._record is None or not text.strip():
            return
        if len(self._path) == 1:
            fields, name = self._record[2], self._path[0]
        elif len(self._path) == 2 and self._path[0] == "fingerprints":
            fields, name = self._record[3], self._path[1]
        else:
            return
        fields[name] = fields.get(name, "") + text


def read(lines: Lines, given: Given) -> Iterator[Outcome]:
    """The entries of a `queryResult`. XML that breaks off ends the list; what came before is taken."""
    records = _Records()
    more = True
    while more:
        chunk = lines.chunk(CHUNK)
        more = bool(chunk)
        try:
            records.parser.Parse(chunk, not more)
        except (expat.ExpatError, ValueError) as error:
            yield from _taken(records, given)
            reason = expat.ErrorString(error.code) if isinstance(error, expat.ExpatError) else str(error)
            yield Bad(records.parser.ErrorLineNumber, "", f"the XML breaks here, nothing after it was read: {reason}")
            return
        yield from _taken(records, given)


def _taken(records: _Records, given: Given) -> Iterator[Outcome]:
    while records.done:
        yield _outcome(*records.done.popleft(), given)


def _outcome(number: int, tag: str, said: dict[str, str], fingerprints: dict[str, str], given: Given) -> Outcome:
    if not said.get("id"):
        return Bad(number, "id", "is missing")
    own = ("ncmec", said.get("member.id", ""), said["id"])
    if tag.startswith("deleted"):
        return given.gone(number, own, SOURCE)
    fields: dict[str, Any] = {}
    for name, text in fingerprints.items():
        if name.lower() not in MATCHED:
            continue
        try:
            fields |= fields_of(MATCHED[name.lower()], text)
        except Malformed as error:
            return Bad(number, f"fingerprints.{name}", str(error))
    if not fields:
        return Passed(number, ", ".join(sorted(fingerprints)) or "no fingerprint")
    classification = said.get("classification", "")
    return given.row(
        number, own, SOURCE, category="child sexual abuse material", severity="highest",
        tags=[tag for tag in (classification, said.get("member", "").strip()) if tag],
        added_at=_time(said.get("timestamp", "")), **fields,
    )  # fmt: skip


def _time(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S%z")
    except ValueError:
        return None
