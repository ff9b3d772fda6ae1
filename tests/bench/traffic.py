"""Uploads as a platform would send them, and the registry rows that let them pass."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime

from schemas.event import Media, Upload
from schemas.registry import Licence, Provider, Publisher

PUBLISHERS_COUNT = 1000
PROVIDER = "provider-1"


def publisher(number: int) -> Publisher:
    """A verified person. The ID number is the published example of GB 11643: it belongs to nobody."""
    return Publisher(
        publisher_id=f"publisher-{number:05d}",
        kind="person",
        real_name="verified",
        verified_at=datetime(2026, 1, 1, tzinfo=UTC),
        id_number="11010519491231002X",
        mobile="13800138000",
    )


def provider() -> Provider:
    """A provider whose licence covers everything."""
    licence = Licence(kind="audio-video", number="0110538", services=("*",))
    return Provider(provider_id=PROVIDER, name="Provider", licences=(licence,))


def uploads(count: int, publishers: int = PUBLISHERS_COUNT) -> Iterator[Upload]:
    """So many valid uploads of so many publishers, in turn."""
    for number in range(count):
        digest = hashlib.sha256(str(number).encode()).hexdigest()
        yield Upload(
            event_id=f"{digest[:32]}",
            content_id=f"content-{number:08d}",
            publisher_id=f"publisher-{number % publishers:05d}",
            provider_id=PROVIDER,
            service="short_video",
            title=f"周末骑行第 {number} 天：沿着河边一路向北",
            description="今天天气很好，风不大，路上遇到了很多朋友。A quiet ride along the river, with good company.",
            tags=("骑行", "户外", "weekend"),
            category="sports",
            media=Media(uri=f"s3://uploads/{digest[:2]}/{digest}.mp4", sha256=digest, bytes=12_345_678),
            created_at=datetime.now(UTC),
        )
