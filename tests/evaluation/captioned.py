"""Captions drawn over real footage: what a platform's editors put there, in Chinese and English."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

SIZE = (1280, 720)
FPS = 25
#: Face of the font collection with the Chinese forms of signs.
_CHINESE_FACE = 2
TEXTS = {
    "zh": (
        "专业代开发票请联系微信", "喝盐水可以预防核辐射", "今天我们来聊聊健康饮食", "本期视频由张医生为您讲解",
        "转发给你的家人和朋友", "这个消息已经被官方证实", "枪支出售货到付款", "点击下方链接领取红包",
        "他们隐瞒了事情的真相", "明天全市停水三天请做好准备",
    ),
    "en": (
        "Drinking salt water protects you", "Call now to order, 50% off", "The government is hiding this",
        "Share before it gets deleted", "Doctors do not want you to know", "Bridge closed until next May",
        "Subscribe for more health tips", "Send money to this account", "It was recorded last Tuesday",
        "No one expected what came next",
    ),
}  # fmt: skip
"""language → captions; used for this and nothing else."""


@dataclass(frozen=True)
class Style:
    """How a caption is drawn: height of its signs in pixels of a picture 720 high, their colour, what sets them off."""

    height: int = 40
    colour: tuple[int, int, int] = (255, 255, 255)
    outline: int = 2
    box: bool = False


@cache
def _font(height: int) -> ImageFont.FreeTypeFont:
    path = Path(str(distribution("noto-cjk-sans-otc").locate_file("noto_cjk_sans_otc/NotoSansCJK-Regular.ttc")))
    return ImageFont.truetype(str(path), height, index=_CHINESE_FACE)


def drawn(rgb: NDArray[np.uint8], text: str, style: Style = Style(), centre: float = 0.86) -> NDArray[np.uint8]:
    """The picture with a line of text in the middle of its width, at a share of its height."""
    image = Image.fromarray(rgb)
    draw, font = ImageDraw.Draw(image), _font(style.height)
    width = draw.textlength(text, font=font)
    left, top = (image.width - width) / 2, image.height * centre - style.height * 0.7
    if style.box:
        draw.rectangle((left - 10, top - 2, left + width + 10, top + style.height * 1.45), fill=(0, 0, 0))
    draw.text((left, top), text, font=font, fill=style.colour, stroke_width=style.outline, stroke_fill=(0, 0, 0))
    return np.asarray(image)


def footage(path: Path, count: int, size: tuple[int, int] = SIZE) -> list[NDArray[np.uint8]]:
    """So many frames of a clip, evenly spread, of that size."""
    with av.open(str(path)) as container:
        every = list(container.decode(video=0))
        chosen = [every[round(place)] for place in np.linspace(0, len(every) - 1, count)]
        return [frame.reformat(*size, format="rgb24").to_ndarray() for frame in chosen]


def written(target: Path, pictures: Sequence[NDArray[np.uint8]], *, each_s: float = 1.0, crf: int = 23) -> Path:
    """A clip that shows each picture so long."""
    height, width = pictures[0].shape[:2]
    with av.open(str(target), "w") as output:
        stream: Any = output.add_stream("libx264", rate=FPS, options={"crf": str(crf), "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        number = 0
        for picture in pictures:
            for _ in range(round(each_s * FPS)):
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.pts, frame.time_base = number, Fraction(1, FPS)
                output.mux(stream.encode(frame))
                number += 1
        output.mux(stream.encode(None))
    return target
