"""A worker with a trial agent, in a process of its own that can be killed.

Its arguments are its settings as JSON, the agent's class (Echo), and how long it may go without being polled, in
seconds (as a worker does).
"""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import sys

import trial_agents

import streams.membership
import streams.worker
from streams.settings import load


async def main() -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    settings = load(**json.loads(sys.argv[1]))
    await streams.worker.run(settings, stop=stop, ready=lambda _: print("ready", flush=True))


if __name__ == "__main__":
    logging.basicConfig(level="INFO")
    kind = getattr(trial_agents, sys.argv[2] if len(sys.argv) > 2 else "Echo")
    streams.worker.installed = lambda *_: {kind.name: kind}  # type: ignore[assignment]
    if len(sys.argv) > 3:
        streams.membership.MAX_POLL_INTERVAL_S = float(sys.argv[3])
    asyncio.run(main())
