"""The sanctions agent: keeps every publisher's points, and orders what follows from them (Provisions, Art. 14)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from prometheus_client import Counter

from agents.sanctions.labels import labels_by_rule, labels_of, labels_of_standing
from agents.sanctions.ledger import Ledger
from schemas.decision import Decision
from schemas.sanction import Ruling, Standing
from schemas.topics import DECISIONS, ENTITIES, POLICIES, RULINGS, SANCTIONS, STANDINGS, Topic
from streams.agent import Agent, Assigned, Context, Incoming, Outgoing

#: How far back other workers' rows are read after a restart, in seconds. What is older is in the view, which was read
#: whole at the start and lags by less than a second; an hour forgives clocks that disagree.
ROWS_BACK_S = 3600.0


class Sanctions(Agent):
    """decisions, rulings → standings, sanctions, entities."""

    name = "sanctions"
    inputs = (DECISIONS, RULINGS)
    views: ClassVar[tuple[Topic, ...]] = (POLICIES, STANDINGS)
    outputs: ClassVar[tuple[Topic, ...]] = (STANDINGS, SANCTIONS, ENTITIES)

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._ledger = Ledger(context.views[STANDINGS.name].rows)
        self._begun = Counter(
            "veristream_sanctions", "Sanctions that began", ["level"], registry=context.metrics.registry
        )

    async def restore(self, assigned: Assigned) -> None:
        """Read back the rows that were written last for the partitions that this worker now has.

        The view cannot be waited for, and an entry would be lost if it lacked the last row that another worker wrote
        before it let go of a partition. Decisions, rulings and standings lie in equally many partitions by the same
        key, so their numbers agree, and Faust gives the same numbers of both inputs to one worker.
        """
        mine = frozenset(partition for _, partition in assigned)
        found = self.context.read_back({STANDINGS: ROWS_BACK_S}, {STANDINGS: mine}, {})
        self._ledger.restore([row.value async for row in found])

    def handle(self, message: Incoming) -> Iterable[Outgoing]:
        """Take one decision or ruling."""
        if isinstance(message.value, Decision) and message.value.agent == self.name:
            return
        policy = self.context.policy
        told = labels_of(message.value) if isinstance(message.value, Ruling) else labels_by_rule(message.value, policy)
        for label in told:
            yield Outgoing(ENTITIES, label.label_id, label)
        rows = self._ledger.take(message.value, policy)
        for row in rows:
            if isinstance(row, Standing):
                yield Outgoing(STANDINGS, row.publisher_id, row)
            else:
                if row.lifted_by is None:
                    self._begun.labels(row.level).inc()
                yield Outgoing(SANCTIONS, row.publisher_id, row)
        if any(not isinstance(row, Standing) for row in rows):
            standing = self._ledger.of(message.value.publisher_id)
            for mark in labels_of_standing(standing, policy, self.context.clock()):
                yield Outgoing(ENTITIES, mark.label_id, mark)
