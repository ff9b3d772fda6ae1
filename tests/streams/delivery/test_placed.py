"""What lies in the wrong partition is moved to the right one."""

from __future__ import annotations

import pytest
from aiokafka.partitioner import DefaultPartitioner
from delivery_rig import Rig
from trial_agents import upload

from schemas.message import encode
from schemas.topics import PARTITIONS, TOPICS, UPLOADS


@pytest.fixture
def placed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Uploads must lie where Kafka's own partitioner puts their key."""
    monkeypatch.setitem(TOPICS, "uploads", UPLOADS._replace(placed=True))


@pytest.mark.usefixtures("placed")
async def test_a_message_that_lies_where_its_key_does_not_belong_is_moved_there(rig: Rig) -> None:
    right = int(DefaultPartitioner()(b"publisher", list(range(PARTITIONS)), []))
    value = encode(upload(0))
    rig.put(value, partition=(right + 1) % PARTITIONS)
    rig.put(encode(upload(1)), partition=right)
    rig.start()
    await rig.log.has("acked", 1)
    assert [(topic, key) for topic, key, _ in rig.broker.lies] == [
        ("p.uploads", b"publisher"),
        ("p.admitted", b"publisher"),
    ]
    assert rig.broker.lies[0][2] == value
    assert rig.acked == [0, 1]


async def test_elsewhere_a_message_is_taken_wherever_it_lies(rig: Rig) -> None:
    for partition in range(PARTITIONS):
        rig.put(encode(upload(partition)), partition=partition)
    rig.start()
    await rig.log.has("acked", PARTITIONS - 1)
    assert {topic for topic, _, _ in rig.broker.lies} == {"p.admitted"}
