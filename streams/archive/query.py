"""Asking the archive: DuckDB's SQL over its files, read-only, and questions that are ready-made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from streams.archive.chain import Chain, files_of
from streams.archive.columns import ARCHIVED, schema

#: One answer may not take the machine: DuckDB spills to disk what does not fit.
MEMORY = "2GB"


class QueryError(ValueError):
    """A question that cannot be answered; the text says why."""


class Question(NamedTuple):
    """A ready-made question. `asks` are the names of its parameters, in order."""

    about: str
    asks: tuple[str, ...]
    sql: str


QUESTIONS: dict[str, Question] = {
    "why": Question(
        "everything that was decided, ordered and ruled on one item, in order of time",
        ("content_id",),
        """SELECT happened_at, topic, agent, coalesce(action, verdict, outcome, kind, state) AS what, until, codes,
               policy || ' ' || policy_version AS policy, latency_s, reviewer_id
        FROM archive WHERE content_id = $content_id AND topic <> 'signals'
        ORDER BY happened_at, kafka_at, kafka_offset""",
    ),
    "publisher": Question(
        "what one publisher did: items, what was decided on them, and why, by day",
        ("publisher_id",),
        """SELECT cast(happened_at AS DATE) AS day, agent, action, count(*) AS decisions,
               count(DISTINCT content_id) AS items,
               list_sort(list_distinct(flatten(list(codes)))) AS codes
        FROM decisions WHERE publisher_id = $publisher_id GROUP BY ALL ORDER BY day, agent, action""",
    ),
    "reasons": Question(
        "decisions by reason over time",
        (),
        """SELECT day, agent, action, code, count(*) AS decisions
        FROM (SELECT day, agent, action, unnest(codes) AS code FROM decisions)
        GROUP BY ALL ORDER BY day, decisions DESC, agent, action, code""",
    ),
}
"""name → question."""


class Answer(NamedTuple):
    """Rows and the names of their columns."""

    columns: list[str]
    rows: list[tuple[Any, ...]]


def ask(folder: Path, sql: str, parameters: dict[str, Any] | None = None, *, most: int | None = None) -> Answer:
    """Answer one SELECT over the views `archive` (all rows; `topic` and `day` beside the columns of a file) and one
    for each topic. `most`: rows given at most.

    Raises:
        QueryError: there is no archive, the SQL is wrong, or it would do more than read the archive.
    """
    import duckdb

    chain = Chain(folder)
    if not chain.path.exists():
        raise QueryError(f"there is no archive in {folder}: name one with --archive or VERISTREAM_ARCHIVE_DIR")
    with _connection(folder, list(files_of(chain.records()))) as connection:
        try:
            statements = connection.extract_statements(sql)
            if len(statements) != 1 or statements[0].type not in (
                duckdb.StatementType.SELECT,
                duckdb.StatementType.EXPLAIN,
            ):
                raise QueryError("one SELECT can be asked, and nothing that writes: the archive is read-only")
            connection.execute(sql, parameters or None)
            found = connection.fetchall() if most is None else connection.fetchmany(most)
            return Answer([column[0] for column in connection.description or ()], found)
        except duckdb.Error as error:
            raise QueryError(_plainly(str(error))) from error


def rows(folder: Path, sql: str, parameters: dict[str, Any] | None = None) -> Iterator[tuple[Any, ...]]:
    """The rows of one question of ours, some hundred at a time, for answers that do not fit memory.

    Raises:
        QueryError: there is no archive.
    """
    chain = Chain(folder)
    if not chain.path.exists():
        raise QueryError(f"there is no archive in {folder}: name one with --archive or VERISTREAM_ARCHIVE_DIR")
    with _connection(folder, list(files_of(chain.records()))) as connection:
        connection.execute(sql, parameters or None)
        while found := connection.fetchmany(512):
            yield from found


def any_row(folder: Path, files: Sequence[str], where: str) -> bool:
    """Whether any row of these files fulfils a condition. QueryError if it is no condition over their columns."""
    import duckdb

    with _connection(folder, list(files)) as connection:
        sql = f"SELECT 1 FROM archive WHERE ({where}\n) LIMIT 1"  # noqa: S608 - read-only, whoever asks may ask anything
        try:
            if len(connection.extract_statements(sql)) != 1:
                raise QueryError("write one condition, as after WHERE")
            return connection.execute(sql).fetchone() is not None
        except duckdb.Error as error:
            raise QueryError(_plainly(str(error))) from error


def _connection(folder: Path, files: Sequence[str]) -> Any:
    """A database of its own with the views, that can read these files and nothing else."""
    import duckdb

    connection = duckdb.connect(":memory:")
    by_topic: dict[str, list[str]] = {topic.name: [] for topic in ARCHIVED}
    for name in files:
        by_topic.setdefault(name.split("/", 1)[0].removeprefix("topic="), []).append(str((folder / name).resolve()))
    everything = [path for paths in by_topic.values() for path in paths]
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(f"SET memory_limit = '{MEMORY}'")
    connection.execute("SET parquet_metadata_cache = true")
    for view, paths in [("archive", everything), *by_topic.items()]:
        connection.execute(f'CREATE VIEW "{view}" AS {_select(paths)}')
    connection.execute(f"SET allowed_paths = {_listed(everything)}")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def _listed(paths: Sequence[str]) -> str:
    quoted = ", ".join("'" + path.replace("'", "''") + "'" for path in paths)
    return f"[{quoted}]"


def _select(paths: Sequence[str]) -> str:
    if paths:
        return (
            f"SELECT * FROM read_parquet({_listed(paths)}, union_by_name = true, "  # noqa: S608 - our own paths
            "filename = true, hive_partitioning = true, hive_types = {'topic': VARCHAR, 'day': DATE})"
        )
    empty = ", ".join(f'NULL::{_TYPES[str(field.type)]} AS "{field.name}"' for field in schema())
    return f"SELECT {empty}, NULL::VARCHAR AS topic, NULL::DATE AS day, NULL::VARCHAR AS filename WHERE false"


_TYPES = {
    "int32": "INTEGER",
    "int64": "BIGINT",
    "double": "DOUBLE",
    "string": "VARCHAR",
    "binary": "BLOB",
    "fixed_size_binary[8]": "BLOB",
    "timestamp[ms, tz=UTC]": "TIMESTAMPTZ",
    "timestamp[us, tz=UTC]": "TIMESTAMPTZ",
    "list<item: string>": "VARCHAR[]",
    "list<element: string>": "VARCHAR[]",
    "list<item: float>": "FLOAT[]",
    "list<element: float>": "FLOAT[]",
}


def _plainly(error: str) -> str:
    """DuckDB's words without what only its own configuration could change."""
    if "Permission Error" in error or "access is disabled" in error:
        return "a question can read the archive's views (archive, and one a topic) and no other file"
    return error.strip()
