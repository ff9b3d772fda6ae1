"""The JSON Schemas say what the types say."""

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from schemas.examples import EXAMPLES
from schemas.generate import DIALECT, example_json, json_schema
from schemas.message import Refused, decode, encode
from schemas.topics import TOPICS

Path = tuple[str | int, ...]

#: Put in the place of every value in turn: one of each type, and what lies at the usual bounds.
OTHERS: tuple[Any, ...] = (
    None, True, False, -1, 0, 1, 101, 1.5, -0.5, "", "x", "x" * 4097, "x" * 20_001, "0" * 64, "0" * 63,
    "2026-01-01T00:00:00Z", "2026-01-01T00:00:00", "https://host/", "ftp://host/", [], ["x"] * 101, [None], {},
    {"x": "x"}, {"x": 1},
)  # fmt: skip


@cache
def validator(topic: str) -> Draft202012Validator:
    return Draft202012Validator(json_schema(TOPICS[topic]), format_checker=Draft202012Validator.FORMAT_CHECKER)


def tree(topic: str) -> Any:
    return json.loads(encode(EXAMPLES[topic]))


def refusal(topic: str, value: Any) -> Refused | None:
    try:
        decode(TOPICS[topic].message, json.dumps(value).encode())
    except Refused as refused:
        return refused
    return None


def agree(topic: str, value: Any, what: str) -> None:
    refused = refusal(topic, value)
    # JSON Schema cannot compare two fields, nor say that a list rises.
    if refused and any(
        rule in refused.reason
        for rule in (
            "`review.nudity_takedown` lies below",
            "`ladder` must rise",
            "`expires_at` does not lie after",
            "`must_not`",
        )
    ):
        return
    errors = [f"{error.json_path}: {error.message[:200]}" for error in validator(topic).iter_errors(value)]
    assert bool(errors) == bool(refused), f"{what}: JSON Schema says {errors}, decode says {refused}"


def places(value: Any, path: Path = ()) -> Iterator[Path]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*path, key)
        yield from places(item, (*path, key))


def holder(value: Any, path: Path) -> Any:
    for key in path[:-1]:
        value = value[key]
    return value


def test_every_topic_has_an_example_of_its_type() -> None:
    assert list(EXAMPLES) == list(TOPICS)
    assert all(type(EXAMPLES[name]) is topic.message for name, topic in TOPICS.items())


@pytest.mark.parametrize("topic", TOPICS)
def test_every_schema_is_a_schema_and_names_itself(topic: str) -> None:
    schema = json_schema(TOPICS[topic])
    Draft202012Validator.check_schema(schema)
    assert (schema["$schema"], schema["$id"]) == (DIALECT, f"urn:veristream:{topic}")
    assert schema["title"] == TOPICS[topic].message.__name__
    assert schema["description"]


@pytest.mark.parametrize("topic", TOPICS)
def test_every_example_is_valid_and_comes_back_as_it_was(topic: str) -> None:
    for shown in (json.loads(example_json(TOPICS[topic])), tree(topic)):
        validator(topic).validate(shown)
        assert decode(TOPICS[topic].message, json.dumps(shown).encode()) == EXAMPLES[topic]


@pytest.mark.parametrize("topic", TOPICS)
def test_only_the_policy_shuts_out_unknown_fields(topic: str) -> None:
    schema = json_schema(TOPICS[topic])
    structs = [part for part in (schema, *schema.get("$defs", {}).values()) if "properties" in part]
    assert structs
    shut = {"policies": {False}, "lists": {True, False}}  # of a list's part, the terms and links, which are policy
    assert {part.get("additionalProperties", True) for part in structs} == shut.get(topic, {True})


@pytest.mark.parametrize("topic", TOPICS)
def test_schema_and_decode_agree_on_every_field_that_is_dropped(topic: str) -> None:
    for path in places(tree(topic)):
        value = tree(topic)
        del holder(value, path)[path[-1]]
        agree(topic, value, f"without {path}")


@pytest.mark.parametrize("topic", TOPICS)
def test_schema_and_decode_agree_on_every_field_that_is_replaced(topic: str) -> None:
    for path in places(tree(topic)):
        for other in OTHERS:
            value = tree(topic)
            holder(value, path)[path[-1]] = other
            agree(topic, value, f"{path} = {other!r:.40}")


@pytest.mark.parametrize("topic", TOPICS)
def test_schema_and_decode_agree_on_an_unknown_field_anywhere(topic: str) -> None:
    for path in [(), *places(tree(topic))]:
        value = tree(topic)
        place = holder(value, (*path, ""))
        if isinstance(place, dict):
            place["unknown"] = "x"
            agree(topic, value, f"unknown field in {path}")


#: Any JSON, but for the two things in which `decode` differs on purpose or by its library; see below.
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False).filter(lambda number: not number.is_integer())
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc_", max_size=5), inner, max_size=3),
    max_leaves=6,
)


@settings(deadline=None)  # a busy machine is no defect
@given(st.data(), st.sampled_from(sorted(TOPICS)), json_values)
def test_schema_and_decode_agree_on_any_value_in_any_place(data: st.DataObject, topic: str, other: Any) -> None:
    value = tree(topic)
    path = data.draw(st.sampled_from(list(places(value))))
    assume(not (isinstance(other, str) and other.startswith(("http", "file", "s3"))))
    holder(value, path)[path[-1]] = other
    agree(topic, value, f"{path} = {other!r}")


def test_decode_is_stricter_than_the_schema_on_whole_numbers_written_with_a_point() -> None:
    value = {**tree("segments"), "seq": 17.0}
    assert validator("segments").is_valid(value)
    assert str(refusal("segments", value)) == "seq: Expected `int`, got `float`"


@pytest.mark.parametrize("created_at", ["2026-03-02 12:00:00Z", "2026-03-02T12:00:00+0800"])
def test_decode_is_laxer_than_the_schema_on_a_time_with_a_blank_or_without_a_colon(created_at: str) -> None:
    value = {**tree("uploads"), "created_at": created_at}
    assert not validator("uploads").is_valid(value)
    assert refusal("uploads", value) is None
