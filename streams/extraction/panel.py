"""The detectors over one item: each is shown what the plan gives it; one that fails leaves, and the others go on."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from schemas.plan import Look, Plan
from streams.extraction.detector import BATCH, SOUND_RATE, Cue, Detector, Findings, Frame, Source

#: Seconds of sound that are kept for detectors that a cue may bring to it: a voice detector says that somebody spoke
#: once they have finished, and few sentences are longer. 1.9 MB.
KEPT_SOUND_S = 30.0
#: A sampled frame's time counts as the plan's when it comes this much early, in seconds: half a frame at 30 a second.
EARLY_S = 1 / 60

_WIRE = msgspec.msgpack.Encoder()
_FINDINGS = msgspec.msgpack.Decoder(Findings)

#: How a detector wants its pictures: the longer side, and "rgb" or "grey".
Form = tuple[int, str]


class Shown(NamedTuple):
    """A sampled frame in the forms that somebody asks for, of this frame."""

    at_s: float
    track: int
    scene: bool
    forms: Mapping[Form, NDArray[np.uint8]]


@dataclass(eq=False)
class _Seat:
    detector: Detector
    look: Look
    seen_s: dict[int, float] = field(default_factory=dict)  # track → when a frame was last shown to it
    heard_s: float = float("-inf")  # of one that is cued: up to where it has heard

    @property
    def form(self) -> Form:
        return self.detector.side, self.detector.colour

    def due(self, at_s: float, track: int, scene: bool) -> bool:
        """Whether the plan has it look at a frame of this time."""
        every_s = self.look.every_s
        if not every_s or scene:
            return True
        since = at_s - self.seen_s.get(track, float("-inf"))
        return since < 0 or since >= every_s - EARLY_S


class Panel:
    """The detectors over one item."""

    def __init__(self, detectors: Sequence[Detector], plan: Plan) -> None:
        seats = [_Seat(detector, plan.detectors.get(detector.name, Look())) for detector in detectors]
        self._seats = [seat for seat in seats if seat.look.run != "off"]
        self._round: list[tuple[Shown, list[_Seat]]] = []  # each with who always looks at it
        self._kept: deque[tuple[float, NDArray[np.float32]]] = deque()
        self.absent: list[str] = []
        #: Detector → frames and stretches of sound that cues brought to it.
        self.cued: dict[str, int] = {}

    @property
    def present(self) -> list[Detector]:
        """Who has not failed."""
        return [seat.detector for seat in self._seats]

    def forms(self) -> set[Form]:
        """The forms in which frames are asked for."""
        return {seat.form for seat in self._seats if seat.detector.wants_frames}

    def asked(self, at_s: float, track: int, scene: bool) -> set[Form]:
        """The forms in which a frame of this time is, or may be, shown to somebody."""
        return {
            seat.form
            for seat in self._seats
            if seat.detector.wants_frames and (seat.look.run != "always" or seat.due(at_s, track, scene))
        }

    @property
    def wants_sound(self) -> bool:
        """Whether anybody listens."""
        return any(seat.detector.wants_sound for seat in self._seats)

    def open(self, source: Source) -> None:
        """Begin an item."""
        for seat in tuple(self._seats):
            self._ask(seat, "open", source)

    def see(self, shown: Shown) -> None:
        """Take a sampled frame; it is shown to the detectors when a few have come together."""
        due = [seat for seat in self._of("always", "wants_frames") if seat.due(shown.at_s, shown.track, shown.scene)]
        for seat in due:
            seat.seen_s[shown.track] = shown.at_s
        self._round.append((shown, due))
        if len(self._round) >= BATCH:
            self.look()

    def look(self) -> None:
        """Show what has come together: first to those who always look, then to those whom their cues bring to it."""
        frames, self._round = self._round, []
        if not frames:
            return
        cues: list[Cue] = []
        for seat in self._of("always", "wants_frames"):
            cues += self._show(seat, [shown for shown, seats in frames if seat in seats])
        for seat in self._of("cued", "wants_frames"):
            wakes = [cue for cue in cues if cue.name in seat.detector.wakes_on]
            due = [shown for shown, _ in frames if any(cue.at_s <= shown.at_s <= cue.until_s for cue in wakes)]
            self._count(seat, len(due))
            self._show(seat, due)

    def hear(self, samples: NDArray[np.float32], at_s: float) -> None:
        """Have those who listen hear it."""
        cues: list[Cue] = []
        for seat in self._of("always", "wants_sound"):
            cues += self._ask(seat, "hear", samples, at_s) or ()
        cued = self._of("cued", "wants_sound")
        if not cued:
            return
        if self._kept and at_s < self._kept[-1][0]:  # another track begins
            self._kept.clear()
            for seat in cued:
                seat.heard_s = float("-inf")
        self._kept.append((at_s, samples))
        while at_s - self._kept[0][0] > KEPT_SOUND_S:
            self._kept.popleft()
        for seat in cued:
            for cue in sorted((cue for cue in cues if cue.name in seat.detector.wakes_on), key=lambda cue: cue.at_s):
                self._play(seat, cue)

    def findings(self) -> dict[str, Findings]:
        """Detector → what it found, of those who answer."""
        self.look()
        found = {}
        for seat in tuple(self._seats):
            answer = self._ask(seat, "findings")
            if answer is not None:
                found[seat.detector.name] = answer
        return found

    def _of(self, run: str, wants: str) -> list[_Seat]:
        return [seat for seat in self._seats if seat.look.run == run and getattr(seat.detector, wants)]

    def _show(self, seat: _Seat, due: Sequence[Shown]) -> list[Cue]:
        cues: list[Cue] = []
        step = max(1, seat.detector.batch)
        for begin in range(0, len(due), step):
            batch = tuple(
                Frame(shown.at_s, shown.forms[seat.form], shown.scene, shown.track)
                for shown in due[begin : begin + step]
            )
            cues += self._ask(seat, "see", batch) or ()
        return cues

    def _play(self, seat: _Seat, cue: Cue) -> None:
        begin_s = max(cue.at_s, seat.heard_s)
        parts: list[NDArray[np.float32]] = []
        first_s = 0.0
        for at_s, samples in self._kept:
            begin = max(0, round((begin_s - at_s) * SOUND_RATE))
            end = min(len(samples), round((cue.until_s - at_s) * SOUND_RATE))
            if begin < end:
                first_s = first_s if parts else at_s + begin / SOUND_RATE
                parts.append(samples[begin:end])
        if parts:
            samples = np.concatenate(parts)
            seat.heard_s = first_s + len(samples) / SOUND_RATE
            self._count(seat, 1)
            self._ask(seat, "hear", samples, round(first_s, 3))

    def _count(self, seat: _Seat, more: int) -> None:
        if more:
            self.cued[seat.detector.name] = self.cued.get(seat.detector.name, 0) + more

    def _ask(self, seat: _Seat, method: str, *args: Any) -> Any:
        """What it answers. One that fails leaves the panel, with the reason."""
        if seat not in self._seats:
            return None
        try:
            answer = getattr(seat.detector, method)(*args)
            if method == "findings":  # what cannot go over the wire must not cost the item either
                return _FINDINGS.decode(_WIRE.encode(answer))
            return _cues(answer) if method in ("see", "hear") else None
        except MemoryError:  # that is the process's, and the next item's too
            raise
        except Exception as error:
            self._seats.remove(seat)
            why = f"{seat.detector.name}: {type(error).__name__}: {error}"[:300]
            self.absent.append(why.encode("utf-8", "replace").decode())  # it may quote the file's metadata
            return None


def _cues(answer: Iterable[Cue] | None) -> tuple[Cue, ...]:
    return tuple(Cue(*cue) for cue in answer or ())
