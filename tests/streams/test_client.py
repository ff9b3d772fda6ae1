"""What the command line sends: media in the store under its own hash, and events that say what they carry."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from schemas.event import Media, Segment, Upload
from schemas.message import decode, encode
from schemas.topics import DECISIONS, TOPICS
from streams.client import new_event, stored, topic_named

MEDIA = Media(uri="file:///clip.mp4", sha256="0" * 64, bytes=1)


async def test_media_lies_in_the_store_under_its_hash(tmp_path: Path) -> None:
    clip = tmp_path / "my clip.mp4"
    clip.write_bytes(b"content")
    media = await stored(clip, tmp_path / "new" / "store 100%")
    digest = hashlib.sha256(b"content").hexdigest()
    lies = tmp_path / "new" / "store 100%" / f"{digest}.mp4"
    assert media == Media(uri=lies.as_uri(), sha256=digest, bytes=7)
    assert lies.read_bytes() == b"content"
    assert clip.exists()


async def test_the_same_media_is_stored_once(tmp_path: Path) -> None:
    store = tmp_path / "store"
    for name in ("one.mp4", "another.mp4"):
        (tmp_path / name).write_bytes(b"content")
        await stored(tmp_path / name, store)
    assert len(list(store.iterdir())) == 1


async def test_a_store_named_by_a_relative_path_gives_a_whole_uri() -> None:
    Path("clip.mp4").write_bytes(b"content")
    media = await stored(Path("clip.mp4"), Path("store"))
    assert media.uri == (Path.cwd() / "store" / f"{media.sha256}.mp4").as_uri()


async def test_media_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await stored(tmp_path / "none.mp4", tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_an_event_is_an_upload_made_now_with_ids_of_its_own() -> None:
    before = datetime.now(UTC)
    one, other = new_event(MEDIA, "publisher"), new_event(MEDIA, "publisher")
    assert type(one) is Upload
    assert (one.media, one.publisher_id, one.service) == (MEDIA, "publisher", "short_video")
    assert before <= one.created_at <= datetime.now(UTC)
    assert len({one.event_id, one.content_id, other.event_id, other.content_id}) == 4
    assert decode(Upload, encode(one)) == one


def test_an_event_with_a_stream_is_a_segment() -> None:
    segment = new_event(MEDIA, "publisher", stream_id="s", seq=0, start_s=0.0, duration_s=2.0)
    assert type(segment) is Segment
    assert segment.service == "live"
    assert decode(Segment, encode(segment)) == segment


def test_what_is_given_goes_before_what_is_made_up() -> None:
    event = new_event(MEDIA, "publisher", event_id="e", content_id="c", title="t", category="news")
    assert (event.event_id, event.content_id, event.title, event.category) == ("e", "c", "t", "news")


def test_a_topic_is_found_by_its_name() -> None:
    assert topic_named("decisions") is DECISIONS


def test_a_topic_that_is_not_there_is_named_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="no topic 'decision'") as caught:
        topic_named("decision")
    assert all(name in str(caught.value) for name in TOPICS)
