"""What our plumbing is compared with: aiokafka alone, consume → produce two outputs an event → commit.

`python -m tests.bench.aiokafka_loop BROKER FROM GROUP TO` runs until it is ended; FROM and TO are prefixes of the
topics that it reads and writes. The group `judged` decodes, judges and encodes as the identity agent does; any other
reads nothing and sends the outputs of the first event for every event.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable

import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from deploy.embedded import FETCH_MAX_WAIT_S, SESSION_TIMEOUT_S
from schemas.event import Upload
from schemas.message import decode, encode
from schemas.topics import UPLOADS
from tests.bench.traffic import identity_alone

#: One batch, as our loop's.
BATCH = 500

#: From an event's bytes to its outputs: topic and value.
Work = Callable[[bytes], list[tuple[str, bytes]]]


def judged() -> Work:
    """Decoding, judging, encoding, with the same rows in the registry."""
    handle = identity_alone()
    return lambda value: [(out.topic.name, encode(out.value)) for out in handle(decode(Upload, value))]


def bare() -> Work:
    """Values of the right sizes, made once."""
    work = judged()
    made: list[tuple[str, bytes]] = []

    def outputs(value: bytes) -> list[tuple[str, bytes]]:
        if not made:
            made.extend(work(value))
        return made

    return outputs


async def loop(address: str, source: str, group: str, target: str, work: Work) -> None:
    """Consume, produce, wait for every acknowledgement, commit: at least once, as we do it."""
    consumer = AIOKafkaConsumer(
        source + UPLOADS.name,
        bootstrap_servers=address,
        group_id=source + group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        session_timeout_ms=int(SESSION_TIMEOUT_S * 1000),
        heartbeat_interval_ms=int(SESSION_TIMEOUT_S * 250),
        fetch_max_wait_ms=int(FETCH_MAX_WAIT_S * 1000),
    )
    # As the Faust app's producer is set.
    producer = AIOKafkaProducer(bootstrap_servers=address, acks="all", linger_ms=5, max_batch_size=131_072)
    await consumer.start()
    await producer.start()
    while True:
        acknowledgements = []
        for records in (await consumer.getmany(timeout_ms=200, max_records=BATCH)).values():
            for record in records:
                for topic, value in work(record.value):
                    acknowledgements.append(await producer.send(target + topic, value, key=record.key))
        if acknowledgements:
            await asyncio.gather(*acknowledgements)
            await consumer.commit()


if __name__ == "__main__":
    uvloop.run(loop(*sys.argv[1:5], judged() if sys.argv[3] == "judged" else bare()))
