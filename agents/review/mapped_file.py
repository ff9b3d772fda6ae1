"""Arrays in a file that all workers of a machine map, so that they are in memory once.

A file is written under another name and put in its place when it is whole. What is not what its writer wrote is
refused: every array has a checksum.
"""

from __future__ import annotations

import fcntl
import json
import logging
import mmap
import os
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

log = logging.getLogger(__name__)

#: Bytes before the arrays: a magic number of eight, the length and the checksum of a description, and the description.
HEAD = 1 << 16
#: Arrays begin at multiples of a cache line.
ALIGNED = 64
#: How files end that are not whole yet.
UNDER_WAY = ".part"

#: name → type, shape.
Layout = Mapping[str, tuple[str, tuple[int, ...]]]
Arrays = dict[str, NDArray[Any]]
#: Which file of a name it is: its number, and when it was written.
Stamp = tuple[int, int]


class Damaged(ValueError):
    """A file that is not what its writer wrote; the text says how."""


def under_way(path: Path) -> Path:
    """Where this process writes what is to stand at `path`."""
    return path.with_name(f"{path.name}.{os.getpid()}{UNDER_WAY}")


def write(path: Path, magic: bytes, layout: Layout, fill: Callable[[Arrays], None], told: Mapping[str, Any]) -> None:
    """Write a file of such arrays, which `fill` fills. `told`: what goes into its head.

    Raises:
        OSError: it cannot be written: the disk is full, say.
    """
    places, end = {}, 0
    for name, (kind, shape) in layout.items():
        at = -(-end // ALIGNED) * ALIGNED
        places[name] = (kind, shape, at)
        end = at + int(np.dtype(kind).itemsize * np.prod(shape, dtype=np.int64))
    with path.open("w+b") as file:
        path.chmod(0o600)
        os.posix_fallocate(file.fileno(), 0, HEAD + end)  # a full disk is told here, and not by a signal
        view = mmap.mmap(file.fileno(), HEAD + end)
        arrays = _mapped(view, places)
        fill(arrays)
        described = {name: (*place, _checksum(arrays[name])) for name, place in places.items()}
        head = json.dumps({"arrays": described, "size": HEAD + end, **told}).encode()
        if len(head) > HEAD - 16:
            raise OSError(f"what is told of it, {len(head)} bytes, does not fit into its head")
        view.flush()  # what the head vouches for is on disk before it
        view[8:16] = len(head).to_bytes(4, "little") + zlib.crc32(head).to_bytes(4, "little")
        view[16 : 16 + len(head)] = head
        view[:8] = magic
        view.flush()
        os.fsync(file.fileno())


def read(path: Path, magic: bytes) -> tuple[Arrays, dict[str, Any]]:
    """The arrays of a file, mapped, and what is told in its head.

    Raises:
        OSError: there is none, or it cannot be read.
        Damaged: it is cut off, was not written to its end, or was changed.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size < HEAD:
            raise Damaged(f"it has {size} bytes, less than its head")
        view = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
    if view[:8] != magic:
        raise Damaged("it does not begin as an index of this version does: its writer did not end, or was another")
    length, checksum = int.from_bytes(view[8:12], "little"), int.from_bytes(view[12:16], "little")
    if zlib.crc32(view[16 : 16 + length]) != checksum:
        raise Damaged("the checksum of its head is wrong")
    head = json.loads(view[16 : 16 + length])
    if head["size"] != size:
        raise Damaged(f"it has {size} bytes and not {head['size']}")
    arrays = _mapped(view, {name: (kind, tuple(shape), at) for name, (kind, shape, at, _) in head["arrays"].items()})
    for name, (_, _, _, checksum) in head["arrays"].items():
        if _checksum(arrays[name]) != checksum:
            raise Damaged(f"the checksum of `{name}` is wrong")
    return arrays, head


def stamp(path: Path) -> Stamp | None:
    """Which file lies there."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns


def locked(path: Path) -> int | None:
    """The lock on writing a file, if no other worker has it; closing it, or the end of the process, lets go of it."""
    lock = os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return None
    return lock


def clear(path: Path) -> None:
    """Remove what workers that died have left half-written; for who has the lock."""
    for left in path.parent.glob(f"{path.name}.*{UNDER_WAY}"):
        left.unlink(missing_ok=True)
        log.warning("%s was left half-written by a worker that died, and is removed", left)


@contextmanager
def put_in_place(path: Path) -> Iterator[Path]:
    """Where to write a file to; it is put in its place if all goes well, and removed if not."""
    new = under_way(path)
    try:
        yield new
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def _mapped(view: mmap.mmap, places: Mapping[str, tuple[str, tuple[int, ...], int]]) -> Arrays:
    return {name: np.ndarray(shape, kind, buffer=view, offset=HEAD + at) for name, (kind, shape, at) in places.items()}


def _checksum(array: NDArray[Any]) -> int:
    return zlib.crc32(array.reshape(-1).view(np.uint8).data)
