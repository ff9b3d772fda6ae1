"""What our plumbing is compared with: aiokafka alone, consume → produce two outputs an event → commit.

`python -m tests.bench.aiokafka_loop BROKER GROUP PREFIX bare|judged` runs until it is ended. `bare` reads nothing and
sends two values of the sizes that the identity agent sends; `judged` decodes, judges and encodes as the agent does.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from datetime import UTC, datetime

import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from agents.identity.judge import Known, judge
from deploy.embedded import FETCH_MAX_WAIT_S, SESSION_TIMEOUT_S
from schemas.event import Admitted, Upload
from schemas.message import decode, encode
from schemas.policy import default_policy
from schemas.registry import Provider, Publisher
from schemas.topics import ADMITTED, DECISIONS, PROVIDERS, PUBLISHERS, UPLOADS
from tests.bench.traffic import provider, publisher

#: One batch, as our loop's.
BATCH = 500

Work = Callable[[bytes], tuple[bytes, bytes]]


def judged(value: bytes) -> tuple[bytes, bytes]:
    """Decision and admitted event, from the same registry rows that the agent has."""
    event, now = decode(Upload, value), datetime.now(UTC)
    known = Known(_PUBLISHERS.get(event.publisher_id), _PROVIDERS.get(event.provider_id), None)
    decision = judge(event, known, _POLICY, now)
    return encode(decision), encode(Admitted(event=event, admitted_at=now))


_POLICY = default_policy()
_PUBLISHERS: dict[str, Publisher] = {}
_PROVIDERS: dict[str, Provider] = {}


def _bare() -> Work:
    """Values of the right sizes, made once from the first event."""
    made: list[tuple[bytes, bytes]] = []

    def work(value: bytes) -> tuple[bytes, bytes]:
        if not made:
            made.append(judged(value))
        return made[0]

    return work


async def loop(address: str, group: str, prefix: str, work: Work) -> None:
    """Consume, produce, wait for every acknowledgement, commit: at least once, as we do it."""
    consumer = AIOKafkaConsumer(
        UPLOADS.name,
        bootstrap_servers=address,
        group_id=group,
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
    topics = (prefix + DECISIONS.name, prefix + ADMITTED.name)
    while True:
        acknowledgements = []
        for records in (await consumer.getmany(timeout_ms=200, max_records=BATCH)).values():
            for record in records:
                for topic, value in zip(topics, work(record.value), strict=True):
                    acknowledgements.append(await producer.send(topic, value, key=record.key))
        if acknowledgements:
            await asyncio.gather(*acknowledgements)
            await consumer.commit()


if __name__ == "__main__":
    for row in (*map(publisher, range(int(sys.argv[5]))), provider()):
        table = _PUBLISHERS if isinstance(row, Publisher) else _PROVIDERS
        table[getattr(row, (PUBLISHERS if isinstance(row, Publisher) else PROVIDERS).key)] = row
    uvloop.run(loop(sys.argv[1], sys.argv[2], sys.argv[3], judged if sys.argv[4] == "judged" else _bare()))
