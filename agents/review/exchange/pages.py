"""Records in JSON: one a line, an array of them, or the pages of an API, one a line or one in the whole file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from agents.review.exchange.lines import Bad, Lines
from agents.review.exchange.row import Given, Outcome, Reader

#: Bytes of a file that is one JSON value, which has to be read whole: a page of an API has some 1 MiB.
MOST_DOCUMENT = 64 * 2**20
#: Where pages keep their records: ThreatExchange, StopNCII.
_LISTS = ("data", "hashRecords")

Record = Callable[[int, Mapping[str, Any], Given], Outcome]


def reader(record: Record) -> Reader:
    """A reader of lists whose records this reads."""

    def read(lines: Lines, given: Given) -> Iterator[Outcome]:
        numbered = iter(lines)
        for number, text in numbered:
            try:
                value = msgspec.json.decode(text)
            except msgspec.DecodeError as error:
                if number == 1 and text.lstrip()[:1] in ("{", "["):
                    yield from _whole(text, numbered, record, given)
                    return
                yield Bad(number, "", f"is not JSON: {error}")
                continue
            yield from _records(number, value, record, given)

    return read


def _whole(first: str, numbered: Iterator[tuple[int, str]], record: Record, given: Given) -> Iterator[Outcome]:
    """A file whose lines are no values of their own: one value that goes over all of them, or broken from the start."""
    held, size, number = [first], len(first), 1
    for number, text in numbered:
        held.append(text)
        size += len(text)
        if size > MOST_DOCUMENT:
            reason = f"one JSON value of more than {MOST_DOCUMENT // 2**20} MiB; write a record a line (jq -c '.[]')"
            yield Bad(1, "", reason)
            return
        if number == 2 and text.lstrip()[:1] in ("{", "[") and text.rstrip()[-1:] in ("}", "]") and _is_value(text):
            # Lines are values after all, and only the first is broken.
            yield Bad(1, "", "is not JSON")
            yield from _records(2, msgspec.json.decode(text), record, given)
            for further, line in numbered:
                try:
                    value = msgspec.json.decode(line)
                except msgspec.DecodeError as error:
                    yield Bad(further, "", f"is not JSON: {error}")
                else:
                    yield from _records(further, value, record, given)
            return
    try:
        value = msgspec.json.decode("\n".join(held))
    except msgspec.DecodeError as error:
        yield Bad(number, "", f"the file is not JSON: {error}")
        return
    yield from _records(1, value, record, given)


def _is_value(text: str) -> bool:
    try:
        msgspec.json.decode(text)
    except msgspec.DecodeError:
        return False
    return True


def _records(number: int, value: Any, record: Record, given: Given) -> Iterator[Outcome]:
    """The records of one value. Those of a page are named by their place in it."""
    if isinstance(value, Mapping):
        place = next((name for name in _LISTS if isinstance(value.get(name), list)), None)
        if place is None:
            yield record(number, value, given)
            return
        value = value[place]
    else:
        place = ""
    if not isinstance(value, list):
        yield Bad(number, "", "is neither a record nor a list of them")
        return
    for index, item in enumerate(value):
        where = f"{place}.{index}" if place else str(index)
        if not isinstance(item, Mapping):
            yield Bad(number, where, "is no record")
            continue
        outcome = record(number, item, given)
        if isinstance(outcome, Bad):
            outcome = outcome._replace(field=f"{where}.{outcome.field}".rstrip("."))
        yield outcome
