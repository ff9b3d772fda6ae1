"""The lines of a list, one at a time, whatever lies in it: no line is held that is longer than any record may be."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO, NamedTuple

#: Bytes of a line at most. A record as large makes no message that a broker takes (1 MiB as Kafka ships).
MOST_LINE = 4 * 2**20


class Bad(NamedTuple):
    """A record that cannot be taken: where, which field (empty: the record itself), why."""

    line: int
    field: str
    reason: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.field}: {self.reason}" if self.field else f"line {self.line}: {self.reason}"


class Lines:
    """(number, text) of each line that is not empty. What is no text is put aside as refused, and reading goes on."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self._number = 0
        self._refused: list[Bad] = []

    def __iter__(self) -> Iterator[tuple[int, str]]:
        while line := self._next():
            self._number += 1
            if len(line) > MOST_LINE:
                self._refuse(f"is longer than {MOST_LINE // 2**20} MiB")
                while line and not line.endswith(b"\n"):
                    line = self._next()
                continue
            if self._number == 1:
                line = line.removeprefix(b"\xef\xbb\xbf")  # spreadsheets begin their CSV with it
            if line.isspace():
                continue
            try:
                yield self._number, line.decode().rstrip("\r\n")
            except UnicodeDecodeError as error:
                self._refuse(f"is not UTF-8: byte {error.start + 1} is {line[error.start]:#04x}")

    def _next(self) -> bytes:
        return self._of_file(self.file.readline, MOST_LINE + 1)

    def chunk(self, size: int) -> bytes:
        """The next bytes of the file, for formats that are not made of lines; none at its end."""
        return self._of_file(self.file.read, size)

    def _of_file(self, read: Callable[[int], bytes], size: int) -> bytes:
        try:
            return read(size)
        except (OSError, EOFError, zlib.error) as error:  # a packed file that breaks off
            self._refused.append(Bad(self._number + 1, "", f"the file cannot be read any further: {error}"))
            return b""

    def _refuse(self, reason: str) -> None:
        self._refused.append(Bad(self._number, "", reason))

    def refused(self) -> list[Bad]:
        """The lines that were put aside since this was last asked."""
        found, self._refused = self._refused, []
        return found
