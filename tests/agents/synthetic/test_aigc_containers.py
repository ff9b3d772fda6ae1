import io
import json
import struct

import av
import pytest

from schemas.aigc import AigcCheck, Outcome, aigc_object, check_aigc

OBJECT = aigc_object("1", "001191440300708461136T1XGW3", "a-1")
FIELDS = json.loads(OBJECT)["AIGC"]


def written(container: str, codec: str, options: dict[str, str], text: str = OBJECT) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format=container, options=options) as output:
        output.metadata["AIGC"] = text
        stream = output.add_stream(codec, rate=25 if codec in ("mpeg4", "libvpx", "flv") else 48_000)
        if isinstance(stream, av.VideoStream):
            stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
            frame = av.VideoFrame(64, 64, "yuv420p")
        else:
            frame = av.AudioFrame("s16", "mono", 4096)
            frame.sample_rate = 48_000
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        frame.pts = 0
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return file.getvalue()


def read(file: bytes) -> AigcCheck:
    # As PyAV's default raises on metadata that is not UTF-8, a reader has to ask for the errors to be kept.
    with av.open(io.BytesIO(file), metadata_errors="surrogateescape") as container:
        return check_aigc({**container.metadata, **container.streams[0].metadata})


TAGS = {"movflags": "use_metadata_tags"}
FRAGMENTS = {"movflags": "use_metadata_tags+frag_keyframe+empty_moov"}


@pytest.mark.parametrize(
    ("container", "codec", "options"),
    [
        ("mp4", "mpeg4", TAGS),
        ("mp4", "mpeg4", FRAGMENTS),
        ("mov", "mpeg4", TAGS),
        ("ipod", "aac", TAGS),
        ("matroska", "mpeg4", {}),
        ("webm", "libvpx", {}),
        ("flv", "flv", {}),
        ("mp3", "libmp3lame", {}),
        ("flac", "flac", {}),
        ("ogg", "libopus", {}),  # given on the stream
    ],
)
def test_a_label_written_with_ffmpeg_is_read_back(container, codec, options):
    result = read(written(container, codec, options))
    assert result.outcome is Outcome.COMPLIANT
    assert result.fields == FIELDS


@pytest.mark.parametrize(("container", "codec"), [("mp4", "mpeg4"), ("wav", "pcm_s16le"), ("avi", "mpeg4")])
def test_ffmpeg_drops_a_label_in_silence_so_it_has_to_be_read_back(container, codec):
    assert read(written(container, codec, {})).outcome is Outcome.NOT_FOUND


@pytest.mark.parametrize(("container", "codec"), [("wav", "pcm_s16le"), ("avi", "mpeg4")])
def test_a_riff_info_child_is_read_though_ffmpeg_writes_none(container, codec):
    text = OBJECT.encode() + b"\0" * (len(OBJECT) % 2)
    info = b"LIST" + struct.pack("<I", len(text) + 12) + b"INFOAIGC" + struct.pack("<I", len(OBJECT)) + text
    plain = written(container, codec, {})
    at = 12 if container == "wav" else 20 + int.from_bytes(plain[16:20], "little")
    file = plain[:at] + info + plain[at:]
    assert read(file[:4] + struct.pack("<I", len(file) - 8) + file[8:]).outcome is Outcome.COMPLIANT


def flac(*comments: bytes) -> bytes:
    plain = written("flac", "flac", {})
    body = struct.pack("<II", 0, len(comments))
    body += b"".join(struct.pack("<I", len(comment)) + comment for comment in comments)
    blocks = b"\0" + plain[5:42] + b"\x84" + len(body).to_bytes(3, "big") + body
    return b"fLaC" + blocks + plain[plain.index(b"\xff\xf8") :]


def test_two_vorbis_comments_which_ffmpeg_joins_break_one_label_a_file():
    result = read(flac(b"AIGC=" + OBJECT.encode(), b"AIGC=" + OBJECT.encode()))
    assert result.outcome is Outcome.NON_COMPLIANT
    assert result.faults == ("AIGC has text after the JSON value: one label a file",)
    assert result.fields == FIELDS


def test_a_comment_that_is_no_utf8_is_inconclusive():
    assert read(flac(b'AIGC={"AIGC":\xff}')).outcome is Outcome.INCONCLUSIVE
