"""What it takes for an item to repeat a claim is for whoever judges claims to say: found by its entry point.

Afterwards as at first: an item that the rumour agent would pass, because it refutes the claim or asks about it, is left
alone here too. Agents do not import each other, so the list of claims is taken from the entry points
`veristream.claims`, as a platform's own is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from agents.text import Passage, Place, passages
from schemas.bank import Rumor
from schemas.event import Event
from schemas.policy import Policy
from schemas.signals import Evidence, Signals
from streams.registered import installed


class Match(Protocol):
    """A listed rumour that a text repeats."""

    @property
    def rumor(self) -> Rumor:
        """The entry."""

    @property
    def claim(self) -> str:
        """The wording that the text repeats."""

    @property
    def field(self) -> str:
        """Where in the item: title, description, captions, speech."""

    @property
    def score(self) -> float:
        """How well, 0 to 1."""

    @property
    def place(self) -> Place | None:
        """Of captions and speech, where in the media."""


class Claims(Protocol):
    """Listed rumours, made ready for matching."""

    def match(
        self, event: Event, threshold: float, passages: Iterable[Passage] = (), *, authority: bool = False
    ) -> Sequence[Match]:
        """Each rumour that the item asserts at least so probably, best first; what refutes or asks is not among them.
        `authority`: the publisher has the say in such matters."""


MakeClaims = Callable[[Iterable[Rumor], datetime], Claims]


class Repeated(NamedTuple):
    """How an item repeats a claim."""

    score: float
    threshold: float
    evidence: Evidence
    #: Whether only captions or speech say it, which models may have misread.
    shown_only: bool


def make_claims() -> MakeClaims:
    """The installed way to make claims ready. Raises SettingsError: it cannot be loaded."""
    (made,) = installed("veristream.claims", ("rumor",)).values()
    return made  # type: ignore[no-any-return]


def repeated(claims: Claims, signals: Signals, policy: Policy) -> dict[str, Repeated]:
    """rumor_id → how the item repeats it, of those that it repeats."""
    threshold = policy.rumor.match
    authority = not set(policy.rumor.authority_labels).isdisjoint(signals.labels)
    found = claims.match(signals.event, threshold, passages(signals, policy.media_text), authority=authority)
    return {match.rumor.rumor_id: _said(match, threshold) for match in found}


def _said(match: Match, threshold: float) -> Repeated:
    place = match.place
    evidence = Evidence(
        at_s=place.at_s if place else None,
        until_s=place.until_s if place else None,
        entry=match.rumor.rumor_id,
        text=f"{match.field} repeats: {match.claim}",
    )
    return Repeated(match.score, threshold, evidence, place is not None)
