"""Fetching: an item's bytes into the spool, by scheme, from where the settings allow, checked on the way."""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import aiohttp
import obstore
from obstore.exceptions import BaseError as StoreError
from obstore.store import S3Store

from schemas.event import Media
from streams.extraction.read import ExtractFailure
from streams.settings import Settings

CHUNK = 1 << 20
#: Tries of an HTTP fetch, with a pause before each further one that doubles from this many seconds.
TRIES = 3
FIRST_PAUSE_S = 0.2


class Fetcher:
    """Fetches media to a temporary file whose size and SHA-256 are the event's."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._http: aiohttp.ClientSession | None = None
        self._stores: dict[str, S3Store] = {}
        self._roots = [root.resolve() for root in settings.roots]
        if settings.spool:
            settings.spool.mkdir(parents=True, exist_ok=True)

    async def close(self) -> None:
        """Close connections."""
        if self._http:
            await self._http.close()

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
        with tempfile.NamedTemporaryFile(dir=self._settings.spool, prefix="veristream-") as spool:
            digest = hashlib.sha256()
            size = 0
            try:
                async with asyncio.timeout(self._settings.fetch_timeout_s):
                    async for chunk in self._chunks(media.uri):
                        size += len(chunk)
                        if size > media.bytes:
                            raise ExtractFailure("EXTRACT-MISMATCH", f"it has more than the {media.bytes} bytes stated")
                        digest.update(chunk)
                        await asyncio.to_thread(spool.write, chunk)
            except TimeoutError as error:
                raise ExtractFailure(
                    "EXTRACT-FETCH", f"fetching took longer than {self._settings.fetch_timeout_s:.0f} s"
                ) from error
            spool.flush()
            if size != media.bytes:
                raise ExtractFailure("EXTRACT-MISMATCH", f"it has {size} bytes, the event says {media.bytes}")
            if digest.hexdigest() != media.sha256:
                raise ExtractFailure("EXTRACT-MISMATCH", f"its SHA-256 is {digest.hexdigest()}, not the event's")
            yield Path(spool.name)

    def _chunks(self, uri: str) -> AsyncIterator[bytes]:
        parts = urlsplit(uri)
        if parts.scheme == "file":
            return self._from_file(unquote(parts.path), parts.netloc)
        if parts.scheme == "s3":
            return self._from_s3(parts.netloc, unquote(parts.path).lstrip("/"))
        return self._from_http(uri)

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

    async def _from_http(self, uri: str) -> AsyncIterator[bytes]:
        parts = urlsplit(uri)
        allowed = {host.lower() for host in self._settings.media_hosts}
        if (parts.hostname or "") not in allowed and parts.netloc.lower() not in allowed:
            raise ExtractFailure("EXTRACT-FORBIDDEN", f"host {parts.netloc!r} is not allowed (VERISTREAM_MEDIA_HOSTS)")
        if self._http is None:
            # The library's own limit of five minutes would end long fetches before the settings' does.
            self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None, sock_connect=30.0))
        for attempt in range(1, TRIES + 1):
            begun = False
            try:
                # A redirect could lead to a host that is not allowed, so none is followed.
                async with self._http.get(uri, allow_redirects=False) as answer:
                    if answer.status < 500:
                        if answer.status != 200:
                            raise ExtractFailure("EXTRACT-FETCH", f"the host answered {answer.status} {answer.reason}")
                        async for chunk in answer.content.iter_chunked(CHUNK):
                            begun = True
                            yield chunk
                        return
                    problem = f"the host answered {answer.status} {answer.reason}"
            except aiohttp.ClientError as error:
                problem = f"the host cannot be reached, or broke off: {type(error).__name__}"
            if begun or attempt == TRIES:
                raise ExtractFailure("EXTRACT-FETCH", problem)
            await asyncio.sleep(FIRST_PAUSE_S * 2 ** (attempt - 1))

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
        settings = self._settings
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
