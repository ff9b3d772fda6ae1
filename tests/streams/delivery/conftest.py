"""Loops that end with their test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from delivery_rig import Rig
from trial_agents import Echo

from streams.agent import Agent
from streams.settings import load


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.producer.RETRY_FIRST_S", 0.001)
    monkeypatch.setattr("streams.producer.FENCE_LOOK_S", 0.005)
    monkeypatch.setattr("streams.delivery.RETRY_FIRST_S", 0.001)
    monkeypatch.setattr("streams.delivery.TICK_S", 0.005)
    monkeypatch.setattr("streams.window.TICK_S", 0.005)


@pytest.fixture
async def rig_of() -> AsyncIterator[Callable[..., Rig]]:
    rigs: list[Rig] = []

    def made(kind: type[Agent] = Echo, *, loaded: bool = True, lane: str = "", **settings: Any) -> Rig:
        rigs.append(rig := Rig(kind, load(**({"topic_prefix": "p."} | settings)), lane=lane))
        if loaded:
            rig.views._loaded.set()
        return rig

    yield made
    for rig in rigs:
        rig.broker.release()
        for gate in getattr(rig.agent, "gates", {}).values():
            gate.set()
        if rig.task:
            rig.task.cancel()
            await asyncio.gather(rig.task, return_exceptions=True)


@pytest.fixture
def rig(rig_of: Callable[..., Rig]) -> Rig:
    return rig_of()
