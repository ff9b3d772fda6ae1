"""Producing with every acknowledgement awaited, in order, until the broker has them all or the fence has fallen."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from time import monotonic
from typing import Any, NamedTuple

from aiokafka.errors import InvalidTimestampError, MessageSizeTooLargeError, RecordListTooLargeError

from schemas.message import Refused, encode
from schemas.topics import DEADLETTERS, TOPICS
from schemas.trim import trimmed
from streams.agent import Outgoing
from streams.consumer import Fenced
from streams.metrics import Metrics

log = logging.getLogger(__name__)

#: First and longest pause before an output that the broker did not take is sent again.
RETRY_FIRST_S = 0.1
RETRY_LONGEST_S = 5.0
#: How long one acknowledgement may take before it counts as failed; longer than the producer's own time-out, so
#: that the producer's more telling error is the one that is seen.
ACK_TIMEOUT_S = 90.0
#: How often whoever waits for an acknowledgement asks whether the partitions are still held.
FENCE_LOOK_S = 0.5
#: The broker would say the same to every further try.
PERMANENT = (MessageSizeTooLargeError, RecordListTooLargeError, InvalidTimestampError)

#: topic name on the wire, key, value → a future that is done when the broker has acknowledged.
Send = Callable[[str, bytes, bytes], Awaitable[Awaitable[Any]]]
#: What to send instead of a message that the broker refuses for good; the error is the broker's.
Instead = Callable[[Exception], Outgoing]


class _Wire(NamedTuple):
    topic: str
    name: str
    key: bytes
    value: bytes
    instead: Instead | None


async def _nothing() -> None:
    pass


class Producer:
    """Sends outputs in order; `flush` returns only when every one of them lies at the broker.

    `push` sends what `send` may have kept together; `renew` is called before anything is sent again, and must leave
    nothing of the former tries under way; `holds` says whether anything may be sent at all.
    """

    def __init__(
        self,
        send: Send,
        *,
        agent: str,
        prefix: str,
        max_message_bytes: int,
        metrics: Metrics,
        push: Callable[[], Awaitable[None]] = _nothing,
        renew: Callable[[], Awaitable[None]] = _nothing,
        holds: Callable[[], bool] = lambda: True,
        repeats: Callable[[], bool] = lambda: True,
    ) -> None:
        self._send = send
        self._push = push
        self._renew = renew
        self._holds = holds
        self._repeats = repeats
        self._agent = agent
        self._prefix = prefix
        self._max_message_bytes = max_message_bytes
        self._metrics = metrics
        self._sent: list[tuple[_Wire, Awaitable[Any] | None]] = []
        self._counters = {name: metrics.messages_out.labels(agent, name) for name in TOPICS}
        self._wires = {name: prefix + name for name in TOPICS}
        self._waiting_since: float | None = None

    @property
    def waited_s(self) -> float:
        """How long the broker has owed an acknowledgement; 0 if it owes none."""
        return 0.0 if self._waiting_since is None else monotonic() - self._waiting_since

    async def send(self, outputs: Iterable[Outgoing], *, flush: bool = True, instead: Instead | None = None) -> None:
        """Hand outputs to the broker, all or none of this call; with `flush`, wait for their acknowledgements.

        `instead`: what takes the place of one that the broker, not this side, finds too large.

        Raises:
            Refused: an output is larger than the settings allow, or cannot be written as JSON.
            Fenced: the partitions are not held any more.
        """
        wires = [self._encoded(out, instead) for out in outputs]
        for wire in wires:
            self._sent.append((wire, await self._try(wire)))
        if flush:
            await self.flush()

    def _encoded(self, out: Outgoing, instead: Instead | None) -> _Wire:
        name = out.topic.name
        try:
            key, value = out.key.encode("utf-8", "surrogateescape"), encode(out.value)
        except (TypeError, ValueError, OverflowError) as error:  # lone surrogates are ValueErrors
            raise Refused("", f"its {name} message cannot be encoded: {error}") from error
        if len(value) > self._max_message_bytes and name != DEADLETTERS.name:
            value = self._fitted(out, len(value))
        return _Wire(self._wires[name], name, key, value, instead)

    def _fitted(self, out: Outgoing, size: int) -> bytes:
        """An output that is too large, without some of its evidence."""
        name, most = out.topic.name, self._max_message_bytes
        smaller = trimmed(out.value, most)
        if smaller is None:
            raise Refused("", f"its {name} message has {size} bytes, over {most}")
        log.warning("%s: a %s message of %d bytes was trimmed to fit %d", self._agent, name, size, most)
        self._metrics.trimmed.labels(self._agent, name).inc()
        return encode(smaller)

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

        Raises:
            Fenced: the partitions are not held any more; what was sent may or may not lie at the broker.
        """
        if not self._sent:
            return
        pause = RETRY_FIRST_S
        self._waiting_since = monotonic()
        try:
            await self._push()
            while self._sent:
                done, error = await self._until_failure()
                self._count(self._sent[:done])
                again = [wire for wire, _ in self._sent[done:]]
                self._sent = []
                if again:
                    await self._again(again, error, pause)
                    pause = min(pause * 2, RETRY_LONGEST_S)
        finally:
            self._waiting_since = None

    async def _until_failure(self) -> tuple[int, Exception | None]:
        """How many are acknowledged before the first that is not, and what became of that one."""
        known: Awaitable[Any] | None = None
        for done, (wire, acknowledgement) in enumerate(self._sent):
            if acknowledgement is known and known is not None:
                continue  # of the same batch as the one before
            if acknowledgement is None:
                return done, None
            if error := await self._acknowledged(acknowledgement):
                log.warning("%s: %s was not acknowledged: %r", self._agent, wire.topic, error)
                return done, error
            known = acknowledgement
        return len(self._sent), None

    async def _acknowledged(self, acknowledgement: Awaitable[Any]) -> Exception | None:
        future = asyncio.ensure_future(acknowledgement)
        since = monotonic()
        # Of a batch the first is waited for; the others are then mostly there, and need no timer.
        while not future.done():
            await asyncio.wait({future}, timeout=min(FENCE_LOOK_S, ACK_TIMEOUT_S))
            self._check()
            if not future.done() and monotonic() - since > ACK_TIMEOUT_S and self._repeats():
                future.cancel()
                return TimeoutError(f"no answer for {ACK_TIMEOUT_S:.0f} s")
        try:
            future.result()
        except Exception as error:
            return error
        return None

    def _check(self) -> None:
        if not self._holds():
            raise Fenced

    def _count(self, sent: list[tuple[_Wire, Awaitable[Any] | None]]) -> None:
        for name, number in Counter(wire.name for wire, _ in sent).items():
            self._counters[name].inc(number)

    async def _again(self, wires: list[_Wire], error: Exception | None, pause: float) -> None:
        """Send these again; the first of them failed with this error."""
        self._check()
        self._metrics.produce_retries.labels(self._agent).inc(len(wires))
        await asyncio.sleep(pause)
        self._check()
        await self._renew()
        if not isinstance(error, PERMANENT):
            self._sent = [(wire, await self._try(wire)) for wire in wires]
            await self._push()
            return
        # A batch is refused as a whole: alone each shows whether it is the one.
        for wire in wires:
            await self._push()
            acknowledgement = await self._try(wire)
            await self._push()
            if (
                wire.instead
                and acknowledgement
                and isinstance(why := await self._acknowledged(acknowledgement), PERMANENT)
            ):
                await self._renew()
                replacement = self._encoded(wire.instead(why), None)
                self._sent.append((replacement, await self._try(replacement)))
            else:
                self._sent.append((wire, acknowledgement))
        await self._push()

    async def reset(self) -> None:
        """Forget what was sent and not acknowledged: it will be made again."""
        self._sent = []
        await self._renew()
