"""The registrar: an internal HTTP service, through which a platform registers publishers without putting an identity
number anywhere (Provisions, Art. 8).

`PUT /publishers/{publisher_id}` takes numbers, checks their form, asks the verifier, digests them, and sends the row
to the topic `publishers`. It answers once the broker has acknowledged the row: 200 with what `real_name` is now, 202
when the verifier is down and is asked again, 400 with field and reason, never with a value. Numbers are in memory
only: what waits for the verifier is lost when the process ends, and the platform then sends it again.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit
from weakref import WeakValueDictionary

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge

from agents.identity.digests import Digester, KeyFile, KeyFileError
from agents.identity.enrolment import Enrolment, answered, pending, read, row
from agents.identity.verifier import Verifier, VerifierDown, VerifyAnswer, VerifyRequest, ask
from agents.identity.waiting import Entry, Waiting
from schemas.message import Refused, encode
from schemas.registry import Publisher
from schemas.topics import PUBLISHERS
from streams.client import Client
from streams.health import Health
from streams.metrics import Metrics
from streams.settings import Settings, SettingsError
from streams.views import View, Views

log = logging.getLogger(__name__)

#: Fifty devices and five numbers fill less.
LARGEST_BODY = 64 * 2**10
#: A row that somebody else has replaced is left alone; for so long after ours was sent it may just not be read yet.
SEEN_WITHIN_S = 60.0


def now_utc() -> datetime:
    """The time, with its zone."""
    return datetime.now(UTC)


class Registrar:
    """Registers publishers. Without a verifier rows stay unverified, without a key file they carry no digests."""

    def __init__(self, settings: Settings, verifier: Verifier | None, clock: Callable[[], datetime] = now_utc) -> None:
        """Raises SettingsError: it would be open to the network without a token, or the key file cannot be used."""
        self._token = settings.registrar_token.get_secret_value() if settings.registrar_token else ""
        if not self._token and not _is_loopback(settings.registrar_host):
            raise SettingsError(
                f"registrar_token: {settings.registrar_host} can be reached from elsewhere, so a token is needed: "
                "set VERISTREAM_REGISTRAR_TOKEN"
            )
        self._digester = _digester(settings)
        self._settings, self._verifier, self._clock = settings, verifier, clock
        self._verifier_name = settings.verifier or urlsplit(settings.verifier_url).hostname or ""
        self.waiting = Waiting(verifier, settings.registrar_queue, self._settle) if verifier else None
        registry = CollectorRegistry()
        self._health = Health(registry, self._problems)
        self._outcomes = Counter(
            "veristream_registrations", "Publishers that were sent to the registrar", ["outcome"], registry=registry
        )
        waiting = Gauge("veristream_registrations_waiting", "Publishers that wait for the verifier", registry=registry)
        waiting.set_function(lambda: len(self.waiting) if self.waiting is not None else 0)
        # A folder of its own: a worker on this machine, of the same settings, has the other.
        state_dir = settings.state_dir / "registrar" if settings.state_dir else None
        self._view: View[Publisher] = View(PUBLISHERS, Metrics(registry), state_dir=state_dir)
        self._views = Views([self._view], settings)
        self._client = Client(settings)
        # One after the other for each publisher, so that the last that was sent is the last that stands.
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._runner: web.AppRunner | None = None
        self._asking: asyncio.Task[None] | None = None
        self.port = 0

    @property
    def failed(self) -> BaseException | None:
        """What ended the reading of the registry, if it has ended; the process must then end too."""
        return self._views.failed

    async def start(self) -> None:
        """Connect, listen, read the registry.

        Raises:
            KafkaUnusable: no broker answers, or the topic is not there.
            SettingsError: the port is taken.
        """
        await self._client.__aenter__()
        await self._views.start()
        app = web.Application(client_max_size=LARGEST_BODY, middlewares=[_quiet])
        app.add_routes([web.put("/publishers/{publisher_id}", self._put), *self._health.routes()])
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=self._settings.shutdown_grace_s)
        await self._runner.setup()
        where = self._settings.registrar_host, self._settings.registrar_port
        try:
            await web.TCPSite(self._runner, *where).start()
        except OSError as error:
            raise SettingsError(f"registrar_port: cannot listen on {where[0]}:{where[1]} ({error.strerror})") from error
        self.port = self._runner.addresses[0][1]
        if self.waiting is not None:
            self._asking = asyncio.create_task(self.waiting.run(self._settings.registrar_retry_s), name="verifier")

    async def stop(self) -> None:
        """Answer what has begun, and end."""
        if self._runner:
            await self._runner.cleanup()
        if self._asking:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)
        if self._verifier:
            await self._verifier.close()
        await self._views.stop()
        await self._client.__aexit__()

    async def _put(self, request: web.Request) -> web.Response:
        if self._token and not hmac.compare_digest(
            request.headers.get("Authorization", "").encode(), f"Bearer {self._token}".encode()
        ):
            return _answer(401, reason="send the registrar's token: Authorization: Bearer …")
        if not self._views.is_loaded:
            return self._counted("failed", 503, reason="the registry is still being read")
        publisher_id = request.match_info["publisher_id"]
        try:
            given = read(await request.read())
            unverified = row(publisher_id, given, self._digester, self._clock())
        except Refused as refused:
            return self._counted("refused", 400, field=refused.field, reason=refused.reason)
        except KeyFileError as error:
            log.error("%s", error)
            return self._counted("failed", 503, reason="the keys for the digests cannot be read")
        async with self._lock(publisher_id):
            return await self._register(unverified, given)

    async def _register(self, unverified: Publisher, given: Enrolment) -> web.Response:
        found, entry = unverified, None
        if self._verifier is not None and self.waiting is not None:
            request = VerifyRequest(unverified.publisher_id, given.kind, given.numbers, given.name)
            try:
                (answer,) = await ask(self._verifier, [request])
                found = answered(unverified, answer, self._verifier_name, given.numbers, self._clock())
            except VerifierDown as down:
                if not self.waiting.takes(unverified.publisher_id):
                    return self._counted("failed", 503, reason="too many wait for the verifier; send it again later")
                log.info("a publisher waits for the verifier: %s", down)
                found = pending(unverified, self._view.rows.get(unverified.publisher_id), self._clock())
                entry = Entry(request, found, self._clock())
        try:
            await self._send(found)
        except Exception as error:
            log.error("the broker did not take a row: %s", type(error).__name__)
            return self._counted("failed", 503, reason="the broker did not acknowledge the row; send it again")
        if self.waiting is not None:
            self.waiting.forget(unverified.publisher_id)
            if entry:
                self.waiting.put(entry)
        return self._counted(found.real_name, 202 if entry else 200, real_name=found.real_name)

    async def _settle(self, entry: Entry, answer: VerifyAnswer) -> bool:
        publisher_id = entry.row.publisher_id
        async with self._lock(publisher_id):
            if self.waiting is None or not self.waiting.has(entry):
                return False  # sent again in the meantime: that one counts
            if self._view.rows.get(publisher_id) != entry.row:
                if (self._clock() - entry.since).total_seconds() < SEEN_WITHIN_S:
                    return False
                log.info("a publisher's row was replaced while it waited for the verifier: it is left as it is")
                return True
            await self._send(answered(entry.row, answer, self._verifier_name, entry.request.numbers, self._clock()))
        self._outcomes.labels("verified" if answer.state == "verified" else "unverified").inc()
        return True

    async def _send(self, publisher: Publisher) -> None:
        await self._client.send(PUBLISHERS, publisher)
        # The view reads it too, a little later: whoever registers the same publisher next must find it at once.
        self._view.apply(publisher.publisher_id.encode(), encode(publisher))

    def _lock(self, publisher_id: str) -> asyncio.Lock:
        return self._locks.setdefault(publisher_id, asyncio.Lock())

    def _counted(self, outcome: str, status: int, **said: str) -> web.Response:
        self._outcomes.labels(outcome).inc()
        return _answer(status, **said)

    def _problems(self) -> list[str]:
        return [] if self._views.is_loaded else ["the registry is still being read"]


async def serve(
    settings: Settings, verifier: Verifier | None, *, stop: asyncio.Event, ready: Callable[[Registrar], Any]
) -> None:
    """Run a registrar until `stop` is set.

    Raises:
        RuntimeError: the registry can no longer be read.
    """
    registrar = Registrar(settings, verifier)
    try:
        await registrar.start()
        ready(registrar)
        while not stop.is_set():
            if error := registrar.failed:
                raise RuntimeError("reading the registry failed") from error
            try:
                await asyncio.wait_for(stop.wait(), 1.0)
            except TimeoutError:
                continue
    finally:
        await registrar.stop()


def _digester(settings: Settings) -> Digester | None:
    if settings.identity_keys is None:
        log.warning(
            "identity_keys is not set: rows carry no digests, and two accounts of one person are not recognised"
        )
        return None
    source = KeyFile(settings.identity_keys)
    try:
        source.keys()
    except KeyFileError as error:
        raise SettingsError(f"identity_keys: {error}") from None
    return Digester(source)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _answer(status: int, **said: str) -> web.Response:
    return web.json_response(said, status=status)


@web.middleware
async def _quiet(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """An error's text may hold what was sent: of a defect only its type and place are told."""
    try:
        return await handler(request)
    except (web.HTTPException, asyncio.CancelledError):
        raise
    except Exception as error:
        trace = error.__traceback__
        while trace and trace.tb_next:
            trace = trace.tb_next
        where = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else "?"
        log.error("a request failed: %s at %s", type(error).__name__, where)
        return _answer(500, reason="the registrar failed; its log says where")
