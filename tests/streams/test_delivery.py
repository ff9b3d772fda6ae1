"""Nothing is let go of before all that it caused lies at the broker, and nothing that arrives is dropped in silence."""

from __future__ import annotations

import asyncio
import gc
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from datetime import datetime
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from aiokafka.errors import KafkaConnectionError, MessageSizeTooLargeError
from aiokafka.partitioner import DefaultPartitioner
from mode.utils.queues import FlowControlEvent, ThrowableQueue
from prometheus_client import CollectorRegistry
from trial_agents import NOW, Echo, context, upload

from schemas.deadletter import DeadLetter
from schemas.event import Admitted, Upload
from schemas.message import decode, encode
from schemas.topics import ADMITTED, DEADLETTERS, PARTITIONS, TOPICS, UPLOADS
from streams.agent import Agent, Assigned, Incoming, Outgoing
from streams.delivery import MAX_KEPT_BYTES, Delivery
from streams.producer import Producer
from streams.settings import Settings, load
from streams.views import Views


class Log(list[tuple[Any, ...]]):
    """Everything that happens, in order."""

    async def has(self, *entry: Any, times: int = 1) -> None:
        """Wait until it has happened so often."""
        async with asyncio.timeout(5):
            while self.count(entry) < times:
                await asyncio.sleep(0)

    def of(self, verb: str) -> list[Any]:
        return [entry[1] if len(entry) == 2 else entry[1:] for entry in self if entry[0] == verb]


class Broker:
    """What the producer sends to: takes and acknowledges, unless its script says otherwise.

    A script is a line of exceptions (None: all is well): those of `taking` meet the sending, those of
    `acknowledging` the acknowledgement.
    """

    def __init__(self, log: Log) -> None:
        self.log = log
        self.taking: deque[BaseException | None] = deque()
        self.acknowledging: deque[BaseException | None] = deque()
        self.held: list[asyncio.Future[None]] | None = None
        self.lies: list[tuple[str, bytes, bytes]] = []

    def hold(self) -> None:
        """Acknowledge nothing until told."""
        self.held = []

    def release(self) -> None:
        held, self.held = self.held or [], None
        for future in held:
            if not future.done():
                future.set_result(None)

    async def send(self, topic: str, key: bytes, value: bytes) -> Awaitable[Any]:
        error = self.taking.popleft() if self.taking else None
        if error:
            self.log.append(("refused", self.named(value)))
            raise error
        self.log.append(("sent", self.named(value)))
        return asyncio.ensure_future(self._acknowledge(topic, key, value))

    async def _acknowledge(self, topic: str, key: bytes, value: bytes) -> None:
        error = self.acknowledging.popleft() if self.acknowledging else None
        if self.held is not None:
            self.held.append(asyncio.get_running_loop().create_future())
            await self.held[-1]
        if error:
            self.log.append(("lost", self.named(value)))
            raise error
        self.lies.append((topic, key, value))
        self.log.append(("acknowledged", self.named(value)))

    @staticmethod
    def named(value: bytes) -> str:
        for kind, name in ((Admitted, "{0.event.event_id}"), (Upload, "moved {0.event_id}")):
            try:
                return name.format(decode(kind, value))
            except ValueError:
                continue
        return f"letter of {decode(DeadLetter, value).offset}"

    @property
    def letters(self) -> list[DeadLetter]:
        return [decode(DeadLetter, value) for topic, _, value in self.lies if topic.endswith(DEADLETTERS.name)]


class Rig:
    """A delivery loop with everything around it made up."""

    def __init__(self, kind: type[Agent], settings: Settings) -> None:
        self.log = Log()
        self.registry = CollectorRegistry()
        self.broker = Broker(self.log)
        self.context = context(settings, self.registry)
        self.agent = kind(self.context)
        self.agent.log = self.log  # type: ignore[attr-defined]
        self.queue: ThrowableQueue[Any] = ThrowableQueue(flow_control=FlowControlEvent())
        self.views = Views([], settings)
        self.fatal: list[BaseException] = []
        producer = Producer(
            self.broker.send,
            agent=kind.name,
            prefix=settings.topic_prefix,
            max_message_bytes=settings.max_message_bytes,
            metrics=self.context.metrics,
        )
        self.delivery = Delivery(self.agent, producer, self.views, fatal=self.fatal.append)
        self.task: asyncio.Task[None] | None = None
        self.offset = 0

    def put(self, value: bytes | None, *, key: bytes | None = b"publisher", partition: int = 3) -> int:
        """A message arrives; its offset."""
        offset = self.offset
        self.offset += 1
        message = SimpleNamespace(
            topic=self.context.settings.topic_prefix + UPLOADS.name,
            partition=partition,
            offset=offset,
            key=key,
            value=value,
        )
        self.queue.put_nowait(SimpleNamespace(message=message, ack=lambda: self.log.append(("acked", offset))))
        return offset

    def upload(self, **fields: Any) -> int:
        """An upload arrives whose number is its offset."""
        return self.put(encode(upload(self.offset, **fields)))

    def start(self) -> asyncio.Task[None]:
        self.task = asyncio.create_task(self.delivery.run(self.queue))
        return self.task

    @property
    def acked(self) -> list[int]:
        return self.log.of("acked")

    def counted(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.producer.RETRY_FIRST_S", 0.001)
    monkeypatch.setattr("streams.delivery.TICK_S", 0.005)


@pytest.fixture
async def rig_of() -> AsyncIterator[Callable[..., Rig]]:
    rigs: list[Rig] = []

    def made(kind: type[Agent] = Echo, *, loaded: bool = True, **settings: Any) -> Rig:
        rigs.append(rig := Rig(kind, load(**({"topic_prefix": "p."} | settings))))
        if loaded:
            rig.views._loaded.set()
        return rig

    yield made
    for rig in rigs:
        rig.broker.release()
        for gate in Slow.gates.values():
            gate.set()
        if rig.task:
            rig.task.cancel()
            await asyncio.gather(rig.task, return_exceptions=True)


@pytest.fixture
def rig(rig_of: Callable[..., Rig]) -> Rig:
    return rig_of()


# Done.


async def test_each_message_becomes_its_outputs_and_is_let_go(rig: Rig) -> None:
    for _ in range(3):
        rig.upload()
    rig.start()
    await rig.log.has("acked", 2)
    assert [(topic, key) for topic, key, _ in rig.broker.lies] == [("p.admitted", b"publisher")] * 3
    assert rig.log.of("acknowledged") == ["event-0", "event-1", "event-2"]
    assert rig.acked == [0, 1, 2]
    assert rig.counted("veristream_messages_in_total", agent="echo", topic="uploads") == 3
    assert rig.counted("veristream_messages_out_total", agent="echo", topic="admitted") == 3
    assert rig.counted("veristream_batch_seconds_count", agent="echo") == 1


async def test_nothing_is_acked_before_every_output_of_the_batch_is_acknowledged(rig: Rig) -> None:
    rig.broker.hold()
    for _ in range(3):
        rig.upload(title="copies 2")
    rig.start()
    await rig.log.has("sent", "event-2", times=2)
    for _ in range(50):
        await asyncio.sleep(0)
    assert rig.acked == []
    held, rig.broker.held = rig.broker.held, None
    assert held is not None
    for future in held[:-1]:
        future.set_result(None)
    await rig.log.has("acknowledged", "event-2")
    for _ in range(50):
        await asyncio.sleep(0)
    assert rig.acked == []
    held[-1].set_result(None)
    await rig.log.has("acked", 2)
    assert rig.acked == [0, 1, 2]


async def test_a_message_that_causes_nothing_is_let_go(rig: Rig) -> None:
    rig.upload(title="copies 0")
    rig.start()
    await rig.log.has("acked", 0)
    assert rig.broker.lies == []


async def test_a_batch_is_no_larger_than_the_agent_asks(rig: Rig) -> None:
    for _ in range(25):
        rig.upload()
    rig.start()
    await rig.log.has("acked", 24)
    sizes, size = [], 0
    for verb, *_ in rig.log:
        if verb == "acked":
            size += 1
        elif size:
            sizes.append(size)
            size = 0
    assert [*sizes, size] == [10, 10, 5]


async def test_a_batch_does_not_wait_to_be_full(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.delivery.TICK_S", 60.0)
    rig.start()
    await asyncio.sleep(0)
    rig.upload()
    await rig.log.has("acked", 0)


async def test_nothing_is_taken_before_the_state_is_read(rig_of: Callable[..., Rig]) -> None:
    rig = rig_of(loaded=False)
    rig.upload()
    rig.start()
    for _ in range(50):
        await asyncio.sleep(0)
    assert rig.log == []
    rig.views._loaded.set()
    await rig.log.has("acked", 0)


# Dead.


async def test_an_error_in_handle_makes_a_dead_letter_and_the_next_message_is_handled(rig: Rig) -> None:
    rig.upload()
    value = encode(upload(1, title="fail"))
    rig.put(value, partition=7)
    rig.upload()
    rig.start()
    await rig.log.has("acked", 2)
    (letter,) = rig.broker.letters
    assert letter == DeadLetter(
        topic="p.uploads",
        partition=7,
        offset=1,
        key=b"publisher",
        value=value,
        agent="echo",
        error="RuntimeError",
        reason="it asks to fail",
        field="",
        failed_at=NOW,
    )
    assert rig.log.of("acknowledged") == ["event-0", "letter of 1", "event-2"]
    assert rig.acked == [0, 1, 2]
    assert rig.counted("veristream_dead_letters_total", agent="echo", topic="uploads") == 1


async def test_an_agent_that_refuses_names_the_field(rig: Rig) -> None:
    rig.upload(title="refuse")
    rig.start()
    await rig.log.has("acked", 0)
    (letter,) = rig.broker.letters
    assert (letter.error, letter.field, letter.reason) == ("Refused", "title", "it asks to be refused")


async def test_an_agent_that_fails_in_the_middle_of_its_outputs_sends_none_of_them(rig_of: Callable[..., Rig]) -> None:
    class Halfway(Echo):
        def handle(self, message: Incoming) -> Iterable[Outgoing]:
            yield from super().handle(message)
            raise RuntimeError("halfway")

    rig = rig_of(Halfway)
    rig.upload()
    rig.start()
    await rig.log.has("acked", 0)
    assert rig.log.of("sent") == ["letter of 0"]


BAD = {
    "no json": (b"{", b"publisher", ""),
    "not utf-8": (b"\xff\xfe", b"publisher", ""),
    "empty": (b"", b"publisher", ""),
    "a list": (b"[]", b"publisher", ""),
    "a field is missing": (b"{}", b"publisher", "event_id"),
    "a field of another type": (encode(upload()).replace(b'"bytes":1', b'"bytes":"1"'), b"publisher", "media.bytes"),
    "a value out of bounds": (encode(upload()).replace(b'"bytes":1', b'"bytes":-1'), b"publisher", "media.bytes"),
    "a segment": (encode(upload()).replace(b'"stream_id":null', b'"stream_id":"s"'), b"publisher", "stream_id"),
    "deeply nested": (b"[" * 100_000, b"publisher", ""),
    "a tombstone": (None, b"publisher", ""),
    "another key": (encode(upload()), b"another", "publisher_id"),
    "no key": (encode(upload()), None, "publisher_id"),
    "a key that is no text": (encode(upload()), b"\xff\x00\xfe", "publisher_id"),
}


@pytest.mark.parametrize("kind", BAD)
async def test_what_is_not_as_its_topic_promises_becomes_a_dead_letter_whole(rig: Rig, kind: str) -> None:
    value, key, field = BAD[kind]
    rig.put(value, key=key)
    rig.upload()
    rig.start()
    await rig.log.has("acked", 1)
    (letter,) = rig.broker.letters
    assert (letter.value, letter.key, letter.field, letter.error) == (value, key, field, "Refused")
    assert letter.reason
    assert rig.acked == [0, 1]
    assert rig.log.of("acknowledged") == ["letter of 0", "event-1"]
    assert rig.broker.lies[0][1] == (key or b"")  # as it came


async def test_an_output_that_is_too_large_becomes_a_dead_letter_of_its_input(rig_of: Callable[..., Rig]) -> None:
    rig = rig_of(max_message_bytes=10_000)
    rig.upload()
    rig.upload(description="x" * 11_000)
    rig.upload()
    rig.start()
    await rig.log.has("acked", 2)
    assert rig.log.of("acknowledged") == ["event-0", "letter of 1", "event-2"]
    (letter,) = rig.broker.letters
    assert letter.error == "Refused"
    assert "admitted message has" in letter.reason
    assert decode(Upload, letter.value or b"").event_id == "event-1"


async def test_of_several_outputs_none_is_sent_if_one_is_too_large(rig_of: Callable[..., Rig]) -> None:
    class Growing(Echo):
        def handle(self, message: Incoming) -> Iterable[Outgoing]:
            for size in (10, 11_000):
                event = upload(message.offset, description="x" * size)
                yield Outgoing(ADMITTED, "publisher", Admitted(event=event, admitted_at=NOW))

    rig = rig_of(Growing, max_message_bytes=10_000)
    rig.upload()
    rig.start()
    await rig.log.has("acked", 0)
    assert rig.log.of("sent") == ["letter of 0"]


async def test_an_output_that_the_client_refuses_for_its_size_becomes_a_dead_letter(rig: Rig) -> None:
    rig.broker.taking.extend([None, MessageSizeTooLargeError(), None])
    for _ in range(3):
        rig.upload()
    rig.start()
    await rig.log.has("acked", 2)
    assert rig.log.of("acknowledged") == ["event-0", "letter of 1", "event-2"]
    assert rig.broker.letters[0].error == "MessageSizeTooLargeError"


async def test_an_original_that_no_dead_letter_can_hold_is_named_in_one(rig: Rig) -> None:
    rig.put(b"x" * (MAX_KEPT_BYTES + 1))
    rig.put(b"x" * MAX_KEPT_BYTES)
    rig.start()
    await rig.log.has("acked", 1)
    first, second = rig.broker.letters
    assert first.value is None
    assert f"its {MAX_KEPT_BYTES + 1} bytes stay where they lie" in first.reason
    assert (first.topic, first.partition, first.offset) == ("p.uploads", 3, 0)
    assert second.value == b"x" * MAX_KEPT_BYTES
    assert max(len(value) for _, _, value in rig.broker.lies) < 8 * 2**20


async def test_a_long_reason_is_cut(rig_of: Callable[..., Rig]) -> None:
    class Chatty(Echo):
        def handle(self, message: Incoming) -> Iterable[Outgoing]:
            raise RuntimeError("x" * 1_000_000)

    rig = rig_of(Chatty)
    rig.upload()
    rig.start()
    await rig.log.has("acked", 0)
    assert len(rig.broker.letters[0].reason) == 2000


async def test_a_reason_that_is_no_text_is_made_one(rig_of: Callable[..., Rig]) -> None:
    class Odd(Echo):
        def handle(self, message: Incoming) -> Iterable[Outgoing]:
            raise RuntimeError("\udcff is in no text")

    rig = rig_of(Odd)
    rig.upload()
    rig.start()
    await rig.log.has("acked", 0)
    assert rig.fatal == []
    assert "is in no text" in rig.broker.letters[0].reason


async def test_an_output_that_cannot_be_encoded_becomes_a_dead_letter(rig_of: Callable[..., Rig]) -> None:
    class Odd(Echo):
        def handle(self, message: Incoming) -> Iterable[Outgoing]:
            event = upload(message.offset, title="\udcff" if message.offset == 0 else "")
            yield Outgoing(ADMITTED, "publisher", Admitted(event=event, admitted_at=NOW))

    rig = rig_of(Odd)
    rig.upload()
    rig.upload()
    rig.start()
    await rig.log.has("acked", 1)
    assert rig.fatal == []
    assert rig.log.of("acknowledged") == ["letter of 0", "event-1"]
    assert "cannot be encoded" in rig.broker.letters[0].reason


# Partitions.


@pytest.fixture
def placed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Uploads must lie where Kafka's own partitioner puts their key."""
    monkeypatch.setitem(TOPICS, "uploads", UPLOADS._replace(placed=True))


@pytest.mark.usefixtures("placed")
async def test_a_message_that_lies_where_its_key_does_not_belong_is_moved_there(rig: Rig) -> None:
    right = int(DefaultPartitioner()(b"publisher", list(range(PARTITIONS)), []))
    value = encode(upload(0))
    rig.put(value, partition=(right + 1) % PARTITIONS)
    rig.put(encode(upload(1)), partition=right)
    rig.start()
    await rig.log.has("acked", 1)
    assert [(topic, key) for topic, key, _ in rig.broker.lies] == [
        ("p.uploads", b"publisher"),
        ("p.admitted", b"publisher"),
    ]
    assert rig.broker.lies[0][2] == value
    assert rig.acked == [0, 1]


async def test_elsewhere_a_message_is_taken_wherever_it_lies(rig: Rig) -> None:
    for partition in range(PARTITIONS):
        rig.put(encode(upload(partition)), partition=partition)
    rig.start()
    await rig.log.has("acked", PARTITIONS - 1)
    assert {topic for topic, _, _ in rig.broker.lies} == {"p.admitted"}


# A broker that fails.


async def test_a_failed_acknowledgement_is_sent_again_from_the_first_failure_on_in_order(rig: Rig) -> None:
    rig.broker.acknowledging.extend([None, KafkaConnectionError(), None, None])
    for _ in range(4):
        rig.upload()
    rig.start()
    await rig.log.has("acked", 3)
    assert rig.log.of("sent") == [f"event-{number}" for number in (0, 1, 2, 3, 1, 2, 3)]
    assert [entry for entry in rig.log if entry[0] == "acked"] == rig.log[-4:]
    assert rig.counted("veristream_produce_retries_total", agent="echo") == 3
    assert rig.counted("veristream_messages_out_total", agent="echo", topic="admitted") == 4


async def test_a_broker_that_takes_nothing_for_a_while_gets_everything_in_the_end(rig: Rig) -> None:
    rig.broker.taking.extend([KafkaConnectionError()] * 5)
    rig.upload()
    rig.upload()
    rig.start()
    await rig.log.has("acked", 1)
    assert rig.log.of("refused") == ["event-0", "event-1"] * 2 + ["event-0"]
    assert [name for name in rig.log.of("acknowledged") if name == "event-0"] == ["event-0"]
    first = rig.log.index(("acknowledged", "event-0"))
    assert ("acknowledged", "event-1") in rig.log[first:]
    assert rig.log.index(("acked", 0)) > first


async def test_a_repeat_never_turns_the_order_round(rig: Rig) -> None:
    # What the first try of the later one has left at the broker comes again after the earlier one.
    rig.broker.taking.extend([KafkaConnectionError(), None, None, None])
    rig.upload()
    rig.upload()
    rig.start()
    await rig.log.has("acked", 1)
    acknowledged = rig.log.of("acknowledged")
    assert acknowledged[-2:] == ["event-0", "event-1"]
    assert rig.log.of("sent") == ["event-1", "event-0", "event-1"]


async def test_a_broker_that_never_answers_stops_the_commit_not_the_process(rig: Rig) -> None:
    rig.broker.acknowledging.extend([KafkaConnectionError()] * 20)
    rig.upload()
    rig.start()
    await rig.log.has("lost", "event-0", times=5)
    assert rig.acked == []
    assert rig.fatal == []
    rig.broker.acknowledging.clear()
    await rig.log.has("acked", 0)


# Stopping.


async def test_cancelling_in_the_middle_of_a_batch_finishes_it_first(rig: Rig) -> None:
    rig.broker.hold()
    for _ in range(3):
        rig.upload()
    task = rig.start()
    await rig.log.has("sent", "event-2")
    for _ in range(3):
        task.cancel()
        for _ in range(20):
            await asyncio.sleep(0)
    assert not task.done()
    assert rig.acked == []
    rig.broker.release()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert rig.log[-6:] == [("acknowledged", f"event-{n}") for n in range(3)] + [("acked", n) for n in range(3)]
    assert rig.fatal == []


async def test_cancelling_while_the_broker_fails_waits_for_it(rig: Rig) -> None:
    rig.broker.acknowledging.extend([KafkaConnectionError()] * 3)
    rig.upload()
    task = rig.start()
    await rig.log.has("lost", "event-0")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert rig.log[-2:] == [("acknowledged", "event-0"), ("acked", 0)]


async def test_cancelling_between_batches_ends_at_once_and_takes_nothing_more(rig: Rig) -> None:
    rig.upload()
    task = rig.start()
    await rig.log.has("acked", 0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    rig.upload()
    for _ in range(20):
        await asyncio.sleep(0)
    assert rig.acked == [0]
    assert rig.queue.qsize() == 1


async def test_cancelling_before_the_state_is_read_ends_at_once(rig_of: Callable[..., Rig]) -> None:
    rig = rig_of(loaded=False)
    task = rig.start()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert rig.fatal == []


async def test_faust_stops_the_loop_by_an_error_in_its_queue(rig: Rig) -> None:
    task = rig.start()
    rig.upload()
    await rig.log.has("acked", 0)
    await rig.queue.throw(StopAsyncIteration())
    with pytest.raises(asyncio.CancelledError):
        await task
    assert rig.fatal == []


async def test_faust_may_stop_the_loop_while_a_batch_is_worked_on(rig: Rig) -> None:
    rig.broker.hold()
    rig.upload()
    task = rig.start()
    await rig.log.has("sent", "event-0")
    await rig.queue.throw(StopAsyncIteration())
    rig.broker.release()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert rig.acked == [0]
    assert rig.fatal == []


async def test_faust_may_stop_the_loop_the_moment_a_message_arrives(rig: Rig) -> None:
    task = rig.start()
    while not rig.queue._getters:
        await asyncio.sleep(0)
    rig.upload()
    await asyncio.sleep(0)  # the message is taken out of the queue, and the loop has not seen it yet
    await rig.queue.throw(StopAsyncIteration())
    with pytest.raises(asyncio.CancelledError):
        await task
    assert rig.fatal == []
    assert rig.acked in ([], [0])
    assert rig.acked == [] or ("acknowledged", "event-0") in rig.log


# What must not be survived.


@pytest.mark.parametrize("method", ["restore", "tick"])
async def test_an_error_outside_a_message_ends_the_process_and_acks_nothing(
    rig_of: Callable[..., Rig], method: str
) -> None:
    class Defect(Echo):
        pass

    def fail(*_: object) -> None:
        raise RuntimeError("defect")

    setattr(Defect, method, fail)
    rig = rig_of(Defect)
    rig.delivery.assigned([])
    if method == "restore":
        rig.upload()
    task = rig.start()
    with pytest.raises(RuntimeError, match="defect"):
        await task
    assert [str(error) for error in rig.fatal] == ["defect"]
    assert rig.acked == []


async def test_no_message_of_an_unfinished_batch_is_acked_when_the_process_ends(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        rig.upload()

    def read(message: Any) -> Any:
        if message.offset == 2:
            raise KeyError("a topic that is not in the table")
        return plain(message)

    plain = rig.delivery._read
    monkeypatch.setattr(rig.delivery, "_read", read)
    task = rig.start()
    with pytest.raises(KeyError):
        await task
    assert len(rig.fatal) == 1
    assert rig.acked == []


async def test_a_defect_in_a_batch_that_is_being_cancelled_is_fatal_too(rig_of: Callable[..., Rig]) -> None:
    class Late(Echo):
        def tick(self, now: datetime) -> Iterable[Outgoing]:
            raise RuntimeError("defect")

    rig = rig_of(Late)
    rig.broker.hold()
    rig.upload()
    task = rig.start()
    await rig.log.has("sent", "event-0")
    await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.sleep(0)
    rig.broker.release()
    with pytest.raises(RuntimeError, match="defect"):
        await task
    assert len(rig.fatal) == 1


# Time and assignment.


class Timekeeper(Echo):
    """Writes down what is called, and whether anything else was being done then."""

    log: Log
    busy = False

    def handle(self, message: Incoming) -> Iterable[Outgoing]:
        assert not self.busy
        self.busy = True
        try:
            self.log.append(("handle", message.offset))
            return list(super().handle(message))
        finally:
            self.busy = False

    def tick(self, now: datetime) -> Iterable[Outgoing]:
        assert not self.busy
        assert now == NOW
        self.log.append(("tick",))
        return [Outgoing(ADMITTED, "publisher", Admitted(event=upload(99), admitted_at=now))]

    async def restore(self, assigned: Assigned) -> None:
        assert not self.busy
        self.busy = True
        self.log.append(("restore", assigned))
        await asyncio.sleep(0.01)
        self.log.append(("restored",))
        self.busy = False


async def test_time_passes_without_messages_and_what_it_causes_is_sent(rig_of: Callable[..., Rig]) -> None:
    rig = rig_of(Timekeeper)
    rig.start()
    await rig.log.has("acknowledged", "event-99", times=3)
    assert rig.log.count(("tick",)) >= 3


async def test_time_does_not_pass_inside_a_batch(rig_of: Callable[..., Rig]) -> None:
    rig = rig_of(Timekeeper)
    rig.broker.hold()
    for _ in range(3):
        rig.upload()
    rig.start()
    await rig.log.has("sent", "event-2")
    await asyncio.sleep(0.03)
    assert ("tick",) not in rig.log
    rig.broker.release()
    await rig.log.has("acknowledged", "event-99")
    assert rig.log.index(("tick",)) > rig.log.index(("acked", 2))


async def test_what_time_causes_is_acknowledged_before_the_next_batch(rig_of: Callable[..., Rig]) -> None:
    rig = rig_of(Timekeeper)
    rig.start()
    await rig.log.has("acknowledged", "event-99")
    rig.broker.hold()
    await rig.log.has("sent", "event-99", times=2)
    rig.upload()
    await asyncio.sleep(0.02)
    assert ("handle", 0) not in rig.log
    rig.broker.release()
    await rig.log.has("acked", 0)


async def test_state_is_restored_on_assignment_before_the_next_batch(rig_of: Callable[..., Rig]) -> None:
    rig = rig_of(Timekeeper)
    rig.upload()
    rig.delivery.assigned([SimpleNamespace(topic="p.uploads", partition=number) for number in (1, 4)])
    rig.start()
    await rig.log.has("acked", 0)
    calls = [entry for entry in rig.log if entry[0] in ("restore", "restored", "handle")]
    assert calls == [("restore", frozenset({("uploads", 1), ("uploads", 4)})), ("restored",), ("handle", 0)]
    rig.upload()
    await rig.log.has("acked", 1)
    assert len(rig.log.of("restore")) == 1
    rig.delivery.assigned([])
    rig.upload()
    await rig.log.has("acked", 2)
    assert rig.log.of("restore")[-1] == frozenset()


async def test_an_assignment_restores_even_if_no_message_comes(rig_of: Callable[..., Rig]) -> None:
    rig = rig_of(Timekeeper)
    rig.delivery.assigned([])
    rig.start()
    await rig.log.has("restored")


# Slow agents.


class Slow(Echo):
    """Prepares what its test lets it prepare."""

    slow = True
    log: Log
    gates: ClassVar[dict[int, asyncio.Event]] = {}

    async def prepare(self, message: Incoming) -> str:
        self.log.append(("prepare", message.offset))
        if gate := self.gates.get(message.offset):
            await gate.wait()
        if message.value.title == "unprepared":
            raise RuntimeError("cannot be prepared")
        self.log.append(("prepared", message.offset))
        return f"prepared {message.offset}"

    def handle(self, message: Incoming) -> Iterable[Outgoing]:
        assert message.prepared == f"prepared {message.offset}"
        self.log.append(("handle", message.offset))
        return super().handle(message)


@pytest.fixture
def slow(rig_of: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch) -> Rig:
    monkeypatch.setattr(Slow, "gates", {number: asyncio.Event() for number in range(4)})
    rig = rig_of(Slow)
    for _ in range(4):
        rig.upload()
    return rig


async def test_slow_work_is_done_side_by_side(slow: Rig) -> None:
    slow.start()
    await slow.log.has("prepare", 3)
    assert slow.log.of("prepare") == [0, 1, 2, 3]
    assert slow.log.of("handle") == []


async def test_slow_outputs_go_out_in_order_though_later_ones_are_ready_first(slow: Rig) -> None:
    slow.start()
    for number in (3, 2, 1):
        Slow.gates[number].set()
        await slow.log.has("prepared", number)
    await asyncio.sleep(0.01)
    assert slow.log.of("sent") == []
    Slow.gates[0].set()
    await slow.log.has("acked", 3)
    assert slow.log.of("sent") == [f"event-{number}" for number in range(4)]


async def test_a_slow_output_does_not_wait_for_later_ones(slow: Rig) -> None:
    slow.start()
    Slow.gates[0].set()
    await slow.log.has("acked", 0)
    assert slow.log.of("sent") == ["event-0"]
    Slow.gates[1].set()
    await slow.log.has("acked", 1)
    assert slow.acked == [0, 1]
    assert slow.log.of("prepared") == [0, 1]


async def test_each_slow_message_is_acked_only_after_its_own_acknowledgement(slow: Rig) -> None:
    slow.broker.hold()
    slow.start()
    for gate in Slow.gates.values():
        gate.set()
    await slow.log.has("sent", "event-0")
    await asyncio.sleep(0.01)
    assert slow.acked == []
    slow.broker.release()
    await slow.log.has("acked", 3)
    for number in range(4):
        assert slow.log.index(("acknowledged", f"event-{number}")) < slow.log.index(("acked", number))
        assert number == 0 or slow.log.index(("acked", number - 1)) < slow.log.index(("sent", f"event-{number}"))


async def test_slow_work_that_fails_makes_a_dead_letter_in_its_place(rig_of: Callable[..., Rig]) -> None:
    rig = rig_of(Slow)
    rig.upload()
    rig.upload(title="unprepared")
    rig.put(b"unreadable")
    rig.upload()
    rig.start()
    await rig.log.has("acked", 3)
    assert rig.log.of("acknowledged") == ["event-0", "letter of 1", "letter of 2", "event-3"]
    assert [letter.error for letter in rig.broker.letters] == ["RuntimeError", "Refused"]
    assert rig.log.of("prepare") == [0, 1, 3]


async def test_cancelling_slow_work_finishes_all_of_it_first(slow: Rig) -> None:
    task = slow.start()
    await slow.log.has("prepare", 3)
    task.cancel()
    await asyncio.sleep(0.01)
    assert not task.done()
    for gate in Slow.gates.values():
        gate.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert slow.acked == [0, 1, 2, 3]


async def test_slow_work_that_is_cancelled_from_inside_is_not_taken_for_done(rig_of: Callable[..., Rig]) -> None:
    class Torn(Slow):
        async def prepare(self, message: Incoming) -> str:
            raise asyncio.CancelledError  # as a pool answers that is being closed

    rig = rig_of(Torn)
    rig.upload()
    task = rig.start()
    await asyncio.wait({task}, timeout=5)
    assert task.done()
    assert rig.acked == []
    assert len(rig.fatal) == 1


async def test_no_task_is_left_behind(rig: Rig) -> None:
    before = asyncio.all_tasks()
    rig.upload()
    task = rig.start()
    await rig.log.has("acked", 0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await asyncio.sleep(0)
    gc.collect()
    assert asyncio.all_tasks() <= before
