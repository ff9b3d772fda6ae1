from __future__ import annotations

import io
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import av
import pytest
from PIL import Image

from schemas.aigc import Outcome, aigc_object, check_labels
from streams.labels.read import read_labels
from streams.labels.write import CannotLabel, labelled, write_label
from tests.streams.labels.made import KINDS, ORDER, PICTURES, PLATFORM, PRODUCER, media, packets, picture


def written(data: bytes, label: dict[str, str] = ORDER) -> bytes:
    out = io.BytesIO()
    write_label(io.BytesIO(data), out, label)
    return out.getvalue()


def seeks(data: bytes) -> list[int | None]:
    """Where a reader lands that jumps about: what indexes are good for."""
    with av.open(io.BytesIO(data)) as file:
        found = []
        for second in (1.5, 0.2, 1.0):
            file.seek(int(second * av.time_base))
            found.append(next(p.pts for p in file.demux() if p.size))
        return found


@pytest.mark.parametrize("kind", KINDS)
def test_a_label_is_written_and_every_packet_stays_bit_for_bit(kind: str) -> None:
    data = media(kind)
    labelled_copy = written(data)
    found = read_labels(io.BytesIO(labelled_copy))
    check = check_labels(found.labels, found.problem)
    assert check.outcome is Outcome.COMPLIANT, check
    assert check.label == "2"
    assert check.fields["ContentPropagator"] == PLATFORM
    assert packets(labelled_copy) == packets(data)
    assert seeks(labelled_copy) == seeks(data)


@pytest.mark.parametrize("kind", KINDS)
def test_a_label_that_is_there_is_kept_and_not_doubled(kind: str) -> None:
    first = ORDER | {"Label": "1", "ContentProducer": PRODUCER, "ProduceID": "made-1", "PropagateID": "earlier"}
    once = written(media(kind), first)
    twice = written(once)
    (label,) = read_labels(io.BytesIO(twice)).labels
    values = json.loads(label.text)["AIGC"]
    assert (values["Label"], values["ContentProducer"], values["ProduceID"]) == ("1", PRODUCER, "made-1")
    assert (values["ContentPropagator"], values["PropagateID"]) == (PLATFORM, "content-1")
    assert packets(twice) == packets(once)
    assert len(twice) <= len(once) + 100  # the first one made room for itself, and is gone


@pytest.mark.parametrize("kind", PICTURES)
def test_a_picture_is_labelled_and_stays_the_same_picture(kind: str) -> None:
    data = picture(kind)
    once = written(data)
    twice = written(once, ORDER | {"PropagateID": "content-2"})
    (label,) = read_labels(io.BytesIO(twice)).labels
    assert json.loads(label.text)["AIGC"]["PropagateID"] == "content-2"
    for copy in (once, twice):
        assert Image.open(io.BytesIO(copy)).tobytes() == Image.open(io.BytesIO(data)).tobytes()


@pytest.mark.parametrize("kind", ["mp4", "mkv", "webm", "avi", "flv", "mp3", "flac", "opus"])
def test_other_tags_stay(kind: str) -> None:
    with av.open(io.BytesIO(written(media(kind, artist="someone")))) as file:
        tags = {**file.metadata, **file.streams[0].metadata}
    assert {name.lower(): value for name, value in tags.items()}.get("title") == "a title"


@pytest.mark.parametrize("kind", ["mp4 moov first", "mov", "m4a", "mkv", "webm", "avi", "flv", "mp3", "flac", "opus"])
def test_ffmpeg_reads_what_was_written(kind: str) -> None:
    with av.open(io.BytesIO(written(media(kind)))) as file:
        tags = {**file.metadata, **file.streams[0].metadata}
    assert json.loads(tags["AIGC"])["AIGC"]["ContentPropagator"] == PLATFORM


@pytest.mark.needs("exiftool")
@pytest.mark.parametrize("kind", ["mp4", "m4a", "mp3", "flac", "jpeg", "png"])
def test_exiftool_reads_what_was_written(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "labelled"
    path.write_bytes(written(picture(kind) if kind in PICTURES else media(kind)))
    said = subprocess.run(["exiftool", "-j", "-G1", path], capture_output=True, check=True).stdout.decode()
    assert PLATFORM in said


def test_the_label_of_a_wild_file_is_moved_to_where_it_belongs() -> None:
    bare = json.loads(aigc_object("1", PRODUCER, "made-1"))["AIGC"]
    data = media("mkv", aigc=json.dumps(bare))
    assert check_labels(read_labels(io.BytesIO(data)).labels).outcome is Outcome.NON_COMPLIANT
    (label,) = read_labels(io.BytesIO(written(data))).labels
    assert json.loads(label.text)["AIGC"]["ContentProducer"] == PRODUCER


#: Made when it is asked for: what a muxer writes differs from one process to the next.
BROKEN: dict[str, Callable[[], bytes]] = {
    "text": lambda: b"plain text, no media",
    "mp4": lambda: media("mp4")[:-200],
    "flac": lambda: media("flac")[:60],
    "opus": lambda: media("opus")[:70],
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_file_that_cannot_hold_it_is_refused_with_the_reason(kind: str) -> None:
    data = BROKEN[kind]()
    words = "no label can be written into this kind of file" if kind == "text" else "breaks"
    with pytest.raises(CannotLabel, match=words):
        written(data)


def test_an_order_without_a_propagator_is_refused() -> None:
    with pytest.raises(CannotLabel, match="ContentPropagator is empty"):
        labelled(ORDER | {"ContentPropagator": ""}, {})


def test_level_1_without_a_producer_is_answered_for_by_the_platform() -> None:
    values = json.loads(labelled(ORDER | {"Label": "1"}, {}))["AIGC"]
    assert values["ContentProducer"] == values["ContentPropagator"] == PLATFORM


def test_a_full_disk_is_told_as_such() -> None:
    class Full(io.BytesIO):
        def write(self, _: object) -> int:
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        write_label(io.BytesIO(media("wav")), Full(), ORDER)
