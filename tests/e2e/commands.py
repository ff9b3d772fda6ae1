"""`veristream` run to its end, with settings given as its environment."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from typing import Any

from processes import COMMAND


def variables(settings: Mapping[str, Any]) -> dict[str, str]:
    """The environment that says these settings, and none of ours; None is left out."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("VERISTREAM_")}
    return kept | {f"VERISTREAM_{name.upper()}": str(value) for name, value in settings.items() if value is not None}


def command(settings: Mapping[str, Any], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command with these settings to its end."""
    return subprocess.run(
        [COMMAND, *arguments], env=variables(settings), capture_output=True, text=True, timeout=120, check=False
    )
