"""Merging small files: the same rows under the same proof, in fewer files."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import islice, pairwise

from streams.archive import proof
from streams.archive.chain import ArchiveError, Record
from streams.archive.parquet import READ, encoded_seeds, read, seeds_of
from streams.archive.store import Archive, Place

#: What a merged file may have: large enough for a scan's full speed, small enough for its leaves to fit memory.
MOST_BYTES, MOST_ROWS = 256 * 2**20, 2_000_000
#: Files of a partition and a day that are worth merging while the day lasts; of days that are over, two are.
WORTH = 16
#: Rows of a group: readers skip whole groups by their statistics, and hold one in memory.
GROUP = 16 * READ


def compact(archive: Archive, most: int | None = None) -> int:
    """Merge what is worth it, into `most` files at most. Returns how many files went.

    A crash leaves either the old files or the new one in force.

    Raises:
        ArchiveError: a file is not what the chain says: it is left as it is.
        OSError: the disk is full, or broken.
    """
    gone = 0
    for group in islice(list(_groups(archive)), most):
        _merge(archive, group)
        gone += len(group)
    return gone


def _groups(archive: Archive) -> Iterator[list[Record]]:
    of: dict[tuple[Place, str], list[Record]] = defaultdict(list)
    for record in archive.live.values():
        of[Place(record["topic"], record["partition"]), record["day"]].append(record)
    today = archive.clock().date().isoformat()
    for (_, day), records in of.items():
        group: list[Record] = []
        enough = WORTH if day == today else 2
        for record in sorted(records, key=lambda one: int(one["first"])):
            if not _fits([*group, record]):
                if len(group) >= enough:
                    yield group
                group = []
            group.append(record)
        if len(group) >= enough:
            yield group


def _fits(group: Sequence[Record]) -> bool:
    return (
        sum(one["bytes"] for one in group) <= MOST_BYTES
        and sum(one["rows"] for one in group) <= MOST_ROWS
        and all(before["last"] < after["first"] for before, after in pairwise(group))
    )


def _merge(archive: Archive, group: Sequence[Record]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    seeds: list[tuple[int, bytes]] = []
    for record in group:
        with pq.ParquetFile(archive.folder / record["path"]) as file:
            seeds += seeds_of(file)
    place, day = Place(group[0]["topic"], group[0]["partition"]), group[0]["day"]
    first, last = group[0]["first"], group[-1]["last"]
    path = archive.path_of(place, day, first, last)
    leaves: list[bytes] = []
    with archive.making(path) as writer:
        waiting: list[pa.Table] = []
        for record in group:
            own: list[bytes] = []
            for columns, _, found in read(archive.folder / record["path"], record):
                own += found
                waiting.append(columns)
                if sum(map(len, waiting)) >= GROUP:
                    writer.write(pa.concat_tables(waiting), encoded_seeds(seeds))
                    waiting.clear()
            if proof.root(own).hex() != record["root"]:
                raise ArchiveError(f"{record['path']} is not what was archived: see `veristream evidence verify`")
            leaves += own
        if waiting:
            writer.write(pa.concat_tables(waiting), encoded_seeds(seeds))
    archive.step("renamed")
    archive.replace(archive.record_of(place, day, path, leaves, first, last), group)
