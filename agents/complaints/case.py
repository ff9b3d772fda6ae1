"""A case: what is complained of about one item, from the first complaint to the ruling (AVP-15). Pure.

What a person rules on a complaint: `upheld`, the complaint is right; `reversed` or `lifted`, it is not. An appeal is
against something: where its ruling names that decision or sanction, the outcome speaks of it instead, so that
`upheld` rejects the appeal; `lifted` ends a sanction, which is what its appeal asked for. What people rule on the item
that they were asked about because of complaints settles these too, once it takes effect: see `Desk.settled`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, NamedTuple

from schemas.complaint import Complaint, ComplaintKind, ComplaintResult
from schemas.decision import Outcome
from schemas.sanction import Ruling

APPEAL, UNKNOWN, WEIGHT = "COMPLAINT-APPEAL", "COMPLAINT-UNKNOWN-CONTENT", "COMPLAINT-WEIGHT"
State = Literal["received", "under_review", "upheld", "rejected"]
SETTLED = ("upheld", "rejected")
#: What complainants read.
TEXTS: dict[State, str] = {
    "received": "已收到您的投诉 Your complaint has been received",
    "under_review": "您的投诉正在人工审核 A person is looking at your complaint",
    "upheld": "投诉成立，已作处理 Your complaint was found to be right and has been acted on",
    "rejected": "经审核，投诉不成立 Your complaint was reviewed and found not to apply",
}
#: publisher_id, content_id: who names a wrong publisher complains about an item that is not there.
Key = tuple[str, str]


class Content(NamedTuple):
    """What the desk must know of an item to decide on it."""

    event_id: str
    created_at: datetime
    stream_id: str | None = None
    seq: int | None = None
    reach: int | None = None


@dataclass(slots=True)
class Filed:
    """One complaint, and the last state that its complainant was told."""

    complaint: Complaint
    due_at: datetime
    told: State = "received"


@dataclass(slots=True)
class Matter:
    """What one complainant says of one item in one kind: a complaint and its repeats, which are settled together."""

    filed: list[Filed]
    state: State = "received"
    settled_by: str = ""  #: the ruling, or the decision of people
    review_id: str = ""  #: by which people were asked about it

    @property
    def open(self) -> bool:
        """Whether nobody has ruled on it."""
        return self.state not in SETTLED


@dataclass(slots=True)
class Case:
    """One item's complaints. A round ends when all of them are ruled on; in a round a person is asked once for each
    ground, and the item is held once."""

    matters: list[Matter] = field(default_factory=list)
    asked: dict[str, str] = field(default_factory=dict)  #: ground → the review
    held: str = ""  #: the decision that holds the item
    round: str = ""  #: the ruling that ended the round before

    def code(self, kind: ComplaintKind) -> str:
        """The ground on which a person was asked about complaints of this kind; empty if none was."""
        grounds = (APPEAL,) if kind == "appeal" else (WEIGHT, UNKNOWN)
        return next((code for code in grounds if code in self.asked), "")

    def open(self) -> Iterator[Filed]:
        """Complaints that nobody has ruled on, oldest first."""
        return (filed for matter in self.matters if matter.open for filed in matter.filed)


def of_item(ruled: Outcome, kind: ComplaintKind) -> State | None:
    """What a ruling on the item makes of a complaint of this kind: who complains was right if the item does not stay as
    it was, who appeals if it does. None while others are asked on."""
    if ruled == "escalate":
        return None
    stays = ruled == "keep" if kind != "appeal" else ruled == "remove"
    return "rejected" if stays else "upheld"


def outcome(ruling: Ruling, kind: ComplaintKind) -> State:
    """What a ruling makes of a complaint of this kind; see the head of this file."""
    granted = {"upheld"}
    if kind == "appeal":
        granted = {"reversed", "lifted"} if ruling.decision_id or ruling.sanction_id else {"upheld", "lifted"}
    return "upheld" if ruling.outcome in granted else "rejected"


def result(complaint: Complaint, state: State, due_at: datetime, at: datetime, code: str = "") -> ComplaintResult:
    """What a complainant is told of a complaint that has come to this state."""
    return ComplaintResult(
        complaint_id=complaint.complaint_id,
        receipt_sha256=complaint.receipt_sha256,
        publisher_id=complaint.publisher_id,
        content_id=complaint.content_id,
        kind=complaint.kind,
        state=state,
        text=TEXTS[state],
        due_at=due_at,
        at=at,
        code=code,
    )
