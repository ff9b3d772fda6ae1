"""How old the first unfinished message of each partition is: what a group is behind in time, not in messages."""

from __future__ import annotations

from collections import deque
from typing import Any

from aiokafka import TopicPartition

#: Notes kept of a partition: two for each time that messages were taken of it and not finished yet.
MOST_NOTES = 8192


class Ages:
    """Notes when what was taken had been sent. Between two notes the earlier one holds: a bound, never too young."""

    def __init__(self) -> None:
        self._notes: dict[TopicPartition, deque[tuple[int, float]]] = {}

    def took(self, part: TopicPartition, records: list[Any]) -> None:
        """These records, in order, have been taken."""
        notes = self._notes.setdefault(part, deque(maxlen=MOST_NOTES))
        first, last = records[0], records[-1]
        if notes and notes[-1][0] > first.offset:
            notes.clear()  # they are taken again
        notes.append((first.offset, first.timestamp / 1000))
        # Whatever comes after them was sent no earlier.
        notes.append((last.offset + 1, last.timestamp / 1000))

    def sent_at(self, part: TopicPartition, offset: int | None) -> float | None:
        """When the message at this offset was sent at the earliest, in s since 1970; None if that is not known."""
        notes = self._notes.get(part)
        if not notes or offset is None:
            return None
        while len(notes) > 1 and notes[1][0] <= offset:
            notes.popleft()
        return notes[0][1] if notes[0][0] <= offset else None
