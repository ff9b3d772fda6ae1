"""Producing with every acknowledgement awaited, in order, until the broker has them all."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, NamedTuple

from aiokafka.errors import MessageSizeTooLargeError

from schemas.message import Refused, encode
from schemas.topics import DEADLETTERS, TOPICS
from streams.agent import Outgoing
from streams.metrics import Metrics

log = logging.getLogger(__name__)

#: First and longest pause before an output that the broker did not take is sent again.
RETRY_FIRST_S = 0.1
RETRY_LONGEST_S = 5.0
#: How long one acknowledgement may take before it counts as failed; longer than the producer's own time-out, so
#: that the producer's more telling error is the one that is seen.
ACK_TIMEOUT_S = 90.0

#: topic name on the wire, key, value → a future that is done when the broker has acknowledged.
Send = Callable[[str, bytes, bytes], Awaitable[Awaitable[Any]]]


class _Wire(NamedTuple):
    topic: str
    name: str
    key: bytes
    value: bytes


class Producer:
    """Sends outputs in order; `flush` returns only when every one of them lies at the broker."""

    def __init__(self, send: Send, *, agent: str, prefix: str, max_message_bytes: int, metrics: Metrics) -> None:
        self._send = send
        self._agent = agent
        self._prefix = prefix
        self._max_message_bytes = max_message_bytes
        self._metrics = metrics
        self._sent: list[tuple[_Wire, Awaitable[Any] | None]] = []
        self._counters = {name: metrics.messages_out.labels(agent, name) for name in TOPICS}

    async def send(self, outputs: Iterable[Outgoing], *, flush: bool = True) -> None:
        """Hand outputs to the broker, all or none of this call; with `flush`, wait for their acknowledgements.

        Raises:
            Refused: an output is larger than the broker takes, or cannot be written as JSON.
        """
        wires = [self._encoded(out) for out in outputs]
        for wire in wires:
            if len(wire.value) > self._max_message_bytes and wire.name != DEADLETTERS.name:
                raise Refused(
                    "", f"its {wire.name} message has {len(wire.value)} bytes, over {self._max_message_bytes}"
                )
        for wire in wires:
            self._sent.append((wire, await self._try(wire)))
        if flush:
            await self.flush()

    def _encoded(self, out: Outgoing) -> _Wire:
        name = out.topic.name
        try:
            return _Wire(self._prefix + name, name, out.key.encode("utf-8", "surrogateescape"), encode(out.value))
        except (TypeError, ValueError, OverflowError) as error:  # lone surrogates are ValueErrors
            raise Refused("", f"its {name} message cannot be encoded: {error}") from error

    async def _try(self, wire: _Wire) -> Awaitable[Any] | None:
        """Hand one output over; None if that failed, which `flush` then mends."""
        try:
            return await self._send(wire.topic, wire.key, wire.value)
        except MessageSizeTooLargeError:
            raise  # sending it again would never help
        except Exception as error:
            log.warning("%s: %s was not taken: %r", self._agent, wire.topic, error)
            return None

    async def flush(self) -> None:
        """Wait until the broker has acknowledged everything, sending again what it has not, for as long as it takes.

        From the first failure on everything is sent again, what came after it included: a repeat is recognised by
        its id, but an order turned round would not be.
        """
        pause = RETRY_FIRST_S
        while self._sent:
            done = 0
            for wire, acknowledgement in self._sent:
                if acknowledgement is None or not await self._acknowledged(wire, acknowledgement):
                    break
                self._counters[wire.name].inc()
                done += 1
            again = [wire for wire, _ in self._sent[done:]]
            self._sent = []
            if again:
                self._metrics.produce_retries.labels(self._agent).inc(len(again))
                await asyncio.sleep(pause)
                pause = min(pause * 2, RETRY_LONGEST_S)
                self._sent = [(wire, await self._try(wire)) for wire in again]

    async def _acknowledged(self, wire: _Wire, acknowledgement: Awaitable[Any]) -> bool:
        future = asyncio.ensure_future(acknowledgement)
        try:
            # Of a batch the first is waited for; the others are then mostly there, and need no timer.
            if future.done():
                future.result()
            else:
                await asyncio.wait_for(future, ACK_TIMEOUT_S)
        except Exception as error:
            log.warning("%s: %s was not acknowledged, sending again: %r", self._agent, wire.topic, error)
            return False
        return True
