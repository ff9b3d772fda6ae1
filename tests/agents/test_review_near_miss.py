"""An item that misses the bank by a little is read again; one that matches, or is far from it, is not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace
from prometheus_client import CollectorRegistry

from agents.review.near_miss import NearMiss
from schemas.bank import BankFrame, HashEntry
from schemas.message import encode
from schemas.policy import default_policy
from schemas.signals import FrameHash, MediaFacts
from schemas.topics import HASHBANK
from streams.extraction.read import Reading
from streams.metrics import Metrics
from streams.views import View

NOW = datetime(2026, 11, 1, tzinfo=UTC)
BANNED = 0
POLICY = default_policy()


def code(bits: int) -> str:
    """A hash that differs from the banned one in so many bits."""
    return f"{(1 << bits) - 1:064x}"


def reading(*bits: int, quality: int = 100) -> Reading:
    frames = tuple(FrameHash(at_s=float(at), pdq=code(count), quality=quality) for at, count in enumerate(bits))
    return Reading(MediaFacts(container="mov", duration_s=1.0), (), frames, (), {})


@pytest.fixture
def view() -> View[Any]:
    return View(HASHBANK, Metrics(CollectorRegistry()))


@pytest.fixture
def near(view: View[Any]) -> NearMiss:
    ban(view)
    return NearMiss({HASHBANK.name: view})


def ban(view: View[Any], entry_id: str = "entry", **fields: Any) -> None:
    entry = HashEntry(
        entry_id=entry_id, category="banned", source="test", added_at=NOW,
        frames=(BankFrame(pdq=code(BANNED), quality=100),), **fields,
    )  # fmt: skip
    view.apply(entry_id.encode(), encode(entry))


@pytest.mark.parametrize(
    ("bits", "fires"),
    [((32,), True), ((39,), True), ((40,), False), ((31,), False), ((0,), False), ((100, 35), True), ((35, 10), False)],
)
def test_only_a_frame_just_beyond_the_distance_fires(near: NearMiss, bits: tuple[int, ...], fires: bool) -> None:
    assert near.fires(reading(*bits), POLICY, NOW) is fires


def test_frames_without_detail_fire_nothing(near: NearMiss) -> None:
    assert not near.fires(reading(35, quality=49), POLICY, NOW)


def test_an_item_without_frames_fires_nothing(near: NearMiss) -> None:
    assert not near.fires(reading(), POLICY, NOW)


def test_no_bits_switch_it_off(near: NearMiss) -> None:
    rules = replace(POLICY.extraction, near_miss_bits=0)
    assert not near.fires(reading(35), replace(POLICY, extraction=rules), NOW)


def test_an_entry_that_is_taken_out_of_the_bank_or_expires_fires_no_more(near: NearMiss, view: View[Any]) -> None:
    view.apply(b"entry", None)
    assert not near.fires(reading(35), POLICY, NOW)
    ban(view, expires_at=NOW + timedelta(hours=1))
    assert near.fires(reading(35), POLICY, NOW)
    assert not near.fires(reading(35), POLICY, NOW + timedelta(hours=2))
