"""The label in mp3 (ID3v2 TXXX), flac and ogg (Vorbis comments), and flv (onMetaData, AMF0)."""

from __future__ import annotations

from collections.abc import Iterator

from schemas.aigc import KEY
from streams.labels.walk import MAX_BLOCK, Labels, Malformed, Span, Walk, found, is_key

#: Pages of an Ogg file in which comments are looked for: they come second, and span pages where they hold a cover.
MAX_PAGES = 4096
#: Streams of an Ogg file.
MAX_STREAMS = 16
#: Members of `onMetaData` and levels within it: key frame indexes are long, and stand on the second level.
MAX_MEMBERS, MAX_DEPTH = 100_000, 8

_ENCODINGS = {0: "latin-1", 1: "utf-16", 2: "utf-16-be", 3: "utf-8"}


def mp3(walk: Walk) -> Labels:
    """Of an mp3, or whatever begins with an ID3v2 tag."""
    head = walk.at(0, 10)
    if head[:3] == b"ID3":
        size = _syncsafe(head[6:10])
        yield from id3(walk.block(Span(0, min(10 + size, walk.end)), "the ID3v2 tag"))
        if 10 + size > walk.end:
            raise Malformed("the ID3v2 tag breaks off")
        if walk.at(10 + size, 4) == b"fLaC":
            yield from _flac(walk, 10 + size)


def flac(walk: Walk) -> Labels:
    """Of a FLAC file."""
    yield from _flac(walk, 0)


def _flac(walk: Walk, at: int) -> Labels:
    offset = at + 4
    while True:
        head = walk.header(offset, 4)
        if len(head) < 4:
            raise Malformed("the metadata blocks break off")
        span = Span(offset + 4, offset + 4 + int.from_bytes(head[1:], "big"))
        if span.end > walk.end:
            raise Malformed("a metadata block breaks off")
        if head[0] & 0x7F == 4:
            yield from comments(walk.block(span, "the Vorbis comment"))
        if head[0] & 0x80:
            return
        offset = span.end


def ogg(walk: Walk) -> Labels:
    """Of an Ogg file: of each stream's first packets the one with comments."""
    packets: dict[bytes, list[bytearray]] = {}
    done: set[bytes] = set()
    total = offset = 0
    for _ in range(MAX_PAGES):
        head = walk.header(offset, 27)
        if len(head) < 27 or head[:4] != b"OggS":
            if head:
                raise Malformed(f"no Ogg page at byte {offset}")
            break
        lacing = walk.at(offset + 27, head[26])
        serial, body = head[14:18], offset + 27 + len(lacing)
        if serial not in packets and (head[5] & 2) and len(packets) < MAX_STREAMS:
            packets[serial] = [bytearray()]
        if serial in packets and serial not in done:
            data = walk.at(body, sum(lacing))
            total += len(data)
            if total > MAX_BLOCK:
                raise Malformed(f"the comments take more than {MAX_BLOCK} bytes")
            if _laced(packets[serial], lacing, data):
                done.add(serial)
                yield from _packet(packets[serial])
        if packets and done == set(packets) and not head[5] & 2:
            return
        offset = body + sum(lacing)
    if done != set(packets) or not packets:
        raise Malformed("the comments break off")


def _laced(packets: list[bytearray], lacing: bytes, data: bytes) -> bool:
    """Add a page to a stream's packets; whether the first two are there."""
    at = 0
    for size in lacing:
        packets[-1] += data[at : at + size]
        at += size
        if size < 255:
            if len(packets) == 2:
                return True
            packets.append(bytearray())
    return False


def _packet(packets: list[bytearray]) -> Labels:
    """The second packet: behind a codec's mark, the comments."""
    first, second = bytes(packets[0][:8]), bytes(packets[1])
    for mark in (b"\x03vorbis", b"OpusTags", b"\x81theora", b"OVP80\x02 "):
        if second.startswith(mark):
            yield from comments(second[len(mark) :])
            return
    if first.startswith(b"\x7fFLAC"):
        if second[:1] and second[0] & 0x7F == 4:
            yield from comments(second[4:])
    elif first.startswith(b"Speex"):
        yield from comments(second)


def comments(data: bytes) -> Labels:
    """Of a Vorbis comment: a vendor, a count, then that many `NAME=text`. Names are the same in any case."""

    def text(at: int) -> tuple[bytes, int]:
        size = int.from_bytes(data[at : at + 4], "little")
        if at + 4 + size > len(data):
            raise Malformed("a Vorbis comment breaks off")
        return data[at + 4 : at + 4 + size], at + 4 + size

    _, offset = text(0)
    count = int.from_bytes(data[offset : offset + 4], "little")
    offset += 4
    for _ in range(min(count, len(data) // 4)):
        comment, offset = text(offset)
        name, _, value = comment.partition(b"=")
        if is_key(name.decode("latin-1")):
            yield found("VorbisComment", KEY, value)


def id3(tag: bytes) -> Labels:
    """Of an ID3v2 tag (2.2, 2.3, 2.4) from its first byte on."""
    if len(tag) < 10 or tag[:3] != b"ID3":
        return
    version, flags = tag[3], tag[5]
    body = tag[10 : 10 + _syncsafe(tag[6:10])]
    if flags & 0x80 and version < 4:
        body = body.replace(b"\xff\x00", b"\xff")
    offset, named = 0, 4
    if version == 2:
        named, head = 3, 6
    else:
        head = 10
        if flags & 0x40:  # an extended header, whose size counts itself from 2.4 on
            offset = _syncsafe(body[:4]) if version >= 4 else 4 + int.from_bytes(body[:4], "big")
    while offset + head <= len(body) and body[offset] != 0:
        name = body[offset : offset + named]
        raw = body[offset + named : offset + 2 * named]
        size = _frame_size(raw, version, body, offset + head)
        content = body[offset + head : offset + head + size]
        if name in (b"TXXX", b"TXX"):
            if version >= 4:
                content = _plain(content, body[offset + 9])
            yield from _txxx(content)
        elif is_key(name.decode("latin-1")):
            yield found("ID3.AIGC", name.decode("latin-1"), content, "AIGC is a frame of its own, not TXXX")
        if offset + head + size > len(body):
            raise Malformed("a frame of the ID3v2 tag breaks off")
        offset += head + size


def _frame_size(raw: bytes, version: int, body: bytes, start: int) -> int:
    """A frame's size: 2.4 writes seven bits a byte, and some writers of it eight all the same."""
    plain = int.from_bytes(raw, "big")
    if version < 4 or any(byte > 0x7F for byte in raw):
        return plain
    size = _syncsafe(raw)
    if size != plain and not _frame_at(body, start + size) and _frame_at(body, start + plain):
        return plain
    return size


def _frame_at(body: bytes, offset: int) -> bool:
    """Whether a frame, padding or the end stands there."""
    name = body[offset : offset + 4]
    return offset == len(body) or name[:1] == b"\0" or (len(name) == 4 and name.isalnum() and name.isupper())


def _plain(content: bytes, flags: int) -> bytes:
    """A frame of 2.4 without its data length and its unsynchronisation; compressed text is left as it is."""
    if flags & 0x01:
        content = content[4:]
    return content.replace(b"\xff\x00", b"\xff") if flags & 0x02 else content


def _txxx(content: bytes) -> Labels:
    """An encoding (1), a description ended by zero, then the text."""
    encoding = _ENCODINGS.get(content[0] if content else 0, "utf-8")
    wide = encoding.startswith("utf-16")
    rest, at = content[1:], 0
    while wide and at < len(rest) and rest[at : at + 2] != b"\0\0":
        at += 2
    if not wide:
        at = rest.find(b"\0")
    if at < 0 or at >= len(rest):
        return
    name = rest[:at].decode(encoding, "replace").lstrip("\ufeff")
    value = rest[at + (2 if wide else 1) :]
    if not is_key(name):
        return
    if encoding == "utf-8":
        yield found("ID3.TXXX", name, value)
    else:
        yield found("ID3.TXXX", name, value.decode(encoding, "replace").lstrip("\ufeff"))


def flv(walk: Walk) -> Labels:
    """Of an FLV file: `onMetaData`, in a script tag near the beginning."""
    offset = int.from_bytes(walk.at(5, 4), "big") + 4
    while offset + 11 <= walk.end:
        head = walk.header(offset, 11)
        size = int.from_bytes(head[1:4], "big")
        if offset + 11 + size > walk.end:
            raise Malformed(f"a tag at byte {offset} breaks off")
        if head[0] & 0x1F == 18:
            yield from _script(walk.block(Span(offset + 11, offset + 11 + size), "a script tag"))
        offset += 11 + size + 4


def _script(data: bytes) -> Labels:
    if data[:13] != b"\x02\x00\x0aonMetaData":
        return
    at = 13
    kind = data[at : at + 1]
    if kind not in (b"\x03", b"\x08"):
        return
    at += 5 if kind == b"\x08" else 1
    for name, start, _ in _members(data, at, 0):
        if is_key(name):
            value = _amf_text(data, start)
            fault = () if value is not None else (f"AIGC's value is AMF0 type {data[start]}, not a string",)
            yield found("onMetaData", name, value or b"", *fault)


def _amf_text(data: bytes, at: int) -> bytes | None:
    wide = {2: 2, 12: 4}.get(data[at])
    if wide is None:
        return None
    size = int.from_bytes(data[at + 1 : at + 1 + wide], "big")
    return data[at + 1 + wide : at + 1 + wide + size]


def _members(data: bytes, at: int, depth: int) -> Iterator[tuple[str, int, int]]:
    """Name, start and end of each member of an AMF0 object, whose end is an empty name and the mark 9."""
    for _ in range(MAX_MEMBERS):
        size = int.from_bytes(data[at : at + 2], "big")
        start = at + 2 + size
        if start >= len(data):
            raise Malformed("onMetaData breaks off")
        if size == 0 and data[start] == 9:
            return
        end = _amf_end(data, start, depth)
        yield data[at + 2 : start].decode("utf-8", "replace"), start, end
        at = end
    raise Malformed(f"onMetaData has more than {MAX_MEMBERS} members")


#: Bytes behind the type of an AMF0 value of fixed size: number, boolean, null, undefined, reference, unsupported, date.
_FIXED = {0: 8, 1: 1, 5: 0, 6: 0, 7: 2, 11: 10, 13: 0}


def _amf_end(data: bytes, at: int, depth: int) -> int:
    kind = data[at]
    if kind in _FIXED:
        end = at + 1 + _FIXED[kind]
    elif kind in (2, 12, 15):
        wide = 2 if kind == 2 else 4
        end = at + 1 + wide + int.from_bytes(data[at + 1 : at + 1 + wide], "big")
    elif depth >= MAX_DEPTH:
        raise Malformed("onMetaData is nested too deeply")
    elif kind in (3, 8):
        end = start = at + (1 if kind == 3 else 5)
        for member in _members(data, start, depth + 1):
            end = member[2]
        end += 3
    elif kind == 10:
        end = at + 5
        for _ in range(min(int.from_bytes(data[at + 1 : at + 5], "big"), MAX_MEMBERS)):
            if end >= len(data):
                break
            end = _amf_end(data, end, depth + 1)
    else:
        raise Malformed(f"onMetaData holds a value of type {kind}, which AMF0 does not have")
    if end > len(data):
        raise Malformed("onMetaData breaks off")
    return end


def _syncsafe(data: bytes) -> int:
    """Seven bits a byte, as ID3v2 writes sizes."""
    size = 0
    for byte in data:
        size = size << 7 | byte & 0x7F
    return size
