"""The synthetic agent: judges what an item says of its own making, and knows what was labelled before."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from agents.judging import JudgingAgent
from agents.synthetic.judge import judge
from agents.synthetic.marks import DAYS, Marks, mark_of
from schemas.topics import MARKED, SIGNALS, Topic
from streams.agent import Assigned, Context, Incoming, Outgoing

DAY_S = 86_400.0


class Synthetic(JudgingAgent):
    """signals → decisions, labels, takedowns; marks of what is labelled."""

    name = "synthetic"
    inputs = (SIGNALS,)
    outputs: ClassVar[tuple[Topic, ...]] = (*JudgingAgent.outputs, MARKED)
    reads_back: ClassVar[tuple[Topic, ...]] = (MARKED,)

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._marks = Marks()

    async def restore(self, assigned: Assigned) -> None:
        """Read back the marks of the publishers that this worker now has: marks and signals lie in equally many
        partitions by the same key, so their numbers agree."""
        mine = frozenset(partition for _, partition in assigned)
        self._marks = Marks()
        if mine and self.context.policy.synthetic.removed != "allow":
            async for found in self.context.read_back({MARKED: DAYS * DAY_S}, {MARKED: mine}, {}):
                self._marks.add(found.value)

    def handle(self, message: Incoming) -> Iterable[Outgoing]:
        """Judge, and mark what carries a label."""
        policy, now = self.context.policy, self.context.clock()
        earlier = None
        if policy.synthetic.removed != "allow":
            earlier = self._marks.stripped(message.value, now)
            if (mark := mark_of(message.value)) is not None:
                self._marks.add(mark)
                yield Outgoing(MARKED, mark.publisher_id, mark)
        yield from self.decided(judge(message.value, policy, now, earlier), policy)
