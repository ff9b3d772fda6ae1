"""An archive with rows in it, and the messages that they were."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from schemas.decision import Decision, PolicyRef, Reason
from schemas.message import encode
from streams.archive.chain import load_key
from streams.archive.columns import Row
from streams.archive.store import Archive, Place

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PLACE = Place("decisions", 3)


def decision(number: int, **changed: object) -> bytes:
    """The bytes of one decision of review."""
    said = {
        "decision_id": f"d{number}", "event_id": f"e{number}", "content_id": f"c{number // 2}",
        "publisher_id": f"p{number % 3}", "agent": "review", "action": "review",
        "policy": PolicyRef(name="default", version=1), "decided_at": NOW, "latency_s": 0.25,
        "reasons": (Reason(code="REVIEW-TERM", score=0.5, threshold=0.4),),
    }  # fmt: skip
    return encode(Decision(**(said | changed)))


def rows(first: int, last: int, at: datetime = NOW) -> list[Row]:
    """Decisions at these offsets, sent at that time."""
    return [Row(n, int(at.timestamp() * 1000) + n, b"p", decision(n)) for n in range(first, last + 1)]


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    load_key(tmp_path / "key.pem", create=True)
    return tmp_path / "key.pem"


@pytest.fixture
def opened(tmp_path: Path, key_file: Path) -> Callable[..., Archive]:
    """Opens the archive of this test, at noon of NOW's day, or so many days later."""

    def make(later: int = 0, **more: object) -> Archive:
        moment = NOW + timedelta(days=later)
        return Archive(tmp_path / "archive", load_key(key_file), **({"clock": lambda: moment} | more))

    return make


@pytest.fixture
def filled(opened: Callable[..., Archive], tmp_path: Path) -> Path:
    """The folder of an archive with thirty decisions in three files."""
    with opened() as archive:
        for first in (0, 10, 20):
            archive.append({PLACE: rows(first, first + 9)})
    return tmp_path / "archive"
