import io

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agents.synthetic.c2pa import MAX_HEADERS, MAX_SCAN, SOURCE_TYPES, find_manifest_store, source_types

UUID = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
PREFIX = b"http://cv.iptc.org/newscodes/digitalsourcetype/"
# CBOR: text(17) "digitalSourceType", the URI behind its length, then text(4) "when", whose head is the letter d.
URI = PREFIX + b"trainedAlgorithmicMedia"
CBOR = b"\x71digitalSourceType\x78" + bytes([len(URI)]) + URI + b"\x64when"


def box(kind: bytes, body: bytes = b"") -> bytes:
    return (8 + len(body)).to_bytes(4, "big") + kind + body


def large_box(kind: bytes, body: bytes = b"") -> bytes:
    return b"\0\0\0\1" + kind + (16 + len(body)).to_bytes(8, "big") + body


def chunk(kind: bytes, body: bytes = b"") -> bytes:
    return kind + len(body).to_bytes(4, "little") + body + b"\0" * (len(body) % 2)


STORE = box(b"jumb", box(b"jumd", b"c2pa" + bytes.fromhex("00110010800000aa00389b71") + b"\x03c2pa\0") + CBOR)
FTYP = box(b"ftyp", b"isom\0\0\2\0isom")
MOOV = box(b"moov", b"\0" * 64)
UUID_BODY = UUID + b"\0\0\0\0manifest\0" + b"\0" * 8 + STORE


def jpeg(store: bytes = STORE, slices: int = 1, extended: bool = False) -> bytes:
    head = b"\0\0\0\1jumb" + (len(store) + 8).to_bytes(8, "big") if extended else store[:8]
    step = -(-len(store[8:]) // slices)
    parts = [store[8:][at : at + step] for at in range(0, len(store[8:]), step)]
    segments = [b"\xff\xe0\0\x10JFIF" + b"\0" * 10, b"\xff\xeb\0\x08other!", b"\xff"]  # a fill byte
    for number, part in enumerate(parts, 1):
        body = b"JP\0\1" + number.to_bytes(4, "big") + head + part
        segments.append(b"\xff\xeb" + (len(body) + 2).to_bytes(2, "big") + body)
    return b"\xff\xd8" + b"".join(segments) + b"\xff\xda\0\x02scan\xff\xd9"


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    parts = [len(body).to_bytes(4, "big") + kind + body + b"crc!" for kind, body in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def riff(form: bytes, *chunks: bytes) -> bytes:
    return chunk(b"RIFF", form + b"".join(chunks))


def syncsafe(number: int) -> bytes:
    return bytes(number >> shift & 0x7F for shift in (21, 14, 7, 0))


def id3(mime: bytes = b"application/c2pa", version: int = 4, store: bytes = STORE, after: bytes = b"") -> bytes:
    body = b"\0" + mime + b"\0c2pa\0c2pa manifest store\0" + store
    size = syncsafe(len(body)) if version == 4 else len(body).to_bytes(4, "big")
    frames = b"TSSE" + syncsafe(6) + b"\0\0" + b"\0Lavf\0" + b"GEOB" + size + b"\0\0" + body + after
    return b"ID3" + bytes([version, 0, 0]) + syncsafe(len(frames)) + frames + b"\xff\xfb\x90\0"


WITH_STORE = {
    "mp4": FTYP + box(b"uuid", UUID_BODY) + MOOV,
    "mp4, box to the end of the file": FTYP + b"\0\0\0\0uuid" + UUID_BODY,
    "mp4, 64-bit sizes": FTYP + large_box(b"mdat", b"\0" * 99) + large_box(b"uuid", UUID_BODY),
    "mp4, another uuid box before": FTYP + box(b"uuid", b"\1" * 16 + b"XMP") + box(b"uuid", UUID_BODY),
    "media segment": box(b"styp", b"msdh") + box(b"uuid", UUID_BODY) + box(b"moof"),
    "jpeg": jpeg(),
    "jpeg, extended length": jpeg(extended=True),
    "jpeg, several segments": jpeg(slices=5),
    "png": png((b"IHDR", b"\0" * 13), (b"caBX", STORE), (b"IEND", b"")),
    "wav": riff(b"WAVE", chunk(b"fmt ", b"\0" * 15), chunk(b"C2PA", STORE), chunk(b"data")),
    "avi": riff(b"AVI ", chunk(b"LIST", b"hdrl"), chunk(b"C2PA", STORE)),
    "webp": riff(b"WEBP", chunk(b"VP8 ", b"\0" * 9), chunk(b"C2PA", STORE)),
    "mp3": id3(),
    "mp3, older type": id3(b"application/x-c2pa-manifest-store"),
    "mp3, ID3v2.3": id3(version=3),
}
WITHOUT_STORE = {
    "empty": b"",
    "mp4": FTYP + MOOV + box(b"mdat", UUID_BODY),
    "mp4, store not at the top level": FTYP + box(b"moov", box(b"uuid", UUID_BODY)),
    "mp4, only hashes of fragments": FTYP + box(b"uuid", UUID + b"\0\0\0\0merkle\0" + b"\0" * 64),
    "mp4, box too short for its UUID": FTYP + (20).to_bytes(4, "big") + b"uuid" + UUID,
    "mp4, size below its header": FTYP + b"\0\0\0\7free" + box(b"uuid", UUID_BODY),
    "mp4, 64-bit size below its header": FTYP + b"\0\0\0\1free" + b"\0" * 8 + box(b"uuid", UUID_BODY),
    "mp4, size beyond any file": FTYP + b"\0\0\0\1free" + b"\xff" * 8 + box(b"uuid", UUID_BODY),
    "jpeg, JUMBF of another kind": jpeg(box(b"jumb", box(b"jumd", b"json" + b"\0" * 20))),
    "jpeg, store behind the scan": b"\xff\xd8\xff\xda\0\x02" + jpeg()[2:],
    "png": png((b"IHDR", b"\0" * 13), (b"tEXt", b"caBX"), (b"IEND", b""), (b"caBX", STORE)),
    "wav": riff(b"WAVE", chunk(b"LIST", b"INFO" + chunk(b"C2PA", STORE)), chunk(b"data")),
    "mp3, another object": id3(b"application/json"),
    "matroska": bytes.fromhex("1a45dfa3") + b"\x93matroska" + STORE,
}


class Counting(io.BytesIO):
    asked = 0

    def read(self, size: int | None = -1, /) -> bytes:
        assert size is not None
        assert size >= 0
        self.asked += size
        return super().read(size)


@pytest.mark.parametrize("file", WITH_STORE.values(), ids=WITH_STORE.keys())
def test_a_store_is_found_with_its_source_type(file):
    assert find_manifest_store(io.BytesIO(file))
    assert source_types(io.BytesIO(file)) == {"trainedAlgorithmicMedia"}


@pytest.mark.parametrize("file", WITHOUT_STORE.values(), ids=WITHOUT_STORE.keys())
def test_without_a_store_nothing_is_found(file):
    assert not find_manifest_store(io.BytesIO(file))
    assert source_types(io.BytesIO(file)) == frozenset()


def test_the_file_is_read_from_its_start_wherever_it_stands():
    file = io.BytesIO(WITH_STORE["mp4"])
    file.seek(20)
    assert find_manifest_store(file)
    assert source_types(file)


@pytest.mark.parametrize("term", sorted(SOURCE_TYPES))
@pytest.mark.parametrize("scheme", [b"http", b"https"])
def test_every_term_is_told_from_those_it_starts_with(term, scheme):
    uri = PREFIX.replace(b"http", scheme, 1) + term.encode()
    assert source_types(io.BytesIO(FTYP + box(b"uuid", UUID_BODY.replace(URI, uri)))) == {term}


def test_all_terms_of_a_store_are_given():
    store = UUID_BODY + PREFIX + b"compositeSynthetic" + PREFIX + b"humanEdits" + PREFIX + b"noSuchTerm"
    expected = {"trainedAlgorithmicMedia", "compositeSynthetic", "humanEdits"}
    assert source_types(io.BytesIO(FTYP + box(b"uuid", store))) == expected


def test_original_and_update_stores_are_both_searched():
    update = UUID_BODY.replace(b"manifest\0", b"update\0").replace(URI, PREFIX + b"humanEdits")
    original = UUID_BODY.replace(b"manifest\0", b"original\0")
    file = io.BytesIO(FTYP + box(b"uuid", original) + MOOV + box(b"uuid", update))
    assert source_types(file) == {"trainedAlgorithmicMedia", "humanEdits"}


def test_a_uri_outside_the_store_does_not_count():
    plain = STORE.replace(URI, b"")
    assert source_types(io.BytesIO(FTYP + box(b"free", URI) + box(b"uuid", UUID + plain) + box(b"mdat", URI))) == set()
    assert source_types(io.BytesIO(id3(store=plain, after=b"PRIV" + URI))) == set()


def test_only_headers_are_read_to_find_a_store():
    file = Counting(FTYP + box(b"mdat", b"\0" * 1_000_000) + box(b"uuid", UUID_BODY + b"\0" * 1_000_000))
    assert find_manifest_store(file)
    assert file.asked <= 12 + 3 * 48


@pytest.mark.parametrize(
    "file", [box(b"free") * 9999, b"\xff\xd8\xff" + b"\xff" * 99_999, png(*[(b"IDAT", b"")] * 9999)]
)
def test_the_number_of_headers_is_bounded(file):
    counting = Counting(file)
    assert not find_manifest_store(counting)
    assert counting.asked <= 12 + MAX_HEADERS * 48


@pytest.mark.parametrize(
    "make", [lambda b: FTYP + box(b"uuid", UUID_BODY + b), lambda b: id3(store=b), lambda b: png((b"caBX", b))]
)
def test_the_search_in_a_store_is_bounded(make):
    file = Counting(make(b"\0" * MAX_SCAN + PREFIX + b"humanEdits"))
    assert "humanEdits" not in source_types(file)
    assert file.asked <= 2 * MAX_SCAN + 1000


@given(st.sampled_from(["", *WITH_STORE]), st.binary(max_size=400))
@example("", b"\xff\xd8\xff\xeb")
@example("", b"ID3")
@example("", b"RIFF")
def test_no_bytes_raise(name, tail):
    head = WITH_STORE[name][:24] if name else b""
    for file in (tail, head + tail):
        assert source_types(io.BytesIO(file)) <= SOURCE_TYPES
        find_manifest_store(io.BytesIO(file))


@given(st.sampled_from(sorted(WITH_STORE)), st.data())
def test_no_damage_raises(name, data):
    file = bytearray(WITH_STORE[name])
    for _ in range(data.draw(st.integers(1, 4))):
        file[data.draw(st.integers(0, len(file) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(file[: data.draw(st.integers(0, len(file)))])
    find_manifest_store(io.BytesIO(cut))
    assert source_types(io.BytesIO(cut)) <= SOURCE_TYPES
