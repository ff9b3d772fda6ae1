"""How often people confirm what agents ask them about, by reason code and version of the policy. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from math import sqrt
from typing import NamedTuple

from agents.reviewers.effects import CODES
from schemas.worklist import WorkItem

#: Of a normal distribution, so much to each side holds 95 %.
Z_95 = 1.959964


class Precision(NamedTuple):
    """What became of the questions that were asked for one reason under one version."""

    code: str
    policy: str
    version: int
    asked: int
    confirmed: int
    rejected: int
    waiting: int

    @property
    def ruled(self) -> int:
        """How many have been ruled on."""
        return self.confirmed + self.rejected

    @property
    def share(self) -> float | None:
        """Of those ruled on, the share that was confirmed; None without any."""
        return self.confirmed / self.ruled if self.ruled else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Between which shares the true one lies, at 95 %; None where nothing was ruled."""
        return wilson(self.confirmed, self.ruled)


def wilson(hits: int, total: int) -> tuple[float, float] | None:
    """The score interval of a share at 95 % (E. B. Wilson, "Probable inference", JASA 22, 1927): unlike the simple one
    it is right for few cases and for shares near 0 and 1."""
    if total == 0:
        return None
    share, z2 = hits / total, Z_95**2
    middle = share + z2 / (2 * total)
    reach = Z_95 * sqrt(share * (1 - share) / total + z2 / (4 * total**2))
    scale = 1 + z2 / total
    return max(0.0, (middle - reach) / scale), min(1.0, (middle + reach) / scale)


def precision(items: Iterable[WorkItem]) -> list[Precision]:
    """By code, policy and version, in that order. A removal or a label confirms, a keep does not. A question with
    several reasons counts for each of them; one that was passed on counts once, with what came of it."""
    asked, confirmed, rejected = Counter[_Key](), Counter[_Key](), Counter[_Key]()
    for item in items:
        asked_on = {question.escalates: question for question in item.questions if question.escalates}
        for question in item.questions:
            if question.escalates:
                continue
            last = question
            while last.outcome is None and (further := asked_on.get(last.review_id)):
                last = further
            outcome = last.outcome
            for code in {reason.code for reason in question.reasons} - set(CODES.values()):
                key = code, question.policy.name, question.policy.version
                asked[key] += 1
                confirmed[key] += outcome in ("remove", "label")
                rejected[key] += outcome == "keep"
    return [
        Precision(*key, asked[key], confirmed[key], rejected[key], asked[key] - confirmed[key] - rejected[key])
        for key in sorted(asked)
    ]


_Key = tuple[str, str, int]
