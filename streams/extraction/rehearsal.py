"""A second of picture and sound, made here, that a decoding process reads before it is confined."""

from __future__ import annotations

import io
from typing import Any

import av
import numpy as np


def clip() -> bytes:
    """A short clip as a file."""
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as output:
        pictures: Any = output.add_stream("mpeg4", rate=5)
        pictures.width, pictures.height, pictures.pix_fmt = 64, 48, "yuv420p"
        sound: Any = output.add_stream("aac", rate=44_100, layout="stereo")
        for number in range(6):
            shades = np.full((48, 64, 3), 40 * number, np.uint8)
            shades[:, ::2] = 255 - shades[:, ::2]
            frame = av.VideoFrame.from_ndarray(shades, format="rgb24")
            frame.pts = number
            output.mux(pictures.encode(frame))
        output.mux(pictures.encode(None))
        for at in range(0, 44_100, 1024):
            tone = av.AudioFrame.from_ndarray(np.full((2, 1024), 0.1, np.float32), format="fltp", layout="stereo")
            tone.sample_rate, tone.pts = 44_100, at
            output.mux(sound.encode(tone))
        output.mux(sound.encode(None))
    return file.getvalue()
