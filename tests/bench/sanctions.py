"""What keeping the points of publishers costs, without a broker."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from statistics import median

from agents.decide import ground
from agents.sanctions.ledger import Ledger
from schemas.decision import Action, Decision, PolicyRef, stable_id
from schemas.policy import default_policy
from tests.bench.report import Row

PUBLISHERS = 10_000
NOW = datetime(2026, 1, 1, tzinfo=UTC)
#: Every tenth decision is a takedown, every second of them for a reason that costs points; publishers by Zipf's law, so
#: that some have very many.
CODES = ("REVIEW-HASH", "RUMOR-FAKE-NEWS", "SYNTH-NONCOMPLIANT", "SYNTH-DECLARED", "ID-UNVERIFIED", "REVIEW-TERM")


def measure(quick: bool) -> Iterator[Row]:
    """Decisions that one core takes in a second."""
    runs, count = (3, 20_000) if quick else (7, 100_000)
    yield Row("sanctions.fold_per_s", median(fold_rate(count) for _ in range(runs)), "decisions/s", runs)


def fold_rate(count: int = 100_000) -> float:
    """Decisions per second, on so many of 10 000 publishers."""
    decisions, policy, ledger = list(_decisions(count)), default_policy(), Ledger({})
    begun = time.perf_counter()
    for decision in decisions:
        ledger.take(decision, policy)
    return count / (time.perf_counter() - begun)


def _decisions(count: int) -> Iterator[Decision]:
    chance, ref = random.Random(1), PolicyRef(name="default", version=1)
    weights = [1 / rank for rank in range(1, PUBLISHERS + 1)]
    for number, publisher in enumerate(chance.choices(range(PUBLISHERS), weights, k=count)):
        action: Action = "takedown" if number % 10 == 0 else "allow"
        at = NOW + timedelta(seconds=number)
        yield Decision(
            decision_id=stable_id(number),
            event_id=str(number),
            content_id=str(number),
            publisher_id=f"publisher-{publisher}",
            agent="review",
            action=action,
            reasons=(ground(chance.choice(CODES)),) if action == "takedown" else (),
            policy=ref,
            decided_at=at,
            latency_s=1.0,
        )
