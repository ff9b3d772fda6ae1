"""What another policy would have decided: the agents themselves, over archived signals, with the state as of then.

Each agent that judges signals is made as a worker makes it, over views that are filled from the archive up to the
moment of each decision, and its clock says that moment. So what it decides again under the policy that was in force
is what it decided then, to the last field; where it is not, its version or its state is another one.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry

from schemas.decision import Decision
from schemas.lists import ListPart
from schemas.message import Refused, decode, encode
from schemas.policy import Policy, default_policy
from schemas.signals import Signals
from schemas.topics import DECISIONS, LISTS, POLICIES, SIGNALS, Topic
from streams.agent import Agent, Context, Incoming
from streams.archive.query import ask, rows
from streams.metrics import Metrics
from streams.registered import installed
from streams.settings import Settings
from streams.views import View

#: Examples that are kept of each kind of change.
EXAMPLES = 20
#: For 95 of a hundred.
_Z = 1.959964
#: What people found: that something had to be done about the item, or that nothing had.
_BAD, _GOOD = ("remove", "label", "upheld"), ("keep", "reversed")


@dataclass
class Against:
    """Decisions against rulings, of the items that people ruled on. `flagged`: decided other than allow."""

    flagged_bad: int = 0
    flagged_good: int = 0
    passed_bad: int = 0
    passed_good: int = 0

    def add(self, flagged: bool, bad: bool) -> None:
        """One more item."""
        name = ("flagged" if flagged else "passed") + ("_bad" if bad else "_good")
        setattr(self, name, getattr(self, name) + 1)

    def shown(self) -> dict[str, Any]:
        """Precision and recall, each with the interval (Wilson) that holds the true one in 95 of 100 cases."""
        return {
            "precision": share(self.flagged_bad, self.flagged_bad + self.flagged_good),
            "recall": share(self.flagged_bad, self.flagged_bad + self.passed_bad),
            "ruled": self.flagged_bad + self.flagged_good + self.passed_bad + self.passed_good,
        }


def share(hits: int, of: int) -> dict[str, float | int | None]:
    """A share with its counts and Wilson's interval of 95 %; None of nothing."""
    if not of:
        return {"hits": hits, "of": of, "share": None, "low": None, "high": None}
    found, spread = hits / of, _Z * _Z / of
    middle = (found + spread / 2) / (1 + spread)
    half = _Z * math.sqrt(found * (1 - found) / of + spread / (4 * of)) / (1 + spread)
    return {"hits": hits, "of": of, "share": found, "low": max(0.0, middle - half), "high": min(1.0, middle + half)}


@dataclass
class Result:
    """What came of it."""

    policy: str
    decisions: int = 0
    changed: int = 0
    failed: int = 0
    by_agent: Counter[str] = field(default_factory=Counter)
    moves: Counter[str] = field(default_factory=Counter)
    reasons_more: Counter[str] = field(default_factory=Counter)
    reasons_fewer: Counter[str] = field(default_factory=Counter)
    by_service: Counter[str] = field(default_factory=Counter)
    examples: list[dict[str, Any]] = field(default_factory=list)
    before: dict[str, Against] = field(default_factory=dict)
    after: dict[str, Against] = field(default_factory=dict)

    def shown(self) -> dict[str, Any]:
        """As plain objects, for JSON and the report."""
        counters = ("by_agent", "moves", "reasons_more", "reasons_fewer", "by_service")
        plain = {name: dict(getattr(self, name).most_common()) for name in counters}
        numbers = {name: getattr(self, name) for name in ("policy", "decisions", "changed", "failed")}
        rulings = {
            agent: {"before": self.before[agent].shown(), "after": self.after[agent].shown()} for agent in self.before
        }
        return {**numbers, **plain, "against_rulings": rulings, "examples": self.examples}


def judges() -> dict[str, type[Agent]]:
    """The installed agents that judge each item from its signals."""
    kinds: dict[str, type[Agent]] = installed("veristream.agents", ())
    return {name: kind for name, kind in kinds.items() if kind.inputs == (SIGNALS,) and DECISIONS in kind.outputs}


async def backtest(
    folder: Path,
    settings: Settings,
    *,
    candidate: Policy | None = None,
    lists: Iterable[ListPart] = (),
    since: datetime | None = None,
    done: Callable[[], None] = lambda: None,
) -> Result:
    """Decide again what was decided since then: under the candidate, or, without one, under the policy that each
    decision names, which shows whether the archive and this version reproduce them. `done` is told each decision.

    Raises:
        QueryError: there is no archive.
    """
    result = Result(f"{candidate.name} {candidate.version}" if candidate else "as it was in force")
    ruled = _ruled(folder)
    for name, kind in judges().items():
        replay = _Replay(folder, settings, kind, candidate, lists)
        async for archived, made, signals in replay.run(since):
            done()
            result.decisions += 1
            if made is None:
                result.failed += 1
                continue
            _compare(result, archived, made, signals, exactly=candidate is None)
            if (bad := ruled.get(archived.event_id)) is not None:
                result.before.setdefault(name, Against()).add(archived.action != "allow", bad)
                result.after.setdefault(name, Against()).add(made.action != "allow", bad)
    return result


def count(folder: Path, since: datetime | None) -> int:
    """How many decisions would be decided again. QueryError: there is no archive."""
    sql = f"SELECT count(*) FROM ({_PAIRS})"  # noqa: S608 - our own words
    return sum(ask(folder, sql, {"agent": name, "since": since}).rows[0][0] for name in judges())


_PAIRS = """
    SELECT d.happened_at AS moment, d.value AS decision, s.value AS signals,
        s.kafka_partition AS part, s.kafka_offset AS place
    FROM (SELECT event_id, happened_at, value FROM decisions
          WHERE agent = $agent AND fault IS NULL AND ($since::TIMESTAMPTZ IS NULL OR happened_at >= $since::TIMESTAMPTZ)
          QUALIFY row_number() OVER (PARTITION BY event_id ORDER BY happened_at, kafka_offset) = 1) d
    JOIN (SELECT event_id, value, kafka_partition, kafka_offset FROM signals WHERE fault IS NULL
          QUALIFY row_number() OVER (PARTITION BY event_id ORDER BY kafka_offset) = 1) s USING (event_id)
    ORDER BY moment, part, place"""


class _Replay:
    """One agent, made anew, over the archive."""

    def __init__(
        self,
        folder: Path,
        settings: Settings,
        kind: type[Agent],
        candidate: Policy | None,
        lists: Iterable[ListPart],
    ) -> None:
        self._folder, self._kind, self._candidate = folder, kind, candidate
        self._now: datetime = datetime.max
        metrics = Metrics(CollectorRegistry())
        shipped = default_policy(settings.policy)
        self._view: View[Policy] = View(POLICIES, metrics, shipped={shipped.name: shipped})
        self._views: dict[str, View[Any]] = {POLICIES.name: self._view}
        self._views |= {topic.name: View(topic, metrics) for topic in kind.views if topic is not POLICIES}
        self._name = settings.policy
        context = Context(settings, metrics, self._views, lambda: self._now, _nothing_to_read_back)
        self._agent = kind(context)
        self._known = {(shipped.name, shipped.version): shipped}
        if LISTS.name in self._views:
            for part in lists:
                self._views[LISTS.name].apply(part.part_id.encode(), encode(part))

    async def run(self, since: datetime | None) -> AsyncIterator[tuple[Decision, Decision | None, Signals]]:
        """Each decision with what the agent decides now; None where it fails."""
        self._read_policies()
        state = self._state()
        waiting = next(state, None)
        parameters = {"agent": self._kind.name, "since": since}
        for at, decision, message, partition, offset in rows(self._folder, _PAIRS, parameters):
            try:
                archived, signals = decode(Decision, decision), decode(Signals, message)
            except Refused:  # of a version that this one can't read
                continue
            renewed = False
            while waiting and waiting[0] <= at:
                self._views[waiting[1]].apply(waiting[2], waiting[3])
                renewed = True
                waiting = next(state, None)
            policy = self._candidate or self._known.get((archived.policy.name, archived.policy.version))
            if policy is None:
                yield archived, None, signals
                continue
            if self._view.rows.get(self._name) is not policy:
                self._view.rows[self._name] = policy
                renewed = True
            if renewed:
                await self._agent.warm()
            self._now = archived.decided_at
            yield archived, self._decided(Incoming(SIGNALS.name, partition, offset, signals)), signals

    def _decided(self, message: Incoming) -> Decision | None:
        try:
            found = [out.value for out in self._agent.handle(message) if out.topic is DECISIONS]
        except Exception:  # what goes to the dead letters in the pipeline is counted here
            return None
        return found[0] if found and isinstance(found[0], Decision) else None

    def _read_policies(self) -> None:
        for (value,) in rows(self._folder, "SELECT value FROM policies WHERE value IS NOT NULL ORDER BY kafka_offset"):
            try:
                policy = decode(Policy, value)
            except Refused:
                continue
            self._known.setdefault((policy.name, policy.version), policy)

    def _state(self) -> Iterator[tuple[datetime, str, bytes | None, bytes | None]]:
        """Rows of the views in the order in which they were sent; of policies only what the decisions name counts."""
        topics = [name for name in self._views if name != POLICIES.name]
        sql = "SELECT kafka_at, topic, key, value FROM archive WHERE list_contains($topics, topic) ORDER BY ALL"
        sql = sql.replace("ORDER BY ALL", "ORDER BY kafka_at, topic, kafka_partition, kafka_offset")
        return iter(rows(self._folder, sql, {"topics": topics})) if topics else iter(())


async def _nothing_to_read_back(
    since: Mapping[Topic, float], only: Mapping[Topic, frozenset[int]], after: Mapping[tuple[str, int], int]
) -> AsyncIterator[Incoming]:
    """State begins with the first item: there is no topic to read it back from."""
    nothing: tuple[Incoming, ...] = ()
    for message in nothing:
        yield message


def _compare(result: Result, archived: Decision, made: Decision, signals: Signals, *, exactly: bool) -> None:
    if exactly:
        same = archived == made if not archived.trimmed else _answer(archived) == _answer(made)
    else:
        same = _answer(archived) == _answer(made)
    if same:
        return
    result.changed += 1
    result.by_agent[archived.agent] += 1
    result.moves[f"{archived.agent}: {archived.action} → {made.action}"] += 1
    result.by_service[signals.event.service] += 1
    before, after = ({reason.code for reason in one.reasons} for one in (archived, made))
    result.reasons_more.update(after - before)
    result.reasons_fewer.update(before - after)
    kind = f"{archived.agent}: {archived.action} → {made.action}"
    if sum(one["move"] == kind for one in result.examples) < EXAMPLES:
        result.examples.append(
            {
                "move": kind,
                "content_id": archived.content_id,
                "event_id": archived.event_id,
                "title": signals.event.title[:80],
                "before": sorted(before),
                "after": sorted(after),
                "fields": _differing(archived, made),
            }
        )


def _answer(decision: Decision) -> tuple[object, ...]:
    """What a platform notices of a decision."""
    return decision.action, decision.stop, decision.label, tuple(sorted(reason.code for reason in decision.reasons))


def _differing(archived: Decision, made: Decision) -> list[str]:
    one, other = msgspec.to_builtins(archived), msgspec.to_builtins(made)
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


def _ruled(folder: Path) -> dict[str, bool]:
    """Event → whether people, who ruled on it last, found that something had to be done."""
    sql = """
        SELECT coalesce(r.event_id, d.event_id, v.event_id) AS event, arg_max(r.outcome, r.happened_at) AS outcome
        FROM rulings r LEFT JOIN decisions d ON r.decision_id = d.decision_id
        LEFT JOIN reviews v ON r.review_id = v.review_id
        WHERE list_contains($outcomes, r.outcome) GROUP BY event HAVING event IS NOT NULL"""
    return {event: outcome in _BAD for event, outcome in ask(folder, sql, {"outcomes": [*_BAD, *_GOOD]}).rows}
