"""The index of what was published: the texts of the last days' items, on disk, searched for what may repeat a claim.

One SQLite database a partition, so that a partition's items, how far its topics have been read, and what was ordered
stand or fall together in one transaction, and a partition that goes to another worker takes nothing of the others with
it. FTS5 keeps which items have which token (`tokens`); what they share with a claim is weighed here.
"""

from __future__ import annotations

import hashlib
import sqlite3
import zlib
from collections.abc import Iterator
from math import log
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from agents.refuting.judge import Ordered
from agents.refuting.tokens import needed, tokens
from schemas.bank import Rumor
from schemas.event import Media
from schemas.signals import Signals
from streams.sqlite import opened

#: Changes whenever an older file could not be read: it is then made anew from the topics.
LAYOUT = 2
#: Rows that are written together. A transaction of 500 takes some 0.1 s; its cost alone would be felt at each row.
TOGETHER = 500
#: Signs of an item that are searched. An hour of speech has some 15,000 Chinese signs; what lies beyond is kept, but
#: does not find the item.
SEARCHED = 20_000
#: Share of a claim's weight (its tokens', the rarer the heavier) that an item must have to be looked at. On the
#: assertions of `tests/data/rumor` 0.06 finds 97 % in Chinese and all in English.
LEAST = 0.06
#: From this share on every item is looked at; of those below it the best WEAK of a partition, so that a claim in
#: everyday words does not bring in a tenth of what was published. Looking at one takes some 0.5 ms.
STRONG, WEAK = 0.25, 2000

_NONE = Media(uri="file:///", sha256="0" * 64, bytes=0)
_dump = msgspec.msgpack.Encoder().encode
_load = msgspec.msgpack.Decoder(Signals).decode

_TABLES = f"""
create table if not exists items(id integer primary key, event integer, at real, stream text, last integer, row blob);
create index if not exists of_event on items(event);
create index if not exists of_age on items(at);
create index if not exists of_stream on items(stream) where stream is not null;
create virtual table if not exists grams using fts5(text, content='', detail=none, columnsize=0, tokenize='ascii');
create table if not exists places(topic text primary key, offset integer);
create table if not exists removed(event integer primary key, at real);
create table if not exists told(event integer, rumor text, truth text, at real, primary key(event, rumor, truth))
    without rowid;
create table if not exists ordered(rumor text, event integer, decision text, content text, publisher text, stream text,
    at real, primary key(rumor, event)) without rowid;
create index if not exists order_age on ordered(at);
create table if not exists withdrawn(event integer, rumor text, by text, at real, primary key(event, rumor))
    without rowid;
create table if not exists swept(rumor text primary key, entry text, truth text, at real) without rowid;
pragma user_version = {LAYOUT};
"""


def event_number(event_id: str) -> int:
    """A number for an event, by which its row is found: 63 bits of BLAKE2b. Two of 10^9 events share one with a chance
    of 5 %, and then one item may miss a repeat."""
    return int.from_bytes(hashlib.blake2b(event_id.encode(), digest_size=8).digest(), "big") >> 1


def slim(signals: Signals) -> Signals:
    """Only what words need: a hundredth of the signals."""
    event = replace(signals.event, media=_NONE)
    return replace(
        signals,
        event=event,
        media=None,
        extraction_s=0.0,
        signals=(),
        frames=(),
        sounds=(),
        absent=(),
        models={},
        ran=None,
    )


def searched(signals: Signals) -> str:
    """All tokens of an item, with blanks between them, in the order of the alphabet."""
    event = signals.event
    texts = [
        event.title,
        event.description,
        *event.tags,
        # What is read or said goes on from one piece into the next.
        "".join(caption.text for caption in signals.captions),
        "".join(one.text for one in signals.speech),
        *(one.text for one in signals.texts),
    ]
    return " ".join(sorted(tokens("\n".join(text for text in texts if text)[:SEARCHED])))


class Swept(NamedTuple):
    """Which state of an entry the items were searched for, and when."""

    entry: str
    truth: str
    at: float


class Kept(NamedTuple):
    """An item of the index."""

    number: int
    event: int
    signals: Signals


class ItemIndex:
    """The items of one partition. Each thread opens the file for itself, and one alone writes."""

    def __init__(self, path: Path, *, reading: bool = False) -> None:
        """Opens or makes the file. A file of another layout, or one that is damaged, is made anew. `reading`: what
        another writes is read, as it is at each question."""
        self.path = path
        self._pending: list[tuple[int, float, str | None, int, bytes, str]] = []
        self._places: dict[str, int] = {}
        self._db = sqlite3.connect(f"file:{path}?mode=ro", uri=True) if reading else opened(path, LAYOUT, _TABLES)
        self._count = self._one("select count(*) from items")

    def close(self) -> None:
        """Write what waits, and let go of the file."""
        self.flush()
        self._db.close()

    def __len__(self) -> int:
        return self._count + len(self._pending)

    @property
    def bytes_used(self) -> int:
        """What the rows take in the file, without pages that are free."""
        pages, free = self._one("pragma page_count"), self._one("pragma freelist_count")
        return (pages - free) * self._one("pragma page_size")

    def place(self, topic: str) -> int | None:
        """The offset from which on this topic has still to be read; None: never read."""
        if topic in self._places:
            return self._places[topic]
        row = self._db.execute("select offset from places where topic = ?", (topic,)).fetchone()
        return row[0] if row else None

    def add(self, signals: Signals, at: float) -> None:
        """Keep an item; `at` is when it came (Unix time). One of the same event takes the place of the former."""
        event = signals.event
        row = zlib.compress(_dump(slim(signals)), 1)
        number = event_number(event.event_id)
        self._pending.append((number, at, event.stream_id, int(event.last), row, searched(signals)))
        if len(self._pending) >= TOGETHER:
            self.flush()

    def read_up_to(self, topic: str, offset: int) -> None:
        """Everything of this topic before the offset has been taken."""
        self._places[topic] = offset

    def flush(self) -> None:
        """Write what waits, with the places up to which it was read: all or nothing."""
        if not self._pending and not self._places:
            return
        with self._transaction():
            for event, at, stream, last, row, text in self._pending:
                for number, former in self._db.execute(
                    "select id, row from items where event = ?", (event,)
                ).fetchall():
                    self._drop(number, former)
                made = self._db.execute(
                    "insert into items(event, at, stream, last, row) values (?, ?, ?, ?, ?)",
                    (event, at, stream, last, row),
                )
                self._db.execute("insert into grams(rowid, text) values (?, ?)", (made.lastrowid, text))
                self._count += 1
            self._db.executemany("insert or replace into places values (?, ?)", self._places.items())
        self._pending.clear()
        self._places.clear()

    def remove(self, event: int, at: float) -> None:
        """The item was removed from the platform: nothing is to be shown with it."""
        self._db.execute("insert or ignore into removed values (?, ?)", (event, at))

    def bring_back(self, event: int) -> None:
        """People ruled that the item stays."""
        self._db.execute("delete from removed where event = ?", (event,))

    def is_removed(self, event: int) -> bool:
        """Whether the item was removed."""
        return self._db.execute("select 1 from removed where event = ?", (event,)).fetchone() is not None

    def tell(self, event: int, rumor_id: str, truth: str, at: float) -> None:
        """Keep that this refutation was ordered for the item; `truth` is empty where another agent did."""
        self._db.execute("insert or replace into told values (?, ?, ?, ?)", (event, rumor_id, truth, at))

    def told(self, event: int, rumor_id: str) -> dict[str, float]:
        """Which refutations of a rumour were ordered for the item, and when."""
        found = self._db.execute("select truth, at from told where event = ? and rumor = ?", (event, rumor_id))
        return dict(found.fetchall())

    def keep_order(self, rumor_id: str, ordered: Ordered) -> None:
        """Keep what was ordered, so that it can be taken back; a later order for the item takes the former's place."""
        self._db.execute("insert or replace into ordered values (?, ?, ?, ?, ?, ?, ?)", (rumor_id, *ordered))

    def orders(self, rumor_id: str, most: int) -> list[Ordered]:
        """What was ordered for an entry and not taken back, at most so many; those of one stream come together."""
        found = self._db.execute(
            "select event, decision, content, publisher, stream, at from ordered where rumor = ? "
            "order by stream, at, event limit ?",
            (rumor_id, most),
        )
        return [Ordered(*row) for row in found]

    def rumors_ordered(self) -> dict[str, float]:
        """The entries for which something was ordered and not taken back, and when it last was."""
        return dict(self._db.execute("select rumor, max(at) from ordered group by rumor").fetchall())

    def withdraw(self, rumor_id: str, event: int, by: str, at: float) -> None:
        """Keep that a message (`by`) took back what was ordered for the item. If the entry is refuted again, it is
        searched for again, and found again."""
        with self._transaction():
            for table in ("ordered", "told"):
                self._db.execute(f"delete from {table} where rumor = ? and event = ?", (rumor_id, event))  # noqa: S608
            self._db.execute("insert or replace into withdrawn values (?, ?, ?, ?)", (event, rumor_id, by, at))
            self._db.execute("delete from swept where rumor = ?", (rumor_id,))

    def withdrawn_by(self, event: int, rumor_id: str) -> str | None:
        """Which message took back last what was ordered for the item."""
        row = self._db.execute("select by from withdrawn where event = ? and rumor = ?", (event, rumor_id)).fetchone()
        return row[0] if row else None

    def forget_orders(self, before: float) -> None:
        """What was ordered earlier can be taken back no more: the orders themselves are kept no longer."""
        self._db.execute("delete from ordered where at < ?", (before,))

    def swept(self, rumor_id: str) -> Swept | None:
        """For which state of the entry the items were searched last."""
        row = self._db.execute("select entry, truth, at from swept where rumor = ?", (rumor_id,)).fetchone()
        return Swept(*row) if row else None

    def sweep_done(self, rumor_id: str, swept: Swept) -> None:
        """The items have been searched for this state of the entry, and everything that follows was ordered."""
        self._db.execute("insert or replace into swept values (?, ?, ?, ?)", (rumor_id, *swept))

    def find(self, event: int) -> Kept | None:
        """The item of an event, if it is kept."""
        self.flush()
        row = self._db.execute("select id, row from items where event = ?", (event,)).fetchone()
        return Kept(row[0], event, _load(zlib.decompress(row[1]))) if row else None

    def candidates(self, rumor: Rumor) -> Iterator[Kept]:
        """Items that share so much with an entry that they may repeat its claim, oldest first."""
        for number in self._sharing(rumor):
            row = self._db.execute("select event, row from items where id = ?", (number,)).fetchone()
            if row:
                yield Kept(number, row[0], _load(zlib.decompress(row[1])))

    def _sharing(self, rumor: Rumor) -> list[int]:
        """Numbers of the items, of those that have all of the entry's keywords, that share enough of its weight."""
        first, last = self._db.execute("select min(id), max(id) from items").fetchone()
        if first is None:
            return []
        lists: dict[str, NDArray[np.int64]] = {}

        def having(token: str) -> NDArray[np.int64]:
            if token not in lists:
                lists[token] = self._having(token) - first
            return lists[token]

        size = last - first + 1
        claims = [tokens(claim) for claim in rumor.claims]
        groups = [group for words in rumor.must if (group := needed(words)) is not None]
        words = {token for group in groups for one in group for token in one}
        # As BM25 weighs them (Robertson and Spärck Jones): never below 0, even where every item has the token.
        count = max(self._count, size)
        weights = {
            token: log(1 + (count - len(having(token)) + 0.5) / (len(having(token)) + 0.5))
            for token in set().union(*claims, words)
        }
        whole = sum(sum(weights[token] for token in claim) for claim in claims) / len(claims)
        share = np.zeros(size)
        for token, weight in weights.items():
            share[having(token)] += weight
        share /= max(whole, 1e-9)
        for group in groups:
            has = np.zeros(size, bool)
            for one in group:
                every = np.ones(size, bool)
                for token in one:
                    mine = np.zeros(size, bool)
                    mine[having(token)] = True
                    every &= mine
                has |= every
            share[~has] = 0.0
        strong = np.flatnonzero(share >= STRONG)
        weak = np.flatnonzero((share >= LEAST) & (share < STRONG))
        if len(weak) > WEAK:
            weak = weak[np.argpartition(-share[weak], WEAK)[:WEAK]]
        return [int(place) + first for place in np.sort(np.concatenate([strong, weak]))]

    def _having(self, token: str) -> NDArray[np.int64]:
        found = self._db.execute("select rowid from grams where grams match ?", (f'"{token}"',))
        return np.fromiter((number for (number,) in found), np.int64)

    def newest_of(self, stream_id: str) -> tuple[float, bool] | None:
        """When the last segment of a stream came, and whether it said that it is the last."""
        row = self._db.execute(
            "select at, last from items where stream = ? order by at desc, id desc limit 1", (stream_id,)
        ).fetchone()
        return (row[0], bool(row[1])) if row else None

    def forget(self, before: float, most_bytes: int, most: int = 1000) -> int:
        """Drop what is older, and the oldest while the file is too large; at most so many at once. How many it was."""
        self.flush()
        old = self._db.execute("select id, row from items where at < ? order by at limit ?", (before, most)).fetchall()
        if not old and self.bytes_used > most_bytes and self._count:
            # As many as are too many by what an item takes on average, and a little more, so that it is not every time.
            many = min(most, 1 + int(self._count * (1.05 - most_bytes / self.bytes_used)))
            old = self._db.execute("select id, row from items order by at limit ?", (many,)).fetchall()
        if not old:
            return 0
        with self._transaction():
            for number, row in old:
                self._drop(number, row)
            for table in ("removed", "told", "withdrawn"):
                self._db.execute(f"delete from {table} where at < ?", (before,))  # noqa: S608 - names of our own
        self._db.execute("pragma incremental_vacuum(2000)")
        return len(old)

    def _drop(self, number: int, row: bytes) -> None:
        text = searched(_load(zlib.decompress(row)))
        self._db.execute("insert into grams(grams, rowid, text) values ('delete', ?, ?)", (number, text))
        self._db.execute("delete from items where id = ?", (number,))
        self._count -= 1

    def _one(self, question: str) -> int:
        return int(self._db.execute(question).fetchone()[0])

    def _transaction(self) -> _Transaction:
        return _Transaction(self._db)


class _Transaction:
    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> None:
        self._db.execute("begin immediate")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._db.execute("commit" if kind is None else "rollback")
