"""Fetching over HTTP from hosts that the settings allow, and from no address that they could be made to stand for.

Server-side request forgery (OWASP) has three doors here: the URI, a redirect, and a DNS answer. The first two are held
against the list of hosts; the third against the addresses it names, which are then the ones that are connected to, so
that no second answer can differ from the one that was checked.
"""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import AsyncIterator, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import SplitResult, urljoin, urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from streams.extraction.read import ExtractFailure
from streams.settings import Settings

CHUNK = 1 << 20
#: Tries of a fetch, with a pause before each further one that doubles from this many seconds; between half of it and
#: the whole at random, so that many workers do not come back to a host all at once.
TRIES = 4
FIRST_PAUSE_S = 0.4
#: The longest wait that a host may ask for (Retry-After), in seconds; longer is as good as down.
LONGEST_WAIT_S = 20.0
#: Redirects that are followed; a store that signs its links needs one, a CDN in front of it two.
MOST_REDIRECTS = 3
#: Answers that may be others a moment later: time-out, too many requests, and everything from 500 on.
TRY_AGAIN = (408, 425, 429)


class _Broken(Exception):
    """The host did not answer, or broke off; it may be asked again after so many seconds at least."""

    def __init__(self, text: str, wait_s: float = 0.0) -> None:
        self.wait_s = wait_s
        super().__init__(text)


class Web:
    """HTTP(S) sources, over one session."""

    def __init__(self, settings: Settings) -> None:
        self._hosts = {host.lower() for host in settings.media_hosts}
        self._resolver = Pinned(settings.media_networks)
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close connections."""
        if self._session:
            await self._session.close()

    async def chunks(self, uri: str) -> AsyncIterator[bytes]:
        """The bytes that lie there. A connection that breaks is taken up again where it broke.

        Raises:
            ExtractFailure: the host is not allowed, not there, or does not have it.
        """
        got = 0
        for attempt in range(1, TRIES + 1):
            try:
                async for chunk in self._from(uri, got):
                    got += len(chunk)
                    yield chunk
                return
            except _Broken as broken:
                if attempt == TRIES:
                    raise ExtractFailure("EXTRACT-FETCH", str(broken)) from broken
                pause = FIRST_PAUSE_S * 2 ** (attempt - 1) * random.uniform(0.5, 1.0)
                await asyncio.sleep(max(pause, broken.wait_s))

    async def _from(self, uri: str, offset: int) -> AsyncIterator[bytes]:
        """The bytes from an offset on; a host that answers with all of them is passed over up to there."""
        if self._session is None:
            # The library's own limit of five minutes would end long fetches before the settings' does.
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(resolver=self._resolver),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=30.0),
            )
        # Whole bytes only: a range of what was compressed on the way would not be a range of what was read.
        headers = {"Range": f"bytes={offset}-", "Accept-Encoding": "identity"} if offset else {}
        try:
            for _ in range(MOST_REDIRECTS + 1):
                self._check(urlsplit(uri))
                async with self._session.get(uri, headers=headers, allow_redirects=False) as answer:
                    if answer.status in (301, 302, 303, 307, 308):
                        uri = _redirected(uri, answer)
                        continue
                    _check_status(answer, offset)
                    skip = offset if answer.status == 200 else 0
                    async for chunk in answer.content.iter_chunked(CHUNK):
                        if kept := chunk[skip:]:
                            yield kept
                        skip = max(0, skip - len(chunk))
                    return
            raise ExtractFailure("EXTRACT-FETCH", f"the host redirects more than {MOST_REDIRECTS} times")
        except aiohttp.ClientError as error:
            if isinstance(forbidden := error.__cause__, Forbidden):
                raise ExtractFailure("EXTRACT-FORBIDDEN", str(forbidden)) from error
            raise _Broken(f"the host cannot be reached, or broke off: {type(error).__name__}") from error

    def _check(self, parts: SplitResult) -> None:
        if (parts.hostname or "") not in self._hosts and parts.netloc.lower() not in self._hosts:
            raise ExtractFailure("EXTRACT-FORBIDDEN", f"host {parts.netloc!r} is not allowed (VERISTREAM_MEDIA_HOSTS)")


def _redirected(uri: str, answer: aiohttp.ClientResponse) -> str:
    target = urljoin(uri, answer.headers.get("Location", ""))
    scheme = urlsplit(target).scheme
    if scheme not in ("http", "https") or (uri.startswith("https:") and scheme != "https"):
        raise ExtractFailure("EXTRACT-FORBIDDEN", f"the host redirects from {urlsplit(uri).scheme} to {scheme or '?'}")
    return target


def _check_status(answer: aiohttp.ClientResponse, offset: int) -> None:
    if answer.status == 200 or (answer.status == 206 and offset and _begins_at(answer, offset)):
        return
    text = f"the host answered {answer.status} {answer.reason}"
    if answer.status >= 500 or answer.status in TRY_AGAIN:
        asked = answer.headers.get("Retry-After", "")
        raise _Broken(text, min(float(asked), LONGEST_WAIT_S) if asked.isdecimal() else 0.0)
    raise ExtractFailure("EXTRACT-FETCH", text)


def _begins_at(answer: aiohttp.ClientResponse, offset: int) -> bool:
    return answer.headers.get("Content-Range", "").startswith(f"bytes {offset}-")


class Forbidden(OSError):
    """A name stands for an address that media must not come from."""


class Pinned(AbstractResolver):
    """Resolves names, and refuses the addresses by which a name can be turned against us.

    Refused are this machine, the link (169.254.169.254 is where clouds keep credentials), and what is no host's
    address; `allowed` names networks to be let through all the same. Addresses written out in the list of hosts, and
    localhost, are the operator's own word and do not come by here. Private networks are where stores are: let through.
    """

    def __init__(self, allowed: Sequence[str]) -> None:
        self._allowed = [ip_network(network) for network in allowed]

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The addresses of a host, each of them checked.

        Raises:
            Forbidden: one of them is refused. One is enough: which is used is chance.
        """
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, family=family)
        results: list[ResolveResult] = []
        for family_, _, proto, _, address in found:
            ip = str(address[0]).partition("%")[0]
            if host != "localhost" and not self._may(ip_address(ip)):
                raise Forbidden(f"{host} stands for {ip}, which media must not come from (VERISTREAM_MEDIA_NETWORKS)")
            results.append(
                ResolveResult(
                    hostname=host,
                    host=ip,
                    port=port,
                    family=family_,
                    proto=proto,
                    flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
                )
            )
        return results

    def _may(self, ip: IPv4Address | IPv6Address) -> bool:
        if isinstance(ip, IPv6Address):
            # The same address in other clothes: mapped, 6to4, Teredo, and NAT64's well-known prefix (RFC 6052).
            inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo or (None, None))[1]
            if inner is None and ip in ip_network("64:ff9b::/96"):
                inner = IPv4Address(int(ip) & 0xFFFFFFFF)
            if inner is not None and not self._may(inner):
                return False
        if any(ip in network for network in self._allowed):
            return True
        return not (ip.is_loopback or ip.is_link_local or ip.is_multicast or ip.is_unspecified or ip.is_reserved)

    async def close(self) -> None:
        """Nothing to close."""
