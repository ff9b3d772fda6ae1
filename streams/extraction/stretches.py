"""Stretches: a long item read a part at a time, and the parts joined to the reading of the whole.

What comes of it is what one reading gives, but for these: sound is cut where a stretch ends, so that a detector loses
what it would have heard across the cut; the first frame of a stretch counts as a scene of its own; and where a group of
pictures is shorter than the interval of sampling, other frames of it may be sampled, at most one interval away.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from schemas.plan import Ran
from streams.extraction.detector import Detector, Part
from streams.extraction.read import Reading
from streams.extraction.subtitles import merged as texts_of


def stretches(duration_s: float, length_s: float) -> list[tuple[float, float]]:
    """The stretches of an item: as few as may be, each at most so long, of equal length. The last has no end, since a
    file may hold more than it says."""
    count = max(1, -(-duration_s // length_s)) if duration_s > 0 else 1
    step_s = duration_s / count
    edges = [number * step_s for number in range(int(count))]
    return list(zip(edges, [*edges[1:], float("inf")], strict=True))


def merged(readings: Sequence[Reading], kinds: Sequence[type[Detector]]) -> Reading:
    """The reading of the whole from those of all its stretches, in any order.

    A detector that failed in one stretch is absent from the whole: it has not seen all of it.

    Raises:
        ExtractFailure: there is nothing to see or to hear in any of them.
    """
    parts = sorted(readings, key=lambda reading: reading.stretch or (0.0, 0.0))
    if not parts or any(part.stretch is None for part in parts):
        raise ValueError("only readings of stretches can be merged")
    facts = max((part.media for part in parts), key=lambda media: media.duration_s)
    present = [kind for kind in kinds if all(kind.name in part.models for part in parts)]
    found = {
        kind.name: kind.merge(
            [
                Part(part.stretch[0], min(part.stretch[1], facts.duration_s), part.findings[kind.name])
                for part in parts
                if part.stretch
            ]
        )
        for kind in present
    }
    cued: dict[str, int] = {}
    for part in parts:
        for name, count in (part.ran.cued if part.ran else {}).items():
            cued[name] = cued.get(name, 0) + count
    first = parts[0].ran
    return Reading(
        media=msgspec.structs.replace(
            facts,
            frames_seen=sum(part.media.frames_seen for part in parts),
            sound_s=sum(part.media.sound_s for part in parts),
            md5=next((part.media.md5 for part in parts if part.media.md5), None),
        ),
        signals=tuple(signal for findings in found.values() for signal in findings.signals),
        frames=tuple(frame for findings in found.values() for frame in findings.frames),
        captions=tuple(caption for findings in found.values() for caption in findings.captions),
        speech=tuple(utterance for findings in found.values() for utterance in findings.speech),
        absent=tuple(dict.fromkeys(why for part in parts for why in part.absent)),
        models={kind.name: kind.version for kind in present},
        ran=Ran(plan=first.plan, cued=cued) if first else None,
        decoded=sum(part.decoded for part in parts),
        unseen=all(part.unseen for part in parts),
        sounds=tuple(sound for findings in found.values() for sound in findings.sounds),
        points=tuple(points for findings in found.values() for points in findings.points),
        texts=texts_of([part.texts for part in parts]),
    ).whole()
