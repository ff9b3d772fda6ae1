"""The Faust app of an agent, and the settings under which its group loses nothing, whatever the session's length."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry
from trial_agents import Echo, Patient, context

from streams.app import attach, faust_app
from streams.membership import consumer_settings
from streams.settings import load
from streams.views import Views
from streams.window import Window


@pytest.mark.parametrize("session", [2.0, 6.0, 45.0, 100.0, 300.0])
@pytest.mark.parametrize("grace", [1.0, 30.0, 300.0])
async def test_time_outs_fit_each_other(session: float, grace: float) -> None:
    given = consumer_settings(load(session_timeout_s=session, shutdown_grace_s=grace))
    assert given["session_timeout_ms"] == session * 1000
    assert given["heartbeat_interval_ms"] <= session * 1000 / 3
    # A member finishes within the grace what it has begun, and the others wait for it.
    assert given["rebalance_timeout_ms"] >= max(session, 2 * grace) * 1000
    # A join is answered when all have come.
    assert given["request_timeout_ms"] > max(session, grace) * 1000
    assert given["max_poll_interval_ms"] >= 3_600_000


async def test_nothing_is_committed_or_passed_over_by_itself() -> None:
    given = consumer_settings(load())
    assert given["enable_auto_commit"] is False
    assert given["auto_offset_reset"] == "earliest"
    assert given["group_instance_id"] is None
    assert consumer_settings(load(instance="worker-1"))["group_instance_id"] == "worker-1"


async def test_a_group_belongs_to_an_agent_and_a_broker_may_have_several_addresses() -> None:
    app = faust_app("echo", load(group_prefix="mine", broker="one:1,two:2"))
    assert app.conf.id == "mine-echo"
    assert [str(url) for url in app.conf.broker] == ["kafka://one:1", "kafka://two:2"]


async def test_an_agent_has_one_ordered_loop_over_raw_messages_of_its_topics() -> None:
    settings = load(topic_prefix="p.")
    echo = Echo(context(settings, CollectorRegistry()))
    (attached,) = attach(echo, Views([], settings), fatal=lambda error: None)
    (agent,) = attached.app.agents.values()
    assert agent.concurrency == 1
    assert list(agent.channel.topics) == ["p.uploads"]
    assert agent.channel.value_serializer == "raw"
    assert agent.channel.key_serializer == "raw"
    assert attached.name == "echo"
    assert attached.delivery.agent is echo
    assert attached.delivery.consumer is attached.app.intake


async def test_each_lane_has_a_group_of_its_own_and_the_first_the_agents_name() -> None:
    class Laned(Patient):
        lanes = ("uploads", "segments")

    settings = load(group_prefix="mine")
    several = list(attach(Laned(context(settings)), Views([], settings), fatal=lambda error: None))
    assert [attached.name for attached in several] == ["patient", "patient-segments"]
    assert [attached.app.intake.group for attached in several] == ["mine-patient", "mine-patient-segments"]
    assert all(isinstance(attached.delivery, Window) for attached in several)


async def test_only_producer_consumer_and_agent_are_started_by_faust() -> None:
    settings = load()
    (attached,) = attach(Echo(context(settings)), Views([], settings), fatal=lambda error: None)
    names = [type(service).__name__ for service in attached.app.on_init_dependencies()]
    assert names == ["_Kafka", "_Kafka", "AgentManager"]
