"""What the agents that judge have in common: their decisions are counted, and carried out by orders."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from agents.orders import outgoing
from schemas.decision import Decision
from schemas.policy import Policy
from schemas.topics import DECISIONS, LABELS, REVIEWS, TAKEDOWNS, Topic
from streams.agent import Agent, Outgoing


class JudgingAgent(Agent):
    """An agent that ends in decisions."""

    #: The policy in force says which of the orders follow.
    outputs: ClassVar[tuple[Topic, ...]] = (DECISIONS, TAKEDOWNS, REVIEWS, LABELS)

    def decided(self, decision: Decision, policy: Policy) -> Iterable[Outgoing]:
        """The decision and its orders, counted."""
        metrics = self.context.metrics
        metrics.decisions.labels(decision.agent, decision.action).inc()
        for reason in decision.reasons:
            metrics.reasons.labels(decision.agent, decision.action, reason.code).inc()
        return outgoing(decision, policy)
