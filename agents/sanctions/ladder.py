"""The ladder of sanctions (Provisions, Art. 14): what decisions cost, what that adds up to, and what follows.

No Kafka and no clock: times are those of the entries.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from schemas.decision import Decision, stable_id
from schemas.policy import LADDER, Policy, Rung
from schemas.sanction import PointEntry, Sanction

#: Decisions that a sanction names.
MOST_BECAUSE = 20
#: So much of a step's points reaches it. Points decay from the first second on, and without this two takedowns of 6
#: points within a minute would not reach a step at 12; with it, they do if they are at most two days apart.
ENOUGH = 0.99

#: Orders entries, and sanctions by the entries at which they began: time, then decision.
Key = tuple[datetime, str]
FIRST: Key = (datetime.min.replace(tzinfo=UTC), "")
NEVER: Key = (datetime.max.replace(tzinfo=UTC), "")
#: sanction_id → the ruling that lifted it, and when.
Lifts = Mapping[str, tuple[str, datetime]]


def entry_of(decision: Decision, policy: Policy) -> PointEntry | None:
    """The points of a decision: those of a takedown's dearest reason. None if it costs nothing.

    A segment's entry goes under its stream as `event_id`, so that a stream costs the same reason once, however many
    segments of it were still decided on.
    """
    if decision.action != "takedown":
        return None
    costs = policy.sanctions.points
    code = max((reason.code for reason in decision.reasons), key=lambda code: costs.get(code, 0.0), default="")
    if costs.get(code, 0.0) <= 0:
        return None
    return PointEntry(
        decision_id=decision.decision_id,
        event_id=decision.stream_id or decision.event_id,
        code=code,
        points=costs[code],
        at=decision.decided_at,
    )


def settle(
    publisher_id: str,
    entries: Iterable[PointEntry],
    overruled: Iterable[str],
    lifts: Lifts,
    policy: Policy,
    *,
    former: Sequence[Sanction] = (),
    since: Key = FIRST,
) -> tuple[Sanction, ...]:
    """The sanctions that follow from these entries, whatever their order, oldest first.

    Points halve with every half-life. An entry with which they reach a step of the ladder begins a sanction of the
    highest step reached, unless one as severe is in force. `overruled` are decisions that cost nothing any more.

    What began before `since`, or at entries since forgotten, is taken from `former` as it was ordered: under the same
    policy it would come out the same, and a changed policy must not change what was ordered under another.
    """
    overruled = frozenset(overruled)
    entries = sorted(entries, key=key_of)
    settled = max(since, key_of(entries[0]) if entries else NEVER)
    sanctions = [_lifted(s, lifts) for s in former if began(s) < settled and began(s)[1] not in overruled]
    points = 0.0
    because: list[str] = []
    last: datetime | None = None
    for entry in counted(entries, overruled):
        points = entry.points + (decayed(points, entry.at - last, policy) if last else 0.0)
        last = entry.at
        because.append(entry.decision_id)
        if key_of(entry) < since:
            continue
        rung = _reached(points, policy)
        if rung is None or any(in_force(s, entry.at) and _as_severe(s, rung) for s in sanctions):
            continue
        begun = Sanction(
            sanction_id=stable_id("sanction", publisher_id, rung.level, entry.decision_id),
            publisher_id=publisher_id,
            level=rung.level,
            begins_at=entry.at,
            until=None if rung.days is None else entry.at + timedelta(days=rung.days),
            limits=rung.limits,
            points=shown(points),
            because=tuple(because[: -MOST_BECAUSE - 1 : -1]),
            policy=policy.ref,
        )
        sanctions.append(_lifted(begun, lifts))
    return tuple(sanctions)


def in_force(sanction: Sanction, at: datetime) -> bool:
    """Whether a sanction had begun at that time, and neither ended nor been lifted by then."""
    if at < sanction.begins_at or (sanction.lifted_at is not None and sanction.lifted_at <= at):
        return False
    return sanction.until is None or at < sanction.until


def shown(points: float) -> float:
    """Points as people read them."""
    return round(points, 2)


def counted(entries: Iterable[PointEntry], overruled: frozenset[str]) -> Iterator[PointEntry]:
    """Each reason of an item or stream once, however often it was decided: under a new policy version it is decided
    again. If a person reversed any of these decisions, it was about the same finding: none counts."""
    entries = list(entries)
    done = {(entry.event_id, entry.code) for entry in entries if entry.decision_id in overruled}
    for entry in entries:
        if (entry.event_id, entry.code) not in done:
            done.add((entry.event_id, entry.code))
            yield entry


def decayed(points: float, time: timedelta, policy: Policy) -> float:
    """What is left of points after that time."""
    days = time / timedelta(days=1)
    return float(points * 0.5 ** (days / policy.sanctions.half_life_days))


def _reached(points: float, policy: Policy) -> Rung | None:
    return next((rung for rung in reversed(policy.sanctions.ladder) if points >= rung.at_points * ENOUGH), None)


def _as_severe(sanction: Sanction, rung: Rung) -> bool:
    return LADDER.index(sanction.level) >= LADDER.index(rung.level)


def _lifted(sanction: Sanction, lifts: Lifts) -> Sanction:
    by, at = lifts.get(sanction.sanction_id, (None, None))
    return replace(sanction, lifted_by=by, lifted_at=at) if by else sanction


def key_of(entry: PointEntry) -> Key:
    """Where an entry stands in time."""
    return entry.at, entry.decision_id


def began(sanction: Sanction) -> Key:
    """The entry at which a sanction began."""
    return sanction.begins_at, next(iter(sanction.because), "")
