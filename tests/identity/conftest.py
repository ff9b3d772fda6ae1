"""What the tests of identity share: a broker, an environment of its own for each test, numbers, a scripted verifier."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
from hypothesis import settings as hypothesis_settings

sys.path.insert(0, str(Path(__file__).parent))

from reference_verifier import ReferenceVerifier
from running_registrar import Clock, Running, only_publishers

from agents.identity.breaker import Breaker
from agents.identity.digests import rotate
from agents.identity.registrar import Registrar
from agents.identity.verifier import HttpVerifier
from deploy.embedded import EmbeddedBroker, free_port
from streams.settings import Settings, load

# A time limit on single examples would measure the machine, not the code.
hypothesis_settings.register_profile("identity", deadline=None)
hypothesis_settings.load_profile("identity")

_prefixes = count()


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable and no file of whoever runs the tests is read, and nothing is written into their home."""
    for name in os.environ:
        if name.startswith("VERISTREAM_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker(free_port()) as broker:
        yield broker


@pytest.fixture
def on_broker(broker: EmbeddedBroker) -> Callable[..., Settings]:
    """Settings beside the broker, with topics of their own."""
    prefix = f"identity{next(_prefixes)}."

    def settings(**others: object) -> Settings:
        own = {"broker": broker.address, "topic_prefix": prefix, "fetch_max_wait_s": 0.05, "registrar_port": 0}
        return load(**own | others)

    return settings


@pytest.fixture
async def verifier():
    """A verifier over HTTP on loopback, to be scripted."""
    async with ReferenceVerifier() as server:
        yield server


@pytest.fixture
async def start(on_broker, verifier):
    """Starts a registrar, with the reference verifier unless told otherwise; it asks again only when told to."""
    running = []

    async def begin(*, verified=True, **options):
        settings = on_broker(
            **{"registrar_retry_s": 3600.0, "verifier_url": verifier.url if verified else ""} | options
        )
        await only_publishers(settings)
        clock = Clock()

        async def at_once(_):
            pass

        asked = HttpVerifier(verifier.url, sleep=at_once, breaker=Breaker(failures=10**6)) if verified else None
        registrar = Registrar(settings, asked, clock)
        await registrar.start()
        running.append(registrar)
        one = Running(registrar, settings, clock)
        while (await one.get("/readyz"))[0] != 200:
            await asyncio.sleep(0.02)
        return one

    yield begin
    for registrar in running:
        await registrar.stop()


@pytest.fixture
def keys(tmp_path):
    path = tmp_path / "keys.json"
    rotate(path, "2026-01")
    return path
