"""A real Apache Kafka for tests: one plain cluster of three brokers and one secure broker, shared by all that ask.

Every test uses a topic prefix and a group prefix of its own. Without Java, Maven or the jars these tests are skipped
with the reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from deploy.kafka.broker import said
from deploy.kafka.cluster import Cluster
from deploy.kafka.jars import KafkaMissing
from streams.security import librdkafka
from streams.settings import load


def cluster_or_skip(folder: Path, **arguments: Any) -> Cluster:
    """A cluster that is not started yet; the test is skipped where there can be none."""
    try:
        return Cluster(folder, **arguments)
    except KafkaMissing as error:
        pytest.skip(str(error))


@contextmanager
def started(cluster: Cluster) -> Iterator[Cluster]:
    """The cluster while it runs, and its logs in the failure if one of its brokers ended by itself."""
    with cluster:
        yield cluster
        ended = [broker for broker in cluster.brokers if broker.pid is None]
        assert not ended, "\n".join(f"{broker} ended with {broker.exit_code}: {said(broker.log)}" for broker in ended)


def prefixes() -> dict[str, str]:
    """Topic and group prefixes that no other test has, as settings."""
    own = f"t{uuid4().hex[:8]}"
    return {"topic_prefix": f"{own}-", "group_prefix": own}


def client(settings: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """The configuration of a confluent-kafka client with these settings, which says nothing on the console."""
    return librdkafka(load(**settings)) | {"log_level": 0} | more
