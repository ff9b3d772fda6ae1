"""Provisioning: making a broker's topics what the table says, as far as that loses nothing, and naming the rest."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Any, NamedTuple

from aiokafka.errors import TopicAuthorizationFailedError, UnknownTopicOrPartitionError, for_code

from schemas.topics import TOPICS, Topic
from streams.admin import Admin, Unanswered
from streams.contact import KafkaUnusable, metadata
from streams.kafka import config_of, create_topics
from streams.settings import Settings

CREATE = "veristream topics create"
#: Every broker of a cluster knows of a change within some 100 ms; a loaded one gets some more.
SEEN_WITHIN_S = 10.0


@dataclass(frozen=True)
class Difference:
    """One way in which a broker's topic is not what the table says.

    `what`: `topic` (it is missing or hidden), `partitions`, `replication`, or the name of a configuration entry.
    """

    topic: str
    what: str
    has: str
    should: str
    fix: str

    @property
    def sentence(self) -> str:
        """What is different, for people."""
        if self.what == "topic":
            return self.has
        if self.what == "partitions":
            return f"has {self.has} partitions, the table says {self.should}"
        if self.what == "replication":
            return f"has {self.has} replica{'s' if self.has != '1' else ''}, the settings say {self.should}"
        return f"{self.what} is {self.has}, should be {self.should}"


class Compared(NamedTuple):
    """How a broker's topics differ from the table. `unasked`: what could not be asked, and why; empty if nothing."""

    differences: list[Difference]
    unasked: str


class Provisioned(NamedTuple):
    """What was done (in a dry run: would be), and what was left alone because changing it could lose something."""

    created: list[str]
    mended: list[Difference]
    left: list[Difference]
    unasked: str


async def compare(settings: Settings) -> Compared:
    """What of the table the broker does not have, or has otherwise. Never changes anything.

    Raises:
        KafkaUnusable: no broker answers.
    """
    prefix = settings.topic_prefix
    wires = {prefix + topic.name: topic for topic in TOPICS.values()}
    described = {row["topic"]: row for row in (await metadata(settings, list(wires)))["topics"]}
    found: list[Difference] = []
    there = {}
    for wire, topic in wires.items():
        row = described.get(wire)
        error = for_code(row["error_code"]) if row else UnknownTopicOrPartitionError
        if error is TopicAuthorizationFailedError:
            fix = f"give {settings.broker_user or 'this client'} its role's rights: veristream acls create --help"
            found.append(Difference(wire, "topic", "may not be seen by this user", "seen", fix))
        elif row is None or error is UnknownTopicOrPartitionError:
            found.append(Difference(wire, "topic", "does not exist", "exists", CREATE))
        else:
            there[wire] = row
            found += _counted(wire, topic, row, settings)
    configs, unasked = await _configs(settings, there)
    for wire, config in configs.items():
        found += _configured(wire, wires[wire], config, there[wire], settings)
    order = list(wires)
    return Compared(sorted(found, key=lambda difference: order.index(difference.topic)), unasked)


def _counted(wire: str, topic: Topic, row: Mapping[str, Any], settings: Settings) -> list[Difference]:
    found = []
    if (partitions := len(row["partitions"])) != topic.partitions:
        fix = "move to a new prefix: changing partitions breaks each publisher's order"
        found.append(Difference(wire, "partitions", str(partitions), str(topic.partitions), fix))
    if (replicas := _replicas(row)) != settings.replication:
        fix = "move its replicas with kafka-reassign-partitions.sh, or set VERISTREAM_REPLICATION to what is wanted"
        found.append(Difference(wire, "replication", str(replicas), str(settings.replication), fix))
    return found


def _replicas(row: Mapping[str, Any]) -> int:
    return min((len(part["replicas"]) for part in row["partitions"]), default=0)


async def _configs(settings: Settings, there: Mapping[str, Any]) -> tuple[dict[str, dict[str, str]], str]:
    """The topics' configurations, and what could not be asked."""
    try:
        async with Admin(settings) as admin:
            configs = await admin.configs(there)
    except Unanswered as refused:
        return {}, f"the topics' configuration cannot be asked: {refused}"
    # The embedded broker tells only what was set on it, and nothing of what is in force otherwise.
    untold = {
        name for wire, config in configs.items() for name in config_of(_topic(wire, settings), settings).keys() - config
    }
    return configs, f"the broker does not tell {', '.join(sorted(untold))} of every topic" if untold else ""


def _topic(wire: str, settings: Settings) -> Topic:
    return TOPICS[wire.removeprefix(settings.topic_prefix)]


def _configured(
    wire: str, topic: Topic, config: Mapping[str, str], row: Mapping[str, Any], settings: Settings
) -> list[Difference]:
    found = []
    for name, should in config_of(topic, settings).items():
        has = config.get(name)
        if has is None or _same(has, should):
            continue
        fix = CREATE
        if name == "min.insync.replicas" and int(should) > _replicas(row):
            fix = "raise its replicas first: with fewer than that nothing could be written"
        found.append(Difference(wire, name, has, should, fix))
    return found


def _same(has: str, should: str) -> bool:
    """Brokers write 0.10 as 0.1."""
    try:
        return float(has) == float(should)
    except ValueError:
        return has == should


async def provision(settings: Settings, *, dry_run: bool = False) -> Provisioned:
    """Create the topics that are missing and set what is configured otherwise. Never deletes anything, and changes
    neither partitions nor replicas.

    Raises:
        KafkaUnusable: no broker answers, or it refuses a change.
    """
    found, unasked = await compare(settings)
    missing = [difference.topic for difference in found if difference.what == "topic"]
    wrong = [difference for difference in found if difference.what != "topic"]
    mendable = [difference for difference in wrong if difference.fix == CREATE]
    left = [difference for difference in wrong if difference.fix != CREATE]
    if dry_run:
        return Provisioned(missing, mendable, left, unasked)
    created = await create_topics(settings) if missing else []
    if mendable:
        await _mend(settings, mendable)
        left += await _still(settings, mendable)
    return Provisioned(created, [difference for difference in mendable if difference not in left], left, unasked)


async def _still(settings: Settings, mended: list[Difference]) -> list[Difference]:
    """What of it is not so yet: the brokers of a cluster learn of a change one after the other."""
    deadline = monotonic() + SEEN_WITHIN_S
    while True:
        found = (await compare(settings)).differences
        still = [difference for difference in mended if difference in found]
        if not still or monotonic() > deadline:
            return still
        await asyncio.sleep(0.1)


async def _mend(settings: Settings, differences: list[Difference]) -> None:
    async with Admin(settings) as admin:
        for topic in dict.fromkeys(difference.topic for difference in differences):
            entries = {wrong.what: wrong.should for wrong in differences if wrong.topic == topic}
            try:
                await admin.set_configs(topic, entries)
            except Unanswered as refused:
                raise KafkaUnusable(
                    f"the broker does not let {', '.join(entries)} of {topic} be set: {refused}. Run this as a user "
                    "with the rights of `veristream acls create --role provision`"
                ) from None
