"""The label into mp4, mov and m4a: a `meta` with `keys` and `ilst` in `moov.udta`, and every offset set right that
the longer `moov` moves."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from schemas.aigc import KEY
from streams.labels.edits import Edits
from streams.labels.read_bmff import boxes
from streams.labels.walk import Malformed, Span, Walk, is_key

#: Bytes of a `moov` or `moof`: a day of video at 60 pictures a second has some 60 MB.
MAX_MOOV = 256 << 20
#: Boxes that hold those with offsets in them.
_HOLDERS = frozenset({b"moov", b"trak", b"mdia", b"minf", b"stbl", b"moof", b"traf", b"mfra"})
_HANDLER = b"\0\0\0\0" + b"\0\0\0\0" + b"mdta" + bytes(12) + b"\0"


def edits(walk: Walk, text: str, *, front: bool = False) -> Edits:
    """The file with this label, and no other. `front`: its index goes before its media, as players like it.

    Raises:
        Malformed: the file breaks its structure, or an offset would no longer fit its field.
    """
    change = Edits(walk.end)
    parts: list[tuple[bytes, Span]] = []
    start = 0
    for kind, span in boxes(walk, walk.whole):
        parts.append((kind, Span(start, span.end)))
        start = span.end
    if not (movie := next((span for kind, span in parts if kind == b"moov"), None)):
        raise Malformed("there is no moov box to write the label into")
    media = next((span.start for kind, span in parts if kind == b"mdat"), walk.end)
    place = Span(media, media) if front and media < movie.start else movie
    if place != movie:
        change.replace(*movie, b"")
    replaced: list[tuple[Span, bytearray]] = []
    for kind, span in parts:
        if span == movie:
            replaced.append((place, bytearray(_labelled(_content(walk, span), text))))
        elif kind in (b"meta", b"udta"):
            change.replace(*span, _box(kind, _stripped(_content(walk, span), kind)))
        elif kind in (b"moof", b"mfra") and (found := bytearray(walk.at(span.start, _bounded(span).size))):
            replaced.append((span, found))
    for span, data in replaced:
        change.replace(*span, bytes(data))
    for span, data in replaced:
        _shift(memoryview(data), change)
        change.replace(*span, bytes(data))
    return change


def _bounded(span: Span) -> Span:
    if span.size > MAX_MOOV:
        raise Malformed(f"a box of {span.size} bytes, {MAX_MOOV} are read")
    return span


def _content(walk: Walk, span: Span) -> bytes:
    data = walk.at(span.start, _bounded(span).size)
    return data[16 if data[:4] == b"\0\0\0\1" else 8 :]


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content


def _children(data: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Kind, content and the whole of each box; what ends a list (zeros) comes as a box of no kind."""
    at = 0
    while at < len(data):
        size, body = int.from_bytes(data[at : at + 4], "big"), 8
        if size == 1:
            size, body = int.from_bytes(data[at + 8 : at + 16], "big"), 16
        if size < body or at + size > len(data):
            if data[at : at + 4].strip(b"\0"):
                raise Malformed(f"box {data[at + 4 : at + 8]!r} breaks off")
            yield b"", b"", data[at:]
            return
        yield data[at + 4 : at + 8], data[at + body : at + size], data[at : at + size]
        at += size


def _labelled(moov: bytes, text: str) -> bytes:
    """The movie box with the label; `moov` is its content."""
    made = b"".join(_clean(kind, content, whole) for kind, content, whole in _children(moov) if kind != b"udta")
    udta = b"".join(_stripped(content, kind) for kind, content, _ in _children(moov) if kind == b"udta")
    boxes_there = [(kind, whole) for kind, _, whole in _children(udta) if kind]
    metas = [whole for kind, whole in boxes_there if kind == b"meta"]
    rest = b"".join(whole for kind, whole in boxes_there if kind != b"meta")
    # A `meta` of iTunes tags has another handler, and readers look into `keys` only under the handler `mdta`.
    at = next((n for n, whole in enumerate(metas) if _is_keyed(whole[8:])), None)
    if at is None:
        metas.append(_box(b"meta", b"\0\0\0\0" + _box(b"hdlr", _HANDLER) + _keyed([], [], text)))
    else:
        metas[at] = _box(b"meta", _with_label(metas[at][8:], text))
    return _box(b"moov", made + _box(b"udta", rest + b"".join(metas)))


def _version(meta: bytes) -> int:
    """Bytes in front of the boxes of a `meta`: ISO has a version and flags there, QuickTime has not."""
    return 0 if meta[4:8] in (b"hdlr", b"keys", b"ilst") else 4


def _is_keyed(meta: bytes) -> bool:
    return any(kind == b"hdlr" and content[8:12] == b"mdta" for kind, content, _ in _children(meta[_version(meta) :]))


def _with_label(meta: bytes, text: str) -> bytes:
    head = meta[: _version(meta)]
    keys: list[bytes] = []
    items: list[bytes] = []
    rest = b""
    for kind, content, whole in _children(meta[len(head) :]):
        if kind == b"keys":
            keys += [entry for _, _, entry in _children(content[8:])]
        elif kind == b"ilst":
            items += [whole for _, _, whole in _children(content)]
        elif kind:
            rest += whole
    return head + rest + _keyed(keys, items, text)


def _keyed(keys: list[bytes], items: list[bytes], text: str) -> bytes:
    """`keys` and `ilst` with the label as the last; a value is of type 1 (UTF-8) and of no country."""
    keys = [*keys, _box(b"mdta", KEY.encode())]
    value = _box(struct.pack(">I", len(keys)), _box(b"data", struct.pack(">II", 1, 0) + text.encode()))
    return _box(b"keys", struct.pack(">II", 0, len(keys)) + b"".join(keys)) + _box(b"ilst", b"".join((*items, value)))


def _clean(kind: bytes, content: bytes, whole: bytes) -> bytes:
    """A box of `moov` without labels; most have none, and stay the bytes that they are."""
    if kind == b"meta":
        return _box(kind, _stripped(content, kind))
    if kind == b"trak" and KEY.encode() in content.upper():
        parts = (
            _box(inner, _stripped(within, inner)) if inner in (b"udta", b"meta") else all_of
            for inner, within, all_of in _children(content)
        )
        return _box(kind, b"".join(parts))
    return whole


def _stripped(content: bytes, kind: bytes) -> bytes:
    """The content of a `udta` or `meta` without labels. Keys keep their numbers: only their names go."""
    if KEY.encode() not in content.upper():
        return content
    head = content[: _version(content)] if kind == b"meta" else b""
    made = head
    parts = list(_children(content[len(head) :]))
    labels: set[int] = set()
    for inner, within, _ in parts:
        if inner == b"keys":
            names = [name for _, name, _ in _children(within[8:])]
            labels |= {n for n, name in enumerate(names, 1) if is_key(name.decode("latin-1"))}
    for inner, within, whole in parts:
        if is_key(inner.decode("latin-1")):
            continue
        if inner == b"meta":
            made += _box(inner, _stripped(within, inner))
        elif inner == b"keys":
            entries = [
                _box(b"mdta", b"-") if n in labels else entry
                for n, (_, _, entry) in enumerate(_children(within[8:]), 1)
            ]
            made += _box(inner, within[:8] + b"".join(entries))
        elif inner == b"ilst":
            made += _box(inner, b"".join(item for name, v, item in _children(within) if not _labels(name, v, labels)))
        else:
            made += whole
    return made


def _labels(name: bytes, value: bytes, labels: set[int]) -> bool:
    if int.from_bytes(name, "big") in labels or is_key(name.decode("latin-1")):
        return True
    if name != b"----":
        return False
    return any(kind == b"name" and is_key(text[4:].decode("latin-1")) for kind, text, _ in _children(value))


def _shift(data: memoryview, change: Edits) -> None:
    """Set right every offset from the file's beginning in a box, its own header included."""
    at = 0
    while at + 8 <= len(data):
        size, kind = int.from_bytes(data[at : at + 4], "big"), bytes(data[at + 4 : at + 8])
        body = 16 if size == 1 else 8
        size = int.from_bytes(data[at + 8 : at + 16], "big") if size == 1 else size
        if size < body or at + size > len(data):
            return
        content = data[at + body : at + size]
        if kind in _HOLDERS:
            _shift(content, change)
        elif kind in (b"stco", b"co64"):
            _shift_all(content, 8, "I" if kind == b"stco" else "Q", int.from_bytes(content[4:8], "big"), change)
        elif kind == b"tfhd" and content[3] & 1:  # its data's base is stated, not the fragment's own place
            _shift_all(content, 8, "Q", 1, change)
        elif kind == b"saio":  # in fragments without tfhd's base it counts from the fragment
            start = 12 if content[3] & 1 else 4
            count = int.from_bytes(content[start : start + 4], "big")
            _shift_all(content, start + 4, "Q" if content[0] else "I", count, change)
        elif kind == b"tfra":
            _shift_index(content, change)
        at += size


def _shift_all(content: memoryview, start: int, form: str, count: int, change: Edits) -> None:
    wide = struct.calcsize(f">{form}")
    count = min(count, (len(content) - start) // wide)
    offsets = struct.unpack_from(f">{count}{form}", content, start)
    try:
        struct.pack_into(f">{count}{form}", content, start, *map(change.moved, offsets))
    except struct.error:
        raise Malformed("the media would end beyond what its 32-bit offsets can name") from None


def _shift_index(content: memoryview, change: Edits) -> None:
    """Of `tfra`: time and place of fragments, then three numbers of 1 to 4 bytes each."""
    wide = 16 if content[0] else 8
    sizes = int.from_bytes(content[8:12], "big")
    step = wide + sum((sizes >> bits & 3) + 1 for bits in (0, 2, 4))
    form = "Q" if content[0] else "I"
    for n in range(int.from_bytes(content[12:16], "big")):
        start = 16 + n * step
        if start + wide > len(content):
            return
        _shift_all(content[: start + wide], start + wide // 2, form, 1, change)
