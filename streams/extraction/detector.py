"""What a detector is: it looks at one item's frames, samples and metadata, and returns signals.

It knows no threshold and no Kafka. One line in the entry point group `veristream.detectors` adds one.
"""

from __future__ import annotations

import abc
from collections.abc import Iterable, Mapping, Sequence
from typing import BinaryIO, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.signals import UNAVAILABLE, Caption, FrameHash, FramePoints, Signal, SoundPrint, Utterance

#: Longer side, in pixels, of the frames that detectors see unless they ask for another. PDQ works on 64 × 64 and
#: Open-NSFW on 224 × 224, so 512 loses neither anything; hash bank and query must use the same size, since PDQ hashes
#: of one frame at two sizes are 4 to 12 bits apart.
FRAME_SIDE = 512
#: Rate, in Hz, of the sound that detectors hear: what speech models are trained on.
SOUND_RATE = 16_000
#: Frames handed to a detector at once unless it asks for another number: a model's fixed cost a call is shared, and 8
#: frames of 512 px are 6 MB at most.
BATCH = 8
#: Evidence that a merged signal keeps: enough for a reviewer to go to, few enough for a message.
MOST_EVIDENCE = 20


class Frame(NamedTuple):
    """A sampled frame: its time in seconds, and its pixels as the detector asked for them: bytes of (height, width, 3)
    RGB, or (height, width) of luma for `colour = "grey"`; upright, with square pixels, the longer side at most `side`.
    """

    at_s: float
    pixels: NDArray[np.uint8]
    #: Whether it shows another scene than the frame sampled before it. The first of an item does.
    scene: bool = False
    #: Which of the item's pictures it is of: 0 is the first stream that a player would show.
    track: int = 0

    @property
    def rgb(self) -> NDArray[np.uint8]:
        """The pixels, of a detector that asks for colours."""
        return self.pixels


class Source(NamedTuple):
    """The item as a file: its container's and streams' metadata, and the file itself, which a detector may seek."""

    container: str
    metadata: Mapping[str, str]
    stream_metadata: Sequence[Mapping[str, str]]
    file: BinaryIO


class Cue(NamedTuple):
    """Something for others to look at: `see` and `hear` may return some. A detector whose `wakes_on` names it, and
    which the plan runs only where it is cued, is then shown the frames or the sound between the two times."""

    name: str
    at_s: float
    until_s: float


class Unavailable(Exception):
    """Raised by a detector's `open` where its package or model is not on the machine, with what to do as its text: the
    worker starts without it, every item says that it is absent, and the policy says what that means."""


assert Unavailable.__name__ == UNAVAILABLE  # judges know it by its name alone


class Findings(NamedTuple):
    """What a detector found in one item, or in a stretch of it."""

    signals: tuple[Signal, ...] = ()
    frames: tuple[FrameHash, ...] = ()
    #: What `merge` needs besides, as counts; it goes no further than that.
    tally: Mapping[str, float] = {}
    captions: tuple[Caption, ...] = ()
    speech: tuple[Utterance, ...] = ()
    sounds: tuple[SoundPrint, ...] = ()
    points: tuple[FramePoints, ...] = ()
    #: What it could not look for in this item, each as `absent` of the signals says it.
    absent: tuple[str, ...] = ()


class Part(NamedTuple):
    """What a detector found in one stretch of an item, in seconds from the item's beginning."""

    from_s: float
    until_s: float
    findings: Findings


class Detector(abc.ABC):
    """Looks at one item after another: `open`, then `see` and `hear` as decoding goes on, then `findings`.

    An instance lives in a decoding process and is used for many items, so `open` forgets the former one. Its memory
    must not grow with the item's length. An exception makes it absent for the item, with its text as the reason.

    What it needs it says by class attributes, and gets it made once for all who need the same. Models run on one
    thread: processes × threads = cores.
    """

    name: ClassVar[str]
    #: Changes whenever the same media would give other signals.
    version: ClassVar[str]
    wants_frames: ClassVar[bool] = False
    wants_sound: ClassVar[bool] = False
    #: Longer side in pixels at most; nothing is enlarged.
    side: ClassVar[int] = FRAME_SIDE
    colour: ClassVar[Literal["rgb", "grey"]] = "rgb"
    #: Frames in one call of `see`, at most: a model's batch.
    batch: ClassVar[int] = BATCH
    #: 0: cheap enough for every item. 1: for what gives reason to look closer. The policy may say otherwise.
    tier: ClassVar[Literal[0, 1]] = 0
    #: Whether it comes with an extra that an installation may do without.
    optional: ClassVar[bool] = False
    #: Names of cues upon which a detector of tier 1 looks at an item that otherwise gives no reason to.
    wakes_on: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def problems(cls) -> list[str]:
        """What keeps it from working on this machine, in words (a model that is missing or changed); for `doctor`."""
        return []

    @abc.abstractmethod
    def open(self, source: Source) -> None:
        """Begin an item."""

    def see(self, frames: Sequence[Frame]) -> Iterable[Cue] | None:
        """Look at a few sampled frames, in order of time within each track."""
        return None

    def hear(self, samples: NDArray[np.float32], at_s: float) -> Iterable[Cue] | None:
        """Listen to a stretch of mono sound in [-1, 1] at SOUND_RATE that begins at `at_s`. One that is cued hears
        stretches with gaps in between."""
        return None

    @abc.abstractmethod
    def findings(self) -> Findings:
        """What was found, once everything has been seen and heard."""

    @classmethod
    def merge(cls, parts: Sequence[Part]) -> Findings:
        """Findings of an item that was read in stretches, in order of time, as those of the whole: of each signal the
        highest score, with the evidence of all, and every frame's hash, all words and all sounds."""
        best: dict[str, Signal] = {}
        for part in parts:
            for signal in part.findings.signals:
                former = best.get(signal.name)
                evidence = (former.evidence if former else ()) + signal.evidence
                # Of too much evidence the first, in order of time; a detector with a better rule has its own `merge`.
                best[signal.name] = Signal(
                    name=signal.name,
                    detector=signal.detector,
                    score=max(signal.score, former.score if former else 0.0),
                    evidence=evidence[:MOST_EVIDENCE],
                )
        return Findings(
            tuple(best.values()),
            tuple(frame for part in parts for frame in part.findings.frames),
            captions=tuple(caption for part in parts for caption in part.findings.captions),
            speech=tuple(utterance for part in parts for utterance in part.findings.speech),
            sounds=tuple(sound for part in parts for sound in part.findings.sounds),
            points=tuple(points for part in parts for points in part.findings.points),
            absent=tuple(dict.fromkeys(why for part in parts for why in part.findings.absent)),
        )
