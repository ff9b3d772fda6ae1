"""Fingerprints, QR codes and models of a platform's own come out of a confined decoding process."""

from __future__ import annotations

import hashlib
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from agents.review.plugin import PluginDetector
from agents.review.qr import QrDetector
from agents.review.sound import SoundDetector
from streams.extraction.pool import Pool
from streams.settings import load
from tests.agents.onnx_model import classifier
from tests.agents.test_review_plugin import BIAS, MANIFEST, MEASURED, WEIGHTS
from tests.agents.test_review_qr import LINK, code
from tests.agents.test_review_sound import melody


@pytest.fixture
def models(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    content = classifier(WEIGHTS, BIAS)
    (folder / "tint.onnx").write_bytes(content)
    manifest = MANIFEST.format(name="tint", sha256=hashlib.sha256(content).hexdigest())
    (folder / "tint.toml").write_text(manifest + MEASURED, "utf-8")
    (folder / "bad.toml").write_text("name = 3", "utf-8")
    return folder


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Six seconds of a red picture with a QR code in it, beside a melody."""
    path = tmp_path / "clip.mp4"
    picture = np.zeros((540, 960, 3), np.uint8)
    picture[..., 0] = 250
    picture[100:400, 100:400] = cv2.cvtColor(code(LINK, 300), cv2.COLOR_GRAY2RGB)
    with av.open(str(path), "w") as output:
        video = output.add_stream("libx264", rate=5)
        video.width, video.height, video.pix_fmt = 960, 540, "yuv420p"
        audio = output.add_stream("aac", rate=16_000, layout="mono")
        for _ in range(30):
            output.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        samples = melody(1, 6)
        for begin in range(0, len(samples), 1024):
            frame = av.AudioFrame.from_ndarray(samples[None, begin : begin + 1024], format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 16_000, begin
            output.mux(audio.encode(frame))
        output.mux(video.encode(None))
        output.mux(audio.encode(None))
    return path


async def test_they_find_what_is_there_and_a_bad_manifest_is_named(models: Path, clip: Path) -> None:
    pool = Pool(load(extract_workers=1, models_dir=models), [SoundDetector, QrDetector, PluginDetector])
    try:
        await pool.warm()
        reading = await pool.read(clip)
    finally:
        await pool.close()
    assert len(reading.absent) == 1 and reading.absent[0].startswith("plugin: Unavailable: bad.toml: ")
    found = {signal.name: signal for signal in reading.signals}
    assert set(found) == {"qr", "tint-red"}
    assert [one.text for one in found["qr"].evidence] == [LINK]
    assert found["tint-red"].score > 0.6
    (sound,) = reading.sounds
    assert sound.until_s == pytest.approx(6, abs=0.3)
