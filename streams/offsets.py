"""How far each partition is done: what may be committed, and where reading must begin again."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from aiokafka import TopicPartition


class Offsets:
    """Follows what has been begun and finished in one assignment; never passes over what is not finished.

    Nothing is calculated from the numbers themselves: a compacted topic has gaps, and a transaction leaves markers.
    """

    def __init__(self) -> None:
        #: What has been begun, in the order of the partition; what is finished stays until all before it is.
        self._begun: dict[TopicPartition, deque[int]] = {}
        self._finished: dict[TopicPartition, dict[int, int]] = {}
        self._reached: dict[TopicPartition, int] = {}

    def begin(self, part: TopicPartition, offset: int) -> None:
        """A message, or a run of them that begins here, is being worked on."""
        self._begun.setdefault(part, deque()).append(offset)

    def finish(self, part: TopicPartition, offset: int, end: int) -> None:
        """What began at this offset is done, up to `end`, the offset after its last."""
        begun, finished = self._begun[part], self._finished.setdefault(part, {})
        finished[offset] = end
        while begun and begun[0] in finished:
            self._reached[part] = finished.pop(begun.popleft())

    def busy(self, part: TopicPartition) -> bool:
        """Whether anything of the partition is begun and not committable."""
        return bool(self._begun.get(part))

    def open(self, part: TopicPartition) -> int:
        """How much of the partition is begun and not committable."""
        return len(self._begun.get(part, ()))

    def again_from(self, part: TopicPartition) -> int | None:
        """Where reading must begin so that nothing unfinished is left out; None: nothing of it was ever begun."""
        begun = self._begun.get(part)
        return begun[0] if begun else self._reached.get(part)

    @property
    def reached(self) -> Mapping[TopicPartition, int]:
        """The offset after the last message of each partition up to which everything is finished."""
        return self._reached

    def forget_begun(self) -> None:
        """What is not finished is given up, and will be begun again."""
        self._begun.clear()
        self._finished.clear()
