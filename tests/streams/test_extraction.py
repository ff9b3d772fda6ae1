"""The extraction agent: every admitted event becomes one message of signals, whatever its media is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from trial_agents import NOW, context, upload
from trial_detectors import Moody

from schemas.event import Admitted, Media
from schemas.message import decode, encode
from schemas.signals import FrameHash, MediaFacts, Signal, Signals
from schemas.topics import ADMITTED, SIGNALS
from streams.agent import Incoming
from streams.extraction.agent import MAX_HASHES, Extraction
from streams.extraction.read import ExtractFailure, Reading
from streams.settings import load

FACTS = MediaFacts(container="mp4", duration_s=12.5, width=160, height=120, video_codec="h264")


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

    def __init__(self, settings: Any, kinds: list[type]) -> None:
        self.size = settings.extract_workers
        self.kinds = kinds
        self.let = asyncio.Event()
        self.let.set()
        self.frames: tuple[FrameHash, ...] = ()
        self.failure: Exception | None = None
        self.warmed = self.closed = False

    async def warm(self) -> None:
        self.warmed = True

    async def read(self, path: Path) -> Reading:
        await self.let.wait()
        if self.failure:
            raise self.failure
        found = (Signal(name="mood", detector="moody", score=0.5),)
        return Reading(FACTS, found, self.frames, ("other: RuntimeError: ill",), {"moody": "3"})

    async def close(self) -> None:
        self.closed = True


class Bench:
    """The agent between a fetcher and a pool that are made up."""

    def __init__(self, **settings: Any) -> None:
        self.registry = CollectorRegistry()
        self.agent = Extraction(context(load(**settings), self.registry))

    @property
    def fetcher(self) -> Fetcher:
        return self.agent._fetcher  # type: ignore[return-value]

    @property
    def pool(self) -> Pool:
        return self.agent._pool  # type: ignore[return-value]

    async def signals(self, number: int = 0) -> Signals:
        incoming = Incoming(ADMITTED.name, 0, 0, Admitted(event=upload(number), admitted_at=NOW))
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
    monkeypatch.setattr("streams.extraction.agent.installed", lambda *_: {"moody": Moody})

    async def started(**settings: Any) -> Bench:
        bench = Bench(**settings)
        await bench.agent.start()
        return bench

    return started  # type: ignore[return-value]


async def test_what_was_read_goes_on_with_its_event(bench: Callable[..., Any]) -> None:
    found = await (one := await bench()).signals(7)
    assert found.event == upload(7)
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


async def test_no_more_is_fetched_than_can_be_read(bench: Callable[..., Any]) -> None:
    one = await bench(extract_workers=2)
    one.pool.let.clear()
    work = [asyncio.create_task(one.signals(number)) for number in range(6)]
    for _ in range(20):
        await asyncio.sleep(0)
    assert one.fetcher.now == 2
    assert one.value("veristream_pool_busy") == 2
    one.pool.let.set()
    assert [found.event.event_id for found in await asyncio.gather(*work)] == [f"event-{n}" for n in range(6)]
    assert one.fetcher.most == 2
    assert one.value("veristream_pool_busy") == 0


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
    monkeypatch.setattr("streams.extraction.agent.installed", lambda *_: {"moody": Moody})
    await Bench().agent.stop()
