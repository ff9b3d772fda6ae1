"""The negative bank that ships: pictures that stand in many clips and say nothing of any, drawn by this script.

`python -m agents.review.cards` writes `known_good.jsonl` anew: test cards (SMPTE bars, full-field bars, crosshatch,
checkerboard, ramps), leaders (countdown), and plain fields. The layout of the bars is that of SMPTE EG 1-1990; all is
drawn from its description, in three shapes of picture, upright, mirrored and turned. A test holds the file to this
script.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from agents.review.negative import CARDS
from agents.review.pdq import distance, pdq
from schemas.bank import BankFrame, HashEntry
from schemas.message import encode

Picture = NDArray[np.uint8]

#: Width and height: wide, classic, upright. Longer side 512, as extraction hashes.
SHAPES = ((512, 288), (512, 384), (288, 512))
#: 75 % white, yellow, cyan, green, magenta, red, blue: the bars of SMPTE and EBU, in this order.
BARS = ((191, 191, 191), (191, 191, 0), (0, 191, 191), (0, 191, 0), (191, 0, 191), (191, 0, 0), (0, 0, 191))
#: When the file was first made; that it is the same each time it is made anew.
MADE = datetime(2026, 3, 1, tzinfo=UTC)


def drawn() -> Iterator[tuple[str, str, list[Picture]]]:
    """(id, what it is, the pictures) of each entry."""
    yield "smpte-bars", "colour bars of SMPTE", [smpte(*shape) for shape in SHAPES]
    yield (
        "full-bars",
        "full-field colour bars",
        [full_bars(*shape, white=white) for shape in SHAPES for white in (0, 1)],
    )
    yield "grey-steps", "grey steps", [steps(*shape, count=count) for shape in SHAPES for count in (8, 11, 16)]
    yield "ramp", "ramps from black to white", [ramp(*shape, down=down) for shape in SHAPES for down in (False, True)]
    yield "crosshatch", "crosshatch", [crosshatch(*shape, apart=apart) for shape in SHAPES for apart in (32, 48, 64)]
    yield "checkerboard", "checkerboard", [checks(*shape, side=side) for shape in SHAPES for side in (16, 32, 64)]
    for number in range(2, 10):
        pictures = [countdown(*shape, number=number, dark=dark) for shape in SHAPES for dark in (False, True)]
        yield f"countdown-{number}", f"countdown leader, {number}", pictures
    # Without detail: they match nothing as long as the policy asks for the published quality.
    for name, colour in (("black", (0, 0, 0)), ("white", (255, 255, 255)), ("grey", (128, 128, 128)),
                         ("blue", (0, 0, 255)), ("green", (0, 177, 64))):  # fmt: skip
        yield name, f"a plain field, {name}", [plain(*shape, colour=colour) for shape in SHAPES]


def smpte(width: int, height: int) -> Picture:
    """Bars, the reversed blues under them, and the row of I, white, Q, black and PLUGE."""
    picture = np.zeros((height, width, 3), np.uint8)
    first, second = round(height * 2 / 3), round(height * 3 / 4)
    edges = [round(width * n / 7) for n in range(8)]
    castellations = (BARS[6], (19, 19, 19), BARS[4], (19, 19, 19), BARS[2], (19, 19, 19), BARS[0])
    for n in range(7):
        picture[:first, edges[n] : edges[n + 1]] = BARS[n]
        picture[first:second, edges[n] : edges[n + 1]] = castellations[n]
    quarter = width * 5 / 28
    for n, colour in enumerate(((0, 33, 76), (255, 255, 255), (50, 0, 106), (19, 19, 19))):
        picture[second:, round(n * quarter) : round((n + 1) * quarter)] = colour
    third = (edges[6] - edges[5]) / 3
    for n, grey in enumerate((9, 19, 29)):
        picture[second:, round(edges[5] + n * third) : round(edges[5] + (n + 1) * third)] = grey
    picture[second:, edges[6] :] = 19
    return picture


def full_bars(width: int, height: int, *, white: int) -> Picture:
    """Eight bars over the whole height: EBU's, with black at the end, or with full white at the beginning."""
    colours = (((255, 255, 255), *BARS[1:]) if white else BARS) + ((0, 0, 0),)
    return _columns(width, height, list(colours))


def _columns(width: int, height: int, colours: list[tuple[int, int, int]]) -> Picture:
    picture = np.zeros((height, width, 3), np.uint8)
    for n, colour in enumerate(colours):
        picture[:, round(width * n / len(colours)) : round(width * (n + 1) / len(colours))] = colour
    return picture


def steps(width: int, height: int, *, count: int) -> Picture:
    """Grey from black to white in steps."""
    return _columns(width, height, [(round(255 * n / (count - 1)),) * 3 for n in range(count)])


def ramp(width: int, height: int, *, down: bool) -> Picture:
    """Grey from black to white without steps."""
    line = np.linspace(0, 255, height if down else width).astype(np.uint8)
    field = np.tile(line[:, None], (1, width)) if down else np.tile(line, (height, 1))
    return np.repeat(field[..., None], 3, axis=2)


def crosshatch(width: int, height: int, *, apart: int) -> Picture:
    """White lines on black, across and down."""
    picture = np.zeros((height, width, 3), np.uint8)
    for begin in range(apart // 2, height, apart):
        picture[begin : begin + 2] = 255
    for begin in range(apart // 2, width, apart):
        picture[:, begin : begin + 2] = 255
    return picture


def checks(width: int, height: int, *, side: int) -> Picture:
    """Black and white squares."""
    down, across = np.indices((height, width)) // side
    return np.repeat((((down + across) % 2) * 255).astype(np.uint8)[..., None], 3, axis=2)


def countdown(width: int, height: int, *, number: int, dark: bool) -> Picture:
    """A number in two circles over a cross, as film leaders have it."""
    back, front = ((40, 40, 40), (230, 230, 230)) if dark else ((200, 200, 200), (20, 20, 20))
    image = Image.new("RGB", (width, height), back)
    draw = ImageDraw.Draw(image)
    x, y, radius = width / 2, height / 2, min(width, height) * 0.42
    draw.line((0, y, width, y), fill=front, width=3)
    draw.line((x, 0, x, height), fill=front, width=3)
    for share in (1.0, 0.88):
        far = radius * share
        draw.ellipse((x - far, y - far, x + far, y + far), outline=front, width=4)
    draw.text((x, y), str(number), fill=front, font=ImageFont.load_default(radius * 1.1), anchor="mm")
    return np.asarray(image)


def plain(width: int, height: int, *, colour: tuple[int, int, int]) -> Picture:
    """One colour."""
    return np.full((height, width, 3), colour, np.uint8)


def views(picture: Picture) -> Iterator[tuple[str, Picture]]:
    """The picture as it is, mirrored and turned, each with its name."""
    yield "", picture
    yield "mirror", picture[:, ::-1]
    for turns in (1, 2, 3):
        yield f"rot{90 * turns}", np.rot90(picture, turns)


#: Hashes this close to one that an entry has already add nothing to it.
SAME = 4


def entries() -> Iterator[HashEntry]:
    """The entries, drawn anew."""
    for name, about, pictures in drawn():
        frames: list[BankFrame] = []
        for picture in pictures:
            for variant, view in views(picture):
                code, quality = pdq(view)
                if all(distance(code, frame.pdq) > SAME for frame in frames):
                    frames.append(BankFrame(pdq=code, quality=quality, variant=variant))
        yield HashEntry(
            entry_id=f"shipped-{name}", category=about, source="veristream", added_at=MADE, bank=CARDS,
            kind="known_good", severity="low", licence="Apache-2.0", frames=tuple(frames),
        )  # fmt: skip


if __name__ == "__main__":
    Path(__file__).with_name("known_good.jsonl").write_bytes(b"".join(encode(entry) + b"\n" for entry in entries()))
