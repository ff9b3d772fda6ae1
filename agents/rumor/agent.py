"""The rumour agent: matches an item's texts with the listed claims, judges, and orders refutations."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from agents.judging import JudgingAgent
from agents.rumor import meaning, model
from agents.rumor.judge import judge, refuted
from agents.rumor.match import RumorList, RumorMatch
from agents.text import passages
from schemas import bank
from schemas.decision import Decision, stable_id
from schemas.orders import Refutation
from schemas.policy import RumorPolicy
from schemas.signals import Signals
from schemas.topics import POLICIES, REFUTATIONS, RUMORS, SIGNALS, Topic
from streams.agent import Context, Incoming, Outgoing

#: Wordings whose meaning is computed with an item at most, some 5 ms each: what is listed meanwhile is matched by its
#: words alone.
CATCH_UP = 4
#: And with the first item, so that a list of usual length is complete from the second on.
CATCH_UP_AT_FIRST = 256


class Rumor(JudgingAgent):
    """signals → decisions, labels, refutations, reviews, takedowns."""

    name = "rumor"
    inputs = (SIGNALS,)
    views: ClassVar[tuple[Topic, ...]] = (POLICIES, RUMORS)
    outputs: ClassVar[tuple[Topic, ...]] = (*JudgingAgent.outputs, REFUTATIONS)

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        view = context.views[RUMORS.name]
        meanings = meaning.Meanings() if meaning.installed() else None
        self._rumors = RumorList(view.rows.values(), context.clock(), meanings=meanings)
        self._catch_up = CATCH_UP_AT_FIRST
        view.listen(self._changed)

    def _changed(self, key: str, _former: bank.Rumor | None, row: bank.Rumor | None) -> None:
        if row is None:
            self._rumors.remove(key)
        else:
            self._rumors.add(row, self.context.clock())

    def handle(self, message: Incoming) -> Iterable[Outgoing]:
        """Match, judge, refute."""
        signals: Signals = message.value
        policy, now = self.context.policy, self.context.clock()
        self._rumors.expire(now)
        by_meaning = policy.rumor.meaning != "off"
        if by_meaning:
            self._rumors.catch_up(self._catch_up)
            self._catch_up = CATCH_UP
        matches = self._rumors.read(
            signals.event,
            passages(signals, policy.media_text),
            authority=not set(policy.rumor.authority_labels).isdisjoint(signals.labels),
            by_meaning=by_meaning,
        )
        decision = judge(signals, matches, policy, now, self._models(policy.rumor))
        yield from self.decided(decision, policy)
        for match in refuted(matches, policy.rumor):
            yield Outgoing(REFUTATIONS, decision.content_id, _refutation(match, decision))

    def _models(self, policy: RumorPolicy) -> dict[str, str]:
        if policy.meaning == "off":
            by_meaning = "off"
        else:
            by_meaning = meaning.NAME if self._rumors.meanings is not None else "not installed"
        return {"rumor.stance": model.shipped().version, "rumor.meaning": by_meaning}


def _refutation(match: RumorMatch, decision: Decision) -> Refutation:
    truth = match.rumor.refutation
    assert truth is not None  # the schema refuses a refuted rumour without one
    return Refutation(
        order_id=stable_id("refutation", decision.decision_id, match.rumor.rumor_id),
        decision_id=decision.decision_id,
        publisher_id=decision.publisher_id,
        content_id=decision.content_id,
        rumor_id=match.rumor.rumor_id,
        text=truth.text,
        authority=truth.authority,
        url=truth.url,
        ordered_at=decision.decided_at,
    )
