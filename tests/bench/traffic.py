"""Uploads as a platform would send them, the registry rows that let them pass, and the agent that lets them, alone.

All of it comes from the examples of the wire types, so that it stays what the agents take.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime

from msgspec.structs import replace
from prometheus_client import CollectorRegistry

from agents.identity.agent import Identity
from schemas.event import Upload
from schemas.examples import EXAMPLES
from schemas.message import Message
from schemas.policy import default_policy
from schemas.topics import POLICIES, PROVIDERS, PUBLISHERS, UPLOADS, Topic
from streams.agent import Context, Incoming, Outgoing
from streams.metrics import Metrics
from streams.settings import Settings
from streams.views import View

PUBLISHERS_COUNT = 1000


def registry() -> Iterator[tuple[Topic, Message]]:
    """The rows of all publishers and of their provider."""
    for number in range(PUBLISHERS_COUNT):
        yield PUBLISHERS, replace(EXAMPLES["publishers"], publisher_id=_publisher(number))
    yield PROVIDERS, EXAMPLES["providers"]


def uploads(count: int) -> Iterator[Upload]:
    """So many uploads that pass, of all publishers in turn."""
    for number in range(count):
        digest = hashlib.sha256(str(number).encode()).hexdigest()
        yield replace(
            EXAMPLES["uploads"],
            event_id=digest[:32],
            content_id=f"content-{number:08d}",
            publisher_id=_publisher(number),
            media=replace(EXAMPLES["uploads"].media, sha256=digest),
            feature_id=None,
            created_at=datetime.now(UTC),
        )


def _publisher(number: int) -> str:
    return f"publisher-{number % PUBLISHERS_COUNT:05d}"


def identity_alone() -> Callable[[Upload], list[Outgoing]]:
    """The identity agent without a broker: what it sends for an upload."""
    metrics = Metrics(CollectorRegistry())
    views = {topic.name: View(topic, metrics) for topic in Identity.views}
    for topic, row in [*registry(), (POLICIES, default_policy())]:
        views[topic.name].rows[getattr(row, topic.key)] = row

    async def nothing(*_: object) -> AsyncIterator[Incoming]:
        for none in ():
            yield none

    agent = Identity(
        Context(settings=Settings(), metrics=metrics, views=views, clock=lambda: datetime.now(UTC), read_back=nothing)
    )
    return lambda upload: list(agent.handle(Incoming(UPLOADS.name, 0, 0, upload)))
