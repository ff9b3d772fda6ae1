"""Probes answer for themselves: alive while the loop turns, ready while nothing is wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.parser import text_string_to_metric_families

from streams.health import Health


class Probed:
    """Probes that listen, and what makes them answer."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.registry = CollectorRegistry()
        self.health = Health(self.registry, lambda: self.problems)

    async def get(self, path: str) -> tuple[int, aiohttp.ClientResponse, bytes]:
        url = f"http://127.0.0.1:{self.health.port}{path}"
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            return answer.status, answer, await answer.read()

    async def json(self, path: str) -> tuple[int, dict[str, object]]:
        url = f"http://127.0.0.1:{self.health.port}{path}"
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            return answer.status, await answer.json()


@pytest.fixture
async def probed() -> AsyncIterator[Probed]:
    probed = Probed()
    await probed.health.start("127.0.0.1", 0)
    yield probed
    await probed.health.stop()


async def test_any_free_port_can_be_asked_for_and_is_told(probed: Probed) -> None:
    assert probed.health.port > 0


async def test_it_is_alive_whatever_is_wrong(probed: Probed) -> None:
    probed.problems = ["state is still being read"]
    assert await probed.json("/livez") == (200, {"alive": True})


async def test_it_is_ready_when_nothing_is_wrong(probed: Probed) -> None:
    assert await probed.json("/readyz") == (200, {"ready": True, "problems": []})


async def test_it_says_why_it_is_not_ready(probed: Probed) -> None:
    probed.problems = ["echo: no partitions assigned", "state is still being read"]
    assert await probed.json("/readyz") == (503, {"ready": False, "problems": probed.problems})
    probed.problems = []
    assert (await probed.json("/readyz"))[0] == 200


async def test_metrics_are_those_of_its_own_registry(probed: Probed) -> None:
    Counter("things", "Things", registry=probed.registry).inc(2)
    status, answer, body = await probed.get("/metrics")
    assert status == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    families = {family.name: family for family in text_string_to_metric_families(body.decode())}
    assert families["things"].samples[0].value == 2


async def test_nothing_else_is_served(probed: Probed) -> None:
    for path in ("/", "/healthz", "/livez/x"):
        assert (await probed.get(path))[0] == 404


async def test_a_port_that_is_taken_is_an_error(probed: Probed) -> None:
    other = Health(CollectorRegistry(), list)
    with pytest.raises(OSError, match="in use"):
        await other.start("127.0.0.1", probed.health.port)
    await other.stop()


async def test_after_stopping_nothing_listens() -> None:
    probed = Probed()
    await probed.health.start("127.0.0.1", 0)
    await probed.health.stop()
    with pytest.raises(aiohttp.ClientConnectorError):
        await probed.get("/livez")


async def test_to_stop_what_never_started_does_nothing() -> None:
    await Probed().health.stop()
