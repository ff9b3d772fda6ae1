"""What librdkafka does under Python in one process: consume → produce two outputs an event → commit.

`python -m tests.bench.confluent_loop BROKER FROM GROUP TO` runs until it is ended, as `tests.bench.aiokafka_loop`.
"""

from __future__ import annotations

import sys

from confluent_kafka import Consumer, Producer

from schemas.topics import UPLOADS
from tests.bench.aiokafka_loop import BATCH, Work, bare


def loop(address: str, source: str, group: str, target: str, work: Work) -> None:
    """Consume, produce, wait for every acknowledgement, commit."""
    consumer = Consumer(
        {
            "bootstrap.servers": address,
            "group.id": source + group,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
        }
    )
    producer = Producer({"bootstrap.servers": address, "acks": "all", "linger.ms": 5, "partitioner": "murmur2_random"})
    consumer.subscribe([source + UPLOADS.name])

    def delivered(error: object, _: object) -> None:
        if error:
            raise RuntimeError(error)

    while True:
        records = consumer.consume(BATCH, 0.2)
        for record in records:
            if record.error():
                raise RuntimeError(record.error())
            for topic, value in work(record.value()):
                producer.produce(target + topic, value, record.key(), on_delivery=delivered)
        if records:
            producer.flush()
            consumer.commit(asynchronous=False)


if __name__ == "__main__":
    loop(*sys.argv[1:5], bare())
