"""The archive on disk: files that are whole or not there, and a chain that says which of them count.

Layout: `topic=decisions/day=2026-01-31/decisions-03-FIRST-LAST.parquet`, as Hive, Spark, Trino and DuckDB read it. A
file is written under a hidden name, brought to the disk, renamed, and then counted by a line of the chain: **the chain
is the truth**. What a crash left without such a line is set aside, and its rows come again from Kafka, whose offsets
are committed later still. So no row is lost, none is there twice, and nobody can slip a file in.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from streams.archive import proof
from streams.archive.chain import ArchiveError, Chain, Record, files_of, public_pem, sync_folder
from streams.archive.columns import Row, table
from streams.archive.parquet import Writer, encoded_seeds

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

log = logging.getLogger(__name__)

#: Where files are put that no line of the chain counts, until their rows have come again.
ASIDE = "_aside"
#: Before a name: readers of folders (Hive, Spark, Trino, DuckDB's `*.parquet`) pass over what begins with a dot.
MAKING = ".making-"


class Place(NamedTuple):
    """A partition, by the topic's name without prefix."""

    topic: str
    partition: int


def now() -> datetime:
    """The time, with its zone."""
    return datetime.now(UTC)


def _nothing(_: str) -> None:
    """What happens at a step outside tests."""


class Archive:
    """One process's hold on an archive's folder. Enter it: `with Archive(folder, key) as archive`.

    `step` is told each point at which a crash would leave another state behind: tests end the process there.
    """

    def __init__(
        self,
        folder: Path,
        key: Ed25519PrivateKey,
        *,
        clock: Callable[[], datetime] = now,
        step: Callable[[str], None] = _nothing,
    ) -> None:
        self.folder = folder
        self.chain = Chain(folder)
        self.live: dict[str, Record] = {}
        self.clock = clock
        self.step = step
        self.key = key
        self._next: dict[Place, int] = {}
        self._lock: Any = None

    def __enter__(self) -> Self:
        """Take the folder, and put right what a crash left.

        Raises:
            ArchiveError: another process has it, or its chain is damaged, or goes by another key.
        """
        self.chain.folder.mkdir(parents=True, exist_ok=True)
        self._lock = (self.chain.folder / "lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            raise ArchiveError(f"archive_dir: another process writes to {self.folder}; one at a time can") from None
        try:
            self._recover()
        except BaseException:
            self._lock.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.close()

    def _recover(self) -> None:
        self.chain.mend()
        records = list(self.chain.records())
        pem = public_pem(self.key)
        if not records:
            self.chain.public.write_bytes(pem)
            self.count([{"kind": "begin", "public_key": pem.decode()}])
        elif records[0].get("public_key", "").encode() != pem:
            raise ArchiveError(
                f"archive_key: {self.folder} was begun with another key; name that one, or another archive_dir"
            )
        self.live = files_of(records)
        known = {path for record in records for path in _named(record)}
        for record in records:
            if record["kind"] in ("file", "gap"):
                place = Place(record["topic"], record["partition"])
                self._next[place] = max(self._next.get(place, 0), record["last"] + 1)
        for path in self.folder.glob(f"topic=*/day=*/{MAKING}*"):
            path.unlink()
        for path in self.folder.glob("topic=*/day=*/*.parquet"):
            name = str(path.relative_to(self.folder))
            if name in self.live:
                continue
            if name in known:  # merged or expired, and the process ended before it was removed
                path.unlink()
            else:
                self._set_aside(path)
        for path in self.folder.glob(f"{ASIDE}/*.parquet"):
            topic, partition, _, last = [*path.stem.rsplit("-", 3), "", "", ""][:4]
            if partition.isdigit() and last.isdigit() and self.next_of(Place(topic, int(partition))) > int(last):
                path.unlink()

    def _set_aside(self, path: Path) -> None:
        log.warning("%s is not in the chain: set aside, its rows come again", path)
        (self.folder / ASIDE).mkdir(exist_ok=True)
        path.rename(self.folder / ASIDE / path.name)

    def next_of(self, place: Place) -> int:
        """The offset after the last that is archived of a partition."""
        return self._next.get(place, 0)

    def places(self) -> Mapping[Place, int]:
        """Every partition of which something is archived → the offset after its last."""
        return self._next

    def count(self, records: Sequence[Record]) -> list[Record]:
        """Put lines into the chain, with the time."""
        at = self.clock().isoformat()
        made = self.chain.append(self.key, [{"at": at, **record} for record in records])
        self.step("chained")
        return made

    def gap(self, place: Place, until: int, why: str) -> None:
        """Say for ever that offsets from the next up to before `until` were not to be had."""
        first = self.next_of(place)
        record = {"kind": "gap", **place._asdict(), "first": first, "last": until - 1, "why": why}
        self.count([record])
        self._next[place] = until

    def append(self, batches: Mapping[Place, Sequence[Row]]) -> int:
        """Archive rows, each partition's in order; those that are there already are passed over. On the disk, and
        counted, when this returns. Returns how many were new.

        Raises:
            OSError: the disk is full, or broken; nothing of it counts then, and it may be tried again.
        """
        made: list[Record] = []
        try:
            for place, rows in batches.items():
                begin = self.next_of(place)
                fresh = [row for row in rows if row.offset >= begin]
                for day, run in self._by_day(fresh):
                    made.append(self._write(place, day, run))
            sync_folder(*{(self.folder / record["path"]).parent for record in made})
            self.step("renamed")
            if made:
                self._take(self.count(made))
        except OSError:
            for record in made:
                (self.folder / record["path"]).unlink(missing_ok=True)
            raise
        return sum(record["rows"] for record in made)

    def _take(self, records: Iterable[Record]) -> None:
        for record in records:
            self.live[record["path"]] = record
            self._next[Place(record["topic"], record["partition"])] = record["last"] + 1

    def _by_day(self, rows: Sequence[Row]) -> list[tuple[str, list[Row]]]:
        """Runs of rows of a day. A day only rises within a batch, and to no later than today: senders' clocks are
        wrong, and must neither scatter a partition over files of one row nor put rows where nothing ever expires."""
        runs: list[tuple[str, list[Row]]] = []
        today = self.clock().date()
        for row in rows:
            day = datetime.fromtimestamp(max(0, min(row.timestamp, 1 << 45)) / 1000, UTC).date()
            name = min(day, today).isoformat()
            if not runs or name > runs[-1][0]:
                runs.append((name, []))
            runs[-1][1].append(row)
        return runs

    def _write(self, place: Place, day: str, rows: Sequence[Row]) -> Record:
        seed = secrets.token_bytes(16)
        columns, leaves = table(place.topic, place.partition, rows, seed)
        path = self.path_of(place, day, rows[0].offset, rows[-1].offset)
        with self.making(path) as writer:
            writer.write(columns, encoded_seeds([(rows[0].offset, seed)]))
        return self.record_of(place, day, path, leaves, rows[0].offset, rows[-1].offset)

    @staticmethod
    def path_of(place: Place, day: str, first: int, last: int) -> str:
        """Where a file lies, from the archive's folder on."""
        name = f"{place.topic}-{place.partition:02d}-{first:020d}-{last:020d}.parquet"
        return f"topic={place.topic}/day={day}/{name}"

    def making(self, path: str) -> Making:
        """A new file that gets its name once it is whole and on the disk."""
        return Making(self.folder / path, self.step)

    def record_of(self, place: Place, day: str, path: str, leaves: list[bytes], first: int, last: int) -> Record:
        """What the chain says of a file that lies there."""
        where = self.folder / path
        with where.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return {
            "kind": "file", "path": path, **place._asdict(), "day": day, "first": first, "last": last,
            "rows": len(leaves), "root": proof.root(leaves).hex(), "bytes": where.stat().st_size, "sha256": digest,
        }  # fmt: skip

    def replace(self, record: Record, replaced: Sequence[Record]) -> None:
        """Count a file that holds the rows of others, and remove those."""
        short = [{name: former[name] for name in ("path", "rows", "root")} for former in replaced]
        (made,) = self.count([record | {"replaces": short}])
        self.live[made["path"]] = made
        self.remove(former["path"] for former in replaced)

    def remove(self, paths: Iterable[str]) -> None:
        """Delete files that no longer count."""
        folders = set()
        for path in paths:
            self.live.pop(path, None)
            (self.folder / path).unlink(missing_ok=True)
            folders.add((self.folder / path).parent)
            self.step("removed")
        sync_folder(*folders)
        for folder in folders:
            if not any(folder.iterdir()):
                folder.rmdir()


class Making:
    """A Parquet file under a hidden name; leaving it without an exception gives it its own."""

    def __init__(self, target: Path, step: Callable[[str], None]) -> None:
        self._target = target
        self._hidden = target.with_name(MAKING + target.name)
        self._step = step
        self._writer: Writer

    def __enter__(self) -> Writer:
        new = not self._target.parent.exists()
        self._target.parent.mkdir(parents=True, exist_ok=True)
        if new:
            sync_folder(self._target.parents[2], self._target.parents[1])
        self._writer = Writer(self._hidden)
        return self._writer

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is not None:
                self._writer.abandon()
                return
            self._writer.close()
            self._step("written")
            descriptor = os.open(self._hidden, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            self._step("synced")
            self._hidden.rename(self._target)
        finally:
            if kind is not None or not self._target.exists():
                self._hidden.unlink(missing_ok=True)


def _named(record: Record) -> list[str]:
    """Paths that a record of the chain names."""
    more = [*record.get("replaces", ()), *record.get("files", ())]
    return [entry["path"] for entry in ([record] if "path" in record else []) + more]
