"""Near misses: an item of which a frame almost matches the hash bank is read again, with every frame decoded.

Between two sampled frames of a banned clip that was edited lies often one that is closer to its original.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar

from agents.review.bank_rows import bank_of
from schemas.plan import Why
from schemas.policy import Policy
from schemas.topics import HASHBANK
from streams.extraction.read import Reading
from streams.extraction.trigger import Trigger
from streams.views import View


class NearMiss(Trigger):
    """Fires where the closest frame lies just beyond the distance that counts as a match, and none within it."""

    why: ClassVar[Why] = "near_miss"

    def __init__(self, views: Mapping[str, View[Any]]) -> None:
        super().__init__(views)
        self._bank = bank_of(views[HASHBANK.name])

    def fires(self, reading: Reading, policy: Policy, now: datetime) -> bool:
        """Whether the item misses the bank by a little."""
        review, bits = policy.review, policy.extraction.near_miss_bits
        if not bits or not reading.frames:
            return False
        # Of those beyond the distance most are enough: what is read again is a chance, and not the judgement.
        matches = self._bank.match(
            reading.frames,
            max_distance=review.hash_max_distance + bits,
            min_quality=review.hash_min_quality,
            now=now,
            sure=review.hash_max_distance,
        )
        closest = min((match.distance for match in matches if match.kind == "banned"), default=0)
        return closest > review.hash_max_distance
