"""The end of a partition is known though nothing more is fetched of it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import NodeNotReadyError

from streams.ends import Ends

PART = TopicPartition("uploads", 1)


class Broker:
    """Answers with what its script says, then not at all."""

    def __init__(self, *script: Any) -> None:
        self.script = list(script)
        self.asked: list[list[TopicPartition]] = []

    async def end_offsets(self, parts: list[TopicPartition]) -> Any:
        self.asked.append(parts)
        if not self.script:
            await asyncio.Event().wait()
        answer = self.script.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.mark.parametrize(
    ("asked", "fetched", "end"), [(9, 5, 9), (4, 5, 5), (None, 5, 5), (9, None, 9), (None, None, None)]
)
def test_the_later_end_counts(asked: int | None, fetched: int | None, end: int | None) -> None:
    ends = Ends()
    if asked is not None:
        ends._ends = {PART: asked}
    assert ends.of(PART, fetched) == end


async def test_a_broker_that_fails_or_does_not_answer_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.ends.ASK_EVERY_S", 0.005)
    ends, broker = Ends(), Broker(NodeNotReadyError(), {PART: 7})
    following = asyncio.create_task(ends.follow(broker, lambda: {PART}))  # type: ignore[arg-type]
    async with asyncio.timeout(5):
        while len(broker.asked) < 5:
            await asyncio.sleep(0)
    following.cancel()
    assert ends.of(PART, 3) == 7
    assert broker.asked[0] == [PART]
