"""Parquet files of the archive: written group by group, read back as messages with their leaves."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streams.archive.chain import Record
from streams.archive.columns import Row, row_leaf, rows_of, schema

if TYPE_CHECKING:
    import pyarrow as pa

#: Key of a file's metadata: which seed is that of the rows from which offset on.
SEEDS = b"veristream.seeds"
#: Rows that are read and held at once.
READ = 8192
#: Columns with few values; a dictionary of the others would be thrown away half way.
_FEW = (
    "kafka_partition", "publisher_id", "service", "agent", "action", "verdict", "outcome", "kind", "state", "level",
    "until", "policy", "policy_version", "codes.list.element", "reviewer_id",
)  # fmt: skip
#: Columns that single rows are asked for by: a filter tells which groups can't have a value, for 6 bits a row.
_ASKED = ("content_id", "event_id", "decision_id")
#: Zstandard's own default; 9 took thrice the time for a twelfth less.
_LEVEL = 3


def encoded_seeds(seeds: Sequence[tuple[int, bytes]]) -> str:
    """Seeds as they stand in a file's metadata."""
    return json.dumps([[first, seed.hex()] for first, seed in seeds])


def seeds_of(file: Any) -> list[tuple[int, bytes]]:
    """The seeds of an opened file. ValueError if it has none."""
    metadata = file.schema_arrow.metadata or {}
    if SEEDS not in metadata:
        raise ValueError("it has no seeds: it was not written by the archive")
    return [(first, bytes.fromhex(seed)) for first, seed in json.loads(metadata[SEEDS])]


class Writer:
    """One file being written. Seeds are given with the first rows, for all."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: Any = None

    def write(self, columns: pa.Table, seeds: str) -> None:
        """Write rows as a group of their own. OSError: the disk is full, or broken."""
        import pyarrow.parquet as pq

        if self._writer is None:
            self._writer = pq.ParquetWriter(
                self._path,
                schema().with_metadata({SEEDS: seeds}),
                compression="zstd",
                compression_level=_LEVEL,
                use_dictionary=list(_FEW),
                write_page_checksum=True,
                bloom_filter_options={name: {"ndv": max(1, len(columns)), "fpp": 0.05} for name in _ASKED},
                version="2.6",
            )
        self._writer.write_table(columns.cast(self._writer.schema), row_group_size=1 << 20)

    def close(self) -> None:
        """Write the end."""
        self._writer.close()

    def abandon(self) -> None:
        """Let go of what was written, whatever the disk says."""
        if self._writer is not None:
            with suppress(OSError):
                self._writer.close()


def batches(path: Path) -> Iterator[tuple[pa.Table, list[tuple[int, bytes]]]]:
    """The rows of a file, some thousand at a time, with its seeds; columns that it lacks are null.

    Raises:
        OSError, ValueError: it cannot be read; pyarrow's own errors are both.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        seeds = seeds_of(file)
        for batch in file.iter_batches(batch_size=READ):
            read = pa.Table.from_batches([batch])
            columns = [
                read[field.name].cast(field.type)
                if field.name in read.column_names
                else pa.nulls(len(read), field.type)
                for field in schema()
            ]
            yield pa.table(columns, schema=schema()), seeds


def leaves_of(record: Record, rows: Sequence[Row], seeds: Sequence[tuple[int, bytes]]) -> list[bytes]:
    """The leaves of rows of a file."""
    found, at = [], 0
    for row in rows:
        while at + 1 < len(seeds) and seeds[at + 1][0] <= row.offset:
            at += 1
        found.append(row_leaf(record["topic"], record["partition"], row, seeds[at][1]))
    return found


def read(path: Path, record: Record) -> Iterator[tuple[pa.Table, list[Row], list[bytes]]]:
    """The rows of a file as columns, as messages, and as leaves. Raises as `batches` does."""
    for columns, seeds in batches(path):
        rows = rows_of(columns)
        yield columns, rows, leaves_of(record, rows, seeds)
