"""The extraction agent: every admitted event becomes one message of signals, whatever its media is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest
from prometheus_client import CollectorRegistry
from trial_agents import NOW, context, upload
from trial_detectors import Moody

from schemas.event import Admitted, Event, Media, Segment, Upload
from schemas.message import decode, encode
from schemas.plan import Plan, Ran, Why
from schemas.policy import Policy, default_policy
from schemas.signals import FrameHash, MediaFacts, Signal, Signals, Utterance
from schemas.topics import ADMITTED, POLICIES, SIGNALS
from streams.agent import Incoming
from streams.extraction.agent import FETCHED_PER_WORKER, MAX_HASHES, Extraction
from streams.extraction.detector import Findings
from streams.extraction.read import ExtractFailure, Reading
from streams.extraction.trigger import Trigger
from streams.metrics import Metrics
from streams.settings import load
from streams.views import View

FACTS = MediaFacts(container="mov,mp4,m4a,3gp,3g2,mj2", duration_s=12.5, width=160, height=120, video_codec="h264")


def item(number: int, **fields: Any) -> Upload:
    """An upload with media of its own."""
    return upload(number, media=Media(uri=f"file:///{number}.mp4", sha256=f"{number:064x}", bytes=1), **fields)


def segment(number: int) -> Segment:
    """A livestream's segment with media of its own."""
    place = {"stream_id": "stream", "seq": number, "start_s": 2.0 * number, "duration_s": 2.0, "last": False}
    return Segment(**msgspec.structs.asdict(item(number)) | place)


class Fetcher:
    """Fetches nothing, but counts."""

    def __init__(self, settings: Any) -> None:
        self.now = self.most = 0
        self.failure: ExtractFailure | None = None
        self.closed = False

    @asynccontextmanager
    async def fetched(self, media: Media) -> AsyncIterator[Path]:
        if self.failure:
            raise self.failure
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            yield Path(media.uri)
        finally:
            self.now -= 1

    async def close(self) -> None:
        self.closed = True


class Pool:
    """Reads nothing, but answers when it is let."""

    def __init__(self, settings: Any, kinds: list[type], metrics: Any) -> None:
        self.size = settings.extract_workers
        self.kinds = kinds
        self.let = asyncio.Event()
        self.let.set()
        self.frames: tuple[FrameHash, ...] = ()
        self.failure: Exception | None = None
        self.warmed = self.closed = False
        self.plans: list[Plan] = []
        self.stretches: list[tuple[float, float] | None] = []
        self.duration_s = 12.5
        self.now = 0

    async def warm(self) -> None:
        self.warmed = True

    async def read(self, path: Path, plan: Plan, stretch: tuple[float, float] | None = None) -> Reading:
        self.plans.append(plan)
        self.stretches.append(stretch)
        self.now += 1
        await self.let.wait()
        self.now -= 1
        if self.failure:
            raise self.failure
        found = (Signal(name="mood", detector="moody", score=0.5),)
        said = (Utterance(at_s=1.0, until_s=2.0, text="hello", language="en", score=0.9),)
        findings = {"moody": Findings(found, self.frames, speech=said)}
        facts = msgspec.structs.replace(FACTS, duration_s=self.duration_s)
        absent = ("other: RuntimeError: ill",)
        return Reading(
            facts, found, self.frames, absent, {"moody": "3"}, Ran(plan=plan), stretch, findings, 1, speech=said
        )

    async def close(self) -> None:
        self.closed = True


class Suspicious(Trigger):
    """Fires when it is told to."""

    why: ClassVar[Why] = "near_miss"
    does: ClassVar[bool] = False
    knows: ClassVar[tuple[Signal, ...]] = ()

    def fires(self, reading: Reading, policy: Policy, now: datetime) -> bool:
        return self.does

    def signals(self, reading: Reading, policy: Policy, now: datetime) -> tuple[Signal, ...]:
        return self.knows


class Bench:
    """The agent between a fetcher and a pool that are made up."""

    def __init__(self, **settings: Any) -> None:
        self.registry = CollectorRegistry()
        policies = View(POLICIES, Metrics(CollectorRegistry()), shipped={"default": default_policy()})
        views = {POLICIES.name: policies}
        self.agent = Extraction(context(load(**settings), self.registry, views=views))

    @property
    def fetcher(self) -> Fetcher:
        return self.agent._fetcher  # type: ignore[return-value]

    @property
    def pool(self) -> Pool:
        return self.agent._pool  # type: ignore[return-value]

    async def signals(self, number: int = 0, event: Event | None = None, **admitted: Any) -> Signals:
        incoming = Incoming(ADMITTED.name, 0, 0, Admitted(event=event or item(number), admitted_at=NOW, **admitted))
        prepared = await self.agent.prepare(incoming)
        (out,) = self.agent.handle(incoming._replace(prepared=prepared))
        assert (out.topic, out.key) == (SIGNALS, "publisher")
        assert encode(decode(Signals, encode(out.value))) == encode(out.value)
        return out.value  # type: ignore[return-value]

    def value(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0


@pytest.fixture
async def bench(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Callable[..., Any]]:
    monkeypatch.setattr("streams.extraction.agent.Fetcher", Fetcher)
    monkeypatch.setattr("streams.extraction.agent.Pool", Pool)
    found = {"veristream.detectors": {"moody": Moody}, "veristream.triggers": {"title": Suspicious}}
    monkeypatch.setattr("streams.extraction.agent.installed", lambda group, _: found[group])

    async def started(**settings: Any) -> Bench:
        bench = Bench(**settings)
        await bench.agent.start()
        await bench.agent.warm()
        return bench

    return started  # type: ignore[return-value]


async def test_what_was_read_goes_on_with_its_event(bench: Callable[..., Any]) -> None:
    found = await (one := await bench()).signals(7)
    assert found.event == item(7)
    assert (found.media, found.error) == (FACTS, None)
    assert found.signals[0].name == "mood"
    assert found.absent == ("other: RuntimeError: ill",)
    assert found.models == {"moody": "3"}
    assert found.extracted_at == NOW
    assert found.extraction_s >= 0
    assert one.value("veristream_media_seconds_total") == 12.5
    assert one.value("veristream_extraction_seconds_count", outcome="read") == 1


async def test_media_that_cannot_be_fetched_is_said_with_the_reason(bench: Callable[..., Any]) -> None:
    one = await bench()
    one.fetcher.failure = ExtractFailure("EXTRACT-FORBIDDEN", "it lies elsewhere")
    found = await one.signals()
    assert (found.error.code, found.error.text, found.media) == ("EXTRACT-FORBIDDEN", "it lies elsewhere", None)
    assert one.value("veristream_extraction_errors_total", code="EXTRACT-FORBIDDEN") == 1
    assert one.value("veristream_extraction_seconds_count", outcome="error") == 1
    assert one.value("veristream_media_seconds_total") == 0


async def test_media_that_cannot_be_read_is_said_with_the_reason(bench: Callable[..., Any]) -> None:
    one = await bench()
    one.pool.failure = ExtractFailure("EXTRACT-CRASHED", "the process died")
    assert (await one.signals()).error.code == "EXTRACT-CRASHED"
    assert one.fetcher.now == 0


async def test_a_defect_is_not_passed_for_the_medias_fault(bench: Callable[..., Any]) -> None:
    one = await bench()
    one.pool.failure = RuntimeError("defect")
    with pytest.raises(RuntimeError, match="defect"):
        await one.signals()
    one.pool.failure = None
    assert (await one.signals()).media == FACTS


async def settle() -> None:
    for _ in range(30):
        await asyncio.sleep(0)


async def test_no_more_is_fetched_than_soon_has_its_turn(bench: Callable[..., Any]) -> None:
    one = await bench(extract_workers=2)
    one.pool.let.clear()
    most = 2 * FETCHED_PER_WORKER
    work = [asyncio.create_task(one.signals(number)) for number in range(most + 4)]
    await settle()
    assert one.fetcher.now == most
    assert one.value("veristream_pool_busy") == most
    assert one.pool.now == 2
    one.pool.let.set()
    assert [found.event.event_id for found in await asyncio.gather(*work)] == [f"event-{n}" for n in range(most + 4)]
    assert one.fetcher.most == most
    assert one.value("veristream_pool_busy") == 0


async def test_segments_are_read_before_uploads_that_came_first_and_have_places_of_their_own(
    bench: Callable[..., Any],
) -> None:
    one = await bench(extract_workers=1)
    one.pool.let.clear()
    ended: list[str] = []

    async def have(event: Any) -> None:
        ended.append((await one.signals(event=event)).event.event_id)

    uploads = [asyncio.create_task(have(item(number))) for number in range(FETCHED_PER_WORKER + 2)]
    await settle()
    live = asyncio.create_task(have(segment(99)))
    await settle()
    one.pool.let.set()
    await asyncio.gather(live, *uploads)
    assert ended.index("event-99") <= 1  # after the one that was being read


async def test_a_long_upload_is_read_in_turns_and_short_ones_pass_it(bench: Callable[..., Any]) -> None:
    one = await bench(extract_workers=1)
    one.pool.duration_s = 150.0
    found = await one.signals(1)
    assert one.pool.stretches == [(0.0, 60.0), (60.0, 120.0), (120.0, 180.0)]
    assert found.media.duration_s == 150.0
    assert [utterance.text for utterance in found.speech] == ["hello"] * 3
    one.pool.stretches.clear()
    one.pool.let.clear()
    long = asyncio.create_task(one.signals(2))
    await settle()
    short = asyncio.create_task(one.signals(3))
    await settle()
    one.pool.duration_s = 5.0  # of the one that comes now; the long one's next turns see it too, and end it
    one.pool.let.set()
    await asyncio.gather(long, short)
    assert one.pool.stretches[:2] == [(0.0, 60.0), (0.0, 60.0)]


async def test_an_upload_whose_turns_take_too_long_together_is_given_up(
    bench: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = await bench(extract_timeout_s=100.0)
    one.pool.duration_s = 150.0
    now = iter(range(0, 10_000, 90))  # each look at the clock is 90 s after the last: so much a turn takes
    monkeypatch.setattr("streams.extraction.reader.monotonic", lambda: float(next(now)))
    assert (await one.signals(1)).error is None
    one.pool.duration_s = 600.0
    found = await one.signals(2)
    assert (found.error.code, found.error.text) == ("EXTRACT-TIMEOUT", "reading it took longer than 700 s in all")


async def test_a_segment_is_read_in_one_turn_however_long_it_says_it_is(bench: Callable[..., Any]) -> None:
    one = await bench()
    one.pool.duration_s = 150.0
    await one.signals(event=segment(1))
    assert one.pool.stretches == [None]


async def test_what_comes_again_is_answered_from_its_reading_with_its_own_event(bench: Callable[..., Any]) -> None:
    one = await bench()
    first = await one.signals(event=segment(1))
    again = await one.signals(event=msgspec.structs.replace(segment(1), event_id="event-again"))
    assert len(one.pool.plans) == 1
    assert (again.event.event_id, again.signals, again.speech) == ("event-again", first.signals, first.speech)


async def test_what_is_looked_at_more_closely_is_read_again(bench: Callable[..., Any]) -> None:
    one = await bench()
    await one.signals(1)
    closer = await one.signals(1, standing=("new",))
    assert [plan.tier for plan in one.pool.plans] == [0, 1]
    assert closer.ran.plan.why == ("publisher_new",)


async def test_a_trigger_has_an_item_read_again_with_every_frame(
    bench: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = await bench()
    monkeypatch.setattr(Suspicious, "does", True)
    found = await one.signals(1)
    assert [(plan.tier, plan.decode) for plan in one.pool.plans] == [(0, "cheap"), (1, "all")]
    assert one.pool.plans[1].every_s == default_policy().extraction.dense_s
    assert found.ran.plan == one.pool.plans[1]


async def test_what_a_trigger_knows_of_an_item_is_said_of_each_anew(
    bench: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reading is kept for the next item of the same content; what is known of it has changed by then."""
    one = await bench()
    assert [signal.name for signal in (await one.signals(1)).signals] == ["mood"]
    monkeypatch.setattr(Suspicious, "knows", (Signal(name="copy", detector="points", score=1.0),))
    assert [signal.name for signal in (await one.signals(1)).signals] == ["mood", "copy"]
    assert len(one.pool.plans) == 1


async def test_a_trigger_that_the_policy_does_not_name_changes_nothing(
    bench: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = await bench()
    monkeypatch.setattr(Suspicious, "does", True)
    policy = default_policy()
    rules = msgspec.structs.replace(policy.extraction, escalate=("news",))
    one.agent.context.views[POLICIES.name].rows["default"] = msgspec.structs.replace(policy, extraction=rules)
    await one.signals(1)
    assert len(one.pool.plans) == 1


async def test_other_content_at_the_same_place_is_read_again(bench: Callable[..., Any]) -> None:
    one = await bench()
    await one.signals(1)
    media = Media(uri="file:///1.mp4", sha256="f" * 64, bytes=1)
    await one.signals(event=msgspec.structs.replace(item(1), media=media))
    assert len(one.pool.plans) == 2


@pytest.mark.parametrize(
    ("count", "kept"), [(0, 0), (1, 1), (MAX_HASHES, MAX_HASHES), (MAX_HASHES + 1, 1001), (9000, 1125)]
)
async def test_of_very_many_frames_an_even_share_is_kept(bench: Callable[..., Any], count: int, kept: int) -> None:
    one = await bench()
    one.pool.frames = tuple(FrameHash(at_s=float(second), pdq="0" * 64, quality=50) for second in range(count))
    found = await one.signals()
    assert len(found.frames) == kept
    steps = {later.at_s - earlier.at_s for earlier, later in zip(found.frames, found.frames[1:], strict=False)}
    assert len(steps) <= 1
    assert len(encode(found)) < load().max_message_bytes


async def test_it_begins_and_ends_with_its_processes(bench: Callable[..., Any]) -> None:
    one = await bench(extract_workers=3)
    assert one.pool.kinds == [Moody]
    assert one.pool.warmed
    assert one.value("veristream_pool_workers") == 3
    await one.agent.stop()
    assert one.pool.closed
    assert one.fetcher.closed


async def test_to_stop_what_never_started_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.extraction.agent.installed", lambda *_: {})
    await Bench().agent.stop()
