"""The synthetic agent: judges what an item says of its own making."""

from __future__ import annotations

from collections.abc import Iterable

from agents.judging import JudgingAgent
from agents.synthetic.judge import judge
from schemas.topics import SIGNALS
from streams.agent import Incoming, Outgoing


class Synthetic(JudgingAgent):
    """signals → decisions, labels, takedowns."""

    name = "synthetic"
    inputs = (SIGNALS,)

    def handle(self, message: Incoming) -> Iterable[Outgoing]:
        """Judge."""
        policy = self.context.policy
        return self.decided(judge(message.value, policy, self.context.clock()), policy)
