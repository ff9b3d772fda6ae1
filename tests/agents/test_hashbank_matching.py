"""What a file meets in a list, and where, on the command line without a broker."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import av
import msgspec
import numpy as np
import pytest
from typer.testing import CliRunner

from agents.review import cards
from agents.review.commands import hashbank
from agents.review.enrol import entry_from_file
from schemas.message import encode
from tests.agents.conftest import picture

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
FPS = 4


def video(path, pictures, seconds_each=2):
    """A clip of stills, each shown for so long."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=FPS, options={"crf": "23", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 512, 288, "yuv420p"
        for each in pictures:
            for _ in range(FPS * seconds_each):
                out.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(each), format="rgb24")))
        out.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A banned clip that begins with bars, a copy of a part of it in other footage, and footage with bars alone."""
    folder = tmp_path_factory.mktemp("matching")
    bars, banned, other = cards.smpte(512, 288), [picture(31), picture(32)], [picture(33), picture(34)]
    clip = video(folder / "banned.mp4", [bars, *banned])
    video(folder / "copy.mp4", [other[0], *banned, other[1]])
    video(folder / "bars.mp4", [bars, *other])
    video(folder / "other.mp4", other)
    entry = entry_from_file(clip, entry_id="b-1", category="court order", source="test", now=NOW)
    (folder / "list.jsonl").write_bytes(encode(entry) + b"\n")
    (folder / "low.jsonl").write_bytes(encode(msgspec.structs.replace(entry, severity="low")) + b"\nbroken\n")
    (folder / "off.jsonl").write_bytes(encode(msgspec.structs.replace(entry, active=False)) + b"\n")
    good = msgspec.structs.replace(entry, entry_id="g-1", kind="known_good")
    (folder / "both.jsonl").write_bytes(encode(entry) + b"\n" + encode(good) + b"\n")
    return folder


def matched(folder, name, listed="list.jsonl", *arguments):
    arguments = ["match", str(folder / name), "--list", str(folder / listed), "--json", *arguments]
    done = CliRunner().invoke(hashbank, arguments)
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return done.exit_code, rows


def by(rows, kind):
    return [row for row in rows if row["by"] == kind]


def test_the_same_file_is_met_as_such_and_by_its_frames(folder):
    code, rows = matched(folder, "banned.mp4")
    assert code == 4
    assert [row["entry_id"] for row in by(rows, "file")] == ["b-1"]
    assert any(row["aside"] == "" for row in by(rows, "frames"))


def test_a_copied_part_is_met_where_it_stands_in_the_file_and_in_the_entry(folder):
    code, rows = matched(folder, "copy.mp4", "list.jsonl", "--every", "0.25")
    (met, *_) = by(rows, "frames")
    assert (code, met["action"], met["aside"]) == (4, "takedown", "")
    assert met["begin_s"] == pytest.approx(2.0, abs=0.3) and 4.0 <= met["end_s"] <= 6.0
    assert met["bank_begin_s"] == pytest.approx(2.0, abs=0.3)


def test_bars_that_a_banned_clip_begins_with_are_met_and_do_not_count(folder):
    code, rows = matched(folder, "bars.mp4")
    assert code == 0
    assert by(rows, "frames")
    assert all("colour bars" in row["aside"] for row in by(rows, "frames"))


def test_other_footage_meets_nothing(folder):
    assert matched(folder, "other.mp4") == (0, [])


def test_the_exit_code_says_what_would_follow(folder):
    assert matched(folder, "banned.mp4", "low.jsonl")[0] == 3
    assert matched(folder, "banned.mp4", "off.jsonl") == (0, [])


def test_what_is_known_good_as_a_file_does_not_count_whatever_is_banned(folder):
    code, rows = matched(folder, "banned.mp4", "both.jsonl")
    assert code == 0
    assert rows and all(row["aside"] for row in rows)


def test_a_file_that_is_no_media_is_said_to_be_none(folder):
    path = folder / "no.mp4"
    path.write_bytes(b"no media")
    assert matched(folder, "no.mp4") == (1, [])
