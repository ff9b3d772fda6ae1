"""Verifying real names (Provisions, Art. 8: "real identity by organisation code, ID number, mobile number").

The form of a number proves nothing about its holder: somebody who can know is asked. A platform brings its own
`Verifier` under the entry point group `veristream.verifiers`, or any service that speaks the small protocol of
`HttpVerifier`. Numbers pass through memory here and lie nowhere: no error text, log line, repr or cache holds one.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import random
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Annotated, Literal, Protocol

import aiohttp
import msgspec

from agents.identity.breaker import Breaker
from schemas.message import MAX_ID, Utc
from schemas.registry import NumberKind
from streams.registered import installed
from streams.settings import Settings, SettingsError

log = logging.getLogger(__name__)

#: A verifier that has not answered three times in a row is asked again later.
TRIES = 3
#: Seconds before the second try; doubled each time, and drawn at random up to that, so that registrars do not come
#: back all at once.
BACKOFF_S = 0.2
#: Requests that come within this time, or so many, go together.
GATHER_S, BATCH = 0.02, 100
#: Answers that are kept, and for how long: a platform that sends a row again within the hour costs no question.
CACHED, CACHED_S = 10_000, 3600.0
#: No answer of a hundred comes near this.
LARGEST_ANSWER = 2**20


class VerifierDown(RuntimeError):
    """The verifier cannot answer now; the text says why, and holds nothing of what it was asked or answered."""


@dataclass(frozen=True, slots=True)
class VerifyRequest:
    """Whom to verify. Numbers and name are personal data: they show in no repr."""

    publisher_id: str
    kind: Literal["person", "organisation"]
    numbers: Mapping[NumberKind, str] = field(repr=False)
    name: str = field(default="", repr=False)


class VerifyAnswer(msgspec.Struct, frozen=True):
    """What the verifier found."""

    state: Literal["verified", "refused"]
    #: The verifier's own, by which it finds the case again.
    reference: Annotated[str, msgspec.Meta(max_length=MAX_ID)] = ""
    valid_until: Utc | None = None


class Verifier(Protocol):
    """Whoever can tell whether numbers and name are one person's. Made with the settings as its only argument."""

    async def verify(self, requests: Sequence[VerifyRequest]) -> Sequence[VerifyAnswer]:
        """One answer a request, in their order. Raises VerifierDown when there is none."""

    async def close(self) -> None:
        """Called once, at the end."""


def verifier_of(settings: Settings) -> Verifier | None:
    """The verifier that the settings name; None where they name none.

    Raises:
        SettingsError: it is not installed, or two are named.
    """
    if settings.verifier and settings.verifier_url:
        raise SettingsError("verifier: verifier_url names another; name one of them")
    if settings.verifier:
        own: Verifier = installed("veristream.verifiers", (settings.verifier,))[settings.verifier](settings)
        return own
    if not settings.verifier_url:
        return None
    token = settings.verifier_token.get_secret_value() if settings.verifier_token else None
    return HttpVerifier(settings.verifier_url, token=token, timeout_s=settings.verifier_timeout_s)


async def ask(verifier: Verifier, requests: Sequence[VerifyRequest]) -> Sequence[VerifyAnswer]:
    """The answers of any verifier. Errors of a platform's own may hold numbers in their text: of them only the type
    is told.

    Raises:
        VerifierDown: there are no answers.
    """
    try:
        answers = await verifier.verify(requests)
        fault = "" if len(answers) == len(requests) else "it gave too few or too many answers"
    except VerifierDown:
        raise
    except Exception as error:
        fault = f"it failed with {type(error).__name__}"
    if fault:
        raise VerifierDown(fault)
    return answers


class _Answers(msgspec.Struct):
    answers: list[VerifyAnswer]


_read = msgspec.json.Decoder(_Answers).decode


class HttpVerifier:
    """Asks a service over HTTP, many publishers at once.

    `POST url` with `{"requests": [{"publisher_id", "kind", "numbers": {kind: number}, "name"}, …]}`; the answer is
    200 with `{"answers": [{"state": "verified"|"refused", "reference", "valid_until"}, …]}`, as many, in that order.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        timeout_s: float = 5.0,
        breaker: Breaker | None = None,
        clock: Callable[[], float] = monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        cached: int = CACHED,
        cached_s: float = CACHED_S,
        gather_s: float = GATHER_S,
    ) -> None:
        self._url = url
        self._headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._breaker = breaker or Breaker(clock=clock)
        self._sleep = sleep
        self._gather_s = gather_s
        self._cache = _Cache(cached, cached_s, clock)
        self._session: aiohttp.ClientSession | None = None
        self._waiting: list[tuple[VerifyRequest, asyncio.Future[VerifyAnswer]]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._batches: set[asyncio.Task[None]] = set()

    async def verify(self, requests: Sequence[VerifyRequest]) -> Sequence[VerifyAnswer]:
        """The answers, from the cache where it has them."""
        return await asyncio.gather(*(self._one(request) for request in requests))

    async def close(self) -> None:
        """End what is under way, and the connections."""
        if self._timer:
            self._timer.cancel()
        for _, answer in self._waiting:
            answer.cancel()
        for batch in self._batches:
            batch.cancel()
        await asyncio.gather(*self._batches, return_exceptions=True)
        if self._session:
            await self._session.close()

    async def _one(self, request: VerifyRequest) -> VerifyAnswer:
        if known := self._cache.get(request):
            return known
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[VerifyAnswer] = loop.create_future()
        self._waiting.append((request, answer))
        if len(self._waiting) >= BATCH:
            self._flush()
        elif self._timer is None:
            self._timer = loop.call_later(self._gather_s, self._flush)
        return await answer

    def _flush(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        waiting, self._waiting = self._waiting, []
        if waiting:
            task = asyncio.create_task(self._settle(waiting), name="verify")
            self._batches.add(task)
            task.add_done_callback(self._batches.discard)

    async def _settle(self, waiting: list[tuple[VerifyRequest, asyncio.Future[VerifyAnswer]]]) -> None:
        requests = [request for request, _ in waiting]
        down = ""
        try:
            answers = await self._ask(requests)
        except VerifierDown as error:
            down = str(error)
        except BaseException:
            for _, future in waiting:
                future.cancel()
            raise
        for place, (request, future) in enumerate(waiting):
            if not down:
                self._cache.put(request, answers[place])
            if future.done():  # whoever asked has gone
                continue
            if down:
                # An error of its own for each: one that is raised in many tasks gathers all their tracebacks.
                future.set_exception(VerifierDown(down))
            else:
                future.set_result(answers[place])

    async def _ask(self, requests: Sequence[VerifyRequest]) -> Sequence[VerifyAnswer]:
        body = msgspec.json.encode({"requests": requests})
        wait = BACKOFF_S
        for turn in range(1, TRIES + 1):
            if not self._breaker.lets():
                raise VerifierDown("it has failed too often; it is asked again in a while")
            fault, again = "it was not asked to the end", True
            try:
                answers, fault, again = await self._post(body, len(requests))
            finally:
                # Also when cancelled: a half-open breaker waits for this very answer.
                self._breaker.note(ok=not fault)
            if not fault:
                return answers
            if not again or turn == TRIES:
                break
            await self._sleep(random.uniform(0, wait))
            wait *= 2
        log.warning("the verifier does not answer: %s", fault)
        raise VerifierDown(fault)

    async def _post(self, body: bytes, count: int) -> tuple[Sequence[VerifyAnswer], str, bool]:
        """The answers, or what is wrong and whether another try may help. Nothing is raised from inside: errors of
        the libraries carry what was sent or received."""
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=self._timeout, headers=self._headers)
        try:
            # No redirect: numbers go where the settings say, and nowhere else.
            async with self._session.post(self._url, data=body, allow_redirects=False) as response:
                if response.status != 200:
                    return (
                        (),
                        f"it answers with status {response.status}",
                        response.status in {408, 429, *range(500, 600)},
                    )
                text = await response.content.read(LARGEST_ANSWER)
                if not response.content.at_eof():
                    return (), "its answer is too large", False
        except TimeoutError:
            return (), "it takes too long", True
        except aiohttp.ClientError as error:
            return (), f"it cannot be reached ({type(error).__name__})", True
        try:
            answers = _read(text).answers
        except (msgspec.DecodeError, UnicodeDecodeError):
            return (), "its answer cannot be read", True
        if len(answers) != count:
            return (), f"it gave {len(answers)} answers to {count} questions", True
        return answers, "", True


class _Cache:
    """Answers by a digest of the question under a key that this process alone has (RFC 2104): whoever reads the
    process's memory later finds no numbers. Bounded in number and in time."""

    def __init__(self, size: int, seconds: float, clock: Callable[[], float]) -> None:
        self._size, self._seconds, self._clock = size, seconds, clock
        self._key = secrets.token_bytes(32)
        self._answers: OrderedDict[bytes, tuple[float, VerifyAnswer]] = OrderedDict()

    def get(self, request: VerifyRequest) -> VerifyAnswer | None:
        digest = self._digest(request)
        until, answer = self._answers.get(digest, (0.0, None))
        if answer is None:
            return None
        if until <= self._clock():
            del self._answers[digest]
            return None
        self._answers.move_to_end(digest)
        return answer

    def put(self, request: VerifyRequest, answer: VerifyAnswer) -> None:
        self._answers[self._digest(request)] = self._clock() + self._seconds, answer
        while len(self._answers) > self._size:
            self._answers.popitem(last=False)

    def _digest(self, request: VerifyRequest) -> bytes:
        # With the publisher: a verifier may allow a person so many accounts and no more.
        asked = msgspec.json.encode(request, order="deterministic")
        return hmac.digest(self._key, asked, hashlib.sha256)
