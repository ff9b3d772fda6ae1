"""The Faust side: one Faust app, and so one consumer group, for each lane of each agent.

A group of its own lets each agent scale, lag and fail alone (`veristream worker --agents review`), and lets several
agents read the same topic whole. All apps of a worker share one event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from streams.agent import Agent
from streams.consumer import Consumer
from streams.delivery import Delivery
from streams.producer import Producer
from streams.settings import Settings
from streams.transport import App
from streams.views import Views
from streams.window import Window
from streams.wire import Wire


class Attached(NamedTuple):
    """A lane of an agent, ready to run. Its name is the agent's, but for the lanes after the first."""

    name: str
    app: App
    delivery: Delivery


def faust_app(name: str, settings: Settings) -> App:
    """A Faust app that runs an agent and nothing else."""
    return App(
        f"{settings.group_prefix}-{name}",
        broker=[f"kafka://{server}" for server in settings.broker.split(",")],
        loop=asyncio.get_event_loop(),
        store="memory://",
        topic_disable_leader=True,
        topic_allow_declare=False,  # topics are provisioned, not declared by whoever starts first
        reply_create_topic=False,
        web_enabled=False,
        debug=False,
    )


def attach(agent: Agent, views: Views, *, fatal: Callable[[BaseException], None]) -> Iterator[Attached]:
    """The Faust apps that run this agent, one a lane, and their delivery loops."""
    for lane in agent.lanes:
        name = agent.name if lane == agent.lanes[0] else f"{agent.name}-{lane}"
        yield _attached(agent, name, lane, views, fatal)


def _attached(agent: Agent, name: str, lane: str, views: Views, fatal: Callable[[BaseException], None]) -> Attached:
    settings = agent.context.settings
    topics = [settings.topic_prefix + topic.name for topic in agent.inputs]
    app = faust_app(name, settings)
    consumer = app.intake = Consumer(app.conf.id, topics, settings)

    def holds() -> bool:
        return consumer.holds(delivery.sending)

    wire = app.wire = Wire(settings, app.conf.id, holds)
    producer = Producer(
        wire.send,
        agent=agent.name,
        prefix=settings.topic_prefix,
        max_message_bytes=settings.max_message_bytes,
        metrics=agent.context.metrics,
        push=wire.push,
        renew=wire.renew,
        holds=holds,
        repeats=lambda: not wire.idempotent,
    )
    delivery: Delivery = (
        Window(agent, consumer, producer, views, fatal=fatal, lane=lane)
        if agent.slow
        else Delivery(agent, consumer, producer, views, fatal=fatal)
    )

    # The topics are named for whoever looks at the app; what runs takes from `consumer`, a batch at a time.
    channel = app.topic(*topics, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")

    @app.agent(channel, name=name, concurrency=1)  # type: ignore[untyped-decorator] # one ordered loop (#606)
    async def deliver(_: Any) -> None:
        await delivery.run()

    return Attached(name, app, delivery)
