"""AIGC objects (GB 45438-2025) whose truth is known, because each is made with one fault or none.

Made here by hand, not with the code that is measured. Provider codes are published examples.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

GENERATES = "001191440300708461136T1XGW3"
SPREADS = "001191110102MACQD9K64028705"
FIELDS = {
    "Label": "1",
    "ContentProducer": GENERATES,
    "ProduceID": "p-0001",
    "ReservedCode1": "",
    "ContentPropagator": GENERATES,
    "PropagateID": "p-0001",
    "ReservedCode2": "",
}


def _text(fields: object, key: str = "AIGC", **beside: object) -> str:
    return json.dumps({key: fields} | beside, separators=(",", ":"), ensure_ascii=False)


def compliant() -> Iterator[tuple[str, str]]:
    """(name, text) of objects that keep the standard."""
    for label in "123":
        yield f"label {label}", _text(FIELDS | {"Label": label})
    yield "spread by another", _text(FIELDS | {"ContentPropagator": SPREADS, "PropagateID": "s-7"})
    yield "signed", _text(FIELDS | {"ReservedCode1": "MEUCIQDx+/=" * 8, "ReservedCode2": "x" * 64})
    yield (
        "extension not used",
        _text(FIELDS | dict.fromkeys(("ContentProducer", "ContentPropagator"), GENERATES[:22] + "00000")),
    )
    yield "with spaces between", json.dumps({"AIGC": FIELDS}, indent=1)


def faulty() -> Iterator[tuple[str, str]]:
    """(name, text) of objects with one fault each."""
    yield "no wrapper", json.dumps(FIELDS)
    yield "wrapper in small letters", _text(FIELDS, key="aigc")
    yield "wrapper misspelt", _text(FIELDS, key="AICG")
    yield "two wrappers", _text(FIELDS, aigc=FIELDS)
    yield "member beside the wrapper", _text(FIELDS, version="1")
    yield "wrapper holds words", _text("generated")
    yield "wrapper holds a list", _text([FIELDS])
    for field in FIELDS:
        yield f"{field} is missing", _text({name: value for name, value in FIELDS.items() if name != field})
        yield f"{field} is no string", _text(FIELDS | {field: 1})
    for field in ("Label", "ContentProducer", "ProduceID", "ContentPropagator", "PropagateID"):
        yield f"{field} is empty", _text(FIELDS | {field: ""})
    for label in ("0", "4", "AIGC", "一"):
        yield f"Label {label}", _text(FIELDS | {"Label": label})
    yield "other order", _text(dict(reversed(FIELDS.items())))
    yield "foreign field", _text(FIELDS | {"ServiceProvider": "somebody"})
    yield "field twice", _text(FIELDS).replace('"Label":"1"', '"Label":"1","Label":"1"')
    for name, value in (
        ("space", "p 1"),
        ("quote", 'p"1'),
        ("backslash", "p\\1"),
        ("Chinese", "编号1"),
        ("accent", "é1"),
    ):
        yield f"{name} in ProduceID", _text(FIELDS | {"ProduceID": value})
    for name, code in (
        ("name instead of a code", "ExampleAI"),
        ("code too short", GENERATES[:-1]),
        ("code too long", GENERATES + "0"),
        ("code in small letters", GENERATES.lower()),
        ("code of another kind", "0021" + GENERATES[4:]),
        ("credit code with a wrong check digit", GENERATES[:21] + "X" + GENERATES[22:]),
        ("code that neither generates nor spreads", GENERATES[:22] + "3XGW3"),
    ):
        yield name, _text(FIELDS | {"ContentProducer": code})
    yield "cut off", _text(FIELDS)[:-20]
    yield "words", "AI generated"
    yield "text behind it", _text(FIELDS) + ";" + _text(FIELDS)
