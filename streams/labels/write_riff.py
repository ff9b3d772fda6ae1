"""The label into wav (a chunk of its own, at the end) and avi (a child of `LIST INFO` in front of the pictures, where
players look for it)."""

from __future__ import annotations

import struct

from schemas.aigc import KEY
from streams.labels.edits import Edits
from streams.labels.read_riff import chunks
from streams.labels.walk import Malformed, Span, Walk, is_key

#: Bytes of a list that is written anew, or of an index: that of a day has some 100 MB.
MAX_LIST = 256 << 20
#: Most that a size of 32 bits can say; RF64 has its true sizes elsewhere.
_LARGEST = (1 << 32) - 1


def wav(walk: Walk, text: str) -> Edits:
    """The file with this label, and no other.

    Raises:
        Malformed: the file breaks its structure.
    """
    change = Edits(walk.end)
    end = walk.end
    for kind, span in chunks(walk, Span(12, walk.end)):
        if is_key(kind.decode("latin-1")):
            change.replace(span.start - 8, min(span.end + span.size % 2, walk.end), b"")
        elif kind == b"LIST":
            _rewrite_info(walk, span, change, None)
        elif kind == b"data" and walk.at(0, 4) != b"RF64" and walk.at(span.start - 4, 4) == b"\xff" * 4:
            raise Malformed("the length of its sound is not given: nothing can stand behind it")
    change.replace(end, end, b"\0" * (change.size % 2) + _chunk(KEY.encode(), text.encode()))
    if walk.at(0, 4) == b"RF64":
        sizes = next((at for kind, at in chunks(walk, Span(12, walk.end)) if kind == b"ds64"), None)
        if sizes is None:
            raise Malformed("an RF64 file without ds64")
        change.replace(sizes.start, sizes.start + 8, struct.pack("<Q", 0))
        change.replace(sizes.start, sizes.start + 8, struct.pack("<Q", change.size - 8))
    else:
        _set_size(change)
    return change


def _set_size(change: Edits, size: int | None = None) -> None:
    change.replace(4, 8, bytes(4))
    size = change.size - 8 if size is None else size
    if size > _LARGEST:
        raise Malformed("with the label it would have more than 4 GiB, which RIFF cannot say")
    change.replace(4, 8, struct.pack("<I", size))


def _chunk(kind: bytes, content: bytes) -> bytes:
    return kind + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def _rewrite_info(walk: Walk, span: Span, change: Edits, text: str | None) -> bool:
    """Write a `LIST INFO` anew without labels, and with this one; whether it is one."""
    if walk.at(span.start, 4) != b"INFO":
        return False
    if span.size > MAX_LIST:
        raise Malformed(f"a list of {span.size} bytes, {MAX_LIST} are read")
    inner = list(chunks(walk, Span(span.start + 4, span.end)))
    if text is None and not any(is_key(kind.decode("latin-1")) for kind, _ in inner):
        return True
    kept = [_chunk(kind, walk.at(*_size(at))) for kind, at in inner if not is_key(kind.decode("latin-1"))]
    if text is not None:
        kept.append(_chunk(KEY.encode(), text.encode() + b"\0"))  # strings of INFO end by a zero
    end = min(span.end + span.size % 2, walk.end)
    change.replace(span.start - 8, end, _chunk(b"LIST", b"INFO" + b"".join(kept)))
    return True


def _size(span: Span) -> tuple[int, int]:
    return span.start, span.size


def avi(walk: Walk, text: str) -> Edits:
    """The file with this label, and no other.

    Raises:
        Malformed: the file breaks its structure, or would outgrow it.
    """
    change = Edits(walk.end)
    first_riff = 8 + int.from_bytes(walk.at(4, 4), "little")
    parts = list(chunks(walk, Span(12, walk.end)))
    movie = next((span for kind, span in parts if kind == b"LIST" and walk.at(span.start, 4) == b"movi"), None)
    if movie is None:
        raise Malformed("there is no LIST movi")
    written = False
    for kind, span in parts:
        if kind == b"LIST":
            early = span.start < movie.start and not written
            written = (_rewrite_info(walk, span, change, text if early else None) and early) or written
        elif is_key(kind.decode("latin-1")):
            change.replace(span.start - 8, min(span.end + span.size % 2, walk.end), b"")
    if not written:
        info = _chunk(b"LIST", b"INFO" + _chunk(KEY.encode(), text.encode() + b"\0"))
        change.replace(movie.start - 8, movie.start - 8, info)
    growth = change.moved(movie.start) - movie.start
    _take_padding(walk, [part for part in parts if part[1].start < movie.start], change, growth)
    if change.moved(movie.start) != movie.start:
        _shift(walk, parts, movie, change)
    _set_size(change, change.moved(min(first_riff, walk.end)) - 8)
    return change


def _take_padding(walk: Walk, parts: list[tuple[bytes, Span]], change: Edits, growth: int) -> None:
    """Writers leave padding in front of the pictures for just this: then nothing else moves."""
    for kind, span in parts:
        if kind == b"JUNK" and growth > 0 and span.size >= growth:
            change.replace(span.start - 4, span.start + growth, struct.pack("<I", span.size - growth))
            return


def _shift(walk: Walk, parts: list[tuple[bytes, Span]], movie: Span, change: Edits) -> None:
    """Set right the indexes that count from the file's beginning."""
    for kind, span in parts:
        if kind == b"idx1" and span.size >= 16 and span.size <= MAX_LIST:
            # By the standard it counts from `movi`; some writers count from the file's beginning.
            if int.from_bytes(walk.at(span.start + 8, 4), "little") < movie.start:
                continue
            entries = bytearray(walk.at(span.start, span.size))
            for at in range(8, len(entries) - 7, 16):
                struct.pack_into("<I", entries, at, change.moved(struct.unpack_from("<I", entries, at)[0]))
            change.replace(*span, bytes(entries))
        elif kind == b"LIST" and walk.at(span.start, 4) == b"hdrl":
            _shift_lists(walk, Span(span.start + 4, span.end), change)


def _shift_lists(walk: Walk, within: Span, change: Edits) -> None:
    for kind, span in chunks(walk, within):
        if kind == b"LIST":
            _shift_lists(walk, Span(span.start + 4, span.end), change)
        elif kind == b"indx" and walk.at(span.start + 3, 1) == b"\0":  # OpenDML: an index of indexes
            used = int.from_bytes(walk.at(span.start + 4, 4), "little")
            table = bytearray(walk.at(*_size(span)))
            for at in range(24, min(24 + 16 * used, len(table) - 15), 16):
                place = int.from_bytes(table[at : at + 8], "little")
                struct.pack_into("<Q", table, at, change.moved(place))
                # The index that it names says in turn from where its own offsets count.
                base = walk.at(place + 20, 8)
                if len(base) == 8:
                    new = change.moved(int.from_bytes(base, "little"))
                    change.replace(place + 20, place + 28, struct.pack("<Q", new))
            change.replace(*span, bytes(table))
