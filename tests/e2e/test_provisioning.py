"""Topics on a real Apache Kafka: whatever is changed by hand is found, what can be mended without loss is mended, and
nothing else is touched."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from commands import command
from confluent_kafka import TopicCollection
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    ResourceType,
)
from kafka import client, prefixes
from processes import until

from deploy.embedded import EmbeddedBroker, free_port
from deploy.kafka.cluster import Cluster
from schemas.topics import PARTITIONS, TOPICS
from streams.kafka import create_topics
from streams.provision import Provisioned, compare, provision
from streams.settings import load

DAY_MS = 86_400_000
#: The broker that is asked is chosen at random, and they learn of a change one after the other: so often in a row the
#: same answer is that of all three.
ASKED = 5


class OnKafka:
    """Three brokers, with prefixes of its own."""

    def __init__(self, cluster: Cluster) -> None:
        self.settings: dict[str, Any] = cluster.settings | prefixes() | {"replication": 3}
        self.admin = AdminClient(client(cluster.settings))

    def wire(self, name: str) -> str:
        return f"{self.settings['topic_prefix']}{name}"

    def topics(self, *arguments: str, **more: Any) -> tuple[int, str, str]:
        ended = command(self.settings | more, "topics", *arguments)
        return ended.returncode, ended.stdout, ended.stderr

    def provision(self, *, dry_run: bool = False) -> Provisioned:
        return asyncio.run(provision(load(**self.settings), dry_run=dry_run))

    def shows(self, rows: list[tuple[str, str, str, str]]) -> None:
        """Wait until each broker, whichever is asked, shows just these differences."""
        for _ in range(ASKED):
            until(lambda: self.diff() == rows, f"{rows} were seen", 20)

    def diff(self, **more: Any) -> list[tuple[str, str, str, str]]:
        rows = asyncio.run(compare(load(**self.settings | more))).differences
        prefix = self.settings["topic_prefix"]
        return [(row.topic.removeprefix(prefix), row.what, row.has, row.should) for row in rows]

    def set(self, name: str, **entries: str) -> None:
        changes = [
            ConfigEntry(entry.replace("_", "."), value, incremental_operation=AlterConfigOpType.SET)
            for entry, value in entries.items()
        ]
        resource = ConfigResource(ResourceType.TOPIC, self.wire(name), incremental_configs=changes)
        for done in self.admin.incremental_alter_configs([resource]).values():
            done.result(10)

    def config(self, name: str) -> Mapping[str, str]:
        resource = ConfigResource(ResourceType.TOPIC, self.wire(name))
        (answer,) = self.admin.describe_configs([resource]).values()
        return {entry: value.value for entry, value in answer.result(10).items()}

    def partitions(self, name: str) -> list[Any]:
        (answer,) = self.admin.describe_topics(TopicCollection([self.wire(name)])).values()
        return list(answer.result(10).partitions)

    def drop(self, name: str) -> None:
        for done in self.admin.delete_topics([self.wire(name)]).values():
            done.result(10)

    def make(self, name: str, partitions: int, replicas: int) -> None:
        for done in self.admin.create_topics([NewTopic(self.wire(name), partitions, replicas)]).values():
            done.result(10)


@pytest.fixture
def on_kafka(kafka: Cluster) -> OnKafka:
    return OnKafka(kafka)


@pytest.fixture
def provisioned(on_kafka: OnKafka) -> OnKafka:
    return created(on_kafka)


@pytest.fixture(scope="module")
def shared(kafka: Cluster) -> OnKafka:
    """Topics that whoever changes them leaves as they were."""
    return created(OnKafka(kafka))


def created(on_kafka: OnKafka) -> OnKafka:
    asyncio.run(create_topics(load(**on_kafka.settings)))
    on_kafka.shows([])
    return on_kafka


def test_topics_are_created_as_the_table_says_and_then_differ_in_nothing(on_kafka: OnKafka) -> None:
    provisioned = on_kafka
    code, out, _ = provisioned.topics("create")
    assert (code, out.split()[0]) == (0, "created")
    provisioned.shows([])
    assert provisioned.topics("check")[:2] == (0, "the broker has every topic as the table says\n")
    assert provisioned.topics("create")[:2] == (0, "every topic exists\n")
    for name, topic in TOPICS.items():
        assert [len(part.replicas) for part in provisioned.partitions(name)] == [3] * topic.partitions
        config = provisioned.config(name)
        assert config["min.insync.replicas"] == "2"
        if topic.compacted:
            assert config["cleanup.policy"] == "compact"
        else:
            assert int(config["retention.ms"]) == topic.retention_days * DAY_MS
            assert config["retention.bytes"] == "-1"


def test_a_dry_run_says_what_it_would_do_and_does_nothing(on_kafka: OnKafka) -> None:
    code, out, _ = on_kafka.topics("create", "--dry-run")
    assert code == 0
    assert out.replace("\n", " ").startswith(f"would create {on_kafka.wire('uploads')}, ")
    assert {what for _, what, _, _ in on_kafka.diff()} == {"topic"}


#: What is done by hand → the rows of the difference: (topic, what, has, should).
BY_HAND: dict[str, tuple[Callable[[OnKafka], None], tuple[str, str, str, str]]] = {
    "kept shorter": (
        lambda on: on.set("decisions", retention_ms=str(DAY_MS)),
        ("decisions", "retention.ms", str(DAY_MS), str(184 * DAY_MS)),
    ),
    "kept up to a size": (
        lambda on: on.set("decisions", retention_bytes="1000000"),
        ("decisions", "retention.bytes", "1000000", "-1"),
    ),
    "deleted instead of compacted": (
        lambda on: on.set("policies", cleanup_policy="delete"),
        ("policies", "cleanup.policy", "delete", "compact"),
    ),
    "written to one replica": (
        lambda on: on.set("takedowns", min_insync_replicas="1"),
        ("takedowns", "min.insync.replicas", "1", "2"),
    ),
    "smaller messages": (
        lambda on: on.set("signals", max_message_bytes="1000"),
        ("signals", "max.message.bytes", "1000", "1065536"),
    ),
    "hardly compacted": (
        lambda on: on.set("publishers", min_cleanable_dirty_ratio="0.9"),
        ("publishers", "min.cleanable.dirty.ratio", "0.9", "0.1"),
    ),
    "deletions forgotten at once": (
        lambda on: on.set("publishers", delete_retention_ms="0"),
        ("publishers", "delete.retention.ms", "0", str(7 * DAY_MS)),
    ),
    "old rows kept": (
        lambda on: on.set("publishers", segment_ms=str(400 * DAY_MS)),
        ("publishers", "segment.ms", str(400 * DAY_MS), str(DAY_MS)),
    ),
}


@pytest.mark.parametrize("change", BY_HAND)
def test_configuration_that_was_changed_by_hand_is_found_and_set_again(shared: OnKafka, change: str) -> None:
    by_hand, row = BY_HAND[change]
    shared.set(row[0], compression_type="lz4")  # the table says nothing of it: it is the operator's
    by_hand(shared)
    shared.shows([row])

    def mends(*, dry_run: bool = False) -> bool:
        done = shared.provision(dry_run=dry_run)
        return [(each.what, each.has, each.should) for each in done.mended] == [row[1:]]

    # Each question goes to any of the brokers, and a change is some time on its way to all of them.
    until(lambda: mends(dry_run=True), "the dry run said what it would mend", 20)
    shared.shows([row])  # a dry run changes nothing
    until(mends, "it was mended", 20)
    shared.shows([])
    until(lambda: shared.provision() == ([], [], [], ""), "nothing was left to mend", 20)
    assert shared.config(row[0])["compression.type"] == "lz4"


def test_commands_say_what_differs_and_what_they_do(shared: OnKafka) -> None:
    assert shared.topics("diff") == (0, "no difference\n", "")
    assert shared.topics("diff", "--json") == (0, "", "")
    shared.set("verdicts", retention_ms="1000")
    wire, should = shared.wire("verdicts"), str(184 * DAY_MS)
    row = {"topic": wire, "what": "retention.ms", "has": "1000", "should": should}
    shared.shows([("verdicts", "retention.ms", "1000", should)])
    code, out, _ = shared.topics("diff", "--json")
    assert (code, [json.loads(line) for line in out.splitlines()]) == (1, [row])
    code, out, _ = shared.topics("diff")
    assert code == 1
    assert all(value in out for value in row.values())
    assert shared.topics("check")[:2] == (
        1,
        f"{wire}: retention.ms is 1000, should be {should}. veristream topics create\n",
    )
    said = f"retention.ms of {wire} to {should} (was 1000)\n"
    assert shared.topics("create", "--dry-run") == (0, f"would set {said}", "")
    assert shared.topics("create") == (0, f"set {said}", "")
    shared.shows([])
    assert shared.topics("create") == (0, "every topic exists\n", "")


def test_a_topic_that_was_deleted_is_found_and_made_again(provisioned: OnKafka) -> None:
    provisioned.drop("reviews")
    row = ("reviews", "topic", "does not exist", "exists")
    provisioned.shows([row])
    assert provisioned.topics("create")[:2] == (0, f"created {provisioned.wire('reviews')}\n")
    provisioned.shows([])


def test_partitions_that_were_added_are_found_and_left(provisioned: OnKafka) -> None:
    for done in provisioned.admin.create_partitions([NewPartitions(provisioned.wire("uploads"), 13)]).values():
        done.result(10)
    row = ("uploads", "partitions", "13", str(PARTITIONS))
    provisioned.shows([row])
    code, out, error = provisioned.topics("create")
    assert (code, out) == (0, "every topic exists\n")
    assert "left as it is" in error
    assert "has 13 partitions, the table says 12" in error
    assert len(provisioned.partitions("uploads")) == 13


def test_a_topic_with_fewer_replicas_is_named_and_still_written(provisioned: OnKafka) -> None:
    """Were its min.insync.replicas set before it has the replicas, nothing could be written any more."""
    provisioned.drop("labels")
    until(lambda: provisioned.diff() != [], "it was missed", 10)
    provisioned.make("labels", PARTITIONS, 1)
    provisioned.set("labels", min_insync_replicas="1", retention_ms="1000")
    until(lambda: ("labels", "replication", "1", "3") in provisioned.diff(), "it was seen", 10)
    code, out, error = provisioned.topics("create")
    assert code == 0
    assert f"set retention.ms of {provisioned.wire('labels')}" in out
    assert "has 1 replica, the settings say 3" in error
    assert "min.insync.replicas is 1, should be 2. raise its replicas first" in error
    assert provisioned.config("labels")["min.insync.replicas"] == "1"
    # A broker that is asked next may not have heard of the change yet.
    left = {"replication", "min.insync.replicas"}
    until(lambda: {what for _, what, _, _ in provisioned.diff()} == left, "the rest was set", 10)


def test_other_settings_are_other_tables(shared: OnKafka) -> None:
    rows = shared.diff(replication=1, min_insync_replicas=1)
    assert {(what, has, should) for _, what, has, should in rows} == {
        ("replication", "3", "1"),
        ("min.insync.replicas", "2", "1"),
    }
    assert len(rows) == 2 * len(TOPICS)


def test_more_replicas_than_brokers_are_refused_with_the_reason(on_kafka: OnKafka) -> None:
    code, _, error = on_kafka.topics("create", replication=4)
    assert code == 1
    assert "Traceback" not in error
    assert "Unable to replicate the partition 4 time(s)" in error
    assert "VERISTREAM_REPLICATION" in error


async def test_the_embedded_broker_tells_what_it_was_told_and_says_so() -> None:
    with EmbeddedBroker(free_port()) as broker:
        settings = load(broker=broker.address)
        await create_topics(settings)
        assert await compare(settings) == ([], "")
        bare = load(broker=broker.address, topic_prefix="bare-")
        admin = AdminClient({"bootstrap.servers": broker.address, "log_level": 0})
        for done in admin.create_topics(
            [NewTopic(f"bare-{name}", t.partitions, 1) for name, t in TOPICS.items()]
        ).values():
            done.result(10)
        compared = await compare(bare)
        assert compared.differences == []
        assert compared.unasked.startswith("the broker does not tell cleanup.policy, ")
