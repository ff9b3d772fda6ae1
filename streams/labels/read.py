"""What stands in a file where a label may stand: the raw text and the place, by container, without decoding anything.

What is read comes from whoever uploads: every size, count and depth is bounded, and a file that breaks off gives the
labels in front of the break, and the reason. `schemas.aigc.check_labels` judges what was found.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO, NamedTuple

from schemas.aigc import RawLabel
from streams.labels import read_bmff, read_ebml, read_riff, read_tags, read_xmp
from streams.labels.walk import Labels, Malformed, Walk

#: Labels kept of one file: one is right, and more than a few are no better than many.
MAX_LABELS = 16

_READERS: dict[str, Callable[[Walk], Labels]] = {
    "mp4": read_bmff.read,
    "mkv": read_ebml.read,
    "riff": read_riff.read,
    "flv": read_tags.flv,
    "mp3": read_tags.mp3,
    "flac": read_tags.flac,
    "ogg": read_tags.ogg,
    "jpeg": read_xmp.jpeg,
    "png": read_xmp.png,
}
#: First bytes, and the container that they begin. `mp4` stands for mov, m4a and fragments as well.
_MAGIC = (
    (b"\x1aE\xdf\xa3", "mkv"),
    (b"FLV\x01", "flv"),
    (b"ID3", "mp3"),
    (b"fLaC", "flac"),
    (b"OggS", "ogg"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
)
_FORMS = {b"AVI ": "avi", b"WAVE": "wav", b"WEBP": "webp"}
_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"styp", b"moof", b"sidx", b"pnot", b"uuid")


class LabelsRead(NamedTuple):
    """What was found in one file."""

    #: mp4 (mov, m4a), mkv (webm), flv, avi, wav, webp, mp3, flac, ogg, jpeg, png; None: none of these.
    container: str | None
    labels: tuple[RawLabel, ...]
    #: Why not all of it could be read, for people; None: all of it was.
    problem: str | None = None


def read_labels(file: BinaryIO) -> LabelsRead:
    """Every label in a file, which must be seekable, and is read from its beginning. Only its own I/O errors are
    raised."""
    walk = Walk(file)
    container = container_of(walk.at(0, 12))
    if container is None:
        return LabelsRead(None, (), "not a container that the standard gives a place for the label in")
    labels: list[RawLabel] = []
    try:
        for label in _READERS["riff" if container in _FORMS.values() else container](walk):
            labels.append(label)
            if len(labels) == MAX_LABELS:
                break
    except Malformed as error:
        return LabelsRead(container, tuple(labels), str(error))
    return LabelsRead(container, tuple(labels))


def container_of(head: bytes) -> str | None:
    """The container that begins with these (12) bytes."""
    if head[:4] in (b"RIFF", b"RF64"):
        return _FORMS.get(head[8:12])
    if head[4:8] in _BOXES:
        return "mp4"
    if name := next((name for magic, name in _MAGIC if head.startswith(magic)), None):
        return name
    # A frame of MPEG audio (layer III) without any tag: eleven bits set, version and layer given.
    if len(head) >= 2 and head[0] == 0xFF and head[1] & 0xE6 == 0xE2:
        return "mp3"
    return None
