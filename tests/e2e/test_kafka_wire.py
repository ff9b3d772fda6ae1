"""The idempotent producer on a real Kafka: what it is refused or kept from leaves no hole for what follows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from trial import Stage, encode, stage, upload

from schemas.event import Admitted
from schemas.topics import ADMITTED
from streams.consumer import Fenced
from streams.wire import Wire


class Held:
    """A stage, and a wire over which one can or cannot send."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.held = True
        self.wire = Wire(stage.settings, "echo", lambda: self.held)

    async def send(self, *numbers: int) -> list[asyncio.Future[object]]:
        topic = self.stage.settings.topic_prefix + ADMITTED.name
        futures = []
        for number in numbers:
            admitted = Admitted(event=upload(number), admitted_at=upload().created_at)
            futures.append(await self.wire.send(topic, b"publisher", encode(admitted)))
        await self.wire.push()
        return futures


@pytest.fixture
async def held(kafka, tmp_path: Path) -> AsyncIterator[Held]:
    async with stage(kafka, tmp_path) as s:
        made = Held(s)
        await made.wire.start()
        yield made
        await made.wire.stop()


async def done(futures: list[asyncio.Future[object]]) -> None:
    async with asyncio.timeout(60):
        await asyncio.gather(*futures)


async def test_a_producer_of_kafka_is_idempotent_unless_told_otherwise(held):
    assert held.wire.idempotent
    assert held.wire._producer._txn_manager.has_pid()


async def test_what_the_fence_keeps_back_leaves_no_hole_in_the_numbering(held):
    await done(await held.send(0, 1))
    held.held = False
    for future in await held.send(2, 3):
        with pytest.raises(Fenced):
            await asyncio.wait_for(future, 10)
    held.held = True
    await held.wire.renew()
    await done(await held.send(4, 5))
    await held.stage.drain()
    assert [admitted.event.event_id for _, _, admitted in held.stage.out] == [f"event-{n}" for n in (0, 1, 4, 5)]


async def test_a_leader_that_dies_under_load_makes_nothing_twice_and_turns_nothing_round(held, kafka):
    await done(await held.send(0))
    await held.stage.until(lambda: held.stage.out, "the first lies there")
    leader = kafka.leader_of(held.stage.settings.topic_prefix + ADMITTED.name, held.stage.out[0][0])
    waiting = []
    try:
        for number in range(1, 400):
            waiting += await held.send(number)
            if number == 200:
                leader.kill()
        await done(waiting)
    finally:
        leader.start()
    await held.stage.drain()
    assert [admitted.event.event_id for _, _, admitted in held.stage.out] == [f"event-{n}" for n in range(400)]
