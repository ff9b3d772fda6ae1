"""Subtitles and titles of chapters are read with the item, and sent with its signals."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.review.blank import BlankDetector
from streams.extraction.limits import Limits
from streams.extraction.media import opened
from streams.extraction.pool import Pool
from streams.extraction.read import read
from streams.extraction.stretches import merged
from streams.extraction.subtitles import MOST_LINES, READERS, Subtitles
from streams.settings import load

LIMITS = Limits(sample_interval_s=1.0, max_pixels=1 << 22, max_duration_s=60.0)
TITLES = ((0, 2000, "第一章"), (2000, 4000, "枪支出售"))


class Bytes:
    """A file in memory."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def open(self, mode: str = "rb") -> io.BytesIO:
        return io.BytesIO(self._data)


@pytest.fixture(scope="session")
def subtitled() -> bytes:
    """Four seconds of grey with two lines of subtitles (ASS in Matroska) and two chapters."""
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as output:
        video = output.add_stream("mpeg4", rate=10)
        video.width = video.height = 64
        video.pix_fmt = "yuv420p"
        lines = output.add_stream("ass")
        lines.metadata["language"] = "chi"
        output.set_chapters(
            [
                {"id": number, "start": begin, "end": end, "time_base": Fraction(1, 1000), "metadata": {"title": title}}
                for number, (begin, end, title) in enumerate(TITLES)
            ]
        )
        said = {5: r"0,0,Default,,0,0,0,,{\i1}你好，\N世界", 35: "1,0,Default,,0,0,0,,再见"}
        for number in range(40):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 90, np.uint8), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 10)
            output.mux(video.encode(frame))
            if number in said:
                packet = av.Packet(said[number].encode())
                packet.stream, packet.time_base = lines, Fraction(1, 1000)
                packet.pts = packet.dts = number * 100
                packet.duration = 400
                output.mux(packet)
        output.mux(video.encode(None))
    return file.getvalue()


def told(texts):
    return [(one.kind, one.at_s, one.until_s, one.text) for one in texts]


ALL = [
    ("chapter", 0.0, 2.0, "第一章"),
    ("subtitles", 0.5, 0.9, "你好， 世界"),
    ("chapter", 2.0, 4.0, "枪支出售"),
    ("subtitles", 3.5, 3.9, "再见"),
]


def test_subtitles_and_chapters_come_with_the_reading(subtitled):
    reading = read(Bytes(subtitled), [], LIMITS)
    assert told(reading.texts) == ALL
    assert [one.language for one in reading.texts if one.kind == "subtitles"] == ["chi", "chi"]
    assert reading.absent == ()


def test_stretches_together_hold_each_line_once(subtitled):
    parts = [read(Bytes(subtitled), [], LIMITS, None, stretch) for stretch in ((0.0, 2.0), (2.0, float("inf")))]
    assert [len(part.texts) for part in parts] == [2, 2]
    assert told(merged(parts, []).texts) == ALL


async def test_a_confined_process_reads_them_as_well(subtitled: bytes, tmp_path: Path) -> None:
    path = tmp_path / "subtitled.mkv"
    path.write_bytes(subtitled)
    pool = Pool(load(extract_workers=1), [BlankDetector])
    try:
        reading = await pool.read(path)
    finally:
        await pool.close()
    assert told(reading.texts) == ALL
    assert reading.absent == ()


def container(*chapters):
    titles = [
        {"start": at, "end": at + 1, "time_base": Fraction(1), "metadata": {"title": one}} for at, one in chapters
    ]
    return SimpleNamespace(streams=SimpleNamespace(subtitles=[]), chapters=lambda: titles)


def test_a_file_with_more_than_there_is_room_for_is_said_to_have_been_read_in_part():
    found = Subtitles(container(*((at, f"title {at}") for at in range(MOST_LINES + 7))), 0.0, (0.0, float("inf")))
    assert len(found.found()) == MOST_LINES
    assert found.absent() == ("subtitles: 7 lines did not fit into the message",)


def test_what_is_no_text_is_made_fit_to_send_and_what_is_said_twice_comes_once():
    found = Subtitles(container((1, "a\udcffb"), (1, "a\udcffb"), (2, " \n ")), 0.0, (0.0, float("inf")))
    assert told(found.found()) == [("chapter", 1.0, 2.0, "a?b")]


@pytest.mark.parametrize(
    ("codec", "payload", "text"),
    [
        ("subrip", "<i>你好</i> <font color='red'>世界</font>".encode(), "你好 世界"),
        ("mov_text", b"\x00\x06" + "你好".encode() + b"\x00\x00\x00\x0cstyl\x00\x00\x00\x00", "你好"),
        ("mov_text", b"\x00\x00", ""),
        ("webvtt", b"<v Bob>hi</v>", "hi"),
        ("ass", rb"0,0,Default,,0,0,0,,{\pos(1,2)}a, b", "a, b"),
        ("ass", b"0,0,Default", ""),
    ],
)
def test_a_packet_of_each_codec_is_read_without_a_decoder(codec, payload, text):
    assert READERS[codec](payload) == text


@given(st.sampled_from(sorted(READERS)), st.binary(max_size=200))
def test_no_packet_is_too_odd(codec, payload):
    READERS[codec](payload).encode()


def test_subtitles_do_not_count_as_something_to_see_or_hear(subtitled):
    with opened(Bytes(subtitled)) as found:
        assert [stream.type for stream in found.streams] == ["video", "subtitle"]
