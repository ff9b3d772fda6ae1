"""Runs the scenario against a pipeline, from outside: sends events, reads topics, compares with the table of truth."""

from __future__ import annotations

import asyncio
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

from deploy.demo.media import DemoMedia
from deploy.demo.scenario import PROVIDER, Case, Seen, Step, Watch, cases, state
from schemas.topics import (
    DEADLETTERS,
    DECISIONS,
    LABELS,
    REFUTATIONS,
    REVIEWS,
    SIGNALS,
    TAKEDOWNS,
    UPLOADS,
    VERDICTS,
)
from streams.client import Client, Feed, Record, new_event, stored
from streams.settings import Settings

#: Topics on which the scenario counts what lies there for a case.
ORDERS = (TAKEDOWNS, LABELS, REFUTATIONS, REVIEWS, DEADLETTERS)
#: How long one step may take before it counts as unanswered; the policy's own deadline for uploads is 120 s.
STEP_TIMEOUT_S = 150.0
#: Orders are on their way when the verdict is: they are waited for so long.
SETTLE_S = 10.0


@dataclass
class Result:
    """What came of a case."""

    case: Case
    verdicts: list[str] = field(default_factory=list)
    codes: list[tuple[str, ...]] = field(default_factory=list)
    orders: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)

    @property
    def faults(self) -> list[str]:
        """Where it differs from the table of truth, in words."""
        found = []
        for number, step in enumerate(self.case.steps):
            got = self.verdicts[number] if number < len(self.verdicts) else "nothing"
            if got != step.expect:
                found.append(f"step {number + 1}: {got} instead of {step.expect}")
            elif (self.codes[number][: len(step.codes)] if got == "block" else self.codes[number]) != step.codes:
                found.append(f"step {number + 1}: reasons {self.codes[number]} instead of {step.codes}")
        if +self.orders != Counter(self.case.orders):
            found.append(f"orders {dict(+self.orders)} instead of {self.case.orders}")
        return found


class _Mailbox:
    """What has arrived, by what it is about, and who waits for it."""

    def __init__(self, pass_on: Callable[[str, str, str], None]) -> None:
        self._pass_on = pass_on
        self.verdicts: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self.orders: dict[str, Counter[str]] = defaultdict(Counter)
        self._arrived = asyncio.Condition()

    async def deliver(self, feed: Feed) -> None:
        while True:
            records = await feed.read(0.2)
            async with self._arrived:
                for record in records:
                    self._file(record)
                self._arrived.notify_all()

    def _file(self, record: Record) -> None:
        value = json.loads(record.value or b"{}")
        if record.topic == VERDICTS.name:
            self.verdicts[value["event_id"]].append(value)
        elif record.topic == DECISIONS.name:
            codes = " ".join(reason["code"] for reason in value["reasons"])
            self._pass_on(value["event_id"], value["agent"], codes or value["action"])
        elif record.topic == SIGNALS.name:
            error = value.get("error")
            self._pass_on(value["event"]["event_id"], "extraction", error["code"] if error else "read")
        elif record.topic == DEADLETTERS.name:
            self.orders[record.key][record.topic] += 1
            self.verdicts[record.key].append(value)
        else:
            self.orders[value["content_id"]][record.topic] += 1

    async def wait(self, condition: Any, timeout_s: float) -> bool:
        try:
            async with asyncio.timeout(timeout_s), self._arrived:
                await self._arrived.wait_for(condition)
        except TimeoutError:
            return False
        return True


class Runner:
    """Puts the scenario's state in place, then submits case after case side by side."""

    def __init__(self, settings: Settings, media: DemoMedia, work: Path, watch: Watch) -> None:
        self._settings = settings
        self._media = media
        self._work = work
        self._watch = watch
        self._mail = _Mailbox(self._seen)
        self._items: dict[str, tuple[Case, int, str]] = {}

    async def run(self, wanted: Sequence[int] = ()) -> list[Result]:
        """Run all cases, or those wanted, and say what came of each."""
        rows = await asyncio.to_thread(lambda: list(state(self._media)))
        plan = await asyncio.to_thread(cases, self._media, self._work)
        async with (
            Client(self._settings) as client,
            Feed(self._settings, (SIGNALS, DECISIONS, VERDICTS, *ORDERS)) as feed,
        ):
            for topic, row in rows:
                await client.send(topic, row)
            # State arrives by another way than events: an event sent at once could be judged before it.
            await asyncio.sleep(1.0)
            reading = asyncio.create_task(self._mail.deliver(feed))
            try:
                return await asyncio.gather(
                    *(self._case(client, case) for case in plan if not wanted or case.number in wanted)
                )
            finally:
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)

    async def _case(self, client: Client, case: Case) -> Result:
        result = Result(case)
        waits: list[asyncio.Task[None]] = []
        abouts: set[str] = set()
        for number, step in enumerate(case.steps):
            result.verdicts.append("nothing")
            result.codes.append(())
            result.seconds.append(0.0)
            event_id, about = await self._submit(client, case, number, step)
            abouts.add(about)
            waits.append(asyncio.create_task(self._answer(result, number, event_id)))
            if case.after_verdict:
                await waits[-1]
        await asyncio.gather(*waits)

        def orders() -> Counter[str]:
            return sum((self._mail.orders[about] for about in abouts), Counter())

        await self._mail.wait(lambda: orders() == Counter(case.orders), SETTLE_S)
        result.orders = orders()
        return result

    async def _submit(self, client: Client, case: Case, number: int, step: Step) -> tuple[str, str]:
        """Submit a step; returns the id its answer is found under, and the id its orders are about."""
        if step.raw is not None:
            key = f"case-{case.number}-{number}"
            self._items[key] = (case, number, f"{len(step.raw)} bytes")
            self._seen(key, "submitted", "")
            await client.send_raw(UPLOADS, key.encode(), step.raw)
            return key, key
        assert step.media is not None
        media = await stored(step.media, self._settings.store)
        event = new_event(media, step.publisher, **{"provider_id": PROVIDER} | step.fields)
        self._items[event.event_id] = (case, number, step.media.name)
        self._seen(event.event_id, "submitted", "")
        await client.submit(event)
        return event.event_id, event.content_id

    async def _answer(self, result: Result, number: int, key: str) -> None:
        begun = monotonic()
        if not await self._mail.wait(lambda: self._mail.verdicts[key], STEP_TIMEOUT_S):
            return
        value = self._mail.verdicts[key][-1]
        result.seconds[number] = value.get("latency_s", monotonic() - begun)
        if "verdict" in value:
            result.verdicts[number] = value["verdict"]
            result.codes[number] = tuple(reason["code"] for reason in value["reasons"])
        else:
            result.verdicts[number] = "dead letter"
            result.codes[number] = (value["field"],) if value["field"] else ()
        self._seen(key, "verdict", " ".join((result.verdicts[number], *result.codes[number])))

    def _seen(self, key: str, stage: str, said: str) -> None:
        if key in self._items:  # others may use the same broker
            case, step, item = self._items[key]
            self._watch(Seen(case.number, step, item, stage, said))
