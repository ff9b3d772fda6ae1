"""An entry with a broker of the test's own making, and one broker for the tests that need a real one."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client import CollectorRegistry

from agents.complaints.digest import digests
from agents.complaints.entry import Entry
from agents.complaints.receipts import Receipts
from deploy.embedded import EmbeddedBroker, free_port
from schemas.complaint import Complaint
from schemas.policy import default_policy
from streams.settings import Settings, load

_numbers = count()


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable and no file of whoever runs the tests is read."""
    for name in os.environ:
        if name.startswith("VERISTREAM_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


class Served:
    """An entry behind a test client; `sent` is what its broker has. `trouble` is raised instead, if it is set."""

    def __init__(self) -> None:
        self.sent: list[Complaint] = []
        self.trouble: Callable[[], object] | None = None
        self.receipts = Receipts()
        self.registry = CollectorRegistry()
        self.problems: list[str] = []
        self.client: TestClient

    async def send(self, complaint: Complaint) -> None:
        if self.trouble:
            await self.trouble()  # type: ignore[misc]
        self.sent.append(complaint)

    async def start(self, **options: object) -> None:
        admit = options.pop("admit", None)
        entry = Entry(
            load(**{"complaints_rate": 0, "complaints_peer_rate": 0, "complaints_ack_s": 0.2} | options),
            send=self.send,
            digest=digests(None),
            receipts=self.receipts,
            policy=default_policy,
            registry=self.registry,
            problems=lambda: self.problems,
            **({"admit": admit} if admit else {}),
        )
        self.client = TestClient(TestServer(entry.app()))
        await self.client.start_server()

    async def post(self, **changes: object):
        return await self.client.post("/complaints", json=_filing(**changes))


def _filing(**changes: object) -> dict[str, object]:
    """A complaint that is taken; a field that is None is left out."""
    fields = {"kind": "illegal", "publisher_id": "p-1", "content_id": "c-1", "text": "看这里", "complainant": "alice"}
    return {name: value for name, value in (fields | changes).items() if value is not None}


@pytest.fixture(scope="session")
def filing() -> Callable[..., dict[str, object]]:
    return _filing


@pytest.fixture
async def serving() -> AsyncIterator[Callable[..., object]]:
    """Starts an entry with these settings."""
    running: list[Served] = []

    async def start(**options: object) -> Served:
        served = Served()
        await served.start(**options)
        running.append(served)
        return served

    yield start
    for served in running:
        await served.client.close()


@pytest.fixture(scope="session")
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker(free_port()) as broker:
        yield broker


@pytest.fixture
def on_broker(broker: EmbeddedBroker) -> Settings:
    """Settings of an entry and a worker beside the broker, on topics of their own."""
    prefix = f"complaints{next(_numbers)}."
    return load(
        broker=broker.address,
        topic_prefix=prefix,
        group_prefix=prefix + "group",
        session_timeout_s=2.0,
        fetch_max_wait_s=0.05,
        http_port=0,
        agents="complaints",
        complaints_port=free_port(),
    )
