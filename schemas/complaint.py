"""Complaints (Provisions, Art. 15): what a user reports, and what became of it."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from schemas.event import Media
from schemas.message import Id, Message, Sha256, Text, Utc

ComplaintKind = Literal["illegal", "rumor", "unlabelled", "impersonation", "infringement", "appeal"]


class Complaint(Message, kw_only=True, frozen=True):
    """One complaint about an item, or a publisher's appeal. Who complains is a digest; what they get to ask with, the
    receipt number, lies nowhere but with them: here is only its SHA-256."""

    complaint_id: Id
    receipt_sha256: Sha256
    kind: ComplaintKind
    publisher_id: Annotated[Id, msgspec.Meta(description="whose item it is")]
    content_id: Id
    text: Text
    complainant: Annotated[Id, msgspec.Meta(description="digest of the account or address that complains")]
    device: Annotated[Id | None, msgspec.Meta(description="digest of the device; related complaints count once")] = None
    attachments: Annotated[tuple[Media, ...], msgspec.Meta(max_length=10, description="by reference")] = ()
    received_at: Utc


class ComplaintResult(Message, kw_only=True, frozen=True):
    """Where a complaint stands. The last message of a complaint is its present state."""

    complaint_id: Id
    receipt_sha256: Sha256
    publisher_id: Id
    content_id: Id
    kind: ComplaintKind
    state: Literal["received", "under_review", "upheld", "rejected"]
    text: Annotated[Text, msgspec.Meta(description="for the complainant")]
    due_at: Annotated[Utc, msgspec.Meta(description="the platform's own promise, from the policy")]
    at: Utc
    code: Annotated[str, msgspec.Meta(description="a COMPLAINT-* code, or empty")] = ""
    review_id: Annotated[Id | None, msgspec.Meta(description="by which people were asked about it")] = None
    settled_by: Annotated[Id | None, msgspec.Meta(description="the ruling or the decision of people behind it")] = None
