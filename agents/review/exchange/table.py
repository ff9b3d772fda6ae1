"""The hash bank as it lies on the topic `hashbank`: its rows in force, read in bounded memory, and changed."""

from __future__ import annotations

from array import array
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from agents.review.exchange.importing import Posts, Ruled
from agents.review.exchange.threatexchange import BY_LIST
from schemas.bank import HashEntry
from schemas.message import Refused, decode, encode
from schemas.topics import HASHBANK
from streams.client import Client, Feed, Record
from streams.settings import Settings

#: Deletions on their way at once, and after how many it is told how far it is.
AT_ONCE, TELL = 1000, 100_000
#: Seconds that a read waits for messages where none lies ready.
READ_S = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which entries are meant. Empty: any."""

    banks: Collection[str] = ()
    sources: Collection[str] = ()
    tags: Collection[str] = ()
    kinds: Collection[str] = ()
    severities: Collection[str] = ()
    licences: Collection[str] = ()
    active: bool | None = None
    #: Entries that have expired by then are left out.
    now: datetime | None = None

    def takes(self, entry: HashEntry) -> bool:
        """Whether this entry is one of them."""
        asked = (
            (self.banks, (entry.bank,)),
            (self.sources, (entry.source,)),
            (self.tags, entry.tags),
            (self.kinds, (entry.kind,)),
            (self.severities, (entry.severity,)),
            (self.licences, (entry.licence,)),
        )
        return (
            all(not wanted or set(wanted) & set(has) for wanted, has in asked)
            and (self.active is None or entry.active == self.active)
            and not (self.now and entry.expires_at and entry.expires_at <= self.now)
        )

    @property
    def asks(self) -> bool:
        """Whether anything is asked for, so that not every entry is meant."""
        lists = (self.banks, self.sources, self.tags, self.kinds, self.severities, self.licences)
        return any(lists) or self.active is not None


async def _messages(settings: Settings) -> AsyncIterator[Record]:
    """Everything that lies on the topic now, in order."""
    async with Feed(settings, [HASHBANK], from_beginning=True) as feed:
        while not await feed.at_end():
            for record in await feed.read(READ_S):
                yield record


async def in_force(settings: Settings) -> AsyncIterator[HashEntry]:
    """The rows in force, in the order of their last change.

    Read twice: first which message of each key is the last (16 bytes a message), then those. A row that is refused by
    everybody who reads it is not in force; the one before it is, which is not looked for.
    """
    keys, live = array("Q"), array("B")
    async for record in _messages(settings):
        keys.append(_number(record.key.encode()))
        live.append(record.value is not None)
    if not keys:
        return
    backwards = np.frombuffer(keys, np.uint64)[::-1]
    last = np.zeros(len(keys), dtype=bool)
    last[len(keys) - 1 - np.unique(backwards, return_index=True)[1]] = True
    last &= np.frombuffer(live, np.uint8).astype(bool)
    number = -1
    async for record in _messages(settings):
        number += 1
        if number >= len(last):
            return
        if last[number] and record.value is not None and (entry := _entry(record.value)) is not None:
            yield entry


def _entry(value: bytes) -> HashEntry | None:
    try:
        return decode(HashEntry, value)
    except Refused:
        return None


async def entries(settings: Settings, ids: Collection[str]) -> dict[str, HashEntry]:
    """The rows in force under those keys, of those that there are."""
    found: dict[str, HashEntry] = {}
    async for record in _messages(settings):
        if record.key in ids:
            row = _entry(record.value) if record.value is not None else None
            if row is not None:
                found[record.key] = row
            elif record.value is None:
                found.pop(record.key, None)
    return found


class Known:
    """What the bank holds when a list comes: enough to tell what it changes, in 16 bytes an entry."""

    def __init__(self) -> None:
        #: Entries of which people here have said what they are: few, however large the bank.
        self.ruled: dict[str, Ruled] = {}
        self._keys, self._contents = array("Q"), array("Q")
        self._sorted: tuple[NDArray[np.uint64], NDArray[np.uint64]] | None = None

    def note(self, key: str, found: HashEntry | None) -> None:
        """Take the next message of the topic; None: the row is deleted, or refused."""
        self._keys.append(_number(key.encode()))
        self._contents.append(_content(found) if found is not None else 0)
        self._sorted = None
        if found is not None and _is_ruled(found):
            self.ruled[key] = Ruled(found.active, found.kind, found.note)
        else:
            self.ruled.pop(key, None)

    def same(self, found: HashEntry) -> bool:
        """Whether the bank has this entry as it is, whenever it was added."""
        place = self._place(found.entry_id)
        return place is not None and int(self._table()[1][place]) == _content(found)

    def sent(self, key: str, row: HashEntry | None) -> None:
        """That the bank has this row from now on. Of a row that is new to it nothing is kept: if its list names it
        again, it is sent again."""
        if (place := self._place(key)) is not None:
            self._table()[1][place] = _content(row) if row is not None else 0

    def _place(self, key: str) -> int | None:
        keys, _ = self._table()
        number = _number(key.encode())
        place = int(np.searchsorted(keys, np.uint64(number)))
        return place if place < len(keys) and int(keys[place]) == number else None

    def _table(self) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
        """Keys in order, and what the last message of each holds."""
        if self._sorted is None:
            # `unique` gives the first of each, so it is asked backwards.
            keys, last = np.unique(np.array(self._keys, np.uint64)[::-1], return_index=True)
            self._sorted = keys, np.array(self._contents, np.uint64)[::-1][last]
        return self._sorted


def _is_ruled(found: HashEntry) -> bool:
    """Whether a person switched it, here or in other software: what a list switched off itself it may switch on."""
    if found.note.startswith((_ON, _OFF)):
        return True
    return not found.active and not found.note.startswith(BY_LIST)


def _number(data: bytes) -> int:
    return int.from_bytes(blake2b(data, digest_size=8).digest())


def _content(found: HashEntry) -> int:
    # 0 stands for none.
    return _number(encode(msgspec.structs.replace(found, added_at=_ANY_TIME))) or 1


#: In place of the time at which an entry was added, which changes nothing that it matches.
_ANY_TIME = datetime(2000, 1, 1, tzinfo=UTC)


async def known(settings: Settings) -> Known:
    """What the bank holds now."""
    found = Known()
    async for record in _messages(settings):
        found.note(record.key, _entry(record.value) if record.value is not None else None)
    return found


class Sending:
    """Gives rows to the broker."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def post(self, key: bytes, value: bytes | None) -> Any:
        """Give a row away; what comes back is to be awaited for its acknowledgement."""
        return await self._client.post(HASHBANK, key, value)


#: How the notes begin that `switched` leaves on what it switches on and off.
_ON, _OFF = "confirmed by ", "deconfirmed by "


def switched(
    found: HashEntry, *, on: bool, reviewer: str, reason: str, now: datetime, known_good: bool = False
) -> HashEntry:
    """The entry switched on or off by a person, with a note that says who did it, when and why.

    `known_good`: what is switched off goes to the negative bank, where it has to be on; switched on, it comes back.
    """
    note = f"{_ON if on else _OFF}{reviewer} at {now:%Y-%m-%dT%H:%M:%SZ}: {reason}"
    kind = found.kind
    if not on and known_good:
        kind = "known_good"
    elif on and found.note.startswith(_OFF):
        kind = "banned"
    return msgspec.structs.replace(found, active=on or known_good, kind=kind, note=note)


async def remove(settings: Settings, wanted: Filter | Collection[str], told: Callable[[int], None]) -> list[str]:
    """Delete rows, those named or those that the filter takes; the ids that were there."""
    gone = [
        found.entry_id
        async for found in in_force(settings)
        if (wanted.takes(found) if isinstance(wanted, Filter) else found.entry_id in wanted)
    ]
    async with Client(settings) as client:
        posts: Posts = Sending(client)
        waiting = []
        for number, entry_id in enumerate(gone, 1):
            waiting.append(await posts.post(entry_id.encode(), None))
            if len(waiting) >= AT_ONCE:
                for sent in waiting:
                    await sent
                waiting = []
            if number % TELL == 0:
                told(number)
        for sent in waiting:
            await sent
    return gone
