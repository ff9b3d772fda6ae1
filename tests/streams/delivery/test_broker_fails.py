"""A broker that fails gets everything in the end, in order."""

from __future__ import annotations

from aiokafka.errors import KafkaConnectionError
from delivery_rig import Rig


async def test_a_failed_acknowledgement_is_sent_again_from_the_first_failure_on_in_order(rig: Rig) -> None:
    rig.broker.acknowledging.extend([None, KafkaConnectionError(), None, None])
    for _ in range(4):
        rig.upload()
    rig.start()
    await rig.log.has("acked", 3)
    assert rig.log.of("sent") == [f"event-{number}" for number in (0, 1, 2, 3, 1, 2, 3)]
    assert [entry for entry in rig.log if entry[0] == "acked"] == rig.log[-4:]
    assert rig.counted("veristream_produce_retries_total", agent="echo") == 3
    assert rig.counted("veristream_messages_out_total", agent="echo", topic="admitted") == 4


async def test_a_broker_that_takes_nothing_for_a_while_gets_everything_in_the_end(rig: Rig) -> None:
    rig.broker.taking.extend([KafkaConnectionError()] * 5)
    rig.upload()
    rig.upload()
    rig.start()
    await rig.log.has("acked", 1)
    assert rig.log.of("refused") == ["event-0", "event-1"] * 2 + ["event-0"]
    assert [name for name in rig.log.of("acknowledged") if name == "event-0"] == ["event-0"]
    first = rig.log.index(("acknowledged", "event-0"))
    assert ("acknowledged", "event-1") in rig.log[first:]
    assert rig.log.index(("acked", 0)) > first


async def test_a_repeat_never_turns_the_order_round(rig: Rig) -> None:
    # What the first try of the later one has left at the broker comes again after the earlier one.
    rig.broker.taking.extend([KafkaConnectionError(), None, None, None])
    rig.upload()
    rig.upload()
    rig.start()
    await rig.log.has("acked", 1)
    acknowledged = rig.log.of("acknowledged")
    assert acknowledged[-2:] == ["event-0", "event-1"]
    assert rig.log.of("sent") == ["event-1", "event-0", "event-1"]


async def test_a_broker_that_never_answers_stops_the_commit_not_the_process(rig: Rig) -> None:
    rig.broker.acknowledging.extend([KafkaConnectionError()] * 20)
    rig.upload()
    rig.start()
    await rig.log.has("lost", "event-0", times=5)
    assert rig.acked == []
    assert rig.fatal == []
    rig.broker.acknowledging.clear()
    await rig.log.has("acked", 0)
