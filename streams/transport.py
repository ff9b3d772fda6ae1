"""Faust's Kafka transport with what its settings cannot say. Everything here names what it works around."""

from __future__ import annotations

from typing import Any

import faust
from faust.transport.drivers import aiokafka as driver


class _ConsumerThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    def _create_worker_consumer(self, transport: Any) -> Any:
        # Faust 0.15.3 writes fetch_max_wait_ms=1500 into the call. Kafka answers a fetch as soon as there is a message,
        # but the embedded broker looks for new ones only a few times within that wait: every hop of an event took
        # 0.7 s there (measured), and takes some 10 ms at a wait of 50 ms.
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = int(self.app.fetch_max_wait_s * 1000)
        return consumer


#: How long a fetch sleeps while some partitions are left out of it because their messages fill the buffer.
SLEEP_WHILE_BUFFERED_S = 0.05


class _Consumer(driver.Consumer):  # type: ignore[misc]
    async def _getmany(self, active_partitions: Any, timeout: float) -> Any:  # noqa: ASYNC109 - Faust calls it so
        # Faust leaves partitions whose messages fill the buffer out of the next fetch, and has that fetch wait a whole
        # second for the others; the buffer is empty again long before. Under load that was the time of a third of all
        # events (measured: 3,000 events/s with it, 4,400 without).
        return await super()._getmany(
            active_partitions, SLEEP_WHILE_BUFFERED_S if self._buffered_partitions else timeout
        )

    def _new_consumer_thread(self) -> Any:
        return _ConsumerThread(self, loop=self.loop, beacon=self.beacon)


class _Transport(driver.Transport):  # type: ignore[misc]
    Consumer = _Consumer


class App(faust.App):  # type: ignore[misc]
    """A Faust app on the transport above. `fetch_max_wait_s`: how long the broker may hold back an empty answer."""

    fetch_max_wait_s = 0.5

    def _new_transport(self) -> Any:
        return _Transport(self.conf.broker_consumer, self)

    def _create_directories(self) -> None:
        """Make none: Faust would make folders for tables, which there are none of, where the worker happens to run."""
