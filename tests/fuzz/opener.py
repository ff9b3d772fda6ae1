"""A detector that misbehaves, to see that a run would find it."""

from __future__ import annotations

import os
from pathlib import Path

from streams.extraction.detector import Detector, Findings, Source


class Opener(Detector):
    """Opens a file when it gets one kind of sound, and dies of another."""

    name = "opener"
    version = "1"

    def open(self, source: Source) -> None:
        if source.container == "flac":
            Path("/etc/hostname").read_bytes()
        if source.container == "wav":
            os._exit(9)

    def findings(self) -> Findings:
        return Findings()
