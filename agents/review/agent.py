"""The review agent: looks signals up in the hash bank and the term list, and judges."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import ClassVar

from agents.judging import JudgingAgent
from agents.review.bank import HashBank
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
        self._made_of: tuple[int, Policy | None] = (-1, None)
        self._bank = HashBank([])
        self._terms = TermList([])

    def handle(self, message: Incoming) -> Iterable[Outgoing]:
        """Match, then judge."""
        signals: Signals = message.value
        policy, now = self.context.policy, self.context.clock()
        self._renew(policy, now)
        matched = Matched(
            self._bank.match(
                signals.frames,
                max_distance=policy.review.hash_max_distance,
                min_quality=policy.review.hash_min_quality,
            ),
            self._bank.files.get(signals.event.media.sha256),
            self._terms.match(signals.event, passages(signals, policy.media_text)),
        )
        yield from self.decided(judge(signals, matched, policy, now), policy)

    def _renew(self, policy: Policy, now: datetime) -> None:
        """Make bank and term list again when what they are made of has changed, or an entry has expired."""
        view = self.context.views[HASHBANK.name]
        stale = self._bank.stale_at is not None and self._bank.stale_at <= now
        if self._made_of == (view.version, policy) and not stale:
            return
        self._bank = HashBank(view.rows.values(), min_quality=policy.review.hash_min_quality, now=now)
        self._terms = TermList(policy.review.terms)
        self._made_of = (view.version, policy)
