"""The QR detector: links and texts that the picture holds as QR codes, read by OpenCV."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from schemas.signals import Evidence, Signal
from streams.extraction.detector import Detector, Findings, Frame, Part, Source, Unavailable

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Different codes of one item that are named: a hundred times what a clip shows.
MOST_CODES = 50
#: Pictures of one item, or of a stretch of it, that are searched without success at most: a tenth of a second each.
#: What looks like the marks of a code and is none looks so for long.
MOST_FAILURES = 20
#: How many times as large as it is a picture is searched by each of OpenCV's readers, one after the other. Of codes of
#: 130 points the first reads eight of nine, of 110 six; what it misses the second reads in most cases, at three times
#: the cost.
READERS = (("QRCodeDetectorAruco", 1), ("QRCodeDetector", 2))
#: A code that was read is taken to be there still while its marks are seen, and is read again after so many seconds.
READ_EACH_S = 2.0
#: Longest text that is kept: codes hold at most 4,296 characters.
MOST_CHARACTERS = 2000


class QrDetector(Detector):
    """Signal `qr`, score 1: each text that a QR code held as evidence, from when to when sampled frames show it.

    Whether the marks of a code may be there is found for 4 ms a frame; only then is it searched and read.
    """

    name = "qr"
    version = "opencv-1"
    wants_frames = True
    optional = True
    #: The same pictures as captions are read from: a code of 100 points in one of 960 is read.
    side = 960

    def __init__(self) -> None:
        self._missing = "; ".join(self.problems())
        if not self._missing:
            import cv2

            from agents.review.finders import may_hold_code

            cv2.setNumThreads(1)  # processes × threads = cores
            self._readers: list[tuple[Any, int]] = [(getattr(cv2, name)(), times) for name, times in READERS]
            self._may_hold_code = may_hold_code

    @classmethod
    def problems(cls) -> list[str]:
        """Whether OpenCV is there; it comes with the extra `captions`."""
        if find_spec("cv2") is None:
            return ["the package opencv-python-headless is missing: install with the extra `captions`"]
        return []

    def open(self, source: Source) -> None:
        """Forget the former item."""
        if self._missing:
            raise Unavailable(self._missing)
        self._found: dict[str, tuple[float, float]] = {}
        self._read_s: dict[int, float] = {}
        self._failures = 0

    def see(self, frames: Sequence[Frame]) -> None:
        """Read the codes of each frame that may have some."""
        for frame in frames:
            since = frame.at_s - self._read_s.get(frame.track, float("-inf"))
            if 0 <= since < READ_EACH_S or self._failures >= MOST_FAILURES or not self._may_hold_code(frame.rgb):
                continue
            texts = self._texts(frame.rgb)
            if not texts:
                self._failures += 1
                continue
            self._failures = 0
            self._read_s[frame.track] = frame.at_s
            for text in texts:
                begin_s, end_s = self._found.get(text, (frame.at_s, frame.at_s))
                if text in self._found or len(self._found) < MOST_CODES:
                    self._found[text] = min(begin_s, frame.at_s), max(end_s, frame.at_s)

    def findings(self) -> Findings:
        """The texts, in order of time."""
        return _signal(
            [
                Evidence(at_s=begin_s, until_s=end_s, text=text)
                for text, (begin_s, end_s) in sorted(self._found.items(), key=lambda one: one[1])
            ]
        )

    @classmethod
    def merge(cls, parts: Sequence[Part]) -> Findings:
        """Each text once."""
        found: dict[str, Evidence] = {}
        for part in parts:
            for one in (piece for signal in part.findings.signals for piece in signal.evidence):
                former = found.get(one.text or "")
                found[one.text or ""] = Evidence(
                    at_s=former.at_s if former else one.at_s, until_s=one.until_s, text=one.text
                )
        return _signal(list(found.values())[:MOST_CODES])

    def _texts(self, rgb: NDArray[Any]) -> list[str]:
        import cv2

        grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
        for reader, times in self._readers:
            larger = grey if times == 1 else cv2.resize(grey, None, fx=times, fy=times, interpolation=cv2.INTER_CUBIC)
            try:
                done, texts, _, _ = reader.detectAndDecodeMulti(larger)
            except (cv2.error, UnicodeDecodeError):  # it fails at some pictures, and at texts of other character sets
                continue
            if done and any(texts):
                kept = [text.encode("utf-8", "replace").decode()[:MOST_CHARACTERS] for text in texts if text]
                return list(dict.fromkeys(kept))
        return []


def _signal(evidence: Sequence[Evidence]) -> Findings:
    if not evidence:
        return Findings()
    return Findings((Signal(name="qr", detector=QrDetector.name, score=1.0, evidence=tuple(evidence)),))
