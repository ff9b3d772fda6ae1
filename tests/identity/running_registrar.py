"""A registrar that runs in a test, how a platform talks to it, and the numbers that it sends."""

from __future__ import annotations

from datetime import UTC, datetime

import aiohttp
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from schemas.message import decode
from schemas.registry import Publisher
from schemas.topics import PUBLISHERS
from streams.client import Feed


def with_check(digits):
    """A made-up ID number with its check digit by GB 11643: weights 2^(17-i) mod 11."""
    total = sum(int(digit) * pow(2, 17 - place, 11) for place, digit in enumerate(digits))
    return digits + "10X98765432"[total % 11]


#: The published example of GB 11643, and made-up others.
NUMBER, OTHER, UNBORN = "11010519491231002X", with_check("11010519900307003"), with_check("11010520991231002")
PERSON = {"kind": "person", "numbers": {"id_number": NUMBER}}


class Clock:
    def __init__(self):
        self.now = datetime(2026, 3, 1, 12, tzinfo=UTC)

    def __call__(self):
        return self.now


class Running:
    """A registrar that runs, and how a platform talks to it."""

    def __init__(self, registrar, settings, clock):
        self.registrar, self.settings, self.clock = registrar, settings, clock
        self.base = f"http://127.0.0.1:{registrar.port}"
        self.headers = {}

    async def put(self, publisher_id, body=PERSON, *, data=None):
        async with aiohttp.ClientSession(headers=self.headers) as session:
            options = {"data": data} if data is not None else {"json": body}
            async with session.put(f"{self.base}/publishers/{publisher_id}", **options) as response:
                return response.status, await response.json()

    async def get(self, path):
        async with aiohttp.ClientSession() as session, session.get(self.base + path) as response:
            return response.status, await response.text()

    async def rows(self):
        """Every row that was sent, in order."""
        found = []
        async with Feed(self.settings, [PUBLISHERS], from_beginning=True) as feed:
            while not await feed.at_end():
                found += [decode(Publisher, record.value) for record in await feed.read(0.2)]
        return found

    async def again(self):
        """The verifier is asked again for all that wait."""
        await self.registrar.waiting.ask_all()


async def only_publishers(settings):
    """Of the topics only this one: a registrar needs no other."""
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.broker)
    await admin.start()
    try:
        if settings.topic_prefix + PUBLISHERS.name not in await admin.list_topics():
            await admin.create_topics([NewTopic(settings.topic_prefix + PUBLISHERS.name, 1, 1)])
    finally:
        await admin.close()
