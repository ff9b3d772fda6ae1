"""Several workers on a real Kafka: nothing lost, nothing contradictory, each publisher in order, whatever ends."""

from __future__ import annotations

import asyncio
import signal

from aiokafka.admin import AIOKafkaAdminClient
from confluent_kafka import Producer
from kafka import client
from processes import get
from trial import SESSION_S, Trial, encode, stage, upload

from schemas.topics import UPLOADS
from streams.security import connection


def in_order(order: dict[str, list[int]]) -> bool:
    return all(numbers == sorted(numbers) for numbers in order.values())


# Commits.


async def test_a_worker_killed_with_a_slow_message_at_the_head_leaves_no_gap(kafka, tmp_path):
    async with stage(kafka, tmp_path, partitions=1) as s:
        worker = s.worker("Sleepy").start()
        await s.client.submit(upload(0, publisher_id="slow", title="15"))
        await s.submit(range(1, 200))
        await s.until(lambda: s.seen >= set(range(1, 200)), "the others go out past the slow one")
        await asyncio.sleep(1.5)  # longer than offsets are collected for
        assert worker.lag() >= 200, "nothing is committed past the head"
        worker.end(signal.SIGKILL)
        await s.drain()
        assert 0 not in s.seen, "it was killed before the slow one was done"
        s.worker("Sleepy").start()
        await s.until(lambda: 0 in s.seen, "the slow one comes again")
        assert s.seen == set(range(200))


async def test_a_window_full_of_slow_messages_holds_up_no_other_lane(kafka, tmp_path):
    async with stage(kafka, tmp_path, partitions=1) as s:
        worker = s.worker("Laned").start()
        await s.submit(range(100), publishers=100, title="600")  # more than a window
        await s.submit(range(100, 150))
        await s.until(lambda: s.seen == set(range(100, 150)), "the quick lane goes on", 30)
        quick = 'veristream_lag_messages{agent="laned-quick",partition="0",topic="uploads"}'
        await s.until(lambda: worker.metric(quick) == 0, "and commits", 15)
        slow = quick.replace("laned-quick", "laned")
        await s.until(lambda: worker.metric(slow) == 150, "nothing of the slow lane is committed", 20)
        assert worker.end(signal.SIGTERM) == 0, "what is not done in time is given up, in good order"


async def test_what_nobody_can_read_stops_nothing_behind_it(kafka, tmp_path):
    async with stage(kafka, tmp_path, partitions=1) as s:
        worker = s.worker("Echo").start()
        bad = [b"{", b"\xff\xfe", b"", None, b"[]", encode(upload(1, title="fail")), encode(upload(1, title="refuse"))]
        for number, value in enumerate(bad):
            await s.client.send_raw(UPLOADS, b"publisher", value)
            await s.submit([number + 10])
        await s.until(lambda: len(s.seen) == len(bad) and len(s.letters) == len(bad), "all come out")
        assert [letter.value for letter in s.letters] == bad
        await s.until(lambda: worker.lag() == 0, "all is committed", 15)


async def test_an_output_that_the_broker_refuses_becomes_a_dead_letter_and_the_rest_goes_on(kafka, tmp_path):
    small = {"admitted": {"max.message.bytes": "4000"}}
    async with stage(kafka, tmp_path, configs=small) as s:
        worker = s.worker("Echo").start()
        for number in range(30):
            long = "x" * 5_000 if number in (7, 20) else ""
            await s.client.submit(upload(number, publisher_id=f"publisher-{number % 3}", description=long))
        await s.until(lambda: len(s.seen) >= 28 and len(s.letters) >= 2, "28 outputs and two dead letters")
        assert s.seen == set(range(30)) - {7, 20}
        assert {letter.error for letter in s.letters} == {"MessageSizeTooLargeError"}
        assert in_order(s.first_order())
        await s.until(lambda: worker.lag() == 0, "the input is committed")


async def test_lag_reaches_nothing_behind_the_marker_of_a_transaction(kafka, tmp_path):
    async with stage(kafka, tmp_path) as s:
        worker = s.worker("Echo").start()
        producer = Producer(client(kafka.settings, **{"transactional.id": s.settings.group_prefix}))
        producer.init_transactions(30)
        for commit in (True, False):  # an aborted one leaves nothing but markers, and messages that nobody must pass
            producer.begin_transaction()
            for number in range(20):
                event = upload(number + (0 if commit else 100), publisher_id=f"publisher-{number % 7}")
                producer.produce(s.settings.topic_prefix + UPLOADS.name, encode(event), key=event.publisher_id)
            producer.commit_transaction(30) if commit else producer.abort_transaction(30)
        await s.until(lambda: s.seen >= set(range(20)), "what was committed comes out")
        await s.until(lambda: worker.lag() == 0, "the lag is nothing", 20)


# Rebalances.


async def test_workers_that_come_go_and_die_under_load_neither_lose_nor_contradict(kafka, tmp_path):
    async with stage(kafka, tmp_path) as s:
        s.worker("Tally", instance="").start()
        sending = asyncio.create_task(_send_slowly(s, 3000))
        second = s.worker("Tally").start()
        await s.until(lambda: len(s.seen) > 600, "the second takes part")
        third = s.worker("Tally").start()
        await s.until(lambda: len(s.seen) > 1200, "the third takes part")
        assert second.end(signal.SIGTERM) == 0, second.words()[-3000:]
        third.end(signal.SIGKILL)
        await s.until(lambda: len(s.seen) > 1800, "the first takes over", 90)
        s.worker("Tally").start()
        await sending
        await s.until(lambda: len(s.seen) == 3000, "all come out", 90)
        await s.drain()
        assert {event: said for event, said in s.numbers().items() if len(said) > 1} == {}
        order = s.first_order()
        assert in_order(order)
        for publisher, numbers in order.items():
            said = s.numbers()
            assert [said[f"event-{number}"] for number in numbers] == [{str(n)} for n in range(len(numbers))], publisher
        assert s.letters == []


async def _send_slowly(s, count: int) -> None:
    for at in range(0, count, 50):
        await s.submit(range(at, at + 50), title="wait 0.001")
        await asyncio.sleep(0.1)


async def test_a_worker_that_was_frozen_past_its_session_produces_nothing_when_it_thaws(kafka, tmp_path):
    async with stage(kafka, tmp_path) as s:
        zombie = s.worker("Tally", instance="").start()
        await s.submit(range(300), title="wait 0.02")
        await s.until(lambda: len(s.seen) >= 10, "it is in the middle")
        zombie.send(signal.SIGSTOP)
        s.worker("Tally").start()
        await s.until(lambda: len(s.seen) == 300, "the other takes over", 90)
        await s.drain(3.0)
        before = len(s.out)
        zombie.send(signal.SIGCONT)
        # It finds itself out, and joins again: nothing is left to do, so whatever comes now is the zombie's.
        await s.until(lambda: zombie.words().count("partitions") >= 2 and zombie.is_ready(), "it joins again", 60)
        await s.drain(3.0)
        assert s.out[before:] == []
        assert {event: said for event, said in s.numbers().items() if len(said) > 1} == {}


async def test_more_workers_than_partitions_stay_in_the_group_and_take_over(kafka, tmp_path):
    async with stage(kafka, tmp_path, partitions=1) as s:
        # Polled every second; one that is not would be put out of its group after three.
        both = [s.worker("Tally", "3").start() for _ in range(2)]
        await asyncio.sleep(10.0)
        assert all(worker.is_ready() for worker in both)
        active = [worker for worker in both if worker.metric('veristream_partitions{agent="tally"}')]
        assert len(active) == 1
        await s.submit(range(10))
        await s.until(lambda: len(s.seen) == 10, "one works")
        active[0].end(signal.SIGKILL)
        await s.submit(range(10, 20))
        await s.until(lambda: len(s.seen) == 20, "the spare takes over", 60)
        assert {event: said for event, said in s.numbers().items() if len(said) > 1} == {}


async def test_a_static_member_restarted_within_its_session_moves_nobody(kafka, tmp_path):
    async with stage(kafka, tmp_path) as s:
        settled = s.worker("Tally", instance="one").start()
        restarted = s.worker("Tally", instance="two", session_timeout_s=90.0).start()
        await s.submit(range(60))
        await s.until(lambda: len(s.seen) == 60, "both work")
        await _until_quiet(settled)
        generations = settled.words().count("generation")
        for first in (60, 120):
            assert restarted.end(signal.SIGTERM) == 0
            restarted.start()
            await s.submit(range(first, first + 60))
            await s.until(lambda: len(s.seen) == first + 60, "both work again", 60)  # noqa: B023 - awaited here
        assert settled.words().count("generation") == generations, settled.words()[-3000:]
        assert {event: said for event, said in s.numbers().items() if len(said) > 1} == {}


async def _until_quiet(worker: Trial) -> None:
    """Wait until no rebalance has come for two heartbeats."""
    before = -1
    while (now := worker.words().count("generation")) != before:
        before = now
        await asyncio.sleep(SESSION_S / 2)


# Brokers.


async def test_brokers_that_are_all_away_are_waited_for_and_work_goes_on_unaided(kafka, tmp_path):
    async with stage(kafka, tmp_path) as s:
        worker = s.worker("Tally").start()
        await s.submit(range(100), title="wait 0.01")
        await s.until(lambda: len(s.seen) >= 5, "it works")
        for broker in kafka.brokers:
            broker.kill()
        try:
            await asyncio.sleep(SESSION_S * 2)
            assert worker.process.poll() is None, "a restart would bring no broker back"
            assert get(f"http://127.0.0.1:{worker.settings.http_port}/readyz")[0] == 503
        finally:
            for broker in kafka.brokers:
                broker.launch()
            for broker in kafka.brokers:
                broker.wait()
        await s.until(lambda: len(s.seen) == 100, "it goes on", 60)
        worker.until_ready(60)
        await s.submit(range(100, 150))
        await s.until(lambda: len(s.seen) == 150, "and takes more", 60)
        assert {event: said for event, said in s.numbers().items() if len(said) > 1} == {}
        assert in_order(s.first_order())


async def test_a_group_whose_coordinator_dies_goes_on_under_another(kafka, tmp_path):
    async with stage(kafka, tmp_path) as s:
        s.worker("Tally").start()
        await s.submit(range(50))
        await s.until(lambda: len(s.seen) == 50, "it works")
        admin = AIOKafkaAdminClient(**connection(s.settings))
        await admin.start()
        number = await admin.find_coordinator(f"{s.settings.group_prefix}-tally")
        await admin.close()
        (broker,) = [broker for broker in kafka.brokers if broker.number == number]
        sending = asyncio.create_task(_send_more(s, 50, 400))
        broker.kill()
        try:
            await sending
            await s.until(lambda: len(s.seen) == 400, "it goes on without the broker", 60)
        finally:
            broker.start()
        assert {event: said for event, said in s.numbers().items() if len(said) > 1} == {}
        assert in_order(s.first_order())


async def _send_more(s, first: int, end: int) -> None:
    for at in range(first, end, 10):
        await s.submit(range(at, min(at + 10, end)))
        await asyncio.sleep(0.1)
