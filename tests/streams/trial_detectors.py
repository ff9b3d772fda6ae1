"""Detectors that do what the title of the media says, in a process of their own."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from pathlib import Path
from typing import Any

from schemas.signals import Evidence, FrameHash, Signal
from streams.extraction.detector import Detector, Findings, Source


class Moody(Detector):
    """Does what the title says."""

    name = "moody"
    version = "3"
    wants_frames = True
    wants_sound = True

    def open(self, source: Source) -> None:
        self.frames = 0
        self.sound = 0
        self.began = time.monotonic()
        verb, _, argument = source.metadata.get("title", "").partition(" ")
        if verb:
            getattr(self, f"do_{verb}")(argument)

    def see(self, frames: Any) -> None:
        self.frames += len(frames)

    def hear(self, samples: Any, at_s: float) -> None:
        self.sound += len(samples)

    def findings(self) -> Findings:
        span = f"from {self.began} until {time.monotonic()}"
        evidence = (Evidence(text=f"{self.frames} frames, {self.sound} samples, process {os.getpid()}, {span}"),)
        return Findings(
            (Signal(name="mood", detector=self.name, score=0.5, evidence=evidence),),
            (FrameHash(at_s=0.0, pdq="0" * 64, quality=100),),
        )

    def do_hang(self, _: str) -> None:
        while True:
            time.sleep(60)

    def do_deaf(self, _: str) -> None:
        # As a decoder is that never comes back from C, where no signal handler of Python's runs.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        self.do_hang("")

    def do_exit(self, code: str) -> None:
        os._exit(int(code))

    def do_segfault(self, _: str) -> None:
        ctypes.string_at(0)

    def do_kill(self, _: str) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def do_allocate(self, gigabytes: str) -> None:
        self.kept = bytearray(int(gigabytes) << 30)

    def do_files(self, count: str) -> None:
        self.kept = [Path("/dev/null").open("rb") for _ in range(int(count))]  # noqa: SIM115

    def do_raise(self, text: str) -> None:
        raise RuntimeError(text)

    def do_linger(self, seconds: str) -> None:
        time.sleep(float(seconds))

    def do_keep(self, megabytes: str) -> None:
        self.kept = b"x" * (int(megabytes) << 20)

    def do_environment(self, name: str) -> None:
        raise RuntimeError(os.environ.get(name, "not set"))


class Unloadable(Moody):
    """Its model is missing."""

    name = "unloadable"

    def __init__(self) -> None:
        raise FileNotFoundError("model.onnx")
