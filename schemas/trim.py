"""Making a message that no broker takes small enough, without making what follows from it laxer. Pure.

What a judge goes by is never left out in silence. Scores, reasons and codes stay. Of evidence, which is for people, the
first pieces stay: whoever finds something puts the strongest first. Fingerprints of sound, then frame hashes, are
thinned last, evenly over the media, and then the item counts as not wholly reviewed (`absent`), which brings a person.
Splitting `signals` into several messages would keep every hash, but a worker of an older version would take the first
part for the whole item and let the rest pass, and a newer one could decide only with state that it has to find again
after each restart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from msgspec.structs import replace

from schemas.decision import Decision, Reason
from schemas.message import Message, encode
from schemas.orders import Review, Takedown
from schemas.signals import CODE_S, Evidence, FrameHash, Signal, Signals, SoundPrint
from schemas.verdict import Verdict

#: Pieces of evidence kept of one finding, and characters kept of each text, step by step: enough for a person at first,
#: then what identifies the finding.
EVIDENCE_STEPS = ((100, 2000), (20, 500), (5, 200), (1, 100), (0, 0))
#: Frames kept of those with the very same hash, from the first on. Matches are counted against the policy's
#: `hash_min_frames`; up to so many, leaving out further copies changes no judgement, and beyond it a hit that would
#: remove still brings a person.
COPIES = 10
#: Codes of sound that are kept or left out together, 16 s: in half of them lies a part of what lasts longer.
PIECE = 128
#: Shares of the pieces that are kept, step by step.
SOUND_SHARES = (0.5, 0.25)
#: How often the share of frames that fits is tried again, each time a tenth smaller.
FRAME_TRIES = 40

Found = TypeVar("Found", Reason, Signal)


def trimmed(message: Message, most_bytes: int) -> Message | None:
    """The message with as little left out as makes its JSON fit, and with how much that was in `trimmed`; None if it
    cannot be made to fit, or is not of a kind that is trimmed (events, rows: what others wrote)."""
    if isinstance(message, Signals):
        steps: Iterator[Message] = _signals(message, most_bytes)
    elif isinstance(message, Decision | Takedown | Review | Verdict):
        steps = (_with(message, "reasons", *limits) for limits in EVIDENCE_STEPS)
    else:
        return None
    return next((smaller for smaller in steps if len(encode(smaller)) <= most_bytes), None)


def _signals(signals: Signals, most_bytes: int) -> Iterator[Signals]:
    found = signals
    for most, length in EVIDENCE_STEPS[:3]:
        yield (found := _with(signals, "signals", most, length))
    frames = _without_copies(signals.frames)
    left = len(signals.frames) - len(frames)
    yield (found := replace(found, frames=frames, trimmed=found.trimmed + left))
    for share in SOUND_SHARES if found.sounds else ():
        sounds, left = _pieces(found.sounds, share)
        if not left:
            continue
        said = f"sound: {left:,} pieces of sound of 16 s did not fit into the message"
        fewer = replace(found, sounds=sounds, absent=(*signals.absent, said), trimmed=found.trimmed + left)
        yield fewer
        if share == SOUND_SHARES[-1]:
            found = fewer
    absent = found.absent
    room = most_bytes - len(encode(replace(found, frames=())))
    each = len(encode(found)) - len(encode(replace(found, frames=())))
    count = min(len(frames), max(0, room * len(frames) // max(1, each)))
    for _ in range(FRAME_TRIES):
        kept = _evenly(frames, count)
        said = f"pdq: {len(frames) - len(kept):,} of {len(signals.frames):,} frames did not fit into the message"
        yield replace(found, frames=kept, absent=(*absent, said), trimmed=found.trimmed + len(frames) - len(kept))
        if count == 0:
            return
        count = count * 9 // 10


def _without_copies(frames: tuple[FrameHash, ...]) -> tuple[FrameHash, ...]:
    """At most so many frames of each hash and quality; a judge asks for quality too."""
    seen: Counter[tuple[str, int]] = Counter()
    kept = []
    for frame in frames:
        seen[frame.pdq, frame.quality] += 1
        if seen[frame.pdq, frame.quality] <= COPIES:
            kept.append(frame)
    return tuple(kept)


def _pieces(sounds: tuple[SoundPrint, ...], share: float) -> tuple[tuple[SoundPrint, ...], int]:
    """Pieces of each print, evenly, and how many were left out."""
    every = round(1 / share)
    kept: list[SoundPrint] = []
    left = 0
    for sound in sounds:
        count = len(sound.codes) // 4
        for number, begin in enumerate(range(0, count, PIECE)):
            if number % every:
                left += 1
                continue
            end = min(count, begin + PIECE)
            at_s, until_s = sound.at_s + begin * CODE_S, sound.until_s - (count - end) * CODE_S
            kept.append(replace(sound, at_s=at_s, until_s=until_s, codes=sound.codes[4 * begin : 4 * end]))
    return tuple(kept), left


def _evenly(frames: tuple[FrameHash, ...], count: int) -> tuple[FrameHash, ...]:
    return tuple(frames[place * len(frames) // count] for place in range(count)) if count else ()


def _with(message: Any, name: str, most: int, length: int) -> Any:
    """The message with at most so much evidence for each of its findings."""
    left = [0]

    def shortened(found: Found) -> Found:
        kept = found.evidence[:most]
        left[0] += len(found.evidence) - len(kept)
        return replace(found, evidence=tuple(_short(one, length, left) for one in kept))

    shorten: Callable[[Any], Any] = shortened
    findings = tuple(shorten(found) for found in getattr(message, name))
    return replace(message, **{name: findings}, trimmed=message.trimmed + left[0])


def _short(evidence: Evidence, length: int, left: list[int]) -> Evidence:
    if evidence.text is None or len(evidence.text) <= length:
        return evidence
    left[0] += 1
    return replace(evidence, text=evidence.text[: max(0, length - 1)] + "…")
