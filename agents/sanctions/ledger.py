"""The ledger of sanctions (Provisions, Art. 14): each publisher's standing, and what is to be sent. No Kafka, no clock.

A publisher's `Standing` is a fold over decisions and rulings. It depends on which of them there are, not on their order
or repeats: at least once and over two topics, neither can be relied on. Two things bound that: a lift is refused where
its sanction does not stand, and what is long past is forgotten (`_bounded`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta

from msgspec.structs import replace

from agents.sanctions.ladder import NEVER, Key, began, counted, decayed, entry_of, in_force, key_of, settle, shown
from schemas.decision import Decision
from schemas.message import Refused
from schemas.policy import Policy
from schemas.sanction import PointEntry, Ruling, Sanction, Standing

#: Entries kept for a publisher, the newest: its standing stays far below the largest message (1 MB), and 500 takedowns
#: that cost points are beyond any ladder.
MOST_ENTRIES = 500
#: An entry older than so many half-lives is forgotten once less than so many points are left of it.
FORGOTTEN_HALF_LIVES = 8
FORGOTTEN_POINTS = 0.01


def decided(standing: Standing, decision: Decision, policy: Policy) -> Standing:
    """The standing with one more decision; the same object if it changes nothing."""
    entry = entry_of(decision, policy)
    if entry is None:
        return standing
    # The same decision made again has another time; of a stream, any segment stands for the others.
    rivals = [
        known
        for known in standing.entries
        if known.decision_id == entry.decision_id
        or (decision.stream_id is not None and (known.event_id, known.code) == (entry.event_id, entry.code))
    ]
    if any(key_of(known) <= key_of(entry) for known in rivals):
        return standing
    entries = _bounded([entry, *(known for known in standing.entries if known not in rivals)], policy)
    if key_of(entry) < key_of(entries[0]):
        return standing  # from a time that is forgotten: it may have counted once
    return _settled(standing, policy, _affected(entries, entry.decision_id), entries=entries)


def ruled(standing: Standing, ruling: Ruling, policy: Policy) -> Standing:
    """The standing after one more ruling; the same object if it changes nothing.

    A reversal may come before its decision, which lies on another topic: it is kept for it.

    Raises:
        Refused: the ruling names nothing that it could be about, or a sanction that does not stand.
    """
    if ruling.outcome not in ("reversed", "lifted") or (ruling.decision_id is None and ruling.sanction_id is None):
        return standing  # nothing changes, it is on a complaint alone, or it takes effect by the decision of people
    if ruling.outcome == "reversed":
        return _reversed(standing, ruling, policy)
    if ruling.sanction_id is None:
        raise Refused("sanction_id", "it is missing: which sanction is lifted?")
    known = next((s for s in standing.sanctions if s.sanction_id == ruling.sanction_id), None)
    if known is None:
        why = "has no such sanction" if standing.sanctions else "has no sanctions"
        raise Refused("sanction_id", f"{ruling.sanction_id!r} is unknown: publisher {ruling.publisher_id!r} {why}")
    if known.lifted_by and (known.lifted_at or ruling.ruled_at, known.lifted_by) <= (ruling.ruled_at, ruling.ruling_id):
        return standing
    lifted = replace(known, lifted_by=ruling.ruling_id, lifted_at=ruling.ruled_at)
    sanctions = tuple(lifted if s is known else s for s in standing.sanctions)
    # What it kept from beginning after that may begin now.
    return _settled(replace(standing, sanctions=sanctions), policy, (ruling.ruled_at, ""))


def taken(standing: Standing, message: Decision | Ruling, policy: Policy) -> Standing:
    """The standing with one more message; the same object if it changes nothing. Raises Refused as `ruled` does."""
    if isinstance(message, Decision):
        return decided(_given_back(standing, message, policy), message, policy)
    return ruled(standing, message, policy)


def fold(publisher_id: str, decisions: Iterable[Decision], rulings: Iterable[Ruling], policy: Policy) -> Standing:
    """A publisher's standing from all that was decided and ruled, as if its row had been lost."""
    standing = Standing(publisher_id=publisher_id)
    for decision in sorted(decisions, key=lambda decision: (decision.decided_at, decision.decision_id)):
        standing = taken(standing, decision, policy)
    # Lifts last: only then is it known which sanctions stand.
    for ruling in sorted(rulings, key=lambda ruling: (ruling.outcome == "lifted", ruling.ruled_at, ruling.ruling_id)):
        try:
            standing = ruled(standing, ruling, policy)
        except Refused:
            continue  # as it was the first time
    return standing


def changes(before: Standing, after: Standing, message: Decision | Ruling) -> Iterator[Sanction]:
    """The sanctions to send: what begins, what is lifted, and what no longer follows, as lifted by this message."""
    former = {sanction.sanction_id: sanction for sanction in before.sanctions}
    for sanction in after.sanctions:
        known = former.pop(sanction.sanction_id, None)
        if known is None or _term(known) != _term(sanction):
            yield sanction
    by, at = (
        (message.decision_id, message.decided_at)  # an older one, that came late
        if isinstance(message, Decision)
        else (message.ruling_id, message.ruled_at)
    )
    for gone in former.values():
        oldest = key_of(after.entries[0]) if after.entries else NEVER
        forgotten = began(gone) < oldest and began(gone)[1] not in after.reversed
        if gone.lifted_by is None and not forgotten:
            yield replace(gone, lifted_by=by, lifted_at=at)


def points_at(standing: Standing, policy: Policy, now: datetime) -> float:
    """What is left of a publisher's points."""
    entries = counted(sorted(standing.entries, key=key_of), frozenset(standing.reversed))
    return shown(sum(decayed(entry.points, max(now - entry.at, timedelta()), policy) for entry in entries))


class Ledger:
    """Every publisher's standing as this worker knows it: takes decisions and rulings, and says what is to be sent."""

    def __init__(self, known: Mapping[str, Standing]) -> None:
        """`known`: rows that others have written, which may lag."""
        self._known = known
        self._rows: dict[str, Standing] = {}
        #: Publishers whose rows were written here: all that a repeat would send has been sent.
        self._written: set[str] = set()

    def restore(self, rows: Iterable[Standing]) -> None:
        """Begin again: forget what was written here, and trust these rows, oldest first, over those known."""
        self._rows = {row.publisher_id: row for row in rows}
        self._written = set()

    def of(self, publisher_id: str) -> Standing:
        """A publisher's standing."""
        known = self._rows.get(publisher_id) or self._known.get(publisher_id)
        return known or Standing(publisher_id=publisher_id)

    def take(self, message: Decision | Ruling, policy: Policy) -> list[Standing | Sanction]:
        """The new standing and the sanctions to send; nothing for a repeat. Raises Refused as `ruled` does.

        Of what another worker wrote, only the row is known to have been sent, which comes back with the messages that
        a killed worker had not yet acknowledged: for a repeat of those the sanctions are sent again, by the same ids.
        """
        before = self.of(message.publisher_id)
        after = taken(before, message, policy)
        if after is before:
            return [] if message.publisher_id in self._written else list(_again(after, message, policy))
        self._rows[after.publisher_id] = after
        self._written.add(after.publisher_id)
        return [after, *changes(before, after, message)]


def _again(standing: Standing, message: Decision | Ruling, policy: Policy) -> Iterator[Sanction]:
    if isinstance(message, Decision):
        yield from (s for s in standing.sanctions if began(s)[1] == message.decision_id)
        for wrong in message.ruling.overruled if message.ruling else ():
            yield from _lifted_by(wrong.decision_id, standing, message, policy)
    elif message.outcome == "lifted":
        yield from (s for s in standing.sanctions if s.lifted_by == message.ruling_id)
    elif message.outcome == "reversed" and message.decision_id:
        yield from _lifted_by(message.decision_id, standing, message, policy)


def _lifted_by(decision_id: str, standing: Standing, message: Decision | Ruling, policy: Policy) -> Iterator[Sanction]:
    """The sanctions that no longer follow because this decision is reversed."""
    rest = tuple(decision for decision in standing.reversed if decision != decision_id)
    since = _affected(standing.entries, decision_id)
    yield from changes(_settled(standing, policy, since, overruled=rest), standing, message)


def _given_back(standing: Standing, decision: Decision, policy: Policy) -> Standing:
    """The standing without the points of what people have found to be wrong."""
    if decision.ruling is None:
        return standing
    for wrong in decision.ruling.overruled:
        # Only takedowns cost points, and only what is in the ledger or may still come need be remembered.
        if wrong.action == "takedown" and wrong.decision_id not in standing.reversed:
            standing = _overruled(standing, wrong.decision_id, policy)
    return standing


def _overruled(standing: Standing, decision_id: str, policy: Policy) -> Standing:
    overruled = tuple(sorted({*standing.reversed, decision_id}))
    return _settled(standing, policy, _affected(standing.entries, decision_id), overruled=overruled)


def _reversed(standing: Standing, ruling: Ruling, policy: Policy) -> Standing:
    if ruling.decision_id is None:
        raise Refused("decision_id", "it is missing: a decision is reversed, a sanction is lifted")
    if ruling.decision_id in standing.reversed:
        return standing
    return _overruled(standing, ruling.decision_id, policy)


def _settled(
    standing: Standing,
    policy: Policy,
    since: Key,
    *,
    entries: tuple[PointEntry, ...] | None = None,
    overruled: tuple[str, ...] | None = None,
) -> Standing:
    """The standing with these changes, and its sanctions from `since` on found again."""
    entries = standing.entries if entries is None else entries
    overruled = standing.reversed if overruled is None else overruled
    lifts = {s.sanction_id: (s.lifted_by, s.lifted_at) for s in standing.sanctions if s.lifted_by and s.lifted_at}
    sanctions = settle(standing.publisher_id, entries, overruled, lifts, policy, former=standing.sanctions, since=since)
    if entries:  # what ended goes with the entry at which it began
        oldest, newest = key_of(entries[0]), entries[-1].at
        sanctions = tuple(s for s in sanctions if began(s) >= oldest or in_force(s, newest))
    return replace(standing, entries=entries, reversed=overruled, sanctions=sanctions)


def _affected(entries: tuple[PointEntry, ...], decision_id: str) -> Key:
    """From where on it makes a difference that this decision is there, or is reversed: from the first of its finding,
    which it may be counted with."""
    findings = {(entry.event_id, entry.code) for entry in entries if entry.decision_id == decision_id}
    return min((key_of(entry) for entry in entries if (entry.event_id, entry.code) in findings), default=NEVER)


def _bounded(entries: Iterable[PointEntry], policy: Policy) -> tuple[PointEntry, ...]:
    """The newest entries that still matter, oldest first. By the newest entry's time, not the clock's, and from the
    oldest on without gaps: so what was forgotten is recognised by its time if it comes again."""
    kept = sorted(entries, key=key_of)[-MOST_ENTRIES:]
    first = 0
    while _forgotten(kept[first], kept[-1].at, policy):
        first += 1
    return tuple(kept[first:])


def _forgotten(entry: PointEntry, at: datetime, policy: Policy) -> bool:
    age = at - entry.at
    half_lives = age / timedelta(days=1) / policy.sanctions.half_life_days
    return half_lives > FORGOTTEN_HALF_LIVES and decayed(entry.points, age, policy) < FORGOTTEN_POINTS


def _term(sanction: Sanction) -> tuple[object, ...]:
    return sanction.begins_at, sanction.until, sanction.lifted_by, sanction.lifted_at
