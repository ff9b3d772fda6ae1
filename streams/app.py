"""The Faust side: one Faust app, and so one consumer group, for each agent.

A group of its own lets each agent scale, lag and fail alone (`veristream worker --agents review`), and lets several
agents read the same topic whole. All apps of a worker share one event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from streams.agent import Agent
from streams.delivery import Delivery
from streams.kafka import DEADLETTER_BYTES
from streams.producer import Producer
from streams.security import credentials
from streams.settings import Settings
from streams.transport import App
from streams.views import Views

#: Heartbeats per session: the usual three, and one for a loop that is late.
HEARTBEATS_PER_SESSION = 4


def faust_app(name: str, settings: Settings, *, buffer: int) -> App:
    """A Faust app with the settings under which it loses nothing; each is here for a reason."""
    session = settings.session_timeout_s
    app = App(
        f"{settings.group_prefix}-{name}",
        broker=[f"kafka://{server}" for server in settings.broker.split(",")],
        broker_credentials=credentials(settings),
        loop=asyncio.get_event_loop(),
        store="memory://",
        processing_guarantee="at_least_once",  # exactly_once has open defects (#440, #323, #517, #177)
        stream_buffer_maxsize=buffer,
        stream_wait_empty=True,  # finish what has begun before partitions go or the worker stops
        # A worker that does not poll for so long leaves its group for good (aiokafka #1187); a full buffer is enough.
        broker_max_poll_interval=86_400.0,
        broker_max_poll_records=500,
        broker_session_timeout=session,
        broker_heartbeat_interval=session / HEARTBEATS_PER_SESSION,
        broker_request_timeout=max(90.0, session),  # Faust refuses a session longer than a request
        broker_rebalance_timeout=max(120.0, session),
        broker_commit_interval=1.0,
        consumer_auto_offset_reset="earliest",
        producer_acks=-1,
        producer_linger=0.005,
        producer_max_batch_size=131_072,
        producer_max_request_size=DEADLETTER_BYTES,
        producer_request_timeout=60.0,  # the default of 20 minutes hides a broker that is gone
        table_standby_replicas=0,
        topic_disable_leader=True,
        topic_allow_declare=False,  # topics are provisioned, not declared by whoever starts first
        reply_create_topic=False,
        web_enabled=False,
        debug=False,
    )
    app.fetch_max_wait_s = settings.fetch_max_wait_s
    return app


def attach(agent: Agent, views: Views, *, fatal: Callable[[BaseException], None]) -> tuple[App, Delivery]:
    """The Faust app that runs this agent, and its delivery loop."""
    settings = agent.context.settings
    # Two batches: one being worked on, one waiting.
    app = faust_app(agent.name, settings, buffer=agent.batch_size * 2)

    async def send(topic: str, key: bytes, value: bytes) -> Any:
        return await app.producer.send(topic, key, value, None, None, None)

    producer = Producer(
        send,
        agent=agent.name,
        prefix=settings.topic_prefix,
        max_message_bytes=settings.max_message_bytes,
        metrics=agent.context.metrics,
    )
    delivery = Delivery(agent, producer, views, fatal=fatal)
    # Raw bytes: a value that Faust cannot decode would be acknowledged and thrown into the agent.
    channel = app.topic(
        *(settings.topic_prefix + topic.name for topic in agent.inputs),
        key_type=bytes,
        value_type=bytes,
        key_serializer="raw",
        value_serializer="raw",
    )

    @app.agent(channel, name=agent.name, concurrency=1)  # type: ignore[untyped-decorator] # one ordered loop (#606)
    async def deliver(stream: Any) -> None:
        await delivery.run(stream.channel.queue)

    @app.on_partitions_assigned.connect  # type: ignore[untyped-decorator]
    async def on_assigned(_: Any, parts: Any, **__: Any) -> None:
        delivery.assigned(parts)

    return app, delivery
