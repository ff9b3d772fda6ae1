"""The implicit label of GB 45438-2025: the `AIGC` object in a file's metadata, read and written.

What is read comes from whoever uploads, so every size is bounded, and an object that breaks the standard is
still read as far as it goes: the forms seen in the wild are reported as non-compliant rather than missed.
"""

import dataclasses
import enum
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from stdnum.cn import uscc

KEY = "AIGC"
LABELS = ("1", "2", "3")  # is generated, may be generated, suspected (LBL-6)
FIELDS = (  # in the standard's order
    "Label",
    "ContentProducer",
    "ProduceID",
    "ReservedCode1",
    "ContentPropagator",
    "PropagateID",
    "ReservedCode2",
)
MAX_CHARS = 64 * 1024  # more than an AMF0 string (FLV) can hold; a label with two signatures stays under 4 KiB
MAX_SHOWN = 256  # a field is evidence in a message, not storage: enough for any code or content number
MAX_PLACES = 8  # a file with more labels than this is faulty enough
MAX_FOREIGN = 8  # the foreign names seen so far come by ones and twos

_PROVIDERS = frozenset({"ContentProducer", "ContentPropagator"})
_RESERVED = frozenset({"ReservedCode1", "ReservedCode2"})  # "may hold signatures": may be empty
# Under "2" and "3" a platform labels what another made. No text says what then stands for the unknown
# producer, so its being empty is no fault.
_PRODUCER = frozenset({"ContentProducer", "ProduceID"})
_ILLEGAL = re.compile(r"[^\x21\x23-\x5b\x5d-\x7e]")
_CODE = re.compile(r"[0-9A-Z]{27}")

_Object = tuple[tuple[str, object], ...]  # a JSON object as pairs, so that order and duplicates stay visible


class _Number(str):
    """A JSON number as it was written: readable, but no string, and never too long to convert."""

    __slots__ = ()


_DECODER = json.JSONDecoder(object_pairs_hook=tuple, parse_int=_Number, parse_float=_Number, parse_constant=_Number)


class Outcome(enum.StrEnum):
    """What a check of the implicit label ends in."""

    COMPLIANT = "compliant"
    NON_COMPLIANT = "non_compliant"
    NOT_FOUND = "not_found"
    INCONCLUSIVE = "inconclusive"  # something is there that cannot be read at all


class RawLabel(NamedTuple):
    """A label as it stands in a file: where, the text that should be the JSON object, and what is wrong there."""

    place: str
    text: str
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AigcCheck:
    """The finding about one file's implicit label."""

    outcome: Outcome
    label: str | None  # one of LABELS, or None; what else stood there is in `fields`
    faults: tuple[str, ...]  # in words, the field's name first
    fields: Mapping[str, str]  # what could be read, each cut to MAX_SHOWN characters
    places: tuple[str, ...] = ()  # where it stands, as `streams.labels.read` names places


def check_aigc(metadata: Mapping[str, str]) -> AigcCheck:
    """Check the `AIGC` object in the metadata of a container or stream, as FFmpeg gives it (GB 45438-2025)."""
    return check_labels(labels_in(metadata))


def labels_in(metadata: Mapping[str, str]) -> tuple[RawLabel, ...]:
    """Every label in the metadata that FFmpeg gives, the standard's spelling of the key first.

    FFmpeg adds a language to the key of a tag that names one (`AIGC-eng`).
    """
    found = [(key, text) for key, text in metadata.items() if key.upper().partition("-")[0] == KEY]
    texts = [text for _, text in sorted(found, key=lambda item: item[0] != KEY)]
    return tuple(RawLabel("metadata", text) for text in dict.fromkeys(texts))


def check_labels(found: Sequence[RawLabel], problem: str | None = None) -> AigcCheck:
    """Check the labels that stand in one file (GB 45438-2025); the first is the one that counts.

    `problem`: why not all of the file could be read. It makes "not found" inconclusive, and is no fault of a label.
    """
    if not found:
        return _unreadable(problem) if problem else AigcCheck(Outcome.NOT_FOUND, None, (), {})
    checked = _checked(found)
    return dataclasses.replace(checked, places=tuple(dict.fromkeys(label.place for label in found))[:MAX_PLACES])


def _checked(found: Sequence[RawLabel]) -> AigcCheck:
    text = found[0].text.strip(" \t\r\n")
    if len(text) > MAX_CHARS:
        return _unreadable(f"AIGC is too large: {len(text)} characters, {MAX_CHARS} are read")
    faults = list(dict.fromkeys(fault for label in found[:MAX_PLACES] for fault in label.faults))
    if len(found) > 1:
        disagree = " and disagrees" if len({label.text.strip(" \t\r\n") for label in found}) > 1 else ""
        faults.append(f"AIGC stands in the metadata more than once{disagree}: one label a file")
    try:
        parsed, end = _DECODER.raw_decode(text)
    except (ValueError, RecursionError) as error:
        if "\ufffd" in text or not _encodable(text):  # what a decoder leaves of bytes that are not UTF-8
            return _unreadable("AIGC is not UTF-8 text")
        reason = error.msg if isinstance(error, json.JSONDecodeError) else "nested too deeply"
        return AigcCheck(Outcome.NON_COMPLIANT, None, (*faults, f"AIGC is not JSON: {reason}"), {})
    if end < len(text):
        # FFmpeg joins Vorbis comments of one name with ";", so a second label shows up here.
        faults.append("AIGC has text after the JSON value: one label a file")
    pairs, wrapping = _unwrap(parsed)
    faults += wrapping
    values = dict(pairs)  # of a repeated field the last counts, as for most JSON readers
    label = values.get("Label")
    faults += _shape_faults(pairs)
    for name in FIELDS:
        if name in values:
            faults += (f"{name} {fault}" for fault in _value_faults(name, values[name], label))
    return AigcCheck(
        Outcome.NON_COMPLIANT if faults else Outcome.COMPLIANT,
        str(label) if label in LABELS else None,
        tuple(faults),
        {_shown(name): _shown(values[name]) for name in _known_first(values) if isinstance(values[name], str)},
    )


def check_provider_code(code: str) -> tuple[str, ...]:
    """Say what is wrong with a provider code; an empty tuple means that it is well-formed.

    TC260's coding rules for providers: `00`, `1` (an organisation), `1` (bound to the unified social credit
    code), that code (18, GB 32100), then `1` (generates) or `2` (spreads) and four characters for the model or
    application, or `00000` in place of these five. Form only: it proves no identity.
    """
    if not _CODE.fullmatch(code):
        return ("is not 27 characters of 0-9 and A-Z",)
    faults = []
    if not code.startswith("0011"):
        faults.append(f"starts with {code[:4]}, not 0011 (an organisation by its credit code)")
    if not uscc.is_valid(code[4:22]):
        faults.append(f"holds {code[4:22]}, no valid unified social credit code")
    if code[22] not in "12" and code[22:] != "00000":
        faults.append(f"ends in {code[22:]}, neither 1 or 2 with four characters nor 00000")
    return tuple(faults)


class ProviderCode(NamedTuple):
    """What a well-formed provider code says."""

    credit_code: str  # 18 characters, GB 32100
    role: str  # "generates", "spreads", or "" where the extension is not used
    application: str  # four characters for the model or application, or ""


def provider_of(code: str) -> ProviderCode | None:
    """Decode a provider code; None: it is not well-formed, `check_provider_code` says why."""
    if check_provider_code(code):
        return None
    if code[22:] == "00000":
        return ProviderCode(code[4:22], "", "")
    return ProviderCode(code[4:22], {"1": "generates", "2": "spreads"}[code[22]], code[23:])


def aigc_object(
    label: str,
    producer: str,
    produce_id: str,
    propagator: str | None = None,
    propagate_id: str | None = None,
    *,
    reserved1: str = "",
    reserved2: str = "",
) -> str:
    """Write the canonical `AIGC` object (GB 45438-2025); ValueError if it would not pass `check_aigc`.

    Without a propagator it is the producer's first write: the propagator is the producer.
    """
    values = (
        label,
        producer,
        produce_id,
        reserved1,
        producer if propagator is None else propagator,
        produce_id if propagate_id is None else propagate_id,
        reserved2,
    )
    text = json.dumps({KEY: dict(zip(FIELDS, values, strict=True))}, separators=(",", ":"))
    check = check_aigc({KEY: text})
    if check.outcome is not Outcome.COMPLIANT:
        raise ValueError("; ".join(check.faults))
    return text


def _unwrap(parsed: object) -> tuple[_Object, list[str]]:
    """Find the fields: inside the `AIGC` member, or bare where it is missing."""
    if not isinstance(parsed, tuple):
        return (), ["AIGC is not a JSON object"]
    inner = [(name, value) for name, value in parsed if name.upper() == KEY]
    if not inner:
        return parsed, ["AIGC lacks its wrapper: the fields stand in a bare object"]
    name, value = inner[-1]
    faults = []
    if name != KEY:
        faults.append(f"AIGC is written {name}")
    if len(inner) > 1:
        faults.append("AIGC holds more than one object: one label a file")
    if len(parsed) > len(inner):
        faults.append("AIGC has other members beside it")
    if not isinstance(value, tuple):
        return (), [*faults, "AIGC holds no object"]
    return value, faults


def _shape_faults(pairs: _Object) -> Iterator[str]:
    """Say which fields are missing, repeated, foreign or out of order."""
    count = Counter(name for name, _ in pairs)
    for name in FIELDS:
        if count[name] == 0:
            yield f"{name} is missing"
        elif count[name] > 1:
            yield f"{name} appears {count[name]} times"
    foreign = [name for name in count if name not in FIELDS]
    for name in foreign[:MAX_FOREIGN]:
        yield f"{_shown(name)} is no field of the standard"
    if len(foreign) > MAX_FOREIGN:
        yield f"AIGC holds {len(foreign) - MAX_FOREIGN} more foreign fields"
    given = [name for name in count if name in FIELDS]
    if given != sorted(given, key=FIELDS.index):
        yield f"{', '.join(given)} are not in the standard's order"


def _value_faults(name: str, value: object, label: object) -> Iterator[str]:
    """Say what is wrong with one field's value."""
    if not isinstance(value, str) or isinstance(value, _Number):
        yield "is not a string"
        return
    if name == "Label":
        if value not in LABELS:
            yield f"is {_shown(value)!r}, not 1, 2 or 3"
        return
    if not value:
        if name not in _RESERVED and not (name in _PRODUCER and label in ("2", "3")):
            yield "is empty"
        return
    if illegal := _ILLEGAL.search(value):
        yield f"holds U+{ord(illegal[0]):04X}, outside 0x21, 0x23-0x5B and 0x5D-0x7E"
    if name in _PROVIDERS:
        yield from check_provider_code(value)


def _known_first(values: Mapping[str, object]) -> list[str]:
    foreign = [name for name in values if name not in FIELDS]
    return [name for name in FIELDS if name in values] + foreign[:MAX_FOREIGN]


def _shown(value: object) -> str:
    """Cut a text to what a message may carry; a lone surrogate could not be encoded in one."""
    return str(value)[:MAX_SHOWN].encode("utf-8", "replace").decode("utf-8")


def _encodable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _unreadable(reason: str) -> AigcCheck:
    return AigcCheck(Outcome.INCONCLUSIVE, None, (reason,), {})
