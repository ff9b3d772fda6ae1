"""The points detector: corners of some frames, by which copies are known that were cropped or turned."""

from __future__ import annotations

from collections.abc import Sequence

from agents.review.points import BANK_POINTS, QUERY_POINTS, Describer
from schemas.signals import FramePoints
from streams.extraction.detector import Detector, Findings, Frame, Part, Source

#: Seconds between two frames that are described, unless the later shows another scene: a frame costs five milliseconds
#: and 27 kilobytes.
APART_S = 0.9
#: Descriptions of an item that is read in stretches, at most, 50 MB in the worker: of a frame each two seconds, and its
#: mirror image, an hour. Of what lasts longer every second one, or fourth, is compared, as of hashes.
MOST_OF_ITEM = 3600
#: Frames of an entry's media that are described at most: seven kilobytes each, and a message holds a million bytes.
MOST_OF_ENTRY = 60


class PointsDetector(Detector):
    """Describes frames, and their mirror images; gives no signal of its own."""

    name = "points"
    version = "orb-256px-1"
    wants_frames = True
    colour = "grey"
    #: Half of the pixels are corners' surroundings: from the size that hashes see, it is made as small as it is used.
    side = 256
    most_points = QUERY_POINTS
    mirrored = True

    def __init__(self) -> None:
        self._describer = Describer(self.most_points)
        self._found: list[FramePoints] = []
        self._last: dict[int, float] = {}

    def open(self, source: Source) -> None:
        """Forget the former item."""
        self._found, self._last = [], {}

    def see(self, frames: Sequence[Frame]) -> None:
        """Describe what comes a while after the last, or shows another scene."""
        for frame in frames:
            last_s = self._last.get(frame.track)
            if last_s is not None and not frame.scene and 0 <= frame.at_s - last_s < APART_S:
                continue
            self._last[frame.track] = frame.at_s
            for mirrored in (False, True) if self.mirrored else (False,):
                points = self._describer.describe(frame.pixels, mirrored=mirrored)
                if points:
                    self._found.append(FramePoints(at_s=frame.at_s, points=points, mirrored=mirrored))

    def findings(self) -> Findings:
        """The points."""
        return Findings(points=tuple(self._found))

    @classmethod
    def merge(cls, parts: Sequence[Part]) -> Findings:
        """Those of all stretches, thinned evenly."""
        frames: dict[float, list[FramePoints]] = {}
        for points in (points for part in parts for points in part.findings.points):
            frames.setdefault(points.at_s, []).append(points)  # one and its mirror image stay together
        kept = list(frames.values())
        while sum(map(len, kept)) > MOST_OF_ITEM and len(kept) > 1:
            kept = kept[::2]
        return Findings(points=tuple(points for frame in kept for points in frame))


class EnrollingPointsDetector(PointsDetector):
    """Describes the frames of media that is banned: fewer points, as it is only, and evenly over its length."""

    most_points = BANK_POINTS
    mirrored = False

    def findings(self) -> Findings:
        """The points of as many frames as an entry holds."""
        count = min(len(self._found), MOST_OF_ENTRY)
        return Findings(points=tuple(self._found[place * len(self._found) // count] for place in range(count)))
