"""Three of the faults of `make chaos`, in short: a worker killed, a worker frozen, a leading broker killed."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest

from deploy.kafka.cluster import Cluster
from tests.chaos import brokers, faults
from tests.chaos.catalogue import IDENTITY, WORKERS
from tests.chaos.report import RECOVERY_LIMIT_S
from tests.chaos.stage import Stage, play, stage

EVENTS = 2000
#: Two workers sustain it beside the other tests of the session on a machine of two cores.
RATE = 100.0
BEFORE_S = 4.0


@pytest.fixture(scope="module")
def on(kafka: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("chaos")
    with stage(kafka, "chaos.", folder, agents=IDENTITY, rate=RATE, say=print) as ours:
        for _ in range(WORKERS):
            ours.workers.join()
        ours.workers.until_ready()
        yield ours


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(partial(faults.killed, kills=1), id="a worker is killed"),
        pytest.param(partial(faults.frozen, workers=1), id="a worker is frozen past its session, and goes on"),
        pytest.param(partial(brokers.leader_killed, away_s=5.0), id="a leading broker is killed, and comes back"),
    ],
)
def test_nothing_is_lost_contradicted_or_turned_round_when(fault: partial[None], on: Stage):
    outcome = play(on, fault, events=EVENTS, before_s=BEFORE_S)
    count = outcome.count
    said = "\n".join([f"{count}", *outcome.did, *outcome.examples, *(worker.said() for worker in on.workers.all)])
    assert count.events >= EVENTS
    assert (count.lost, count.conflicting, count.wrong, count.out_of_order, outcome.lag) == (0, 0, 0, 0, 0), said
    assert outcome.recovery_s is not None, said
    assert outcome.recovery_s <= RECOVERY_LIMIT_S, said
