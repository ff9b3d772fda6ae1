"""What people do to a banned clip before they upload it again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import av
import cv2
import numpy as np
from av.filter import Graph
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from tests.evaluation.evasion_clips import FPS, SOUND_RATE, Film, each

#: The clip, and other footage to put it into or over: what comes of them.
Change = Callable[[Film, Film], Film]
Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Edit:
    """A change of picture or sound, and how the result is encoded."""

    change: Change = lambda film, _: film
    codec: str = "libx264"
    options: dict[str, str] = field(default_factory=lambda: {"preset": "veryfast", "crf": "26"})
    suffix: str = ".mp4"
    sound_bits_s: int = 64_000
    #: Whether it is the sound that is changed: such an edit is for clips that have any.
    of_sound: bool = False


def _x264(crf: int) -> dict[str, str]:
    return {"preset": "veryfast", "crf": str(crf)}


def _painted(paint: Callable[[Any], Any]) -> Edit:
    return Edit(lambda film, _: film._replace(frames=each(film.frames, paint)))


def _resized(pixels: Pixels, width: float, height: float) -> Pixels:
    return cv2.resize(pixels, (round(width), round(height)), interpolation=cv2.INTER_AREA)


def _scaled(share: float) -> Edit:
    return _painted(lambda rgb: _resized(rgb, rgb.shape[1] * share, rgb.shape[0] * share))


def _cropped(share: float, x: float = 0.5, y: float = 0.5) -> Callable[[Pixels], Pixels]:
    """So much is lost of width and of height, x and y of it on the left and above; what is left is enlarged."""

    def crop(rgb: Pixels) -> Pixels:
        height, width = rgb.shape[:2]
        left, top = round(width * share * x), round(height * share * y)
        part = rgb[top : top + round(height * (1 - share)), left : left + round(width * (1 - share))]
        return cv2.resize(part, (width, height), interpolation=cv2.INTER_LINEAR)

    return crop


def _tilted(degrees: float, zoom: float) -> Callable[[Pixels], Pixels]:
    def tilt(rgb: Pixels) -> Pixels:
        height, width = rgb.shape[:2]
        turn = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, zoom)
        return cv2.warpAffine(rgb, turn, (width, height))

    return tilt


def _letterboxed(rgb: Pixels) -> Pixels:
    height = rgb.shape[0]
    return cv2.copyMakeBorder(rgb, height // 6, height // 6, 0, 0, cv2.BORDER_CONSTANT)


def _pillarboxed(rgb: Pixels) -> Pixels:
    """Upright for telephones, over its own blurred enlargement."""
    height, width = rgb.shape[:2]
    tall = round(width * 16 / 9 * 0.75)
    behind = cv2.GaussianBlur(cv2.resize(rgb, (round(width * tall / height), tall)), (0, 0), 12)
    left = (behind.shape[1] - width) // 2
    canvas = behind[:, left : left + width].copy() if left > 0 else cv2.resize(behind, (width, tall))
    if tall > height:
        top = (tall - height) // 2
        canvas[top : top + height] = rgb
        return canvas
    wide = cv2.GaussianBlur(cv2.resize(rgb, (width * 2, height)), (0, 0), 12)
    wide[:, width // 2 : width // 2 + width] = rgb
    return wide


def _logo(rgb: Pixels) -> Pixels:
    height, width = rgb.shape[:2]
    painted = rgb.copy()
    x, y, side = round(width * 0.82), round(height * 0.06), round(min(width, height) * 0.14)
    cv2.rectangle(painted, (x, y), (x + round(side * 1.2), y + side), (255, 255, 255), -1)
    cv2.circle(painted, (x + round(side * 0.6), y + side // 2), side // 3, (220, 30, 30), -1)
    return painted


def _caption(rgb: Pixels) -> Pixels:
    """A black bar over the lowest seventh, with words in it."""
    height, width = rgb.shape[:2]
    image = Image.fromarray(rgb)
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, round(height * 0.85), width, height), fill="black")
    draw.text((width * 0.1, height * 0.88), "You will not believe this", "white", ImageFont.load_default(height * 0.07))
    return np.asarray(image)


def _headline(rgb: Pixels) -> Pixels:
    """Large words across the picture, as memes have them."""
    height, width = rgb.shape[:2]
    image = Image.fromarray(rgb)
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(height * 0.13)
    for place, words in ((0.03, "WAIT FOR IT"), (0.8, "SHARE THIS")):
        draw.text((width * 0.12, height * place), words, "white", font, stroke_width=3, stroke_fill="black")
    return np.asarray(image)


def _noisy(rgb: Pixels) -> Pixels:
    chance = np.random.default_rng(int(rgb[::16, ::16].sum()))
    return np.clip(rgb + chance.normal(0, 14, rgb.shape), 0, 255).astype(np.uint8)


def _recoloured(rgb: Pixels) -> Pixels:
    hsv = cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV).astype(np.int16)
    hsv[..., 0] = (hsv[..., 0] + 20) % 180
    hsv[..., 1] = np.clip(hsv[..., 1] * 1.4, 0, 255)
    return cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2RGB)


def _gamma(power: float) -> Callable[[Pixels], Pixels]:
    table = np.round(255 * (np.arange(256) / 255) ** power).astype(np.uint8)
    return lambda rgb: table[rgb]


def _brighter(by: int) -> Callable[[Pixels], Pixels]:
    return lambda rgb: np.clip(rgb.astype(np.int16) + by, 0, 255).astype(np.uint8)


def _grey(rgb: Pixels) -> Pixels:
    return cv2.cvtColor(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


def _filmed_off_screen(film: Film, _: Film) -> Film:
    """A telephone before a monitor, held by hand: in perspective, with the desk around it, softer, brighter, noisy."""
    height, width = film.frames[0].shape[:2]
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    chance = np.random.default_rng(5)
    shots = []
    for number, rgb in enumerate(film.frames):
        sway = 0.006 * np.sin(number / 9)
        shares = np.array([[0.07, 0.09], [0.95, 0.04], [0.92, 0.93], [0.05, 0.97]]) + sway
        seen = (shares * [width, height]).astype(np.float32)
        warped = cv2.warpPerspective(
            rgb, cv2.getPerspectiveTransform(corners, seen), (width, height), borderValue=(70, 64, 58)
        )
        soft = cv2.GaussianBlur(warped, (0, 0), 0.9) * 0.85 + 25 + chance.normal(0, 4, (height, width, 1))
        shots.append(np.clip(soft, 0, 255).astype(np.uint8))
    return film._replace(frames=shots)


def _inset(film: Film, other: Film) -> Film:
    """Picture in picture: the clip on 60 % of the width, over other footage that moves."""
    height, width = film.frames[0].shape[:2]
    frames = []
    for number, rgb in enumerate(film.frames):
        behind = cv2.resize(other.frames[number % len(other.frames)], (width, height))
        small = _resized(rgb, width * 0.6, height * 0.6)
        top, left = round(height * 0.34), round(width * 0.36)
        behind[top : top + small.shape[0], left : left + small.shape[1]] = small
        frames.append(behind)
    return film._replace(frames=frames)


def _shrunk_onto(film: Film, _: Film) -> Film:
    """On a plain card, at 70 % of the size, off the middle."""

    def shrink(rgb: Pixels) -> Pixels:
        height, width = rgb.shape[:2]
        card = np.full_like(rgb, (230, 228, 220))
        small = _resized(rgb, width * 0.7, height * 0.7)
        card[height // 10 : height // 10 + small.shape[0], width // 5 : width // 5 + small.shape[1]] = small
        return card

    return film._replace(frames=each(film.frames, shrink))


def _faster(speed: float) -> Edit:
    def change(film: Film, _: Film) -> Film:
        count = int(len(film.frames) / speed)
        frames = [film.frames[min(len(film.frames) - 1, int(number * speed))] for number in range(count)]
        return film._replace(frames=frames, sound=None if film.sound is None else _stretched(film.sound, speed))

    return Edit(change)


def _at_rate(fps: float) -> Edit:
    def change(film: Film, _: Film) -> Film:
        count = int(len(film.frames) / film.fps * fps)
        frames = [film.frames[min(len(film.frames) - 1, int(number * film.fps / fps))] for number in range(count)]
        return film._replace(frames=frames, fps=fps)

    return Edit(change)


def _part(film: Film) -> Film:
    """Three seconds from its middle; of a clip that is not much longer, two thirds."""
    lasts = len(film.frames) / film.fps
    seconds = min(3.0, lasts * 2 / 3)
    start = (lasts - seconds) / 2
    frames = film.frames[round(start * film.fps) : round((start + seconds) * film.fps)]
    sound = film.sound
    if sound is not None:
        sound = sound[round(start * SOUND_RATE) : round((start + seconds) * SOUND_RATE)]
    return film._replace(frames=frames, sound=sound)


def _spliced(film: Film, other: Film) -> Film:
    """A part within ten seconds of other content."""
    part = _part(film)
    height, width = part.frames[0].shape[:2]
    around = each(other.frames, lambda rgb: cv2.resize(rgb, (width, height)))
    lead = [around[number % len(around)] for number in range(round(4.3 * FPS))]
    tail = [around[(number + 40) % len(around)] for number in range(round(5.1 * FPS))]
    sound = part.sound
    if sound is not None:
        chance = np.random.default_rng(3)
        before, after = (chance.normal(0, 0.01, round(s * SOUND_RATE)).astype(np.float32) for s in (4.3, 5.1))
        room = round(len(part.frames) / part.fps * SOUND_RATE)
        sound = np.concatenate([before, np.pad(sound, (0, max(0, room - len(sound))))[:room], after])
    return Film([*lead, *part.frames, *tail], part.fps, sound)


def _combined(film: Film, _: Film) -> Film:
    """What uploaders do who know that copies are looked for: mirrored, cropped, recoloured, with a headline."""

    def paint(rgb: Pixels) -> Pixels:
        return _headline(_gamma(0.85)(_cropped(0.12, 0.4, 0.6)(np.ascontiguousarray(rgb[:, ::-1]))))

    return film._replace(frames=each(film.frames, paint))


def _resampled(sound: NDArray[np.float32], speed: float) -> NDArray[np.float32]:
    places = np.arange(0, len(sound) - 1, speed)
    return np.interp(places, np.arange(len(sound)), sound).astype(np.float32)


def _stretched(sound: NDArray[np.float32], speed: float) -> NDArray[np.float32]:
    """Faster or slower at the same pitch, by FFmpeg's atempo."""
    graph = Graph()
    source = graph.add_abuffer(sample_rate=SOUND_RATE, format="flt", layout="mono")
    tempo = graph.add("atempo", f"{speed:.6f}")
    graph.link_nodes(source, tempo, graph.add("abuffersink")).configure()
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound)[None], format="flt", layout="mono")
    frame.sample_rate, frame.pts = SOUND_RATE, 0
    parts = []
    for pushed in (frame, None):
        graph.push(pushed)
        while True:
            try:
                parts.append(graph.pull().to_ndarray().reshape(-1))
            except (BlockingIOError, EOFError):
                break
    return np.concatenate(parts)


def _heard(change: Callable[[NDArray[np.float32]], NDArray[np.float32]], sound_bits_s: int = 64_000) -> Edit:
    def of_film(film: Film, _: Film) -> Film:
        assert film.sound is not None
        return film._replace(sound=change(film.sound))

    return Edit(of_film, sound_bits_s=sound_bits_s, of_sound=True)


def _pitched(factor: float) -> Edit:
    return _heard(lambda sound: _stretched(_resampled(sound, factor), 1 / factor))


def _hissing(sound: NDArray[np.float32]) -> NDArray[np.float32]:
    """White noise, 15 dB below the sound."""
    level = float(np.sqrt(np.mean(sound**2))) * 10 ** (-15 / 20)
    return (sound + np.random.default_rng(7).normal(0, level, len(sound))).astype(np.float32)


EDITS: dict[str, Edit] = {
    "crf28": Edit(options=_x264(28)),
    "crf40": Edit(options=_x264(40)),
    "hevc": Edit(codec="libx265", options={"preset": "ultrafast", "crf": "30", "x265-params": "log-level=none"}),
    "vp9": Edit(codec="libvpx-vp9", options={"deadline": "realtime", "cpu-used": "8", "crf": "40"}, suffix=".webm"),
    "mpeg4": Edit(codec="mpeg4", options={"b": "250000"}),
    "half_size": _scaled(1 / 2),
    "quarter_size": _scaled(1 / 4),
    "crop5": _painted(_cropped(0.05)),
    "crop10": _painted(_cropped(0.10)),
    "crop20": _painted(_cropped(0.20)),
    "crop13_corner": _painted(_cropped(0.13, 0.1, 0.9)),
    "mirror": _painted(lambda rgb: rgb[:, ::-1]),
    "rot90": _painted(np.rot90),
    "rot180": _painted(lambda rgb: np.rot90(rgb, 2)),
    "rot270": _painted(lambda rgb: np.rot90(rgb, 3)),
    "tilt3": _painted(_tilted(3, 1.08)),
    "tilt10": _painted(_tilted(-10, 1.0)),
    "letterbox": _painted(_letterboxed),
    "pillarbox": _painted(_pillarboxed),
    "logo": _painted(_logo),
    "caption": _painted(_caption),
    "headline": _painted(_headline),
    "blur": _painted(lambda rgb: cv2.GaussianBlur(rgb, (0, 0), 2.5)),
    "noise": _painted(_noisy),
    "colour": _painted(_recoloured),
    "gamma": _painted(_gamma(0.6)),
    "brighter": _painted(_brighter(35)),
    "grey": _painted(_grey),
    "slower": _faster(0.9),
    "faster": _faster(1.1),
    "fps12": _at_rate(12.0),
    "inset": Edit(_inset),
    "card": Edit(_shrunk_onto),
    "screen": Edit(_filmed_off_screen),
    "cut3s": Edit(lambda film, _: _part(film)),
    "splice": Edit(_spliced),
    "combined": Edit(_combined),
    "pitch_up": _pitched(1.05),
    "pitch_down": _pitched(0.95),
    "tempo": _heard(lambda sound: _stretched(sound, 1.08)),
    "hiss": _heard(_hissing),
    "sound24k": _heard(lambda sound: sound, sound_bits_s=24_000),
}
"""name → edit. Encoded anew by x264 at crf 26 unless it says otherwise."""
