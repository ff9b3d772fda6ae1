"""Signals: what extraction found in one item. All that later stages need; they never touch the media."""

from __future__ import annotations

from typing import Annotated

import msgspec

from schemas.event import Event
from schemas.message import Count, Id, Message, Pdq, Score, Seconds, Text, Trimmed, Utc
from schemas.plan import Ran

Quality = Annotated[int, msgspec.Meta(ge=0, le=100, description="PDQ's own measure of usable detail")]


class Evidence(Message, kw_only=True, frozen=True):
    """Where something was found, and what it was found against."""

    at_s: Annotated[Seconds | None, msgspec.Meta(description="place in the media")] = None
    until_s: Seconds | None = None
    entry: Annotated[str | None, msgspec.Meta(description="the matched entry of a bank or list")] = None
    text: Annotated[Text | None, msgspec.Meta(description="what was found, in words")] = None


class Signal(Message, kw_only=True, frozen=True):
    """One finding of one detector. A score, not a decision: the detector knows no threshold."""

    name: Annotated[Id, msgspec.Meta(description="e.g. nudity, aigc.compliant, c2pa")]
    detector: Id
    score: Score
    evidence: tuple[Evidence, ...] = ()


class FrameHash(Message, kw_only=True, frozen=True):
    """The PDQ hash of one sampled frame, scaled so that its longer side is 512 px."""

    at_s: Seconds
    pdq: Pdq
    quality: Quality


class MediaFacts(Message, kw_only=True, frozen=True):
    """What the container and the decoder say of the media."""

    container: str
    duration_s: Seconds
    width: Count | None = None
    height: Count | None = None
    video_codec: str | None = None
    audio_codec: str | None = None
    frames_seen: Annotated[Count, msgspec.Meta(description="sampled frames that the detectors saw")] = 0
    sound_s: Annotated[Seconds, msgspec.Meta(description="seconds of sound that the detectors heard")] = 0.0


class ExtractError(Message, kw_only=True, frozen=True):
    """Why the media could not be read; `code` is an EXTRACT-* code of the reason catalogue."""

    code: Id
    text: Text


class Signals(Message, kw_only=True, frozen=True):
    """The result of extraction for one event. Either `media` or `error` is set."""

    event: Event
    extracted_at: Utc
    extraction_s: Seconds
    media: MediaFacts | None = None
    error: ExtractError | None = None
    signals: tuple[Signal, ...] = ()
    frames: tuple[FrameHash, ...] = ()
    labels: Annotated[
        tuple[Id, ...], msgspec.Meta(description="of the entity memory, on its publisher, devices and medium")
    ] = ()
    absent: Annotated[
        tuple[str, ...], msgspec.Meta(description="detectors that did not answer, each with the reason")
    ] = ()
    models: Annotated[dict[str, str], msgspec.Meta(description="detector → version")] = {}
    ran: Annotated[Ran | None, msgspec.Meta(description="how closely it was looked at, and why")] = None
    trimmed: Trimmed = 0

    def best(self, name: str) -> Signal | None:
        """The signal of that name with the highest score, if there is one."""
        return max((s for s in self.signals if s.name == name), key=lambda s: s.score, default=None)
