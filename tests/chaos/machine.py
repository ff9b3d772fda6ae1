"""Builds machine.c: a wrong clock and another network for one worker."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path


class Impossible(RuntimeError):
    """This fault cannot be played on this machine; the text says why. It counts as skipped."""


def machine(folder: Path, *, clock_s: int = 0, ports: Mapping[int, int] | None = None) -> dict[str, str]:
    """The environment of a process on a machine with that clock and those ports.

    Raises:
        Impossible: there is no C compiler.
    """
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise Impossible("there is no C compiler")
    library = folder / "machine.so"
    if not library.exists():
        source = Path(__file__).with_name("machine.c")
        subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", library, source, "-ldl"], check=True)
    return {
        "LD_PRELOAD": str(library),
        "CHAOS_CLOCK_S": str(clock_s),
        "CHAOS_PORTS": ",".join(f"{port}:{other}" for port, other in (ports or {}).items()),
    }
