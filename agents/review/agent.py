"""The review agent: looks signals up in the hash bank and the term list, and judges."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from agents.judging import JudgingAgent
from agents.review.bank_rows import bank_of
from agents.review.judge import Matched, judge
from agents.review.terms import TermList
from agents.text import passages
from schemas.policy import Policy
from schemas.signals import Signals
from schemas.topics import HASHBANK, POLICIES, SIGNALS, Topic
from streams.agent import Context, Incoming, Outgoing


class Review(JudgingAgent):
    """signals → decisions, takedowns, reviews."""

    name = "review"
    inputs = (SIGNALS,)
    views: ClassVar[tuple[Topic, ...]] = (POLICIES, HASHBANK)

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._made_of: Policy | None = None
        self._bank = bank_of(context.views[HASHBANK.name])
        self._terms = TermList([])

    def handle(self, message: Incoming) -> Iterable[Outgoing]:
        """Match, then judge."""
        signals: Signals = message.value
        policy, now = self.context.policy, self.context.clock()
        if self._made_of is not policy:
            self._terms, self._made_of = TermList(policy.review.terms), policy
        files = self._bank.same_file(signals.event.media.sha256, now=now)
        matched = Matched(
            self._bank.match(
                signals.frames,
                max_distance=policy.review.hash_max_distance,
                min_quality=policy.review.hash_min_quality,
                now=now,
            ),
            files[0] if files else None,
            self._terms.match(signals.event, passages(signals, policy.media_text)),
        )
        yield from self.decided(judge(signals, matched, policy, now), policy)
