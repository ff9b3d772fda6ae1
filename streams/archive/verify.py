"""Looking whether the archive is what was archived: every line of the chain, every file, every row."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from schemas.topics import LOG_DAYS
from streams.archive import proof
from streams.archive.chain import GENESIS, Chain, Record, files_of
from streams.archive.columns import LOCATOR, Row, table
from streams.archive.parquet import read, seeds_of
from streams.archive.store import MAKING, Place

if TYPE_CHECKING:
    import pyarrow as pa


class Fault(NamedTuple):
    """Something that is not as it was archived."""

    where: str
    what: str


class Found(NamedTuple):
    """What a look at the archive came to. `head` is worth noting elsewhere: given to a later look, it shows whether the
    chain's end was cut off."""

    rows: int
    files: int
    head: str
    faults: list[Fault]


def verify(
    folder: Path,
    *,
    public: bytes | None = None,
    head: str | None = None,
    done: Callable[[Record], None] = lambda _: None,
) -> Found:
    """Look at all of it. `public` is the key that its owner gave you; without it the chain's own is taken. `head`
    (SEQ:HASH) is one that was noted before. `done` is told each file that was read.

    Raises:
        FileNotFoundError: there is no archive.
    """
    chain = Chain(folder)
    if not chain.path.exists():
        raise FileNotFoundError(chain.path)
    records: list[Record] = []
    faults = list(_chain(chain, public or chain.public.read_bytes(), records, head))
    faults += _order(records)
    live = files_of(records)
    former = _former(records)
    rows = 0
    for path in sorted(live):
        found = list(_file(folder, live[path], former.get(path, [])))
        faults += found
        rows += live[path]["rows"]
        done(live[path])
    for there in sorted(folder.glob("topic=*/**/*")):
        name = str(there.relative_to(folder))
        if there.is_file() and name not in live and not there.name.startswith(MAKING):
            faults.append(Fault(name, "it was added: no line of the chain counts it"))
    return Found(rows, len(live), f"{chain.seq}:{chain.head}", faults)


def _chain(chain: Chain, public: bytes, records: list[Record], noted: str | None) -> Iterator[Fault]:
    """Faults of the chain's lines; what can be read of them goes to `records`, the head to `chain`."""
    heads = {f"0:{GENESIS}"}
    chain.seq, chain.head = 0, GENESIS
    for number, line in enumerate(chain.path.open("rb"), 1):
        where = f"{chain.path.name} line {number}"
        if not line.endswith(b"\n"):
            yield Fault(where, "it was not written whole: a crash, which the next start mends")
            break
        try:
            entry = json.loads(line)
            record, signature = entry["record"], entry["sig"]
            seq, prev = record["seq"], record["prev"]
        except (ValueError, KeyError, TypeError) as error:
            yield Fault(where, f"it was changed: {error!r}")
            chain.seq, chain.head = chain.seq + 1, proof.line_hash(line)
            continue
        if not proof.signed_by(public, signature, proof.CHAIN + proof.canonical(record)):
            yield Fault(where, "it was changed, or signed by another key")
        elif seq != chain.seq:
            yield Fault(where, f"it is number {seq} where {chain.seq} is due: lines were removed, added or moved")
        elif prev != chain.head:
            yield Fault(where, "it does not name the line before it: that one was changed, removed or moved")
        chain.seq, chain.head = seq + 1, proof.line_hash(line)
        heads.add(f"{chain.seq}:{chain.head}")
        records.append(record)
    if noted is not None and noted not in heads:
        yield Fault(chain.path.name, f"it never had the head {noted}: lines were cut off or rewritten")


def _order(records: list[Record]) -> Iterator[Fault]:
    """Whether each partition was archived in order and once, and nothing was deleted before its time."""
    reached: dict[Place, int] = {}
    for record in records:
        if record["kind"] in ("file", "gap") and "replaces" not in record:
            place = Place(record["topic"], record["partition"])
            if record["first"] <= reached.get(place, -1):
                yield Fault(record.get("path", str(place)), f"offsets from {record['first']} on are archived twice")
            reached[place] = record["last"]
        for file in record.get("files", ()):
            written = datetime.fromisoformat(file["written_at"])
            if datetime.fromisoformat(record["at"]) - written < timedelta(days=LOG_DAYS):
                yield Fault(file["path"], f"it was deleted before {LOG_DAYS} days were over")


def _former(records: list[Record]) -> dict[str, list[Record]]:
    """Merged files, each with what the chain says of those whose rows it took."""
    return {record["path"]: record["replaces"] for record in records if "replaces" in record}


def _file(folder: Path, record: Record, former: list[Record]) -> Iterator[Fault]:
    path, name = folder / record["path"], record["path"]
    if not path.exists():
        yield Fault(name, f"it was removed: {record['rows']} rows, offsets {record['first']} to {record['last']}")
        return
    with path.open("rb") as file:
        whole = hashlib.file_digest(file, "sha256").hexdigest() == record["sha256"]
    leaves: list[bytes] = []
    before, named = -1, False
    try:
        for columns, rows, found in read(path, record):
            faults = list(_rows(name, before, columns["leaf"].to_pylist(), rows, found))
            if not whole and not faults:
                faults = [
                    Fault(f"{name} offset {offset}", "its typed columns are not what its bytes say")
                    for offset in _columns(path, record, columns, rows)
                ]
            yield from faults
            named, before = named or bool(faults), rows[-1].offset
            leaves += found
    except (OSError, ValueError) as error:
        yield Fault(name, f"it cannot be read after {len(leaves)} rows: it was changed ({str(error)[:120]})")
        return
    if len(leaves) != record["rows"]:
        yield Fault(name, f"it has {len(leaves)} rows of {record['rows']}: rows were removed or added")
    elif proof.root(leaves).hex() != record["root"]:
        yield Fault(name, "its rows do not give the root in the chain: rows were changed, or put in another order")
    elif not whole and not named:
        yield Fault(name, "every row is right, but the file was changed beside them (footer, statistics, columns)")
    if len(leaves) == record["rows"]:
        yield from _replaced(name, leaves, former)


def _rows(name: str, before: int, kept: list[bytes], rows: list[Row], leaves: list[bytes]) -> Iterator[Fault]:
    """Rows that are not what they were, or not where."""
    for row, leaf, locator in zip(rows, leaves, kept, strict=True):
        if leaf[:LOCATOR] != locator:
            yield Fault(f"{name} offset {row.offset}", "the row was changed")
        if row.offset <= before:
            yield Fault(f"{name} offset {row.offset}", f"it stands after {before}: rows were moved or doubled")
        before = row.offset


def _replaced(name: str, leaves: list[bytes], former: list[Record]) -> Iterator[Fault]:
    """Whether a merged file holds the rows of those that it took the place of."""
    at = 0
    for one in former:
        if proof.root(leaves[at : at + one["rows"]]).hex() != one["root"]:
            yield Fault(name, f"it does not hold the rows of {one['path']}, which it replaced")
        at += one["rows"]


def _columns(path: Path, record: Record, columns: pa.Table, rows: list[Row]) -> Iterator[int]:
    """Offsets of rows whose columns this version would have made otherwise."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        seed = seeds_of(file)[0][1]
    made, _ = table(record["topic"], record["partition"], rows, seed)
    for row, one, other in zip(rows, columns.drop(["leaf"]).to_pylist(), made.drop(["leaf"]).to_pylist(), strict=True):
        if one != other:
            yield row.offset
