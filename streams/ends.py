"""Where partitions end now. A fetch tells, but a partition whose messages wait here already is not fetched from."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

#: How often the broker is asked: what scales workers by lag looks a few times a minute.
ASK_EVERY_S = 5.0


class Ends:
    """Asks the broker from time to time."""

    def __init__(self) -> None:
        self._ends: dict[TopicPartition, int] = {}

    async def follow(self, client: AIOKafkaConsumer, parts: Callable[[], Collection[TopicPartition]]) -> None:
        """Ask for ever, of the partitions that there are each time. A broker that does not answer is asked again."""
        while True:
            await asyncio.sleep(ASK_EVERY_S)
            try:
                async with asyncio.timeout(ASK_EVERY_S):
                    self._ends = await client.end_offsets(list(parts()))
            except (KafkaError, TimeoutError):
                continue

    def of(self, part: TopicPartition, fetched: int | None) -> int | None:
        """The end of the partition, of what the broker and the last fetch said the later."""
        # The embedded broker, asked, names the first message of its last batch.
        known = [end for end in (fetched, self._ends.get(part)) if end is not None]
        return max(known, default=None)
