"""A message as a row of the archive: the bytes as they came, what proves them, and typed columns to ask by."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from schemas.topics import (
    COMPLAINT_RESULTS,
    COMPLAINTS,
    DECISIONS,
    HASHBANK,
    LABELS,
    LISTS,
    POLICIES,
    REFUTATIONS,
    RELEASES,
    REVIEWS,
    RULINGS,
    RUMORS,
    SANCTIONS,
    SIGNALS,
    TAKEDOWNS,
    TOPICS,
    VERDICTS,
    Topic,
)
from streams.archive import proof

if TYPE_CHECKING:
    import pyarrow as pa

#: What is archived: all that tells what was decided, on what grounds, under which policy, lists and bank, and what
#: people made of it.
ARCHIVED: tuple[Topic, ...] = (
    SIGNALS, DECISIONS, VERDICTS, TAKEDOWNS, LABELS, REFUTATIONS, REVIEWS, RELEASES, RULINGS, COMPLAINTS,
    COMPLAINT_RESULTS, SANCTIONS, POLICIES, LISTS, HASHBANK, RUMORS,
)  # fmt: skip
#: Bytes of a leaf's hash that are kept beside the row: they only say where a file was changed, its root proves it.
LOCATOR = 8
_DECODE = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class Row(NamedTuple):
    """A message as it lay on a partition. `timestamp` in ms since 1970."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None

    @property
    def size(self) -> int:
        """Bytes that it takes in memory, about."""
        return len(self.key or b"") + len(self.value or b"") + 200


class _Policy(msgspec.Struct):
    name: str = ""
    version: int = 0


class _Reason(msgspec.Struct):
    code: str = ""
    score: float = 0.0


class _Stop(msgspec.Struct):
    kind: str = ""
    until: str = ""


class _Event(msgspec.Struct):
    event_id: str | None = None
    content_id: str | None = None
    publisher_id: str | None = None
    stream_id: str | None = None
    seq: int | None = None
    service: str | None = None


class _Known(_Event):
    """What is taken out of any archived message. A name means the same on every topic that has it."""

    event: _Event | None = None
    agent: str | None = None
    action: str | None = None
    verdict: str | None = None
    outcome: str | None = None
    kind: str | None = None
    state: str | None = None
    level: int | str | None = None
    until: str | None = None
    stop: _Stop | None = None
    reasons: list[_Reason] = []
    policy: _Policy | None = None
    latency_s: float | None = None
    decision_id: str | None = None
    order_id: str | None = None
    verdict_id: str | None = None
    review_id: str | None = None
    ruling_id: str | None = None
    complaint_id: str | None = None
    sanction_id: str | None = None
    reviewer_id: str | None = None
    decided_at: str | None = None
    ordered_at: str | None = None
    requested_at: str | None = None
    ruled_at: str | None = None
    received_at: str | None = None
    extracted_at: str | None = None
    begins_at: str | None = None
    at: str | None = None


_NOTHING = _Known()
_KNOWN = msgspec.json.Decoder(_Known).decode
#: A policy's sections are named as other messages' fields are, and mean something else.
_POLICY = msgspec.json.Decoder(_Policy).decode
#: Which of a message's times is its own: when it was decided, ordered, ruled, received.
_TIMES = ("decided_at", "ordered_at", "requested_at", "ruled_at", "received_at", "extracted_at", "at", "begins_at")
#: Columns that are a field of the same name, on whatever topic.
_PLAIN = (
    "agent", "action", "verdict", "outcome", "kind", "state", "latency_s", "decision_id", "order_id", "verdict_id",
    "review_id", "ruling_id", "complaint_id", "sanction_id", "reviewer_id",
)  # fmt: skip
_OF_EVENT = ("content_id", "publisher_id", "event_id", "stream_id", "seq", "service")


@lru_cache(maxsize=1)
def schema() -> pa.Schema:
    """The columns of every file, whatever its topic; a topic that lacks a field has nulls, which take no room.

    Columns are only ever added, at the end: readers take those that an older file lacks as null.
    """
    import pyarrow as pa

    text = pa.string()
    return pa.schema(
        [
            pa.field("kafka_partition", pa.int32(), nullable=False),
            pa.field("kafka_offset", pa.int64(), nullable=False),
            pa.field("kafka_at", pa.timestamp("ms", "UTC"), nullable=False),
            pa.field("happened_at", pa.timestamp("us", "UTC")),
            *(pa.field(name, pa.int64() if name == "seq" else text) for name in _OF_EVENT),
            *(pa.field(name, pa.float64() if name == "latency_s" else text) for name in _PLAIN),
            pa.field("level", text),
            pa.field("until", text),
            pa.field("policy", text),
            pa.field("policy_version", pa.int64()),
            pa.field("codes", pa.list_(text)),
            pa.field("scores", pa.list_(pa.float32())),
            pa.field("unknown", text),
            pa.field("fault", text),
            pa.field("key", pa.binary()),
            pa.field("value", pa.binary()),
            pa.field("leaf", pa.binary(LOCATOR)),
        ]
    )


@lru_cache(maxsize=4096)
def _named(name: str) -> tuple[bytes, bytes]:
    """A field's name as it stands in compact JSON before its value, and as it is hashed."""
    return msgspec.json.encode(name) + b":", proof.head(name.encode("utf-8", "surrogatepass"))


def _parsed(value: bytes | None) -> dict[str, msgspec.Raw]:
    try:
        return _DECODE(value) if value else {}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}


_KEY, _WHOLE = proof.head(b"key"), proof.head(b"")


def _fields(row: Row, parsed: dict[str, msgspec.Raw]) -> list[tuple[bytes, bytes]]:
    """Heads and raw values that a row is hashed by: its key, then each field of its value.

    A value that compact JSON would not give back byte for byte is one field without a name, and hidden as one.
    """
    found = [(_KEY, b"-" if row.key is None else b"+" + row.key)]
    if row.value is None:
        return found
    parts = []
    for name, raw in parsed.items():
        quoted, hashed = _named(name)
        value = bytes(raw)
        parts.append(quoted + value)
        found.append((hashed, value))
    if not parts or b"{" + b",".join(parts) + b"}" != row.value:
        return [found[0], (_WHOLE, b"=" + row.value)]  # no JSON value begins so
    return found


def fields(row: Row) -> list[tuple[bytes, bytes]]:
    """Names and raw values of what a row is hashed by, in order."""
    return [(head[2:], raw) for head, raw in _fields(row, _parsed(row.value))]


def row_leaf(topic: str, partition: int, row: Row, seed: bytes) -> bytes:
    """The leaf of a row in a file with this seed."""
    return _leaf(topic, partition, row, seed, _fields(row, _parsed(row.value)))


def _leaf(topic: str, partition: int, row: Row, seed: bytes, parts: list[tuple[bytes, bytes]]) -> bytes:
    # `proof.field_digest` for each part, without its calls: half of the archiver's time went into them.
    salts, at, digests = proof.salts(seed, row.offset, len(parts)), 0, []
    for head, raw in parts:
        digests.append(sha256(salts[at : at + proof.SALT] + head + raw).digest())
        at += proof.SALT
    return proof.leaf(proof.meta(topic, partition, row.offset, row.timestamp), digests)


@lru_cache(maxsize=64)
def _promised(topic: str) -> frozenset[str]:
    return frozenset(TOPICS[topic].message.__struct_fields__) if topic in TOPICS else frozenset()


def _unknown(topic: str, parsed: dict[str, msgspec.Raw]) -> str | None:
    """Fields that this version does not know, as JSON text."""
    if _promised(topic).issuperset(parsed):
        return None
    more = {name: parsed[name] for name in parsed.keys() - _promised(topic)}
    return msgspec.json.encode(more).decode("utf-8", "replace")


_EPOCH, _MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)


def _microseconds(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        moment = msgspec.convert(text, datetime)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return (moment - _EPOCH) // _MICROSECOND
    except (msgspec.ValidationError, OverflowError, ValueError):
        return None


def table(topic: str, partition: int, rows: Sequence[Row], seed: bytes) -> tuple[pa.Table, list[bytes]]:
    """The rows as columns, and their leaves. A message that is not what its topic promises keeps its bytes, has nulls
    in the typed columns, and says why in `fault`."""
    import pyarrow as pa

    leaves, known, unknown, faults = [], [], [], []
    for row in rows:
        parsed = _parsed(row.value)
        leaves.append(_leaf(topic, partition, row, seed, _fields(row, parsed)))
        found, fault = _NOTHING, None
        try:
            if row.value is not None:
                found = _Known(policy=_POLICY(row.value)) if topic == POLICIES.name else _KNOWN(row.value)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            fault = str(error)[:200]
        known.append(found)
        faults.append(fault)
        unknown.append(_unknown(topic, parsed))
    events = [one if one.event is None else one.event for one in known]
    columns: dict[str, Any] = {
        "kafka_partition": [partition] * len(rows),
        "kafka_offset": [row.offset for row in rows],
        "kafka_at": [row.timestamp for row in rows],
        "happened_at": [_microseconds(_own_time(one)) for one in known],
        "level": [_level(one) for one in known],
        "until": [one.stop.until if one.stop else one.until for one in known],
        "policy": [one.policy.name if one.policy else None for one in known],
        "policy_version": [one.policy.version if one.policy else None for one in known],
        "codes": [[reason.code for reason in one.reasons] for one in known],
        "scores": [[reason.score for reason in one.reasons] for one in known],
        "unknown": unknown,
        "fault": faults,
        "key": [row.key for row in rows],
        "value": [row.value for row in rows],
        "leaf": [one[:LOCATOR] for one in leaves],
    }
    for name in _OF_EVENT:
        columns[name] = [getattr(event, name) for event in events]
    for name in _PLAIN:
        columns[name] = [getattr(one, name) for one in known]
    columns["kind"] = [one.stop.kind if one.stop else one.kind for one in known]
    made = schema()
    return pa.table([pa.array(columns[field.name], field.type) for field in made], schema=made), leaves


def _own_time(one: _Known) -> str | None:
    return next((text for name in _TIMES if (text := getattr(one, name)) is not None), None)


def _level(one: _Known) -> str | None:
    return None if one.level is None else str(one.level)  # of labels a number, of sanctions a word


def rows_of(batch: pa.Table) -> list[Row]:
    """The messages of a table, as they came."""
    columns = (batch["kafka_offset"], batch["kafka_at"].cast("int64"), batch["key"], batch["value"])
    return [Row(*cells) for cells in zip(*(column.to_pylist() for column in columns), strict=True)]
