"""The Faust app of an agent has the settings under which it loses nothing, whatever the session's length."""

from __future__ import annotations

import pytest
from faust.types.enums import ProcessingGuarantee
from prometheus_client import CollectorRegistry
from trial_agents import Echo, context

from streams.app import attach, faust_app
from streams.settings import load
from streams.views import Views


@pytest.mark.parametrize("session", [2.0, 6.0, 45.0, 100.0, 300.0])
async def test_time_outs_fit_each_other(session: float) -> None:
    conf = faust_app("echo", load(session_timeout_s=session), buffer=20).conf
    assert conf.broker_session_timeout == session
    assert conf.broker_heartbeat_interval <= session / 3
    assert conf.broker_request_timeout >= session
    assert conf.broker_rebalance_timeout >= session
    assert conf.broker_max_poll_interval >= 3600
    assert conf.producer_request_timeout < 90


async def test_nothing_is_given_up_or_made_up() -> None:
    conf = faust_app("echo", load(), buffer=20).conf
    assert conf.processing_guarantee == ProcessingGuarantee.AT_LEAST_ONCE
    assert conf.stream_wait_empty
    assert conf.consumer_auto_offset_reset == "earliest"
    assert conf.producer_acks == -1
    assert not conf.topic_allow_declare
    assert conf.topic_disable_leader
    assert not conf.web_enabled


async def test_a_group_belongs_to_an_agent_and_a_broker_may_have_several_addresses() -> None:
    app = faust_app("echo", load(group_prefix="mine", broker="one:1,two:2"), buffer=20)
    assert app.conf.id == "mine-echo"
    assert [str(url) for url in app.conf.broker] == ["kafka://one:1", "kafka://two:2"]


async def test_an_agent_has_one_ordered_loop_over_raw_messages_of_its_topics() -> None:
    settings = load(topic_prefix="p.")
    echo = Echo(context(settings, CollectorRegistry()))
    app, delivery = attach(echo, Views([], settings), fatal=lambda error: None)
    (agent,) = app.agents.values()
    assert agent.concurrency == 1
    assert list(agent.channel.topics) == ["p.uploads"]
    assert agent.channel.value_serializer == "raw"
    assert agent.channel.key_serializer == "raw"
    assert app.conf.stream_buffer_maxsize == 2 * echo.batch_size
    assert delivery.agent is echo
