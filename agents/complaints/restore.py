"""From what the topics hold back to the desk as it was (AVP-15). Pure.

A complaint that was never answered is left out: its message was not done with and comes again. Marks that a person was
asked, or that an item is held, are set only where both decision and order lie on their topics, so that a worker that
was killed between the two orders what is missing, under the same ids, when the message comes again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from agents.asking import review_id
from agents.complaints.case import APPEAL, UNKNOWN, WEIGHT, outcome
from agents.complaints.desk import AGENT, Desk, decision_id
from schemas.complaint import Complaint, ComplaintResult
from schemas.decision import Decision
from schemas.message import Message
from schemas.orders import Review, Takedown
from schemas.sanction import Ruling

#: How far back decisions and orders are read, in days. What was answered before has long been ordered.
ORDERS_DAYS = 1.0


def needed(message: Message, desk: Desk) -> bool:
    """Whether `restored` needs this message. The items that others decided on, by far the most of what is read back,
    are noted at the desk at once instead."""
    if isinstance(message, Decision) and message.agent != AGENT:
        desk.note(message)
        return False
    if isinstance(message, Review | Takedown):
        return any(reason.code in (WEIGHT, APPEAL, UNKNOWN) for reason in message.reasons)
    return True


def restored(messages: Sequence[Message], now: datetime, desk: Desk | None = None) -> Desk:
    """The desk after these messages, in any order but for results of the same complaint. `desk`: one where nothing but
    items are known."""
    desk = desk or Desk()
    results = {message.complaint_id: message for message in messages if isinstance(message, ComplaintResult)}
    for message in sorted(_history(messages), key=_moment):
        result = results.get(message.complaint_id or "")
        if result is None:
            continue
        if isinstance(message, Complaint):
            if message.complaint_id not in desk.matters:
                desk.file(message, result.due_at).told = result.state
        elif result.state in ("upheld", "rejected") and (matter := desk.matters.get(result.complaint_id)):
            desk.settle(matter, outcome(message, result.kind), message.ruling_id, result.review_id or "")
    _compare(desk, results, now - timedelta(days=ORDERS_DAYS))
    for decision in (message for message in messages if isinstance(message, Decision)):
        desk.note(decision)
    _mark(desk, messages)
    return desk


def _history(messages: Sequence[Message]) -> Iterator[Complaint | Ruling]:
    return (
        message
        for message in messages
        if isinstance(message, Complaint)
        # What is ruled on an item settles complaints by the decision of people, of which the results tell.
        or (isinstance(message, Ruling) and message.outcome in ("upheld", "reversed", "lifted"))
    )


def _moment(message: Complaint | Ruling) -> datetime:
    return message.received_at if isinstance(message, Complaint) else message.ruled_at


def _compare(desk: Desk, results: dict[str, ComplaintResult], long_ago: datetime) -> None:
    """What complainants were told says where their matters stand, also where the ruling is older than what was read."""
    for case in desk.cases.values():
        for matter in case.matters:
            for filed in matter.filed:
                if not matter.open or filed.told == "received":
                    continue
                result = results[filed.complaint.complaint_id]
                if filed.told == "under_review":
                    matter.state = filed.told
                    matter.review_id = result.review_id or ""
                    if result.at < long_ago:
                        case.asked[result.code] = matter.review_id
                else:
                    desk.settle(matter, filed.told, result.settled_by or "", result.review_id or "")


def _mark(desk: Desk, messages: Sequence[Message]) -> None:
    """Mark what this round of a case has asked for and got."""
    ordered = {message.decision_id for message in messages if isinstance(message, Review | Takedown)}
    for message in messages:
        if isinstance(message, Decision) and message.agent == AGENT and message.reasons:
            case = desk.cases.get((message.publisher_id, message.content_id))
            code = message.reasons[0].code
            # The stop of a stream is the verdict agent's order.
            done = message.decision_id in ordered or (message.stop and message.stream_id)
            if case is None or not done:
                continue
            if message.decision_id != decision_id(message.event_id, message.policy, message.action, code, case.round):
                continue  # of a round that is over
            if message.stop:
                case.held = message.decision_id
            else:
                case.asked[code] = review_id(message.decision_id)
