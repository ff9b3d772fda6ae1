"""The policy: every threshold and rule that a policy team owns. Typos are refused, not dropped."""

from __future__ import annotations

import re
import tomllib
from importlib.resources import files
from typing import Annotated, Literal, get_args

import msgspec

from schemas.complaint import ComplaintKind
from schemas.decision import Outcome, PolicyRef
from schemas.message import Count, Id, Message, Score, Seconds, Sha256, Text, Utc, convert
from schemas.orders import Severity
from schemas.plan import Why
from schemas.reasons import CATALOGUE
from schemas.sanction import SanctionLevel

#: Levels of sanctions, mildest first.
LADDER: tuple[SanctionLevel, ...] = ("warn", "limit", "suspend", "close")
#: A reason code of the catalogue.
Code = Annotated[str, msgspec.Meta(extra_json_schema={"enum": list(CATALOGUE)})]
_EVERY_KIND = {"required": list(get_args(ComplaintKind))}
OnTerm = Literal["allow", "review", "takedown"]
OnHash = Literal["allow", "label", "review", "takedown"]
#: Entries said nothing of their severity once, and removed: "high" does. What was entered as less asks a person.
_HASH_ACTIONS: dict[Severity, OnHash] = {
    "low": "review", "medium": "review", "high": "takedown", "highest": "takedown",
}  # fmt: skip
#: What content may not do: the nine points of Art. 15 of the Measures for the Administration of Internet Information
#: Services, in their order, of which Art. 9 of the Provisions names four in its own words (security, order, rights of
#: others, and what else the law forbids). Against the principles of the constitution; state security, secrets, unity;
#: the state's honour and interests; hatred among peoples; cults and superstition; rumours and disorder; obscenity,
#: gambling, violence, terror and the teaching of crime; insult and defamation; what other laws forbid.
Ground = Literal["constitution", "security", "honour", "peoples", "religion", "order", "obscenity", "rights", "other"]


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


class Category(Message, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What terms and links of one category are listed for."""

    ground: Annotated[
        Ground, msgspec.Meta(description="the point of Art. 15 of the Measures for Internet Information Services")
    ] = "other"
    severity: Severity = "medium"


class Term(Message, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """A word or phrase that titles, descriptions, tags, captions, speech, subtitles and chapters are searched for."""

    text: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    category: Annotated[str, msgspec.Meta(max_length=64)]
    action: Annotated[
        OnTerm, msgspec.Meta(description="allow: nothing, unless a stricter rule for its category says otherwise")
    ] = "review"
    severity: Annotated[Severity | None, msgspec.Meta(description="null: that of its category")] = None
    unless: Annotated[
        tuple[Annotated[str, msgspec.Meta(min_length=1, max_length=200)], ...],
        msgspec.Meta(max_length=20, description="phrases within which the term means no harm"),
    ] = ()
    boundary: Annotated[
        Literal["auto", "word", "none"],
        msgspec.Meta(
            description="auto: Latin letters match whole words, and one or two Chinese characters where a word may "
            "begin and end; word: so do longer ones; none: wherever the characters stand"
        ),
    ] = "auto"
    disguises: Annotated[
        bool, msgspec.Meta(description="also where it is written by its sound, or with digits and signs for letters")
    ] = True


#: A host, which stands for those below it too, and perhaps the beginning of a path; or a list that ships.
LinkPattern = Annotated[
    str, msgspec.Meta(min_length=1, max_length=300, pattern="^(@shorteners|[^/@:?#\\s]+(/[^\\s]*)?)$")
]


class Link(Message, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Where a link must not lead: written, shown, in subtitles or as a QR code."""

    pattern: Annotated[
        LinkPattern,
        msgspec.Meta(
            description="`example.com`: it and all below it; `example.com/a/*`: paths that begin so, `*` stands for "
            "anything; `@shorteners`: the shortening services that are known here"
        ),
    ]
    category: Annotated[str, msgspec.Meta(max_length=64)]
    action: OnTerm = "review"
    severity: Annotated[Severity | None, msgspec.Meta(description="null: that of its category")] = None


class ListRef(Message, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """A long list of terms or links that lies on topic `lists`, named by its content: a policy's version means the same
    for ever. `veristream policy put` makes this of a file."""

    name: Id
    digest: Annotated[Sha256, msgspec.Meta(description="SHA-256 of its entries; see schemas.lists")]
    parts: Annotated[int, msgspec.Meta(ge=1, description="messages that it is divided into")]
    entries: Count


class ModelRule(Message, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """From which score of a model of the platform's own something follows."""

    review: Annotated[Score | None, msgspec.Meta(description="null: off")] = None
    takedown: Annotated[Score | None, msgspec.Meta(description="null: off")] = None


class Stricter(Message, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What applies to some services or audiences instead, where it is stricter; of several that apply, the strictest.
    What is left out stays as it is."""

    services: Annotated[tuple[Id, ...], msgspec.Meta(description="of events; empty: every service")] = ()
    audiences: Annotated[tuple[Id, ...], msgspec.Meta(description="of events; empty: every audience")] = ()
    nudity_review: Score | None = None
    nudity_takedown: Score | None = None
    blank_review: Score | None = None
    models: Annotated[
        dict[Id, ModelRule], msgspec.Meta(description="signal of a model of your own → its thresholds here")
    ] = {}
    actions: Annotated[
        dict[Annotated[str, msgspec.Meta(max_length=64)], OnTerm],
        msgspec.Meta(description="category of terms and links → at least this; `*`: every category"),
    ] = {}


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
    hash_actions: Annotated[
        dict[Severity, OnHash],
        msgspec.Meta(description="severity of the entry → what a hit does; one not named: as it ships"),
    ] = msgspec.field(default_factory=lambda: dict(_HASH_ACTIONS))
    bank_actions: Annotated[
        dict[Id, dict[Severity, OnHash]],
        msgspec.Meta(description="bank → the same for its entries; what it does not name: as hash_actions says"),
    ] = {}
    hash_notice: Annotated[Text, msgspec.Meta(description="what people see where a hit labels")] = (
        "内容与限制传播的素材相同 This shows media under restriction"
    )
    known_good: Annotated[
        Literal["off", "own", "all"],
        msgspec.Meta(description="the negative bank that suppresses hits: none, the entries sent, those that ship too"),
    ] = "all"
    known_good_bits: Annotated[
        int,
        msgspec.Meta(ge=0, le=128, description="bits farther than the banned that still count as at least as well"),
    ] = 8
    hash_turned: Annotated[
        Literal["off", "escalated", "always"],
        msgspec.Meta(description="whose frames are looked up mirrored and turned by right angles as well"),
    ] = "escalated"
    points_review: Annotated[
        Annotated[int, msgspec.Meta(ge=6, le=64)] | None,
        msgspec.Meta(description="points of a frame that must agree with an entry's for a hit; null: not compared"),
    ] = 8
    points_takedown: Annotated[
        Annotated[int, msgspec.Meta(ge=6, le=64)] | None,
        msgspec.Meta(description="so many for a hit to remove an item; fewer: review; null: never"),
    ] = 12
    sound_max_errors: Annotated[
        Score | None,
        msgspec.Meta(description="share of a fingerprint's bits that may differ; null: sound is not matched"),
    ] = 0.3
    sound_min_s: Annotated[Seconds, msgspec.Meta(description="what matches for less than this is no match")] = 2.0
    soundtrack_at_most: Annotated[
        Literal["allow", "review", "takedown"],
        msgspec.Meta(description="the severest that may come of the sound of an entry that has pictures as well"),
    ] = "review"
    nudity_review: Annotated[Score | None, msgspec.Meta(description="null: off")] = 0.8
    nudity_takedown: Annotated[Score | None, msgspec.Meta(description="null: off")] = None
    models: Annotated[
        dict[Id, ModelRule],
        msgspec.Meta(description="signal of a model of your own (docs/models.md) → what follows from its score"),
    ] = {}
    blank_review: Annotated[Score | None, msgspec.Meta(description="null: off")] = 0.98
    terms: tuple[Term, ...] = ()
    term_lists: Annotated[
        tuple[ListRef, ...], msgspec.Meta(description="further terms and links, too many for one message")
    ] = ()
    allow_phrases: Annotated[
        tuple[Annotated[str, msgspec.Meta(min_length=1, max_length=200)], ...],
        msgspec.Meta(description="phrases within which no term means harm"),
    ] = ()
    disguised_at_most: Annotated[
        OnTerm,
        msgspec.Meta(description="the severest that may come of a term that is there by sound or look only"),
    ] = "review"
    links: tuple[Link, ...] = ()
    categories: Annotated[
        dict[Annotated[str, msgspec.Meta(max_length=64)], Category],
        msgspec.Meta(description="of terms and links; one that is not named here: ground other, severity medium"),
    ] = msgspec.field(
        default_factory=lambda: {
            "weapons": Category(ground="obscenity", severity="highest"),
            "drugs": Category(ground="obscenity", severity="highest"),
            "pornography": Category(ground="obscenity", severity="high"),
            "gambling": Category(ground="obscenity", severity="high"),
            "fraud": Category(ground="other", severity="medium"),
            "forgery": Category(ground="other", severity="high"),
        }
    )
    stricter: tuple[Stricter, ...] = ()

    def hash_action(self, bank: str, severity: Severity) -> OnHash:
        """What a hit of an entry of this bank and severity does."""
        rules = (self.bank_actions.get(bank, {}), self.hash_actions, _HASH_ACTIONS)
        return next(rule[severity] for rule in rules if severity in rule)


class SyntheticPolicy(Message, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What happens to media that is not real. Each action is for an item without a valid label of its own."""

    declared: Literal["label", "takedown"] = "takedown"
    non_compliant: Literal["label", "takedown"] = "takedown"
    traces: Literal["allow", "label", "review", "takedown"] = "label"
    removed: Annotated[
        Literal["allow", "label", "review", "takedown"],
        msgspec.Meta(description="the same pictures as an item that was labelled, without a label"),
    ] = "takedown"
    label_min_seconds: Annotated[Seconds, msgspec.Meta(description="GB 45438-2025: at least 2 s")] = 2.0
    label_permanent: Annotated[
        bool, msgspec.Meta(description="the words stand to the end, not over the opening alone")
    ] = False
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
    ] = 0.6
    on_refuted: Literal["label", "review", "takedown"] = "label"
    on_suspected: Literal["allow", "label", "review"] = "review"
    notice: Text = "该内容涉及已辟谣信息 This repeats a claim that has been refuted"
    news_categories: tuple[str, ...] = ("news",)
    fake_news: Literal["review", "takedown"] = "takedown"
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


class RefutingPolicy(Message, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What was published before its claim was refuted (Provisions, Art. 13)."""

    days: Annotated[
        float,
        msgspec.Meta(ge=0, le=3650, description="how long items are kept to be refuted afterwards; 0: not at all"),
    ] = 14.0


class EmergingPolicy(Message, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """When many accounts that say the same within minutes are put before a person. Nothing is removed by it."""

    enabled: bool = True
    window_s: Annotated[float, msgspec.Meta(ge=60, le=7200, description="seconds in which accounts are counted")] = (
        900.0
    )
    publishers: Annotated[int, msgspec.Meta(ge=3, description="accounts within the window, at least")] = 8
    growth: Annotated[
        float, msgspec.Meta(ge=1, description="times as many accounts as the sentence itself has had in such a time")
    ] = 4.0
    low_standing: Annotated[
        Score, msgspec.Meta(description="share of accounts that are new, sanctioned or labelled, at least")
    ] = 0.5
    shortest: Annotated[
        int, msgspec.Meta(ge=6, description="letters and digits of a sentence that is looked at, at least")
    ] = 10
    quiet_s: Annotated[Seconds, msgspec.Meta(description="how long the same is not asked again")] = 21_600.0


class RecycledPolicy(Message, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """When old footage under a new claim is put before a person."""

    enabled: bool = True
    days: Annotated[float, msgspec.Meta(ge=0, le=3650, description="how far back footage is known")] = 14.0
    max_distance: Annotated[
        int, msgspec.Meta(ge=0, le=64, description="bits of 256 in which two pictures may differ")
    ] = 31
    frames: Annotated[int, msgspec.Meta(ge=1, description="pictures that must be the same")] = 2


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
    ] = msgspec.field(
        default_factory=lambda: {"captions": "ignore", "qr": "ignore", "speech": "ignore", "voice": "ignore"}
    )


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
            "points": DetectorRule(run="always", every_s=2.0),
            "captions": DetectorRule(run="always", every_s=2.0),
            "qr": DetectorRule(run="always", every_s=2.0),
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


class SanctionsPolicy(Message, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What follows for publishers (Provisions, Art. 14). The figures are the platform's own; no rule states any."""

    points: Annotated[
        dict[Code, Annotated[float, msgspec.Meta(ge=0, le=1_000_000)]],
        msgspec.Meta(description="reason code → points; a code without one costs none"),
    ] = msgspec.field(
        default_factory=lambda: {
            "REVIEW-HASH": 6.0,
            "PERSON-REMOVED": 4.0,
            "RUMOR-FAKE-NEWS": 4.0,
            "SYNTH-NONCOMPLIANT": 1.0,
            "LABEL-REMOVED": 2.0,
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


#: Severities, mildest first.
SEVERITIES: tuple[Severity, ...] = get_args(Severity)
_EVERY_SEVERITY = {"required": list(SEVERITIES)}


class TwoPersonRule(Message, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Rulings that take effect only once a second reviewer has said the same. All of what it names must hold."""

    outcomes: Annotated[
        tuple[Outcome, ...], msgspec.Meta(description="of these outcomes, whatever becomes of the bank")
    ] = ("remove",)
    banks: Annotated[
        tuple[Literal["banned", "known_good"], ...],
        msgspec.Meta(description="of any outcome that puts the item's hashes into one of these"),
    ] = ("banned", "known_good")
    agents: Annotated[tuple[Id, ...], msgspec.Meta(description="on questions of these agents; empty: of all")] = ()
    codes: Annotated[tuple[Code, ...], msgspec.Meta(description="asked for one of these reasons; empty: for any")] = ()
    severity_from: Annotated[Severity, msgspec.Meta(description="asked at this severity or a higher one")] = "low"

    def __post_init__(self) -> None:
        for code in self.codes:
            if code not in CATALOGUE:
                raise ValueError(f"`codes`: {code!r} is not a reason code")


class ReviewersPolicy(Message, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """How questions are put to people. No rule states a number of hours: these are the platform's own promise."""

    claim_minutes: Annotated[
        float, msgspec.Meta(gt=0, le=1440, description="how long a review is a reviewer's own once it is taken")
    ] = 15.0
    seniors: Annotated[
        tuple[Id, ...],
        msgspec.Meta(description="reviewers who settle what others could not; empty: anybody who has not ruled on it"),
    ] = ()
    severity: Annotated[
        dict[Code, Severity], msgspec.Meta(description="reason code → severity; a code that is not named: medium")
    ] = msgspec.field(
        default_factory=lambda: {
            "REVIEW-HASH": "highest",
            "EXTRACT-CRASHED": "high",
            "REVIEW-NUDITY": "high",
            "RUMOR-SUSPECTED": "high",
            "COMPLAINT-WEIGHT": "high",
            "PERSON-ESCALATED": "high",
            "REVIEW-BLANK": "low",
            "REVIEW-BLIND": "low",
        }
    )
    deadline_hours: Annotated[
        dict[Severity, Annotated[float, msgspec.Meta(gt=0)]],
        msgspec.Meta(description="severity → hours until it should be ruled on", extra_json_schema=_EVERY_SEVERITY),
    ] = msgspec.field(default_factory=lambda: {"low": 72.0, "medium": 24.0, "high": 4.0, "highest": 1.0})
    weight: Annotated[
        dict[Severity, Annotated[float, msgspec.Meta(ge=0)]],
        msgspec.Meta(description="severity → its share of the priority", extra_json_schema=_EVERY_SEVERITY),
    ] = msgspec.field(default_factory=lambda: {"low": 0.0, "medium": 1.0, "high": 2.0, "highest": 4.0})
    reach_weight: Annotated[
        float, msgspec.Meta(ge=0, description="what each tenfold of people whom it reaches adds to the priority")
    ] = 0.5
    age_weight: Annotated[
        float, msgspec.Meta(ge=0, description="what the time until the deadline adds when it is over, and so on after")
    ] = 2.0
    two_person: Annotated[
        tuple[TwoPersonRule, ...], msgspec.Meta(description="what two reviewers must agree on; none: one is enough")
    ] = ()

    def __post_init__(self) -> None:
        for code in self.severity:
            if code not in CATALOGUE:
                raise ValueError(f"`severity.{code}` is not a reason code")
        for name, given in (("deadline_hours", self.deadline_hours), ("weight", self.weight)):
            if missing := [severity for severity in SEVERITIES if severity not in given]:
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
    refuting: RefutingPolicy = RefutingPolicy()
    emerging: EmergingPolicy = EmergingPolicy()
    recycled: RecycledPolicy = RecycledPolicy()
    media_text: MediaTextPolicy = MediaTextPolicy()
    extraction: ExtractionPolicy = ExtractionPolicy()
    verdict: VerdictPolicy = VerdictPolicy()
    sanctions: SanctionsPolicy = SanctionsPolicy()
    complaints: ComplaintsPolicy = ComplaintsPolicy()
    reviewers: ReviewersPolicy = ReviewersPolicy()

    def __post_init__(self) -> None:
        review, takedown = self.review.nudity_review, self.review.nudity_takedown
        if review is not None and takedown is not None and takedown < review:
            raise ValueError("`review.nudity_takedown` lies below `review.nudity_review`: review would never happen")
        for number, rule in enumerate(self.review.stricter):
            _check_stricter(f"review.stricter[{number}]", rule, self.review)

    @property
    def ref(self) -> PolicyRef:
        """Name and version, as decisions carry them."""
        return PolicyRef(name=self.name, version=self.version)


def _check_stricter(field: str, rule: Stricter, plain: ReviewPolicy) -> None:
    if not rule.services and not rule.audiences:
        raise ValueError(f"`{field}` names neither services nor audiences: what holds for all belongs into `review`")
    thresholds = [
        (name, getattr(rule, name), getattr(plain, name))
        for name in ("nudity_review", "nudity_takedown", "blank_review")
    ]
    for model, asked in rule.models.items():
        for name in ("review", "takedown"):
            former = plain.models.get(model, ModelRule())
            thresholds.append((f"models.{model}.{name}", getattr(asked, name), getattr(former, name)))
    for name, wanted, held in thresholds:
        if wanted is not None and held is not None and wanted > held:
            raise ValueError(f"`{field}.{name}` is {wanted}, which is laxer than `review.{name}`, {held}")
    if not rule.actions and all(wanted is None for _, wanted, _ in thresholds):
        raise ValueError(f"`{field}` asks for nothing")


def default_policy(name: str = "default") -> Policy:
    """The documented policy that ships as `schemas/policy.toml`: in force, under this name, until one is sent."""
    text = files("schemas").joinpath("policy.toml").read_text("utf-8")
    return msgspec.structs.replace(convert(Policy, tomllib.loads(text)), name=name)
