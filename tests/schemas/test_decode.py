"""What `decode` lets in, and how it says what is wrong with the rest."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.bank import HashEntry, Rumor
from schemas.decision import Reason
from schemas.event import URI_SCHEMES, Media, Upload
from schemas.examples import EXAMPLES
from schemas.message import Message, Refused, convert, decode, encode
from schemas.policy import Policy
from schemas.registry import Publisher
from schemas.topics import TOPICS

UPLOAD = encode(EXAMPLES["uploads"])
SHA256 = "0" * 64
REASON = {"code": "REVIEW-TERM", "score": 1.0, "threshold": 1.0}
RUMOR = {"rumor_id": "r", "claims": ["the moon is cheese"], "status": "refuted", "added_at": "2026-01-01T00:00:00Z"}
ENTRY = {"entry_id": "e", "category": "c", "source": "s", "added_at": "2026-01-01T00:00:00Z"}


def changed(topic: str, **fields: Any) -> bytes:
    """The topic's example with fields set anew: `media__uri` means `uri` of `media`; ... drops the field."""
    tree = json.loads(encode(EXAMPLES[topic]))
    for path, value in fields.items():
        *parents, name = path.split("__")
        place = tree
        for parent in parents:
            place = place[parent]
        if value is ...:
            del place[name]
        else:
            place[name] = value
    return json.dumps(tree).encode()


def refusal(kind: type[Message], data: bytes) -> Refused:
    with pytest.raises(Refused) as caught:
        decode(kind, data)
    return caught.value


@pytest.mark.parametrize(
    ("topic", "fields", "field", "reason"),
    [
        ("uploads", {"event_id": 7}, "event_id", "Expected `str`, got `int`"),
        ("uploads", {"event_id": ""}, "event_id", "length >= 1"),
        ("uploads", {"event_id": "x" * 257}, "event_id", "length <= 256"),
        ("uploads", {"publisher_id": ...}, "publisher_id", "missing required field"),
        ("uploads", {"media__bytes": ...}, "media.bytes", "missing required field"),
        ("uploads", {"media__bytes": -1}, "media.bytes", ">= 0"),
        ("uploads", {"media__bytes": True}, "media.bytes", "got `bool`"),
        ("uploads", {"media__bytes": 1.5}, "media.bytes", "got `float`"),
        ("uploads", {"media": None}, "media", "Expected `object`, got `null`"),
        ("uploads", {"created_at": "2026-03-02T12:00:00"}, "created_at", "timezone"),
        ("uploads", {"created_at": 1772452800}, "created_at", "Expected `datetime`"),
        ("uploads", {"created_at": "yesterday"}, "created_at", "Invalid RFC3339"),
        ("uploads", {"tags": ["fine", 3]}, "tags[1]", "Expected `str`, got `int`"),
        ("uploads", {"tags": ["many"] * 101}, "tags", "length <= 100"),
        ("uploads", {"title": "x" * 20_001}, "title", "length <= 20000"),
        ("uploads", {"stream_id": "live-1"}, "stream_id", "topic `segments`"),
        ("segments", {"duration_s": -0.1}, "duration_s", ">= 0"),
        ("segments", {"seq": -1}, "seq", ">= 0"),
        ("segments", {"stream_id": None}, "stream_id", "Expected `str`, got `null`"),
        ("segments", {"start_s": ...}, "start_s", "missing required field"),
        ("publishers", {"kind": "robot"}, "kind", "Invalid enum value 'robot'"),
        ("publishers", {"verification": "1" * 257}, "verification", "length <= 256"),
        ("policies", {"review__nudity_revew": 0.5}, "review.nudity_revew", "unknown field"),
        ("policies", {"deadline": 1}, "deadline", "unknown field"),
        ("policies", {"review__nudity_review": 1.01}, "review.nudity_review", "<= 1"),
        ("policies", {"rumor__match": -0.01}, "rumor.match", ">= 0"),
        ("policies", {"review__hash_max_distance": 129}, "review.hash_max_distance", "<= 128"),
        ("policies", {"verdict__upload_deadline_s": 0}, "verdict.upload_deadline_s", "> 0"),
        ("policies", {"verdict__agents": []}, "verdict.agents", "length >= 1"),
        ("policies", {"version": 0}, "version", ">= 1"),
        ("policies", {"review__nudity_takedown": 0.1}, "review.nudity_takedown", "below `review.nudity_review`"),
    ],
)
def test_a_message_that_breaks_its_promise_is_refused_with_the_field_and_the_reason(
    topic: str, fields: dict[str, Any], field: str, reason: str
) -> None:
    refused = refusal(TOPICS[topic].message, changed(topic, **fields))
    assert refused.field == field
    assert reason in refused.reason


@pytest.mark.parametrize(
    "uri",
    [
        "ftp://host/a.mp4", "javascript:alert(1)", "data:video/mp4;base64,AAAA", "/etc/passwd", "media.example.com/a",
        "file:/etc/passwd", "FILE:///etc/passwd", " https://host/a", "https:host", "\thttps://host/a", "https://[",
    ],
)  # fmt: skip
def test_media_that_lies_elsewhere_than_the_schemes_allow_is_refused(uri: str) -> None:
    refused = refusal(Upload, changed("uploads", media__uri=uri))
    assert refused.field in {"media.uri", "media"}  # a host that is no host is told of the whole


def test_a_refused_scheme_is_named_beside_those_that_are_allowed() -> None:
    reason = refusal(Upload, changed("uploads", media__uri="ftp://host/a.mp4")).reason
    assert "'ftp'" in reason
    assert all(f"{scheme}://" in reason for scheme in URI_SCHEMES)


@pytest.mark.parametrize("scheme", sorted(URI_SCHEMES))
def test_every_allowed_scheme_is_let_in(scheme: str) -> None:
    uri = f"{scheme}://host/a.mp4"
    assert decode(Upload, changed("uploads", media__uri=uri)).media.uri == uri


@pytest.mark.parametrize("sha256", ["", "0" * 63, "0" * 65, "A" * 64, "g" * 64, "0" * 64 + "\n", " " + "0" * 63])
def test_a_hash_that_is_not_64_lower_case_digits_is_refused(sha256: str) -> None:
    assert refusal(Upload, changed("uploads", media__sha256=sha256)).field == "media.sha256"


@pytest.mark.parametrize(
    "data",
    [
        b"", b" ", b"null", b"[]", b"7", b"{", b"{}x", b'{"event_id"', b"hello", b"\xff\xfe", b"\xef\xbb\xbf{}",
        b"[" * 100_000, b'{"unknown":' * 100_000, b'{"title":"\xff"}', rb'{"title":"\ud800"}', b'{"event_id": NaN}',
        b'{"event_id": 1e999}', b'{"event_id": ' + b"9" * 10_000 + b"}",
    ],
    ids=lambda data: repr(data[:16]),
)  # fmt: skip
@pytest.mark.parametrize("topic", TOPICS)
def test_what_is_no_message_at_all_is_refused_on_every_topic(topic: str, data: bytes) -> None:
    refusal(TOPICS[topic].message, data)


def test_deep_nesting_in_a_field_that_nobody_reads_is_refused_and_no_recursion_error_escapes() -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    assert "recursion" in refusal(Upload, UPLOAD[:-1] + b',"unknown":' + deep + b"}").reason


def test_unknown_fields_of_an_event_are_dropped_not_refused() -> None:
    data = changed("uploads", colour="red", media__codec="av1")
    assert decode(Upload, data) == EXAMPLES["uploads"]


def test_an_entry_with_nothing_to_match_is_refused_and_either_alone_is_enough() -> None:
    assert refusal(HashEntry, json.dumps(ENTRY).encode()).field == "frames"
    assert decode(HashEntry, json.dumps({**ENTRY, "sha256": SHA256}).encode()).sha256 == SHA256
    frames = [{"pdq": SHA256, "quality": 100}]
    assert decode(HashEntry, json.dumps({**ENTRY, "frames": frames}).encode()).sha256 is None


def test_a_refuted_rumour_needs_its_refutation_and_a_suspected_one_does_not() -> None:
    assert refusal(Rumor, json.dumps(RUMOR).encode()).field == "refutation"
    assert decode(Rumor, json.dumps({**RUMOR, "status": "suspected"}).encode()).refutation is None


def test_a_reason_code_of_a_later_version_is_read() -> None:
    assert decode(Reason, json.dumps({**REASON, "code": "REVIEW-MOOD"}).encode()).code == "REVIEW-MOOD"
    assert decode(Reason, json.dumps(REASON).encode()).article == ""


def test_the_place_of_a_fault_in_a_list_is_told() -> None:
    data = json.dumps({**json.loads(encode(EXAMPLES["decisions"])), "reasons": [REASON, {**REASON, "score": 2}]})
    assert refusal(TOPICS["decisions"].message, data.encode()).field == "reasons[1].score"


def test_a_sender_cannot_forge_the_place_of_a_fault() -> None:
    refused = refusal(Publisher, changed("publishers", kind="x - at `$.real_name`"))
    assert refused.field == "kind"


def test_a_refusal_reads_as_field_and_reason() -> None:
    assert str(Refused("media.uri", "is missing")) == "media.uri: is missing"
    assert str(Refused("", "not JSON")) == "not JSON"


def test_plain_objects_are_refused_as_bytes_are() -> None:
    with pytest.raises(Refused) as caught:
        convert(Policy, {"name": "mine", "version": 1, "review": {"nudity": 0.5}})
    assert caught.value.field == "review.nudity"


@settings(deadline=None)  # a busy machine is no defect
@given(st.binary(max_size=300), st.sampled_from(sorted(TOPICS)))
def test_arbitrary_bytes_raise_nothing_but_refused(data: bytes, topic: str) -> None:
    read_or_refuse(topic, data)


@settings(deadline=None)  # a busy machine is no defect
@given(st.data(), st.sampled_from(sorted(TOPICS)))
def test_an_example_with_bytes_cut_or_replaced_raises_nothing_but_refused(data: st.DataObject, topic: str) -> None:
    example = encode(EXAMPLES[topic])
    begin = data.draw(st.integers(0, len(example)))
    end = data.draw(st.integers(begin, min(len(example), begin + 8)))
    read_or_refuse(topic, example[:begin] + data.draw(st.binary(max_size=8)) + example[end:])


def read_or_refuse(topic: str, data: bytes) -> None:
    try:
        message = decode(TOPICS[topic].message, data)
    except Refused:
        return
    assert decode(TOPICS[topic].message, encode(message)) == message


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
ids = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=256)
uploads = st.builds(
    Upload,
    event_id=ids,
    content_id=ids,
    publisher_id=ids,
    provider_id=ids,
    service=ids,
    media=st.builds(
        Media,
        uri=st.builds("{}://host/{}".format, st.sampled_from(sorted(URI_SCHEMES)), texts),
        sha256=st.text("0123456789abcdef", min_size=64, max_size=64),
        bytes=st.integers(0, 2**70),
    ),
    created_at=st.datetimes(timezones=st.timezones()),
    title=texts,
    description=texts,
    tags=st.lists(texts, max_size=5).map(tuple),
    category=texts,
    declared_synthetic=st.none() | st.booleans(),
    feature_id=st.none() | ids,
    stream_id=st.none(),
    seq=st.none() | st.integers(0, 2**40),
    start_s=st.none() | st.floats(0, 1e9),
    duration_s=st.none() | st.floats(0, allow_infinity=False),
    last=st.booleans(),
)


@settings(deadline=None)  # a busy machine is no defect
@given(uploads)
def test_writing_what_was_read_gives_the_same_bytes(upload: Upload) -> None:
    data = encode(upload)
    assert encode(decode(Upload, data)) == data
