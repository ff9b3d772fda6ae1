"""A worker with a trial agent, in a process of its own that can be killed. Its argument is its settings as JSON."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import sys

from trial_agents import Echo

import streams.worker
from streams.settings import load


async def main() -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    settings = load(**json.loads(sys.argv[1]))
    await streams.worker.run(settings, stop=stop, ready=lambda _: print("ready", flush=True))


if __name__ == "__main__":
    logging.basicConfig(level="WARNING")
    streams.worker.installed = lambda *_: {"echo": Echo}  # type: ignore[assignment]
    asyncio.run(main())
