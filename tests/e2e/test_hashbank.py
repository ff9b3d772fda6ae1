"""A partner's list, from its import to a false match that is switched off and stays off, on the command line."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import av
import numpy as np
from commands import command
from processes import until
from test_live_changes import register, verdict_on

from agents.review.enrol import entry_from_file
from agents.review.exchange.writing import WRITERS


def hashbank(running, *arguments):
    settings = running.settings
    return command({"broker": settings.broker, "topic_prefix": settings.topic_prefix}, "hashbank", *map(str, arguments))


def rows(running) -> float:
    return running.metric('veristream_state_rows{topic="hashbank"}')


def listed(path: Path, media: Path) -> Path:
    """A list as another platform would send it, with a line that is wrong."""
    entry = entry_from_file(media, entry_id="x", category="x", source="x", now=datetime.now(UTC))
    lines = [*WRITERS["signals"].lines(entry, Counter()), b"pdq 123\n"]
    path.write_bytes(b"".join(lines))
    return path


async def test_an_imported_list_blocks_until_its_entries_are_deconfirmed_and_stays_off_when_it_comes_again(
    pipeline, media, tmp_path
):
    register(pipeline, "reposter")
    before = rows(pipeline)
    path = listed(tmp_path / "partner.txt", media.feature)
    report = tmp_path / "refused.jsonl"
    arguments = ("import", path, "--source", "partner", "--tag", "q1", "--report", report, "--json")
    done = hashbank(pipeline, *arguments)
    assert done.returncode == 6, done.stderr
    assert json.loads(done.stdout)["loaded"] == 2
    assert json.loads(report.read_text()) == {
        "line": 3, "field": "signal", "reason": "a PDQ hash has 64 hexadecimal digits, this has 3",
    }  # fmt: skip
    until(lambda: rows(pipeline) == before + 2, "the entries were not read", 20)

    met = hashbank(pipeline, "match", media.feature, "--source", "partner", "--json")
    assert met.returncode == 4, met.stderr
    assert {json.loads(line)["by"] for line in met.stdout.splitlines()} == {"file", "frames"}
    verdict = await verdict_on(pipeline, media.feature, "reposter")
    assert (verdict.verdict, verdict.reasons[0].code) == ("block", "REVIEW-HASH")

    shown = hashbank(pipeline, "list", "--source", "partner", "--json")
    entries = [json.loads(line)["entry_id"] for line in shown.stdout.splitlines()]
    assert len(entries) == 2
    done = hashbank(pipeline, "deconfirm", *entries, "--reviewer", "li", "--reason", "a licensed trailer")
    assert done.returncode == 0, done.stderr
    # The topic has one order: once what was sent last is read, so is what was sent before it.
    done = hashbank(pipeline, "add", media.sound, "--kind", "known_good", "--bank", "intros", "--source", "marker")
    assert done.returncode == 0, done.stderr
    until(lambda: rows(pipeline) == before + 3, "the marker was not read", 20)
    assert (await verdict_on(pipeline, media.feature, "reposter")).verdict == "publish"

    done = hashbank(pipeline, *arguments)
    assert (done.returncode, json.loads(done.stdout)["kept"]) == (6, 2)
    exported = tmp_path / "ours.jsonl"
    done = hashbank(pipeline, "export", exported, "--source", "partner")
    assert done.returncode == 0 and "2 entries" in done.stderr
    found = [json.loads(line) for line in exported.read_text().splitlines()]
    assert [row["active"] for row in found] == [False, False]
    assert all("by li" in row["note"] and row["note"].endswith("a licensed trailer") for row in found)

    done = hashbank(pipeline, "remove", "--source", "partner", "--source", "marker")
    assert (done.returncode, done.stdout.strip()) == (0, "3 entries removed")
    until(lambda: rows(pipeline) == before, "the entries were not deleted", 20)


def mirrored_and_cropped(source: Path, target: Path) -> Path:
    """What people do to a clip so that it is not known again: turned left to right, a tenth of each side cut off."""
    with av.open(str(source)) as original, av.open(str(target), "w") as output:
        pictures = original.streams.video[0]
        stream = output.add_stream("libx264", rate=pictures.average_rate, options={"preset": "ultrafast", "crf": "26"})
        stream.pix_fmt = "yuv420p"
        high, wide = pictures.height // 20 * 2, pictures.width // 20 * 2
        stream.height, stream.width = pictures.height - 2 * high, pictures.width - 2 * wide
        for frame in original.decode(pictures):
            rgb = frame.to_ndarray(format="rgb24")[high:-high, wide:-wide]
            turned = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb[:, ::-1]), "rgb24")
            turned.pts, turned.time_base = frame.pts, frame.time_base
            output.mux(stream.encode(turned))
        output.mux(stream.encode(None))
    return target


async def test_a_mirrored_and_cropped_copy_passes_until_its_original_is_banned(pipeline, media, tmp_path):
    register(pipeline, "mirrorer")
    copy = mirrored_and_cropped(media.feature, tmp_path / "copy.mp4")
    assert (await verdict_on(pipeline, copy, "mirrorer")).verdict == "publish"
    before = rows(pipeline)
    done = hashbank(pipeline, "add", media.feature, "--source", "copies")
    assert done.returncode == 0, done.stderr
    until(lambda: rows(pipeline) == before + 1, "the entry was not read", 20)
    verdict = await verdict_on(pipeline, copy, "mirrorer")
    assert verdict.verdict in ("block", "hold")
    assert verdict.reasons[0].code.startswith("REVIEW-")
    assert hashbank(pipeline, "remove", "--source", "copies").returncode == 0
    until(lambda: rows(pipeline) == before, "the entry stayed", 20)
    assert (await verdict_on(pipeline, copy, "mirrorer")).verdict == "publish"
