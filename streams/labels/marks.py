"""The visible mark: the words of the standard, drawn once, and laid over pictures at a corner. Pure."""

from __future__ import annotations

import io
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from PIL import Image, ImageFont

Plane = np.ndarray[Any, np.dtype[Any]]

#: Height of the signs, of the picture's shorter side. The standard asks for 5 %; drawn signs differ by some pixels.
HEIGHT = 0.06
#: The same, as the standard has it.
LEAST_HEIGHT = 0.05
#: How far the backing covers what lies beneath. White on it then stands out at 4.5 to 1 or more (WCAG 2 AA) even where
#: all is white beneath.
BACKING = 0.7
#: Most of the picture's width that a line takes.
WIDEST = 0.9


class Mark(NamedTuple):
    """What is laid over a picture: per pixel its lightness (0 to 1), and how far it covers (0 to 1)."""

    light: Plane
    cover: Plane
    #: Height of the signs in pixels.
    height: int


def draw(text: str, width: int, height: int) -> Mark:
    """The words as large as a picture of that size needs them, in as many lines as its width asks for.

    Raises:
        ValueError: the picture is too small for signs that can be read.
    """
    from PIL import Image, ImageDraw

    shorter = min(width, height)
    if shorter < 48:
        raise ValueError(f"a picture of {width}×{height} is too small for a label")
    font = _font(shorter)
    _, top, _, bottom = font.getbbox("生成")
    high = int(bottom - top)
    lines = _lines(text, font, WIDEST * width)
    pad, step = max(2, high // 3), int(high * 1.3)
    wide = max(int(font.getlength(line)) for line in lines) + 2 * pad
    tall = step * (len(lines) - 1) + high + 2 * pad
    if tall > height:
        raise ValueError(f"{len(lines)} lines of a label do not fit a picture of {width}×{height}")
    image = Image.new("L", (wide + wide % 2, tall + tall % 2), 0)
    pen = ImageDraw.Draw(image)
    for n, line in enumerate(lines):
        pen.text((pad, pad - top + n * step), line, 255, font)
    signs = np.asarray(image, np.float32) / 255
    return Mark(signs, np.maximum(signs, np.float32(BACKING)), high)


@cache
def font_file() -> bytes:
    """The font, read once: a confined process has it before it can open nothing more."""
    from importlib.resources import files

    return (files("noto_cjk_sans_otc") / "NotoSansCJK-Regular.ttc").read_bytes()


def _font(shorter: int) -> ImageFont.FreeTypeFont:
    from PIL import ImageFont

    size = max(8, round(shorter * HEIGHT))
    while True:
        font = ImageFont.truetype(io.BytesIO(font_file()), size, index=2)  # of the collection: simplified Chinese
        _, top, _, bottom = font.getbbox("生成")
        if bottom - top >= shorter * LEAST_HEIGHT:
            return font
        size += 1


def _lines(text: str, font: ImageFont.FreeTypeFont, most: float) -> list[str]:
    lines = [""]
    for sign in text:
        if lines[-1] and (sign == "\n" or font.getlength(lines[-1] + sign) > most):
            lines.append("")
        lines[-1] += sign if sign != "\n" else ""
    return lines


def corner(light: Plane, mark: Mark, rotation: int = 0) -> tuple[int, int]:
    """Row and column of the upper corner that is calmest and darkest, where white signs are read best. Players have
    their own words at the bottom.

    `light`: the picture's lightness; `rotation`: degrees that a player turns it by, of which the mark is turned back.
    """
    height, width = light.shape
    tall, wide = mark.light.shape
    gap = max(2, min(height, width) // 50) & ~1
    rows, columns = (gap, (height - tall - gap) & ~1), (gap, (width - wide - gap) & ~1)
    upper = {
        0: ((rows[0], columns[0]), (rows[0], columns[1])),
        90: ((rows[0], columns[1]), (rows[1], columns[1])),
        180: ((rows[1], columns[0]), (rows[1], columns[1])),
        270: ((rows[0], columns[0]), (rows[1], columns[0])),
    }[rotation % 360]

    def unrest(place: tuple[int, int]) -> float:
        beneath = light[max(0, place[0]) :, max(0, place[1]) :][:tall, :wide]
        return float(beneath.mean() + 2 * beneath.std())

    row, column = min(upper, key=unrest)
    return max(0, row), max(0, column)


def turned(mark: Mark, rotation: int) -> Mark:
    """The mark as it must stand in a picture that a player turns counter-clockwise by so many degrees."""
    turns = -(rotation // 90) % 4
    return Mark(np.rot90(mark.light, turns), np.rot90(mark.cover, turns), mark.height)


def lay(planes: list[Plane], mark: Mark, place: tuple[int, int], white: int, black: int, grey: int) -> None:
    """Lay it over a picture in place: its lightness, and beneath it no colour. `planes`: Y, U, V; of these the last two
    may be smaller by whole factors."""
    row, column = place
    for n, plane in enumerate(planes):
        down, across = (planes[0].shape[side] // plane.shape[side] for side in (0, 1))
        cover = mark.cover[::down, ::across]
        part = plane[row // down :, column // across :][: cover.shape[0], : cover.shape[1]]
        cover = cover[: part.shape[0], : part.shape[1]]
        goal = black + (white - black) * mark.light[: part.shape[0], : part.shape[1]] if n == 0 else grey
        part[...] = np.rint(part * (1 - cover) + goal * cover).astype(plane.dtype)


def picture(image: Image.Image, text: str) -> Image.Image:
    """A picture with the mark."""
    from PIL import Image

    mark = draw(text, *image.size)
    shown = image.convert("RGBA" if "A" in image.getbands() else "RGB")
    row, column = corner(np.asarray(image.convert("L"), np.float32), mark)
    tile = Image.fromarray(np.rint(mark.light * 255).astype(np.uint8)).convert(shown.mode)
    cover = Image.fromarray(np.rint(mark.cover * 255).astype(np.uint8))
    shown.paste(tile, (column, row), cover)
    return shown
