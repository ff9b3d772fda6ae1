"""Decisions: what an agent makes of one item, and why."""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal

import msgspec

from schemas.event import Media
from schemas.message import Count, Id, Message, Score, Seconds, Text, Trimmed, Utc
from schemas.signals import Evidence

Action = Literal["allow", "label", "review", "takedown"]
StopKind = Literal["hold", "remove", "cut_stream"]
#: What a stopped item waits for.
Until = Literal["identified", "licensed", "assessed", "agreed", "lifted", "labelled", "reviewed", "forever"]
#: GB 45438-2025 and the labelling measures, Art. 6: 1 is generated, 2 may be, 3 suspected; 0 is a notice of
#: another kind (a refuted rumour).
Level = Annotated[int, msgspec.Meta(ge=0, le=3)]


class Reason(Message, kw_only=True, frozen=True):
    """One ground of a decision. The article comes with the code, from the catalogue."""

    code: Annotated[Id, msgspec.Meta(description="of the catalogue; readers take codes of later versions too")]
    score: Score
    threshold: Score
    evidence: tuple[Evidence, ...] = ()
    article: str = ""


class PolicyRef(Message, kw_only=True, frozen=True):
    """Which policy was in force."""

    name: Id
    version: Count


class Stop(Message, kw_only=True, frozen=True):
    """What a takedown does and what ends it."""

    kind: StopKind
    until: Until


class LabelTerms(Message, kw_only=True, frozen=True):
    """Which label an item needs, and the words that people see."""

    level: Level
    text: Text


#: What a person makes of an item: take it away, let it be, label it, or ask somebody with more to say.
Outcome = Literal["remove", "keep", "label", "escalate"]


class Position(Message, kw_only=True, frozen=True):
    """What an agent last decided on an item, where it stops, labels or asks; without the evidence."""

    agent: Id
    decision_id: Id
    action: Action
    policy: PolicyRef
    reasons: tuple[Reason, ...] = ()
    stop: Stop | None = None
    label: LabelTerms | None = None


class Answered(Message, kw_only=True, frozen=True):
    """A question to people that a ruling has settled: what precision is counted from."""

    review_id: Id
    agent: Annotated[Id, msgspec.Meta(description="who asked")]
    outcome: Outcome
    policy: Annotated[PolicyRef, msgspec.Meta(description="under which it was asked")]
    codes: Annotated[tuple[Id, ...], msgspec.Meta(description="why it was asked")] = ()


class Ruled(Message, kw_only=True, frozen=True):
    """What people have ruled on an item until now, all of it: a later decision of theirs takes this one's place.

    It holds all that the answer needs, so that a ruling of today changes the answer of last month, which nobody
    remembers.
    """

    outcome: Outcome
    rulings: Annotated[tuple[Id, ...], msgspec.Meta(min_length=1, description="what it rests on, oldest first")]
    reviewers: tuple[Id, ...]
    overrules: Annotated[
        tuple[Id, ...], msgspec.Meta(description="agents whose decisions on the item are set aside; `*`: all of them")
    ] = ()
    overruled: Annotated[tuple[Position, ...], msgspec.Meta(description="those decisions, where they are known")] = ()
    remains: Annotated[tuple[Position, ...], msgspec.Meta(description="decisions on the item that still stand")] = ()
    answers: tuple[Answered, ...] = ()
    frees: Annotated[
        tuple[Stop, ...], msgspec.Meta(description="stops of the whole stream that nothing asks for any more")
    ] = ()
    former: Annotated[Id | None, msgspec.Meta(description="the decision of people whose place this one takes")] = None


class Decision(Message, kw_only=True, frozen=True):
    """One agent's answer for one item. `decision_id` is a function of (event, agent, policy version), so that
    the same input decided again is recognised; of what people ruled, a function of their rulings."""

    decision_id: Id
    event_id: Id
    content_id: Id
    publisher_id: Id
    agent: Id
    action: Action
    policy: PolicyRef
    decided_at: Utc
    latency_s: Annotated[Seconds, msgspec.Meta(description="from the event's created_at to decided_at")]
    reasons: tuple[Reason, ...] = ()
    stop: Annotated[Stop | None, msgspec.Meta(description="set when the action is takedown")] = None
    label: LabelTerms | None = None
    models: dict[str, str] = {}
    stream_id: Id | None = None
    seq: Count | None = None
    reach: Annotated[Count | None, msgspec.Meta(description="as the event says")] = None
    ruling: Annotated[Ruled | None, msgspec.Meta(description="of people's decisions: what they ruled")] = None
    media: Annotated[
        Media | None,
        msgspec.Meta(description="of an item that must be labelled: where it lies; of the labeler: the labelled copy"),
    ] = None
    trimmed: Trimmed = 0


def stable_id(*parts: object) -> str:
    """An id that the same parts always give: 128 bits of BLAKE2b, hexadecimal."""
    return hashlib.blake2b("\x1f".join(map(str, parts)).encode(), digest_size=16).hexdigest()


def decision_id(event_id: str, agent: str, policy: PolicyRef) -> str:
    """The id of that agent's decision on that event under that policy version."""
    return stable_id("decision", event_id, agent, policy.name, policy.version)
