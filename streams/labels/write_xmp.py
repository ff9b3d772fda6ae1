"""The label into pictures (jpeg, png): an XMP packet with `TC260:AIGC`. A packet that is there gets a description more,
so that all the rest of it stays."""

from __future__ import annotations

import re
import struct
import zlib
from xml.sax.saxutils import quoteattr

from streams.labels.edits import Edits
from streams.labels.read_xmp import JPEG_XMP, NAMESPACE, PNG_XMP, png_chunks, segments
from streams.labels.walk import Malformed, Span, Walk, is_key

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_CLOSING = re.compile(rb"</([A-Za-z_][\w.-]*:)?RDF\s*>")
#: A JPEG segment: its length has 16 bits and counts itself.
_LARGEST = (1 << 16) - 3


def _packet(old: bytes, text: str) -> bytes:
    value = quoteattr(text, {'"': "&quot;"})
    if not old:
        made = (
            f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{_RDF}">'
            f'<rdf:Description rdf:about="" xmlns:TC260="{NAMESPACE}" TC260:AIGC={value}/></rdf:RDF></x:xmpmeta>'
        )
        begin = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        return f'{begin}{made}<?xpacket end="w"?>'.encode()
    if b"AIGC" in old.upper():
        old = re.sub(rb'\s[A-Za-z_][\w.-]*:(?i:AIGC)\s*=\s*("[^"]*"|\'[^\']*\')', b"", old)
        old = re.sub(rb"<([A-Za-z_][\w.-]*:(?i:AIGC))(?:\s[^>]*)?(?:/>|>.*?</\1\s*>)", b"", old, flags=re.DOTALL)
    end = next(_CLOSING.finditer(old), None)
    if end is None:
        raise Malformed("the XMP packet has no rdf:RDF in UTF-8 to add to")
    prefix = (end[1] or b"").decode()
    about = f'{prefix}about=""' if prefix else f'rdf:about="" xmlns:rdf="{_RDF}"'
    added = f'<{prefix}Description {about} xmlns:TC260="{NAMESPACE}" TC260:AIGC={value}/>'
    return old[: end.start()] + added.encode() + old[end.start() :]


def jpeg(walk: Walk, text: str) -> Edits:
    """The file with this label, and no other.

    Raises:
        Malformed: the segments break off, or the packet would not fit its segment.
    """
    change = Edits(walk.end)
    place, old = Span(2, 2), b""
    for marker, span in segments(walk):
        whole = Span(span.start - 4, span.end)
        if marker == 0xE0:  # JFIF asks to come first
            place = Span(span.end, span.end) if not old else place
        elif marker == 0xE1 and walk.at(span.start, len(JPEG_XMP)) == JPEG_XMP:
            if old:
                change.replace(*whole, b"")  # one packet a file
                continue
            place, old = whole, walk.at(span.start + len(JPEG_XMP), span.size - len(JPEG_XMP))
    content = JPEG_XMP + _packet(old, text)
    if len(content) > _LARGEST:
        raise Malformed(f"the XMP packet would have {len(content)} bytes, {_LARGEST} fit")
    change.replace(*place, b"\xff\xe1" + struct.pack(">H", len(content) + 2) + content)
    return change


def png(walk: Walk, text: str) -> Edits:
    """The file with this label, and no other.

    Raises:
        Malformed: the chunks break off, or the packet that is there is compressed.
    """
    change = Edits(walk.end)
    place, old = Span(33, 33), b""  # behind the header: 8 bytes and a chunk of 25
    for kind, span in png_chunks(walk):
        if kind not in (b"iTXt", b"tEXt", b"zTXt"):
            continue
        whole = Span(span.start - 8, span.end + 4)
        data = walk.block(span, "a text chunk")
        keyword = data.partition(b"\0")[0]
        if is_key(keyword.decode("latin-1")):
            change.replace(*whole, b"")
        elif kind == b"iTXt" and keyword == PNG_XMP.encode():
            rest = data[len(keyword) + 1 :]
            if rest[:1] == b"\1":
                raise Malformed("its XMP packet is compressed")
            place, old = whole, rest[2:].split(b"\0", 2)[-1]
    content = PNG_XMP.encode() + b"\0\0\0\0\0" + _packet(old, text)
    chunk = b"iTXt" + content
    change.replace(*place, struct.pack(">I", len(content)) + chunk + struct.pack(">I", zlib.crc32(chunk)))
    return change
