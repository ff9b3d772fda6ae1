"""The label is read where it stands, in every container, with what is wrong with the place; hostile files end."""

from __future__ import annotations

import io
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.aigc import Outcome, aigc_object, check_labels
from streams.labels.read import read_labels
from streams.labels.read_traces import read_traces
from streams.labels.walk import MAX_HEADERS
from tests.streams import labelled as made

TEXT = aigc_object("2", "001191440300708461136T1XGW3", "a-1")
RAW = TEXT.encode()
STANDARD = {
    "mp4": made.mp4(made.box(b"udta", made.keyed(RAW))),
    "mp4_quicktime_meta": made.mp4(made.box(b"udta", made.box(b"meta", made.keyed(RAW)[12:]))),
    "m4a_freeform": made.mp4(made.box(b"udta", made.freeform(RAW)), brand=b"M4A "),
    "mkv": made.mkv(RAW),
    "mkv_live": made.mkv(RAW, unknown=True),
    "flv": made.flv(RAW),
    "flv_long": made.flv(RAW, 12),
    "avi": made.riff(b"AVI ", made.chunk(b"LIST", b"INFO" + made.chunk(b"AIGC", RAW))),
    "wav": made.riff(b"WAVE", made.chunk(b"fmt ", bytes(16)), made.chunk(b"data", bytes(7)), made.chunk(b"AIGC", RAW)),
    "webp": made.riff(b"WEBP", made.chunk(b"XMP ", made.xmp(RAW))),
    **{
        f"mp3_2.{version}_{encoding}": made.id3(RAW, version, encoding)
        for version, encoding in ((2, 0), (2, 1), (3, 0), (3, 1), (4, 2), (4, 3))
    },
    "flac": made.flac(b"title=x", b"AIGC=" + RAW),
    "flac_lower": made.flac(b"aigc=" + RAW),
    "ogg": made.ogg(b"AIGC=" + RAW),
    "jpeg": made.jpeg_xmp(made.xmp(RAW)),
    "jpeg_element": made.jpeg_xmp(made.xmp(RAW, attribute=False)),
    "png": made.png_xmp(made.xmp(RAW)),
    "png_packed": made.png_xmp(made.xmp(RAW), packed=True),
}
#: Where the standard has no place for it, or not in that form → what is said.
WILD = {
    "ilst_without_keys": (made.mp4(made.box(b"udta", made.unkeyed(RAW))), "AIGC stands in ilst under its own name"),
    "freeform_in_mp4": (made.mp4(made.box(b"udta", made.freeform(RAW))), "AIGC is a freeform tag"),
    "meta_in_moov": (made.mp4(made.keyed(RAW)), "meta stands directly in moov"),
    "udta": (made.mp4(made.box(b"udta", made.box(b"AIGC", RAW))), "AIGC stands in udta, not in udta.meta"),
    "track": (made.mp4(made.box(b"trak", made.box(b"udta", made.keyed(RAW)))), "AIGC stands in a track"),
    "top": (made.mp4() + made.keyed(RAW), "meta stands at the top of the file"),
    "key_case": (made.mp4(made.box(b"udta", made.keyed(RAW, b"aigc"))), "AIGC is written aigc"),
    "mkv_case": (made.mkv(RAW, b"Aigc"), "AIGC is written Aigc"),
    "mkv_binary": (made.mkv(RAW, kind="4485"), "AIGC's value is TagBinary"),
    "flv_number": (made.flv(RAW, 0), "AIGC's value is AMF0 type 0"),
    "avi_chunk": (made.riff(b"AVI ", made.chunk(b"AIGC", RAW)), "AIGC is a chunk of its own"),
    "wav_info": (made.riff(b"WAVE", made.chunk(b"LIST", b"INFO" + made.chunk(b"AIGC", RAW))), "AIGC stands in LIST"),
    "wav_id3": (made.riff(b"WAVE", made.chunk(b"id3 ", made.id3(RAW))), "AIGC stands in an ID3 chunk"),
    "png_text": (made.png((b"tEXt", b"AIGC\0" + RAW)), "AIGC stands in a text chunk, not in XMP"),
    "xmp_namespace": (made.jpeg_xmp(made.xmp(RAW, "http://example.org/")), "AIGC's namespace is http://example.org/"),
    "twice": (
        made.flac(b"AIGC=" + RAW, b"AIGC=" + RAW),
        "AIGC stands in the metadata more than once: one label a file",
    ),
}


def check(file: bytes):
    read = read_labels(io.BytesIO(file))
    return read, check_labels(read.labels, read.problem)


@pytest.mark.parametrize("name", STANDARD)
def test_a_label_in_the_standards_place_is_compliant(name):
    read, found = check(STANDARD[name])
    assert read.problem is None
    assert (found.outcome, found.label, found.faults) == (Outcome.COMPLIANT, "2", ())
    assert read.labels[0].text == TEXT
    assert read.container == {"m4a": "mp4", "webm": "mkv"}.get(name.partition("_")[0], name.partition("_")[0])


@pytest.mark.parametrize("name", WILD)
def test_a_label_elsewhere_is_read_and_its_place_named_as_the_fault(name):
    file, fault = WILD[name]
    _, found = check(file)
    assert found.outcome is Outcome.NON_COMPLIANT
    assert found.faults[0].startswith(fault)


@pytest.mark.parametrize("name", STANDARD)
def test_a_file_that_breaks_off_before_its_label_is_inconclusive_or_says_less_never_not_found(name):
    whole = STANDARD[name]
    for at in range(12, len(whole) - 2, 7):
        read, found = check(whole[:at])
        # In front of the cut there may be the whole label, or none of it: only that nothing is there is never said.
        assert found.outcome is not Outcome.NOT_FOUND or read.problem is None
        if found.outcome is Outcome.COMPLIANT:
            assert read.labels[0].text == TEXT


def test_a_file_without_a_label_has_none_and_other_names_are_none():
    for file in (
        made.mp4(made.box(b"udta", made.keyed(RAW, b"AIGC2"))),
        made.mkv(RAW, b"TITLE"),
        made.flv(RAW, name=b"title"),
        made.riff(b"WAVE", made.chunk(b"fmt ", bytes(16))),
        made.id3(RAW, name="comment"),
        made.flac(b"title=AIGC"),
        made.jpeg_xmp(b"<x/>"),
        made.png((b"tEXt", b"comment\0AIGC")),
    ):
        assert check(file)[1].outcome is Outcome.NOT_FOUND


def test_what_no_place_is_known_in_is_inconclusive_and_says_so():
    read, found = check(b"%PDF-1.7 and so on")
    assert (read.container, found.outcome) == (None, Outcome.INCONCLUSIVE)
    read, found = check(made.box(b"styp", b"msdh") + made.box(b"moof", b""))
    assert found.outcome is Outcome.INCONCLUSIVE
    assert "a media segment without its moov" in found.faults[0]


def test_xmp_with_a_dtd_is_not_read():
    bomb = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><x>&b;</x>'
    read, _ = check(made.jpeg_xmp(bomb))
    assert read.labels == ()
    assert "DTD" in read.problem


def test_more_parts_than_any_file_has_end_the_reading():
    read, _ = check(made.riff(b"WAVE", made.chunk(b"junk", b"") * (MAX_HEADERS + 1)))
    assert "more parts than a file should have" in read.problem


@given(st.sampled_from(sorted(STANDARD)), st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=6))
@settings(max_examples=250, deadline=None)
def test_damaged_files_never_raise(name, changes):
    file = bytearray(STANDARD[name])
    for at, value in changes:
        file[at % len(file)] = value
    check(bytes(file))
    read_traces(io.BytesIO(bytes(file)))


@given(
    st.sampled_from([whole[:12] for whole in STANDARD.values()]),
    st.binary(max_size=300),
)
@settings(max_examples=250, deadline=None)
def test_what_only_begins_like_a_container_never_raises(head, rest):
    check(head + rest)
    read_traces(io.BytesIO(head + rest))


@given(st.text(st.characters(min_codepoint=0x20, exclude_categories=["Cs"]), max_size=200).map(str.strip))
@settings(max_examples=60, deadline=None)
def test_every_container_gives_the_text_as_it_was_written(text):
    raw = text.encode()
    for file in (
        made.mp4(made.box(b"udta", made.keyed(raw))),
        made.mkv(raw),
        made.flv(raw),
        made.riff(b"WAVE", made.chunk(b"AIGC", raw)),
        made.id3(raw),
        made.flac(b"AIGC=" + raw),
        made.ogg(b"AIGC=" + raw),
    ):
        assert [label.text for label in read_labels(io.BytesIO(file)).labels] == [text]


def exif(software: bytes) -> bytes:
    return b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHII", 0x0131, 2, len(software), 26) + bytes(4) + software


def test_pictures_tell_their_tools():
    tool = b'<x xmp:CreatorTool="Adobe Firefly"/>http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia'
    assert read_traces(io.BytesIO(made.jpeg((0xE1, b"Exif\0\0" + exif(b"Midjourney v6\0"))))) == (
        ("software", "Midjourney v6"),
    )
    expected = (("creator_tool", "Adobe Firefly"), ("digital_source_type", "trainedAlgorithmicMedia"))
    assert read_traces(io.BytesIO(made.jpeg_xmp(tool))) == expected
    assert read_traces(io.BytesIO(made.riff(b"WEBP", made.chunk(b"XMP ", tool)))) == expected
    parameters = b"parameters\0a cat\nSteps: 20, Sampler: Euler a"
    ((name, text),) = read_traces(io.BytesIO(made.png((b"tEXt", parameters))))
    assert (name, text.splitlines()[-1]) == ("parameters", "Steps: 20, Sampler: Euler a")
    assert read_traces(io.BytesIO(made.mkv(RAW))) == ()
