from __future__ import annotations

import asyncio
import hashlib
import io
import stat
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import pytest
from msgspec.structs import replace
from prometheus_client import CollectorRegistry

from agents.decide import decide, ground, hold
from agents.labeler.agent import Labeler
from agents.labeler.judge import wanted
from agents.labeler.store import Store
from agents.orders import outgoing
from agents.verdict.judge import judge as verdict_of
from schemas.decision import Decision, LabelTerms
from schemas.examples import EXAMPLES
from schemas.orders import Label, Labelled
from schemas.policy import default_policy
from schemas.topics import LABELLED
from streams.agent import Incoming
from streams.labels.read import read_labels
from streams.metrics import Metrics
from streams.settings import Settings
from tests.streams.labels.made import PLATFORM, media

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
DEFAULT = default_policy()
POLICY = replace(DEFAULT, synthetic=replace(DEFAULT.synthetic, propagator=PLATFORM))


def held(path: Path, **facts: Any) -> tuple[Decision, Label]:
    """The decision that holds an upload until it is labelled, and its order."""
    upload = EXAMPLES["uploads"]
    data = path.read_bytes()
    item = {"uri": path.as_uri(), "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)} | facts
    event = replace(upload, media=replace(upload.media, **item))
    found = hold(ground("SYNTH-DECLARED"), "labelled", LabelTerms(level=2, text="内容可能由AI生成"))
    decision = decide("synthetic", event, POLICY, [found], NOW)
    (order,) = (out.value for out in outgoing(decision, POLICY) if isinstance(out.value, Label))
    return decision, order


def carried_out(order: Label, store: str, folder: Path) -> list[Any]:
    settings = Settings(labelled_store=store, media_roots=(folder,), media_cache_mb=0)
    context: Any = SimpleNamespace(
        settings=settings, metrics=Metrics(CollectorRegistry()), policy=POLICY, clock=lambda: NOW
    )

    async def run() -> list[Any]:
        labeler = Labeler(context)
        await labeler.start()
        try:
            message = Incoming("labels", 0, 0, order)
            message = message._replace(prepared=await labeler.prepare(message))
            return [out.value for out in labeler.handle(message)]
        finally:
            await labeler.stop()

    return asyncio.run(run())


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mp4"
    path.write_bytes(media("mp4", 4.0, (320, 240)))
    return path


def test_an_order_becomes_a_labelled_copy_and_the_hold_ends_without_another_review(clip: Path, tmp_path: Path) -> None:
    original = clip.read_bytes()
    decision, order = held(clip)
    labelled, answer = carried_out(order, (tmp_path / "copies").as_uri(), tmp_path)
    assert isinstance(labelled, Labelled)
    copy = Path(labelled.media.uri.removeprefix("file://")).read_bytes()
    assert hashlib.sha256(copy).hexdigest() == labelled.media.sha256 in labelled.media.uri
    assert labelled.original.sha256 == hashlib.sha256(original).hexdigest()
    (label,) = read_labels(io.BytesIO(copy)).labels
    assert f'"PropagateID":"{order.content_id}"' in label.text
    with av.open(io.BytesIO(copy)) as file:
        assert sum(1 for _ in file.decode(video=0)) == 100
    assert clip.read_bytes() == original
    assert answer.reasons[0].code == "LABEL-WRITTEN"
    assert labelled.original.sha256 in (answer.reasons[0].evidence[0].text or "")
    assert answer.reasons[0].evidence[0].entry == labelled.media.sha256

    others = {agent: decide(agent, EXAMPLES["uploads"], POLICY, [], NOW) for agent in POLICY.verdict.agents}
    before = others | {"synthetic": decision}
    assert (verdict_of(before, POLICY, NOW).verdict, verdict_of(before, POLICY, NOW).until) == ("hold", "labelled")
    after = verdict_of(before | {"labeler": answer}, POLICY, NOW)
    assert after.verdict == "publish_labelled"
    assert after.media == labelled.media
    assert [terms.level for terms in after.labels] == [2]


def test_a_copy_ends_no_hold_but_that_for_its_label(clip: Path, tmp_path: Path) -> None:
    decision, order = held(clip)
    _, answer = carried_out(order, (tmp_path / "copies").as_uri(), tmp_path)
    others = {agent: decide(agent, EXAMPLES["uploads"], POLICY, [], NOW) for agent in POLICY.verdict.agents}
    broken = decide("review", EXAMPLES["uploads"], POLICY, [hold(ground("EXTRACT-BROKEN"), "reviewed")], NOW)
    verdict = verdict_of(others | {"synthetic": decision, "review": broken, "labeler": answer}, POLICY, NOW)
    assert (verdict.verdict, verdict.until, verdict.media) == ("hold", "reviewed", None)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-1] + b"!"), "SHA-256"),
        (lambda path: path.unlink(), "not there"),
    ],
)
def test_a_file_that_changed_since_the_order_is_not_labelled(make: Any, words: str, clip: Path, tmp_path: Path) -> None:
    decision, order = held(clip)
    make(clip)
    store = tmp_path / "copies"
    (answer,) = (out for out in carried_out(order, store.as_uri(), tmp_path) if isinstance(out, Decision))
    assert (answer.action, answer.reasons[0].code) == ("review", "LABEL-FAILED")
    assert words in (answer.reasons[0].evidence[0].text or "")
    assert not store.exists()
    others = {agent: decide(agent, EXAMPLES["uploads"], POLICY, [], NOW) for agent in POLICY.verdict.agents}
    verdict = verdict_of(others | {"synthetic": decision, "labeler": answer}, POLICY, NOW)
    assert (verdict.verdict, verdict.until) == ("hold", "labelled")


def test_a_file_that_holds_no_label_fails_with_the_reason_and_asks_people(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(b"no media at all")
    _, order = held(path)
    made = carried_out(order, (tmp_path / "copies").as_uri(), tmp_path)
    (answer,) = (out for out in made if isinstance(out, Decision))
    assert "container" in (answer.reasons[0].evidence[0].text or "")
    assert any(type(out).__name__ == "Review" for out in made)
    assert not any(isinstance(out, Labelled) for out in made)


def test_a_store_that_cannot_be_written_is_named_and_the_original_stays(clip: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "copies"
    blocked.write_text("a file where the folder should be")
    original = clip.read_bytes()
    _, order = held(clip)
    (answer,) = (out for out in carried_out(order, blocked.as_uri(), tmp_path) if isinstance(out, Decision))
    assert answer.reasons[0].code == "LABEL-FAILED"
    assert "cannot be kept" in (answer.reasons[0].evidence[0].text or "")
    assert clip.read_bytes() == original


def test_an_order_is_not_taken_without_a_store_nor_for_a_stream_nor_for_other_notices(clip: Path) -> None:
    _, order = held(clip)
    assert wanted(order)
    assert not wanted(replace(order, stream_id="stream-1"))
    assert not wanted(replace(order, implicit=None, level=0))
    assert not wanted(replace(order, media=None))
    assert carried_out(order, "", clip.parent) == []


def test_an_order_for_a_stream_names_words_and_metadata_for_its_player() -> None:
    segment = EXAMPLES["segments"]
    found = hold(ground("SYNTH-DECLARED"), "labelled", LabelTerms(level=3, text="内容疑似由AI生成"))
    decision = decide("synthetic", segment, POLICY, [found], NOW)
    (order,) = (out.value for out in outgoing(decision, POLICY) if isinstance(out.value, Label))
    assert order.stream_id == segment.stream_id
    assert order.explicit.text == "内容疑似由AI生成"
    assert order.implicit is not None
    assert order.implicit["AIGC"]["ContentPropagator"] == PLATFORM


@pytest.mark.parametrize("place", ["/folder", "http://host/x", "s3:///bucket", "file://host/folder"])
def test_a_store_is_a_folder_or_a_bucket(place: str) -> None:
    with pytest.raises(ValueError, match="labelled_store"):
        Store(Settings(labelled_store=place))


def test_copies_can_be_read_by_whoever_publishes_and_the_topic_is_the_labelers(clip: Path, tmp_path: Path) -> None:
    store = Store(Settings(labelled_store=(tmp_path / "copies").as_uri()))
    kept = asyncio.run(store.put(clip, "mp4"))
    path = Path(kept.uri.removeprefix("file://"))
    assert stat.S_IMODE(path.stat().st_mode) & stat.S_IRUSR
    assert [one.name for one in path.parent.iterdir()] == [path.name]
    assert LABELLED in Labeler.outputs
