"""The reference verifier: a real HTTP server on loopback that speaks the protocol of `HttpVerifier`, with faults on
demand. It verifies everybody but those whose publisher_id begins with `refuse`."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Self

from aiohttp import web

#: Faults, each for one request: how it is answered instead.
Fault = str


class ReferenceVerifier:
    """Use as an asynchronous context manager. `faults` are taken one a request; `always` stays."""

    def __init__(self) -> None:
        self.faults: deque[Fault] = deque()
        self.always: Fault | None = None
        #: The body of every request, and its headers.
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        #: What it says beside the state, by publisher_id.
        self.extra: dict[str, dict[str, Any]] = {}
        self.url = ""
        self._hang = asyncio.Event()

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.add_routes([web.post("/verify", self._verify), web.post("/elsewhere", self._verify)])
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/verify"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._hang.set()
        await self._runner.cleanup()

    async def _verify(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.asked.append(body)
        self.headers.append(dict(request.headers))
        fault = self.faults.popleft() if self.faults else self.always
        answers = [self._answer(each) for each in body["requests"]]
        match fault:
            case None:
                return web.json_response({"answers": answers})
            case "slow":
                await self._hang.wait()
            case "drop":
                assert request.transport
                request.transport.abort()
            case "malformed":
                return web.Response(text='{"answers": [' + str(body))
            case "unknown state":
                return web.json_response({"answers": [answer | {"state": "perhaps"} for answer in answers]})
            case "wrong count":
                return web.json_response({"answers": [*answers, answers[0]]})
            case "large":
                return web.Response(body=b" " * 3 * 2**20)
            case "redirect":
                raise web.HTTPTemporaryRedirect("/elsewhere")
            case status:
                # An error page that repeats what was sent, as some do.
                return web.Response(status=int(status), text=str(body))
        return web.Response(status=500)

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        name = request["publisher_id"]
        state = "refused" if name.startswith("refuse") else "verified"
        return {"state": state, "reference": f"case {name}"} | self.extra.get(name, {})
