"""The work list of reviewers: who has taken a question, and where each item that people are asked about stands."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from schemas.decision import LabelTerms, Outcome, PolicyRef, Position, Reason
from schemas.message import Count, Id, Message, Sha256, Text, Utc
from schemas.orders import Severity

Bank = Literal["banned", "known_good"]
QuestionState = Literal["open", "second", "escalated", "settled"]


class Claim(Message, kw_only=True, frozen=True):
    """A reviewer takes a review, so that nobody else works on it, or gives it back.

    Of two who take the same the first on its partition gets it; a claim ends by itself. The answer lies on `worklist`,
    in the row whose `answers` is this claim's id.
    """

    claim_id: Id
    publisher_id: Id
    review_id: Id
    reviewer_id: Id
    claimed_at: Utc
    kind: Literal["claim", "release"] = "claim"


class Holding(Message, kw_only=True, frozen=True):
    """Who has taken a review, and until when it is theirs."""

    claim_id: Id
    reviewer_id: Id
    until: Utc


class Vote(Message, kw_only=True, frozen=True):
    """One reviewer's ruling on one item."""

    ruling_id: Id
    reviewer_id: Id
    outcome: Outcome
    ruled_at: Utc
    on: Annotated[Id, msgspec.Meta(description="the review, the decision, or `*`: the item as a whole")]
    target: Annotated[Id, msgspec.Meta(description="the agent whose decision it is about; `*`: all of them")]
    alone: Annotated[bool, msgspec.Meta(description="false: it takes effect once a second reviewer says the same")] = (
        True
    )
    over: Annotated[tuple[Id, ...], msgspec.Meta(description="decisions that it found when it came")] = ()
    reason: Text = ""
    article: str = ""
    label: LabelTerms | None = None
    bank: Bank | None = None


class Question(Message, kw_only=True, frozen=True):
    """One review: what is asked about an item, and where it stands."""

    review_id: Id
    decision_id: Id
    agent: Id
    target: Annotated[Id, msgspec.Meta(description="whose decision a ruling sets aside; `*`: all agents'")]
    policy: PolicyRef
    severity: Severity
    priority: Annotated[float, msgspec.Meta(ge=0)]
    requested_at: Utc
    due_at: Utc
    reasons: tuple[Reason, ...] = ()
    state: Annotated[
        QuestionState,
        msgspec.Meta(description="second: a second reviewer must agree; escalated: another review asks on"),
    ] = "open"
    outcome: Annotated[Outcome | None, msgspec.Meta(description="what was ruled, once that has taken effect")] = None
    claim: Holding | None = None
    escalates: Annotated[Id | None, msgspec.Meta(description="the review that could not be settled")] = None
    barred: Annotated[tuple[Id, ...], msgspec.Meta(description="reviewers who ruled before, and may not here")] = ()


class Banked(Message, kw_only=True, frozen=True):
    """The hash bank's entry for an item, as a ruling asked for it."""

    entry_id: Id
    kind: Bank
    by: Annotated[Id, msgspec.Meta(description="the ruling")]
    state: Annotated[
        Literal["wanted", "in", "missing", "out"],
        msgspec.Meta(
            description="wanted: its hashes are being looked for; in: the bank has them; missing: its signals are no "
            "longer kept, so the file must be enrolled; out: a later ruling switched it off"
        ),
    ] = "wanted"
    sha256: Sha256 | None = None


class WorkItem(Message, kw_only=True, frozen=True):
    """Where an item stands that people are asked about, or that was stopped. The last row of an event is in force."""

    event_id: Id
    content_id: Id
    publisher_id: Id
    at: Utc
    stream_id: Id | None = None
    seq: Count | None = None
    reach: Count | None = None
    created_at: Annotated[Utc | None, msgspec.Meta(description="of the event, as the decisions on it say")] = None
    positions: Annotated[tuple[Position, ...], msgspec.Meta(description="of agents that stop, label or ask")] = ()
    questions: tuple[Question, ...] = ()
    votes: Annotated[tuple[Vote, ...], msgspec.Meta(description="all rulings on it")] = ()
    decisions: Annotated[
        tuple[Id, ...], msgspec.Meta(description="what people decided on it, the last at the end")
    ] = ()
    removals: Annotated[tuple[Id, ...], msgspec.Meta(description="decisions of people that removed it")] = ()
    bank: Banked | None = None
    answers: Annotated[Id | None, msgspec.Meta(description="the claim or ruling that this row answers")] = None
