"""The way of outputs to the broker: one aiokafka producer, idempotent where the broker can, fenced at the last moment.

Messages are put into record batches here, one a partition, because aiokafka's `send` costs a future, a lookup of
metadata and a hash in Python for each message: a third of the time that a judged event took.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, UnknownError
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.producer.message_accumulator import BatchBuilder

from streams.consumer import Fenced
from streams.contact import KafkaUnusable
from streams.kafka import CLOSE_S, DEADLETTER_BYTES, closed
from streams.security import connection
from streams.settings import Settings

log = logging.getLogger(__name__)

#: Keys whose partitions are remembered: hashing one in Python takes longer than judging what it carries.
KNOWN_KEYS = 65_536


@lru_cache(KNOWN_KEYS)
def partition_of(key: bytes, partitions: int) -> int:
    """Where Kafka's own partitioner, which ours is, puts a key."""
    every = list(range(partitions))
    return int(DefaultPartitioner()(key, every, every))


class Wire:
    """Sends what it is given in order, and nothing once `holds` says no.

    Raises `Fenced` through the acknowledgements of what it did not send. After any failure the order, and with an
    idempotent producer the numbering, of what follows is in doubt: `renew` begins with a producer of a new identity.
    """

    def __init__(self, settings: Settings, name: str, holds: Callable[[], bool]) -> None:
        self._settings = settings
        self._name = name
        self._holds = holds
        self.idempotent = settings.idempotent_producer != "off"
        self._producer: AIOKafkaProducer | None = None
        self._open: dict[tuple[str, int], tuple[BatchBuilder, asyncio.Future[Any]]] = {}
        self._closing: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Connect, and find out whether the broker can tell repeats.

        Raises:
            KafkaUnusable: no broker answers, or it gives no producer id though the settings ask for one.
        """
        try:
            self._producer = await self._connected()
        except UnknownError as error:  # the embedded broker's answer to whoever asks for a producer id
            if self._settings.idempotent_producer == "on":
                raise KafkaUnusable(
                    "the broker gives no producer id: use Apache Kafka, or set idempotent_producer to auto or off"
                ) from error
            log.warning("%s: the broker gives no producer ids; a lost answer may make an output twice", self._name)
            self.idempotent = False
            self._producer = await self._connected()

    async def _connected(self) -> AIOKafkaProducer:
        producer = AIOKafkaProducer(
            **connection(self._settings),
            client_id=self._name,
            acks="all",
            enable_idempotence=self.idempotent,
            max_batch_size=131_072,
            max_request_size=DEADLETTER_BYTES,
            request_timeout_ms=60_000,
        )
        try:
            await producer.start()
        except BaseException as error:
            producer._closed = True
            await closed(producer.client.close())
            if isinstance(error, KafkaError) and not isinstance(error, UnknownError):
                raise KafkaUnusable(f"no Kafka broker answers at {self._settings.broker}: {error}") from error
            raise
        sender = producer._sender
        plain = sender._send_produce_req

        async def guarded(node: int, batches: dict[Any, Any]) -> None:
            if self._holds():
                await plain(node, batches)
                return
            for batch in batches.values():
                batch.failure(Fenced())
            sender._in_flight.remove(node)
            sender._muted_partitions.difference_update(batches)

        sender._send_produce_req = guarded
        return producer

    async def send(self, topic: str, key: bytes, value: bytes) -> asyncio.Future[Any]:
        """Put a message into its partition's batch. Returns that batch's acknowledgement; `push` sends it.

        Raises:
            KafkaError: the broker does not say where the topic lies, or takes no more.
        """
        producer = await self._ready()
        if not (partitions := producer.client.cluster.partitions_for_topic(topic)):
            partitions = await producer.client._wait_on_metadata(topic)
        place = topic, partition_of(key, len(partitions))
        for _ in range(2):
            if place not in self._open:
                self._open[place] = producer.create_batch(), asyncio.get_running_loop().create_future()
            builder, acknowledged = self._open[place]
            if builder.append(key=key, value=value, timestamp=None) is not None:
                return acknowledged
            await self._push(place)  # it is full
        raise AssertionError("an empty batch takes a message of any size")

    async def push(self) -> None:
        """Send what has been put into batches."""
        for place in list(self._open):
            await self._push(place)

    async def _push(self, place: tuple[str, int]) -> None:
        builder, acknowledged = self._open.pop(place)
        try:
            topic, partition = place
            sent = await (await self._ready()).send_batch(builder, topic, partition=partition)
        except Exception as error:
            _fail(acknowledged, error)
            return
        sent.add_done_callback(lambda sent: _pass_on(sent, acknowledged))

    async def _ready(self) -> AIOKafkaProducer:
        if self._producer is None:
            self._producer = await self._connected()
        return self._producer

    async def renew(self) -> None:
        """Give up everything that is under way, and go on with another producer."""
        former, self._producer = self._producer, None
        for _, acknowledged in self._open.values():
            _fail(acknowledged, Fenced())
        self._open = {}
        if former:
            closing = asyncio.create_task(_ended(former), name=f"end of a producer of {self._name}")
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    async def stop(self) -> None:
        """End; whatever must be sent has been."""
        if self._producer:
            await _ended(self._producer)
        if self._closing:
            await asyncio.wait(set(self._closing), timeout=CLOSE_S)


def _pass_on(sent: asyncio.Future[Any], acknowledged: asyncio.Future[Any]) -> None:
    if acknowledged.done():
        sent.cancelled() or sent.exception()
    elif sent.cancelled():
        _fail(acknowledged, Fenced())
    elif error := sent.exception():
        _fail(acknowledged, error)
    else:
        acknowledged.set_result(sent.result())


def _fail(acknowledged: asyncio.Future[Any], error: BaseException) -> None:
    if not acknowledged.done():
        acknowledged.set_exception(error)
        acknowledged.exception()  # whoever gave up waiting need not hear of it


async def _ended(producer: AIOKafkaProducer) -> None:
    """End a producer that may have requests under way which nobody will answer: `stop` alone would wait for them."""
    producer._closed = True
    producer._message_accumulator.fail_all(Fenced())
    sender = producer._sender.sender_task
    if sender and not sender.done():
        sender.cancel()
    await closed(producer.client.close())
    if sender:
        await asyncio.wait({sender}, timeout=CLOSE_S)
