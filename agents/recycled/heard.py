"""Sounds of clips that go round with listed rumours: which of them an item plays, whatever picture is laid over it.

Compared as banned sound is. Agents do not import each other, so what compares is taken from the entry points
`veristream.sounds`, as a platform's own is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from agents.decide import ground
from agents.recycled.judge import CODE, SHOWN
from schemas.bank import HashEntry, Rumor
from schemas.decision import Reason
from schemas.signals import Evidence, SoundPrint
from streams.registered import installed


class Match(Protocol):
    """A stretch of an item that sounds like one of an entry, in seconds."""

    @property
    def entry(self) -> HashEntry:
        """The entry."""

    @property
    def at_s(self) -> float:
        """Where it begins in the item."""

    @property
    def until_s(self) -> float:
        """Where it ends in the item."""

    @property
    def bank_at_s(self) -> float:
        """Where it begins in the entry's sound."""

    @property
    def errors(self) -> float:
        """Share of the fingerprint's bits that differ."""


class Sounds(Protocol):
    """Sounds, made ready for matching."""

    stale_at: datetime | None

    def match(self, sounds: Sequence[SoundPrint], *, max_errors: float, min_s: float) -> Sequence[Match]:
        """Stretches of at least so many seconds in which at most so large a share of bits differs."""


class MakeSounds(Protocol):
    """What makes sounds ready for matching."""

    def __call__(self, entries: Iterable[HashEntry], *, now: datetime) -> Sounds:
        """Those that are in force at that time."""


class Heard(NamedTuple):
    """A listed clip whose sound an item plays, and where."""

    rumor: Rumor
    stretches: Sequence[Match]


class ListedSounds:
    """The sounds of all entries that have some, in force at a time."""

    def __init__(self, rumors: Iterable[Rumor], now: datetime) -> None:
        """Raises SettingsError: what compares sounds cannot be loaded."""
        self._rumors = {rumor.rumor_id: rumor for rumor in rumors if rumor.sounds and rumor.status != "true"}
        self._bank = _make()(map(_as_entry, self._rumors.values()), now=now) if self._rumors else None
        #: When an entry expires next: from then on the list has to be made again.
        self.stale_at = self._bank.stale_at if self._bank else None

    def heard(self, sounds: Sequence[SoundPrint], max_errors: float | None, min_s: float) -> list[Heard]:
        """Each listed clip of which the item plays a stretch, by their ids. No `max_errors`: sound is not matched."""
        if self._bank is None or max_errors is None or not sounds:
            return []
        found: dict[str, list[Match]] = {}
        for match in self._bank.match(sounds, max_errors=max_errors, min_s=min_s):
            found.setdefault(match.entry.entry_id, []).append(match)
        return [Heard(self._rumors[rumor_id], matches) for rumor_id, matches in sorted(found.items())]


def reason_for(one: Heard, max_errors: float) -> Reason:
    """Why a person is asked about an item that plays a listed clip's sound."""
    rumor_id = one.rumor.rumor_id
    evidence = [Evidence(entry=rumor_id, text=f"the sound that goes round with: {one.rumor.claims[0]}")]
    evidence += [
        Evidence(
            at_s=match.at_s,
            until_s=match.until_s,
            entry=rumor_id,
            text=f"as from {match.bank_at_s:g} s there, {match.errors:.0%} of the bits differ",
        )
        for match in one.stretches[:SHOWN]
    ]
    closest = min(match.errors for match in one.stretches)
    return ground(CODE, score=1 - closest, threshold=1 - max_errors, evidence=evidence)


def _as_entry(rumor: Rumor) -> HashEntry:
    return HashEntry(
        entry_id=rumor.rumor_id,
        category="rumor",
        source=rumor.source or "rumors",
        added_at=rumor.added_at,
        sounds=rumor.sounds,
        expires_at=rumor.expires_at,
    )


def _make() -> MakeSounds:
    (made,) = installed("veristream.sounds", ("review",)).values()
    return made  # type: ignore[no-any-return]
