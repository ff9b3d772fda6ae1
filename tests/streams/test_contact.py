"""What answers at a broker's address is not always a broker that can be used: why not is said, with what to set."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

import pytest

from deploy.embedded import EmbeddedBroker, free_port
from streams.contact import NEEDED, KafkaUnusable, contact, lacks, metadata
from streams.doctor import examine
from streams.settings import Settings, load

API_VERSIONS, METADATA = 18, 3
#: What Apache Kafka 2.2 answers to the questions that matter here: number → newest version.
KAFKA_2_2 = {0: 7, 1: 10, 2: 5, METADATA: 7, 8: 6, 9: 5, 11: 4, API_VERSIONS: 0, 22: 1}


@asynccontextmanager
async def answering(answer: Callable[[int, bytes], bytes | None]) -> AsyncIterator[Settings]:
    """A server that frames its answers as Kafka does; None closes the connection."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                (size,) = struct.unpack(">i", await reader.readexactly(4))
                request = await reader.readexactly(size)
                key, _, correlation = struct.unpack(">hhi", request[:8])
                body = answer(key, request)
                if body is None:
                    break
                writer.write(struct.pack(">ii", len(body) + 4, correlation) + body)
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield load(broker=f"127.0.0.1:{server.sockets[0].getsockname()[1]}")


def kafka(newest: Mapping[int, int], oldest: int = 0) -> Callable[[int, bytes], bytes | None]:
    """A broker of these versions, with no topics."""

    def answer(key: int, _: bytes) -> bytes | None:
        if key == API_VERSIONS:
            rows = b"".join(struct.pack(">hhh", number, oldest, highest) for number, highest in newest.items())
            return struct.pack(">hi", 0, len(newest)) + rows
        if key == METADATA:  # v5: throttle time, brokers, cluster id, controller, topics
            return struct.pack(">iihii", 0, 0, -1, 1, 0)
        return None

    return answer


async def test_a_broker_that_is_too_old_is_named_with_what_it_lacks() -> None:
    async with answering(kafka(KAFKA_2_2)) as settings:
        assert await lacks(settings) == [NEEDED[11, 5], NEEDED[44, 0]]
        (found,) = [check for check in await examine(settings) if check.name == "broker"]
    assert found.state == "bad"
    assert found.found.startswith(f"{settings.broker} is too old: it has no members that keep their place (JoinGroup)")
    assert found.fix == "use Apache Kafka 2.3 or later"


async def test_a_broker_that_is_new_enough_lacks_nothing() -> None:
    async with answering(kafka(KAFKA_2_2 | {11: 5, 44: 0})) as settings:
        assert await lacks(settings) == []
    with EmbeddedBroker(free_port()) as broker:
        assert await lacks(load(broker=broker.address)) == []


async def test_a_broker_that_speaks_nothing_that_is_spoken_here_is_named() -> None:
    async with answering(kafka(dict.fromkeys(KAFKA_2_2, 99), oldest=90)) as settings:
        with pytest.raises(KafkaUnusable, match=r"speaks no version of Kafka's protocol that is spoken here"):
            await metadata(settings, [])


async def test_what_closes_at_once_is_another_kind_of_port() -> None:
    async with answering(lambda *_: None) as settings:
        with pytest.raises(KafkaUnusable) as caught:
            async with contact(settings):
                raise AssertionError
    said = str(caught.value)
    assert said.startswith(f"{settings.broker} answers, but not as VERISTREAM_BROKER_PROTOCOL = PLAINTEXT says")
    assert "\n" not in said


async def test_what_keeps_silent_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.contact.TIMEOUT_S", 0.2)

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(KafkaUnusable, match=rf"127.0.0.1:{port} answers, but not as .* = PLAINTEXT says"):
            async with contact(load(broker=f"127.0.0.1:{port}")):
                raise AssertionError


async def test_tls_with_what_speaks_none_is_named() -> None:
    async with answering(kafka(KAFKA_2_2)) as plain:
        with pytest.raises(KafkaUnusable) as caught:
            async with contact(load(broker=plain.broker, broker_protocol="SSL")):
                raise AssertionError
    assert "VERISTREAM_BROKER_PROTOCOL = SSL" in str(caught.value)


async def test_of_several_brokers_the_first_that_can_be_used_is_asked() -> None:
    away = f"127.0.0.1:{free_port()}"
    async with answering(kafka(KAFKA_2_2)) as settings:
        found = await metadata(load(broker=f"{away},{settings.broker}"), [])
        assert found["topics"] == []


async def test_each_broker_that_cannot_be_used_has_its_reason() -> None:
    away = f"127.0.0.1:{free_port()}"
    async with answering(lambda *_: None) as settings:
        with pytest.raises(KafkaUnusable) as caught:
            await metadata(load(broker=f"{away},{settings.broker},no.such.name.invalid:9092"), [])
    first, second, third = str(caught.value).split("; ")
    assert first.startswith(f"no Kafka broker answers at {away}: start one")
    assert second.startswith(f"{settings.broker} answers, but not as")
    assert third.startswith("no Kafka broker answers at no.such.name.invalid:9092: its name is not known")
