"""Scores of a livestream's segments, added up: Wald's sequential test, restarted as CUSUM does, so that a swap in the
middle is not outweighed by the hours of real footage before it. Pure.

One segment's score errs too often to act on (a detector that is right for 9 of 10 segments calls 36 an hour wrongly at
6 s a segment). What a score weighs is the logarithm of how much likelier it is of made than of real media, at rates
that were measured; sums below 0 are forgotten (E. S. Page, Continuous inspection schemes, Biometrika 1954).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple


class Rates(NamedTuple):
    """What a detector did, at one threshold and for segments as long as a stream's, on media that it was not made with.

    Both lie between 0 and 1, neither included: a count of none is an upper bound above 0 (see `bound`).
    """

    #: Share of made segments with a score at or above the threshold.
    recall: float
    #: Share of real segments with such a score.
    false: float
    threshold: float

    def check(self) -> None:
        """Refuse rates that no evidence can be made of.

        Raises:
            ValueError: with the field, and what to do.
        """
        for name in ("recall", "false"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(
                    f"`{name}` is {getattr(self, name):g}: give a bound within 0 and 1 for a count of none"
                )
        if self.recall <= self.false:
            raise ValueError(f"`recall` {self.recall:g} is not above `false` {self.false:g}: such scores say nothing")


class State(NamedTuple):
    """All that has to be kept of a stream between two segments."""

    #: Evidence so far, in natural logarithms of a likelihood ratio; never below 0.
    sum: float = 0.0
    #: First segment since the sum was last 0: where the made part begins, if it is called.
    since: int | None = None
    #: Last segment that was counted. One that comes again, or late, counts nothing.
    last: int = -1
    called: bool = False


def bound(hits: int, of: int, confidence: float = 0.95) -> float:
    """A rate that is at least the true one, with this confidence, where `hits` of `of` were seen (Wilson's interval,
    one-sided): 0 of 100 is 0.026."""
    if not 0 <= hits <= of or of == 0:
        raise ValueError(f"{hits} of {of} is no count")
    z, share = _quantile(confidence), hits / of
    middle = share + z * z / (2 * of)
    spread = z * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    return min(1.0, (middle + spread) / (1 + z * z / of))


def threshold_for(segments: int, false_calls: float) -> float:
    """The sum at which to call, so that at most `false_calls` are expected in so many segments of real media.

    The mean number of real segments until a wrong call is at least e^threshold where segments are independent of each
    other. Neighbouring segments seldom are: the rate has to be measured on streams, too.
    """
    if segments < 1 or false_calls <= 0:
        raise ValueError("`segments` is 1 at least, and `false_calls` above 0")
    return max(0.0, math.log(segments / false_calls))


def heard(state: State, segment: int, score: float | None, rates: Rates, threshold: float) -> State:
    """The state after one more segment. A score of None is inconclusive: it says nothing for either side."""
    if segment <= state.last:
        return state
    if score is None:
        return state._replace(last=segment)
    if score >= rates.threshold:
        weight = math.log(rates.recall / rates.false)
    else:
        weight = math.log((1 - rates.recall) / (1 - rates.false))
    total = state.sum + weight
    if total <= 0:
        return State(0.0, None, segment, state.called)
    since = segment if state.since is None else state.since
    return State(total, since, segment, state.called or total >= threshold)


def replayed(scores: Iterable[tuple[int, float | None]], rates: Rates, threshold: float) -> State:
    """The state of a stream whose segments are read back after a restart, in their order."""
    rates.check()
    state = State()
    for segment, score in scores:
        state = heard(state, segment, score, rates, threshold)
    return state


def _quantile(confidence: float) -> float:
    from statistics import NormalDist

    return NormalDist().inv_cdf(confidence)
