"""Sound for the detectors that listen: real speech, and what is none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from deploy.demo.footage import find_footage
from streams.extraction.detector import SOUND_RATE

#: Film lines and music in the package gradio, and what is said in them.
SAID = {"heath_ledger.mp3": "If you're good at something never do it for free"}


def samples_of(path: Path) -> NDArray[np.float32]:
    """The file's sound as detectors hear it."""
    resampler = av.AudioResampler(format="flt", layout="mono", rate=SOUND_RATE)
    with av.open(str(path)) as container:
        frames = [*container.decode(audio=0), None]
        parts = [part.to_ndarray().reshape(-1) for frame in frames for part in resampler.resample(frame)]
    return np.concatenate(parts)


@pytest.fixture(scope="session")
def sound() -> Callable[[str], NDArray[np.float32]]:
    """The sound of a file of the package gradio."""
    return lambda name: samples_of(find_footage("gradio", f"gradio/media_assets/audio/{name}"))
