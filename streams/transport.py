"""Faust without its Kafka side: its app, services and agents, around a consumer and a producer of ours.

What Faust 0.15.3 does between the broker and an agent cannot be made to hold (see `streams.consumer` for the issues),
and cost a third of the time of an event. Faust's own place for such a choice is the boot strategy of an app: it says
which services start, in which order, and so in which reverse order they stop.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import faust
from faust.app.base import BootStrategy
from mode import Service

from streams.consumer import Consumer
from streams.wire import Wire


class _Kafka(Service):  # type: ignore[misc]
    """A consumer or a producer of ours as a service of Faust."""

    def __init__(self, client: Consumer | Wire, **others: Any) -> None:
        super().__init__(**others)
        self._client = client

    async def on_start(self) -> None:
        await self._client.start()

    async def on_stop(self) -> None:
        await self._client.stop()


class _Boot(BootStrategy):  # type: ignore[misc]
    """Producer, consumer, agents; stopped the other way round: the agent has finished before its offsets are committed
    and its group is left, and the producer goes last."""

    enable_kafka = False
    enable_web = False
    enable_sensors = False

    def kafka_producer(self) -> Iterable[Any]:
        return [_Kafka(self.app.wire, loop=self.app.loop, beacon=self.app.beacon)]

    def kafka_consumer(self) -> Iterable[Any]:
        return [_Kafka(self.app.intake, loop=self.app.loop, beacon=self.app.beacon)]


class App(faust.App):  # type: ignore[misc]
    """A Faust app whose agent reads from `intake` and sends over `wire`."""

    BootStrategy = _Boot
    intake: Consumer
    wire: Wire

    async def on_start(self) -> None:
        """What Faust does here, without making a consumer of its own."""
        self.finalize()

    def _create_directories(self) -> None:
        """Make none: Faust would make folders for tables, which there are none of, where the worker happens to run."""
