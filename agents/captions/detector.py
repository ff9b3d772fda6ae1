"""The captions detector: text in the picture, each line once, from when to when it is shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from agents.captions import reader
from schemas.signals import Caption
from streams.extraction.detector import Detector, Findings, Frame, Part, Source, Unavailable

if TYPE_CHECKING:
    from agents.captions.shown import Shown

#: Captions of one item in the signals, about 150 kB. A news ticker makes one a frame; two an hour-long talk's second.
MOST_CAPTIONS = 1000
#: A caption that ends where a stretch of an item does goes on in the next if it is shown again within so many seconds.
RESUMES_S = 5.0


class CaptionsDetector(Detector):
    """`captions`: every line of text that sampled frames show, with its place; no signal of its own.

    What looks like writing (`strokes`) is read, and read again only when something else is written: see `shown`.
    """

    name = "captions"
    version = f"2-{reader.VERSION}"
    wants_frames = True
    optional = True
    #: Text of 26 px in a picture of 1280 is read as well as text of 44 px; at 512 px a fifth of it is lost.
    side = 960

    def __init__(self) -> None:
        self._tracks: dict[int, Shown] = {}
        self._missing = "; ".join(self.problems())
        if not self._missing:
            self._reader = reader.Reader()

    @classmethod
    def problems(cls) -> list[str]:
        """Whether the models are those that were measured."""
        return reader.problems()

    def open(self, source: Source) -> None:
        """Forget the former item."""
        if self._missing:
            raise Unavailable(self._missing)
        self._tracks = {}

    def see(self, frames: Sequence[Frame]) -> None:
        """Read what is new."""
        from agents.captions.shown import Shown

        for frame in frames:
            track = self._tracks.setdefault(frame.track, Shown(self._reader, MOST_CAPTIONS))
            track.look(frame.rgb, frame.at_s)

    def findings(self) -> Findings:
        """All captions, in order of time and from top to bottom."""
        return Findings(captions=_ordered([caption for track in self._tracks.values() for caption in track.captions()]))

    @classmethod
    def merge(cls, parts: Sequence[Part]) -> Findings:
        """Those of all stretches; one that goes on from one into the next is one."""
        joined: list[Caption] = []
        for caption in _ordered([caption for part in parts for caption in part.findings.captions]):
            former = next((one for one in reversed(joined[-20:]) if _goes_on(one, caption)), None)
            if former is None:
                joined.append(caption)
            else:
                joined[joined.index(former)] = _until(former, caption)
        return Findings(captions=tuple(joined[:MOST_CAPTIONS]))


def _ordered(captions: Sequence[Caption]) -> tuple[Caption, ...]:
    place = {id(one): (one.box.top, one.box.left) if one.box else (0.0, 0.0) for one in captions}
    return tuple(sorted(captions, key=lambda one: (one.at_s, *place[id(one)]))[:MOST_CAPTIONS])


def _goes_on(former: Caption, caption: Caption) -> bool:
    if former.text != caption.text or not 0 <= caption.at_s - former.until_s <= RESUMES_S:
        return False
    if former.box is None or caption.box is None:
        return former.box is caption.box
    return abs(former.box.top - caption.box.top) < max(former.box.height, caption.box.height)


def _until(former: Caption, caption: Caption) -> Caption:
    return Caption(
        at_s=former.at_s,
        until_s=max(former.until_s, caption.until_s),
        text=former.text,
        score=max(former.score, caption.score),
        box=former.box,
    )
