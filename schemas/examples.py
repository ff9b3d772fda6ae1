"""One example of every message: what the docs show and the tests read. Nobody in them is real.

They tell one story. Alice uploads a clip that she says is generated and does not label: it is held until it carries
the label that is ordered. Its title repeats a refuted rumour, so the refutation is shown with it. A segment of her
livestream is sent to a person.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from schemas.bank import BankFrame, HashEntry, Rumor, RumorEntity, RumorRefutation
from schemas.complaint import Complaint, ComplaintResult
from schemas.deadletter import DeadLetter, Replay
from schemas.decision import Decision, LabelTerms, PolicyRef, Position, Reason, Stop, decision_id, stable_id
from schemas.entity import EntityLabel, label_id
from schemas.event import Admitted, Event, Media, Segment, Upload
from schemas.lists import parted
from schemas.message import Message
from schemas.orders import ExplicitLabel, Label, Labelled, Refutation, Release, Review, Takedown
from schemas.plan import Look, Plan, Ran
from schemas.policy import Link, Policy, Term, default_policy
from schemas.reasons import CATALOGUE
from schemas.registry import Acceptance, Assessment, Feature, IdentityNumber, Licence, Provider, Publisher
from schemas.sanction import PointEntry, Ruling, Sanction, Standing
from schemas.signals import Evidence, FrameHash, MediaFacts, Signal, Signals, SoundPrint
from schemas.spread import Footage, Marked, Sighting
from schemas.topics import TOPICS
from schemas.verdict import Verdict
from schemas.worklist import Claim, Holding, Question, WorkItem

_NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
_CLAIM = "喝盐水可以预防核辐射"
#: The PDQ hash of the example picture that Meta publishes with the algorithm.
_PDQ = "f8f8f0cee0f4a84f06370a22038f63f0b36e2ed596621e1d33e6b39c4e9c9b22"
_DIGEST = "5d41402abc4b2a76b9719d911017c5925d41402abc4b2a76b9719d911017c592"
_MODELS = {"pdq": "pdqhash-512px-1", "nudity": "open-nsfw-onnx-1.0.0", "blank": "1", "container": "1"}
_POLICY = PolicyRef(name="default", version=1)


def _after(seconds: float) -> datetime:
    return _NOON + timedelta(seconds=seconds)


def _reason(code: str, evidence: Evidence, *, score: float = 1.0, threshold: float = 1.0) -> Reason:
    article = CATALOGUE[code].article
    return Reason(code=code, score=score, threshold=threshold, evidence=(evidence,), article=article)


_UPLOAD = Upload(
    event_id="0195566e-3a00-7c41-9f0e-5d2b8c6a1e01",
    content_id="video-88213",
    publisher_id="alice",
    provider_id="demo-provider",
    service="short_video",
    media=Media(
        uri="https://media.example.com/alice/88213.mp4",
        sha256="9b74c9897bac770ffc029102a200c5de4f2a1f3c8b6d7e5a90c1b2d3e4f56071",
        bytes=4_821_337,
    ),
    created_at=_NOON,
    title=f"{_CLAIM}？听医生怎么说",
    description="数字人讲解，一分钟看懂。",
    tags=("健康", "科普"),
    category="health",
    declared_synthetic=True,
    feature_id="digital-human",
)
_SEGMENT = Segment(
    event_id="0195566e-b130-7d12-8a54-0c9e7f3b2d10",
    content_id="live-5521-segment-17",
    publisher_id="alice",
    provider_id="demo-provider",
    service="live",
    media=Media(
        uri="s3://live-segments/5521/000017.ts",
        sha256="3c6e0b8a9c15224a8228b9a98ca1531d1b0f7ab2d4c5e6f708192a3b4c5d6e7f",
        bytes=1_310_720,
    ),
    created_at=_after(30.5),
    title="周一晚间直播",
    category="talk",
    stream_id="live-5521",
    seq=17,
    start_s=34.0,
    duration_s=2.0,
    reach=9_999,
)
#: The form in which later stages carry the upload on.
_EVENT = Event(**{name: getattr(_UPLOAD, name) for name in Event.__struct_fields__})

_DECLARED = _reason("SYNTH-DECLARED", Evidence(text="declared by the publisher"))
_REPEATED = _reason("RUMOR-REFUTED", Evidence(entry="rumor-salt", text=f"title repeats: {_CLAIM}"), threshold=0.8)
_SEEN = _reason("REVIEW-NUDITY", Evidence(at_s=0.5, text="score 0.861"), score=0.861, threshold=0.8)
_TERMS = LabelTerms(level=2, text="内容可能由AI生成 May be AI-generated")

_HELD = Decision(
    decision_id=decision_id(_EVENT.event_id, "synthetic", _POLICY),
    event_id=_EVENT.event_id,
    content_id=_EVENT.content_id,
    publisher_id=_EVENT.publisher_id,
    agent="synthetic",
    action="takedown",
    policy=_POLICY,
    decided_at=_after(1.75),
    latency_s=1.75,
    reasons=(_DECLARED,),
    stop=Stop(kind="hold", until="labelled"),
    label=_TERMS,
    models=_MODELS,
)
_RUMOR_DECISION = decision_id(_EVENT.event_id, "rumor", _POLICY)
_REVIEW_DECISION = decision_id(_SEGMENT.event_id, "review", _POLICY)


def _policy() -> Policy:
    mine = default_policy()
    review = replace(mine.review, nudity_review=0.7, nudity_takedown=0.98)
    return replace(mine, version=2, comment="stricter on nudity, as measured on our own content", review=review)


_WARNING = Sanction(
    sanction_id=stable_id("sanction", "alice", "warn", _HELD.decision_id),
    publisher_id="alice",
    level="warn",
    begins_at=_HELD.decided_at,
    points=1.0,
    because=(_HELD.decision_id,),
    policy=_POLICY,
)

_BY_TOPIC: dict[str, Message] = {
    "uploads": _UPLOAD,
    "segments": _SEGMENT,
    "publishers": Publisher(
        publisher_id="alice",
        kind="person",
        real_name="verified",
        verified_at=datetime(2026, 1, 15, 3, 20, tzinfo=UTC),
        verified_until=datetime(2027, 1, 15, 3, 20, tzinfo=UTC),
        verifier="demo-verifier",
        verification="ref-20260115-7731",
        numbers=(IdentityNumber(kind="id_number", form="valid", digest=_DIGEST, key_id="2026-01"),),
        born="1990-05",
        agreement=Acceptance(version="2026-01", accepted_at=datetime(2026, 1, 15, 3, 21, tzinfo=UTC)),
    ),
    "providers": Provider(
        provider_id="demo-provider",
        name="Demo Video",
        licences=(
            Licence(
                kind="audio-video",
                number="0110538",
                services=("short_video", "live"),
                expires_at=datetime(2028, 12, 31, 16, 0, tzinfo=UTC),
            ),
        ),
    ),
    "features": Feature(
        feature_id="digital-human",
        name="Digital human presenter",
        assessment=Assessment(
            assessor="Demo Assessment Institute",
            report_sha256="5f2b6c0d8e9a41b3c7d6e5f4a3b2c1d0e9f8a7b6c5d4e3f2a1b0c9d8e7f6a5b4",
            assessed_at=datetime(2025, 11, 3, 2, 0, tzinfo=UTC),
            valid_until=datetime(2027, 11, 3, 2, 0, tzinfo=UTC),
        ),
    ),
    "policies": _policy(),
    "lists": parted(
        "law-2026",
        [
            Term(text="代开发票", category="fraud"),
            Term(text="枪支出售", category="weapons", action="takedown", unless=("打击枪支出售",)),
        ],
        [Link(pattern="casino.example/join/*", category="gambling", action="takedown")],
    )[1][0],
    "hashbank": HashEntry(
        entry_id="banned-0042",
        category="violent extremism",
        source="trust and safety",
        added_at=_after(-86_400),
        frames=(BankFrame(pdq=_PDQ, quality=100, at_s=1.0),),
        sha256="c0ffee254729296a45a3885639ac7e10f9d54979e0e4b1f2a3b4c5d6e7f80912",
        bank="shared-2026",
        severity="highest",
        tags=("extremism", "logo"),
        licence="members of the exchange only",
        md5="5d41402abc4b2a76b9719d911017c592",
        duration_s=12.4,
    ),
    "rumors": Rumor(
        rumor_id="rumor-salt",
        claims=(_CLAIM, "drinking salt water protects against nuclear radiation"),
        status="refuted",
        added_at=_after(-172_800),
        refutation=RumorRefutation(
            text="喝盐水不能预防核辐射，过量饮用有害健康。 Salt water does not protect against radiation.",
            authority="Demo Health Authority",
            url="https://example.org/refutations/salt",
            published_at=_after(-172_800),
        ),
        expires_at=_after(365 * 86_400),
        languages=("zh", "en"),
        must=(("盐", "salt"), ("辐射", "radiation")),
        must_not=("碘化钾", "potassium iodide"),
        entities=(RumorEntity(kind="place", names=("福岛", "Fukushima")),),
        frames=(BankFrame(pdq=_PDQ, quality=100),),
        severity="high",
        source="trust and safety",
    ),
    "admitted": Admitted(event=_EVENT, admitted_at=_after(0.04)),
    "signals": Signals(
        event=_EVENT,
        extracted_at=_after(1.7),
        extraction_s=1.62,
        media=MediaFacts(
            container="mov,mp4,m4a,3gp,3g2,mj2",
            duration_s=58.4,
            width=1080,
            height=1920,
            video_codec="h264",
            audio_codec="aac",
            frames_seen=59,
            sound_s=58.4,
        ),
        signals=(
            Signal(
                name="nudity",
                detector="nudity",
                score=0.013,
                evidence=(Evidence(at_s=12.0, text="score 0.013"),),
            ),
            Signal(name="blank", detector="blank", score=0.0),
        ),
        frames=(FrameHash(at_s=0.0, pdq=_PDQ, quality=100),),
        sounds=(SoundPrint(at_s=0.0, until_s=2.599, codes=bytes.fromhex("2a8b3d4f")),),
        models=_MODELS,
        ran=Ran(plan=Plan(tier=1, why=("declared_synthetic",), detectors={"nudity": Look()})),
    ),
    "sightings": Sighting(
        cluster="3f9a1c52e07b46d8",
        event_id=_EVENT.event_id,
        content_id=_EVENT.content_id,
        publisher_id="alice",
        at=_after(1.7),
        text=_EVENT.title,
        low=True,
        keys=("3f9a1c52e07b46d8", "a4410d9e5b7c2f36"),
        created_at=_EVENT.created_at,
    ),
    "footage": Footage(
        bucket="0-7c1d3b",
        event_id=_EVENT.event_id,
        content_id=_EVENT.content_id,
        publisher_id="alice",
        at=_after(1.7),
        frames=(FrameHash(at_s=0.0, pdq=_PDQ, quality=100),),
        places=("郑州",),
        dates=("2021-07",),
        title="2021年7月郑州暴雨",
        created_at=_EVENT.created_at,
    ),
    "marked": Marked(
        publisher_id="alice",
        event_id=_EVENT.event_id,
        content_id=_EVENT.content_id,
        level=2,
        frames=(FrameHash(at_s=0.0, pdq=_PDQ, quality=100),),
        created_at=_EVENT.created_at,
    ),
    "decisions": _HELD,
    "takedowns": Takedown(
        order_id=stable_id("takedown", _HELD.decision_id),
        decision_id=_HELD.decision_id,
        publisher_id=_HELD.publisher_id,
        content_id=_HELD.content_id,
        kind="hold",
        until="labelled",
        ordered_at=_HELD.decided_at,
        reasons=_HELD.reasons,
    ),
    "labels": Label(
        order_id=stable_id("label", _HELD.decision_id),
        decision_id=_HELD.decision_id,
        publisher_id=_HELD.publisher_id,
        content_id=_HELD.content_id,
        level=_TERMS.level,
        explicit=ExplicitLabel(text=_TERMS.text, min_seconds=2.0),
        ordered_at=_HELD.decided_at,
        implicit={
            "AIGC": {
                "Label": "2",
                "ContentProducer": "",
                "ProduceID": "",
                "ReservedCode1": "",
                "ContentPropagator": "001191110102MACQD9K64028705",
                "PropagateID": _HELD.content_id,
                "ReservedCode2": "",
            }
        },
    ),
    "labelled": Labelled(
        labelled_id=stable_id("labelled", stable_id("label", _HELD.decision_id)),
        order_id=stable_id("label", _HELD.decision_id),
        decision_id=stable_id("decision", _HELD.event_id, "labeler"),
        publisher_id=_HELD.publisher_id,
        content_id=_HELD.content_id,
        event_id=_HELD.event_id,
        original=Media(uri="s3://uploads/cat.mp4", sha256=_DIGEST, bytes=1_204_331),
        media=Media(uri="s3://labelled/cat.mp4", sha256=_DIGEST[::-1], bytes=1_231_077),
        implicit={
            "AIGC": {
                "Label": "2",
                "ContentProducer": "",
                "ProduceID": "",
                "ReservedCode1": "",
                "ContentPropagator": "001191110102MACQD9K64028705",
                "PropagateID": _HELD.content_id,
                "ReservedCode2": "",
            }
        },
        explicit="seen",
        encoded_s=2.0,
        labelled_at=_after(4),
    ),
    "refutations": Refutation(
        order_id=stable_id("refutation", _RUMOR_DECISION, "rumor-salt"),
        decision_id=_RUMOR_DECISION,
        publisher_id=_HELD.publisher_id,
        content_id=_HELD.content_id,
        rumor_id="rumor-salt",
        text="喝盐水不能预防核辐射，过量饮用有害健康。 Salt water does not protect against radiation.",
        authority="Demo Health Authority",
        url="https://example.org/refutations/salt",
        ordered_at=_after(1.72),
    ),
    "reviews": Review(
        review_id=stable_id("review", _REVIEW_DECISION),
        decision_id=_REVIEW_DECISION,
        publisher_id=_SEGMENT.publisher_id,
        content_id=_SEGMENT.content_id,
        agent="review",
        requested_at=_after(31.4),
        reasons=(_SEEN,),
        stream_id=_SEGMENT.stream_id,
        event_id=_SEGMENT.event_id,
        seq=_SEGMENT.seq,
        policy=_POLICY,
        reach=_SEGMENT.reach,
        severity="high",
        priority=4.0,
        due_at=_after(31.4 + 4 * 3600),
    ),
    "verdicts": Verdict(
        verdict_id=stable_id("verdict", _EVENT.event_id, "hold", _HELD.decision_id),
        event_id=_EVENT.event_id,
        content_id=_EVENT.content_id,
        publisher_id=_EVENT.publisher_id,
        verdict="hold",
        decided_at=_after(1.8),
        latency_s=1.8,
        policy=_POLICY,
        reasons=(_DECLARED, _REPEATED),
        until="labelled",
        decisions=(
            _HELD.decision_id,
            _RUMOR_DECISION,
            decision_id(_EVENT.event_id, "identity", _POLICY),
            decision_id(_EVENT.event_id, "review", _POLICY),
        ),
    ),
    "entities": EntityLabel(
        label_id=label_id("publisher", "alice", "watched"),
        kind="publisher",
        entity_id="alice",
        label="watched",
        reason="three labels removed in a week",
        set_by="reviewer-12",
        set_at=_NOON,
        expires_at=_after(30 * 86_400),
    ),
    "complaints": Complaint(
        complaint_id="complaint-5521",
        receipt_sha256=_DIGEST,
        kind="unlabelled",
        publisher_id="alice",
        content_id=_EVENT.content_id,
        text="这个视频是AI合成的，没有标识。",
        complainant="c8a1f0",
        device="d77b20",
        received_at=_after(7200),
    ),
    "claims": Claim(
        claim_id="claim-77",
        publisher_id=_SEGMENT.publisher_id,
        review_id=stable_id("review", _REVIEW_DECISION),
        reviewer_id="reviewer-12",
        claimed_at=_after(120),
    ),
    "worklist": WorkItem(
        event_id=_SEGMENT.event_id,
        content_id=_SEGMENT.content_id,
        publisher_id=_SEGMENT.publisher_id,
        stream_id=_SEGMENT.stream_id,
        seq=_SEGMENT.seq,
        reach=_SEGMENT.reach,
        at=_after(120.2),
        positions=(
            Position(
                agent="review",
                decision_id=_REVIEW_DECISION,
                action="review",
                policy=_POLICY,
                reasons=(replace(_SEEN, evidence=()),),
            ),
        ),
        questions=(
            Question(
                review_id=stable_id("review", _REVIEW_DECISION),
                decision_id=_REVIEW_DECISION,
                agent="review",
                target="review",
                policy=_POLICY,
                severity="high",
                priority=4.0,
                requested_at=_after(31.4),
                due_at=_after(31.4 + 4 * 3600),
                reasons=(replace(_SEEN, evidence=()),),
                claim=Holding(claim_id="claim-77", reviewer_id="reviewer-12", until=_after(120.2 + 900)),
            ),
        ),
        answers="claim-77",
    ),
    "releases": Release(
        order_id=stable_id("release", "decision-of-people-4", "items"),
        decision_id="decision-of-people-4",
        publisher_id=_EVENT.publisher_id,
        content_id=_EVENT.content_id,
        releases=(stable_id("takedown", _HELD.decision_id),),
        ordered_at=_after(86_400),
        reasons=(_reason("PERSON-KEPT", Evidence(entry="reviewer-12", text="the voice is her own")),),
    ),
    "rulings": Ruling(
        ruling_id="ruling-310",
        publisher_id="alice",
        outcome="lifted",
        reviewer_id="reviewer-12",
        reason="the clip carries its label now",
        ruled_at=_after(90_000),
        sanction_id=_WARNING.sanction_id,
    ),
    "standings": Standing(
        publisher_id="alice",
        entries=(
            PointEntry(
                decision_id=_HELD.decision_id,
                event_id=_HELD.event_id,
                code="SYNTH-NONCOMPLIANT",
                points=1.0,
                at=_HELD.decided_at,
            ),
        ),
        sanctions=(_WARNING,),
    ),
    "sanctions": _WARNING,
    "complaint_results": ComplaintResult(
        complaint_id="complaint-5521",
        receipt_sha256=_DIGEST,
        publisher_id="alice",
        content_id=_EVENT.content_id,
        kind="unlabelled",
        state="upheld",
        text="已处理：该视频现已添加标识。 The clip is labelled now.",
        due_at=_after(7200 + 48 * 3600),
        at=_after(90_000),
    ),
    "deadletters": DeadLetter(
        topic="uploads",
        partition=7,
        offset=18_213,
        key=b"alice",
        value=b'{"event_id": "0195566e-3a00-7c41-9f0e-5d2b8c6a1e02", "content_id": "video-88214"}',
        agent="identity",
        error="Refused",
        reason="Object missing required field `publisher_id`",
        field="publisher_id",
        failed_at=_after(3.0),
    ),
    "replays": Replay(
        letter="7@41",
        state="done",
        run="4be0643f1d98573b97caca98a65347dd",
        topic="uploads",
        partition=7,
        offset=18_909,
        at=_after(7200.0),
    ),
}

EXAMPLES: dict[str, Message] = {name: _BY_TOPIC[name] for name in TOPICS}
"""topic → a message that goes over it."""
