"""State on disk in SQLite that the topics can give again: a file that cannot be used is made anew."""

from __future__ import annotations

import sqlite3
from pathlib import Path


def opened(path: Path, layout: int, tables: str) -> sqlite3.Connection:
    """Opens or makes the file; one of another layout, or damaged, is made anew. Transactions are the caller's.

    `tables`: the statements that make them, and set `user_version` to the layout.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    for again in (False, True):
        db = sqlite3.connect(path, isolation_level=None)
        try:
            version = db.execute("pragma user_version").fetchone()[0]
            if version in (0, layout):
                if version == 0:
                    db.execute("pragma auto_vacuum = incremental")
                db.execute("pragma journal_mode = wal")
                # What a power failure takes is read from the topics again.
                db.execute("pragma synchronous = normal")
                if version == 0:
                    db.executescript(tables)
                return db
        except sqlite3.DatabaseError as error:
            # One that another process has locked is not damaged.
            if again or isinstance(error, sqlite3.OperationalError):
                db.close()
                raise
        db.close()
        for suffix in ("", "-wal", "-shm"):
            Path(f"{path}{suffix}").unlink(missing_ok=True)
    raise sqlite3.DatabaseError(f"{path} cannot be made")
