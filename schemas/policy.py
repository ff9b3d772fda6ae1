"""The policy: every threshold and rule that a policy team owns. Typos are refused, not dropped."""

from __future__ import annotations

import re
import tomllib
from importlib.resources import files
from typing import Annotated, Literal, get_args

import msgspec

from schemas.complaint import ComplaintKind
from schemas.decision import PolicyRef
from schemas.message import Id, Message, Score, Seconds, Text, Utc, convert
from schemas.plan import Why
from schemas.reasons import CATALOGUE
from schemas.sanction import SanctionLevel

#: Levels of sanctions, mildest first.
LADDER: tuple[SanctionLevel, ...] = ("warn", "limit", "suspend", "close")
#: A reason code of the catalogue.
Code = Annotated[str, msgspec.Meta(extra_json_schema={"enum": list(CATALOGUE)})]
_EVERY_KIND = {"required": list(get_args(ComplaintKind))}
OnTerm = Literal["review", "takedown"]


class ServiceRules(Message, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What one service asks of its publishers beyond the rest."""

    min_age: Annotated[int, msgspec.Meta(ge=0, le=120, description="years; 0: any age")] = 0
    minors_need_consent: Annotated[bool, msgspec.Meta(description="under 18 only with a guardian's consent")] = False


class AgreementPolicy(Message, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """The service agreement that must have been accepted (Provisions, Art. 14)."""

    version: Annotated[str, msgspec.Meta(max_length=64, description="empty: none is asked for")] = ""
    since: Annotated[Utc | None, msgspec.Meta(description="when this version came into force")] = None
    grace_days: Annotated[float, msgspec.Meta(ge=0, description="after `since`, in which a former one is enough")] = (
        14.0
    )


class PermitPolicy(Message, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Which permits a provider needs (Provisions, Art. 6)."""

    kinds: Annotated[
        dict[Id, tuple[Id, ...]],
        msgspec.Meta(description="service → kinds of permits, any of which will do; `*`: the rest"),
    ] = msgspec.field(default_factory=lambda: {"*": ("audio-video",)})
    forms: Annotated[
        dict[Id, str],
        msgspec.Meta(description="kind → regular expression of its number; a kind without one is not checked"),
    ] = msgspec.field(default_factory=lambda: {"audio-video": "[0-9]{7}"})
    news_kind: Annotated[str, msgspec.Meta(max_length=64, description="permit that news needs; empty: none")] = "news"
    news_sources: Annotated[
        tuple[str, ...], msgspec.Meta(description="sources that reposted news may name; empty: any")
    ] = ()
    warn_days: Annotated[float, msgspec.Meta(ge=0, description="a metric counts permits that expire within")] = 30.0

    def __post_init__(self) -> None:
        for kind, form in self.forms.items():
            try:
                re.compile(form)
            except re.error as error:
                raise ValueError(f"`forms.{kind}` is not a regular expression: {error}") from error


class IdentityPolicy(Message, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Who may publish."""

    require_real_name: bool = True
    require_number: Annotated[
        bool,
        msgspec.Meta(description="a person's ID or mobile number, an organisation's code, must be on file"),
    ] = True
    require_licence: bool = True
    require_assessment: bool = True
    accepted_numbers: Annotated[
        tuple[Id, ...],
        msgspec.Meta(
            description="kinds of numbers that identify: id_number, organisation_code, mobile, passport, permit"
        ),
    ] = ("id_number", "organisation_code", "mobile")
    grace_days: Annotated[
        float,
        msgspec.Meta(
            ge=0, description="while the verifier is down: publishers verified within so many days may publish"
        ),
    ] = 0.0
    services: dict[Id, ServiceRules] = msgspec.field(
        default_factory=lambda: {"live": ServiceRules(min_age=16, minors_need_consent=True)}
    )
    agreement: AgreementPolicy = AgreementPolicy()
    permits: PermitPolicy = PermitPolicy()
    entity_labels: Annotated[
        dict[Id, Literal["review", "takedown"]],
        msgspec.Meta(description="entity label → what an item of a publisher, device or medium with it meets"),
    ] = msgspec.field(default_factory=lambda: {"watched": "review", "banned": "takedown"})


class Term(Message, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """A word or phrase that titles, descriptions, tags, captions and speech are searched for."""

    text: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    category: Annotated[str, msgspec.Meta(max_length=64)]
    action: OnTerm = "review"


class ReviewPolicy(Message, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What must not be published."""

    hash_max_distance: Annotated[
        int,
        msgspec.Meta(ge=0, le=128, description="bits of 256 that may differ; 31 is PDQ's published threshold"),
    ] = 31
    hash_min_quality: Annotated[int, msgspec.Meta(ge=0, le=100)] = 50
    hash_min_frames: Annotated[
        int,
        msgspec.Meta(ge=1, description="frames that must match before a hit is a takedown; fewer: review"),
    ] = 1
    nudity_review: Annotated[Score | None, msgspec.Meta(description="null: off")] = 0.8
    nudity_takedown: Annotated[Score | None, msgspec.Meta(description="null: off")] = None
    blank_review: Annotated[Score | None, msgspec.Meta(description="null: off")] = 0.98
    terms: tuple[Term, ...] = ()


class SyntheticPolicy(Message, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What happens to media that is not real. Each action is for an item without a valid label of its own."""

    declared: Literal["label", "takedown"] = "takedown"
    non_compliant: Literal["label", "takedown"] = "takedown"
    traces: Literal["allow", "label", "review", "takedown"] = "label"
    label_min_seconds: Annotated[Seconds, msgspec.Meta(description="GB 45438-2025: at least 2 s")] = 2.0
    text_generated: Text = "内容由AI生成 AI-generated"
    text_possible: Text = "内容可能由AI生成 May be AI-generated"
    text_suspected: Text = "内容疑似由AI生成 Suspected AI-generated"
    propagator: Annotated[
        str,
        msgspec.Meta(max_length=64, description="the platform's own code in the AIGC object (27 characters)"),
    ] = ""


class RumorPolicy(Message, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Rumours, and fake news made with generated media."""

    match: Annotated[
        Score, msgspec.Meta(description="probability from which a text is taken to assert a listed claim")
    ] = 0.8
    on_refuted: Literal["label", "review", "takedown"] = "label"
    on_suspected: Literal["allow", "label", "review"] = "review"
    notice: Text = "该内容涉及已辟谣信息 This repeats a claim that has been refuted"
    news_categories: tuple[str, ...] = ("news",)
    fake_news: Literal["review", "takedown"] = "takedown"


class MediaTextPolicy(Message, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Words that were read in the picture or heard in the sound. Models misread and mishear, so by default they make a
    person look and remove nothing."""

    at_most: Annotated[
        Literal["nothing", "review", "takedown"],
        msgspec.Meta(
            description="the severest that may come of a term or rumour that only captions or speech hold; nothing: "
            "they are not searched"
        ),
    ] = "review"
    captions_from: Annotated[Score, msgspec.Meta(description="captions read less surely are not searched")] = 0.75
    speech_from: Annotated[Score, msgspec.Meta(description="speech heard less surely is not searched")] = 0.5
    on_absent: Annotated[
        dict[Id, Literal["ignore", "review"]],
        msgspec.Meta(
            description="detector → what its absence means where it is not installed; one not named: review. One that "
            "fails at an item always asks a person"
        ),
    ] = msgspec.field(default_factory=lambda: {"captions": "ignore", "speech": "ignore", "voice": "ignore"})


class DetectorRule(Message, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """When one detector looks, and how often."""

    run: Annotated[
        Literal["always", "cued", "escalated", "off"] | None,
        msgspec.Meta(
            description="always: at every item; cued: at every escalated item, and where another detector points it "
            "to; escalated: at escalated items only; null: as the detector's author says"
        ),
    ] = None
    every_s: Annotated[
        Seconds | None,
        msgspec.Meta(description="a frame each so many seconds and each scene's first; null: every sampled frame"),
    ] = None


class ExtractionPolicy(Message, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """How closely an item is looked at: every item at the least, and what gives reason for it closer."""

    every_s: Annotated[
        Annotated[float, msgspec.Meta(gt=0)] | None,
        msgspec.Meta(description="a frame at least each so many seconds; null: the worker's sample_interval_s"),
    ] = None
    dense_s: Annotated[
        float, msgspec.Meta(gt=0, description="the same when an item nearly matches the hash bank, read again")
    ] = 0.2
    near_miss_bits: Annotated[
        int, msgspec.Meta(ge=0, le=64, description="beyond hash_max_distance; what is that close is read again; 0: off")
    ] = 8
    escalate: Annotated[
        tuple[Why, ...], msgspec.Meta(description="what puts an item into tier 1; `always`: every item")
    ] = ("publisher_new", "publisher_sanctioned", "labelled", "news", "declared_synthetic", "near_miss")
    new_publisher_days: Annotated[
        float, msgspec.Meta(ge=0, description="how long after its verification a publisher counts as new")
    ] = 30.0
    detectors: Annotated[
        dict[Id, DetectorRule], msgspec.Meta(description="detector → when it looks; one not named: as it says itself")
    ] = msgspec.field(
        default_factory=lambda: {
            "nudity": DetectorRule(run="always", every_s=2.0),
            "captions": DetectorRule(run="always", every_s=2.0),
        }
    )


class VerdictPolicy(Message, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Whose decisions an item waits for, and how long, before it is held."""

    agents: Annotated[tuple[Id, ...], msgspec.Meta(min_length=1)] = ("identity", "review", "synthetic", "rumor")
    upload_deadline_s: Annotated[float, msgspec.Meta(gt=0, description="seconds")] = 120.0
    segment_deadline_s: Annotated[float, msgspec.Meta(gt=0, description="seconds")] = 15.0


class Rung(Message, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """One step of the ladder of sanctions."""

    level: SanctionLevel
    at_points: Annotated[float, msgspec.Meta(gt=0)]
    days: Annotated[
        Annotated[float, msgspec.Meta(gt=0, le=36_500)] | None,
        msgspec.Meta(description="how long it lasts; null: until it is lifted"),
    ] = None
    limits: Annotated[tuple[Id, ...], msgspec.Meta(description="of a limit: services and functions that are off")] = ()
    label: Annotated[
        str, msgspec.Meta(max_length=64, description="entity label on the publisher while it lasts; empty: none")
    ] = "sanctioned"


class LabelRule(Message, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """A label that the entity memory gets when a decision rests on a reason."""

    code: Code
    kind: Literal["publisher", "stream"] = "publisher"
    label: Id
    days: Annotated[
        Annotated[float, msgspec.Meta(gt=0, le=36_500)] | None, msgspec.Meta(description="null: for good")
    ] = None

    def __post_init__(self) -> None:
        if self.code not in CATALOGUE:
            raise ValueError(f"`code` {self.code!r} is not a reason code")
    authority_labels: Annotated[
        tuple[Id, ...],
        msgspec.Meta(description="entity labels of publishers whose texts about a claim are no repetition of it"),
    ] = ("authority",)
    meaning: Annotated[
        Literal["off", "candidates"],
        msgspec.Meta(description="whether claims are also looked for by sentence embeddings, where installed"),
    ] = "candidates"
    news_services: Annotated[tuple[Id, ...], msgspec.Meta(description="services all of whose items are news")] = (
        "news",
    )
    news_labels: Annotated[
        tuple[Id, ...], msgspec.Meta(description="entity labels of publishers all of whose items are news")
    ] = ("news-channel",)
    news_titles: Annotated[
        tuple[str, ...],
        msgspec.Meta(description="regular expressions; a title that one of them finds from its beginning is news"),
    ] = (
        r"[【\[]?(?:新闻|快讯|新闻快讯|突发新闻|本台消息)[】\]:：|｜]",
        r"(?i:breaking(?: news)?|news flash)\s*[:|\-–—]",
    )
    synthetic_signals: Annotated[
        dict[Id, Score],
        msgspec.Meta(description="signal of a detector → score from which it proves that the media is generated"),
    ] = {}
    unlicensed_sources: Annotated[
        tuple[str, ...], msgspec.Meta(description="sources that news may not be taken from, as items name them")
    ] = ()
    on_unlicensed: Literal["review", "takedown"] = "review"

    def __post_init__(self) -> None:
        for number, form in enumerate(self.news_titles):
            try:
                re.compile(form)
            except re.error as error:
                raise ValueError(f"`news_titles.{number}` is not a regular expression: {error}") from error


class SanctionsPolicy(Message, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What follows for publishers (Provisions, Art. 14). The figures are the platform's own; no rule states any."""

    points: Annotated[
        dict[Code, Annotated[float, msgspec.Meta(ge=0, le=1_000_000)]],
        msgspec.Meta(description="reason code → points; a code without one costs none"),
    ] = msgspec.field(
        default_factory=lambda: {
            "REVIEW-HASH": 6.0,
            "RUMOR-FAKE-NEWS": 4.0,
            "SYNTH-NONCOMPLIANT": 1.0,
        }
    )
    half_life_days: Annotated[float, msgspec.Meta(gt=0, le=36_500, description="points halve in so many days")] = 90.0
    ladder: tuple[Rung, ...] = (
        Rung(level="warn", at_points=1.0),
        Rung(level="limit", at_points=5.0, days=7.0, limits=("live", "comments", "links")),
        Rung(level="suspend", at_points=12.0, days=30.0),
        Rung(level="close", at_points=24.0),
    )
    labels: Annotated[
        tuple[LabelRule, ...], msgspec.Meta(description="labels for the entity memory, by the reasons of decisions")
    ] = (LabelRule(code="RUMOR-FAKE-NEWS", label="fake-news", days=90.0),)

    def __post_init__(self) -> None:
        for code in self.points:
            if code not in CATALOGUE:
                raise ValueError(f"`points.{code}` is not a reason code")
        heights = [rung.at_points for rung in self.ladder]
        order = [LADDER.index(rung.level) for rung in self.ladder]
        if heights != sorted(set(heights)) or order != sorted(set(order)):
            raise ValueError("`ladder` must rise: each step a severer level at more points than the one before")


class ComplaintsPolicy(Message, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """How complaints are weighed and until when they are answered (Provisions, Art. 15). No rule states a number of
    hours: these are the platform's own promise."""

    deadline_hours: Annotated[
        dict[ComplaintKind, float],
        msgspec.Meta(description="kind → hours to the result", extra_json_schema=_EVERY_KIND),
    ] = msgspec.field(
        default_factory=lambda: {
            "illegal": 24.0,
            "rumor": 24.0,
            "unlabelled": 48.0,
            "impersonation": 48.0,
            "infringement": 72.0,
            "appeal": 72.0,
        }
    )
    severity: Annotated[
        dict[ComplaintKind, float],
        msgspec.Meta(description="kind → what one complaint weighs", extra_json_schema=_EVERY_KIND),
    ] = msgspec.field(
        default_factory=lambda: {
            "illegal": 2.0,
            "rumor": 1.0,
            "unlabelled": 1.0,
            "impersonation": 1.5,
            "infringement": 1.0,
            "appeal": 0.0,
        }
    )
    review_weight: Annotated[float, msgspec.Meta(gt=0, description="from which a person looks at once")] = 1.0
    hold_weight: Annotated[float | None, msgspec.Meta(description="from which the item is held; null: never")] = 5.0
    hold_distinct: Annotated[int, msgspec.Meta(ge=1, description="unrelated complainants that a hold needs")] = 3

    def __post_init__(self) -> None:
        for name, given in (("deadline_hours", self.deadline_hours), ("severity", self.severity)):
            if missing := [kind for kind in get_args(ComplaintKind) if kind not in given]:
                raise ValueError(f"`{name}` says nothing of {', '.join(missing)}")


class Policy(Message, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """One version of a policy. A version is never changed: what is changed gets the next number."""

    name: Id
    version: Annotated[int, msgspec.Meta(ge=1)]
    comment: Text = ""
    identity: IdentityPolicy = IdentityPolicy()
    review: ReviewPolicy = ReviewPolicy()
    synthetic: SyntheticPolicy = SyntheticPolicy()
    rumor: RumorPolicy = RumorPolicy()
    media_text: MediaTextPolicy = MediaTextPolicy()
    extraction: ExtractionPolicy = ExtractionPolicy()
    verdict: VerdictPolicy = VerdictPolicy()
    sanctions: SanctionsPolicy = SanctionsPolicy()
    complaints: ComplaintsPolicy = ComplaintsPolicy()

    def __post_init__(self) -> None:
        review, takedown = self.review.nudity_review, self.review.nudity_takedown
        if review is not None and takedown is not None and takedown < review:
            raise ValueError("`review.nudity_takedown` lies below `review.nudity_review`: review would never happen")

    @property
    def ref(self) -> PolicyRef:
        """Name and version, as decisions carry them."""
        return PolicyRef(name=self.name, version=self.version)


def default_policy(name: str = "default") -> Policy:
    """The documented policy that ships as `schemas/policy.toml`: in force, under this name, until one is sent."""
    text = files("schemas").joinpath("policy.toml").read_text("utf-8")
    return msgspec.structs.replace(convert(Policy, tomllib.loads(text)), name=name)
