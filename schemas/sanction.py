"""Sanctions: what follows for a publisher when the rules are broken (Provisions, Art. 14), and how it is lifted."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from schemas.decision import LabelTerms, PolicyRef
from schemas.entity import EntityKind
from schemas.message import Count, Id, Message, Text, Utc

#: The ladder, in the words of Art. 14: warn, limit functions, suspend updates, close the account.
SanctionLevel = Literal["warn", "limit", "suspend", "close"]
Points = Annotated[float, msgspec.Meta(ge=0)]


class Sanction(Message, kw_only=True, frozen=True):
    """One step of the ladder, ordered for one publisher. A later message of the same id says that it was lifted."""

    sanction_id: Id
    publisher_id: Id
    level: SanctionLevel
    begins_at: Utc
    until: Annotated[Utc | None, msgspec.Meta(description="null: until it is lifted")] = None
    limits: Annotated[tuple[Id, ...], msgspec.Meta(description="of a limit: services and functions that are off")] = ()
    points: Points
    because: Annotated[tuple[Id, ...], msgspec.Meta(description="decisions it rests on, newest first")] = ()
    policy: PolicyRef
    lifted_by: Annotated[Id | None, msgspec.Meta(description="the ruling that lifted it")] = None
    lifted_at: Utc | None = None


class PointEntry(Message, kw_only=True, frozen=True):
    """The points of one decision."""

    decision_id: Id
    event_id: Id
    code: Id
    points: Points
    at: Utc


class Standing(Message, kw_only=True, frozen=True):
    """A publisher's ledger: points, what was reversed, and sanctions. All that rebuilds the agent's state, so that no
    old decision need be read again."""

    publisher_id: Id
    entries: tuple[PointEntry, ...] = ()
    reversed: Annotated[tuple[Id, ...], msgspec.Meta(description="decisions that rulings reversed")] = ()
    sanctions: tuple[Sanction, ...] = ()


class LabelSet(Message, kw_only=True, frozen=True):
    """A label that a ruling puts into the entity memory."""

    kind: EntityKind
    entity_id: Id
    label: Id
    expires_at: Utc | None = None


class Ruling(Message, kw_only=True, frozen=True):
    """What a person ruled: on a review, a decision, an item, a sanction, or a complaint. It wins over agents.

    A ruling on a review or a decision answers that question; one on the item as a whole (`event_id` and `content_id`
    alone) sets every agent aside.
    """

    ruling_id: Id
    publisher_id: Id
    outcome: Annotated[
        Literal["upheld", "reversed", "lifted", "remove", "keep", "label", "escalate"],
        msgspec.Meta(
            description="upheld: it stands; reversed: the decision was wrong; lifted: the sanction ends; remove, keep, "
            "label: what becomes of the item; escalate: somebody else must say"
        ),
    ]
    reviewer_id: Id
    reason: Text
    ruled_at: Utc
    decision_id: Id | None = None
    sanction_id: Id | None = None
    complaint_id: Id | None = None
    article: str = ""
    labels: Annotated[tuple[LabelSet, ...], msgspec.Meta(max_length=20, description="for the entity memory")] = ()
    review_id: Annotated[Id | None, msgspec.Meta(description="the question that it answers")] = None
    event_id: Annotated[
        Id | None,
        msgspec.Meta(description="of the item; with content_id, needed only for what is older than the work list"),
    ] = None
    content_id: Id | None = None
    stream_id: Id | None = None
    seq: Count | None = None
    label: Annotated[LabelTerms | None, msgspec.Meta(description="of `label`: which, and what people read")] = None
    bank: Annotated[
        Literal["banned", "known_good"] | None,
        msgspec.Meta(description="put the item's hashes there, so that its next copy needs no person"),
    ] = None

    schema_rules = (
        {
            "anyOf": [
                *(
                    {"required": [name], "properties": {name: {"type": "string"}}}
                    for name in ("decision_id", "sanction_id", "complaint_id", "review_id", "event_id")
                ),
                {"required": ["labels"], "properties": {"labels": {"minItems": 1}}},
            ],
        },
    )

    def __post_init__(self) -> None:
        on = (self.decision_id, self.sanction_id, self.complaint_id, self.labels, self.review_id, self.event_id)
        if not any(on):
            raise ValueError(
                "`review_id`, `decision_id`, `event_id`, `sanction_id`, `complaint_id` and `labels` are all missing: "
                "on what is the ruling?"
            )
