"""Running the entry: a process of its own beside the broker, as many times as there is load."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from importlib.metadata import entry_points

from aiohttp import web
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from agents.complaints.digest import digests
from agents.complaints.entry import Admit, Entry, everyone
from agents.complaints.receipts import Receipts
from schemas.complaint import Complaint
from schemas.policy import Policy, default_policy
from schemas.topics import COMPLAINTS, POLICIES
from streams.client import Client
from streams.metrics import Metrics
from streams.settings import Settings, SettingsError
from streams.views import View, Views


def captcha() -> Admit:
    """What is installed under `veristream.captcha`, at most one; none: everyone is admitted.

    Raises:
        SettingsError: there are several.
    """
    found = list(entry_points(group="veristream.captcha"))
    if len(found) > 1:
        raise SettingsError(f"captcha: {', '.join(point.name for point in found)} are installed; one at most can be")
    admit: Admit = found[0].load() if found else everyone
    return admit


async def serve(settings: Settings, ready: Callable[[int], None]) -> None:
    """Take complaints until SIGTERM or Ctrl-C; `ready` is told the port.

    Raises:
        SettingsError: the port is taken, or another setting cannot be used.
        KafkaUnusable: no broker answers, or a topic is missing.
    """
    registry = CollectorRegistry()
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    admit, digest, receipts = captcha(), digests(settings.identity_keys), Receipts()
    policies: View[Policy] = View(POLICIES, Metrics(registry))
    policies.rows[settings.policy] = default_policy(settings.policy)
    views = Views([policies], settings)

    async with Client(settings) as client:

        async def send(complaint: Complaint) -> None:
            await client.send(COMPLAINTS, complaint)

        def problems() -> list[str]:
            loaded = {"results": receipts.loaded, "policies": views.is_loaded}
            return [f"{name} are still being read" for name, done in loaded.items() if not done]

        entry = Entry(
            settings,
            send=send,
            digest=digest,
            receipts=receipts,
            policy=lambda: policies.rows[settings.policy],
            registry=registry,
            problems=problems,
            admit=admit,
        )
        # No access log: it would hold addresses, and receipts with their paths.
        runner = web.AppRunner(entry.app(), access_log=None, shutdown_timeout=settings.complaints_ack_s + 1)
        await views.start()
        following = asyncio.create_task(receipts.follow(settings), name="results")
        try:
            await runner.setup()
            ready(await _listen(runner, settings))
            await _stopped()
        finally:
            await runner.cleanup()
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
            await views.stop()


async def _listen(runner: web.AppRunner, settings: Settings) -> int:
    host, port = settings.complaints_host, settings.complaints_port
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        raise SettingsError(f"complaints_port: cannot listen on {host}:{port} ({error.strerror})") from error
    return int(runner.addresses[0][1])


async def _stopped() -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()
