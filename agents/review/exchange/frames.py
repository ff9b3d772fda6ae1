"""The text file of the vPDQ program, `FRAME,QUALITY,PDQ,SECONDS` a line: the frames of one video, one entry.

Source: `vpdq/README.md` and `vpdq/sample-hashes/` of github.com/facebook/ThreatExchange.
"""

from __future__ import annotations

from collections.abc import Iterator

from agents.review.exchange.lines import Bad, Lines
from agents.review.exchange.row import Given, Outcome
from agents.review.exchange.signals import Malformed, frame_of

SOURCE = "vpdq"


def read(lines: Lines, given: Given) -> Iterator[Outcome]:
    """One entry of all good lines. A line that is wrong is left out of it, and named."""
    frames = []
    for number, text in lines:
        parts = text.strip().split(",")
        if len(parts) not in (3, 4):  # the older sample files have no time
            yield Bad(number, "", f"has {len(parts)} parts: write FRAME,QUALITY,PDQ,SECONDS")
            continue
        try:
            frames.append(frame_of(f"{parts[2]},{parts[1]},{parts[3] if len(parts) == 4 else 0}", f"frame {parts[0]}"))
        except Malformed as error:
            yield Bad(number, "", str(error))
    if frames:
        yield given.row(1, ("vpdq", *(frame["pdq"] for frame in frames)), SOURCE, frames=frames)
