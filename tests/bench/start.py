"""How long a person waits: from the command to a pipeline that is ready."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from deploy.demo.media import make_media
from tests.bench.report import BUILD, Row, clean_env

#: Ready or failed.
TIMEOUT_S = 90.0


def measure(quick: bool) -> Iterator[Row]:
    """`veristream demo --once` with its media made already, as at the second start."""
    runs = 1 if quick else 3
    data = (BUILD / "start").resolve()
    make_media(data / "veristream" / "demo")
    yield Row("start.warm_s", median(_start(data) for _ in range(runs)), "s until ready", runs)


def _start(data: Path) -> float:
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="veristream-bench-") as folder:
        running = subprocess.Popen(
            [str(Path(sys.executable).with_name("veristream")), "demo", "--once", "--case", "1"],
            cwd=folder, env=clean_env() | {"XDG_DATA_HOME": str(data)},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        said = []
        try:
            assert running.stdout is not None
            for line in running.stdout:
                said.append(line)
                if line.startswith("ready"):
                    return time.monotonic() - begun
        finally:
            # The one case that follows is let finish: it ends everything it started.
            try:
                running.communicate(timeout=TIMEOUT_S)
            except subprocess.TimeoutExpired:
                running.terminate()
                raise
        raise RuntimeError("it was never ready: " + "".join(said[-20:]))
