"""The label in pictures: XMP `TC260:AIGC` (jpeg, png, webp), and text chunks of PNG that carry it instead."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from xml.parsers import expat

from schemas.aigc import RawLabel
from streams.labels.walk import MAX_BLOCK, Labels, Malformed, Span, Walk, found, is_key

NAMESPACE = "http://www.tc260.org.cn/ns/AIGC/1.0/"
JPEG_XMP = b"http://ns.adobe.com/xap/1.0/\0"
PNG_XMP = "XML:com.adobe.xmp"


def jpeg(walk: Walk) -> Labels:
    """Of a JPEG: APP1 segments before the scan."""
    for packet in jpeg_packets(walk):
        yield from xmp(packet, "XMP")


def jpeg_packets(walk: Walk) -> Iterator[bytes]:
    """The XMP packets of a JPEG; what goes on in further segments (more than 64 KiB of it) is not XMP of labels."""
    for marker, span in segments(walk):
        if marker == 0xE1 and walk.at(span.start, len(JPEG_XMP)) == JPEG_XMP:
            yield walk.block(Span(span.start + len(JPEG_XMP), span.end), "the XMP packet")


def segments(walk: Walk) -> Iterator[tuple[int, Span]]:
    """The segments of a JPEG in front of the scan, by their markers.

    Raises:
        Malformed: one breaks off.
    """
    offset = 2
    while True:
        head = walk.header(offset, 4)
        if len(head) < 4 or head[0] != 0xFF:
            raise Malformed(f"no segment at byte {offset}")
        marker, length = head[1], int.from_bytes(head[2:4], "big")
        if marker == 0xFF:  # a fill byte
            offset += 1
        elif marker == 0x01 or 0xD0 <= marker <= 0xD7:  # markers without a length
            offset += 2
        elif marker in (0xD9, 0xDA):  # the end, or the scan
            return
        elif length < 2 or offset + 2 + length > walk.end:
            raise Malformed(f"a segment at byte {offset} breaks off")
        else:
            yield marker, Span(offset + 4, offset + 2 + length)
            offset += 2 + length


def png(walk: Walk) -> Labels:
    """Of a PNG: the iTXt chunk with XMP; a text chunk with the label's own name is read as well."""
    for kind, keyword, text in png_texts(walk):
        if keyword == PNG_XMP:
            yield from xmp(text, "XMP")
        elif is_key(keyword):
            yield found(f"PNG.{kind}", keyword, text, "AIGC stands in a text chunk, not in XMP")


def png_texts(walk: Walk) -> Iterator[tuple[str, str, bytes]]:
    """Kind (iTXt, tEXt, zTXt), keyword and text of each text chunk of a PNG.

    Raises:
        Malformed: the chunks break off.
    """
    for kind, span in png_chunks(walk):
        if kind in (b"iTXt", b"tEXt", b"zTXt"):
            data = walk.block(span, f"a chunk {kind.decode('latin-1')}")
            keyword, _, rest = data.partition(b"\0")
            yield kind.decode("latin-1"), keyword[:79].decode("latin-1"), _text(kind, rest)


def png_chunks(walk: Walk) -> Iterator[tuple[bytes, Span]]:
    """The chunks of a PNG: size (4), name (4), content, checksum (4).

    Raises:
        Malformed: one breaks off.
    """
    offset = 8
    while True:
        head = walk.header(offset, 8)
        if len(head) < 8:
            raise Malformed("the chunks break off")
        span, kind = Span(offset + 8, offset + 8 + int.from_bytes(head[:4], "big")), head[4:]
        if span.end + 4 > walk.end:
            raise Malformed(f"chunk {kind.decode('latin-1')!r} at byte {offset} breaks off")
        yield kind, span
        if kind == b"IEND":
            return
        offset = span.end + 4


def _text(kind: bytes, data: bytes) -> bytes:
    """Of an iTXt chunk: compressed or not (2), a language and a translated keyword, each ended by zero."""
    if kind == b"tEXt":
        return data
    packed = kind == b"zTXt" or data[:1] == b"\1"
    text = data[1:] if kind == b"zTXt" else data[2:].split(b"\0", 2)[-1]
    if not packed:
        return text
    inflate = zlib.decompressobj()
    try:
        text = inflate.decompress(text, MAX_BLOCK)
    except zlib.error:
        raise Malformed("a compressed text chunk is damaged") from None
    if inflate.unconsumed_tail:
        raise Malformed(f"a text chunk has more than {MAX_BLOCK} bytes")
    return text


class _Packet:
    """An XMP packet as expat meets it. Entities are not declared: no packet needs a DTD."""

    def __init__(self, place: str) -> None:
        self.labels: list[RawLabel] = []
        self._place, self._depth, self._text, self._name = place, 0, "", ""
        self.parser = expat.ParserCreate(namespace_separator=" ")
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._characters
        self.parser.StartDoctypeDeclHandler = self._doctype

    def _doctype(self, *_: object) -> None:
        raise Malformed("the XMP packet has a DTD, which none needs: it was not read")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if self._depth:
            self._depth += 1
            return
        for key, value in attributes.items():
            if is_key(key.rpartition(" ")[2]):
                self._add(key, value)
        if is_key(name.rpartition(" ")[2]):
            self._depth, self._name, self._text = 1, name, ""

    def _end(self, _: str) -> None:
        if self._depth:
            self._depth -= 1
            if not self._depth:
                self._add(self._name, self._text.strip())

    def _characters(self, text: str) -> None:
        if self._depth:
            self._text += text

    def _add(self, name: str, value: str) -> None:
        namespace, _, own = name.rpartition(" ")
        wrong = () if namespace == NAMESPACE else (f"AIGC's namespace is {namespace[:128] or 'none'}, not {NAMESPACE}",)
        self.labels.append(found(self._place, own, value, *wrong))


def xmp(packet: bytes, place: str) -> Labels:
    """Of an XMP packet.

    Raises:
        Malformed: it is not well-formed, or has a DTD; labels met before that were given.
    """
    reader = _Packet(place)
    fault = None
    try:
        reader.parser.Parse(packet.rstrip(b"\0 \r\n\t"), True)
    except expat.ExpatError as error:
        fault = f"the XMP packet is not well-formed: {expat.ErrorString(error.code)}"
    except (ValueError, UnicodeError):
        fault = "the XMP packet is in an encoding that is not known"
    yield from reader.labels
    if fault:
        raise Malformed(fault)
