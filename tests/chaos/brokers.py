"""What is done to brokers."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.chaos.machine import Impossible
from tests.chaos.stage import Stage

#: How long the killed leader stays away.
AWAY_S = 10.0
#: How long after the disk is full the broker is left to its fate.
FULL_FOR_S = 10.0
#: The small disk: room for the broker's start and some of the load.
DISK_MB = 160
#: Settings of the brokers beside it: partitions small enough for many of them to fit on it.
SMALL = {"log.index.size.max.bytes": str(64 * 2**10), "log.segment.bytes": str(8 * 2**20)}


def leader_killed(stage: Stage, away_s: float = AWAY_S) -> None:
    """SIGKILL of the broker that leads what one publisher's decisions go to; it comes back later."""
    broker = stage.cluster.leader_of(stage.prefix + "decisions", 0)
    broker.kill()
    stage.mark()
    stage.note(f"broker on port {broker.port} killed for {away_s:.0f} s")
    stage.wait(away_s)
    broker.start()
    stage.mark()
    stage.until_in_sync()


def all_restarted(stage: Stage) -> None:
    """Every broker is stopped and started, one after the other; the next when all replicas are in sync."""
    for broker in stage.cluster.brokers:
        broker.stop()
        if broker is stage.cluster.brokers[-1]:
            stage.mark()
        broker.start()
        stage.until_in_sync()
        stage.note(f"broker on port {broker.port} restarted")


def disk_filled(stage: Stage) -> None:
    """The disk of one broker runs full; when there is room again, the broker is started again."""
    broker = stage.cluster.brokers[-1]
    ballast = Path(broker.log_dir).parent / "ballast"
    with ballast.open("wb") as out, contextlib.suppress(OSError):
        while True:
            out.write(b"\0" * 2**20)
            out.flush()
    stage.mark()
    stage.note(f"the disk of the broker on port {broker.port} is full")
    stage.wait(FULL_FOR_S)
    stage.note("the broker has ended" if not broker.is_up() else "the broker goes on")
    ballast.unlink()
    if broker.is_up():
        broker.stop()
    broker.start()
    stage.mark()
    stage.until_in_sync()


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A folder on a disk of its own, a small one in memory.

    Raises:
        Impossible: it cannot be mounted here.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if os.geteuid() != 0:
        raise Impossible("mounting a small disk needs root")
    try:
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", str(folder)], capture_output=True, text=True
        )
    except OSError as error:
        raise Impossible(f"mounting a small disk: {errno.errorcode.get(error.errno or 0, error)}") from error
    if done.returncode:
        raise Impossible(f"mounting a small disk: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False)
