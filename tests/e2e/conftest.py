"""Fixtures of the end-to-end tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from kafka import cluster_or_skip, started
from processes import Running, settings_for, start, stop

from deploy.demo.media import DemoMedia, make_media
from deploy.embedded import free_port
from deploy.kafka.cluster import Cluster


@pytest.fixture(scope="session")
def media(tmp_path_factory: pytest.TempPathFactory) -> DemoMedia:
    return make_media(tmp_path_factory.mktemp("media"))


@pytest.fixture(scope="session")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """`veristream up`, with its embedded broker."""
    folder = tmp_path_factory.mktemp("pipeline")
    port = free_port()
    settings = settings_for(folder, port)
    running = start(settings, folder / "log", "up", "--port", str(port))
    yield running
    assert stop(running) == 0, running.log.read_text()[-4000:]


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three brokers of Apache Kafka, shared: whoever stops one starts it again, and uses prefixes of its own."""
    with started(cluster_or_skip(tmp_path_factory.mktemp("kafka"))) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def secure_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One broker of Apache Kafka with TLS, users and access lists, shared."""
    with started(cluster_or_skip(tmp_path_factory.mktemp("secure"), brokers=1, secure=True)) as cluster:
        yield cluster
