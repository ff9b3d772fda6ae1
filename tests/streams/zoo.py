"""Media of kinds that a platform meets, made with PyAV: footage that moves, in any codec, container and form."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
from numpy.typing import NDArray

#: Changes a picture before it is encoded.
Change = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]


class Scene(NamedTuple):
    """From when on a picture of that seed is shown."""

    at_s: float
    seed: int


def picture(seed: int, at_s: float, size: tuple[int, int]) -> NDArray[np.uint8]:
    """A picture with enough in it to be told from every other: soft blots that drift slowly, lighter than black."""
    width, height = size
    rng = np.random.default_rng(seed)
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    canvas = np.full((height, width, 3), 40.0)
    for _ in range(14):
        (across, down), (right, below) = rng.uniform(0, 1, 2), rng.uniform(-0.02, 0.02, 2)
        spread = rng.uniform(0.05, 0.18)
        distance = (x - across - right * at_s) ** 2 + (y - down - below * at_s) ** 2
        canvas += np.exp(-distance / spread**2)[..., None] * rng.uniform(-90, 160, 3)
    return np.clip(canvas, 0, 255).astype(np.uint8)


def moving(
    path: Path,
    codec: str = "libx264",
    *,
    seconds: float = 2.0,
    fps: int = 25,
    size: tuple[int, int] = (192, 128),
    scenes: Sequence[Scene] = (Scene(0.0, 1),),
    options: Mapping[str, str] | None = None,
    pix_fmt: str = "yuv420p",
    form: str = "rgb24",
    change: Change | None = None,
    times: Sequence[float] | None = None,
    prepare: Callable[[Any], None] | None = None,
    mux: Mapping[str, str] | None = None,
) -> Path:
    """Write footage. `times`: when its frames are shown, instead of at a constant rate."""
    with av.open(str(path), "w", options=dict(mux or {})) as output:
        stream = add(output, codec, fps, size, options, pix_fmt)
        if prepare:
            prepare(stream)
        for frame in frames(seconds, fps, size, scenes, form, change, times):
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def add(
    output: Any,
    codec: str,
    fps: int,
    size: tuple[int, int],
    options: Mapping[str, str] | None = None,
    pix_fmt: str = "yuv420p",
) -> Any:
    """A stream of pictures."""
    stream = output.add_stream(codec, rate=fps)
    stream.width, stream.height = size
    stream.pix_fmt = pix_fmt
    stream.codec_context.thread_count = 1
    preset = {"preset": "ultrafast"} if codec in ("libx264", "libx265") else {}
    if codec == "libx264" and options and ("bf" in options or "x264-params" in options):
        preset = {"preset": "veryfast"}  # ultrafast has no B frames
    stream.options = preset | dict(options or {})
    return stream


def frames(
    seconds: float,
    fps: int,
    size: tuple[int, int],
    scenes: Sequence[Scene] = (Scene(0.0, 1),),
    form: str = "rgb24",
    change: Change | None = None,
    times: Sequence[float] | None = None,
) -> Any:
    """The frames."""
    for at_s in times if times is not None else [number / fps for number in range(round(seconds * fps))]:
        seed = max((scene for scene in scenes if scene.at_s <= at_s + 1e-6), key=lambda scene: scene.at_s).seed
        pixels = picture(seed, at_s, size)
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(change(pixels) if change else pixels), format=form)
        frame.time_base = Fraction(1, 1000) if times is not None else Fraction(1, fps)
        frame.pts = round(at_s / frame.time_base)
        yield frame


def tone(output: Any, codec: str, seconds: float, hertz: float, rate: int = 48_000) -> Sequence[Any]:
    """A stream of one tone, and its packets."""
    stream = output.add_stream(codec, rate=rate, layout="mono")
    form = stream.codec_context.format.name
    packets: list[Any] = []
    total = round(seconds * rate)
    for at in range(0, total, 1024):
        wave = 0.4 * np.sin(2 * np.pi * hertz * np.arange(at, min(at + 1024, total)) / rate)
        shaped = (wave * 32_767).astype(np.int16) if form.startswith("s16") else wave.astype(np.float32)
        frame = av.AudioFrame.from_ndarray(shaped[None, :], format=form, layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = rate, at, Fraction(1, rate)
        packets += stream.encode(frame)
    return [*packets, *stream.encode(None)]
