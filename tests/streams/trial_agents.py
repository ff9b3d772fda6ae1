"""Agents that do little, to see what is done with them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry

from schemas.event import Admitted, Media, Upload
from schemas.message import Refused
from schemas.topics import ADMITTED, POLICIES, UPLOADS
from streams.agent import Agent, Assigned, Context, Incoming, Outgoing
from streams.metrics import Metrics
from streams.settings import Settings

NOW = datetime(2026, 11, 24, tzinfo=UTC)


def upload(number: int = 0, **fields: Any) -> Upload:
    """An event; its title can tell an agent what to do."""
    return Upload(
        **{
            "event_id": f"event-{number}",
            "content_id": f"content-{number}",
            "publisher_id": "publisher",
            "provider_id": "provider",
            "service": "short_video",
            "media": Media(uri="file:///clip.mp4", sha256="0" * 64, bytes=1),
            "created_at": NOW,
        }
        | fields
    )


async def read_nothing_back(*_: object) -> AsyncIterator[Incoming]:
    for none in ():
        yield none


def context(settings: Settings, registry: CollectorRegistry | None = None, **others: Any) -> Context:
    """What an agent is given, without a broker."""
    return Context(
        **{
            "settings": settings,
            "metrics": Metrics(registry or CollectorRegistry()),
            "views": {},
            "clock": lambda: NOW,
            "read_back": read_nothing_back,
        }
        | others
    )


class Echo(Agent):
    """Admits every upload, unless its title says otherwise."""

    name = "echo"
    inputs = (UPLOADS,)
    views = ()
    batch_size = 10

    def handle(self, message: Incoming) -> Iterable[Outgoing]:
        event: Upload = message.value
        verb, _, argument = event.title.partition(" ")
        if verb == "refuse":
            raise Refused("title", "it asks to be refused")
        if verb == "fail":
            raise RuntimeError("it asks to fail")
        if verb == "wait":
            time.sleep(float(argument))
        copies = int(argument) if verb == "copies" else 1
        for _ in range(copies):
            yield Outgoing(ADMITTED, event.publisher_id, Admitted(event=event, admitted_at=self.context.clock()))


class Judge(Echo):
    """Writes the version of the policy in force into the title, and down which partitions it was given."""

    name = "judge"
    views = (POLICIES,)

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.restored: list[Assigned] = []
        self.calls: list[str] = []

    async def start(self) -> None:
        self.calls.append("start")

    async def stop(self) -> None:
        self.calls.append("stop")

    async def restore(self, assigned: Assigned) -> None:
        self.restored.append(assigned)

    def handle(self, message: Incoming) -> Iterable[Outgoing]:
        for out in super().handle(message):
            event = msgspec.structs.replace(out.value.event, title=f"policy {self.context.policy.version}")  # type: ignore[attr-defined]
            yield out._replace(value=msgspec.structs.replace(out.value, event=event))


class Patient(Echo):
    """Is not done with a message before it is let."""

    name = "patient"
    slow = True

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.begun = asyncio.Event()
        self.let = asyncio.Event()
        self.cancelled = 0

    async def prepare(self, message: Incoming) -> None:
        self.begun.set()
        try:
            await self.let.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


class Tally(Echo):
    """Numbers each publisher's events, from what `admitted` says once it has been restored, and signs with the worker.

    What it says of an event that it has seen is what it said before; a state that misses something says otherwise.
    """

    name = "tally"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.numbers: dict[str, dict[str, int]] = {}

    async def restore(self, assigned: Assigned) -> None:
        self.numbers = {}
        mine = frozenset(partition for _, partition in assigned)  # uploads and admitted have the same key
        async for found in self.context.read_back({ADMITTED: 86_400.0}, {ADMITTED: mine}, {}):
            event = found.value.event
            self.numbers.setdefault(event.publisher_id, {})[event.event_id] = int(event.title.partition(" ")[0])

    def handle(self, message: Incoming) -> Iterable[Outgoing]:
        event: Upload = message.value
        if event.title.startswith("wait "):
            time.sleep(float(event.title.partition(" ")[2]))
        seen = self.numbers.setdefault(event.publisher_id, {})
        number = seen.setdefault(event.event_id, len(seen))
        event = msgspec.structs.replace(event, title=f"{number} {self.context.settings.instance}")
        yield Outgoing(ADMITTED, event.publisher_id, Admitted(event=event, admitted_at=self.context.clock()))


class Sleepy(Echo):
    """Prepares each message for as long as its title says."""

    name = "sleepy"
    slow = True

    async def prepare(self, message: Incoming) -> None:
        await asyncio.sleep(float(message.value.title or 0))

    def handle(self, message: Incoming) -> Iterable[Outgoing]:
        yield Outgoing(ADMITTED, message.value.publisher_id, Admitted(event=message.value, admitted_at=NOW))


class Laned(Sleepy):
    """The same, with a lane for what takes no time."""

    name = "laned"
    lanes = ("slow", "quick")

    def lane(self, message: Incoming) -> str:
        return "slow" if message.value.title else "quick"


class Defective(Echo):
    """Has a defect that no message is to blame for."""

    name = "defective"

    async def restore(self, assigned: Assigned) -> None:
        raise RuntimeError("a defect")
