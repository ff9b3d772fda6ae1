"""Is there a C2PA manifest store in a file, and which IPTC source types does it name? Nothing is verified.

No signature, hash or binding is checked: anybody can copy a store into a file, and stripping one is as easy.
What is found here is a trace, evidence for a level 3 label ("suspected") at most; it is never trusted and never
overrides the `AIGC` object. Only embedded stores are seen, not sidecars and not stores behind a URL.

Where the store stands is taken from the C2PA specification's section on embedding. Malformed input is answered
like an absent store; only the file's own I/O errors are raised. The file must be seekable, is read from its
start, and its position afterwards is undefined.
"""

import re
from collections.abc import Iterator
from typing import BinaryIO

MAX_HEADERS = 4096  # the store comes early: before moov and mdat, before the scan, before most IDAT chunks
MAX_SCAN = 8 * 1024 * 1024  # bytes; a store holds thumbnails and certificates, rarely beyond 2 MiB

# The IPTC's terms that say that an algorithm made all or a part of what is seen or heard.
SYNTHETIC_SOURCE_TYPES = frozenset(
    {"algorithmicMedia", "compositeSynthetic", "compositeWithTrainedAlgorithmicMedia", "trainedAlgorithmicMedia"}
)
# Every term of the vocabulary; the retired ones stay, for a manifest is never rewritten.
SOURCE_TYPES = SYNTHETIC_SOURCE_TYPES | {
    "algorithmicallyEnhanced",
    "composite",
    "compositeCapture",
    "computationalCapture",
    "dataDrivenMedia",
    "digitalArt",
    "digitalCapture",
    "digitalCreation",
    "humanEdits",
    "minorHumanEdits",
    "negativeFilm",
    "positiveFilm",
    "print",
    "screenCapture",
    "softwareImage",
    "virtualRecording",
}

_UUID = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
# CBOR puts no end mark behind a text, and the next byte may well be a letter: the longest known term counts.
_URI = re.compile(
    rb"https?://cv\.iptc\.org/newscodes/digitalsourcetype/(%s)"
    % "|".join(sorted(SOURCE_TYPES, key=len, reverse=True)).encode()
)
# An ID3v2.3 or 2.4 frame header (its flags may add up to five bytes), text encoding, MIME type; the
# x- type is the older one.
_GEOB = re.compile(rb"GEOB(.{4}).{2,7}?[\x00-\x03]application/(?:c2pa|x-c2pa-manifest-store)\x00", re.DOTALL)

_Range = tuple[int, int]  # offset, length


def find_manifest_store(file: BinaryIO) -> bool:
    """Say whether a C2PA manifest store is present, by container structure and without decoding.

    ISO-BMFF (mp4, mov, m4a, heif, avif), JPEG, PNG, RIFF (wav, avi, webp), and whatever starts with an ID3v2
    tag (mp3, flac). Reads MAX_HEADERS headers of at most 48 bytes; of an ID3v2 tag, MAX_SCAN bytes.
    """
    return next(_stores(file), None) is not None


def source_types(file: BinaryIO) -> frozenset[str]:
    """Give the IPTC digitalSourceType terms whose URIs appear in the manifest store: unverified, level 3 at most.

    CBOR and JSON both hold a URI as plain text, so the first MAX_SCAN bytes of the store are searched for it.
    A term may belong to an ingredient rather than to the file itself; a compressed manifest shows none.
    """
    left = MAX_SCAN
    store = []
    for offset, length in _stores(file):
        store.append(_at(file, offset, min(length, left)))
        left -= len(store[-1])
        if left <= 0:
            break
    return frozenset(term.decode() for term in _URI.findall(b"".join(store)))


def _stores(file: BinaryIO) -> Iterator[_Range]:
    """Where the bytes of the manifest store lie, in order."""
    end = file.seek(0, 2)
    magic = _at(file, 0, 12)
    if magic.startswith(b"\xff\xd8\xff"):
        return _jpeg(file, end)
    if magic.startswith(b"\x89PNG\r\n\x1a\n"):
        return _png(file, end)
    if magic.startswith(b"RIFF"):
        return _riff(file, end)
    if magic.startswith(b"ID3"):
        return _id3(file, magic)
    return _bmff(file, end)  # a media segment may start with any box, so there is no magic to ask for


def _bmff(file: BinaryIO, end: int) -> Iterator[_Range]:
    """Top-level `uuid` boxes: the UUID, version and flags (4), a purpose ended by a zero, then the store."""
    offset = 0
    for _ in range(MAX_HEADERS):
        if offset >= end:
            return
        head = _at(file, offset, 48)
        size, body = int.from_bytes(head[:4], "big"), 8
        if size == 1:
            size, body = int.from_bytes(head[8:16], "big"), 16
        elif size == 0:  # to the end of the file
            size = end - offset
        if size < body or len(head) < body:
            return
        content = head[body:size]
        # A "merkle" box holds hashes of fragments, not the store.
        if head[4:8] == b"uuid" and content.startswith(_UUID) and content[20:27] != b"merkle\0":
            yield offset + body + 16, min(size, end - offset) - body - 16
        offset += size


def _jpeg(file: BinaryIO, end: int) -> Iterator[_Range]:
    """APP11 segments of ISO 19566-5: "JP", box instance (2), sequence (4), then a slice of the JUMBF box.

    Each repeats the box's header; the first goes on with a description box whose type starts with "c2pa".
    """
    offset, instance = 2, b""
    for _ in range(MAX_HEADERS):
        head = _at(file, offset, 48)
        if offset >= end or len(head) < 4 or head[0] != 0xFF:
            return
        marker, length = head[1], int.from_bytes(head[2:4], "big")
        if marker == 0xFF:  # a fill byte
            offset += 1
            continue
        if marker == 0x01 or 0xD0 <= marker <= 0xD7:  # markers without a length
            offset += 2
            continue
        if marker in (0xD9, 0xDA) or length < 2:  # the end, or the scan: no segments behind it
            return
        segment = head[4 : 2 + length]
        if marker == 0xEB and segment[:2] == b"JP" and segment[12:16] == b"jumb":
            start = 24 if segment[8:12] == b"\0\0\0\1" else 16
            if segment[start + 4 : start + 12] == b"jumdc2pa":
                instance = segment[2:4]
            if segment[2:4] == instance and length > start + 2:
                yield offset + 4 + start, length - 2 - start
        offset += 2 + length


def _png(file: BinaryIO, end: int) -> Iterator[_Range]:
    """`caBX` chunks: length (4), type (4), data, checksum (4)."""
    offset = 8
    for _ in range(MAX_HEADERS):
        head = _at(file, offset, 8)
        if offset >= end or len(head) < 8 or head[4:] == b"IEND":
            return
        length = int.from_bytes(head[:4], "big")
        if head[4:] == b"caBX":
            yield offset + 8, length
        offset += 12 + length


def _riff(file: BinaryIO, end: int) -> Iterator[_Range]:
    """`C2PA` chunks right under the RIFF chunk: type (4), length (4, little-endian), data padded to even."""
    offset = 12
    for _ in range(MAX_HEADERS):
        head = _at(file, offset, 8)
        if offset >= end or len(head) < 8:
            return
        length = int.from_bytes(head[4:], "little")
        if head[:4] == b"C2PA":
            yield offset + 8, length
        offset += 8 + length + length % 2


def _id3(file: BinaryIO, magic: bytes) -> Iterator[_Range]:
    """`GEOB` frames with C2PA's MIME type.

    They are searched for rather than walked to: writers disagree on frame sizes and on unsynchronisation, and
    the MIME type stands in the tag as plain text all the same.
    """
    tag = _at(file, 10, min(_syncsafe(magic[6:10]), MAX_SCAN))
    for frame in _GEOB.finditer(tag):
        plain = magic[3] < 4 or any(byte > 0x7F for byte in frame[1])
        size = int.from_bytes(frame[1], "big") if plain else _syncsafe(frame[1])
        stop = min(frame.start() + 10 + size, len(tag))
        yield 10 + frame.end(), max(stop - frame.end(), 0)


def _syncsafe(data: bytes) -> int:
    """Seven bits a byte, as ID3v2 writes sizes."""
    size = 0
    for byte in data:
        size = size << 7 | byte & 0x7F
    return size


def _at(file: BinaryIO, offset: int, size: int) -> bytes:
    file.seek(offset)
    return file.read(size)
