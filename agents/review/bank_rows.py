"""The hash bank as the rows of a worker's view, by the entry point `veristream.rows`, and its metrics."""

from __future__ import annotations

from pathlib import Path

from agents.review.bank import HashBank, Told
from schemas.bank import HashEntry
from streams.metrics import Metrics
from streams.views import View


def rows(*, folder: Path | None, metrics: Metrics | None) -> HashBank:
    """An empty bank; what lies in the folder comes into force row by row, as the topic is read."""
    return HashBank(folder=folder, told=_Measured(metrics) if metrics else None)


def bank_of(view: View[HashEntry]) -> HashBank:
    """The bank in which a view of `hashbank` keeps its rows; all agents of a worker look into the same one.

    Raises:
        TypeError: the entry point that says so is not installed.
    """
    if not isinstance(view.rows, HashBank):
        raise TypeError("the entry point `hashbank` of veristream.rows is not installed; run `make setup`")
    return view.rows


class _Measured(Told):
    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def holds(self, frames: int, shared_bytes: int, own_bytes: int) -> None:
        self._metrics.bank_frames.set(frames)
        self._metrics.bank_bytes.labels("shared").set(shared_bytes)
        self._metrics.bank_bytes.labels("own").set(own_bytes)

    def merged(self, kind: str, seconds: float) -> None:
        self._metrics.bank_merges.labels(kind).inc()
        self._metrics.bank_merge_seconds.labels(kind).set(seconds)

    def refused(self) -> None:
        self._metrics.bank_refused.inc()
