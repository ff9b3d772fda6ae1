"""Fetching: an item's bytes into the spool, by scheme, from where the settings allow, checked on the way."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import logging
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import FileIO
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import BaseError as StoreError
from obstore.store import S3Store

from schemas.event import Media
from streams.extraction.cache import Cache
from streams.extraction.read import ExtractFailure
from streams.extraction.web import CHUNK, Web
from streams.settings import Settings

log = logging.getLogger(__name__)

#: How often a full spool is looked at again, in seconds: room comes with every item that is done.
FULL_PAUSE_S = 0.5


class Fetcher:
    """Fetches media to a temporary file whose size and SHA-256 are the event's."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._web = Web(settings)
        self._stores: dict[str, S3Store] = {}
        self._roots = [root.resolve() for root in settings.roots]
        if settings.spool:
            settings.spool.mkdir(parents=True, exist_ok=True)
        self._cache: Cache | None = None
        if settings.media_cache_mb:
            # Beside the spool, because it shares files with it by links.
            where = (settings.spool or Path(tempfile.gettempdir())) / f"veristream-media-{os.getuid()}"
            self._cache = Cache(where, settings.media_cache_mb << 20)

    async def close(self) -> None:
        """Close connections."""
        await self._web.close()

    @asynccontextmanager
    async def fetched(self, media: Media) -> AsyncIterator[Path]:
        """The media as a file that is gone afterwards.

        Raises:
            ExtractFailure: forbidden, not there, too large, empty, too slow, or not what the event says.
        """
        if media.bytes == 0:
            raise ExtractFailure("EXTRACT-EMPTY", "the event says that the media has 0 bytes")
        if media.bytes > self._settings.max_media_bytes:
            raise ExtractFailure(
                "EXTRACT-LIMIT", f"it has {media.bytes} bytes; {self._settings.max_media_bytes} are allowed"
            )
        with self._folder() as folder:
            path = Path(folder) / "media"
            if self._cache is None or not await asyncio.to_thread(self._cache.take, media.sha256, media.bytes, path):
                try:
                    async with asyncio.timeout(self._settings.fetch_timeout_s):
                        await self._into(path, media)
                except TimeoutError as error:
                    full = shutil.disk_usage(folder).free < CHUNK
                    raise ExtractFailure(
                        "EXTRACT-FETCH",
                        f"fetching took longer than {self._settings.fetch_timeout_s:.0f} s"
                        + (": the spool has no room (VERISTREAM_SPOOL)" if full else ""),
                    ) from error
                if self._cache:
                    await asyncio.to_thread(self._cache.keep, media.sha256, path)
            yield path

    def _folder(self) -> tempfile.TemporaryDirectory[str]:
        try:
            return tempfile.TemporaryDirectory(dir=self._settings.spool, prefix="veristream-")
        except OSError as error:
            raise ExtractFailure("EXTRACT-FETCH", f"the spool cannot be written ({error.strerror})") from error

    async def _into(self, path: Path, media: Media) -> None:
        digest = hashlib.sha256()
        size = 0
        with path.open("wb", buffering=0) as spool:
            async for chunk in self._chunks(media.uri):
                size += len(chunk)
                if size > media.bytes:
                    raise ExtractFailure("EXTRACT-MISMATCH", f"it has more than the {media.bytes} bytes stated")
                digest.update(chunk)
                await self._write(spool, chunk)
        if size != media.bytes:
            raise ExtractFailure("EXTRACT-MISMATCH", f"it has {size} bytes, the event says {media.bytes}")
        if digest.hexdigest() != media.sha256:
            raise ExtractFailure("EXTRACT-MISMATCH", f"its SHA-256 is {digest.hexdigest()}, not the event's")

    async def _write(self, spool: FileIO, chunk: bytes) -> None:
        """Write it all. A full disk is waited for: other items are being read, and their room comes free."""
        rest = memoryview(chunk)
        while rest:
            try:
                rest = rest[await asyncio.to_thread(spool.write, rest) :]
            except OSError as error:
                if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                    raise
                log.warning("the spool is full; waiting for room")
                if self._cache:
                    await asyncio.to_thread(self._cache.clear)
                await asyncio.sleep(FULL_PAUSE_S)

    def _chunks(self, uri: str) -> AsyncIterator[bytes]:
        parts = urlsplit(uri)
        if parts.scheme == "file":
            return self._from_file(unquote(parts.path), parts.netloc)
        if parts.scheme == "s3":
            return self._from_s3(parts.netloc, unquote(parts.path).lstrip("/"))
        return self._web.chunks(uri)

    async def _from_file(self, path: str, host: str) -> AsyncIterator[bytes]:
        if host not in ("", "localhost"):
            raise ExtractFailure("EXTRACT-FORBIDDEN", f"file:// names the host {host!r}; write file:///path")
        try:
            # Before the check: a link must not lead out.
            real = await asyncio.to_thread(Path(path).resolve, strict=True)
        except OSError as error:
            raise ExtractFailure("EXTRACT-FETCH", f"the file is not there ({error.strerror})") from error
        except (ValueError, RuntimeError) as error:  # a NUL byte; links that lead round in a circle
            raise ExtractFailure("EXTRACT-FETCH", f"the path cannot be one: {error}") from error
        if not any(real.is_relative_to(root) for root in self._roots):
            raise ExtractFailure(
                "EXTRACT-FORBIDDEN", "the file lies outside the allowed folders (VERISTREAM_MEDIA_ROOTS)"
            )
        if not await asyncio.to_thread(real.is_file):
            raise ExtractFailure("EXTRACT-FORBIDDEN", "it is not a regular file")
        try:
            with real.open("rb") as file:
                while chunk := await asyncio.to_thread(file.read, CHUNK):
                    yield chunk
        except OSError as error:
            raise ExtractFailure("EXTRACT-FETCH", f"the file cannot be read ({error.strerror})") from error

    async def _from_s3(self, bucket: str, key: str) -> AsyncIterator[bytes]:
        if bucket not in self._settings.s3_buckets:
            raise ExtractFailure("EXTRACT-FORBIDDEN", f"bucket {bucket!r} is not allowed (VERISTREAM_S3_BUCKETS)")
        if not key:
            raise ExtractFailure("EXTRACT-FETCH", "the URI names a bucket and no object in it")
        store = self._stores.get(bucket) or self._stores.setdefault(bucket, self._s3(bucket))
        try:
            answer = await obstore.get_async(store, key)
            async for chunk in answer.stream(min_chunk_size=CHUNK):
                yield bytes(chunk)
        except (StoreError, FileNotFoundError, PermissionError, ValueError) as error:  # a key that cannot be one
            raise ExtractFailure("EXTRACT-FETCH", f"the store answered: {str(error).splitlines()[0][:300]}") from error

    def _s3(self, bucket: str) -> S3Store:
        return s3_store(self._settings, bucket)


def s3_store(settings: Settings, bucket: str) -> S3Store:
    """A bucket, by the settings' endpoint and keys."""
    options: dict[str, Any] = {"region": settings.s3_region}
    if settings.s3_endpoint:
        options |= {"endpoint": settings.s3_endpoint, "virtual_hosted_style_request": False}
    if settings.s3_access_key and settings.s3_secret_key:
        options |= {
            "access_key_id": settings.s3_access_key.get_secret_value(),
            "secret_access_key": settings.s3_secret_key.get_secret_value(),
        }
    plain = bool(settings.s3_endpoint and settings.s3_endpoint.startswith("http://"))
    return S3Store(bucket, client_options={"allow_http": plain}, **options)
