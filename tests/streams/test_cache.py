"""Media that was fetched is kept by its hash within a bound, and is never trusted beyond it."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fetching import CONTENT, Fetching, media

from streams.extraction.cache import Cache


def kept(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


def put(cache: Cache, folder: Path, content: bytes, used_at: float | None = None) -> str:
    name = hashlib.sha256(content).hexdigest()
    path = folder / "fetched"
    path.write_bytes(content)
    cache.keep(name, path)
    path.unlink()
    if used_at is not None:
        os.utime(folder / "cache" / name, (used_at, used_at))
    return name


def test_what_was_kept_is_taken_by_its_hash(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", 1000)
    name = put(cache, tmp_path, b"clip")
    assert cache.take(name, 4, tmp_path / "mine")
    assert (tmp_path / "mine").read_bytes() == b"clip"
    assert not cache.take("0" * 64, 4, tmp_path / "other")


def test_the_longest_unused_goes_first_and_the_bound_holds(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", 100)
    old, used, young = (put(cache, tmp_path, text * 30, used_at=at) for text, at in ((b"a", 1), (b"b", 2), (b"c", 3)))
    assert cache.take(old, 30, tmp_path / "again")  # and so it is no longer the oldest
    last = put(cache, tmp_path, b"d" * 30)
    assert kept(tmp_path / "cache") == {old, young, last}
    assert used not in kept(tmp_path / "cache")


def test_what_is_larger_than_the_bound_is_not_kept_and_pushes_nothing_out(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", 100)
    name = put(cache, tmp_path, b"a")
    put(cache, tmp_path, b"b" * 101)
    assert kept(tmp_path / "cache") == {name}


def test_what_is_taken_stays_when_the_cache_lets_go_of_it(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", 1000)
    name = put(cache, tmp_path, b"clip")
    cache.take(name, 4, tmp_path / "mine")
    cache.clear()
    assert kept(tmp_path / "cache") == set()
    assert (tmp_path / "mine").read_bytes() == b"clip"


def test_a_file_cut_short_by_a_crash_is_not_taken_and_is_gone(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", 1000)
    name = put(cache, tmp_path, b"clip")
    (tmp_path / "cache" / name).write_bytes(b"cl")
    assert not cache.take(name, 4, tmp_path / "mine")
    assert kept(tmp_path / "cache") == set()


def test_a_folder_that_cannot_be_written_costs_nothing_but_the_cache(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    cache = Cache(tmp_path / "cache", 1000)
    name = hashlib.sha256(b"clip").hexdigest()
    (tmp_path / "fetched").write_bytes(b"clip")
    cache.keep(name, tmp_path / "fetched")
    assert not cache.take(name, 4, tmp_path / "mine")


async def test_media_that_comes_again_is_not_fetched_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fetching: Callable[..., Fetching]
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    path = tmp_path / "store" / "clip.mp4"
    path.write_bytes(CONTENT)
    one = fetching(spool=None, media_cache_mb=1)
    wanted = media(path.as_uri())
    for _ in range(2):
        async with one.fetcher.fetched(wanted) as file:
            assert file.read_bytes() == CONTENT
        path.unlink(missing_ok=True)


async def test_media_that_is_not_what_the_event_says_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fetching: Callable[..., Fetching]
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    path = tmp_path / "store" / "clip.mp4"
    path.write_bytes(CONTENT)
    one = fetching(spool=None, media_cache_mb=1)
    await one.failure(media(path.as_uri(), sha256="0" * 64))
    assert kept(tmp_path / f"veristream-media-{os.getuid()}") == set()


async def test_a_full_spool_is_waited_for_and_the_cache_makes_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fetching: Callable[..., Fetching]
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("streams.extraction.fetch.FULL_PAUSE_S", 0.01)
    one = fetching(spool=None, media_cache_mb=1)
    for name, content in (("first", b"first"), ("second", CONTENT)):
        (tmp_path / "store" / name).write_bytes(content)
    async with one.fetcher.fetched(media((tmp_path / "store" / "first").as_uri(), b"first")):
        pass
    cache = tmp_path / f"veristream-media-{os.getuid()}"
    assert len(kept(cache)) == 1
    really = asyncio.to_thread

    async def full(function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        if getattr(function, "__name__", "") == "write" and kept(cache):
            raise OSError(errno.ENOSPC, "No space left on device")
        return await really(function, *args, **options)

    monkeypatch.setattr("streams.extraction.fetch.asyncio.to_thread", full)
    async with one.fetcher.fetched(media((tmp_path / "store" / "second").as_uri())) as path:
        assert path.read_bytes() == CONTENT


async def test_a_spool_that_stays_full_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fetching: Callable[..., Fetching]
) -> None:
    class Disk:
        free = 0

    monkeypatch.setattr("shutil.disk_usage", lambda _: Disk)
    monkeypatch.setattr("streams.extraction.fetch.FULL_PAUSE_S", 0.01)
    really = asyncio.to_thread

    async def full(function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        if getattr(function, "__name__", "") == "write":
            raise OSError(errno.ENOSPC, "No space left on device")
        return await really(function, *args, **options)

    monkeypatch.setattr("streams.extraction.fetch.asyncio.to_thread", full)
    (tmp_path / "store" / "clip.mp4").write_bytes(CONTENT)
    found = await fetching(fetch_timeout_s=0.1).failure(media((tmp_path / "store" / "clip.mp4").as_uri()))
    assert (found.code, "no room" in found.text) == ("EXTRACT-FETCH", True)


async def test_a_spool_that_cannot_be_written_is_a_failure_of_the_fetch(
    tmp_path: Path, fetching: Callable[..., Fetching]
) -> None:
    one = fetching()
    (tmp_path / "spool").rmdir()
    (tmp_path / "store" / "clip.mp4").write_bytes(CONTENT)
    found = await one.failure(media((tmp_path / "store" / "clip.mp4").as_uri()))
    assert (found.code, "the spool cannot be written" in found.text) == ("EXTRACT-FETCH", True)
    (tmp_path / "spool").mkdir()
