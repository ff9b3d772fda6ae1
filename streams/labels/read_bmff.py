"""The label in mp4, mov and m4a (ISO/IEC 14496-12, QuickTime File Format).

The standard's place is `moov.udta.meta` with the key `AIGC` in `keys` and the text in `ilst`; taggers of m4a write
`----:com.apple.iTunes:AIGC`. The other places are those in which files in the wild have it.
"""

from __future__ import annotations

from collections.abc import Iterator

from schemas.aigc import KEY
from streams.labels.walk import Labels, Malformed, Span, Walk, found, is_key

#: Keys read of one `keys` box; tools write a few dozen.
MAX_KEYS = 4096
#: Top-level boxes of a file that is no more than a media segment: it belongs to an initialisation segment with `moov`.
_SEGMENT = (b"styp", b"moof", b"sidx", b"emsg", b"prft")

_Box = tuple[bytes, Span]


def read(walk: Walk) -> Labels:
    """Every label in the file.

    Raises:
        Malformed: the boxes break off, or there is no `moov` at all.
    """
    m4a, movie, segment = False, False, False
    for kind, span in boxes(walk, walk.whole):
        if kind == b"ftyp":
            m4a = walk.at(span.start, 4) in (b"M4A ", b"M4B ")
        if kind == b"moov":
            movie = True
            yield from _moov(walk, span, m4a)
        elif kind == b"meta":
            yield from _meta(walk, span, "meta", m4a, "meta stands at the top of the file, not in moov.udta")
        elif kind == b"udta":
            yield from _udta(walk, span, "udta", m4a, "udta stands at the top of the file, not in moov")
        segment = segment or kind in _SEGMENT
    if not movie:
        kind_of = "a media segment without its moov" if segment else "no moov box"
        raise Malformed(f"{kind_of}: the label stands there")


def boxes(walk: Walk, within: Span) -> Iterator[_Box]:
    """The boxes in a range, in order.

    Raises:
        Malformed: one is larger than what it stands in, or smaller than its own header.
    """
    offset = within.start
    while offset < within.end:
        head = walk.header(offset, 16)
        if len(head) < 8:
            if head.strip(b"\0"):
                raise Malformed(f"a box breaks off at byte {offset}")
            return  # a terminator of QuickTime's user data, or padding
        size, body, kind = int.from_bytes(head[:4], "big"), 8, head[4:8]
        if size == 1 and len(head) == 16:
            size, body = int.from_bytes(head[8:16], "big"), 16
        elif size == 0:
            if within.end != walk.end:
                return  # QuickTime ends a list of user data by a zero
            size = within.end - offset
        if size < body:
            raise Malformed(f"box {_name(kind)} at byte {offset} gives its size as {size}")
        stop = offset + size
        if stop > within.end:
            yield kind, Span(offset + body, within.end)
            raise Malformed(f"box {_name(kind)} at byte {offset} breaks off: {stop - within.end} bytes are missing")
        yield kind, Span(offset + body, stop)
        offset = stop


def _moov(walk: Walk, moov: Span, m4a: bool) -> Labels:
    for kind, span in boxes(walk, moov):
        if kind == b"udta":
            yield from _udta(walk, span, "moov.udta", m4a)
        elif kind == b"meta":
            yield from _meta(walk, span, "moov.meta", m4a, "meta stands directly in moov, not in moov.udta")
        elif kind == b"trak":
            for inner, within in boxes(walk, span):
                if inner == b"udta":
                    yield from _udta(walk, within, "trak.udta", m4a, "AIGC stands in a track, not in moov.udta")
                elif inner == b"meta":
                    yield from _meta(walk, within, "trak.meta", m4a, "AIGC stands in a track, not in moov.udta")


def _udta(walk: Walk, udta: Span, place: str, m4a: bool, *faults: str) -> Labels:
    for kind, span in boxes(walk, udta):
        if kind == b"meta":
            yield from _meta(walk, span, f"{place}.meta", m4a, *faults)
        elif is_key(kind.decode("latin-1")):
            value = walk.value(span)
            if int.from_bytes(value[:2], "big") == span.size - 4:  # QuickTime: length (2), language (2), text
                value = value[4:]
            yield found(
                f"{place}.AIGC", kind.decode("latin-1"), value, *faults, "AIGC stands in udta, not in udta.meta"
            )


def _meta(walk: Walk, meta: Span, place: str, m4a: bool, *faults: str) -> Labels:
    # A full box in ISO files (version and flags first), a plain one in QuickTime's.
    plain = walk.at(meta.start + 4, 4) in (b"hdlr", b"keys", b"ilst")
    span = meta if plain else Span(min(meta.start + 4, meta.end), meta.end)
    keys: dict[int, str] = {}
    values: list[_Box] = []
    for kind, within in boxes(walk, span):
        if kind == b"keys":
            keys = _keys(walk, within)
        elif kind == b"ilst":
            values += boxes(walk, within)
        elif is_key(kind.decode("latin-1")):
            name = kind.decode("latin-1")
            yield found(f"{place}.AIGC", name, walk.value(within), *faults, "AIGC stands in meta without keys and ilst")
    for kind, within in values:
        if keys and (key := keys.get(int.from_bytes(kind, "big"))) is not None:
            if is_key(key):
                yield found(f"{place}.keys", key, *_data(walk, within), *faults)
        elif is_key(kind.decode("latin-1")):
            name, why = kind.decode("latin-1"), f"AIGC stands in ilst under its own name, without {KEY} in keys"
            yield found(f"{place}.ilst", name, *_data(walk, within), *faults, why)
        elif kind == b"----":
            yield from _freeform(walk, within, place, m4a, *faults)


def _keys(walk: Walk, span: Span) -> dict[int, str]:
    """Names by their index, which counts from 1: version and flags (4), a count (4), then size, namespace, name."""
    names: dict[int, str] = {}
    offset = span.start + 8
    while offset + 8 <= span.end and len(names) < MAX_KEYS:
        size = int.from_bytes(walk.header(offset, 4), "big")
        if size < 8 or offset + size > span.end:
            raise Malformed(f"an entry of keys at byte {offset} gives its size as {size}")
        name = walk.at(offset + 8, min(size - 8, 64))
        names[len(names) + 1] = name.decode("utf-8", "replace")
        offset += size
    return names


def _data(walk: Walk, item: Span) -> tuple[bytes, *tuple[str, ...]]:
    """The item's text, and what is wrong with it: `data` holds a type (4), a locale (4), then the value."""
    for kind, span in boxes(walk, item):
        if kind == b"data" and span.size >= 8:
            sort = int.from_bytes(walk.at(span.start, 4), "big")
            value = walk.value(Span(span.start + 8, span.end))
            if sort == 2:
                return (value.decode("utf-16-be", "replace").encode(), "AIGC's text is UTF-16, not UTF-8")
            return (value,) if sort == 1 else (value, f"AIGC's value has type {sort}, not 1 (UTF-8 text)")
    return b"", "AIGC has no data box"


def _freeform(walk: Walk, item: Span, place: str, m4a: bool, *faults: str) -> Labels:
    parts = dict(boxes(walk, item))
    name = walk.value(parts[b"name"])[4:].decode("utf-8", "replace") if b"name" in parts else ""
    if is_key(name):
        kind = () if m4a else ("AIGC is a freeform tag, which is for m4a: mp4 and mov have it in keys",)
        yield found(f"{place}.----", name, *_data(walk, item), *faults, *kind)


def _name(kind: bytes) -> str:
    return repr(kind.decode("latin-1"))
