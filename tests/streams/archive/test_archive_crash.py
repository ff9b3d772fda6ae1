"""Whatever happens at whatever moment: no row is lost, none is there twice."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

import schemas
from streams.archive.chain import ArchiveError, Chain
from streams.archive.columns import ARCHIVED, Row, table
from streams.archive.compact import compact
from streams.archive.query import ask
from streams.archive.store import ASIDE, Place
from streams.archive.verify import verify

from .conftest import NOW, PLACE, decision, rows

STEPS = ("written", "synced", "renamed", "chained")


class Crash(BaseException):
    """Ends a test's process, as far as the archive can tell."""


def crash_at(wanted: str, time: int = 1):
    seen = 0

    def step(name: str) -> None:
        nonlocal seen
        seen += name == wanted
        if name == wanted and seen == time:
            raise Crash

    return step


def offsets(folder: Path) -> list[int]:
    return [row[0] for row in ask(folder, "SELECT kafka_offset FROM decisions ORDER BY 1").rows]


def on_disk(folder: Path) -> int:
    """Rows of all files, whether they count or not: what a reader of the folder alone would see."""
    import pyarrow.parquet as pq

    return sum(pq.read_metadata(path).num_rows for path in folder.glob("topic=*/**/*.parquet"))


@pytest.mark.parametrize("step", STEPS)
def test_a_crash_while_writing_loses_no_row_and_doubles_none(opened, filled, step):
    with pytest.raises(Crash), opened(step=crash_at(step)) as archive:
        archive.append({PLACE: rows(30, 39), Place("decisions", 4): rows(0, 4)})
    with opened() as archive:  # what was not committed comes again, with more behind it
        archive.append({PLACE: rows(25, 44), Place("decisions", 4): rows(0, 4)})
        assert (archive.next_of(PLACE), archive.next_of(Place("decisions", 4))) == (45, 5)
    assert sorted(offsets(filled)) == sorted([*range(45), *range(5)])
    assert on_disk(filled) == 50
    assert verify(filled).faults == []


@pytest.mark.parametrize(("step", "time"), [("written", 1), ("synced", 1), ("renamed", 1), ("chained", 1),
                                            ("removed", 1), ("removed", 2)])  # fmt: skip
def test_a_crash_while_merging_leaves_the_old_files_or_the_new_one(opened, filled, step, time):
    with pytest.raises(Crash), opened(later=1, step=crash_at(step, time)) as archive:
        compact(archive)
    assert offsets(filled) == list(range(30))
    with opened(later=1) as archive:
        assert compact(archive) in (0, 3)
        assert len(archive.live) == 1
        archive.append({PLACE: rows(30, 30)})
    assert offsets(filled) == list(range(31))
    assert on_disk(filled) == 31
    assert verify(filled).faults == []


def test_what_a_crash_left_without_a_line_is_kept_aside_until_its_rows_came_again(opened, filled):
    with pytest.raises(Crash), opened(step=crash_at("renamed")) as archive:
        archive.append({PLACE: rows(30, 39)})
    with opened():
        assert [path.name for path in (filled / ASIDE).iterdir()]
    with opened() as archive:
        archive.append({PLACE: rows(30, 39)})
    with opened():
        assert not list((filled / ASIDE).iterdir())


@pytest.mark.parametrize("cut", [1, 40, 200])
def test_half_a_line_at_the_end_of_the_chain_is_cut_off_and_written_again(opened, filled, cut):
    chain = Chain(filled).path
    os.truncate(chain, chain.stat().st_size - cut)
    with opened() as archive:
        assert archive.next_of(PLACE) == 20
        archive.append({PLACE: rows(20, 29)})
    assert offsets(filled) == list(range(30))
    assert verify(filled).faults == []


KILLED = """
import sys, pathlib, datetime
sys.path.insert(0, {root!r})
from streams.archive.chain import load_key
from streams.archive.columns import Row
from streams.archive.store import Archive, Place
with Archive(pathlib.Path(sys.argv[1]), load_key(pathlib.Path(sys.argv[2]))) as archive:
    print("begun", flush=True)
    at = archive.next_of(Place("decisions", 3))
    while True:
        archive.append({{Place("decisions", 3): [Row(n, 10**12, None, b'{{"n":%d}}' % n) for n in range(at, at + 7)]}})
        at += 7
        print(at, flush=True)
"""


def test_a_process_that_is_killed_again_and_again_archives_every_row_once(tmp_path, key_file):
    folder, acknowledged = tmp_path / "archive", 0
    script = KILLED.format(root=str(Path(__file__).parents[3]))
    for lines in (1, 4, 9):
        with subprocess.Popen(
            [sys.executable, "-c", script, str(folder), str(key_file)], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout
            assert process.stdout.readline() == "begun\n"
            for _ in range(lines):
                acknowledged = int(process.stdout.readline())
            process.send_signal(signal.SIGKILL)
    found = offsets(folder)
    assert found == list(range(len(found)))
    assert len(found) >= acknowledged
    assert verify(folder).faults == []


def test_a_full_disk_counts_nothing_leaves_nothing_and_takes_it_the_next_time(opened, filled):
    full = True

    def step(name: str) -> None:
        if full and name == "written":
            raise OSError(errno.ENOSPC, "No space left on device")

    with opened(step=step) as archive:
        with pytest.raises(OSError, match="No space"):
            archive.append({PLACE: rows(30, 39)})
        assert (archive.next_of(PLACE), on_disk(filled)) == (30, 30)
        full = False
        archive.append({PLACE: rows(30, 39)})
    assert offsets(filled) == list(range(40))
    assert verify(filled).faults == []


def test_a_chain_that_cannot_be_written_takes_its_files_back(opened, filled, monkeypatch):
    real, calls = os.write, []

    def half(descriptor: int, data: memoryview) -> int:
        calls.append(descriptor)
        if len(calls) > 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, bytes(data[:50]))

    with opened() as archive:
        monkeypatch.setattr(os, "write", half)
        with pytest.raises(OSError, match="No space"):
            archive.append({PLACE: rows(30, 39)})
        monkeypatch.setattr(os, "write", real)
        assert on_disk(filled) == 30
        archive.append({PLACE: rows(30, 39)})
    assert verify(filled).faults == []


def test_one_process_at_a_time_writes(opened, filled):
    with opened(), pytest.raises(ArchiveError, match="another process"), opened():
        pass


def test_another_key_is_refused_and_one_that_others_may_read(opened, filled, key_file):
    key_file.chmod(0o644)
    with pytest.raises(ArchiveError, match="chmod 600"):
        opened()
    key_file.unlink()
    from streams.archive.chain import load_key

    load_key(key_file, create=True)
    with pytest.raises(ArchiveError, match="another key"), opened():
        pass


def test_senders_clocks_put_no_row_into_the_future_and_scatter_none(opened, tmp_path):
    late, early = NOW - timedelta(days=1), NOW + timedelta(days=400)
    mixed = [rows(n, n, at)[0] for n, at in enumerate((late, NOW, late, NOW, early, late))]
    with opened() as archive:
        archive.append({PLACE: mixed})
        assert [(one["day"], one["rows"]) for one in archive.live.values()] == [("2026-02-28", 1), ("2026-03-01", 5)]


@pytest.mark.parametrize("topic", [topic.name for topic in ARCHIVED])
def test_the_example_of_every_topic_fills_its_typed_columns(topic):
    value = (Path(schemas.__file__).parent / "json" / f"{topic}.example.json").read_bytes()
    (row,) = table(topic, 0, [Row(0, 0, None, value)], b"seed")[0].to_pylist()
    said = msgspec.json.decode(value)
    assert (row["fault"], row["unknown"]) == (None, None)
    if topic == "policies":
        assert (row["policy"], row["policy_version"]) == (said["name"], said["version"])
    for name in ("agent", "action", "publisher_id", "content_id", "state", "outcome", "order_id"):
        if name in said:
            assert row[name] == said[name]
    assert row["level"] == (str(said["level"]) if "level" in said else None)


def test_what_is_not_what_its_topic_promises_is_kept_and_stops_nothing(opened, tmp_path):
    odd = [b"\xff\xfe", b"[1]", b'{"agent": 7}', None, b"{}", b'{"a":1,"a":2}', b"[" * 5000, decision(7),
           decision(8)[:-1] + b',"mood":{"x":1}}']  # fmt: skip
    with opened() as archive:
        archive.append({PLACE: [type(rows(0, 0)[0])(n, 0, None, value) for n, value in enumerate(odd)]})
    folder = tmp_path / "archive"
    found = ask(folder, "SELECT value, fault IS NULL, unknown FROM decisions ORDER BY kafka_offset").rows
    assert [row[0] for row in found] == odd
    assert [row[1] for row in found] == [False, False, False, True, True, True, False, True, True]
    assert found[8][2] == '{"mood":{"x":1}}'
    assert verify(folder).faults == []
