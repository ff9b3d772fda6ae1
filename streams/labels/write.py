"""The implicit label written into a copy of a file: its container is edited where the label stands, every other byte
is copied, so that sound and pictures cannot change. What was written is read back before it counts.

No library decodes anything here, so files of strangers may be written by whoever holds them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import BinaryIO, NamedTuple

from schemas.aigc import FIELDS, KEY, LABELS, Outcome, check_aigc, check_labels, check_provider_code
from streams.labels import write_bmff, write_ebml, write_riff, write_tags, write_xmp
from streams.labels.edits import Edits
from streams.labels.read import read_labels
from streams.labels.walk import Malformed, Walk

#: Headers read of one file that is written: a recording of a day whose clusters have no size shows all its blocks.
MAX_HEADERS = 8_000_000

_WRITERS: dict[str, Callable[[Walk, str], Edits]] = {
    "mp4": write_bmff.edits,
    "mkv": write_ebml.edits,
    "avi": write_riff.avi,
    "wav": write_riff.wav,
    "flv": write_tags.flv,
    "mp3": write_tags.mp3,
    "flac": write_tags.flac,
    "ogg": write_tags.ogg,
    "jpeg": write_xmp.jpeg,
    "png": write_xmp.png,
}
CONTAINERS = tuple(_WRITERS)
"""What a label can be written into; mp4 stands for mov and m4a, mkv for webm."""


class CannotLabel(Exception):
    """The file cannot be given the label; the text says why, for people."""


class Written(NamedTuple):
    """What was written into a file."""

    container: str
    #: The object, as it stands in the file.
    text: str
    #: Whether an object was there before, whose producer and level were kept.
    kept: bool


def write_label(
    source: BinaryIO,
    out: BinaryIO,
    label: Mapping[str, str],
    progress: Callable[[int], None] | None = None,
    *,
    there: Mapping[str, str] | None = None,
    marked: bool = False,
) -> Written:
    """Copy `source` into `out`, which is empty and can be read, with a label as of an order (`Label.implicit["AIGC"]`).

    `progress` is told how many bytes are written. `marked`: `source` is a copy that was made to carry the words, and
    may have lost the label of the original; `there`: that one's fields.

    Raises:
        CannotLabel: the container has no place for it, breaks its structure, or did not read back as it should.
        OSError: reading or writing failed.
    """
    found = read_labels(source)
    if found.container not in _WRITERS:
        kind = f"{found.container} files" if found.container else "this kind of file"
        raise CannotLabel(f"no label can be written into {kind}; these can: {', '.join(CONTAINERS)}")
    if not there:
        there = check_labels(found.labels).fields if found.labels else {}
    text = labelled(label, there)
    try:
        walk = Walk(source, MAX_HEADERS)
        # Of a copy that was made anew the index may come first, so that players need not wait for the end.
        new = marked and found.container == "mp4"
        change = write_bmff.edits(walk, text, front=True) if new else _WRITERS[found.container](walk, text)
        change.write(source, out, progress)
        out.flush()
        same = change.same(source, out)
    except Malformed as error:
        raise CannotLabel(f"the file breaks its structure, or has no room: {error}") from error
    except (IndexError, ValueError) as error:
        raise CannotLabel(f"the file breaks its structure: {error}") from error
    if not same:
        raise CannotLabel("what was written did not read back byte for byte")
    back = read_labels(out)
    check = check_labels(back.labels)
    if len(back.labels) != 1 or back.labels[0].text != text or check.outcome is not Outcome.COMPLIANT:
        why = "; ".join(check.faults) or f"{len(back.labels)} labels were read"
        raise CannotLabel(f"the label did not read back as it was written: {why}")
    return Written(found.container, text, bool(there))


def labelled(label: Mapping[str, str], there: Mapping[str, str]) -> str:
    """The object to write, as the standard spells it: of one that is there level, producer and the producer's own
    reserved field stay where they are valid, and only what is the propagator's is set (LBL-6).

    A propagator's signature (`ReservedCode2`) of before would vouch for what is no longer there, and goes.

    Raises:
        CannotLabel: what comes of it would not comply.
    """
    values = {name: label.get(name, "") for name in FIELDS}
    if there.get("Label") in LABELS:
        values["Label"] = there["Label"]
    producer = there.get("ContentProducer", "")
    if producer and not check_provider_code(producer):
        for name in ("ContentProducer", "ProduceID", "ReservedCode1"):
            values[name] = there.get(name, "") or values[name]
    if values["Label"] == "1" and not values["ContentProducer"]:
        # Who produced it is not known, and level 1 may not leave it empty: whoever writes answers for it.
        values["ContentProducer"], values["ProduceID"] = values["ContentPropagator"], values["PropagateID"]
    text = json.dumps({KEY: values}, separators=(",", ":"))
    if faults := check_aigc({KEY: text}).faults:
        raise CannotLabel("the label would break GB 45438-2025: " + "; ".join(faults))
    return text
