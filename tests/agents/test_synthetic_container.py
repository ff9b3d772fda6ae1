"""What the container detector reads in files as tools write them."""

from __future__ import annotations

import io

import numpy as np
import pytest

from agents.synthetic.container import ContainerDetector
from schemas.aigc import aigc_object
from streams.extraction.detector import Source
from streams.extraction.read import Limits, read

CODE = "001191440300708461136T1XGW3"
OBJECT = aigc_object("2", CODE, "a-1")
C2PA = bytes.fromhex("d8fec3d61b0e483c92975828877ec481") + b"\0\0\0\0manifest\0" + b"\0" * 8
SOURCE_TYPE = b"http://cv.iptc.org/newscodes/digitalsourcetype/"
GREY = [np.full((64, 64, 3), 90, np.uint8)] * 2


def box(kind: bytes, body: bytes) -> bytes:
    return (8 + len(body)).to_bytes(4, "big") + kind + body


def c2pa_box(term: bytes) -> bytes:
    """A `uuid` box with a C2PA manifest store that states this source type."""
    description = b"c2pa" + bytes.fromhex("00110010800000aa00389b71") + b"\x03c2pa\0"
    text = SOURCE_TYPE + term
    claim = b"\x71digitalSourceType\x78" + bytes([len(text)]) + text
    return box(b"uuid", C2PA + box(b"jumb", box(b"jumd", description) + claim))


@pytest.fixture
def found(media):
    """The signals by name of a file with this metadata, and with what follows it."""

    def find(name="item.mp4", **options):
        reading = read(media(name, GREY, **options), [ContainerDetector()], Limits(1.0, 10**6, 60.0))
        assert reading.absent == ()
        assert {signal.detector for signal in reading.signals} <= {"container"}
        return {signal.name: signal for signal in reading.signals}

    return find


def test_an_ordinary_file_gives_no_signal(found):
    assert found() == {}
    assert found(metadata={"title": "AIGC", "comment": "sora", "artist": "Runway"}) == {}


@pytest.mark.parametrize(("name", "container"), [("a.mp4", "mp4"), ("a.mkv", "matroska")])
def test_a_valid_label_is_compliant_and_states_its_level(found, name, container):
    signals = found(name, container=container, metadata={"AIGC": OBJECT})
    assert list(signals) == ["aigc.compliant"]
    assert [evidence.entry for evidence in signals["aigc.compliant"].evidence] == ["2"]


@pytest.mark.parametrize(
    ("text", "level", "fault"),
    [
        (OBJECT.replace('"Label":"2"', '"Label":"AIGC"'), None, "Label is 'AIGC', not 1, 2 or 3"),
        (OBJECT.removeprefix('{"AIGC":').removesuffix("}"), "2", "AIGC lacks its wrapper"),
        ("made with AI", None, "AIGC is not JSON"),
    ],
)
def test_a_faulty_label_is_non_compliant_and_says_why(found, text, level, fault):
    signals = found(metadata={"AIGC": text})
    assert list(signals) == ["aigc.non_compliant"]
    evidence = signals["aigc.non_compliant"].evidence
    stated = [("2", "Label 2")] if level else []
    assert [(each.entry, each.text) for each in evidence if each.entry or "Label None" in each.text] == stated
    assert any(each.text.startswith(fault) for each in evidence)


def test_a_label_that_cannot_be_read_at_all_is_inconclusive(found):
    assert list(found(metadata={"AIGC": "x" * 70_000})) == ["aigc.inconclusive"]


@pytest.mark.parametrize("key", ["software", "SOFTWARE", "creator_tool", "encoded_by", "tool"])
@pytest.mark.parametrize("value", ["ComfyUI", "Made with Stable Diffusion XL", "kling v2", "即梦 3.0", "腾讯混元"])
def test_a_generator_that_names_itself_is_a_trace(found, key, value):
    signals = found(metadata={key: value})
    assert list(signals) == ["tool"]
    (evidence,) = signals["tool"].evidence
    assert evidence.entry == key.lower()
    assert evidence.text.lower() in value.lower()


@pytest.mark.parametrize("value", ["Lavf62.3.100", "Adobe Premiere Pro", "Soraya's camera", "Veolia", "unudio", ""])
def test_other_tools_are_no_trace(found, value):
    assert found(metadata={"software": value}) == {}


@pytest.mark.parametrize("metadata", [{"encoder": "Sora"}, {"ENCODER": "Sora"}])
def test_a_generator_is_read_from_the_encoder_of_container_and_stream(metadata):
    detector = ContainerDetector()
    for source in (Source("mp4", metadata, [], io.BytesIO()), Source("mp4", {}, [{}, metadata], io.BytesIO())):
        detector.open(source)
        assert [(signal.name, signal.evidence[0].text) for signal in detector.findings().signals] == [("tool", "Sora")]


@pytest.mark.parametrize("term", ["trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia"])
def test_a_c2pa_store_that_states_generation_is_a_trace(found, term):
    signals = found(after=c2pa_box(term.encode()))
    assert list(signals) == ["c2pa", "c2pa.synthetic"]
    assert [evidence.text for evidence in signals["c2pa.synthetic"].evidence] == [term]


@pytest.mark.parametrize("term", [b"digitalCapture", b"humanEdits"])
def test_a_c2pa_store_of_a_camera_is_no_trace_of_generation(found, term):
    assert list(found(after=c2pa_box(term))) == ["c2pa"]


def test_everything_a_file_says_is_read_at_once(found):
    signals = found(metadata={"AIGC": OBJECT, "software": "ComfyUI"}, after=c2pa_box(b"trainedAlgorithmicMedia"))
    assert list(signals) == ["aigc.compliant", "c2pa", "c2pa.synthetic", "tool"]


def test_a_label_on_the_stream_counts_as_one_on_the_file_which_goes_first():
    detector = ContainerDetector()
    faulty = {"AIGC": "no"}
    for source, expected in (
        (Source("ogg", {}, [{"AIGC": OBJECT}], io.BytesIO()), "aigc.compliant"),
        (Source("ogg", {"AIGC": OBJECT}, [faulty], io.BytesIO()), "aigc.compliant"),
        (Source("ogg", faulty, [{"AIGC": OBJECT}], io.BytesIO()), "aigc.non_compliant"),
    ):
        detector.open(source)
        assert [signal.name for signal in detector.findings().signals] == [expected]


def test_the_detector_forgets_the_former_item():
    detector = ContainerDetector()
    detector.open(Source("mp4", {"AIGC": OBJECT, "tool": "Sora"}, [], io.BytesIO(b"")))
    detector.open(Source("mp4", {}, [], io.BytesIO(b"")))
    assert detector.findings().signals == ()


def test_the_detector_asks_for_nothing_to_be_decoded():
    assert (ContainerDetector.wants_frames, ContainerDetector.wants_sound) == (False, False)
