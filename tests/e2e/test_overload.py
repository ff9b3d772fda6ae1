"""Under more than it can carry the pipeline sheds waiting, never items: each is held in time and finished later."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from pathlib import Path

from processes import settings_for, start, stop, until
from test_faults import count, send_many, verdicts

from deploy.commands import seed
from deploy.embedded import EmbeddedBroker, free_port
from schemas.topics import DEADLETTERS, POLICIES
from streams.client import Client
from streams.kafka import create_topics

ITEMS = 40
DEADLINE_S = 3.0
POLICY = (
    f'{{"name": "default", "version": 2, "verdict": {{"upload_deadline_s": {DEADLINE_S}}},'
    ' "review": {"nudity_review": null}}'
)


async def test_while_one_agent_is_away_every_item_is_held_in_time_and_finished_when_it_is_back(media, tmp_path: Path):
    """Many uploads at once, review not running: each is held at its deadline. Then review comes, and the verdict agent
    is restarted meanwhile: as many answers that name the holds, none twice, none lost."""
    with EmbeddedBroker(free_port()) as embedded:
        settings = settings_for(tmp_path, embedded.port)
        await create_topics(settings)
        await seed(settings)
        async with Client(settings) as client:
            await client.send_raw(POLICIES, b"default", POLICY.encode())

        def worker(agents: str):
            own = settings_for(tmp_path, embedded.port)
            return start(own, tmp_path / agents, "worker", "--broker", settings.broker, "--agents", agents)

        running = [worker("identity,extraction,synthetic,rumor"), worker("verdict")]
        try:
            ids = await send_many(settings, media.sound, ITEMS)
            waits = 'veristream_lag_seconds{agent="extraction"}'
            await asyncio.to_thread(until, lambda: running[0].metric(waits) > 1.0, "extraction said no lag in time")
            held = await verdicts(settings, set(ids))
            assert {len(several) for several in held.values()} == {1}
            for (verdict,) in held.values():
                assert (verdict.verdict, verdict.reasons[0].code, verdict.replaces) == ("hold", "VERDICT-TIMEOUT", None)
            stop(running.pop())
            running += [worker("review"), worker("verdict")]

            async with asyncio.timeout(200):
                while sum(map(len, (answers := await verdicts(settings, set(ids))).values())) < 2 * ITEMS:
                    await asyncio.sleep(0.2)
            found = defaultdict(list, answers)
            for event_id in ids:
                first, second = found[event_id]
                assert (first.verdict_id, second.verdict) == (held[event_id][0].verdict_id, "publish")
                assert second.replaces == first.verdict_id
            assert await count(settings, DEADLETTERS) == 0
            await asyncio.to_thread(until, lambda: running[0].metric(waits) == 0.0, "it still waits for something")
        finally:
            for each in running:
                stop(each)
