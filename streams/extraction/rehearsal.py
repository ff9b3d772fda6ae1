"""Two seconds of picture and sound, made here, that a decoding process reads before it is confined."""

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
        for number in range(11):  # to the end of the second in which it is black
            shades = np.zeros((48, 64, 3), np.uint8)
            if number < 5:
                board = np.indices((6, 8)).sum(axis=0) % 2  # has edges and corners: what looks for them is used too
                shades[:] = (np.kron(board, np.ones((8, 8), int)) * (255 - 40 * number))[..., None]
            frame = av.VideoFrame.from_ndarray(shades, format="rgb24")
            frame.pts = number
            output.mux(pictures.encode(frame))
        output.mux(pictures.encode(None))
        for at in range(0, 88_200, 1024):
            wave = np.full((2, 1024), 0.1 if at < 44_100 else 0.0, np.float32)
            tone = av.AudioFrame.from_ndarray(wave, format="fltp", layout="stereo")
            tone.sample_rate, tone.pts = 44_100, at
            output.mux(sound.encode(tone))
        output.mux(sound.encode(None))
    return file.getvalue()
