"""What a reader outside sees: every message on the output topics, and how far each agent's group has committed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from time import monotonic
from typing import Any
from uuid import uuid4

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from confluent_kafka import Consumer, KafkaException, TopicPartition

from tests.chaos.tally import Tally

#: Topics that are read: all on which something is due.
READ = ("decisions", "admitted", "takedowns", "verdicts", "signals", "standings", "deadletters")
#: How long the broker may take to answer a question; a broker that is down is asked again.
ASK_S = 10.0


class Outside:
    """Reads the output topics on a thread of its own, from their beginning, into the tally."""

    def __init__(self, broker: str, prefix: str, tally: Tally) -> None:
        self.last_at = monotonic()
        self.failed: BaseException | None = None
        self._prefix = prefix
        self._tally = tally
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="outside", daemon=True)
        self._consumer = Consumer(
            {
                "bootstrap.servers": broker,
                "group.id": f"outside-{uuid4().hex}",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 50,
                "fetch.message.max.bytes": 10_000_000,
                # A broker that comes back is found at once, not after librdkafka's ten seconds.
                "reconnect.backoff.max.ms": 1000,
                "log_level": 2,
            }
        )
        known = self._consumer.list_topics(timeout=ASK_S).topics
        self._consumer.assign(
            [TopicPartition(prefix + name, number, 0) for name in READ for number in known[prefix + name].partitions]
        )

    def start(self) -> None:
        """Begin reading."""
        self._thread.start()

    def stop(self) -> None:
        """End reading."""
        self._stop.set()
        self._thread.join()
        self._consumer.close()

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                for message in self._consumer.consume(1000, timeout=0.05):
                    at = monotonic()
                    if message.error() is None and (value := message.value()) is not None:
                        self.last_at = at
                        self._tally.take((message.topic() or "").removeprefix(self._prefix), value, at)
        except BaseException as error:
            self.failed = error
            raise


async def _described(broker: str, topics: list[str]) -> list[Any]:
    """What the brokers say of these topics; nothing where they do not answer in time."""
    admin = AIOKafkaAdminClient(bootstrap_servers=broker, request_timeout_ms=int(ASK_S * 1000))
    try:
        async with asyncio.timeout(ASK_S):
            await admin.start()
            found: list[Any] = await admin.describe_topics(topics)
            return found
    except (KafkaError, OSError, TimeoutError):
        return []
    finally:
        with suppress(KafkaError, OSError):
            await admin.close()


class Groups:
    """The lag of consumer groups, as the brokers have it."""

    def __init__(self, broker: str, prefix: str, inputs: Iterable[tuple[str, str]]) -> None:
        """`prefix`: of the stage's topics. `inputs`: group and topic, by their names on the broker."""
        self._inputs = list(inputs)
        self._broker = broker
        #: Why the lag was not to be had, when last it was not.
        self.trouble = ""
        self._members = self._clients()
        # Asked once, while all brokers are there: what topics there are does not change.
        known = next(iter(self._members.values())).list_topics(timeout=ASK_S).topics
        self._partitions = {name: len(topic.partitions) for name, topic in known.items() if name.startswith(prefix)}

    def _clients(self) -> dict[str, Consumer]:
        """A consumer of each group that never joins it: it asks what the group has committed.

        Not an admin client, whose `list_consumer_group_offsets` ends the process where the group's coordinator has
        just been killed: librdkafka 2.16 then asks a group that an admin client has not (`rd_kafka_cgrp_op` of NULL).
        """
        common = {"bootstrap.servers": self._broker, "log_level": 2, "enable.auto.commit": False}
        return {group: Consumer({**common, "group.id": group}) for group, _ in self._inputs}

    def lag(self) -> int | None:
        """Messages not committed yet, of all groups; None where a broker does not answer."""
        try:
            return sum(self.lags().values())
        except KafkaException as error:
            self.trouble = str(error)
            # A client was seen not to find its way for two minutes after all brokers had been restarted.
            self.close()
            self._members = self._clients()
            return None

    def lags(self) -> dict[str, int]:
        """The same by group and topic. Raises KafkaException where a broker does not answer."""
        return {f"{group} on {topic}": self._lag(group, topic) for group, topic in self._inputs}

    def _lag(self, group: str, topic: str) -> int:
        member = self._members[group]
        parts = [TopicPartition(topic, number) for number in range(self._partitions[topic])]
        total = 0
        for part in member.committed(parts, timeout=ASK_S):
            if part.error:
                raise KafkaException(part.error)
            low, high = member.get_watermark_offsets(TopicPartition(topic, part.partition), timeout=ASK_S)
            total += high - max(part.offset, low)  # what was never committed has a negative offset
        return total

    def in_sync(self) -> bool:
        """Whether every partition has a leader and all its replicas; not, where no broker answers."""
        # Not by confluent-kafka's `describe_topics`, which was seen to end the process where a leader is gone.
        with ThreadPoolExecutor(1) as apart:
            topics = apart.submit(asyncio.run, _described(self._broker, list(self._partitions))).result()
        return bool(topics) and all(
            not part["error_code"] and len(part["isr"]) == len(part["replicas"])
            for topic in topics
            for part in topic["partitions"]
        )

    def close(self) -> None:
        """Let go of the broker."""
        for member in self._members.values():
            member.close()
