"""The identity agent: lets through what may be published, and holds the rest."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import ClassVar

from prometheus_client import Gauge

from agents.identity.judge import Known, judge, standing_of
from agents.identity.licences import expiring
from agents.identity.standing import Standings
from agents.judging import JudgingAgent
from schemas.event import Admitted, Event
from schemas.topics import (
    ADMITTED,
    ENTITIES,
    FEATURES,
    POLICIES,
    PROVIDERS,
    PUBLISHERS,
    SEGMENTS,
    STANDINGS,
    UPLOADS,
    Topic,
)
from streams.agent import Context, Incoming, Outgoing


class Identity(JudgingAgent):
    """uploads, segments → decisions, takedowns, admitted."""

    name = "identity"
    inputs = (UPLOADS, SEGMENTS)
    views: ClassVar[tuple[Topic, ...]] = (POLICIES, PUBLISHERS, PROVIDERS, FEATURES, STANDINGS, ENTITIES)
    outputs: ClassVar[tuple[Topic, ...]] = (*JudgingAgent.outputs, ADMITTED)

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        views = context.views
        self._standings = Standings(views[PUBLISHERS.name], views[STANDINGS.name], views[ENTITIES.name])
        self._expiring = Gauge(
            "veristream_licences_expiring",
            "Permits of providers that expire within the policy's warning time, or have",
            registry=context.metrics.registry,
        )

    def handle(self, message: Incoming) -> Iterable[Outgoing]:
        """Judge the event; admit it if nothing is amiss, or if a person is asked beside the other agents."""
        event: Event = message.value
        policy, now = self.context.policy, self.context.clock()
        known = self._known(event, now)
        decision = judge(event, known, policy, now)
        yield from self.decided(decision, policy)
        if decision.action != "takedown":
            labels = tuple(label.label for label in known.labels)
            standing = standing_of(known, policy.extraction, now)
            admitted = Admitted(event=event, admitted_at=now, labels=labels, standing=standing)
            yield Outgoing(ADMITTED, event.publisher_id, admitted)

    def _known(self, event: Event, now: datetime) -> Known:
        views = self.context.views
        publisher = views[PUBLISHERS.name].rows.get(event.publisher_id)
        features = views[FEATURES.name].rows
        return Known(
            publisher=publisher,
            provider=views[PROVIDERS.name].rows.get(event.provider_id),
            feature=features.get(event.feature_id) if event.feature_id else None,
            sanctions=self._standings.own(event.publisher_id),
            relatives=self._standings.relatives(publisher),
            labels=tuple(
                label
                for label in self._standings.labels(event, publisher)
                if label.expires_at is None or label.expires_at > now
            ),
            features=features.keys(),
        )

    def tick(self, now: datetime) -> Iterable[Outgoing]:
        """Count the permits that expire."""
        providers = self.context.views[PROVIDERS.name].rows.values()
        self._expiring.set(len(expiring(providers, self.context.policy.identity.permits, now)))
        return ()
