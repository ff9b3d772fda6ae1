"""The scenario: twelve cases, what is submitted and what must come of it. The one table of truth that the
demonstration and the end-to-end tests share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from agents.identity.forms import check
from agents.review.enrol import entry_from_file
from deploy.demo.media import DemoMedia
from deploy.demo.segments import cut_segments
from schemas.bank import Rumor, RumorRefutation
from schemas.message import Message
from schemas.registry import Feature, IdentityNumber, Licence, Provider, Publisher
from schemas.topics import FEATURES, HASHBANK, PROVIDERS, PUBLISHERS, RUMORS, Topic

PROVIDER = "demo-provider"
RUMOR_ID = "rumor-salt"
BANNED_ID = "banned-bikes"
#: Seconds of one livestream segment, as ingest tiers cut them.
SEGMENT_S = 2.0


@dataclass(frozen=True)
class Step:
    """One thing that is submitted, and the verdict and reason codes that must come of it.

    Either media with event fields, or raw bytes; of raw bytes the field at fault is expected in the dead letters. A
    block is answered as soon as one agent asks for it: reasons of others may follow those named, or not.
    """

    expect: str
    media: Path | None = None
    publisher: str = "alice"
    fields: dict[str, Any] = field(default_factory=dict)
    codes: tuple[str, ...] = ()
    raw: bytes | None = None


@dataclass(frozen=True)
class Case:
    """A row of the scenario. `orders` counts what must lie on the order topics for it, beside the verdicts.

    `after_verdict`: each step waits for the verdict on the one before it.
    """

    number: int
    name: str
    steps: tuple[Step, ...]
    orders: dict[str, int] = field(default_factory=dict)
    after_verdict: bool = False


def state(media: DemoMedia) -> Iterator[tuple[Topic, Message]]:
    """The rows of publishers, providers, features, hash bank and rumours that the scenario starts from."""
    now = datetime.now(UTC)
    # 11010519491231002X is the published example of GB 11643; the second one's check digit is wrong.
    # Who breaks the rules is sanctioned, and would be held in the cases after it: each offender is another one.
    for name in ("alice", "mallory", "carol", "dave"):
        yield PUBLISHERS, _publisher(name, "11010519491231002X")
    yield PUBLISHERS, _publisher("bob", "110105194912310021")
    next_year = now + timedelta(days=365)
    licences = (
        Licence(kind="audio-video", number="0110538", services=("*",), expires_at=next_year),
        Licence(kind="news", number="demo news permit", services=("*",), expires_at=next_year),
    )
    yield PROVIDERS, Provider(provider_id=PROVIDER, name="Demo Video", licences=licences)
    yield FEATURES, Feature(feature_id="face-swap", name="Face swap")
    yield (
        HASHBANK,
        entry_from_file(media.banned, entry_id=BANNED_ID, category="demo: banned clip", source="demo", now=now),
    )
    yield (
        RUMORS,
        Rumor(
            rumor_id=RUMOR_ID,
            claims=("喝盐水可以预防核辐射", "drinking salt water protects against nuclear radiation"),
            status="refuted",
            added_at=now,
            refutation=RumorRefutation(
                text="喝盐水不能预防核辐射，过量饮用有害健康。 Salt water does not protect against radiation.",
                authority="Demo Health Authority",
                url="https://example.org/refutations/salt",
            ),
        ),
    )


def _publisher(name: str, id_number: str) -> Publisher:
    now = datetime.now(UTC)
    return Publisher(
        publisher_id=name,
        kind="person",
        real_name="verified",
        verified_at=now,
        numbers=(IdentityNumber(kind="id_number", form=check("id_number", id_number, now.date()).word),),
        born="1990-01",
    )


def cases(media: DemoMedia, folder: Path) -> Sequence[Case]:
    """The twelve cases. Segments of the livestream are cut into the folder."""
    copy = "content-of-case-6"
    return (
        Case(1, "ordinary clip", (Step("publish", media.ordinary, fields={"title": "The rabbit wakes up"}),)),
        Case(
            2,
            "publisher is unknown",
            (Step("hold", media.ordinary, publisher="nobody", codes=("ID-UNKNOWN",)),),
            {"takedowns": 1},
        ),
        Case(
            3,
            "publisher's ID number fails its check",
            (Step("hold", media.ordinary, publisher="bob", codes=("ID-NUMBER-FORM",)),),
            {"takedowns": 1},
        ),
        Case(
            4,
            "banned clip, half size, low quality",
            (Step("block", media.banned_reencoded, publisher="mallory", codes=("REVIEW-HASH",)),),
            {"takedowns": 1},
        ),
        Case(
            5,
            "metadata holds a valid AIGC label",
            (Step("publish_labelled", media.labelled, codes=("SYNTH-LABELLED",)),),
            {"labels": 1},
        ),
        Case(
            6,
            "declared synthetic, then its labelled copy",
            (
                Step(
                    "hold",
                    media.unmarked,
                    fields={"content_id": copy, "declared_synthetic": True},
                    codes=("SYNTH-DECLARED",),
                ),
                Step(
                    "publish_labelled",
                    media.unmarked_labelled,
                    fields={"content_id": copy, "declared_synthetic": True},
                    codes=("SYNTH-LABELLED",),
                ),
            ),
            {"takedowns": 1, "labels": 2},
            after_verdict=True,
        ),
        Case(
            7,
            "title repeats a refuted rumour",
            (
                Step(
                    "publish_labelled",
                    media.rumor,
                    fields={"title": "紧急扩散：喝盐水，可以预防核辐射！"},
                    codes=("RUMOR-REFUTED",),
                ),
            ),
            {"labels": 1, "refutations": 1},
        ),
        Case(
            8,
            "news made with generated video",
            (
                Step(
                    "block",
                    media.news_labelled,
                    publisher="carol",
                    fields={"category": "news", "title": "Breaking"},
                    codes=("RUMOR-FAKE-NEWS",),
                ),
            ),
            {"takedowns": 1, "labels": 1},
        ),
        Case(
            9,
            "made with a feature that was not assessed",
            (Step("hold", media.feature, fields={"feature_id": "face-swap"}, codes=("FEATURE-UNASSESSED",)),),
            {"takedowns": 1},
        ),
        Case(10, "livestream, banned from its 7th segment", tuple(_stream(media, folder)), {"takedowns": 1}),
        Case(
            11,
            "files that lie or end early",
            (
                Step("hold", media.text_named_mp4, codes=("EXTRACT-FORMAT",)),
                Step("hold", media.zero_bytes, codes=("EXTRACT-EMPTY",)),
                Step("hold", media.truncated_mov, codes=("EXTRACT-BROKEN",)),
            ),
            {"takedowns": 3, "reviews": 3},
        ),
        Case(
            12,
            "not JSON, and a wrong type",
            (
                Step("dead letter", raw=b"{not json"),
                Step("dead letter", raw=b'{"event_id": 12}', codes=("event_id",)),
            ),
            {"deadletters": 2},
        ),
    )


def _stream(media: DemoMedia, folder: Path) -> Iterator[Step]:
    """Segment 7 (seq 6) shows banned frames: it is blocked for them, those after it because the stream is cut."""
    banned = 6
    for part in cut_segments(media.stream, folder, SEGMENT_S):
        yield Step(
            "publish" if part.seq < banned else "block",
            part.path,
            publisher="dave",
            fields={
                "stream_id": "stream-of-case-10",
                "content_id": f"stream-of-case-10/{part.seq}",
                "seq": part.seq,
                "start_s": part.start_s,
                "duration_s": part.duration_s,
                "last": part.last,
            },
            codes=() if part.seq < banned else ("REVIEW-HASH",) if part.seq == banned else ("STREAM-CUT",),
        )


@dataclass(frozen=True)
class Seen:
    """Something that happened to an item of the scenario: which stage, and what it said."""

    case: int
    step: int
    item: str
    stage: str
    said: str


#: Whoever watches a run.
Watch = Callable[[Seen], None]
