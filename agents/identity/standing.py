"""What stands against a publisher: its sanctions, those of other accounts of the same person, and entity labels.

Kept as indexes beside the views, told of each change: built again at each it would cost a walk over every row.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from schemas.entity import EntityLabel
from schemas.event import Event
from schemas.registry import Publisher
from schemas.sanction import Sanction, Standing
from streams.views import View

#: Sanctions that another account of the same person inherits.
INHERITED = ("suspend", "close")


class Standings:
    """Looks up what stands against an event's publisher."""

    def __init__(self, publishers: View[Any], standings: View[Any], entities: View[Any]) -> None:
        self._publishers = publishers
        self._standings = standings
        #: mark (digest of a number or device) → publishers with an inherited sanction that carry it.
        self._marked: dict[str, set[str]] = defaultdict(set)
        self._labels: dict[tuple[str, str], dict[str, EntityLabel]] = defaultdict(dict)
        publishers.listen(self._publisher_changed)
        standings.listen(self._standing_changed)
        entities.listen(self._label_changed)

    def own(self, publisher_id: str) -> tuple[Sanction, ...]:
        """The publisher's sanctions, ended and lifted ones included."""
        standing: Standing | None = self._standings.rows.get(publisher_id)
        return standing.sanctions if standing else ()

    def relatives(self, publisher: Publisher | None) -> tuple[Sanction, ...]:
        """Sanctions of other accounts that share a number or a device."""
        if publisher is None:
            return ()
        others = {other for mark in marks(publisher) for other in self._marked.get(mark, ())} - {publisher.publisher_id}
        return tuple(
            sanction for other in sorted(others) for sanction in self.own(other) if sanction.level in INHERITED
        )

    def labels(self, event: Event, publisher: Publisher | None) -> tuple[EntityLabel, ...]:
        """Labels on the event's publisher, its devices, its stream and its medium."""
        entities = [("publisher", event.publisher_id), ("media", event.media.sha256)]
        if event.stream_id:
            entities.append(("stream", event.stream_id))
        entities += [("device", device) for device in (publisher.devices if publisher else ())]
        return tuple(label for entity in entities for label in self._labels.get(entity, {}).values())

    def _publisher_changed(self, key: str, former: Publisher | None, new: Publisher | None) -> None:
        self._unmark(key, former)
        self._mark(key, new)

    def _standing_changed(self, key: str, _: Standing | None, __: Standing | None) -> None:
        publisher = self._publishers.rows.get(key)
        self._unmark(key, publisher)
        self._mark(key, publisher)

    def _mark(self, key: str, publisher: Publisher | None) -> None:
        if publisher and any(sanction.level in INHERITED for sanction in self.own(key)):
            for mark in marks(publisher):
                self._marked[mark].add(key)

    def _unmark(self, key: str, publisher: Publisher | None) -> None:
        for mark in marks(publisher) if publisher else ():
            if key in self._marked.get(mark, ()):
                self._marked[mark].discard(key)
                if not self._marked[mark]:
                    del self._marked[mark]

    def _label_changed(self, _: str, former: EntityLabel | None, new: EntityLabel | None) -> None:
        if former:
            entity = (former.kind, former.entity_id)
            self._labels[entity].pop(former.label_id, None)
            if not self._labels[entity]:
                del self._labels[entity]
        if new:
            self._labels[new.kind, new.entity_id][new.label_id] = new


def marks(publisher: Publisher) -> Iterator[str]:
    """What makes two accounts one person's: digests of numbers, and devices."""
    for number in publisher.numbers:
        if number.digest:
            yield f"{number.kind}:{number.key_id}:{number.digest}"
    for device in publisher.devices:
        yield f"device:{device}"
