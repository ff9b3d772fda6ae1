"""Builders that every test of the agents shares: messages that pass, to be changed in the one field that matters."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import av
import numpy as np
import pytest
from hypothesis import settings
from numpy.typing import NDArray

from agents.decide import ground
from agents.identity.enrol import facts
from agents.identity.forms import KINDS
from schemas.bank import BankFrame, HashEntry, Rumor, RumorRefutation
from schemas.decision import Decision, LabelTerms, PolicyRef, Stop, decision_id
from schemas.event import Event, Media, Segment, Upload
from schemas.message import Message, decode, encode
from schemas.policy import IdentityPolicy, Policy, ReviewPolicy, RumorPolicy, SyntheticPolicy, VerdictPolicy
from schemas.registry import Assessment, Feature, Licence, Provider, Publisher
from schemas.signals import Evidence, ExtractError, FrameHash, MediaFacts, Signal, Signals
from schemas.topics import Topic
from streams.agent import Incoming

# A time limit on single examples would measure the machine, not the code.
settings.register_profile("agents", deadline=None)
settings.load_profile("agents")

M = TypeVar("M", bound=Message)

SECTIONS = {
    "identity": IdentityPolicy,
    "review": ReviewPolicy,
    "synthetic": SyntheticPolicy,
    "rumor": RumorPolicy,
    "verdict": VerdictPolicy,
}


class Make:
    """Makes messages. What is not named in a call is as it should be."""

    now = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
    #: The published example of GB 11643, and a code of a real provider (GB 32100).
    id_number = "11010519491231002X"
    organisation_code = "91110000600037341L"

    def wire(self, message: M) -> M:
        """The message as a reader has it. What the wire would refuse (a score above 1, an unknown end) fails here."""
        assert decode(type(message), encode(message)) == message
        return message

    async def read_back(self, history: Sequence[Message], since: Iterable[Topic]) -> AsyncIterator[Incoming]:
        """What lies on these topics, all of it in partition 3."""
        for topic in since:
            for offset, message in enumerate(each for each in history if isinstance(each, topic.message)):
                yield Incoming(topic.name, 3, offset, message)

    def at(self, seconds: float) -> datetime:
        return self.now + timedelta(seconds=seconds)

    def policy(self, version: int = 1, name: str = "default", **sections: Mapping[str, Any]) -> Policy:
        """A policy without terms; a section is given as its fields that differ from the defaults."""
        parts = {section: SECTIONS[section](**fields) for section, fields in sections.items()}
        return Policy(name=name, version=version, **parts)

    def _event(self, kind: type[Event], **changes: Any) -> Any:
        fields: dict[str, Any] = {
            "event_id": "e-1",
            "content_id": "c-1",
            "publisher_id": "p-1",
            "provider_id": "v-1",
            "service": "short_video",
            "media": Media(uri="s3://media/1.mp4", sha256="ab" * 32, bytes=1000),
            "created_at": self.at(-1),
        }
        return kind(**fields | changes)

    def upload(self, **changes: Any) -> Upload:
        return self._event(Upload, **changes)

    def segment(self, seq: int = 0, stream: str = "s-1", **changes: Any) -> Segment:
        fields = {"event_id": f"e-{stream}-{seq}", "content_id": f"c-{stream}-{seq}", "service": "live"}
        times = {"start_s": 2.0 * seq, "duration_s": 2.0}
        return self._event(Segment, stream_id=stream, seq=seq, **fields | times | changes)

    def publisher(self, **changes: Any) -> Publisher:
        """A row; numbers are given as themselves, and enrolled as a registrar does."""
        numbers = {"id_number": self.id_number} | {kind: changes.pop(kind) for kind in KINDS if kind in changes}
        known = facts({kind: number for kind, number in numbers.items() if number is not None}, self.now.date(), None)
        fields = {"publisher_id": "p-1", "kind": "person", "real_name": "verified"} | known._asdict()
        return Publisher(**fields | changes)

    def licence(self, **changes: Any) -> Licence:
        return Licence(**{"kind": "audio-video", "number": "0110538", "services": ("short_video",)} | changes)

    def provider(self, *licences: Licence) -> Provider:
        return Provider(provider_id="v-1", name="A service", licences=licences)

    def feature(self, valid_until: datetime | None = None) -> Feature:
        assessment = Assessment(
            assessor="lab", report_sha256="cd" * 32, assessed_at=self.at(-1000), valid_until=valid_until or self.at(1)
        )
        return Feature(feature_id="f-1", name="Face swap", assessment=assessment)

    def signal(self, name: str, score: float = 1.0, *evidence: Evidence) -> Signal:
        return Signal(name=name, detector="test", score=score, evidence=evidence)

    def signals(self, *found: Signal, event: Event | None = None, error: str | None = None, **changes: Any) -> Signals:
        fields: dict[str, Any] = {
            "event": event or self.upload(),
            "extracted_at": self.now,
            "extraction_s": 0.5,
            "signals": found,
        }
        if error:
            fields["error"] = ExtractError(code=error, text="what went wrong")
        else:
            fields["media"] = MediaFacts(container="mp4", duration_s=10.0)
        return Signals(**fields | changes)

    def frame(self, pdq: str | int, quality: int = 100, at_s: float = 0.0) -> FrameHash:
        return FrameHash(at_s=at_s, pdq=_code(pdq), quality=quality)

    def entry(self, *frames: tuple[str | int, int] | str | int, entry_id: str = "b-1", **changes: Any) -> HashEntry:
        """An entry of these hashes, each alone or with its quality, half a second apart."""
        pairs = [frame if isinstance(frame, tuple) else (frame, 100) for frame in frames]
        rows = tuple(
            BankFrame(pdq=_code(code), quality=quality, at_s=number / 2) for number, (code, quality) in enumerate(pairs)
        )
        fields = {"entry_id": entry_id, "category": "banned", "source": "test", "added_at": self.now, "frames": rows}
        return HashEntry(**fields | changes)

    def rumor(self, *claims: str, status: str = "refuted", rumor_id: str = "r-1", **changes: Any) -> Rumor:
        truth = RumorRefutation(text=f"the truth on {rumor_id}", authority="An authority", url="https://example.org/1")
        fields: dict[str, Any] = {"refutation": truth} if status == "refuted" else {}
        fields |= {"rumor_id": rumor_id, "claims": claims, "status": status, "added_at": self.now}
        return Rumor(**fields | changes)

    def decision(
        self,
        agent: str = "review",
        action: str = "allow",
        *codes: str,
        stop: tuple[str, str] | None = None,
        label: int | None = None,
        event: Event | None = None,
        version: int = 1,
        **changes: Any,
    ) -> Decision:
        """A decision; `stop` as (kind, until), `label` as its level. A takedown without a stop removes for good."""
        event = event or self.upload()
        policy = PolicyRef(name="default", version=version)
        if action == "takedown" and stop is None:
            stop = ("remove", "forever")
        if action == "label" and label is None:
            label = 3
        fields: dict[str, Any] = {
            "decision_id": decision_id(event.event_id, agent, policy),
            "event_id": event.event_id,
            "content_id": event.content_id,
            "publisher_id": event.publisher_id,
            "stream_id": event.stream_id,
            "seq": event.seq,
            "agent": agent,
            "action": action,
            "reasons": tuple(ground(code) for code in codes),
            "stop": Stop(kind=stop[0], until=stop[1]) if stop else None,
            "label": None if label is None else LabelTerms(level=label, text=f"label {label} of {agent}"),
            "policy": policy,
            "decided_at": self.now,
            "latency_s": 1.0,
        }
        return Decision(**fields | changes)


def _code(pdq: str | int) -> str:
    return f"{pdq:064x}" if isinstance(pdq, int) else pdq


@cache
def picture(seed: int, width: int = 512, height: int = 288) -> NDArray[np.uint8]:
    """A picture with the spectrum of natural ones (amplitude falls with frequency), another for each seed."""
    rng = np.random.default_rng(seed)
    down, across = np.fft.fftfreq(height)[:, None] * height, np.fft.fftfreq(width)[None] * width
    frequency = np.hypot(down, across)
    frequency[0, 0] = 1
    spectrum = rng.normal(size=(3, height, width)) + 1j * rng.normal(size=(3, height, width))
    light = np.fft.ifft2(spectrum / frequency**1.3).real.transpose(1, 2, 0)
    rgb = ((light - light.min()) / np.ptp(light) * 255).astype(np.uint8)
    rgb.flags.writeable = False  # it is shared
    return rgb


def clip(
    pictures: Iterable[NDArray[np.uint8]] = (),
    *,
    fps: int = 4,
    sound: NDArray[np.float32] | None = None,
    container: str = "mp4",
    metadata: Mapping[str, str] | None = None,
) -> bytes:
    """A small media file of these pictures and this sound (mono, 16 kHz), with its metadata."""
    file = io.BytesIO()
    options = {"movflags": "use_metadata_tags"} if container == "mp4" else {}
    pictures = list(pictures)
    with av.open(file, "w", format=container, options=options) as output:
        output.metadata.update(metadata or {})
        video = output.add_stream("mpeg4", rate=fps) if pictures else None
        audio = output.add_stream("aac", rate=16_000, layout="mono") if sound is not None else None
        if video:
            video.height, video.width = pictures[0].shape[:2]
            video.pix_fmt, video.bit_rate = "yuv420p", 4_000_000
            for number, rgb in enumerate(pictures):
                frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
                frame.pts, frame.time_base = number, Fraction(1, fps)
                output.mux(video.encode(frame))
            output.mux(video.encode(None))
        if audio:
            heard = av.AudioFrame.from_ndarray(sound.reshape(1, -1), format="fltp", layout="mono")
            heard.sample_rate, heard.pts = 16_000, 0
            output.mux(audio.encode(heard))
            output.mux(audio.encode(None))
    return file.getvalue()


@pytest.fixture(scope="session")
def make() -> Make:
    return Make()


@pytest.fixture(scope="session")
def natural() -> Callable[..., NDArray[np.uint8]]:
    return picture


@pytest.fixture
def media(tmp_path: Path) -> Callable[..., Path]:
    """Writes a clip to a file: `media("name.mp4", pictures, sound=…, metadata=…)`; `after` is appended to it."""

    def write(name: str, pictures: Sequence[NDArray[np.uint8]] = (), *, after: bytes = b"", **options: Any) -> Path:
        path = tmp_path / name
        path.write_bytes(clip(pictures, **options) + after)
        return path

    return write
