"""A broker and an environment of its own for each test that asks for one."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

# Spawned processes import the trial detectors and agents by these names.
sys.path.insert(0, str(Path(__file__).parent))

from fetching import Fetching

from deploy.embedded import EmbeddedBroker, free_port
from streams.settings import Settings, load


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable and no file of whoever runs the tests is read, and nothing is written into their home."""
    for name in os.environ:
        if name.startswith("VERISTREAM_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    # It starts in some 30 ms, and clients ask it for every topic there is: fewer topics are quicker than fewer brokers.
    with EmbeddedBroker(free_port()) as broker:
        yield broker


@pytest.fixture
def on_broker(broker: EmbeddedBroker) -> Callable[..., Settings]:
    """Settings of a worker beside the broker, quick to join."""

    def settings(**others: object) -> Settings:
        return load(
            **{
                "broker": broker.address,
                "topic_prefix": "test.",
                "session_timeout_s": 2.0,
                "fetch_max_wait_s": 0.05,
                "http_port": 0,
            }
            | others
        )

    return settings


@pytest.fixture
async def fetching(tmp_path: Path) -> AsyncIterator[Callable[..., Fetching]]:
    made: list[Fetching] = []

    def fetching(**settings: Any) -> Fetching:
        made.append(
            Fetching(
                load(
                    **{
                        "store": tmp_path / "store",
                        "spool": tmp_path / "spool",
                        "fetch_timeout_s": 10,
                        "media_cache_mb": 0,
                    }
                    | settings
                )
            )
        )
        return made[-1]

    (tmp_path / "store").mkdir()
    yield fetching
    for each in made:
        await each.fetcher.close()
        assert each.left == []
