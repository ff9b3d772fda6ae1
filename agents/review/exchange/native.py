"""Our own JSON lines: a `HashEntry` a line, as it lies on the topic; what is exported so is imported without loss."""

from __future__ import annotations

from collections.abc import Iterator

from agents.review.exchange.lines import Bad, Lines
from agents.review.exchange.row import Given, Outcome
from schemas.bank import HashEntry
from schemas.message import Refused, decode


def read(lines: Lines, given: Given) -> Iterator[Outcome]:
    """The entries, with what is given in place of their own."""
    for number, text in lines:
        try:
            entry = given.over(decode(HashEntry, text.encode()))
        except Refused as refused:
            yield Bad(number, refused.field, refused.reason)
        except ValueError as error:  # what is given, in place of the entry's own, is not to be had
            yield Bad(number, "", str(error))
        else:
            yield given.kept(number, entry)
