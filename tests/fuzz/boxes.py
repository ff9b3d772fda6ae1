"""ISO media files as a tree of boxes, to be changed and put together again."""

from __future__ import annotations

from collections.abc import Callable, Iterator

#: Boxes that hold boxes, and how many bytes they hold before the first.
HOLDERS = {
    b"moov": 0, b"trak": 0, b"mdia": 0, b"minf": 0, b"dinf": 0, b"stbl": 0, b"edts": 0, b"udta": 0, b"mvex": 0,
    b"moof": 0, b"traf": 0, b"meta": 4, b"dref": 8, b"stsd": 8,
}  # fmt: skip


def box(kind: bytes, body: bytes = b"") -> bytes:
    """A box with its size before it."""
    return (8 + len(body)).to_bytes(4, "big") + kind + body


def walk(data: bytes, start: int = 0, end: int | None = None) -> Iterator[tuple[bytes, int, int]]:
    """Every box, outer ones first: kind, where it begins, its length."""
    end = len(data) if end is None else end
    while start + 8 <= end:
        size, kind = int.from_bytes(data[start : start + 4], "big"), data[start + 4 : start + 8]
        if size < 8 or start + size > end:
            return
        yield kind, start, size
        if kind in HOLDERS:
            yield from walk(data, start + 8 + HOLDERS[kind], start + size)
        start += size


def edited(data: bytes, kind: bytes, edit: Callable[[bytes], bytes]) -> bytes:
    """The file with the body of the first box of a kind changed, and the sizes around it right."""
    found = [(at, size) for name, at, size in walk(data) if name == kind]
    if not found:
        raise LookupError(f"there is no box {kind!r}")
    at, size = found[0]
    around = [(outer, length) for _, outer, length in walk(data) if outer < at and at + size <= outer + length]
    fresh = box(kind, edit(data[at + 8 : at + size]))
    whole = bytearray(data[:at] + fresh + data[at + size :])
    for outer, length in around:
        whole[outer : outer + 4] = (length + len(fresh) - size).to_bytes(4, "big")
    return bytes(whole)


def put(data: bytes, kind: bytes, offset: int, value: bytes) -> bytes:
    """The file with some bytes of a box's body overwritten."""
    return edited(data, kind, lambda body: body[:offset] + value + body[offset + len(value) :])
