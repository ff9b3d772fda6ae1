"""Media kept on this machine for a while, by its SHA-256: what is sent twice is fetched once."""

from __future__ import annotations

import os
from pathlib import Path

#: Files are looked for and evicted in one flat folder; beyond so many the walk at each addition would be felt.
MOST_FILES = 4096


class Cache:
    """A folder of at most so many bytes, named by content; the longest unused goes first.

    Workers of one machine may share it: files come by rename and go by unlink, and whoever has one under a name of its
    own keeps it.
    """

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self._folder = folder
        self._most_bytes = most_bytes

    def take(self, sha256: str, size: int, to: Path) -> bool:
        """Give the file of that hash a further name; False if it is not here."""
        kept = self._folder / sha256
        try:
            if kept.stat().st_size != size:  # a machine that went down while it was written
                kept.unlink(missing_ok=True)
                return False
            os.link(kept, to)
            os.utime(kept)
        except OSError:
            return False
        return True

    def keep(self, sha256: str, path: Path) -> None:
        """Keep a file whose hash has been checked. That it cannot be kept costs a fetch, and nothing else."""
        try:
            size = path.stat().st_size
            if size > self._most_bytes:
                return
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._shrink(self._most_bytes - size)
            os.link(path, self._folder / sha256)
        except OSError:  # it is there already, or there is no room, or no links between these folders
            return

    def clear(self) -> None:
        """Let go of everything: the room is needed."""
        self._shrink(0)

    def _shrink(self, to_bytes: int) -> None:
        rows = []
        try:
            with os.scandir(self._folder) as entries:
                for entry in entries:
                    about = entry.stat()
                    rows.append((about.st_mtime, about.st_size, entry.path))
        except OSError:
            return
        total = sum(size for _, size, _ in rows)
        rows.sort()
        for index, (_, size, path) in enumerate(rows):
            if total <= to_bytes and len(rows) - index < MOST_FILES:
                return
            Path(path).unlink(missing_ok=True)
            total -= size
