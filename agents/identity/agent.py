"""The identity agent: lets through what may be published, and holds the rest."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from agents.identity.judge import Known, judge
from agents.judging import JudgingAgent
from schemas.event import Admitted, Event
from schemas.topics import ADMITTED, FEATURES, POLICIES, PROVIDERS, PUBLISHERS, SEGMENTS, UPLOADS, Topic
from streams.agent import Incoming, Outgoing


class Identity(JudgingAgent):
    """uploads, segments → decisions, takedowns, admitted."""

    name = "identity"
    inputs = (UPLOADS, SEGMENTS)
    views: ClassVar[tuple[Topic, ...]] = (POLICIES, PUBLISHERS, PROVIDERS, FEATURES)

    def handle(self, message: Incoming) -> Iterable[Outgoing]:
        """Judge the event; admit it if nothing is amiss."""
        event: Event = message.value
        views = self.context.views
        known = Known(
            views[PUBLISHERS.name].rows.get(event.publisher_id),
            views[PROVIDERS.name].rows.get(event.provider_id),
            views[FEATURES.name].rows.get(event.feature_id) if event.feature_id else None,
        )
        policy, now = self.context.policy, self.context.clock()
        decision = judge(event, known, policy, now)
        yield from self.decided(decision, policy)
        if decision.action == "allow":
            yield Outgoing(ADMITTED, event.publisher_id, Admitted(event=event, admitted_at=now))
