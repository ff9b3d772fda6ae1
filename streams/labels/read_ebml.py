"""The label in Matroska and WebM (RFC 9559): a SimpleTag named `AIGC`."""

from __future__ import annotations

from collections.abc import Iterator

from streams.labels.walk import Labels, Malformed, Span, Walk, found, is_key

SEGMENT, CLUSTER, TAGS = 0x18538067, 0x1F43B675, 0x1254C367
_TAG, _SIMPLE, _NAME, _STRING, _BINARY = 0x7373, 0x67C8, 0x45A3, 0x4487, 0x4485
#: SimpleTags may hold SimpleTags; writers go to the second level.
MAX_DEPTH = 4

_Element = tuple[int, Span]


def read(walk: Walk) -> Labels:
    """Every label in the file.

    Raises:
        Malformed: the elements break off.
    """
    for kind, span in elements(walk, walk.whole):
        if kind == SEGMENT:
            for inner, within in elements(walk, span):
                if inner == TAGS:
                    for tag, parts in elements(walk, within):
                        if tag == _TAG:
                            yield from _simple(walk, parts, 0)


def _simple(walk: Walk, within: Span, depth: int) -> Labels:
    for kind, span in elements(walk, within):
        if kind == _SIMPLE and depth < MAX_DEPTH:
            name, value, faults = "", b"", [] if depth == 0 else ["AIGC stands within another SimpleTag"]
            for part, content in elements(walk, span):
                if part == _NAME:
                    name = walk.at(content.start, min(content.size, 64)).rstrip(b"\0").decode("utf-8", "replace")
                elif part == _STRING:
                    value = walk.value(content)
                elif part == _BINARY and not value:
                    value = walk.value(content)
                    faults.append("AIGC's value is TagBinary, not TagString")
            if is_key(name):
                yield found("SimpleTag", name, value, *faults)
            yield from _simple(walk, span, depth + 1)


def elements(walk: Walk, within: Span) -> Iterator[_Element]:
    """The elements in a range; one of unknown size (a live recording's) is stepped into, as if its children stood
    beside it.

    Raises:
        Malformed: one has no valid head, or is larger than what it stands in.
    """
    offset = within.start
    while offset < within.end:
        head = walk.header(offset, 12)
        if not head or not head[0]:
            raise Malformed(f"no element at byte {offset}")
        wide = 9 - head[0].bit_length()
        if wide > 4 or len(head) <= wide or not head[wide]:
            raise Malformed(f"no element at byte {offset}")
        long = 9 - head[wide].bit_length()
        if len(head) < wide + long:
            raise Malformed(f"an element breaks off at byte {offset}")
        kind = int.from_bytes(head[:wide], "big")
        size = int.from_bytes(head[wide : wide + long], "big") & ((1 << 7 * long) - 1)
        start = offset + wide + long
        if size == (1 << 7 * long) - 1:
            if kind == SEGMENT:
                yield kind, Span(start, within.end)
                return
            if kind != CLUSTER:
                raise Malformed(f"an element of unknown size at byte {offset}")
            offset = start
            continue
        if start + size > within.end:
            yield kind, Span(start, within.end)
            raise Malformed(f"an element at byte {offset} breaks off: {start + size - within.end} bytes are missing")
        yield kind, Span(start, start + size)
        offset = start + size
