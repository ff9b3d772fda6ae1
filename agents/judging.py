"""What the agents that judge have in common: their decisions are counted, and carried out by orders."""

from __future__ import annotations

from collections.abc import Iterable

from agents.orders import outgoing
from schemas.decision import Decision
from schemas.policy import Policy
from streams.agent import Agent, Outgoing


class JudgingAgent(Agent):
    """An agent that ends in decisions."""

    def decided(self, decision: Decision, policy: Policy) -> Iterable[Outgoing]:
        """The decision and its orders, counted."""
        metrics = self.context.metrics
        metrics.decisions.labels(decision.agent, decision.action).inc()
        for reason in decision.reasons:
            metrics.reasons.labels(decision.agent, decision.action, reason.code).inc()
        return outgoing(decision, policy)
