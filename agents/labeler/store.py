"""Where labelled copies go: a folder or a bucket. Each has its hash as its name, so that nothing is written over."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from schemas.event import Media
from streams.settings import Settings

#: Read at once, in bytes.
_CHUNK = 1 << 20
#: Names of containers as files end.
ENDINGS = {"jpeg": "jpg"}


class Store:
    """One place for copies."""

    def __init__(self, settings: Settings) -> None:
        """ValueError: the setting is neither file:///folder nor s3://bucket."""
        parts = urlsplit(settings.labelled_store)
        if parts.scheme not in ("file", "s3") or (parts.scheme == "file") == bool(parts.netloc):
            raise ValueError(
                f"labelled_store is {settings.labelled_store!r}: write file:///folder or s3://bucket/prefix"
            )
        self._settings = settings
        self._folder = Path(unquote(parts.path)) if parts.scheme == "file" else None
        self._bucket, self._prefix = parts.netloc, unquote(parts.path).strip("/")

    async def put(self, path: Path, ending: str) -> Media:
        """Keep a file.

        Raises:
            OSError: there is no room, no right, or no store.
        """
        digest, size = await asyncio.to_thread(_digest, path)
        name = f"{digest}.{ENDINGS.get(ending, ending)}"
        if self._folder is not None:
            place = self._folder / digest[:2] / name
            await asyncio.to_thread(_keep, path, place)
            return Media(uri=f"file://{quote(str(place))}", sha256=digest, bytes=size)
        key = f"{self._prefix}/{name}" if self._prefix else name
        await self._send(path, key)
        return Media(uri=f"s3://{self._bucket}/{quote(key)}", sha256=digest, bytes=size)

    async def _send(self, path: Path, key: str) -> None:
        import obstore
        from obstore.exceptions import BaseError

        from streams.extraction.fetch import s3_store

        try:
            await obstore.put_async(s3_store(self._settings, self._bucket), key, path)
        except (BaseError, ValueError) as error:
            raise OSError(f"the store answered: {str(error).splitlines()[0][:300]}") from error


def _digest(path: Path) -> tuple[str, int]:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while data := file.read(_CHUNK):
            digest.update(data)
        return digest.hexdigest(), file.tell()


def _keep(path: Path, place: Path) -> None:
    """Whoever looks sees all of it or nothing."""
    place.parent.mkdir(parents=True, exist_ok=True)
    part = place.with_suffix(f".{os.getpid()}.part")
    try:
        shutil.copyfile(path, part)
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(place)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
