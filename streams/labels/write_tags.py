"""The label into mp3 (ID3v2 TXXX), flac and ogg (Vorbis comments) and flv (onMetaData)."""

from __future__ import annotations

import struct
import zlib

from schemas.aigc import KEY
from streams.labels.edits import Edits
from streams.labels.read_tags import _members, _syncsafe
from streams.labels.walk import MAX_BLOCK, Malformed, Span, Walk, is_key

_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
#: The largest block of FLAC's metadata: its size has 24 bits.
_LARGEST_BLOCK = (1 << 24) - 1


def mp3(walk: Walk, text: str) -> Edits:
    """The file with this label, and no other.

    Raises:
        Malformed: the tag breaks its structure, or has a form that nothing can be added to.
    """
    change = Edits(walk.end)
    head = walk.at(0, 10)
    if head[:3] != b"ID3":
        frame = _frame(text, 4)
        change.replace(0, 0, b"ID3\x04\0\0" + _seven_bits(len(frame)) + frame)
        return change
    version, flags, size = head[3], head[5], _syncsafe(head[6:10])
    if version not in (3, 4) or flags & 0x50 or (flags & 0x80 and version == 4):
        raise Malformed(f"an ID3v2.{version} tag with flags {flags:#04x}: write it as a plain 2.3 or 2.4 first")
    if walk.at(10 + size, 4) == b"fLaC":
        raise Malformed("an ID3v2 tag in front of FLAC: take it away first")
    body = walk.block(Span(10, min(10 + size, walk.end)), "the ID3v2 tag")
    kept, at = b"", 0
    while at + 10 <= len(body) and body[at] != 0:
        long = _syncsafe(body[at + 4 : at + 8]) if version == 4 else int.from_bytes(body[at + 4 : at + 8], "big")
        whole = body[at : at + 10 + long]
        if len(whole) < 10 + long:
            raise Malformed("a frame of the ID3v2 tag breaks off")
        if not _is_label(whole):
            kept += whole
        at += 10 + long
    kept += _frame(text, version)
    padding = max(0, len(body) - len(kept))  # so that nothing moves where there is room
    change.replace(0, 10 + size, head[:6] + _seven_bits(len(kept) + padding) + kept + bytes(padding))
    return change


def _frame(text: str, version: int) -> bytes:
    content = b"\0" + KEY.encode() + b"\0" + text.encode("ascii")  # Latin-1, which every version has
    size = _seven_bits(len(content)) if version == 4 else len(content).to_bytes(4, "big")
    return b"TXXX" + size + b"\0\0" + content


def _is_label(frame: bytes) -> bool:
    if is_key(frame[:4].decode("latin-1")):
        return True
    if frame[:4] != b"TXXX":
        return False
    wide = frame[10:11] in (b"\x01", b"\x02")
    name = frame[11:].replace(b"\0", b"") if wide else frame[11:].partition(b"\0")[0]
    name = name.lstrip(b"\xff\xfe") if wide else name
    return name[:4].upper() == KEY.encode() if wide else is_key(name.decode("latin-1"))


def _seven_bits(size: int) -> bytes:
    if size >= 1 << 28:
        raise Malformed("the ID3v2 tag would have more than 256 MiB")
    return bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0))


def flac(walk: Walk, text: str) -> Edits:
    """The file with this label, and no other.

    Raises:
        Malformed: the blocks break off, or would grow too large.
    """
    change = Edits(walk.end)
    at, last, done = 4, False, False
    while not last:
        head = walk.header(at, 4)
        end = at + 4 + int.from_bytes(head[1:], "big")
        if len(head) < 4 or end > walk.end:
            raise Malformed("a metadata block breaks off")
        last = bool(head[0] & 0x80)
        if head[0] & 0x7F == 4 and not done:
            made = _comments(walk.block(Span(at + 4, end), "the Vorbis comment"), text)
            change.replace(at, end, head[:1] + _block_size(made) + made)
            done = True
        elif last and not done:
            made = _comments(struct.pack("<II", 0, 0), text)
            change.replace(at, at + 1, bytes((head[0] & 0x7F,)))
            change.replace(end, end, b"\x84" + _block_size(made) + made)
        at = end
    return change


def _block_size(content: bytes) -> bytes:
    if len(content) > _LARGEST_BLOCK:
        raise Malformed("the Vorbis comment would have more than 16 MiB")
    return len(content).to_bytes(3, "big")


def _comments(data: bytes, text: str) -> bytes:
    """A Vorbis comment with this label as its last, and no other; what stands behind it (a framing bit) stays."""

    def field(at: int) -> bytes:
        size = int.from_bytes(data[at : at + 4], "little")
        if at + 4 + size > len(data):
            raise Malformed("a Vorbis comment breaks off")
        return data[at : at + 4 + size]

    vendor = field(0)
    at = len(vendor) + 4
    kept = []
    for _ in range(int.from_bytes(data[len(vendor) : at], "little")):
        comment = field(at)
        at += len(comment)
        if not is_key(comment[4:].partition(b"=")[0].decode("latin-1")):
            kept.append(comment)
    label = f"{KEY}={text}".encode()
    kept.append(struct.pack("<I", len(label)) + label)
    return vendor + struct.pack("<I", len(kept)) + b"".join(kept) + data[at:]


#: A list of places, as it stands in the index of key frames.
_PLACES = b"\0\x0dfilepositions\x0a"
_MARKS = (b"\x03vorbis", b"OpusTags", b"\x81theora", b"OVP80\x02 ")


def ogg(walk: Walk, text: str) -> Edits:
    """The file with this label, and no other: the pages that hold the comments are laid anew, and the numbers and
    checksums of those behind them set right. Of several streams the first is labelled.

    Raises:
        Malformed: the pages break off, or no stream has comments.
    """
    change = Edits(walk.end)
    pages = _header_pages(walk)
    serial = pages[0][1][14:18]
    mark, packets = _packets(pages)
    packets[0] = mark + _comments(packets[0][len(mark) :], text)
    first = int.from_bytes(pages[0][1][18:22], "little")
    laid = _lay(packets, serial, first)
    change.replace(pages[0][0].start, pages[0][0].end, b"".join(laid))
    for span, _ in pages[1:]:
        change.replace(*span, b"")
    shift = len(laid) - len(pages)
    at = pages[-1][0].end
    while shift and at < walk.end:
        head = walk.header(at, 27)
        if head[:4] != b"OggS" or len(head) < 27:
            raise Malformed(f"no Ogg page at byte {at}")
        lacing = walk.at(at + 27, head[26])
        end = at + 27 + len(lacing) + sum(lacing)
        if head[14:18] == serial:
            if head[5] & 2:  # the next of a chain
                break
            page = walk.at(at, end - at)
            number = int.from_bytes(head[18:22], "little") + shift
            change.replace(at, at + 26, _summed(page[:18] + struct.pack("<I", number) + page[22:])[:26])
        at = end
    return change


def _header_pages(walk: Walk) -> list[tuple[Span, bytes]]:
    """The pages from the one with the comments to the last with headers, of the first stream; the stream's first page
    has its identification alone."""
    serial, found, at = b"", [], 0
    while True:
        head = walk.header(at, 27)
        if len(head) < 27 or head[:4] != b"OggS":
            raise Malformed("the comments break off" if head else "the file ends before its comments")
        lacing = walk.at(at + 27, head[26])
        end = at + 27 + len(lacing) + sum(lacing)
        if not serial:
            serial = head[14:18]
        elif head[14:18] == serial:
            found.append((Span(at, end), walk.at(at, end - at)))
            if sum(page.size for page, _ in found) > MAX_BLOCK:
                raise Malformed(f"the comments take more than {MAX_BLOCK} bytes")
            if lacing and lacing[-1] < 255 and (head[6:14] != b"\0" * 8 or _complete(found)):
                return found
        elif found:
            raise Malformed("pages of other streams stand among those with comments")
        at = end


def _complete(pages: list[tuple[Span, bytes]]) -> bool:
    """Whether all headers behind the first are there: a page of headers has the position 0, and the next has not."""
    mark, packets = _packets(pages)
    # Vorbis and Theora have a third header, with the codebooks; in Ogg they all end with a page.
    return len(packets) >= (2 if mark in (b"\x03vorbis", b"\x81theora") else 1)


def _packets(pages: list[tuple[Span, bytes]]) -> tuple[bytes, list[bytes]]:
    packets = [b""]
    for _, page in pages:
        at = 27 + page[26]
        for size in page[27:at]:
            packets[-1] += page[at : at + size]
            at += size
            if size < 255:
                packets.append(b"")
    packets.pop()
    if not packets:
        raise Malformed("the comments break off")
    for mark in _MARKS:
        if packets[0].startswith(mark):
            return mark, packets
    if packets[0][:1] and packets[0][0] & 0x7F == 4:
        # FLAC in Ogg: a metadata block, whose size is its head.
        raise Malformed("FLAC in Ogg: write the label into the FLAC file itself")
    raise Malformed("the first stream is of a codec whose comments are not known")


def _lay(packets: list[bytes], serial: bytes, number: int) -> list[bytes]:
    """Pages of headers, as full as may be."""
    lacing: list[int] = []
    for packet in packets:
        lacing += [255] * (len(packet) // 255) + [len(packet) % 255]
    data, at, goes_on = b"".join(packets), 0, False
    laid: list[bytes] = []
    for start in range(0, len(lacing), 255):
        own = lacing[start : start + 255]
        # A page on which no packet ends has no position.
        place = b"\0" * 8 if any(size < 255 for size in own) else b"\xff" * 8
        head = b"OggS\0" + bytes((goes_on,)) + place + serial + struct.pack("<II", number + len(laid), 0)
        laid.append(_summed(head + bytes((len(own), *own)) + data[at : at + sum(own)]))
        at += sum(own)
        goes_on = own[-1] == 255
    return laid


def _summed(page: bytes) -> bytes:
    """The page with its checksum: CRC-32 with Ogg's polynomial, most significant bit first and from zero. zlib has the
    same polynomial the other way round."""
    blank = page[:22] + bytes(4) + page[26:]
    mirrored = zlib.crc32(blank.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return page[:22] + mirrored.to_bytes(4, "little").translate(_REVERSED)[::-1] + page[26:]


def flv(walk: Walk, text: str) -> Edits:
    """The file with this label, and no other; the places in its index of key frames are set right.

    Raises:
        Malformed: the tags break off.
    """
    change = Edits(walk.end)
    at = start = int.from_bytes(walk.at(5, 4), "big") + 4
    value = b"\0\x04" + KEY.encode() + (b"\x02" + struct.pack(">H", len(text)) if len(text) < 1 << 16 else b"")
    value += text.encode()
    while at + 11 <= walk.end:
        head = walk.header(at, 11)
        size = int.from_bytes(head[1:4], "big")
        span = Span(at, at + 11 + size + 4)
        data = walk.block(Span(at + 11, at + 11 + size), "a tag") if head[0] & 0x1F == 18 else b""
        if data[:13] == b"\x02\x00\x0aonMetaData" and data[13:14] in (b"\x03", b"\x08"):
            members = _kept(data)
            for _ in range(2):  # the second time all is where it stays
                count = struct.pack(">I", len(members) + 1) if data[13] == 8 else b""
                body = data[:14] + count + b"".join(_relocated(member, change) for member in members)
                body += value + b"\0\0\x09"
                change.replace(*span, _tag(head, body))
            return change
        at = span.end
    body = b"\x02\x00\x0aonMetaData\x08" + struct.pack(">I", 1) + value + b"\0\0\x09"
    change.replace(start, start, _tag(b"\x12" + bytes(10), body))
    return change


def _tag(head: bytes, body: bytes) -> bytes:
    if len(body) >= 1 << 24:
        raise Malformed("onMetaData would have more than 16 MiB")
    return head[:1] + len(body).to_bytes(3, "big") + head[4:] + body + struct.pack(">I", 11 + len(body))


def _kept(data: bytes) -> list[bytes]:
    """The members of `onMetaData` but the label, each with its name."""
    members, at = [], 14 if data[13] == 3 else 18
    for name, _, end in _members(data, at, 0):
        if not is_key(name):
            members.append(data[at:end])
        at = end
    return members


def _relocated(member: bytes, change: Edits) -> bytes:
    """A member with the places that it names in the file, which are numbers (type 0, 8 bytes), where they now are."""
    if member.startswith(b"\0\x08filesize\0") and len(member) == 19:
        return member[:11] + struct.pack(">d", change.size)
    at = member.find(_PLACES) if member.startswith(b"\0\x09keyframes\x03") else -1
    if at < 0:
        return member
    at += len(_PLACES)
    count = int.from_bytes(member[at : at + 4], "big")
    made = bytearray(member)
    for start in range(at + 4, min(at + 4 + 9 * count, len(member) - 8), 9):
        place = struct.unpack_from(">d", member, start + 1)[0]
        if member[start] == 0 and 0 <= place < 1 << 53:
            struct.pack_into(">d", made, start + 1, change.moved(int(place)))
    return bytes(made)
