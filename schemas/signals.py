"""Signals: what extraction found in one item. All that later stages need; they never touch the media."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from schemas.event import Event
from schemas.message import Count, Id, Md5, Message, Pdq, Score, Seconds, Text, Trimmed, Utc
from schemas.plan import Ran

#: What `absent` says after the name of a detector whose package or model is not on the machine.
UNAVAILABLE = "Unavailable"
#: Seconds from a code of Chromaprint to the next.
CODE_S = 1365 / 11_025
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


class Box(Message, kw_only=True, frozen=True):
    """Where in the picture: the upright rectangle around it, in shares of the picture's width and height."""

    left: Score
    top: Score
    width: Score
    height: Score


class Caption(Message, kw_only=True, frozen=True):
    """Text that the picture shows, one line at one place. `until_s` is the last sampled frame that shows it."""

    at_s: Seconds
    until_s: Seconds
    text: Text
    score: Annotated[Score, msgspec.Meta(description="how sure the reader is of the text")]
    box: Box | None = None


class Utterance(Message, kw_only=True, frozen=True):
    """Words that somebody speaks, as a model wrote them down."""

    at_s: Seconds
    until_s: Seconds
    text: Text
    language: Annotated[str, msgspec.Meta(max_length=16, description="code of ISO 639, as the model names it")] = ""
    score: Annotated[Score, msgspec.Meta(description="how sure the model is of the words")]


class MediaText(Message, kw_only=True, frozen=True):
    """Words that the file carries beside picture and sound, as they are written there."""

    kind: Literal["subtitles", "chapter"]
    at_s: Seconds
    until_s: Seconds
    text: Text
    track: Annotated[Count, msgspec.Meta(description="which of the file's tracks of subtitles, from 0")] = 0
    language: Annotated[str, msgspec.Meta(max_length=16, description="as the file says; empty: it does not")] = ""


class FrameHash(Message, kw_only=True, frozen=True):
    """The PDQ hash of one sampled frame, scaled so that its longer side is 512 px."""

    at_s: Seconds
    pdq: Pdq
    quality: Quality


class SoundPrint(Message, kw_only=True, frozen=True):
    """A fingerprint of a stretch of sound: a code of 32 bits each 0.124 s, by Chromaprint's algorithm."""

    at_s: Seconds
    until_s: Seconds
    codes: Annotated[
        bytes,
        msgspec.Meta(
            min_length=4,
            description="one after the other, each as 4 bytes, the lowest first; base64 in JSON",
            extra_json_schema={
                "contentEncoding": "base64",
                "pattern": "^(?:[A-Za-z0-9+/]{16})*(?:[A-Za-z0-9+/]{16}|[A-Za-z0-9+/]{11}=|[A-Za-z0-9+/]{6}==)$",
            },
        ),
    ]
    algorithm: Annotated[
        str,
        msgspec.Meta(min_length=1, max_length=64, description="others than those that are known match nothing"),
    ] = "chromaprint"
    variant: Annotated[
        str,
        msgspec.Meta(max_length=64, description="how the sound was changed before, e.g. pitch+4 (per cent)"),
    ] = ""

    def __post_init__(self) -> None:
        if len(self.codes) % 4:
            raise ValueError(f"`codes` are {len(self.codes)} bytes long: each code has 4")


class FramePoints(Message, kw_only=True, frozen=True):
    """Corners of one frame, or of its mirror image, by which it is known again when it was cropped, turned or framed.

    They stay within extraction, and come with the hash bank: signals say what they were found to agree with.
    """

    at_s: Seconds
    points: Annotated[
        bytes,
        msgspec.Meta(
            max_length=34 * 500,
            description="34 bytes each, those that tell most first: ORB's 256 bits, then x and y in pixels of a "
            "picture whose longer side has 256; base64 in JSON",
            extra_json_schema={"contentEncoding": "base64"},
        ),
    ]
    mirrored: bool = False

    def __post_init__(self) -> None:
        if len(self.points) % 34:
            raise ValueError(f"`points` has {len(self.points)} bytes, which is no multiple of 34")


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
    md5: Annotated[Md5 | None, msgspec.Meta(description="of the file, for lists that know files by nothing else")] = (
        None
    )


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
    captions: Annotated[tuple[Caption, ...], msgspec.Meta(description="text in the picture, in order of time")] = ()
    speech: Annotated[tuple[Utterance, ...], msgspec.Meta(description="spoken words, in order of time")] = ()
    sounds: Annotated[tuple[SoundPrint, ...], msgspec.Meta(description="of all sound, in order of time")] = ()
    texts: Annotated[
        tuple[MediaText, ...], msgspec.Meta(description="subtitles and titles of chapters, in order of time")
    ] = ()
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
