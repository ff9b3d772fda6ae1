"""What an agent is: messages in, messages out. Everything between a broker and `handle` is the plumbing's work."""

from __future__ import annotations

import abc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, NamedTuple, Protocol

from schemas.message import Message
from schemas.policy import Policy
from schemas.topics import POLICIES, Topic
from streams.metrics import Metrics
from streams.settings import Settings
from streams.views import View


class Incoming(NamedTuple):
    """A message as it came, read and checked."""

    topic: str
    partition: int
    offset: int
    value: Any
    #: What `prepare` returned for it.
    prepared: Any = None


class Outgoing(NamedTuple):
    """A message to produce."""

    topic: Topic
    key: str
    value: Message


#: Which partitions of which topics (by their names in the table) a worker has.
Assigned = frozenset[tuple[str, int]]


class ReadBack(Protocol):
    """Reads topics back, one message after another."""

    def __call__(
        self,
        since: Mapping[Topic, float],
        only: Mapping[Topic, frozenset[int]],
        after: Mapping[tuple[str, int], int],
        /,
    ) -> AsyncIterator[Incoming]:
        """The messages of the topics in `since` that are younger than so many seconds, up to what lies there now, in
        the order of each partition. Of the topics in `only` just those partitions are read; a (topic, partition) in
        `after` is read from that offset on, however old it is."""


async def _at_once() -> None:
    """Views that are filled by hand hold all that they will."""


@dataclass(frozen=True)
class Context:
    """What an agent may use besides its message."""

    settings: Settings
    metrics: Metrics
    views: Mapping[str, View[Any]]
    clock: Callable[[], datetime]
    read_back: ReadBack
    #: Waits until the views hold what lay in their topics at the start.
    loaded: Callable[[], Awaitable[None]] = _at_once

    @property
    def policy(self) -> Policy:
        """The policy in force: the last valid one of its name on the topic, else the default that ships."""
        policy: Policy = self.views[POLICIES.name].rows[self.settings.policy]
        return policy


class Agent(abc.ABC):
    """One stage of the pipeline: one Faust agent, one consumer group.

    `handle` is called for one message after another, in the order of their partition. It raises `Refused` for a
    message that cannot be judged; that and every other exception sends the message to the dead letters.
    """

    name: ClassVar[str]
    inputs: ClassVar[tuple[Topic, ...]]
    #: Compacted topics that the agent looks things up in; they are read whole before its first message.
    views: ClassVar[tuple[Topic, ...]] = (POLICIES,)
    #: Everything that `handle` and `tick` may produce to; the worker's user is given the right to write there alone.
    outputs: ClassVar[tuple[Topic, ...]]
    #: What `restore` reads back beside the inputs and views.
    reads_back: ClassVar[tuple[Topic, ...]] = ()
    #: Messages that are handled, produced and acknowledged together. 500 keeps the wait for the broker's
    #: acknowledgement small against the work.
    batch_size: ClassVar[int] = 500
    #: Whether `prepare` is called: for agents whose work waits on processes or networks.
    slow: ClassVar[bool] = False
    #: Of a slow agent: how many messages of a lane are in preparation at once, in one worker.
    window: ClassVar[int] = 64
    #: Of a slow agent: ways beside each other, each with a consumer group and so a place of its own in every topic.
    #: What is in one lane never waits for what is in another. The first lane's group has the agent's own name. Each
    #: lane restores and ticks by itself, so an agent with several keeps no state.
    lanes: ClassVar[tuple[str, ...]] = ("",)

    def __init__(self, context: Context) -> None:
        self.context = context

    @abc.abstractmethod
    def handle(self, message: Incoming) -> Iterable[Outgoing]:
        """What this message causes."""

    async def prepare(self, message: Incoming) -> Any:  # noqa: B027 - most agents need none
        """Slow work for one message (fetching, decoding), done for many side by side, each before its `handle`.

        It is cancelled when the message has become another worker's, or when a stop does not wait for it any longer.
        """

    def lane(self, message: Incoming) -> str:
        """Which of `lanes` the message goes. One publisher's messages keep their order within a lane."""
        return self.lanes[0]

    def tick(self, now: datetime) -> Iterable[Outgoing]:
        """What the passing of time causes; called about once a second, never beside `handle`."""
        return ()

    async def start(self) -> None:  # noqa: B027 - most agents need none
        """Called before the first message."""

    async def warm(self) -> None:  # noqa: B027 - most agents need none
        """Load what takes seconds, while the groups are joined. The first messages may come before it has ended; the
        worker is ready after it, and ends if it fails."""

    async def stop(self) -> None:  # noqa: B027 - most agents need none
        """Called after the last message."""

    async def restore(self, assigned: Assigned) -> None:  # noqa: B027 - most agents need none
        """Rebuild from the topics what the agent keeps in memory; called when partitions have been assigned."""

    def doubt(self) -> None:  # noqa: B027 - most agents need none
        """What was made from the last messages may never have been produced: the next `restore` must trust nothing that
        is kept in memory."""
