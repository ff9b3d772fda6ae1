"""Changes to a file that leave all the rest of it byte for byte as it was, and where each byte then stands."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from itertools import accumulate
from typing import BinaryIO

from streams.labels.walk import Span

#: Bytes copied at once: enough that the calls do not count, little enough for any machine.
CHUNK = 1 << 20


class Edits:
    """Ranges of a file and what takes their place; they never overlap."""

    def __init__(self, end: int) -> None:
        """`end`: the file's size in bytes."""
        self._end = end
        self._edits: dict[Span, bytes] = {}
        self._moves: tuple[list[int], list[int]] | None = None

    def replace(self, start: int, end: int, data: bytes) -> None:
        """Put `data` in place of a range; an empty range is an insertion in front of what stands at `start`.

        The same range may be given again, with other bytes: what they hold may depend on where all has moved.
        """
        self._edits[Span(start, end)] = data
        self._moves = None

    def moved(self, offset: int) -> int:
        """Where what stood at `offset` stands afterwards."""
        if self._moves is None:
            edits = sorted(self._edits.items())
            growth = accumulate((len(data) - span.size for span, data in edits), initial=0)
            self._moves = [span.end for span, _ in edits], list(growth)
        ends, growth_at = self._moves
        return offset + growth_at[bisect_right(ends, offset)]

    @property
    def size(self) -> int:
        """Bytes of the file afterwards."""
        return self._end + sum(len(data) - span.size for span, data in self._edits.items())

    def pieces(self) -> Iterator[bytes | Span]:
        """What the new file is made of: new bytes, and ranges of the old one."""
        at = 0
        for span, data in sorted(self._edits.items()):
            if span.start < at:
                raise AssertionError(f"edits overlap at byte {span.start}")
            if span.start > at:
                yield Span(at, span.start)
            if data:
                yield data
            at = span.end
        if at < self._end:
            yield Span(at, self._end)

    def write(self, source: BinaryIO, out: BinaryIO, progress: Callable[[int], None] | None = None) -> None:
        """Write the new file; `progress` is told how many bytes are written.

        Raises:
            OSError: it cannot be read or written.
            ValueError: the source ends earlier than it did.
        """
        done = 0
        for piece in self.pieces():
            for data in (piece,) if isinstance(piece, bytes) else _chunks(source, piece):
                out.write(data)
                done += len(data)
                if progress:
                    progress(done)

    def same(self, source: BinaryIO, out: BinaryIO) -> bool:
        """Whether the file that was written is what it should be, byte for byte, and ends there."""
        out.seek(0)
        for piece in self.pieces():
            for data in (piece,) if isinstance(piece, bytes) else _chunks(source, piece):
                if out.read(len(data)) != data:
                    return False
        return not out.read(1)


def _chunks(file: BinaryIO, span: Span) -> Iterator[bytes]:
    file.seek(span.start)
    left = span.size
    while left:
        data = file.read(min(CHUNK, left))
        if not data:
            raise ValueError("the file became shorter while it was read")
        left -= len(data)
        yield data
