"""A part of the hash bank as a file that all workers of a machine map."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from agents.review.bank_columns import Columns, Merge, Part
from agents.review.mapped_file import put_in_place, read, write

#: Begins every file; another number for another layout, so that a worker of another version refuses it.
MAGIC = b"VSHASHB1"


def written(path: Path, parts: Sequence[Part], ended: Callable[[], bool] = lambda: False) -> Columns:
    """Merge what is taken of all parts into a file, put it in its place, and map it.

    Raises:
        InterruptedError: `ended` said so. The former file stays.
        OSError: it could not be written: the disk is full, say. The former file stays.
    """
    with put_in_place(path) as new:
        _write(new, Merge(parts), ended)
    return opened(path)


def _write(path: Path, merge: Merge, ended: Callable[[], bool]) -> None:
    write(path, MAGIC, merge.layout, lambda arrays: merge.fill(arrays, ended), {"variants": merge.variants})


def opened(path: Path) -> Columns:
    """The part that lies in a file, mapped.

    Raises:
        OSError: there is none, or it cannot be read.
        Damaged: it is cut off, was not written to its end, or was changed.
    """
    arrays, told = read(path, MAGIC)
    return Columns(arrays, told["variants"])
