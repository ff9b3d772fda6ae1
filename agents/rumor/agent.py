"""The rumour agent: matches an item's texts with the listed claims, judges, and orders refutations."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from agents.judging import JudgingAgent
from agents.rumor.judge import judge, refuted
from agents.rumor.match import RumorList, RumorMatch
from agents.text import passages
from schemas.decision import Decision, stable_id
from schemas.orders import Refutation
from schemas.signals import Signals
from schemas.topics import POLICIES, REFUTATIONS, RUMORS, SIGNALS, Topic
from streams.agent import Context, Incoming, Outgoing


class Rumor(JudgingAgent):
    """signals → decisions, labels, refutations, reviews, takedowns."""

    name = "rumor"
    inputs = (SIGNALS,)
    views: ClassVar[tuple[Topic, ...]] = (POLICIES, RUMORS)
    outputs: ClassVar[tuple[Topic, ...]] = (*JudgingAgent.outputs, REFUTATIONS)

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._made_of = -1
        self._rumors = RumorList([], context.clock())

    def handle(self, message: Incoming) -> Iterable[Outgoing]:
        """Match, judge, refute."""
        signals: Signals = message.value
        policy, now = self.context.policy, self.context.clock()
        view = self.context.views[RUMORS.name]
        stale = self._rumors.stale_at is not None and self._rumors.stale_at <= now
        if self._made_of != view.version or stale:
            self._rumors, self._made_of = RumorList(view.rows.values(), now), view.version
        matches = self._rumors.match(signals.event, policy.rumor.match, passages(signals, policy.media_text))
        decision = judge(signals, matches, policy, now)
        yield from self.decided(decision, policy)
        for match in refuted(matches):
            yield Outgoing(REFUTATIONS, decision.content_id, _refutation(match, decision))


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
