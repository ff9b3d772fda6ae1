"""The tables that docs, topics and judges are made from hold together."""

import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import msgspec
import pytest

from schemas.decision import PolicyRef, decision_id, stable_id
from schemas.policy import Policy, default_policy
from schemas.reasons import _CODES, CATALOGUE, ReasonCode
from schemas.topics import LOG_DAYS, PARTITIONS, TOPICS, Topic

POLICY_TEXT = files("schemas").joinpath("policy.toml").read_text("utf-8")
REF = PolicyRef(name="default", version=1)
#: Agents that decide on what was published, or ask about it; no item waits for them.
LATER = ("refuting", "emerging", "recycled", "labeler")

topics = pytest.mark.parametrize("topic", TOPICS.values(), ids=TOPICS)
reasons = pytest.mark.parametrize("reason", _CODES, ids=[code.code for code in _CODES])


def test_topics_are_named_once_and_found_by_their_name() -> None:
    assert all(name == topic.name for name, topic in TOPICS.items())
    assert len({topic.message for topic in TOPICS.values()}) == len(TOPICS)


@topics
def test_a_topic_is_named_as_kafka_and_its_metrics_allow(topic: Topic) -> None:
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", topic.name)
    assert topic.about


@topics
def test_the_key_of_a_topic_is_a_field_of_what_goes_over_it(topic: Topic) -> None:
    if topic.name == "deadletters":
        assert topic.key == "as it came"
        return
    fields = topic.message.__struct_fields__
    inner = msgspec.structs.fields(topic.message)[0].type.__struct_fields__ if "event" in fields else ()
    assert topic.key in (*fields, *inner)


@topics
def test_a_table_that_others_send_has_one_partition_and_every_other_topic_twelve(topic: Topic) -> None:
    assert topic.compacted == (topic.retention_days is None)
    assert topic.partitions == (1 if topic.compacted and topic.direction == "in" else PARTITIONS)


@topics
def test_what_is_decided_is_kept_as_long_as_the_law_asks(topic: Topic) -> None:
    if (topic.direction == "out" and topic.name != "deadletters") or topic.name in ("complaints", "rulings"):
        assert topic.retention_days == LOG_DAYS == 184
    else:
        assert topic.compacted or topic.retention_days in {7, 14, 30, 60}


def test_longest_half_year_is_covered() -> None:
    assert LOG_DAYS >= 31 + 30 + 31 + 30 + 31 + 31  # July to December


def test_reason_codes_are_unique() -> None:
    assert [code for code, count in Counter(code.code for code in _CODES).items() if count > 1] == []
    assert list(CATALOGUE.values()) == list(_CODES)


@reasons
def test_a_reason_code_has_its_form_its_article_and_whole_sentences(reason: ReasonCode) -> None:
    assert re.fullmatch(r"[A-Z]+(-[A-Z]+)+", reason.code)
    assert re.fullmatch(r"((AVP|DSP|LBL)-\d+)?", reason.article)
    assert reason.meaning.endswith(".")
    assert reason.remedy.endswith(".")


@reasons
def test_a_reason_is_given_by_an_agent_that_decides_on_items(reason: ReasonCode) -> None:
    assert reason.agent in (*default_policy().verdict.agents, "verdict", "complaints", "reviewers", *LATER)


def sections(kind: type, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every setting of a policy: its path and its default."""
    for field in msgspec.structs.fields(kind):
        if isinstance(field.default, msgspec.Struct):
            yield from sections(type(field.default), (*path, field.name))
        else:
            made = field.default is msgspec.NODEFAULT and field.default_factory is not msgspec.NODEFAULT
            yield (*path, field.name), field.default_factory() if made else field.default


SETTINGS = {path: default for path, default in sections(Policy) if path not in {("name",), ("version",), ("comment",)}}


@pytest.mark.parametrize("path", SETTINGS, ids=".".join)
def test_the_policy_that_ships_shows_every_setting_in_its_section_with_a_reason(path: tuple[str, ...]) -> None:
    *parents, name = path
    section = ".".join(parents)
    if re.search(rf"^\[{{1,2}}{re.escape('.'.join(path))}[\].]", POLICY_TEXT, re.MULTILINE):
        return  # a table of its own
    body = POLICY_TEXT.split(f"\n[{section}]\n")[1].split("\n[")[0]
    assert re.search(rf"^(# )?{name} = ", body, re.MULTILINE)


@pytest.mark.parametrize("path", sorted(SETTINGS.keys() - {("review", "terms")}), ids=".".join)
def test_the_policy_that_ships_holds_the_defaults(path: tuple[str, ...]) -> None:
    found: Any = default_policy()
    for name in path:
        found = getattr(found, name)
    assert found == SETTINGS[path]


def test_the_policy_file_says_the_terms_and_nothing_that_the_types_do_not() -> None:
    assert tomllib.loads(POLICY_TEXT)["review"]["terms"]
    assert default_policy().review.terms


def test_a_commented_setting_of_the_policy_is_valid_once_it_is_uncommented() -> None:
    assert (uncommented := POLICY_TEXT.replace("# nudity_takedown", "nudity_takedown")) != POLICY_TEXT
    assert msgspec.toml.decode(uncommented, type=Policy).review.nudity_takedown == 0.98


def test_the_default_policy_takes_the_name_under_which_it_is_in_force() -> None:
    assert default_policy().name == "default"
    assert default_policy("x").name == "x"
    assert default_policy("x").ref == PolicyRef(name="x", version=1)


def test_a_decisions_id_is_always_the_same_for_the_same_parts() -> None:
    # Written down, because ids on topics that are kept for half a year must not change with the code.
    assert decision_id("event-1", "review", REF) == "ab1d7b9bb402685caf418030fc91a3b2"


def test_a_decisions_id_differs_with_each_of_its_parts() -> None:
    ids = [
        decision_id("event-1", "review", REF),
        decision_id("event-2", "review", REF),
        decision_id("event-1", "rumor", REF),
        decision_id("event-1", "review", PolicyRef(name="default", version=2)),
        decision_id("event-1", "review", PolicyRef(name="strict", version=1)),
    ]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[0-9a-f]{32}", found) for found in ids)


def test_ids_do_not_run_into_each_other() -> None:
    assert stable_id("ab", "c") != stable_id("a", "bc") != stable_id("abc")
