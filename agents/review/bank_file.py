"""A part of the hash bank as a file that all workers of a machine map, so that it is in memory once.

It is written under another name and put in its place when it is whole. What is not what its writer wrote is refused:
every array has a checksum.
"""

from __future__ import annotations

import json
import mmap
import os
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.review.bank_columns import Columns, Merge, Part

#: Begins every file; another number for another layout, so that a worker of another version refuses it.
MAGIC = b"VSHASHB1"
#: Bytes before the arrays: the magic number, the length and the checksum of a description, and the description.
HEAD = 1 << 16
#: Arrays begin at multiples of a cache line.
ALIGNED = 64
#: How files end that are not whole yet.
UNDER_WAY = ".part"

#: name → type, shape, place.
Places = Mapping[str, tuple[str, tuple[int, ...], int]]


class Damaged(ValueError):
    """A file that is not what its writer wrote; the text says how."""


def written(path: Path, parts: Sequence[Part], ended: Callable[[], bool] = lambda: False) -> Columns:
    """Merge what is taken of all parts into a file, put it in its place, and map it.

    Raises:
        InterruptedError: `ended` said so. The former file stays.
        OSError: it could not be written: the disk is full, say. The former file stays.
    """
    under_way = path.with_name(f"{path.name}.{os.getpid()}{UNDER_WAY}")
    try:
        _write(under_way, Merge(parts), ended)
        under_way.replace(path)
    finally:
        under_way.unlink(missing_ok=True)
    return opened(path)


def _write(path: Path, merge: Merge, ended: Callable[[], bool]) -> None:
    places, end = {}, 0
    for name, (kind, shape) in merge.layout.items():
        at = -(-end // ALIGNED) * ALIGNED
        places[name] = (kind, shape, at)
        end = at + int(np.dtype(kind).itemsize * np.prod(shape, dtype=np.int64))
    with path.open("w+b") as file:
        path.chmod(0o600)
        os.posix_fallocate(file.fileno(), 0, HEAD + end)  # a full disk is told here, and not by a signal
        view = mmap.mmap(file.fileno(), HEAD + end)
        arrays = _mapped(view, places)
        merge.fill(arrays, ended)
        described = {name: (*place, _checksum(arrays[name])) for name, place in places.items()}
        head = json.dumps({"arrays": described, "variants": merge.variants, "size": HEAD + end}).encode()
        if len(head) > HEAD - 16:
            raise OSError(f"the names of {len(merge.variants)} variants of frames do not fit into its head")
        view.flush()  # what the head vouches for is on disk before it
        view[8:16] = len(head).to_bytes(4, "little") + zlib.crc32(head).to_bytes(4, "little")
        view[16 : 16 + len(head)] = head
        view[:8] = MAGIC
        view.flush()
        os.fsync(file.fileno())


def opened(path: Path) -> Columns:
    """The part that lies in a file, mapped.

    Raises:
        OSError: there is none, or it cannot be read.
        Damaged: it is cut off, was not written to its end, or was changed.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size < HEAD:
            raise Damaged(f"it has {size} bytes, less than its head")
        view = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
    if view[:8] != MAGIC:
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
    return Columns(arrays, head["variants"])


def _mapped(view: mmap.mmap, places: Places) -> dict[str, NDArray[Any]]:
    return {name: np.ndarray(shape, kind, buffer=view, offset=HEAD + at) for name, (kind, shape, at) in places.items()}


def _checksum(array: NDArray[Any]) -> int:
    return zlib.crc32(array.reshape(-1).view(np.uint8).data)
