"""What a reviewer does: see what waits, take it, give it back, rule. For the command line and for consoles.

Everything goes over the topics. Each act is answered by the row of the work list that names it, or, if it is refused,
by its dead letter.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import uuid4

from agents.asking import passed, priority
from agents.reviewers.board import KEEP_DAYS
from agents.reviewers.settle import AGENT
from agents.reviewers.work import OPEN
from schemas.deadletter import DeadLetter
from schemas.message import Refused, decode
from schemas.orders import Review
from schemas.policy import ReviewersPolicy
from schemas.sanction import Ruling
from schemas.topics import CLAIMS, DEADLETTERS, REVIEWS, RULINGS, WORKLIST
from schemas.worklist import Claim, Holding, Question, WorkItem
from streams.client import Client, Feed
from streams.readback import read_back
from streams.settings import Settings

DAY_S = 86_400.0
#: How long an answer is waited for: a worker that is restarted meanwhile is back by then.
PATIENCE_S = 60.0
#: Orders to look are written a moment after the decision whose time they carry.
MARGIN_S = 900.0


class NoAnswer(Exception):
    """The reviewers agent did not answer in time: what was sent is taken when it runs again."""


class Task(NamedTuple):
    """A question as it stands now."""

    item: WorkItem
    question: Question
    #: The higher, the sooner.
    urgency: float
    holding: Holding | None
    overdue: bool

    @property
    def is_open(self) -> bool:
        """Whether somebody is to rule on it."""
        return self.question.state in OPEN


async def work(settings: Settings, days: float = KEEP_DAYS) -> dict[str, WorkItem]:
    """By event, the rows that changed within so many days."""
    found: dict[str, WorkItem] = {}
    async for message in read_back(settings, {WORKLIST: days * DAY_S}, {}, {}):
        found[message.value.event_id] = message.value
    return found


def tasks(items: Iterable[WorkItem], terms: ReviewersPolicy, now: datetime) -> list[Task]:
    """Every question, the most urgent first: by severity, reach, and how much of its time is over."""
    found = [_task(item, question, terms, now) for item in items for question in item.questions]
    return sorted(found, key=lambda task: (-task.urgency, task.question.due_at, task.question.review_id))


def _task(item: WorkItem, question: Question, terms: ReviewersPolicy, now: datetime) -> Task:
    share = passed(question.requested_at, question.due_at, now)
    holding = question.claim if question.claim and question.claim.until > now else None
    overdue = question.state in OPEN and now >= question.due_at
    return Task(item, question, priority(question.severity, item.reach, terms, share), holding, overdue)


def free_for(task: Task, reviewer_id: str) -> bool:
    """Whether a reviewer may take a task: nobody else has it, and they have not ruled on it before."""
    voted = {vote.reviewer_id for vote in task.item.votes if vote.on == task.question.review_id}
    return (
        task.is_open
        and (task.holding is None or task.holding.reviewer_id == reviewer_id)
        and reviewer_id not in task.question.barred
        and not (task.question.state == "second" and reviewer_id in voted)
    )


async def evidence(settings: Settings, task: Task, now: datetime) -> Review | None:
    """The order to look, with the evidence that the work list leaves out; None if it is no longer kept."""
    age = (now - task.question.requested_at).total_seconds() + MARGIN_S
    found = read_back(settings, {REVIEWS: max(0.0, age)}, {}, {})
    async for message in found:
        if message.value.review_id == task.question.review_id:
            return message.value  # type: ignore[no-any-return]
    return None


async def claim(settings: Settings, task: Task, reviewer_id: str, *, patience_s: float = PATIENCE_S) -> Holding | None:
    """Take a review: what was given, or what another has; None if it is not open any more.

    Raises:
        Refused, NoAnswer: as `answer`.
    """
    item = await _claimed(settings, task, reviewer_id, "claim", patience_s)
    return next(each.claim for each in item.questions if each.review_id == task.question.review_id)


async def release(settings: Settings, task: Task, reviewer_id: str, *, patience_s: float = PATIENCE_S) -> None:
    """Give a review back. Raises as `claim` does."""
    await _claimed(settings, task, reviewer_id, "release", patience_s)


async def _claimed(settings: Settings, task: Task, reviewer_id: str, kind: Any, patience_s: float) -> WorkItem:
    wanted = Claim(
        claim_id=uuid4().hex,
        publisher_id=task.item.publisher_id,
        review_id=task.question.review_id,
        reviewer_id=reviewer_id,
        claimed_at=datetime.now(UTC),
        kind=kind,
    )
    return await answer(settings, wanted, patience_s=patience_s)


def ruling(reviewer_id: str, outcome: Any, reason: str, about: Mapping[str, Any], **more: Any) -> Ruling:
    """A ruling made now; `about` as the fields that say on what. Raises ValueError as the type does."""
    return Ruling(
        ruling_id=uuid4().hex,
        outcome=outcome,
        reviewer_id=reviewer_id,
        reason=reason,
        ruled_at=datetime.now(UTC),
        **{**about, **more},
    )


def about_item(item: WorkItem) -> dict[str, Any]:
    """What names an item whole, so that its ruling needs nobody's memory."""
    names = ("publisher_id", "event_id", "content_id", "stream_id", "seq")
    return {name: getattr(item, name) for name in names}


async def answer(settings: Settings, sent: Claim | Ruling, *, patience_s: float = PATIENCE_S) -> WorkItem:
    """Send a claim or a ruling; the row that answers it.

    Raises:
        Refused: it is refused; field and reason are those of its dead letter.
        NoAnswer: no answer came in time.
    """
    topic = CLAIMS if isinstance(sent, Claim) else RULINGS
    name = sent.claim_id if isinstance(sent, Claim) else sent.ruling_id
    async with Feed(settings, [WORKLIST, DEADLETTERS]) as feed, Client(settings) as client:
        await client.send(topic, sent)
        try:
            async with asyncio.timeout(patience_s):
                async for record in feed:
                    if record.topic == WORKLIST.name:
                        row: WorkItem | None = _read(WorkItem, record.value)
                        if row and row.answers == name:
                            return row
                    elif refused := _refusal(_read(DeadLetter, record.value), settings.topic_prefix + topic.name, name):
                        raise refused
        except TimeoutError:
            pass
    raise NoAnswer(f"no answer within {patience_s:g} s: is a worker of the agent `reviewers` running?")


def _read(kind: Any, value: bytes | None) -> Any:
    try:
        return decode(kind, value) if value else None
    except Refused:
        return None


def _refusal(letter: DeadLetter | None, topic: str, name: str) -> Refused | None:
    """Why the reviewers agent refused what has this id, if that is what the letter says."""
    if letter is None or (letter.topic, letter.agent) != (topic, AGENT) or name.encode() not in (letter.value or b""):
        return None
    return Refused(letter.field, letter.reason)
