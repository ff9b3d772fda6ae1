"""The entry and the agent beside a real broker: from the page to the result, and a broker that goes away."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import aiohttp
import pytest

from agents.complaints.receipts import new_receipt, sha256_of
from agents.complaints.serve import serve
from deploy.embedded import EmbeddedBroker, free_port
from schemas.complaint import Complaint
from schemas.message import decode
from schemas.sanction import Ruling
from schemas.topics import COMPLAINTS, DEADLETTERS, REVIEWS, RULINGS
from streams.client import Client, Feed
from streams.kafka import create_topics
from streams.settings import Settings, SettingsError
from streams.worker import Worker


@asynccontextmanager
async def entry(settings: Settings) -> AsyncIterator[aiohttp.ClientSession]:
    """The entry as the command runs it, and a session of somebody who complains."""
    ready: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(serve(settings, ready.set_result))
    done, _ = await asyncio.wait({serving, ready}, return_when=asyncio.FIRST_COMPLETED, timeout=30)
    if serving in done:
        serving.result()
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{ready.result()}") as session:
            yield session
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


async def state(session: aiohttp.ClientSession, receipt: str) -> dict[str, str]:
    async with session.get(f"/complaints/{receipt}") as answer:
        return {"status": answer.status} | await answer.json()


async def becomes(session: aiohttp.ClientSession, receipt: str, wanted: str) -> dict[str, str]:
    """Wait until the complaint stands so."""
    async with asyncio.timeout(30):
        while (found := await state(session, receipt)).get("state") != wanted:
            await asyncio.sleep(0.05)
    return found


async def lying(settings: Settings, topic) -> list[object]:
    """What lies on a topic now."""
    found = []
    async with Feed(settings, [topic], from_beginning=True) as feed:
        while not await feed.at_end():
            found += [decode(topic.message, record.value) for record in await feed.read(0.2)]
    return found


async def test_from_a_complaint_to_its_result(on_broker, filing):
    settings = on_broker
    await create_topics(settings)
    worker = Worker(settings)
    async with entry(settings) as session:
        async with session.post("/complaints", json=filing()) as answer:
            assert answer.status == 202
            body = await answer.json()
        (sent,) = await lying(settings, COMPLAINTS)
        assert isinstance(sent, Complaint)
        assert (sent.complaint_id, sent.receipt_sha256) == (body["complaint_id"], sha256_of(body["receipt"]))
        assert (await state(session, body["receipt"]))["state"] == "received"  # though no agent runs yet
        assert (await state(session, new_receipt()))["status"] == 404

        await worker.start()
        try:
            await becomes(session, body["receipt"], "under_review")
            (review,) = await lying(settings, REVIEWS)
            assert review.reasons[0].code == "COMPLAINT-UNKNOWN-CONTENT"
            async with Client(settings) as client:
                for number, name in enumerate(("nobody", sent.complaint_id)):
                    await client.send(
                        RULINGS,
                        Ruling(
                            ruling_id=f"r-{number}", publisher_id="p-1", outcome="upheld", reviewer_id="me", reason="x",
                            ruled_at=datetime.now(UTC), complaint_id=name,
                        ),
                    )  # fmt: skip
            settled = await becomes(session, body["receipt"], "upheld")
            assert settled["due_at"] == body["due_at"]
            (letter,) = await lying(settings, DEADLETTERS)
            assert (letter.field, letter.agent) == ("complaint_id", "complaints")
        finally:
            await worker.stop()

    # Another process of the entry, started later, knows the same receipts.
    async with entry(settings) as session:
        await becomes(session, body["receipt"], "upheld")
        async with asyncio.timeout(30):
            while (await session.get("/readyz")).status != 200:
                await asyncio.sleep(0.05)


async def test_a_port_that_is_taken_is_said_in_a_sentence(on_broker):
    await create_topics(on_broker)
    async with entry(on_broker):
        with pytest.raises(SettingsError, match=f"cannot listen on .*:{on_broker.complaints_port}"):
            async with entry(on_broker):
                pass


async def test_while_the_broker_is_away_no_receipt_is_given_that_it_does_not_have(filing, tmp_path):
    """Stopped as it stands: connections stay open and nothing is answered, the worst way to be away."""
    with EmbeddedBroker(free_port()) as broker:
        settings = Settings(
            broker=broker.address, fetch_max_wait_s=0.05, complaints_port=0, complaints_ack_s=0.3, complaints_rate=0,
            complaints_peer_rate=0,
        )  # fmt: skip
        await create_topics(settings)
        async with entry(settings) as session:

            async def post(number: int) -> tuple[int, str | None]:
                async with session.post("/complaints", json=filing(complainant=f"u-{number}")) as answer:
                    return answer.status, (await answer.json()).get("receipt")

            assert (await post(-1))[0] == 202
            process = broker._process
            assert process is not None
            os.kill(process.pid, signal.SIGSTOP)
            try:
                away = await asyncio.gather(*(post(number) for number in range(200)))
            finally:
                os.kill(process.pid, signal.SIGCONT)
            assert {status for status, _ in away} == {503}
            async with asyncio.timeout(30):
                while (await post(999))[0] != 202:
                    await asyncio.sleep(0.1)
            back = await asyncio.gather(*(post(1000 + number) for number in range(50)))
            on_topic = {complaint.receipt_sha256 for complaint in await lying(settings, COMPLAINTS)}
            assert {status for status, _ in back} == {202}
            assert {sha256_of(receipt) for _, receipt in back if receipt} <= on_topic
