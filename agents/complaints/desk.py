"""The desk (AVP-15): which complaints are open, what they have caused, and what became of them. No Kafka.

Records are of the publishers whose partitions this worker has, and reach back as far as complaints are read back.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Literal

from msgspec.structs import replace

from agents.asking import review_id
from agents.complaints.case import (
    APPEAL,
    UNKNOWN,
    WEIGHT,
    Case,
    Content,
    Filed,
    Key,
    Matter,
    State,
    of_item,
    outcome,
    result,
)
from agents.complaints.weigh import Record, Weighed, score, weigh
from agents.decide import ground
from schemas.complaint import Complaint, ComplaintKind, ComplaintResult
from schemas.decision import Decision, PolicyRef, Reason, Stop, stable_id
from schemas.message import Refused
from schemas.policy import Policy
from schemas.sanction import Ruling

AGENT = "complaints"
#: How long a case is remembered after its last complaint, in days, if nothing of it is open; as far back as complaints
#: are read after a restart. The longest promise that ships is three days.
KEEP_DAYS = 30.0
#: Items remembered at most, oldest forgotten first: about 100 MB.
MOST_CONTENTS = 200_000
#: Complaints of one item that are weighed at most, the newest: a flood must not slow the desk down, and so many have
#: long brought a person.
MOST_WEIGHED = 2_000


class Desk:
    """Takes complaints and rulings; says what follows."""

    def __init__(self) -> None:
        self.contents: OrderedDict[Key, Content] = OrderedDict()
        self.cases: dict[Key, Case] = {}
        self.records: dict[str, Record] = {}
        self.matters: dict[str, Matter] = {}
        self._swept: datetime | None = None

    def note(self, decision: Decision) -> None:
        """Remember an item from what identity, which meets every item first, decided on it."""
        if decision.agent != "identity":
            return
        key = (decision.publisher_id, decision.content_id)
        created_at = decision.decided_at - timedelta(seconds=decision.latency_s)
        self.contents[key] = Content(decision.event_id, created_at, decision.stream_id, decision.seq, decision.reach)
        self.contents.move_to_end(key)
        if len(self.contents) > MOST_CONTENTS:
            self.contents.popitem(last=False)

    def take(self, complaint: Complaint, policy: Policy, now: datetime) -> Iterator[Decision | ComplaintResult]:
        """What follows from one complaint. One that was taken before causes only what is still missing."""
        if complaint.complaint_id not in self.matters:
            hours = policy.complaints.deadline_hours[complaint.kind]
            filed = self.file(complaint, complaint.received_at + timedelta(hours=hours))
            yield _result(filed, "received", "", now)
        key = (complaint.publisher_id, complaint.content_id)
        case = self.cases[key]
        yield from self._act(key, case, policy, now)
        for matter in case.matters:
            kind = matter.filed[0].complaint.kind
            if matter.state == "received" and (code := case.code(kind)):
                matter.state, matter.review_id = "under_review", case.asked[code]
            yield from _tell(matter, case.code(kind), now)

    def rule(self, ruling: Ruling, now: datetime) -> Iterator[ComplaintResult]:
        """What follows from a ruling: nothing, if it is not on a complaint, or on the item of one: then what follows
        comes of the decision of people, for which a second reviewer may be needed."""
        if ruling.complaint_id is None or ruling.outcome not in ("upheld", "reversed", "lifted"):
            return
        matter = self.matters.get(ruling.complaint_id)
        if matter is None or matter.filed[0].complaint.publisher_id != ruling.publisher_id:
            raise Refused("complaint_id", f"{ruling.complaint_id!r} is no complaint about this publisher")
        complaint = matter.filed[0].complaint
        code = self.cases[complaint.publisher_id, complaint.content_id].code(complaint.kind)
        case = self.cases[complaint.publisher_id, complaint.content_id]
        self.settle(matter, outcome(ruling, complaint.kind), ruling.ruling_id, case.asked.get(code, ""))
        yield from _tell(matter, code, now)

    def settled(self, decision: Decision, now: datetime) -> Iterator[ComplaintResult]:
        """What follows from a decision of people: the complaints for which they were asked are settled, and, if it
        takes the place of one that settled them, settled otherwise."""
        case = self.cases.get((decision.publisher_id, decision.content_id))
        if case is None or decision.ruling is None:
            return
        ruled = {each.review_id: each.outcome for each in decision.ruling.answers}
        for matter in list(case.matters):
            kind = matter.filed[0].complaint.kind
            code = case.code(kind)
            review = case.asked.get(code, "") if matter.open else matter.review_id
            found = of_item(ruled[review], kind) if review in ruled else None
            if found and (matter.open or matter.settled_by == decision.ruling.former):
                self.settle(matter, found, decision.decision_id, review)
                yield from _tell(matter, code, now)

    def file(self, complaint: Complaint, due_at: datetime) -> Filed:
        """Put a complaint to its item's: a repeat to what it repeats."""
        kept = replace(complaint, text="", attachments=())  # a person reads them on the topic
        filed = Filed(kept, due_at)
        case = self.cases.setdefault((kept.publisher_id, kept.content_id), Case())
        for matter in case.matters:
            first = matter.filed[0].complaint
            if matter.open and (first.complainant, first.kind) == (kept.complainant, kept.kind):
                matter.filed.append(filed)
                break
        else:
            matter = Matter([filed])
            case.matters.append(matter)
        self.matters[kept.complaint_id] = matter
        return filed

    def settle(self, matter: Matter, state: State, ruling_id: str, review_id: str = "") -> None:
        """Rule on a matter, for the first time or otherwise than before; it counts once in its complainant's record."""
        if matter.state == state:
            return
        matter.settled_by, matter.review_id = ruling_id, review_id
        complaint = matter.filed[0].complaint
        upheld, total = self.records.get(complaint.complainant, Record())
        change = int(state == "upheld") - int(matter.state == "upheld")
        self.records[complaint.complainant] = Record(upheld + change, total + int(matter.open))
        matter.state = state
        case = self.cases[complaint.publisher_id, complaint.content_id]
        # What is held and found to be wrong stays so: a further review would publish it again.
        stays = case.held and any(each.state == "upheld" for each in case.matters)
        if not stays and not any(each.open for each in case.matters):
            case.asked, case.held, case.round = {}, "", ruling_id

    def counts(self, now: datetime) -> tuple[Counter[ComplaintKind], Counter[ComplaintKind]]:
        """How many complaints of each kind are open, and how many of these overdue: from the moment they are due."""
        waiting = [filed for case in self.cases.values() for filed in case.open()]
        late = (filed.complaint.kind for filed in waiting if now >= filed.due_at)
        return Counter(filed.complaint.kind for filed in waiting), Counter(late)

    def forget(self, now: datetime) -> None:
        """Forget, each hour, the cases that are long closed."""
        if self._swept and now - self._swept < timedelta(hours=1):
            return
        self._swept, before = now, now - timedelta(days=KEEP_DAYS)
        for key, case in list(self.cases.items()):
            filed = [each for matter in case.matters for each in matter.filed]
            if not any(case.open()) and all(each.complaint.received_at < before for each in filed):
                del self.cases[key]
                for each in filed:
                    del self.matters[each.complaint.complaint_id]

    def _act(self, key: Key, case: Case, policy: Policy, now: datetime) -> Iterator[Decision]:
        content, terms = self.contents.get(key), policy.complaints
        waiting = [filed.complaint for filed in case.open()][-MOST_WEIGHED:]
        if APPEAL not in case.asked and any(complaint.kind == "appeal" for complaint in waiting):
            yield _ask(key, case, content, ground(APPEAL), policy, now)
        person, final = {WEIGHT, UNKNOWN} & case.asked.keys(), case.held or content is None
        if (person and final) or all(complaint.kind == "appeal" for complaint in waiting):
            return
        weighed = weigh(waiting, self.records, terms.severity)
        if content is None:
            yield _ask(key, case, content, ground(UNKNOWN, evidence=(weighed.evidence,)), policy, now)
            return
        if not person and weighed.reviewed(terms):
            yield _ask(key, case, content, _by_weight(weighed, terms.review_weight), policy, now)
        # After the review: of two decisions of one agent on one event the later stands.
        if not case.held and terms.hold_weight is not None and weighed.held(terms):
            stop = Stop(kind="hold", until="reviewed")
            held = _decision(key, case, content, _by_weight(weighed, terms.hold_weight), policy, now, stop)
            case.held = held.decision_id
            yield held


def decision_id(event_id: str, policy: PolicyRef, action: str, code: str, round: str) -> str:
    """One for each policy version, action, ground and round: a review and a later hold of one event differ."""
    return stable_id("decision", event_id, AGENT, policy.name, policy.version, action, code, round)


def _by_weight(weighed: Weighed, limit: float) -> Reason:
    return ground(WEIGHT, score=weighed.score, threshold=score(limit), evidence=(weighed.evidence,))


def _ask(key: Key, case: Case, content: Content | None, reason: Reason, policy: Policy, now: datetime) -> Decision:
    """Ask a person. What is held stays so: see the verdict agent's join."""
    decision = _decision(key, case, content, reason, policy, now)
    case.asked[reason.code] = review_id(decision.decision_id)
    return decision


def _decision(
    key: Key,
    case: Case,
    content: Content | None,
    reason: Reason,
    policy: Policy,
    now: datetime,
    stop: Stop | None = None,
) -> Decision:
    """A decision on the item. Of one that was not seen the event is not known: its content_id stands for it."""
    content = content or Content(event_id=key[1], created_at=now)
    action: Literal["takedown", "review"] = "takedown" if stop else "review"
    return Decision(
        decision_id=decision_id(content.event_id, policy.ref, action, reason.code, case.round),
        event_id=content.event_id,
        content_id=key[1],
        publisher_id=key[0],
        stream_id=content.stream_id,
        seq=content.seq,
        reach=content.reach,
        agent=AGENT,
        action=action,
        reasons=(reason,),
        stop=stop,
        policy=policy.ref,
        decided_at=now,
        latency_s=max(0.0, (now - content.created_at).total_seconds()),
    )


def _tell(matter: Matter, code: str, now: datetime) -> Iterator[ComplaintResult]:
    """The results of a matter's complaints whose complainant was last told otherwise."""
    for filed in matter.filed:
        if filed.told != matter.state:
            yield _result(filed, matter.state, code, now, matter)


def _result(filed: Filed, state: State, code: str, now: datetime, matter: Matter | None = None) -> ComplaintResult:
    filed.told = state
    found = result(filed.complaint, state, filed.due_at, now, code)
    return replace(found, settled_by=matter.settled_by or None, review_id=matter.review_id or None) if matter else found
