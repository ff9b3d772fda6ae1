"""The label in avi (a child of `LIST INFO`), wav (a chunk of its own) and webp (XMP), and elsewhere in them."""

from __future__ import annotations

from collections.abc import Iterator

from schemas.aigc import KEY
from streams.labels.read_tags import id3
from streams.labels.read_xmp import xmp
from streams.labels.walk import Labels, Malformed, Span, Walk, found, is_key

_Chunk = tuple[bytes, Span]
#: Sizes that RF64 and writers of endless files put where the true one does not fit or is not known.
_UNKNOWN = 0xFFFFFFFF


def read(walk: Walk) -> Labels:
    """Every label in the file.

    Raises:
        Malformed: the chunks break off.
    """
    form = walk.at(8, 4)
    # What stands behind the first RIFF chunk is another one (AVI above 1 GB), or was appended by a tool.
    for kind, span in chunks(walk, Span(12, walk.end)):
        if kind == b"RIFF":
            continue
        if kind == b"LIST":
            yield from _list(walk, span, form)
        elif is_key(kind.decode("latin-1")):
            where = () if form == b"WAVE" else (f"AIGC is a chunk of its own, not a child {KEY} of LIST INFO",)
            yield found("RIFF.AIGC", kind.decode("latin-1"), walk.value(span), *where)
        elif kind in (b"id3 ", b"ID3 "):
            for label in id3(walk.block(span, "the ID3 chunk")):
                yield label._replace(
                    place=f"RIFF.{label.place}", faults=(*label.faults, _belongs(form, "an ID3 chunk"))
                )
        elif kind == b"XMP ":
            yield from xmp(walk.block(span, "the XMP chunk"), "RIFF.XMP")
        elif kind == b"_PMX":
            for label in xmp(walk.block(span, "the XMP chunk"), "RIFF.XMP"):
                yield label._replace(faults=(*label.faults, _belongs(form, "XMP")))


def _list(walk: Walk, span: Span, form: bytes) -> Labels:
    if walk.at(span.start, 4) != b"INFO":
        return
    for kind, within in chunks(walk, Span(span.start + 4, span.end)):
        if is_key(kind.decode("latin-1")):
            where = () if form == b"AVI " else (_belongs(form, "LIST INFO"),)
            yield found("RIFF.INFO.AIGC", kind.decode("latin-1"), walk.value(within), *where)


def _belongs(form: bytes, instead: str) -> str:
    right = f"a chunk {KEY}" if form == b"WAVE" else f"a child {KEY} of LIST INFO" if form == b"AVI " else "XMP"
    return f"AIGC stands in {instead}, not in {right}"


def chunks(walk: Walk, within: Span) -> Iterator[_Chunk]:
    """The chunks in a range: name (4), size (4, little-endian), content, padded to even. A `RIFF` among them is
    stepped into.

    Raises:
        Malformed: one is larger than what it stands in.
    """
    offset = within.start
    long = None  # the true size of `data` in RF64
    while offset < within.end:
        head = walk.header(offset, 24)
        if len(head) < 8 or not head.strip(b"\0"):
            if head.strip(b"\0"):
                raise Malformed(f"a chunk breaks off at byte {offset}")
            return
        kind, size = head[:4], int.from_bytes(head[4:8], "little")
        if kind == b"RIFF":
            offset += 12
            continue
        if kind == b"ds64":
            long = int.from_bytes(head[16:24], "little")
        if kind == b"data" and size == _UNKNOWN and long is not None:
            size = long
        stop = offset + 8 + size
        if stop > within.end:
            yield kind, Span(min(offset + 8, within.end), within.end)
            if kind == b"data" and size == _UNKNOWN:
                return  # a recording that was piped: its sound goes on to the end
            raise Malformed(f"chunk {kind.decode('latin-1')!r} at byte {offset} breaks off")
        yield kind, Span(offset + 8, stop)
        offset = stop + size % 2
