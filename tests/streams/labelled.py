"""Files that carry an AIGC label where only a hand can write it: structure without media, for the parsers."""

from __future__ import annotations

import struct
import zlib

NAMESPACE = "http://www.tc260.org.cn/ns/AIGC/1.0/"


def box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body) + 8) + kind + body


def data(text: bytes, sort: int = 1) -> bytes:
    return box(b"data", struct.pack(">II", sort, 0) + text)


def keyed(text: bytes, key: bytes = b"AIGC") -> bytes:
    keys = box(b"keys", struct.pack(">II", 0, 1) + box(b"mdta", key))
    return box(b"meta", bytes(4) + box(b"hdlr", bytes(25)) + keys + box(b"ilst", box(b"\0\0\0\1", data(text))))


def unkeyed(text: bytes, kind: bytes = b"AIGC") -> bytes:
    return box(b"meta", bytes(4) + box(b"hdlr", bytes(25)) + box(b"ilst", box(kind, data(text))))


def freeform(text: bytes) -> bytes:
    names = box(b"mean", b"\0\0\0\0com.apple.iTunes") + box(b"name", b"\0\0\0\0AIGC")
    return box(b"meta", bytes(4) + box(b"hdlr", bytes(25)) + box(b"ilst", box(b"----", names + data(text))))


def mp4(*in_moov: bytes, brand: bytes = b"isom") -> bytes:
    return box(b"ftyp", brand + bytes(4)) + box(b"mdat", bytes(64)) + box(b"moov", b"".join(in_moov))


def element(kind: str, body: bytes) -> bytes:
    return bytes.fromhex(kind) + struct.pack(">I", 0x10000000 | len(body)) + body


def mkv(text: bytes, name: bytes = b"AIGC", unknown: bool = False, kind: str = "4487") -> bytes:
    tag = element("7373", element("67c8", element("45a3", name) + element(kind, text)))
    cluster = element("e7", b"\0") + element("a3", bytes(16))
    if unknown:  # as a live recording has it
        body = bytes.fromhex("1f43b675") + b"\x01" + b"\xff" * 7 + cluster + element("1254c367", tag)
        return element("1a45dfa3", element("4282", b"webm")) + bytes.fromhex("18538067") + b"\x01" + b"\xff" * 7 + body
    body = element("1f43b675", cluster) + element("1254c367", tag)
    return element("1a45dfa3", element("4282", b"webm")) + element("18538067", body)


def chunk(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def riff(form: bytes, *chunks: bytes) -> bytes:
    return chunk(b"RIFF", form + b"".join(chunks))


def id3(text: bytes, version: int = 4, encoding: int = 3, name: str = "AIGC") -> bytes:
    codec = ("latin-1", "utf-16", "utf-16-be", "utf-8")[encoding]
    zero = b"\0\0" if encoding in (1, 2) else b"\0"
    body = bytes([encoding]) + name.encode(codec) + zero + text.decode().encode(codec)
    if version == 2:
        frame = b"TXX" + len(body).to_bytes(3, "big") + body
    else:
        size = syncsafe(len(body)) if version == 4 else struct.pack(">I", len(body))
        frame = b"TXXX" + size + b"\0\0" + body
    return b"ID3" + bytes([version, 0, 0]) + syncsafe(len(frame) + 16) + frame + bytes(16)


def syncsafe(size: int) -> bytes:
    return bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0))


def comments(*texts: bytes) -> bytes:
    body = struct.pack("<II", 0, len(texts))
    return body + b"".join(struct.pack("<I", len(text)) + text for text in texts)


def flac(*texts: bytes) -> bytes:
    body = comments(*texts)
    return b"fLaC\x00\x00\x00\x22" + bytes(34) + b"\x84" + len(body).to_bytes(3, "big") + body + b"\xff\xf8"


def ogg(text: bytes) -> bytes:
    def page(flags: int, packet: bytes) -> bytes:
        lacing = bytes([255] * (len(packet) // 255) + [len(packet) % 255])
        return b"OggS\0" + bytes([flags]) + bytes(8) + b"\1\0\0\0" + bytes(8) + bytes([len(lacing)]) + lacing + packet

    return page(2, b"OpusHead" + bytes(11)) + page(0, b"OpusTags" + comments(text)) + page(0, bytes(10))


def flv(text: bytes, kind: int = 2, name: bytes = b"AIGC") -> bytes:
    size = struct.pack(">H" if kind == 2 else ">I", len(text))
    value = bytes([kind]) + size + text if kind in (2, 12) else bytes([0]) + bytes(8)
    nested = b"\x00\x04keys\x03\x00\x01a\x00" + bytes(8) + b"\x00\x00\x09"
    members = b"\x00\x08duration\x00" + bytes(8) + nested + struct.pack(">H", len(name)) + name + value
    script = b"\x02\x00\x0aonMetaData\x08\0\0\0\3" + members + b"\0\0\x09"
    tag = bytes([18]) + len(script).to_bytes(3, "big") + bytes(7) + script + struct.pack(">I", len(script) + 11)
    return b"FLV\x01\x05\0\0\0\x09\0\0\0\0" + tag


def xmp(text: bytes, namespace: str = NAMESPACE, attribute: bool = True) -> bytes:
    safe = text.decode().replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
    inner = f'<rdf:Description xmlns:TC260="{namespace}" '
    inner += f'TC260:AIGC="{safe}"/>' if attribute else f"><TC260:AIGC>{safe}</TC260:AIGC></rdf:Description>"
    head = '<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    rdf = '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    return f'{head}{rdf}{inner}</rdf:RDF></x:xmpmeta><?xpacket end="w"?>'.encode()


def jpeg(*segments: tuple[int, bytes]) -> bytes:
    made = (bytes([0xFF, kind]) + struct.pack(">H", len(body) + 2) + body for kind, body in segments)
    return b"\xff\xd8" + b"".join(made) + b"\xff\xda\0\2\xff\xd9"


def jpeg_xmp(packet: bytes) -> bytes:
    return jpeg((0xE1, b"http://ns.adobe.com/xap/1.0/\0" + packet))


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    made = (struct.pack(">I", len(body)) + kind + body + bytes(4) for kind, body in (*chunks, (b"IEND", b"")))
    return b"\x89PNG\r\n\x1a\n" + b"".join(made)


def png_xmp(packet: bytes, packed: bool = False) -> bytes:
    head = b"XML:com.adobe.xmp\0" + (b"\1" if packed else b"\0") + b"\0\0\0"
    return png((b"iTXt", head + (zlib.compress(packet) if packed else packet)))
