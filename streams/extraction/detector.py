"""What a detector is: it looks at one item's frames, samples and metadata, and returns signals.

It knows no threshold and no Kafka. One line in the entry point group `veristream.detectors` adds one.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from typing import BinaryIO, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.signals import FrameHash, Signal

#: Longer side, in pixels, of the frames that detectors see. PDQ works on 64 × 64 and Open-NSFW on 224 × 224, so 512
#: loses neither anything; hash bank and query must use the same size, since PDQ hashes of one frame at two sizes are
#: 4 to 12 bits apart.
FRAME_SIDE = 512
#: Rate, in Hz, of the sound that detectors hear: what speech models are trained on.
SOUND_RATE = 16_000


class Frame(NamedTuple):
    """A sampled frame: its time in seconds, and (height, width, 3) RGB bytes of at most FRAME_SIDE a side."""

    at_s: float
    rgb: NDArray[np.uint8]


class Source(NamedTuple):
    """The item as a file: its container's and streams' metadata, and the file itself, which a detector may seek."""

    container: str
    metadata: Mapping[str, str]
    stream_metadata: Sequence[Mapping[str, str]]
    file: BinaryIO


class Findings(NamedTuple):
    """What a detector found in one item."""

    signals: tuple[Signal, ...] = ()
    frames: tuple[FrameHash, ...] = ()


class Detector(abc.ABC):
    """Looks at one item after another: `open`, then `see` and `hear` as decoding goes on, then `findings`.

    An instance lives in a decoding process and is used for many items, so `open` forgets the former one. Its memory
    must not grow with the item's length. An exception makes it absent for the item, with its text as the reason.
    """

    name: ClassVar[str]
    #: Changes whenever the same media would give other signals.
    version: ClassVar[str]
    wants_frames: ClassVar[bool] = False
    wants_sound: ClassVar[bool] = False

    @classmethod
    def problems(cls) -> list[str]:
        """What keeps it from working on this machine, in words (a model that is missing or changed); for `doctor`."""
        return []

    @abc.abstractmethod
    def open(self, source: Source) -> None:
        """Begin an item."""

    def see(self, frames: Sequence[Frame]) -> None:  # noqa: B027 - not every detector sees
        """Look at a few sampled frames, in order of time."""

    def hear(self, samples: NDArray[np.float32], at_s: float) -> None:  # noqa: B027 - not every detector hears
        """Listen to a stretch of mono sound in [-1, 1] at SOUND_RATE that begins at `at_s`."""

    @abc.abstractmethod
    def findings(self) -> Findings:
        """What was found, once everything has been seen and heard."""
