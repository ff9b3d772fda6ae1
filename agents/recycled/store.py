"""The platform's own past: pictures of earlier items by their keys, on disk, one SQLite database a partition."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from schemas.spread import Footage
from streams.sqlite import opened

LAYOUT = 1
#: Items of one bucket that are compared, the oldest first: the one that was there before all others is what counts.
MOST_COMPARED = 2000

_TABLES = f"""
create table if not exists footage(bucket text, at real, event text, row blob, primary key(bucket, at, event))
    without rowid;
create index if not exists of_age on footage(at);
create table if not exists places(topic text primary key, offset integer);
pragma user_version = {LAYOUT};
"""
_dump = msgspec.msgpack.Encoder().encode
_load = msgspec.msgpack.Decoder(Footage).decode


class FootageStore:
    """The pictures of one partition's buckets. What is taken counts once `flush` has written it."""

    def __init__(self, path: Path) -> None:
        """Opens or makes the file; one of another layout, or damaged, is made anew."""
        self._place: int | None = None
        self._db = opened(path, LAYOUT, _TABLES)
        self._db.execute("begin")

    def close(self) -> None:
        """Write what waits, and let go of the file."""
        self.flush()
        self._db.execute("commit")
        self._db.close()

    def place(self, topic: str) -> int | None:
        """The offset from which on the topic has still to be read; None: never read."""
        if self._place is not None:
            return self._place
        row = self._db.execute("select offset from places where topic = ?", (topic,)).fetchone()
        return row[0] if row else None

    def read_up_to(self, topic: str, offset: int) -> None:
        """Everything before the offset has been taken."""
        self._place = offset
        self._db.execute("insert or replace into places values (?, ?)", (topic, offset))

    def add(self, footage: Footage) -> None:
        """Keep an item's pictures under their key."""
        self._db.execute(
            "insert or replace into footage values (?, ?, ?, ?)",
            (footage.bucket, footage.created_at.timestamp(), footage.event_id, _dump(footage)),
        )

    def before(self, footage: Footage) -> Iterator[Footage]:
        """What came earlier under the same key, oldest first."""
        found = self._db.execute(
            "select row from footage where bucket = ? and at < ? order by at limit ?",
            (footage.bucket, footage.created_at.timestamp(), MOST_COMPARED),
        )
        for (row,) in found.fetchall():
            yield _load(row)

    def flush(self) -> None:
        """Write what waits, with the place up to which it was read: all or nothing."""
        self._db.execute("commit")
        self._db.execute("begin")

    @property
    def bytes_used(self) -> int:
        """What the rows take in the file, without pages that are free."""
        pages, free, size = (
            self._db.execute(f"pragma {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
        )
        return int((pages - free) * size)

    def __len__(self) -> int:
        return int(self._db.execute("select count(*) from footage").fetchone()[0])

    def forget(self, before: float, most_bytes: int, most: int = 2000) -> int:
        """Drop what is older, and the oldest while the file is too large; at most so many at once. How many it was."""
        oldest = "select bucket, at, event from footage"
        gone = self._db.execute(f"{oldest} where at < ? order by at limit ?", (before, most)).fetchall()
        if not gone and self.bytes_used > most_bytes:
            gone = self._db.execute(f"{oldest} order by at limit ?", (most,)).fetchall()
        self._db.executemany("delete from footage where bucket = ? and at = ? and event = ?", gone)
        return len(gone)
