"""Decisions: what an agent makes of one item, and why."""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal

import msgspec

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


class Decision(Message, kw_only=True, frozen=True):
    """One agent's answer for one item. `decision_id` is a function of (event, agent, policy version), so that
    the same input decided again is recognised."""

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
    trimmed: Trimmed = 0


def stable_id(*parts: object) -> str:
    """An id that the same parts always give: 128 bits of BLAKE2b, hexadecimal."""
    return hashlib.blake2b("\x1f".join(map(str, parts)).encode(), digest_size=16).hexdigest()


def decision_id(event_id: str, agent: str, policy: PolicyRef) -> str:
    """The id of that agent's decision on that event under that policy version."""
    return stable_id("decision", event_id, agent, policy.name, policy.version)
