"""Files of hash lists: opened, unpacked, and written whole or not at all."""

from __future__ import annotations

import gzip
import io
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def source_of(file: Path) -> Iterator[tuple[Any, Callable[[], int], int | None]]:
    """The list, how many of its bytes have been read, and how many there are."""
    if str(file) == "-":
        yield sys.stdin.buffer, lambda: 0, None
        return
    with file.open("rb") as packed:
        if file.suffix == ".gz":
            yield io.BufferedReader(gzip.GzipFile(fileobj=packed)), packed.tell, file.stat().st_size
        else:
            yield packed, packed.tell, file.stat().st_size


@contextmanager
def target(file: Path) -> Iterator[Any]:
    """Where to write. A file is there when it is whole, or not at all."""
    if str(file) == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    making = file.with_name(f".{file.name}.part")
    try:
        with gzip.open(making, "wb") if file.suffix == ".gz" else making.open("wb") as to:
            yield to
        making.replace(file)
    finally:
        making.unlink(missing_ok=True)
