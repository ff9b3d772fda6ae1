"""Media is fetched from where it may be, is what the event says it is, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from fetching import CONTENT, Fetching, media
from moto.server import ThreadedMotoServer

from deploy.embedded import free_port
from streams.extraction.fetch import Fetcher
from streams.extraction.web import CHUNK
from streams.settings import load


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    path = tmp_path / "store" / "clip 100% 鸟.mp4"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(CONTENT)
    return path


# Files.


async def test_a_file_in_the_store_is_fetched_and_gone_afterwards(
    fetching: Callable[..., Fetching], stored: Path
) -> None:
    one = fetching()
    async with one.fetcher.fetched(media(stored.as_uri())) as path:
        assert path.read_bytes() == CONTENT
        assert path != stored
        assert one.left == [path.parent]
    assert one.left == []
    assert stored.exists()


@pytest.mark.parametrize("form", ["file:///{path}", "file://localhost/{path}"])
async def test_this_machine_may_be_named(fetching: Callable[..., Fetching], tmp_path: Path, form: str) -> None:
    (tmp_path / "store" / "clip.mp4").write_bytes(CONTENT)
    uri = form.format(path=str(tmp_path / "store" / "clip.mp4").lstrip("/"))
    assert await fetching().content(media(uri)) == CONTENT


async def test_any_folder_in_the_settings_is_a_root(fetching: Callable[..., Fetching], tmp_path: Path) -> None:
    (tmp_path / "more" / "deep").mkdir(parents=True)
    path = tmp_path / "more" / "deep" / "clip.mp4"
    path.write_bytes(CONTENT)
    assert (await fetching().failure(media(path.as_uri()))).code == "EXTRACT-FORBIDDEN"
    assert await fetching(media_roots=str(tmp_path / "more")).content(media(path.as_uri())) == CONTENT


async def test_a_large_file_comes_whole(fetching: Callable[..., Fetching], tmp_path: Path) -> None:
    content = os.urandom(2 * CHUNK + 17)
    path = tmp_path / "store" / "large.mp4"
    path.write_bytes(content)
    assert await fetching().content(media(path.as_uri(), content)) == content


def _outside(folder: Path) -> str:
    (folder / "outside.mp4").write_bytes(CONTENT)
    return (folder / "outside.mp4").as_uri()


def _dots(folder: Path) -> str:
    _outside(folder)
    return f"file://{folder}/store/../outside.mp4"


def _escaped_dots(folder: Path) -> str:
    _outside(folder)
    return f"file://{folder}/store/%2e%2e/outside.mp4"


def _sibling(folder: Path) -> str:
    # Its name begins like the store's.
    (folder / "store2").mkdir()
    (folder / "store2" / "clip.mp4").write_bytes(CONTENT)
    return (folder / "store2" / "clip.mp4").as_uri()


def _link(folder: Path) -> str:
    _outside(folder)
    (folder / "store" / "link.mp4").symlink_to(folder / "outside.mp4")
    return f"file://{folder}/store/link.mp4"


def _linked_folder(folder: Path) -> str:
    _outside(folder)
    (folder / "store" / "folder").symlink_to(folder)
    return f"file://{folder}/store/folder/outside.mp4"


def _folder(folder: Path) -> str:
    return f"file://{folder}/store"


def _pipe(folder: Path) -> str:
    os.mkfifo(folder / "store" / "pipe.mp4")
    return f"file://{folder}/store/pipe.mp4"


def _device(folder: Path) -> str:
    (folder / "store" / "zero.mp4").symlink_to("/dev/zero")
    return f"file://{folder}/store/zero.mp4"


def _host(folder: Path) -> str:
    (folder / "store" / "clip.mp4").write_bytes(CONTENT)
    return f"file://other{folder}/store/clip.mp4"


FORBIDDEN = (_outside, _dots, _escaped_dots, _sibling, _link, _linked_folder, _folder, _pipe, _device, _host)


@pytest.mark.timeout(20)  # to open the pipe would wait for ever
@pytest.mark.parametrize("where", FORBIDDEN, ids=lambda where: where.__name__.strip("_"))
async def test_what_is_no_file_in_an_allowed_folder_is_forbidden(
    fetching: Callable[..., Fetching], tmp_path: Path, where: Callable[[Path], str]
) -> None:
    one = fetching()
    assert (await one.failure(media(where(tmp_path)))).code == "EXTRACT-FORBIDDEN"


async def test_a_link_that_stays_inside_is_followed(fetching: Callable[..., Fetching], stored: Path) -> None:
    (stored.parent / "link.mp4").symlink_to(stored)
    assert await fetching().content(media((stored.parent / "link.mp4").as_uri())) == CONTENT


def _missing(folder: Path) -> str:
    return f"file://{folder}/store/none.mp4"


def _below_a_file(folder: Path) -> str:
    (folder / "store" / "clip.mp4").write_bytes(CONTENT)
    return f"file://{folder}/store/clip.mp4/more"


def _nul(folder: Path) -> str:
    return f"file://{folder}/store/clip%00.mp4"


def _too_long(folder: Path) -> str:
    return f"file://{folder}/store/{'x' * 300}.mp4"


def _loop(folder: Path) -> str:
    (folder / "store" / "loop.mp4").symlink_to("loop.mp4")
    return f"file://{folder}/store/loop.mp4"


NOT_THERE = (_missing, _below_a_file, _nul, _too_long, _loop)


@pytest.mark.parametrize("where", NOT_THERE, ids=lambda where: where.__name__.strip("_"))
async def test_what_is_not_there_cannot_be_fetched(
    fetching: Callable[..., Fetching], tmp_path: Path, where: Callable[[Path], str]
) -> None:
    assert (await fetching().failure(media(where(tmp_path)))).code == "EXTRACT-FETCH"


async def test_a_file_that_may_not_be_read_cannot_be_fetched(
    fetching: Callable[..., Fetching], stored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = Path.open

    def refuse(path: Path, *args: Any, **kwargs: Any) -> Any:
        if path == stored:
            raise PermissionError(13, "Permission denied")
        return plain(path, *args, **kwargs)

    monkeypatch.setattr(Path, "open", refuse)
    found = await fetching().failure(media(stored.as_uri()))
    assert (found.code, "Permission denied" in found.text) == ("EXTRACT-FETCH", True)


# What the event says.


async def test_more_bytes_than_stated_are_a_mismatch(fetching: Callable[..., Fetching], stored: Path) -> None:
    found = await fetching().failure(media(stored.as_uri(), bytes=len(CONTENT) - 1))
    assert (found.code, found.text) == ("EXTRACT-MISMATCH", f"it has more than the {len(CONTENT) - 1} bytes stated")


async def test_fewer_bytes_than_stated_are_a_mismatch(fetching: Callable[..., Fetching], stored: Path) -> None:
    found = await fetching().failure(media(stored.as_uri(), bytes=len(CONTENT) + 1))
    assert found.code == "EXTRACT-MISMATCH"
    assert f"it has {len(CONTENT)} bytes, the event says {len(CONTENT) + 1}" in found.text


async def test_another_hash_is_a_mismatch(fetching: Callable[..., Fetching], stored: Path) -> None:
    found = await fetching().failure(media(stored.as_uri(), sha256="0" * 64))
    assert found.code == "EXTRACT-MISMATCH"
    assert hashlib.sha256(CONTENT).hexdigest() in found.text


async def test_an_event_without_bytes_is_empty_and_nothing_is_fetched(fetching: Callable[..., Fetching]) -> None:
    assert (await fetching().failure(media("file:///none", b""))).code == "EXTRACT-EMPTY"


async def test_more_than_the_settings_allow_is_not_fetched(fetching: Callable[..., Fetching], stored: Path) -> None:
    found = await fetching(max_media_bytes=len(CONTENT) - 1).failure(media(stored.as_uri()))
    assert found.code == "EXTRACT-LIMIT"
    assert str(len(CONTENT)) in found.text
    assert await fetching(max_media_bytes=len(CONTENT)).content(media(stored.as_uri())) == CONTENT


async def test_nothing_is_left_when_whoever_reads_it_fails(fetching: Callable[..., Fetching], stored: Path) -> None:
    one = fetching()
    with pytest.raises(RuntimeError):
        async with one.fetcher.fetched(media(stored.as_uri())):
            raise RuntimeError
    assert one.left == []


async def test_nothing_is_left_when_it_is_cancelled(fetching: Callable[..., Fetching], stored: Path) -> None:
    one = fetching()
    entered = asyncio.Event()

    async def hold() -> None:
        async with one.fetcher.fetched(media(stored.as_uri())):
            entered.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(hold())
    await entered.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert one.left == []


async def test_the_systems_folder_serves_where_no_spool_is_set(
    stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    fetcher = Fetcher(load(store=stored.parent, media_cache_mb=0))
    async with fetcher.fetched(media(stored.as_uri())) as path:
        assert path.parent.parent == tmp_path
    assert not path.parent.exists()


# S3.


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """The address of a store with buckets `clips` and `private`."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    client = boto3.client(
        "s3", endpoint_url=address, region_name="us-east-1", aws_access_key_id="key", aws_secret_access_key="secret"
    )
    for bucket in ("clips", "private"):
        client.create_bucket(Bucket=bucket)
    for key in ("clip.mp4", "deep/er/clip 100% 鸟.mp4"):
        client.put_object(Bucket="clips", Key=key, Body=CONTENT)
    client.put_object(Bucket="clips", Key="large.mp4", Body=bytes(3 * CHUNK + 1))
    client.put_object(Bucket="private", Key="clip.mp4", Body=CONTENT)
    yield address
    server.stop()


@pytest.fixture
def of_store(fetching: Callable[..., Fetching], s3: str) -> Fetching:
    return fetching(
        s3_endpoint=s3, s3_access_key="key", s3_secret_key="secret", s3_buckets="clips, none", fetch_timeout_s=10
    )


@pytest.mark.parametrize("key", ["clip.mp4", "deep/er/clip%20100%25%20%E9%B8%9F.mp4"])
async def test_an_object_of_an_allowed_bucket_is_fetched(of_store: Fetching, key: str) -> None:
    assert await of_store.content(media(f"s3://clips/{key}")) == CONTENT


async def test_a_large_object_comes_whole(of_store: Fetching) -> None:
    content = bytes(3 * CHUNK + 1)
    assert await of_store.content(media("s3://clips/large.mp4", content)) == content


async def test_a_bucket_that_is_not_allowed_is_forbidden(of_store: Fetching) -> None:
    found = await of_store.failure(media("s3://private/clip.mp4"))
    assert (found.code, "'private'" in found.text) == ("EXTRACT-FORBIDDEN", True)


@pytest.mark.parametrize("where", ["clips/none.mp4", "none/clip.mp4", "clips/a//b", "clips/../private/clip.mp4"])
async def test_an_object_that_is_not_there_cannot_be_fetched(of_store: Fetching, where: str) -> None:
    found = await of_store.failure(media(f"s3://{where}"))
    assert found.code == "EXTRACT-FETCH"
    assert found.text.startswith("the store answered: ")
    assert len(found.text) < 400
    assert "secret" not in found.text


@pytest.mark.parametrize("where", ["clips", "clips/"])
async def test_a_bucket_alone_is_no_media(of_store: Fetching, where: str) -> None:
    found = await of_store.failure(media(f"s3://{where}"))
    assert (found.code, "no object" in found.text) == ("EXTRACT-FETCH", True)


async def test_an_object_is_compared_with_the_event_too(of_store: Fetching) -> None:
    found = await of_store.failure(media("s3://clips/clip.mp4", sha256="0" * 64))
    assert found.code == "EXTRACT-MISMATCH"


async def test_an_object_larger_than_stated_is_a_mismatch(of_store: Fetching) -> None:
    found = await of_store.failure(media("s3://clips/large.mp4", bytes=1000))
    assert found.code == "EXTRACT-MISMATCH"


async def test_a_store_that_is_not_there_is_given_up_in_time(fetching: Callable[..., Fetching]) -> None:
    one = fetching(
        s3_endpoint=f"http://127.0.0.1:{free_port()}",
        s3_access_key="key",
        s3_secret_key="secret",
        s3_buckets="clips",
        fetch_timeout_s=0.5,
    )
    assert (await one.failure(media("s3://clips/clip.mp4"))).code == "EXTRACT-FETCH"
