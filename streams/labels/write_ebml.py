"""The label into Matroska and WebM: a SimpleTag in front of the first cluster, so that what is read as it comes has
it, and every position set right that this moves."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from schemas.aigc import KEY
from streams.labels.edits import Edits
from streams.labels.read_ebml import CLUSTER, SEGMENT, TAGS, elements
from streams.labels.walk import Malformed, Span, Walk, is_key

_SEEK_HEAD, _CUES = 0x114D9B74, 0x1C53BB6B
_SEEK, _SEEK_ID, _SEEK_POSITION = 0x4DBB, 0x53AB, 0x53AC
_CUE_POINT, _CUE_TRACK_POSITIONS, _CUE_CLUSTER = 0xBB, 0xB7, 0xF1
_TAG, _TARGETS, _SIMPLE, _NAME, _STRING = 0x7373, 0x63C0, 0x67C8, 0x45A3, 0x4487
_CRC, _VOID, _POSITION = 0xBF, 0xEC, 0xA7
#: Elements that stand beside clusters; whatever else is met there belongs to one of unknown size.
_BESIDE = frozenset({_SEEK_HEAD, _CUES, TAGS, _VOID, _CRC, 0x1549A966, 0x1654AE6B, 0x1043A770, 0x1941A469})
#: Bytes of cues or tags: cues of a day take some 3 MB, tags with covers less.
MAX_ELEMENT = 64 << 20


def edits(walk: Walk, text: str) -> Edits:
    """The file with this label, and no other.

    Raises:
        Malformed: the file breaks its structure, or has no segment.
    """
    change = Edits(walk.end)
    segment = at = None
    for kind, span in elements(walk, walk.whole):
        if kind == SEGMENT:
            segment, at = span, at or 0
            break
        at = span.end
    if segment is None or at is None:
        raise Malformed("there is no segment to write the label into")
    parts = _parts(walk, segment)
    end = parts[-1][1].end if parts else segment.end
    first = next((span.start for kind, span, _ in parts if kind not in _BESIDE), end)
    kept = b""
    for kind, span, content in parts:
        if kind == TAGS:
            kept += b"".join(_without_label(tag) for tag in _children(_data(walk, content)))
            change.replace(*span, b"")
    label = _element(_NAME, KEY.encode()) + _element(_STRING, text.encode())
    tags = _element(TAGS, kept + _element(_TAG, _element(_TARGETS, b"") + _element(_SIMPLE, label)))
    change.replace(first, first, tags)
    known = not _is_unknown(walk.at(at + 4, segment.start - at - 4))
    if known:
        change.replace(at, segment.start, bytes(12))
    tables = [(kind, span, _data(walk, content)) for kind, span, content in parts if kind in (_SEEK_HEAD, _CUES)]
    heads = [span for kind, span, _ in tables if kind == _SEEK_HEAD]
    for _ in range(2):  # positions take eight bytes each, so the second time nothing moves any more
        for kind, span, data in tables:
            own = change.moved(first) - len(tags) if heads and span == heads[0] else None
            change.replace(*span, _table(kind, data, segment.start, change, own))
    if known:
        size = change.moved(segment.end) - change.moved(segment.start)
        change.replace(at, segment.start, SEGMENT.to_bytes(4, "big") + _wide(size))
    for kind, span, content in parts:
        if kind == CLUSTER:
            _set_position(walk, span, content, segment.start, change)
    return change


def _is_unknown(size: bytes) -> bool:
    """Whether a size says that it is not known: all its bits are set."""
    bits = 7 * len(size)
    return int.from_bytes(size, "big") & ((1 << bits) - 1) == (1 << bits) - 1


_Part = tuple[int, Span, Span]


def _parts(walk: Walk, segment: Span) -> list[_Part]:
    """What stands in the segment: kind, all of it, and its content. The head of a cluster of unknown size, which
    `elements` steps into, belongs to the first of its children."""
    found: list[_Part] = []
    start = segment.start
    for kind, content in elements(walk, segment):
        found.append((kind, Span(start, content.end), content))
        start = content.end
    return found


def _data(walk: Walk, content: Span) -> bytes:
    if content.size > MAX_ELEMENT:
        raise Malformed(f"an element of {content.size} bytes, {MAX_ELEMENT} are read")
    return walk.at(content.start, content.size)


def _wide(size: int) -> bytes:
    """A size in eight bytes, as long as any."""
    return (size | 1 << 56).to_bytes(8, "big")


def _element(kind: int, content: bytes) -> bytes:
    return kind.to_bytes((kind.bit_length() + 7) // 8, "big") + _wide(len(content)) + content


def _children(data: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Kind, content and the whole of each element."""
    at = 0
    while at < len(data):
        wide = 9 - data[at].bit_length()
        long = 9 - data[at + wide].bit_length() if at + wide < len(data) and data[at] and data[at + wide] else 9
        start = at + wide + long
        size = int.from_bytes(data[at + wide : start], "big") & ((1 << 7 * long) - 1)
        if long > 8 or start + size > len(data):
            raise Malformed("an element breaks off in what is written anew")
        yield int.from_bytes(data[at : at + wide], "big"), data[start : start + size], data[at : start + size]
        at = start + size


def _without_label(element: tuple[int, bytes, bytes]) -> bytes:
    """A tag without labels; nothing if that leaves it empty. A checksum over what changes goes."""
    kind, content, whole = element
    if kind == _CRC:
        return b""
    if kind not in (_TAG, _SIMPLE) or KEY.encode() not in content.upper():
        return whole
    parts = list(_children(content))
    if kind == _SIMPLE:
        name = next((value for part, value, _ in parts if part == _NAME), b"")
        if is_key(name.rstrip(b"\0").decode("utf-8", "replace")):
            return b""
    rest = b"".join(map(_without_label, parts))
    if kind == _TAG and not any(part == _SIMPLE for part, _, _ in _children(rest)):
        return b""
    return _element(kind, rest)


def _table(kind: int, data: bytes, base: int, change: Edits, tags: int | None) -> bytes:
    """An index with its positions, which count from the segment's content, where they now are. `tags`: where the tags
    are, to be named in it."""

    def place(old: bytes) -> bytes:
        return (change.moved(base + int.from_bytes(old, "big")) - change.moved(base)).to_bytes(8, "big")

    if kind == _CUES:
        return _element(_CUES, b"".join(_cue(part, place) for part in _children(data)))
    made = b""
    for inner, content, whole in _children(data):
        if inner != _SEEK:
            made += whole if inner != _CRC else b""
            continue
        values = {part: value for part, value, _ in _children(content)}
        if values.get(_SEEK_ID) != TAGS.to_bytes(4, "big"):
            made += _seek(values.get(_SEEK_ID, b""), place(values.get(_SEEK_POSITION, b"")))
    if tags is not None:
        made += _seek(TAGS.to_bytes(4, "big"), (tags - change.moved(base)).to_bytes(8, "big"))
    return _element(_SEEK_HEAD, made)


def _seek(what: bytes, place: bytes) -> bytes:
    return _element(_SEEK, _element(_SEEK_ID, what) + _element(_SEEK_POSITION, place))


def _cue(element: tuple[int, bytes, bytes], place: Callable[[bytes], bytes]) -> bytes:
    kind, content, whole = element
    if kind == _CRC:
        return b""
    if kind == _CUE_CLUSTER:
        return _element(kind, place(content))
    if kind in (_CUE_POINT, _CUE_TRACK_POSITIONS):
        return _element(kind, b"".join(_cue(part, place) for part in _children(content)))
    return whole


def _set_position(walk: Walk, span: Span, content: Span, base: int, change: Edits) -> None:
    """A cluster may say where it stands, in front of its blocks. Where the new place does not fit, it says it no more,
    and a checksum over it goes as well: both may be missing."""
    head = walk.at(content.start, 64)
    at = 0
    check: Span | None = None
    while at + 2 < len(head) and head[at] & 0x80 and head[at + 1] & 0x80:
        kind, size = head[at], head[at + 1] & 0x7F
        where = Span(content.start + at, content.start + at + 2 + size)
        if kind == _CRC:
            check = where
        elif kind == _POSITION:
            new = change.moved(span.start) - change.moved(base)
            fits = new < 1 << 8 * size
            value = new.to_bytes(size, "big") if fits else bytes(size)
            change.replace(*where, bytes((_POSITION if fits else _VOID, head[at + 1])) + value)
            if check:
                change.replace(*check, bytes((_VOID,)) + walk.at(check.start + 1, check.size - 1))
            return
        at += 2 + size
