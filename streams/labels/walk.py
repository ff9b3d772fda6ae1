"""Reading from a file that may say anything of itself: every read, every count and every depth has a bound."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from schemas.aigc import KEY, MAX_CHARS, RawLabel

#: Headers (boxes, elements, chunks, tags) read of one file: a Matroska file of a day has some 20,000 clusters, and a
#: seek and a read take some microseconds.
MAX_HEADERS = 65_536
#: Bytes of one value: a label of MAX_CHARS characters in any encoding, and a little more, so that it shows as too long.
MAX_VALUE = 4 * MAX_CHARS + 4
#: Bytes of one block of tags (ID3v2, Vorbis comments, XMP): they hold covers too, of a few MB.
MAX_BLOCK = 8 * 1024 * 1024


class Malformed(Exception):
    """The file breaks its own structure, or a bound; its text says where, for people."""


class Span(NamedTuple):
    """A range of the file: where the content of a box or chunk begins and ends."""

    start: int
    end: int

    @property
    def size(self) -> int:
        """Bytes."""
        return self.end - self.start


class Walk:
    """A file with a number of headers that may be read of it."""

    def __init__(self, file: BinaryIO, headers: int = MAX_HEADERS) -> None:
        """The file must be seekable; its position afterwards is undefined. `headers`: how many may be read."""
        self._file = file
        self.end = file.seek(0, os.SEEK_END)
        self._left = headers

    def at(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes from `offset`, fewer at the file's end."""
        self._file.seek(offset)
        return self._file.read(size)

    def header(self, offset: int, size: int) -> bytes:
        """The same, counted.

        Raises:
            Malformed: more headers were read than a file should need.
        """
        self._left -= 1
        if self._left < 0:
            raise Malformed("more parts than a file should have: the rest was not read")
        return self.at(offset, size)

    def value(self, span: Span) -> bytes:
        """What stands there, up to MAX_VALUE bytes."""
        return self.at(span.start, min(span.size, MAX_VALUE))

    def block(self, span: Span, what: str) -> bytes:
        """A block of tags as a whole.

        Raises:
            Malformed: it is larger than MAX_BLOCK.
        """
        if span.size > MAX_BLOCK:
            raise Malformed(f"{what} has {span.size} bytes, {MAX_BLOCK} are read")
        return self.at(span.start, span.size)

    @property
    def whole(self) -> Span:
        """The file."""
        return Span(0, self.end)


def found(place: str, name: str, value: bytes | str, *faults: str, encoding: str = "utf-8") -> RawLabel:
    """A label that was read under this name, which some writers spell otherwise."""
    spelt = () if name == KEY else (f"{KEY} is written {name}",)
    text = value if isinstance(value, str) else value.decode(encoding, "surrogateescape")
    return RawLabel(place, text.rstrip("\0"), (*spelt, *faults))


def is_key(name: str) -> bool:
    """Whether it names the label in some spelling."""
    return name.upper() == KEY


Labels = Iterator[RawLabel]
