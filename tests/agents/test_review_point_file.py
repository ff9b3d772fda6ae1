"""Points that lie in a file which the workers of a machine share are found as if they were in memory."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents.review import pointbank
from agents.review.pointbank import FILE, Copy, PointBank
from schemas.bank import BankFrame, HashEntry
from schemas.signals import FramePoints

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
COUNT = 8


@pytest.fixture(autouse=True)
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bank that writes its file as soon as it has six frames."""
    monkeypatch.setattr(pointbank, "MOST_OWN", 5)
    monkeypatch.setattr(pointbank, "LOOK_S", 0.0)


def frame(seed: int, at_s: float = 0.0) -> FramePoints:
    """A hundred corners, all over the picture."""
    return FramePoints(at_s=at_s, points=np.random.default_rng(seed).integers(0, 256, 100 * 34, np.uint8).tobytes())


def entry(seed: int, shown: int | None = None, **fields: Any) -> HashEntry:
    """An entry of two frames."""
    shown = seed if shown is None else shown
    return HashEntry(
        entry_id=f"b-{seed}", category="c", source="s", added_at=NOW, frames=(BankFrame(pdq="0f" * 32, quality=100),),
        points=(frame(2 * shown, 1.0), frame(2 * shown + 1, 2.0)), **fields,
    )  # fmt: skip


def filled(folder: Path | None, *rows: HashEntry) -> PointBank:
    bank = PointBank(rows or map(entry, range(COUNT)), folder=folder)
    bank.settle(NOW)
    return bank


def found(bank: PointBank, now: datetime = NOW) -> list[Copy]:
    """What it says of a frame of each entry."""
    return sorted(bank.find([frame(2 * seed + 1, float(seed)) for seed in range(COUNT + 2)], now))


@pytest.fixture
def expected() -> list[Copy]:
    """What a bank in memory says."""
    copies = found(filled(None))
    assert [copy.entry_id for copy in copies] == [f"b-{seed}" for seed in range(COUNT)]
    return copies


def test_what_lies_in_the_file_is_found_and_takes_no_memory_of_another_worker(
    tmp_path: Path, expected: list[Copy]
) -> None:
    first = filled(tmp_path)
    second = PointBank(folder=tmp_path)
    assert found(second) == [], "the topic says what is in force, not the file"
    for seed in range(COUNT):
        second.put(f"b-{seed}", entry(seed))
    for bank in (first, second):
        assert found(bank) == expected and len(bank) == COUNT
        shared, own = bank.nbytes
        assert shared > COUNT * 2 * 100 * 34 and own == 0


def test_what_changes_is_in_force_at_once_whatever_the_file_says(tmp_path: Path) -> None:
    bank = filled(tmp_path, *map(entry, range(6)), entry(6, expires_at=NOW + timedelta(days=1)), entry(7))
    bank.put("b-0", None)
    bank.put("b-1", entry(1, active=False))
    bank.put("b-2", entry(2, shown=8))
    bank.put("b-3", entry(3, kind="known_good"))
    told = {(copy.entry_id, copy.at_s, copy.known_good) for copy in found(bank, NOW + timedelta(days=2))}
    assert told == {
        ("b-2", 8.0, False),
        ("b-3", 3.0, True),
        ("b-4", 4.0, False),
        ("b-5", 5.0, False),
        ("b-7", 7.0, False),
    }
    bank.put("b-0", entry(0))  # as it was
    assert "b-0" in {copy.entry_id for copy in found(bank)}


def test_a_worker_takes_up_what_another_has_written_and_keeps_what_that_one_lacked(
    tmp_path: Path, expected: list[Copy]
) -> None:
    one = filled(tmp_path, *map(entry, range(COUNT)))
    other = PointBank(map(entry, range(COUNT)), folder=tmp_path)
    other.put("b-9", entry(9))
    (tmp_path / FILE).unlink()
    ahead = filled(tmp_path, *map(entry, range(1, COUNT)))  # it has not read of b-0 yet
    assert found(ahead) == expected[1:]
    every = {f"b-{seed}" for seed in range(COUNT)}
    for bank, wanted in ((one, every), (other, {*every, "b-9"})):
        bank.settle(NOW)
        assert {copy.entry_id for copy in found(bank)} == wanted
        assert 0 < bank.nbytes[1] < bank.nbytes[0]


def _flipped(content: bytes) -> bytes:
    return content[:-5] + bytes([content[-5] ^ 1]) + content[-4:]


@pytest.mark.parametrize("damage", [lambda content: content[:100], lambda content: b"x" * len(content), _flipped])
def test_a_damaged_file_is_made_again(tmp_path: Path, expected: list[Copy], damage: Any, caplog: Any) -> None:
    filled(tmp_path)
    file = tmp_path / FILE
    file.write_bytes(damage(file.read_bytes()))
    bank = filled(tmp_path)
    assert "is damaged and is made again" in caplog.text
    assert found(bank) == expected and bank.nbytes[1] == 0


def test_a_disk_that_is_full_leaves_everything_in_memory(
    tmp_path: Path, expected: list[Copy], monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    bank = PointBank(map(entry, range(COUNT)), folder=tmp_path)
    assert found(bank) == expected  # begins to write
    bank._aside.wait()
    assert found(bank) == expected
    assert "could not be written; they stay in memory: [Errno 28]" in caplog.text
