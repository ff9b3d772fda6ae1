"""Media reaches the decoders that are listed, and no others."""

from __future__ import annotations

import io
from pathlib import Path

import av
import pytest
from clips import clip

from streams.extraction.codecs import DECODERS
from streams.extraction.limits import ExtractFailure
from streams.extraction.media import opened

#: Codes in an avi → decoders that FFmpeg would use for them.
FORGOTTEN = {b"cvid": "cinepak", b"IV50": "indeo5", b"TSCC": "camtasia", b"RT21": "indeo2", b"8BPS": "8bps"}


@pytest.mark.parametrize("code", FORGOTTEN)
def test_a_forgotten_codec_is_refused_before_its_decoder_runs(code: bytes, tmp_path: Path) -> None:
    data = clip(tmp_path / "a.avi", video="mpeg4", audio=None, seconds=1).read_bytes()
    assert data.count(b"FMP4") == 2
    path = tmp_path / "b.avi"
    path.write_bytes(data.replace(b"FMP4", code))
    with av.open(io.BytesIO(path.read_bytes())) as container:
        assert container.streams.video[0].codec_context.name == FORGOTTEN[code]
    with pytest.raises(ExtractFailure) as caught, opened(path):
        pass
    assert caught.value.code == "EXTRACT-FORMAT"
    assert FORGOTTEN[code] in caught.value.text


@pytest.mark.parametrize(
    "codec", ["h264", "hevc", "vp8", "vp9", "av1", "mpeg4", "aac", "mp3", "opus", "vorbis", "flac"]
)
def test_what_ingest_tiers_send_is_on_the_list(codec: str) -> None:
    assert codec in DECODERS


def test_the_list_is_a_small_part_of_what_there_is() -> None:
    assert len(DECODERS) < 100
    assert not {"cinepak", "indeo5", "roqvideo", "smackvid", "bink", "magicyuv", "tiff", "gif", "exr"} & DECODERS
