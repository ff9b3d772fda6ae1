"""Bringing a list into the hash bank: as a stream, with what was refused named line by line."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

import msgspec

from agents.review.exchange.lines import Bad
from agents.review.exchange.row import Gone, Outcome, Passed, Row
from schemas.bank import HashEntry
from schemas.message import encode
from streams.producer import PERMANENT

#: Messages on their way to the broker at once: some MB, and enough that no round trip is waited for.
WINDOW = 5000
#: Refusals that are kept to be shown; all go into the report file.
SHOWN = 20


class Posts(Protocol):
    """What gives messages to the broker, and says later what became of each."""

    async def post(self, key: bytes, value: bytes | None) -> asyncio.Future[Any]:
        """Give a message away; the future ends with its acknowledgement."""


class Ruled(NamedTuple):
    """What people have said of an entry."""

    active: bool
    kind: Literal["banned", "known_good"]
    note: str


class Bank(Protocol):
    """What the bank holds when a list comes."""

    @property
    def ruled(self) -> Mapping[str, Ruled]:
        """Entries of which people have said what they are."""

    def same(self, found: HashEntry) -> bool:
        """Whether it has this entry as it is."""

    def sent(self, key: str, row: HashEntry | None) -> None:
        """That it has this row from now on."""


class NoBank:
    """In place of a bank: nothing is known."""

    ruled: Mapping[str, Ruled] = {}

    def same(self, found: HashEntry) -> bool:
        """No."""
        return False

    def sent(self, key: str, row: HashEntry | None) -> None:
        """Forget it."""


@dataclass(slots=True)
class Summary:
    """What became of a list."""

    loaded: int = 0
    #: Of those loaded: what the bank had as it is, so that nothing was sent.
    unchanged: int = 0
    deleted: int = 0
    #: Entries that stay as people here have left them, whatever the list says.
    kept: int = 0
    refused: int = 0
    #: What was passed over → how many.
    passed: Counter[str] = field(default_factory=Counter)
    by_kind: Counter[str] = field(default_factory=Counter)
    shown: list[Bad] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """0: all is loaded; 6: the good records are, some were refused; 1: nothing is."""
        if not self.refused:
            return 0
        return 6 if self.loaded or self.deleted else 1


Report = Callable[[Bad], None]


async def load(
    outcomes: Iterable[Outcome], posts: Posts, bank: Bank, report: Report, tick: Callable[[Summary], None]
) -> Summary:
    """Send what a list says, in its order, `WINDOW` messages at a time; what is refused is reported, and nothing stops.

    `bank`: what it holds already. What it has as it is, is not sent again, and a list that comes again does not switch
    on what people switched off, nor off what they switched on. `tick` is told now and then how far it is.
    """
    summary = Summary()
    waiting: deque[tuple[Outcome, asyncio.Future[Any]]] = deque()

    def refuse(bad: Bad) -> None:
        summary.refused += 1
        if len(summary.shown) < SHOWN:
            summary.shown.append(bad)
        report(bad)

    async def settle(most: int) -> None:
        while len(waiting) > most:
            outcome, sent = waiting.popleft()
            try:
                await sent
            except PERMANENT as error:
                refuse(Bad(outcome.line, "", f"the broker takes no message as large as this: {error}"))
                continue
            _count(summary, outcome)

    for number, outcome in enumerate(_ruled(outcomes, bank.ruled, summary), 1):
        if isinstance(outcome, Bad):
            refuse(outcome)
        elif isinstance(outcome, Passed):
            summary.passed[outcome.what] += 1
        elif isinstance(outcome, Row) and bank.same(outcome.entry):
            summary.unchanged += 1
            _count(summary, outcome)
        else:
            key = outcome.entry_id if isinstance(outcome, Gone) else outcome.entry.entry_id
            value = None if isinstance(outcome, Gone) else encode(outcome.entry)
            bank.sent(key, None if isinstance(outcome, Gone) else outcome.entry)
            try:
                waiting.append((outcome, await posts.post(key.encode(), value)))
            except PERMANENT as error:
                refuse(Bad(outcome.line, "", f"the broker takes no message as large as this: {error}"))
            await settle(WINDOW)
        if number % 1000 == 0:
            tick(summary)
    await settle(0)
    tick(summary)
    return summary


def _ruled(outcomes: Iterable[Outcome], ruled: Mapping[str, Ruled], summary: Summary) -> Iterator[Outcome]:
    for outcome in outcomes:
        said = ruled.get(outcome.entry.entry_id) if isinstance(outcome, Row) else None
        if isinstance(outcome, Row) and said:
            summary.kept += (outcome.entry.active, outcome.entry.kind) != said[:2]
            yield outcome._replace(entry=msgspec.structs.replace(outcome.entry, **said._asdict()))
        else:
            yield outcome


def _count(summary: Summary, outcome: Outcome) -> None:
    if isinstance(outcome, Gone):
        summary.deleted += 1
    elif isinstance(outcome, Row):
        summary.loaded += 1
        entry = outcome.entry
        held = {"frames": entry.frames, "MD5": entry.md5, "SHA-256": entry.sha256}
        summary.by_kind.update(name for name, value in held.items() if value)
