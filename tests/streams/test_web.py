"""HTTP media comes from allowed hosts only, by whatever door, and survives what networks do."""

from __future__ import annotations

import asyncio
import gzip
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from fetching import CONTENT, Fetching, media

from deploy.embedded import free_port
from streams.extraction.read import ExtractFailure
from streams.extraction.web import MOST_REDIRECTS, TRIES, Forbidden, Pinned, _redirected


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.extraction.web.FIRST_PAUSE_S", 0.0)


class Host:
    """An HTTP server that answers as its paths say, and counts."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.ranges: list[int] = []
        self.gone = asyncio.Event()
        app = web.Application()
        app.router.add_get("/{how}", self._answer)
        self.server = TestServer(app)

    def uri(self, how: str) -> str:
        return f"http://127.0.0.1:{self.server.port}/{how}"

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        how = request.match_info["how"]
        self.asked.append(how)
        answer = getattr(self, "_" + how)
        return await answer(request)

    async def _ok(self, _: web.Request) -> web.Response:
        return web.Response(body=CONTENT)

    async def _missing(self, _: web.Request) -> web.Response:
        return web.Response(status=404)

    async def _moved(self, _: web.Request) -> web.Response:
        raise web.HTTPFound("/ok")

    async def _away(self, _: web.Request) -> web.Response:
        raise web.HTTPFound(f"http://localhost:{self.server.port}/ok")

    async def _to_file(self, _: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": "file:///etc/hostname"})

    async def _to_nothing(self, _: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": "mailto:nobody"})

    async def _round(self, _: web.Request) -> web.Response:
        raise web.HTTPFound("/round")

    async def _busy(self, _: web.Request) -> web.Response:
        if len(self.asked) > 1:
            return web.Response(body=CONTENT)
        return web.Response(status=429, headers={"Retry-After": "7"})

    async def _resumed(self, request: web.Request) -> web.StreamResponse:
        """Five bytes a connection, from wherever it is asked."""
        begin = request.http_range.start or 0
        self.ranges.append(begin)
        headers = {"Content-Length": str(len(CONTENT) - begin)}
        if begin:
            headers["Content-Range"] = f"bytes {begin}-{len(CONTENT) - 1}/{len(CONTENT)}"
        answer = web.StreamResponse(status=206 if begin else 200, headers=headers)
        await answer.prepare(request)
        await answer.write(CONTENT[begin : begin + 7])
        if begin + 7 < len(CONTENT):
            assert request.transport
            request.transport.close()
        return answer

    async def _from_the_start(self, request: web.Request) -> web.StreamResponse:
        """Knows no ranges; breaks off once."""
        if len(self.asked) > 1:
            return web.Response(body=CONTENT)
        return await self._broken(request)

    async def _other_range(self, request: web.Request) -> web.StreamResponse:
        if len(self.asked) > 1:
            headers = {"Content-Range": f"bytes 0-{len(CONTENT) - 1}/{len(CONTENT)}"}
            return web.Response(status=206, body=CONTENT, headers=headers)
        return await self._broken(request)

    async def _down(self, _: web.Request) -> web.Response:
        return web.Response(status=503)

    async def _recovering(self, _: web.Request) -> web.Response:
        return web.Response(body=CONTENT) if len(self.asked) > 2 else web.Response(status=500)

    async def _partial(self, _: web.Request) -> web.Response:
        return web.Response(status=206, body=CONTENT)

    async def _slow(self, _: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    async def _dripping(self, request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        for byte in CONTENT:
            await answer.write(bytes([byte]))
            await asyncio.sleep(0.02)
        return answer

    async def _broken(self, request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Length": str(len(CONTENT))})
        await answer.prepare(request)
        await answer.write(CONTENT[:5])
        assert request.transport
        request.transport.close()
        return answer

    async def _endless(self, request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        try:
            while True:
                await answer.write(bytes(100_000))
        finally:
            self.gone.set()

    async def _compressed(self, _: web.Request) -> web.Response:
        return web.Response(body=gzip.compress(CONTENT), headers={"Content-Encoding": "gzip"})


@pytest.fixture
async def host() -> AsyncIterator[Host]:
    host = Host()
    await host.server.start_server()
    yield host
    await host.server.close()


@pytest.mark.parametrize("allowed", ["127.0.0.1", "127.0.0.1:{port}", "other, 127.0.0.1"])
async def test_an_allowed_host_is_fetched_from(fetching: Callable[..., Fetching], host: Host, allowed: str) -> None:
    one = fetching(media_hosts=allowed.format(port=host.server.port))
    assert await one.content(media(host.uri("ok"))) == CONTENT
    assert host.asked == ["ok"]


@pytest.mark.parametrize("allowed", ["", "other", "127.0.0.1:1", "127.0.0", "27.0.0.1"])
async def test_a_host_that_is_not_allowed_is_not_asked(
    fetching: Callable[..., Fetching], host: Host, allowed: str
) -> None:
    found = await fetching(media_hosts=allowed).failure(media(host.uri("ok")))
    assert found.code == "EXTRACT-FORBIDDEN"
    assert host.asked == []


@pytest.mark.parametrize("form", ["http://allowed@127.0.0.1:{port}/ok", "http://allowed:80@127.0.0.1:{port}/ok"])
async def test_a_user_is_not_taken_for_a_host(fetching: Callable[..., Fetching], host: Host, form: str) -> None:
    found = await fetching(media_hosts="allowed").failure(media(form.format(port=host.server.port)))
    assert found.code == "EXTRACT-FORBIDDEN"
    assert host.asked == []


async def test_a_host_is_the_same_in_any_case(fetching: Callable[..., Fetching], host: Host) -> None:
    uri = host.uri("ok").replace("127.0.0.1", "LOCALHOST")
    assert await fetching(media_hosts="LocalHost").content(media(uri)) == CONTENT


async def test_a_redirect_to_an_allowed_host_is_followed(fetching: Callable[..., Fetching], host: Host) -> None:
    assert await fetching(media_hosts="127.0.0.1").content(media(host.uri("moved"))) == CONTENT
    assert host.asked == ["moved", "ok"]


async def test_a_redirect_to_another_host_is_forbidden_and_that_host_not_asked(
    fetching: Callable[..., Fetching], host: Host
) -> None:
    # The same server under a name that is not in the list.
    found = await fetching(media_hosts="127.0.0.1").failure(media(host.uri("away")))
    assert (found.code, "localhost" in found.text) == ("EXTRACT-FORBIDDEN", True)
    assert host.asked == ["away"]


@pytest.mark.parametrize("how", ["to_file", "to_nothing"])
async def test_a_redirect_out_of_the_web_is_forbidden(
    fetching: Callable[..., Fetching], host: Host, how: str, tmp_path: Path
) -> None:
    found = await fetching(media_hosts="127.0.0.1", media_roots="/").failure(media(host.uri(how)))
    assert (found.code, "redirects from http to" in found.text) == ("EXTRACT-FORBIDDEN", True)


def test_a_redirect_does_not_lead_out_of_tls() -> None:
    class Answer:
        headers = {"Location": "http://media.example/clip.mp4"}

    with pytest.raises(ExtractFailure, match="from https to http"):
        _redirected("https://media.example/clip.mp4", Answer())  # type: ignore[arg-type]


async def test_redirects_without_end_are_given_up(fetching: Callable[..., Fetching], host: Host) -> None:
    found = await fetching(media_hosts="127.0.0.1").failure(media(host.uri("round")))
    assert (found.code, "redirects more than" in found.text) == ("EXTRACT-FETCH", True)
    assert host.asked == ["round"] * (MOST_REDIRECTS + 1)


@pytest.mark.parametrize(("how", "status"), [("missing", "404"), ("partial", "206")])
async def test_an_answer_that_trying_again_would_not_change_is_final(
    fetching: Callable[..., Fetching], host: Host, how: str, status: str
) -> None:
    found = await fetching(media_hosts="127.0.0.1").failure(media(host.uri(how)))
    assert (found.code, status in found.text) == ("EXTRACT-FETCH", True)
    assert host.asked == [how]


async def test_a_host_that_fails_is_asked_again(fetching: Callable[..., Fetching], host: Host) -> None:
    assert await fetching(media_hosts="127.0.0.1").content(media(host.uri("recovering"))) == CONTENT
    assert len(host.asked) == 3


async def test_a_host_that_goes_on_failing_is_given_up(fetching: Callable[..., Fetching], host: Host) -> None:
    found = await fetching(media_hosts="127.0.0.1").failure(media(host.uri("down")))
    assert (found.code, "503" in found.text) == ("EXTRACT-FETCH", True)
    assert len(host.asked) == TRIES


async def test_a_host_is_left_alone_for_as_long_as_it_asks(
    fetching: Callable[..., Fetching], host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr("streams.extraction.web.asyncio", SimpleNamespace(sleep=pause))
    assert await fetching(media_hosts="127.0.0.1").content(media(host.uri("busy"))) == CONTENT
    assert pauses == [7.0]


async def test_a_host_that_is_not_there_cannot_be_fetched_from(fetching: Callable[..., Fetching]) -> None:
    found = await fetching(media_hosts="127.0.0.1").failure(media(f"http://127.0.0.1:{free_port()}/clip.mp4"))
    assert found.code == "EXTRACT-FETCH"


@pytest.mark.parametrize("how", ["slow", "dripping"])
async def test_a_host_that_is_too_slow_is_given_up(fetching: Callable[..., Fetching], host: Host, how: str) -> None:
    found = await fetching(media_hosts="127.0.0.1", fetch_timeout_s=0.1).failure(media(host.uri(how)))
    assert (found.code, "longer than" in found.text) == ("EXTRACT-FETCH", True)


async def test_only_the_settings_limit_how_long_a_fetch_takes(
    fetching: Callable[..., Fetching], host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The HTTP library gives up after five minutes by itself.
    monkeypatch.setattr("aiohttp.client.DEFAULT_TIMEOUT", aiohttp.ClientTimeout(total=0.1))
    assert await fetching(media_hosts="127.0.0.1").content(media(host.uri("dripping"))) == CONTENT


async def test_a_connection_that_always_breaks_is_not_taken_for_the_end(
    fetching: Callable[..., Fetching], host: Host
) -> None:
    found = await fetching(media_hosts="127.0.0.1").failure(media(host.uri("broken")))
    assert (found.code, "broke off" in found.text) == ("EXTRACT-FETCH", True)
    assert host.asked == ["broken"] * TRIES


async def test_a_connection_that_breaks_is_taken_up_where_it_broke(
    fetching: Callable[..., Fetching], host: Host
) -> None:
    assert await fetching(media_hosts="127.0.0.1").content(media(host.uri("resumed"))) == CONTENT
    assert host.ranges == [0, 7, 14]


async def test_a_host_without_ranges_is_read_again_from_the_start(
    fetching: Callable[..., Fetching], host: Host
) -> None:
    assert await fetching(media_hosts="127.0.0.1").content(media(host.uri("from_the_start"))) == CONTENT


async def test_a_range_that_was_not_asked_for_is_refused(fetching: Callable[..., Fetching], host: Host) -> None:
    found = await fetching(media_hosts="127.0.0.1").failure(media(host.uri("other_range")))
    assert (found.code, "206" in found.text) == ("EXTRACT-FETCH", True)


async def test_what_has_more_bytes_than_stated_is_not_read_to_its_end(
    fetching: Callable[..., Fetching], host: Host
) -> None:
    failure = await fetching(media_hosts="127.0.0.1").failure(media(host.uri("endless"), bytes=1_000_000))
    await asyncio.wait_for(host.gone.wait(), 5)  # while the failure, and all that hangs on it, is still there
    assert failure.code == "EXTRACT-MISMATCH"


async def test_bytes_are_counted_as_they_lie_there_not_as_they_were_sent(
    fetching: Callable[..., Fetching], host: Host
) -> None:
    assert await fetching(media_hosts="127.0.0.1").content(media(host.uri("compressed"))) == CONTENT


# What a name stands for.

TURNED_AGAINST_US = (
    "127.0.0.1", "127.8.9.1", "169.254.169.254", "0.0.0.0", "224.0.0.1", "240.0.0.1", "255.255.255.255",
    "::1", "::", "fe80::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "2002:7f00:1::",
    "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe",
)  # fmt: skip
STORES = ("10.1.2.3", "192.168.0.9", "172.16.4.5", "203.0.114.7", "2a00:1450::1", "fd00::7")


def answering(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Have every name stand for these."""

    async def getaddrinfo(_: Any, host: str, port: int, **__: Any) -> list[Any]:
        return [(socket.AF_INET6 if ":" in ip else socket.AF_INET, 1, 6, "", (ip, port)) for ip in addresses]

    monkeypatch.setattr("asyncio.base_events.BaseEventLoop.getaddrinfo", getaddrinfo)


@pytest.mark.parametrize("address", TURNED_AGAINST_US)
async def test_a_name_for_this_machine_or_its_link_is_refused(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    answering(monkeypatch, "10.1.2.3", address)
    with pytest.raises(Forbidden, match="VERISTREAM_MEDIA_NETWORKS"):
        await Pinned(()).resolve("media.example", 80)


@pytest.mark.parametrize("address", STORES)
async def test_a_name_for_a_store_gives_its_address_to_connect_to(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    answering(monkeypatch, address)
    (found,) = await Pinned(()).resolve("media.example", 80)
    assert (found["host"], found["port"], found["flags"] & socket.AI_NUMERICHOST) == (
        address,
        80,
        socket.AI_NUMERICHOST,
    )


async def test_a_network_may_be_let_through(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, "127.0.0.1")
    assert await Pinned(("127.0.0.0/8",)).resolve("media.example", 80)
    with pytest.raises(Forbidden):
        await Pinned(("169.254.0.0/16",)).resolve("media.example", 80)


async def test_an_allowed_name_that_stands_for_this_machine_is_forbidden_and_not_asked(
    fetching: Callable[..., Fetching], host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(monkeypatch, "127.0.0.1")
    uri = f"http://media.example:{host.server.port}/ok"
    found = await fetching(media_hosts="media.example").failure(media(uri))
    assert (found.code, "127.0.0.1" in found.text) == ("EXTRACT-FORBIDDEN", True)
    assert host.asked == []
    assert await fetching(media_hosts="media.example", media_networks="127.0.0.0/8").content(media(uri)) == CONTENT
