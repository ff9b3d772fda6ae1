"""Whoever was built for a released version goes on working; and the comparison that says so sees what it must."""

import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from schemas.compatibility import breaks
from schemas.generate import RELEASED, ROOT, json_schema
from schemas.topics import TOPICS

RECORDS = sorted((ROOT / RELEASED).glob("*/*.schema.json"))


@pytest.mark.parametrize("record", RECORDS, ids=lambda path: f"{path.parent.name}-{path.name.split('.')[0]}")
def test_the_wire_keeps_what_was_released(record: Path) -> None:
    topic = record.name.removesuffix(".schema.json")
    assert topic in TOPICS, f"the topic {topic} of {record.parent.name} is gone"
    assert breaks(json.loads(record.read_text("utf-8")), json_schema(TOPICS[topic])) == []


def test_the_first_version_is_on_record() -> None:
    assert (ROOT / RELEASED / "0.1.0" / "uploads.schema.json") in RECORDS


def structs(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    return (part for part in (schema, *schema.get("$defs", {}).values()) if "properties" in part)


def struct(schema: dict[str, Any], title: str) -> dict[str, Any]:
    return next(part for part in structs(schema) if part["title"] == title)


def after(topic: str, change: Callable[[dict[str, Any]], Any]) -> list[str]:
    """What breaks once the topic's schema has been changed."""
    old = json_schema(TOPICS[topic])
    new = deepcopy(old)
    change(new)
    assert new != old
    return breaks(old, new)


@pytest.mark.parametrize("topic", TOPICS)
def test_a_schema_does_not_break_itself(topic: str) -> None:
    schema = json_schema(TOPICS[topic])
    assert breaks(schema, deepcopy(schema)) == []


FIELDS = [
    (topic, part["title"], name)
    for topic in TOPICS
    for part in structs(json_schema(TOPICS[topic]))
    for name in part["properties"]
]


def named(found: list[str], name: str, reason: str) -> bool:
    return any(f".{name}: {reason}" in line or f".{name}[]: {reason}" in line for line in found)


@pytest.mark.parametrize(("topic", "title", "name"), FIELDS)
def test_every_field_of_every_message_is_guarded(topic: str, title: str, name: str) -> None:
    def properties(schema: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = struct(schema, title)["properties"]
        return found

    def rename(schema: dict[str, Any]) -> None:
        properties(schema)[f"new_{name}"] = properties(schema).pop(name)

    def require(schema: dict[str, Any]) -> None:
        required = struct(schema, title)["required"]
        required.remove(name) if name in required else required.append(name)

    assert named(after(topic, lambda schema: properties(schema).pop(name)), name, "removed")
    assert named(after(topic, rename), name, "removed")
    assert named(after(topic, lambda schema: properties(schema).update({name: {"type": "weather"}})), name, "retyped")
    assert named(after(topic, require), name, "no") or named(after(topic, require), name, "newly required")


@pytest.mark.parametrize(
    ("topic", "title", "name", "rules", "told"),
    [
        ("uploads", "Media", "bytes", {"type": "number"}, "$.media.bytes: retyped from integer to number"),
        ("uploads", "Media", "bytes", {"minimum": 1}, "$.media.bytes: minimum tightened from 0 to 1"),
        ("uploads", "Media", "bytes", {"maximum": 10}, "$.media.bytes: maximum tightened from none to 10"),
        ("uploads", "Media", "uri", {"maxLength": 10}, "$.media.uri: maxLength tightened from 4096 to 10"),
        ("uploads", "Media", "uri", {"pattern": "^https://"}, "$.media.uri: pattern changed"),
        ("uploads", "Upload", "title", {"pattern": "^x"}, "$.title: pattern added"),
        ("uploads", "Upload", "title", {"const": "x"}, "$.title: const added"),
        ("uploads", "Upload", "title", {"enum": ["x"]}, "$.title: enum added"),
        ("uploads", "Upload", "tags", {"maxItems": 99}, "$.tags: maxItems tightened from 100 to 99"),
        ("uploads", "Upload", "tags", {"items": {"type": "integer"}}, "$.tags[]: retyped from string to integer"),
        ("uploads", "Upload", "created_at", {"format": "date"}, "$.created_at: format changed from date-time to date"),
        ("admitted", "Event", "event_id", {"minLength": 2}, "$.event.event_id: minLength tightened from 1 to 2"),
        ("deadletters", "DeadLetter", "key", {"anyOf": [{"type": "null"}]}, "$.key: retyped from null or string"),
        ("signals", "Signals", "models", {"additionalProperties": {"type": "integer"}}, "$.models.*: retyped"),
        ("signals", "Signals", "models", {"additionalProperties": False}, "$.models.*: refused, was let in"),
        ("publishers", "Publisher", "kind", {"enum": ["person"]}, "$.kind: enum value 'organisation' removed"),
        ("decisions", "Stop", "kind", {"enum": ["hold"]}, "$.stop.kind: enum value 'cut_stream' removed"),
        ("policies", "SyntheticPolicy", "traces", {"enum": ["allow"]}, "$.synthetic.traces: enum value 'label'"),
    ],
)  # fmt: skip
def test_a_narrowed_or_retyped_field_is_told_with_its_path(
    topic: str, title: str, name: str, rules: dict[str, Any], told: str
) -> None:
    found = after(topic, lambda schema: struct(schema, title)["properties"][name].update(rules))
    assert any(line.startswith(told) for line in found), found


@pytest.mark.parametrize("topic", TOPICS)
def test_every_enumeration_and_bound_is_guarded(topic: str) -> None:
    def parts(value: Any) -> Iterator[dict[str, Any]]:
        if isinstance(value, dict):
            yield value
        for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            yield from parts(inner)

    schema = json_schema(TOPICS[topic])
    for place, part in enumerate(parts(schema)):
        for keyword in part.keys() & {"enum", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems"}:
            new = deepcopy(schema)
            changed = list(parts(new))[place]
            if keyword == "enum":
                changed["enum"].pop()
            else:
                changed[keyword] += 1 if keyword.startswith("min") else -1
            found = breaks(schema, new)
            # A rule over the whole message is compared whole.
            assert any(keyword in line or "allOf changed" in line for line in found), (part, keyword)


def test_a_new_rule_over_the_whole_message_is_a_break_and_a_lifted_one_is_not() -> None:
    assert after("uploads", lambda schema: schema["allOf"].append({"required": ["title"]})) == ["$: allOf changed"]
    assert after("uploads", lambda schema: schema.pop("allOf")) == []
    assert after("labels", lambda schema: schema.update({"not": {"required": ["seq"]}})) == ["$: not added"]


def test_a_further_alternative_of_a_rule_lets_in_more_and_one_less_is_a_break() -> None:
    def add(schema: dict[str, Any]) -> None:
        schema["allOf"][0]["anyOf"].append({"required": ["other"]})

    assert after("hashbank", add) == []
    assert after("hashbank", lambda schema: schema["allOf"][0]["anyOf"].pop()) == ["$: allOf changed"]
    assert after("hashbank", lambda schema: schema["allOf"][0].update({"not": {}})) == ["$: allOf changed"]


def test_refusing_unknown_fields_is_a_break_and_letting_them_in_is_not() -> None:
    assert after("uploads", lambda schema: schema.update({"additionalProperties": False})) == [
        "$.*: refused, was let in"
    ]
    assert after("policies", lambda schema: schema.pop("additionalProperties")) == []


def test_a_field_that_may_now_be_null_is_a_break_for_those_who_read_it() -> None:
    nullable = {"anyOf": [{"type": "string"}, {"type": "null"}]}
    found = after("verdicts", lambda schema: schema["properties"].update({"content_id": nullable}))
    assert found == ["$.content_id: retyped from string to null or string"]


@pytest.mark.parametrize("topic", TOPICS)
def test_an_added_optional_field_breaks_nothing_and_a_required_one_does(topic: str) -> None:
    def add(schema: dict[str, Any]) -> None:
        for part in structs(schema):
            part["properties"]["added"] = {"type": "string", "default": ""}

    def add_required(schema: dict[str, Any]) -> None:
        add(schema)
        schema["required"].append("added")

    assert after(topic, add) == []
    assert after(topic, add_required) == ["$.added: newly required"]


def test_a_wider_bound_a_new_enumeration_value_and_new_words_break_nothing() -> None:
    assert after("uploads", lambda schema: schema["properties"]["title"].update({"maxLength": 40_000})) == []
    assert after("uploads", lambda schema: schema["properties"]["tags"].pop("maxItems")) == []
    assert after("publishers", lambda schema: schema["properties"]["kind"]["enum"].append("machine")) == []
    assert after("uploads", lambda schema: schema.update({"description": "other words"})) == []
    assert after("policies", lambda schema: schema["properties"]["comment"].update({"default": "-"})) == []


def test_moving_a_type_to_another_name_breaks_nothing() -> None:
    def move(schema: dict[str, Any]) -> None:
        schema["$defs"]["Link"] = {**schema["$defs"].pop("Media"), "title": "Link"}
        schema["properties"]["media"] = {"$ref": "#/$defs/Link"}

    assert after("uploads", move) == []


def test_a_type_that_holds_itself_is_compared_without_end() -> None:
    node = {
        "title": "Node",
        "type": "object",
        "properties": {"value": {"type": "integer"}, "next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]}},
    }
    old = {"$ref": "#/$defs/Node", "$defs": {"Node": node}}
    new = deepcopy(old)
    assert breaks(old, new) == []
    new["$defs"]["Node"]["properties"]["value"]["type"] = "string"  # type: ignore[index]
    assert breaks(old, new) == ["$.value: retyped from integer to string"]
