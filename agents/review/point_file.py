"""Points of entries in a file that all extraction workers of a machine map: 11 kB a frame, once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agents.review.bank_columns import key_of
from agents.review.mapped_file import Arrays, Layout, put_in_place, read, write
from agents.review.pointkeys import KEY_BITS, TABLES, Keys, keys_of, votes
from agents.review.points import Points

#: Begins every file; another number for another layout or other keys, so that a worker of another version refuses it.
MAGIC = b"VSPOINT1"

Ident = tuple[int, int]


class Shown(NamedTuple):
    """A frame of an entry."""

    at_s: float
    points: Points


class Described(NamedTuple):
    """What is kept of an entry."""

    entry_id: str
    ident: Ident
    known_good: bool
    #: Seconds since 1970, or NEVER.
    expires: float
    frames: Sequence[Shown]


class PointFile:
    """The entries of a file, sorted by `key_of`, their frames in that order, and the corners in the order of frames."""

    def __init__(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self._arrays = arrays
        self.ident, self.expires, self.known_good = arrays["ident"], arrays["expires"], arrays["known_good"]
        self.keys, self.first = arrays["keys"], arrays["first"]

    @property
    def entries(self) -> int:
        """Entries."""
        return len(self.keys)

    @property
    def frames(self) -> int:
        """Frames."""
        return len(self._arrays["at"])

    @property
    def nbytes(self) -> int:
        """What it takes."""
        return sum(array.nbytes for array in self._arrays.values())

    def number(self, entry_id: str, ident: Ident | None = None) -> int | None:
        """The number of the entry with this id, and, if it is said, with this `ident_of`."""
        key = key_of(entry_id)
        at = int(np.searchsorted(self.keys, np.uint64(key)))
        while at < self.entries and int(self.keys[at]) == key:
            if self.entry_id(at) == entry_id and ident in (None, tuple(self.ident[at].tolist())):
                return at
            at += 1
        return None

    def entry_id(self, entry: int) -> str:
        """The id of the entry with this number."""
        begin, end = self._arrays["ids_at"][entry : entry + 2].tolist()
        return self._arrays["ids"][begin:end].tobytes().decode()

    def entry_of(self, frame: int) -> int:
        """The number of the entry that a frame is of."""
        return int(np.searchsorted(self.first, frame, side="right")) - 1

    def shown(self, frame: int) -> Shown:
        """A frame."""
        begin, end = self._arrays["corners"][frame : frame + 2].tolist()
        places = self._arrays["places"][begin:end].astype(np.float32)
        return Shown(float(self._arrays["at"][frame]), Points(self._arrays["codes"][begin:end], places))

    def described(self, entry: int) -> Described:
        """The entry with this number."""
        one, other = self.ident[entry].tolist()
        frames = range(int(self.first[entry]), int(self.first[entry + 1]))
        return Described(
            self.entry_id(entry), (one, other), bool(self.known_good[entry]), float(self.expires[entry]),
            [self.shown(frame) for frame in frames],
        )  # fmt: skip

    def votes(self, wanted: Keys) -> NDArray[np.float64]:
        """For each frame, the keys that it shares."""
        tables = [
            (lambda keys, of=starts: (of[keys].astype(np.int64), of[keys + 1].astype(np.int64)), owners)
            for starts, owners in zip(self._arrays["starts"], self._arrays["owners"], strict=True)
        ]
        return votes(self.frames, wanted, tables)


def written(path: Path, entries: Sequence[Described]) -> PointFile:
    """Write these entries into a file, put it in its place, and map it.

    Raises:
        OSError: it could not be written: the disk is full, say. The former file stays.
    """
    held = sorted(entries, key=lambda one: key_of(one.entry_id))
    frames = [frame for one in held for frame in one.frames]
    ids = [one.entry_id.encode() for one in held]
    corners = _ends([len(frame.points.codes) for frame in frames])
    count = int(corners[-1])
    layout: Layout = {
        "keys": ("u8", (len(held),)),
        "ident": ("u8", (len(held), 2)),
        "expires": ("f8", (len(held),)),
        "known_good": ("?", (len(held),)),
        "first": ("u4", (len(held) + 1,)),
        "ids": ("u1", (sum(map(len, ids)),)),
        "ids_at": ("u8", (len(held) + 1,)),
        "at": ("f8", (len(frames),)),
        "corners": ("u8", (len(frames) + 1,)),
        "codes": ("u1", (count, 32)),
        "places": ("u1", (count, 2)),
        "owners": ("u4", (TABLES, count)),
        "starts": ("u4", (TABLES, (1 << KEY_BITS) + 1)),
    }

    def fill(arrays: Arrays) -> None:
        arrays["keys"][:] = [key_of(one.entry_id) for one in held]
        arrays["ident"][:] = np.array([one.ident for one in held], "u8").reshape(-1, 2)
        arrays["expires"][:] = [one.expires for one in held]
        arrays["known_good"][:] = [one.known_good for one in held]
        arrays["first"][:] = _ends([len(one.frames) for one in held])
        arrays["ids"][:] = np.frombuffer(b"".join(ids), "u1")
        arrays["ids_at"][:] = _ends([len(one) for one in ids])
        arrays["at"][:] = [frame.at_s for frame in frames]
        arrays["corners"][:] = corners
        for frame, begin, end in zip(frames, corners[:-1].tolist(), corners[1:].tolist(), strict=True):
            arrays["codes"][begin:end] = frame.points.codes
            arrays["places"][begin:end] = frame.points.places
        owners = np.repeat(np.arange(len(frames), dtype=np.uint32), np.diff(corners))
        for table, keys in enumerate(keys_of(arrays["codes"])):
            arrays["owners"][table] = owners[np.argsort(keys, kind="stable")]
            arrays["starts"][table] = _ends(np.bincount(keys, minlength=1 << KEY_BITS))

    with put_in_place(path) as new:
        write(new, MAGIC, layout, fill, {})
    return opened(path)


def opened(path: Path) -> PointFile:
    """The entries that lie in a file, mapped.

    Raises:
        OSError: there is none, or it cannot be read.
        Damaged: it is cut off, was not written to its end, or was changed.
    """
    return PointFile(read(path, MAGIC)[0])


def nothing() -> PointFile:
    """No entries."""
    empty: dict[str, NDArray[Any]] = {
        "keys": np.zeros(0, "u8"), "ident": np.zeros((0, 2), "u8"), "expires": np.zeros(0), "first": np.zeros(1, "u4"),
        "known_good": np.zeros(0, "?"), "at": np.zeros(0), "ids": np.zeros(0, "u1"), "ids_at": np.zeros(1, "u8"),
    }  # fmt: skip
    return PointFile(empty)


def _ends(sizes: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int64]:
    found = np.zeros(len(sizes) + 1, np.int64)
    np.cumsum(sizes, out=found[1:])
    return found
