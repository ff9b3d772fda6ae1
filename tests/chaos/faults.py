"""What is done to workers and to their messages. Each fault ends when nothing is done any more."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

from deploy.embedded import free_port
from tests.chaos.defect import strikes
from tests.chaos.machine import machine
from tests.chaos.proxy import Network
from tests.chaos.stage import SESSION_TIMEOUT_S, HarnessFailed, Stage
from tests.chaos.traffic import Item, bad_items, items, mixed

#: Kills of workers, and the time between two: less than a session, so that the next comes before the group has noticed.
KILLS = 5
BETWEEN_KILLS_S = 5.0
#: How long a worker stands still: its group has put it out and another has taken what it had.
FROZEN_S = SESSION_TIMEOUT_S + 6.0
#: A worker joins or leaves this often.
CHURN_S = 10.0
CHURNS = 2
#: One bad message after so many good ones.
GOOD_PER_BAD = 20
#: A network that is slow: an answer takes twice this.
SLOW_S = 0.15
SLOW_FOR_S = 10.0
#: How long the network is cut: longer than a session.
CUT_FOR_S = SESSION_TIMEOUT_S + 6.0
HOUR_S = 3600
#: Decoding processes are struck so often, but none that is younger than this and may not have begun to read.
STARVINGS = 10
BETWEEN_STARVINGS_S = 4.0
GROWN_UP_S = 3.0
STARVED_BYTES = 64 * 2**20


def killed(stage: Stage, kills: int = KILLS) -> None:
    """SIGKILL of one worker after the other, again and again."""
    for number in range(kills):
        worker = stage.workers[number % len(stage.workers)]
        stage.until(lambda worker=worker: worker.is_running, "the killed worker was not started again")
        worker.send(signal.SIGKILL)
        stage.note(f"worker {worker.number} killed")
        if number < kills - 1:
            stage.wait(BETWEEN_KILLS_S)
    stage.mark()


def rolled(stage: Stage) -> None:
    """SIGTERM of each worker in turn in the middle of its work; the next when the one before is back."""
    for worker in stage.workers.all:
        stage.mark()
        worker.send(signal.SIGTERM)
        stage.note(f"worker {worker.number} stopped with exit code {worker.stops[-1]}")
        worker.until_ready()


def frozen(stage: Stage, workers: int | None = None) -> None:
    """A worker stands still for longer than its session, and goes on as if nothing had been; then the next one."""
    chosen = stage.workers.all[:workers]
    for worker in chosen:
        worker.freeze()
        stage.mark()
        stage.note(f"worker {worker.number} frozen for {FROZEN_S:.0f} s")
        stage.wait(FROZEN_S)
        worker.thaw()
        stage.mark()
        if worker is not chosen[-1]:
            stage.wait(SESSION_TIMEOUT_S)


def churned(stage: Stage) -> None:
    """A further worker joins and leaves, again and again."""
    for _ in range(CHURNS):
        stage.mark()
        worker = stage.workers.join()
        stage.note(f"worker {worker.number} joins")
        stage.wait(CHURN_S)
        stage.mark()
        stage.workers.leave(worker)
        stage.note(f"worker {worker.number} left with exit code {(worker.stops or worker.exits)[-1]}")
        stage.wait(CHURN_S)


# A judge that raises, and messages that cannot be judged: the load itself is the fault.


def judged(stage: Stage) -> None:
    """Nothing more is done: the workers' judges raise at some events from the start."""
    stage.wait(1.0)


def defective_items() -> Iterator[Item]:
    """Events, and for those that a judge raises at, the dead letters that are due instead."""
    for item in items():
        assert item.due is not None
        if strikes(item.event_id, "identity"):
            item.due.clear()
            item.due["deadletters.identity"] = None
        elif strikes(item.event_id, "verdict"):
            del item.due["verdicts"]
            item.due["deadletters.verdict"] = None
        yield item


def defective(_: Path) -> dict[str, str]:
    """The environment of a worker whose judges raise."""
    root = Path(__file__).parents[2]
    return {"CHAOS_JUDGE": "1", "PYTHONPATH": f"{Path(__file__).parent / 'plugins' / 'judge'}:{root}"}


def spoilt_items() -> Iterator[Item]:
    """Events with bad messages among them."""
    return mixed(items(), bad_items(), GOOD_PER_BAD)


# The network and the clock of one worker.


def cut(stage: Stage) -> None:
    """A worker whose network is slow, then cut for longer than its session, then reset again and again."""
    network = Network()
    try:
        ports = {}
        for broker in stage.cluster.brokers:
            ports[broker.port] = free_port()
            network.lead(ports[broker.port], broker.port)
        worker = stage.workers.join(machine(stage.folder, ports=ports))
        worker.until_ready()
        stage.note(f"worker {worker.number} joined over a network of its own")
        network.delay_s = SLOW_S
        stage.note(f"its network is slow: {2 * SLOW_S * 1000:.0f} ms a round trip")
        stage.wait(SLOW_FOR_S)
        network.delay_s = 0.0
        network.cut()
        stage.mark()
        stage.note(f"its network is cut for {CUT_FOR_S:.0f} s")
        stage.wait(CUT_FOR_S)
        network.mend()
        stage.mark()
        worker.until_ready()
        for _ in range(3):
            network.reset()
            stage.mark()
            stage.wait(2.0)
        stage.note("its connections were reset three times")
        stage.workers.leave(worker)
    finally:
        network.close()


def mistimed(stage: Stage) -> None:
    """Workers an hour ahead and an hour behind join; then the one whose clock is right leaves them the work."""
    others = [stage.workers.join(machine(stage.folder, clock_s=shift)) for shift in (HOUR_S, -HOUR_S)]
    for worker in others:
        worker.until_ready()
    stage.note("two more workers, an hour ahead and an hour behind")
    stage.wait(5.0)
    for worker in stage.workers.all:
        worker.send(signal.SIGKILL)
        stage.mark()
        worker.until_ready()
        stage.note(f"worker {worker.number} killed and back")
    for worker in others:
        stage.workers.leave(worker)


# Extraction.


def starved(stage: Stage) -> None:
    """Of each worker's decoding processes one gets no more memory than it has, and is killed a little later; again and
    again."""
    struck = 0
    for number in range(STARVINGS):
        for worker in stage.workers.all:
            for pid in _decoders(worker.pid)[:1]:
                if number % 2:
                    os.kill(pid, signal.SIGKILL)
                else:
                    _starve(pid)
                struck += 1
        if number < STARVINGS - 1:
            stage.wait(BETWEEN_STARVINGS_S)
    stage.mark()
    if not struck:
        raise HarnessFailed("no decoding process was found")
    stage.note(f"{struck} times a decoding process was left without memory or killed")


def _starve(pid: int) -> None:
    """Whatever it asks for from now on is refused: it has more than that."""
    resource.prlimit(pid, resource.RLIMIT_AS, (STARVED_BYTES, STARVED_BYTES))


def _decoders(worker: int) -> list[int]:
    """The worker's processes that decode, and have for a while."""
    found = []
    uptime_s = float(Path("/proc/uptime").read_text().split()[0])
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
            command = stat.with_name("cmdline").read_bytes()
        except OSError:
            continue
        parent, age_s = int(fields[1]), uptime_s - int(fields[19]) / os.sysconf("SC_CLK_TCK")
        if parent == worker and b"streams.extraction" in command and age_s > GROWN_UP_S:
            found.append(int(stat.parent.name))
    return found
