"""How long rows stay: never shorter than the law asks, longer where a hold says so; and what proves that they went."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from schemas.topics import HASHBANK, LISTS, LOG_DAYS, POLICIES, RUMORS
from streams.archive.chain import ArchiveError, Record
from streams.archive.query import QueryError, any_row
from streams.archive.store import Archive

#: Kept for ever: decisions of any age name a version of a policy, and what it said must be there to be read.
FOR_EVER = frozenset(topic.name for topic in (POLICIES, LISTS, HASHBANK, RUMORS))


def too_short(days: int) -> str | None:
    """Why rows may not be kept for so few days only; None if they may."""
    if days >= LOG_DAYS:
        return None
    return (
        f"archive_days = {days}: logs are kept at least six months (Cybersecurity Law, Art. 23), and {LOG_DAYS} days "
        f"cover any six; set {LOG_DAYS} or more, or nothing to keep everything"
    )


def holds(records: Iterable[Record]) -> dict[str, Record]:
    """The holds in force: name → its record."""
    found: dict[str, Record] = {}
    for record in records:
        if record["kind"] == "hold":
            found[record["name"]] = record
        elif record["kind"] == "release":
            found.pop(record["name"], None)
    return found


def hold(archive: Archive, name: str, where: str, reason: str) -> None:
    """Keep every file that has a row for which this condition of SQL holds, whatever its age.

    Raises:
        ArchiveError: there is a hold of that name, or the condition cannot be asked.
    """
    if name in holds(archive.chain.records()):
        raise ArchiveError(f"there is a hold {name!r} already: release it first, or choose another name")
    try:
        any_row(archive.folder, list(archive.live)[:1], where)
    except QueryError as error:
        raise ArchiveError(f"--where {where}: {error}") from error
    archive.count([{"kind": "hold", "name": name, "where": where, "reason": reason}])


def release(archive: Archive, name: str, reason: str) -> None:
    """End a hold. ArchiveError if there is none of that name."""
    if name not in holds(archive.chain.records()):
        raise ArchiveError(f"there is no hold {name!r}")
    archive.count([{"kind": "release", "name": name, "reason": reason}])


def expire(archive: Archive, days: int) -> tuple[int, int]:
    """Delete files all of whose rows are older, and say so in the chain first. Returns how many went, and how many a
    hold kept. Files go whole, so rows stay up to a day longer.

    Raises:
        ArchiveError: that would be sooner than the law allows, or a hold cannot be asked.
    """
    if why := too_short(days):
        raise ArchiveError(why)
    limit = archive.clock() - timedelta(days=days)
    in_force = holds(archive.chain.records())
    old = [record for record in archive.live.values() if record["topic"] not in FOR_EVER and _older(record, limit)]
    gone, kept = [], 0
    for record in old:
        try:
            held = any(any_row(archive.folder, [record["path"]], one["where"]) for one in in_force.values())
        except QueryError as error:  # never delete what could not be asked about
            raise ArchiveError(f"{record['path']}: a hold cannot be asked: {error}; nothing is deleted") from error
        kept += held
        if not held:
            gone.append(record)
    if gone:
        names = ("path", "topic", "partition", "first", "last", "rows", "root", "sha256")
        files = [{name: record[name] for name in names} | {"written_at": record["at"]} for record in gone]
        archive.count([{"kind": "expire", "days": days, "files": files}])
        archive.remove(record["path"] for record in gone)
    return len(gone), kept


def _older(record: Record, limit: datetime) -> bool:
    # By the senders' clocks and by ours: who sends with a wrong clock must not bring rows to an early end.
    end = datetime.fromisoformat(record["day"]).replace(tzinfo=limit.tzinfo) + timedelta(days=1)
    return end < limit and datetime.fromisoformat(record["at"]) < limit
