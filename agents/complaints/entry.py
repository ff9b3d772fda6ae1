"""The entry for complaints (AVP-15): HTTP in, topic `complaints` out. A receipt is given only for what the broker has.

Who complains, and from which device, is digested at once; neither they nor receipts are stored or logged.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import msgspec
from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Histogram

from agents.complaints import page
from agents.complaints.case import result
from agents.complaints.digest import Digest
from agents.complaints.limits import Buckets, network
from agents.complaints.receipts import Receipts, new_receipt, sha256_of
from schemas.complaint import Complaint, ComplaintKind
from schemas.event import Media
from schemas.message import Id, Message, Refused, convert, decode
from schemas.policy import Policy
from streams.health import Health
from streams.settings import Settings

log = logging.getLogger(__name__)

#: Text and references; media is linked, not sent.
MAX_BODY = 64 * 1024
MAX_TEXT = 5000
#: Requests that wait for the broker at most; what comes beyond is told to come again.
MOST_WAITING = 2000
RETRY_AFTER_S = 5
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
ACK_BUCKETS = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)

#: Returns once the broker has acknowledged the complaint.
Send = Callable[[Complaint], Awaitable[None]]
#: Says why a request is not admitted (a captcha that was not solved), or None. It may read headers and body.
Admit = Callable[[web.Request], Awaitable[str | None]]


class Filing(Message, kw_only=True, frozen=True):
    """What the entry takes: a complaint in the platform's own names."""

    kind: ComplaintKind
    publisher_id: Id
    content_id: Id
    text: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_TEXT)]
    complainant: Id
    device: Id | None = None
    attachments: Annotated[tuple[Media, ...], msgspec.Meta(max_length=10)] = ()


async def everyone(_: web.Request) -> str | None:
    """Admits all: where no captcha is installed."""
    return None


class Entry:
    """The web application and what it needs."""

    def __init__(
        self,
        settings: Settings,
        *,
        send: Send,
        digest: Digest,
        receipts: Receipts,
        policy: Callable[[], Policy],
        registry: CollectorRegistry,
        problems: Callable[[], list[str]] = list,
        admit: Admit = everyone,
    ) -> None:
        self._settings, self._send, self._digest, self._receipts = settings, send, digest, receipts
        self._policy, self._admit = policy, admit
        self._health = Health(registry, problems)
        self._complainants = Buckets(settings.complaints_rate)
        self._peers = Buckets(settings.complaints_peer_rate)
        self._waiting = 0
        self._requests = Counter(
            "veristream_complaint_requests", "Complaints sent to the entry", ["status"], registry=registry
        )
        self._ack = Histogram(
            "veristream_complaint_ack_seconds",
            "From a complaint to the broker's acknowledgement",
            buckets=ACK_BUCKETS,
            registry=registry,
        )

    def app(self) -> web.Application:
        """The application."""
        app = web.Application(client_max_size=MAX_BODY, middlewares=[self._errors])
        app.on_response_prepare.append(self._headers)
        app.add_routes(
            [
                web.get("/", self._page),
                web.post("/complaints", self._post),
                web.options("/complaints", self._preflight),
                web.get("/complaints/{receipt}", self._get),
                *self._health.routes(),
            ]
        )
        return app

    async def _post(self, request: web.Request) -> web.Response:
        if wait := self._peers.take(network(request.remote)):
            raise _TooMany(wait)
        if (refusal := await self._admit(request)) is not None:
            return _json({"field": "", "reason": refusal}, 403)
        filing = await _filing(request)
        complainant = self._digest("complainant", filing.complainant)
        if wait := self._complainants.take(complainant):
            raise _TooMany(wait)
        receipt = new_receipt()
        complaint = Complaint(
            complaint_id=secrets.token_hex(16),
            receipt_sha256=sha256_of(receipt),
            kind=filing.kind,
            publisher_id=filing.publisher_id,
            content_id=filing.content_id,
            text=filing.text,
            complainant=complainant,
            device=self._digest("device", filing.device) if filing.device else None,
            attachments=filing.attachments,
            received_at=datetime.now(UTC),
        )
        if not await self._acknowledged(complaint):
            return _json(
                {"field": "", "reason": "the complaint could not be stored; send it again"},
                503,
                {"Retry-After": str(RETRY_AFTER_S)},
            )
        due_at = complaint.received_at + timedelta(hours=self._policy().complaints.deadline_hours[complaint.kind])
        self._receipts.given(result(complaint, "received", due_at, complaint.received_at))
        if page.wanted(request):
            return web.Response(text=page.thanks(receipt), content_type="text/html", status=202)
        answer = {"receipt": receipt, "complaint_id": complaint.complaint_id, "due_at": due_at.isoformat()}
        return _json(answer, 202, {"Location": f"/complaints/{receipt}"})

    async def _acknowledged(self, complaint: Complaint) -> bool:
        """Whether the broker has the complaint. What it takes later than it may has no receipt, and does no harm: who
        sends it again has repeated a complaint."""
        if self._waiting >= MOST_WAITING:
            return False
        self._waiting += 1
        try:
            with self._ack.time():
                await asyncio.wait_for(self._send(complaint), self._settings.complaints_ack_s)
        except Exception as error:
            log.warning("a complaint was not acknowledged: %r", error)
            return False
        finally:
            self._waiting -= 1
        return True

    async def _get(self, request: web.Request) -> web.Response:
        standing = self._receipts.find(request.match_info["receipt"])
        if standing is None:
            # The same for whatever is not a receipt. Only a digest is looked up, so its time says nothing either.
            raise web.HTTPNotFound
        return _json(standing._asdict())

    async def _page(self, request: web.Request) -> web.Response:
        return web.Response(text=page.form(request.query), content_type="text/html")

    async def _preflight(self, _: web.Request) -> web.Response:
        return web.Response(status=204)

    @web.middleware
    async def _errors(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Every error as JSON, and none of them with more than its sentence."""
        try:
            answer = await handler(request)
        except Refused as refused:
            answer = _json({"field": refused.field, "reason": refused.reason}, 400)
        except _TooMany as many:
            reason = f"too many complaints; send the next in {many.wait} s"
            answer = _json({"field": "", "reason": reason}, 429, {"Retry-After": str(many.wait)})
        except web.HTTPException as error:
            kept = {name: error.headers[name] for name in ("Allow",) if name in error.headers}
            answer = _json({"field": "", "reason": error.reason}, error.status, kept)
        except Exception:
            log.exception("a request failed")
            answer = _json({"field": "", "reason": "Internal Server Error"}, 500)
        if request.method == "POST":
            self._requests.labels(str(answer.status)).inc()
        return answer

    async def _headers(self, request: web.Request, response: web.StreamResponse) -> None:
        response.headers.update(HEADERS)
        response.headers.popall("Server", None)
        if not self._settings.complaints_origins:
            return
        response.headers["Vary"] = "Origin"
        if request.headers.get("Origin") in self._settings.complaints_origins:
            response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
            response.headers["Access-Control-Allow-Origin"] = request.headers["Origin"]
            response.headers["Access-Control-Allow-Methods"] = "GET, POST"
            response.headers["Access-Control-Allow-Headers"] = "Content-Type"


class _TooMany(Exception):
    """A limit is reached; the next is taken in so many seconds."""

    def __init__(self, wait: int) -> None:
        self.wait = wait


async def _filing(request: web.Request) -> Filing:
    """The body as a filing. Raises Refused, or HTTP's own errors for a body of another kind or size."""
    if request.content_type == "application/json":
        return decode(Filing, await request.read())
    if request.content_type == "application/x-www-form-urlencoded":
        try:
            # An empty input of a page is one that was not filled in.
            return convert(Filing, {name: value for name, value in (await request.post()).items() if value})
        except UnicodeDecodeError as error:
            raise Refused("", f"not UTF-8: {error.reason}") from error
    raise web.HTTPUnsupportedMediaType


def _json(body: dict[str, Any], status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(body), status=status, headers=headers, content_type="application/json", charset="utf-8"
    )
