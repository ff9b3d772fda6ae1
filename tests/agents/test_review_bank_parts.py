"""Whatever is added, removed, merged, shared and damaged: the bank holds what the topic says, and finds all of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from agents.review import bank as bank_module
from agents.review import bank_file, bank_merging, bank_parts, mapped_file, multihash
from agents.review.bank import FILE, HashBank, Told
from schemas.bank import BankFrame, HashEntry
from schemas.message import decode, encode
from schemas.signals import FrameHash, SoundPrint

NOW = datetime(2026, 11, 1, tzinfo=UTC)
RANDOM = np.random.default_rng(5)
#: Hashes that entries are made of: pairs of them are near each other or not.
CODES = [code.tobytes().hex() for code in RANDOM.integers(0, 256, (12, 32), np.uint8)]
CODES += [f"{int(code, 16) ^ 0xFFFFF << 40:064x}" for code in CODES]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is merged after a few frames."""
    monkeypatch.setattr(bank_module, "TAIL_ROWS", 6)
    monkeypatch.setattr(bank_module, "BASE_ROWS", 12)
    monkeypatch.setattr(bank_module, "LOOK_S", 0.0)
    monkeypatch.setattr(bank_module, "READ_S", 0.0)
    monkeypatch.setattr(bank_parts, "RUN", 3)
    monkeypatch.setattr(multihash, "CHUNKS", ((0, 32),))  # tables of 256 starts instead of 65,536
    monkeypatch.setattr(bank_merging, "NICER", 0)


def entry(entry_id: str, codes: list[int], **fields: Any) -> HashEntry:
    frames = tuple(
        BankFrame(pdq=CODES[code], quality=50 + code, at_s=at / 3, variant="mirror" if code % 3 else "")
        for at, code in enumerate(codes)
    )
    fields = {"sha256": f"{codes[0]:064x}" if codes else "ee" * 32} | fields
    return HashEntry(entry_id=entry_id, category="banned", source="test", added_at=NOW, frames=frames, **fields)


entries = st.builds(
    entry,
    st.sampled_from([f"id-{number}" for number in range(9)]),
    st.lists(st.integers(0, len(CODES) - 1), max_size=5),
    active=st.booleans(),
    kind=st.sampled_from(["banned", "known_good"]),
    expires_at=st.sampled_from([None, NOW - timedelta(seconds=1), NOW + timedelta(seconds=1)]),
    tags=st.sampled_from([(), ("one", "two")]),
    sounds=st.sampled_from([(), (SoundPrint(at_s=0.0, until_s=9.0, codes=b"12345678"),)]),
    duration_s=st.sampled_from([None, 1.5]),
)


class Changes(RuleBasedStateMachine):
    """A bank, or two that share a folder, beside a dict that says what each of them must hold."""

    folder: Path | None = None

    @initialize()
    def begin(self) -> None:
        if self.folder:
            for file in self.folder.iterdir():
                file.unlink()
        self.banks = [HashBank(folder=self.folder) for _ in range(2 if self.folder else 1)]
        self.truths: list[dict[str, HashEntry]] = [{} for _ in self.banks]

    @rule(entry=entries, which=st.integers(0, 1), both=st.booleans())
    def put(self, entry: HashEntry, which: int, both: bool) -> None:
        for number, (bank, truth) in enumerate(zip(self.banks, self.truths, strict=True)):
            if both or number == which % len(self.banks):
                bank[entry.entry_id] = truth[entry.entry_id] = entry

    @rule(name=st.integers(0, 8), which=st.integers(0, 1))
    def remove(self, name: int, which: int) -> None:
        bank, truth = self.banks[which % len(self.banks)], self.truths[which % len(self.banks)]
        assert bank.pop(f"id-{name}", None) == truth.pop(f"id-{name}", None)

    @rule(which=st.integers(0, 1))
    def settle(self, which: int) -> None:
        self.banks[which % len(self.banks)].settle()

    @rule(which=st.integers(0, 1))
    def start_anew(self, which: int) -> None:
        """As after a restart: the file is there, and the topic is read from its beginning."""
        number = which % len(self.banks)
        self.banks[number].close()
        self.banks[number] = HashBank(folder=self.folder)
        assert len(self.banks[number]) == 0
        for name, row in self.truths[number].items():
            self.banks[number][name] = row

    @rule(name=st.integers(0, 8), which=st.integers(0, 1))
    def look(self, name: int, which: int) -> None:
        bank, truth = self.banks[which % len(self.banks)], self.truths[which % len(self.banks)]
        assert (f"id-{name}" in bank) == (f"id-{name}" in truth)
        assert bank.get(f"id-{name}") == truth.get(f"id-{name}")

    @invariant()
    def all_is_found(self) -> None:
        queries = [FrameHash(at_s=float(at), pdq=code, quality=100) for at, code in enumerate(CODES)]
        for bank, truth in zip(self.banks, self.truths, strict=True):
            assert len(bank) == len(truth)
            assert bank.frames == sum(len(row.frames) for row in truth.values())
            found = bank.match(queries, max_distance=20, min_quality=60, now=NOW)
            told = sorted(
                (match.at_s, match.entry_id, match.bank_at_s, match.distance, match.variant) for match in found
            )
            assert told == sorted(
                (query.at_s, row.entry_id, frame.at_s, apart, frame.variant)
                for query in queries
                for row in truth.values()
                if row.active and (row.expires_at is None or row.expires_at > NOW)
                for frame in row.frames
                if frame.quality >= 60 and (apart := (int(query.pdq, 16) ^ int(frame.pdq, 16)).bit_count()) <= 20
            )
            for sha256 in (f"{3:064x}", "ee" * 32):
                assert {row.entry_id for row in bank.same_file(sha256, now=NOW)} == {
                    row.entry_id
                    for row in truth.values()
                    if row.sha256 == sha256 and row.active and (row.expires_at is None or row.expires_at > NOW)
                }

    def teardown(self) -> None:
        for bank, truth in zip(getattr(self, "banks", ()), getattr(self, "truths", ()), strict=True):
            bank.settle()
            assert dict(bank) == truth
            bank.close()


CHECKS = settings(
    max_examples=40, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow],
)  # fmt: skip


def test_a_bank_in_memory_holds_and_finds_what_it_was_told(small: None) -> None:
    run_state_machine_as_test(Changes, settings=CHECKS)  # type: ignore[no-untyped-call]


def test_banks_that_share_a_folder_hold_and_find_each_what_it_was_told(small: None, tmp_path: Path) -> None:
    shared = type("Shared", (Changes,), {"folder": tmp_path})
    run_state_machine_as_test(shared, settings=CHECKS)


def many(count: int, salt: int = 0) -> list[HashEntry]:
    random = np.random.default_rng(salt)
    return [
        HashEntry(
            entry_id=f"many-{salt}-{number}", category="banned", source="test", added_at=NOW,
            frames=tuple(
                BankFrame(pdq=code.tobytes().hex(), quality=100, at_s=float(at))
                for at, code in enumerate(random.integers(0, 256, (50, 32), np.uint8))
            ),
        )
        for number in range(count)
    ]  # fmt: skip


def filled(folder: Path | None, rows: list[HashEntry], told: Told | None = None) -> HashBank:
    bank = HashBank(folder=folder, told=told)
    for row in rows:
        bank[row.entry_id] = row
    bank.settle()
    return bank


def finds(bank: HashBank, row: HashEntry) -> bool:
    frames = [FrameHash(at_s=frame.at_s, pdq=frame.pdq, quality=100) for frame in row.frames]
    matches = bank.match(frames, max_distance=0, min_quality=50)
    return {(match.entry_id, match.at_s, match.bank_at_s) for match in matches} == {
        (row.entry_id, frame.at_s, frame.at_s) for frame in row.frames
    }


class Heard(Told):
    """What a bank tells."""

    def __init__(self) -> None:
        self.kinds: list[str] = []
        self.damaged = 0

    def merged(self, kind: str, seconds: float) -> None:
        self.kinds.append(kind)

    def refused(self) -> None:
        self.damaged += 1


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file is written for a thousand frames."""
    monkeypatch.setattr(bank_module, "BASE_ROWS", 1000)
    monkeypatch.setattr(bank_module, "LOOK_S", 0.0)
    monkeypatch.setattr(bank_merging, "NICER", 0)


def test_a_worker_that_starts_takes_up_what_another_has_written_and_keeps_nothing_itself(
    eager: None, tmp_path: Path
) -> None:
    rows = many(60)
    first = filled(tmp_path, rows)
    second = HashBank(folder=tmp_path)
    assert not finds(second, rows[3]), "nothing is in force before the topic says so"
    for row in rows:
        second[row.entry_id] = row
    assert finds(second, rows[3]) and finds(first, rows[3])
    shared, own = second.nbytes
    assert shared > 60 * 50 * 32 and own < shared / 10


def test_what_one_worker_writes_the_other_takes_up_while_it_runs(eager: None, tmp_path: Path) -> None:
    heard = Heard()
    rows = many(60)
    late = filled(tmp_path, [], heard)
    for row in rows[:10]:
        late[row.entry_id] = row
    filled(tmp_path, rows)
    late.settle()
    assert heard.kinds == ["read"]
    for row in rows[10:]:
        late[row.entry_id] = row
    assert len(late) == 60 and finds(late, rows[0]) and finds(late, rows[59])
    assert late.nbytes[1] < late.nbytes[0] / 10


def test_another_pipelines_file_is_no_harm(eager: None, tmp_path: Path) -> None:
    ours, theirs = many(60, 1), many(60, 2)
    one, other = filled(tmp_path, ours), filled(tmp_path, theirs)
    for bank in (one, other):
        bank.settle()
    assert finds(one, ours[7]) and finds(other, theirs[7])
    assert not finds(one, theirs[7]) and len(one) == len(other) == 60


def flip(file: Path, at: int) -> None:
    data = bytearray(file.read_bytes())
    data[at % len(data)] ^= 0x10
    # As a damaged disk would, under the same name.
    file.write_bytes(data)


@pytest.mark.parametrize(
    "damage",
    [
        lambda file: file.write_bytes(b""),
        lambda file: file.write_bytes(file.read_bytes()[: mapped_file.HEAD - 1]),
        lambda file: file.write_bytes(file.read_bytes()[:-1]),
        lambda file: file.write_bytes(bytes(8) + file.read_bytes()[8:]),
        lambda file: file.write_bytes(b"VSHASHB0" + file.read_bytes()[8:]),
        lambda file: file.write_bytes(os.urandom(file.stat().st_size)),
        lambda file: flip(file, 20),
        lambda file: flip(file, mapped_file.HEAD + 5),
        lambda file: flip(file, -5),
    ],
    ids=["empty", "short", "cut", "not ended", "other version", "noise", "head", "first array", "last array"],
)
def test_a_damaged_file_is_told_and_written_again(damage, eager: None, tmp_path: Path, caplog) -> None:
    rows = many(40)
    filled(tmp_path, rows).close()
    damage(tmp_path / FILE)
    heard = Heard()
    bank = filled(tmp_path, rows, heard)
    assert (heard.damaged, heard.kinds.count("base") > 0) == (1, True)
    assert "is damaged and is made again" in caplog.text
    assert finds(bank, rows[39])
    assert bank_file.opened(tmp_path / FILE).rows >= 1000


def test_every_byte_of_a_file_is_covered(eager: None, tmp_path: Path) -> None:
    filled(tmp_path, many(30))
    whole = (tmp_path / FILE).read_bytes()
    described = bank_file.opened(tmp_path / FILE)
    random, refused = np.random.default_rng(2), 0
    for at in random.integers(0, len(whole), 40).tolist():
        (tmp_path / "other").write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        try:
            same = bank_file.opened(tmp_path / "other")
        except mapped_file.Damaged:
            refused += 1
        else:  # between two arrays, or in the rest of the head
            assert all((same.arrays[name] == array).all() for name, array in described.arrays.items())
    assert refused > 20


def test_a_full_disk_leaves_the_bank_as_it_is(eager: None, tmp_path: Path, monkeypatch, caplog) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    rows = many(40)
    bank = filled(tmp_path, rows)
    assert "could not be merged" in caplog.text and "No space left" in caplog.text
    assert finds(bank, rows[0]) and finds(bank, rows[39])
    assert [file.name for file in tmp_path.iterdir()] == [f"{FILE}.lock"]


WRITER = """
import sys, time
from pathlib import Path
from agents.review import bank, bank_file, bank_merging
from schemas.bank import HashEntry
from schemas.message import decode
bank.BASE_ROWS, bank.LOOK_S, bank_merging.NICER = 1000, 0.0, 0
def slow(path, merge, ended):
    path.write_bytes(bank_file.MAGIC)
    print("writing", flush=True)
    time.sleep(60)
if sys.argv[3] == "slow":
    bank_file._write = slow
made = bank.HashBank(folder=Path(sys.argv[1]))
for line in Path(sys.argv[2]).read_bytes().splitlines():
    row = decode(HashEntry, line)
    made[row.entry_id] = row
made.settle()
print(len(made), *made.nbytes, flush=True)
"""


def started(folder: Path, rows: list[HashEntry], how: str) -> subprocess.Popen[str]:
    lines = folder.with_suffix(".jsonl")
    lines.write_bytes(b"\n".join(map(encode, rows)))
    assert decode(HashEntry, lines.read_bytes().splitlines()[0]) == rows[0]
    command = [sys.executable, "-c", WRITER, str(folder), str(lines), how]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_a_worker_that_is_killed_while_it_writes_leaves_no_trace(eager: None, tmp_path: Path, caplog) -> None:
    folder, rows = tmp_path / "bank", many(40)
    before = filled(folder, many(30, 9))
    writer = started(folder, rows, "slow")
    try:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "writing\n"
        waiting = HashBank(folder=folder)  # while the other writes, this one does without
        for row in rows:
            waiting[row.entry_id] = row
        waiting.settle()
        assert finds(waiting, rows[39]) and list(folder.glob("*.part"))
    finally:
        writer.send_signal(signal.SIGKILL)
        writer.wait()
    assert bank_file.opened(folder / FILE).rows >= 1000, "the former file is whole"
    waiting.settle()
    assert "was left half-written by a worker that died" in caplog.text
    assert not list(folder.glob("*.part"))
    assert finds(waiting, rows[0]) and finds(before, many(30, 9)[0])


def test_a_process_maps_what_another_has_written(eager: None, tmp_path: Path) -> None:
    folder, rows = tmp_path / "bank", many(60)
    filled(folder, rows).close()
    stamp = (folder / FILE).stat().st_mtime_ns
    other = started(folder, rows, "fast")
    out, _ = other.communicate(timeout=60)
    held, shared, own = map(int, out.split())
    assert held == 60 and own < shared / 10
    assert (folder / FILE).stat().st_mtime_ns == stamp, "it was not written again"


def test_lookups_go_on_and_find_all_while_a_merge_is_under_way(eager: None, tmp_path: Path, monkeypatch) -> None:
    going = threading.Event()

    def held_up(*given: Any) -> Any:
        assert going.wait(20)
        return bank_file.written(*given)

    monkeypatch.setattr(bank_merging, "written", held_up)
    rows = many(41)
    bank = HashBank(folder=tmp_path)
    for row in rows[:30]:
        bank[row.entry_id] = row
    assert finds(bank, rows[0]) and not (tmp_path / FILE).exists()
    del bank[rows[1].entry_id]
    bank[rows[2].entry_id] = changed = HashEntry(
        entry_id=rows[2].entry_id, category="other", source="test", added_at=NOW, frames=rows[40].frames
    )
    bank[rows[30].entry_id] = rows[30]
    bank[rows[3].entry_id] = rows[3]
    for _ in range(2):  # while it is under way, and after it
        assert finds(bank, rows[0]) and finds(bank, rows[30]) and finds(bank, changed) and finds(bank, rows[3])
        assert not finds(bank, rows[1]) and not finds(bank, rows[2])
        assert len(bank) == 30
        going.set()
        bank.settle()
    assert bank.nbytes[0] > 0


def test_a_merge_does_not_keep_a_process_from_ending(eager: None, tmp_path: Path) -> None:
    folder = tmp_path / "bank"
    writer = started(folder, many(40), "slow")
    assert writer.stdout is not None
    assert writer.stdout.readline() == "writing\n"
    begun = time.monotonic()
    writer.send_signal(signal.SIGINT)
    writer.wait(timeout=20)
    assert time.monotonic() - begun < 10
