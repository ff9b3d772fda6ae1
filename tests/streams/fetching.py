"""A fetcher with its settings, and media to fetch; shared by the tests of fetching."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from schemas.event import Media
from streams.extraction.fetch import Fetcher
from streams.extraction.read import ExtractFailure
from streams.settings import Settings

CONTENT = b"the content of a clip"


def media(uri: str, content: bytes = CONTENT, **others: Any) -> Media:
    return Media(**{"uri": uri, "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)} | others)


class Fetching:
    """A fetcher with its settings, whose spool can be looked into."""

    def __init__(self, settings: Settings) -> None:
        self.spool = settings.spool
        self.fetcher = Fetcher(settings)

    async def content(self, wanted: Media) -> bytes:
        async with self.fetcher.fetched(wanted) as path:
            assert self.spool and path.is_relative_to(self.spool)
            return path.read_bytes()

    async def failure(self, wanted: Media) -> ExtractFailure:
        with pytest.raises(ExtractFailure) as caught:
            await self.content(wanted)
        return caught.value

    @property
    def left(self) -> list[Path]:
        return list(self.spool.iterdir()) if self.spool else []
