"""The first contact with a broker: a bare connection, and why there is none in words that say what to set."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka.conn import AIOKafkaConnection, create_conn
from aiokafka.errors import (
    AuthenticationFailedError,
    IllegalSaslStateError,
    IncompatibleBrokerVersion,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.admin import ApiVersionRequest
from aiokafka.protocol.metadata import MetadataRequest

from streams.security import connection, uses_tls
from streams.settings import Settings

#: For connecting, TLS and SASL, and for each answer: a broker far away and under load takes a few seconds.
TIMEOUT_S = 10.0
#: What is asked of a broker beyond the beginnings of Kafka's protocol: (number, least version) → what for. All of it is
#: in Apache Kafka from 2.3 on.
NEEDED = {
    (0, 3): "messages with headers and producers' ids (Produce)",
    (11, 5): "members that keep their place (JoinGroup)",
    (22, 0): "idempotent producers (InitProducerId)",
    (44, 0): "single entries of configuration (IncrementalAlterConfigs)",
}
OLDEST = "Apache Kafka 2.3"
#: Kafka's own, where the setting names none.
DEFAULT_PORT = 9092


class KafkaUnusable(RuntimeError):
    """The broker is not there, or not as it must be; the text says what to do."""


@asynccontextmanager
async def contact(settings: Settings) -> AsyncIterator[AIOKafkaConnection]:
    """A bare connection to the first bootstrap server that takes one.

    Raises:
        KafkaUnusable: none does; the text has the reason of each.
    """
    reasons = []
    for server in settings.broker.split(","):
        try:
            conn = await _connected(server, settings)
        except (OSError, EOFError, KafkaError, TimeoutError, ValueError, NotImplementedError) as error:
            reasons.append(_reason(error, server, settings))
            continue
        try:
            yield conn
        finally:
            conn.close()
        return
    raise KafkaUnusable("; ".join(dict.fromkeys(reasons)))


async def _connected(server: str, settings: Settings) -> AIOKafkaConnection:
    host, port = _address(server)
    given: dict[str, Any] = connection(settings)
    del given["bootstrap_servers"]
    # A server that expects TLS and is sent none may keep silent: the whole of it has a time-out, not each step alone.
    async with asyncio.timeout(TIMEOUT_S):
        conn = await create_conn(host, port, request_timeout_ms=int(TIMEOUT_S * 1000), **given)
        try:
            # A listener that asks for SASL closes only when it is asked for something without.
            await conn.send(MetadataRequest([]))
        except BaseException:
            conn.close()
            raise
        return conn


def _address(server: str) -> tuple[str, int]:
    host, colon, port = server.rpartition(":")
    if not colon or server.endswith("]"):
        return server.strip("[]"), DEFAULT_PORT
    return host.strip("[]"), int(port)


async def metadata(settings: Settings, names: Sequence[str] | None) -> dict[str, Any]:
    """Brokers and these topics (None: all that may be seen) as the broker describes them; a topic that is not there is
    never created by asking.

    Raises:
        KafkaUnusable: no broker answers.
    """
    async with contact(settings) as conn:
        answer = await conn.send(MetadataRequest(None if names is None else list(names), False))
    found: dict[str, Any] = answer.to_object()
    return found


async def lacks(settings: Settings) -> list[str]:
    """What a broker that is too old cannot do; empty for one that is not.

    Raises:
        KafkaUnusable: no broker answers.
    """
    async with contact(settings) as conn:
        answer = await conn.send(ApiVersionRequest())
    newest = {key: highest for key, _, highest in answer.api_versions}
    return [what for (key, version), what in NEEDED.items() if newest.get(key, -1) < version]


def _reason(error: Exception, server: str, settings: Settings) -> str:
    protocol = settings.broker_protocol
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"the certificate of the broker at {server} is not trusted: {error.verify_message}. Name the CA "
            "that signed it with VERISTREAM_BROKER_CA, and the broker by a name that its certificate has"
        )
    if isinstance(error, ssl.SSLError):
        return (
            f"TLS with {server} failed ({error.reason or error}): is it a port for TLS, as "
            f"VERISTREAM_BROKER_PROTOCOL = {protocol} says, and does it ask for a certificate (VERISTREAM_BROKER_CERT)?"
        )
    if isinstance(error, IncompatibleBrokerVersion | NotImplementedError):
        return f"{server} speaks no version of Kafka's protocol that is spoken here ({error}): use {OLDEST} or later"
    if isinstance(error, UnsupportedSaslMechanismError):
        return f"{server} does not take {settings.broker_mechanism}: set VERISTREAM_BROKER_MECHANISM to what it takes"
    if isinstance(error, AuthenticationFailedError | SaslAuthenticationFailed):
        return (
            f"{server} refuses user {settings.broker_user!r} with {settings.broker_mechanism}: {_text(error)}. Correct "
            "VERISTREAM_BROKER_USER and the password"
        )
    if isinstance(error, IllegalSaslStateError):
        other = "SSL" if uses_tls(settings) else "PLAINTEXT"
        return f"{server} takes no SASL there: set VERISTREAM_BROKER_PROTOCOL to {other}"
    if isinstance(error, ConnectionRefusedError | socket.gaierror) or (
        isinstance(error, OSError) and not isinstance(error, ConnectionError | TimeoutError)
    ):
        what = "its name is not known" if isinstance(error, socket.gaierror) else "start one"
        return (
            f"no Kafka broker answers at {server}: {what} (`veristream up` brings its own) "
            "or name yours with --broker or VERISTREAM_BROKER"
        )
    asks = " If it asks for a certificate, name one with VERISTREAM_BROKER_CERT" if _lacks_certificate(settings) else ""
    return (
        f"{server} answers, but not as VERISTREAM_BROKER_PROTOCOL = {protocol} says ({_text(error)}): set the protocol "
        f"of that port (PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL), or name another.{asks}"
    )


def _lacks_certificate(settings: Settings) -> bool:
    # With TLS 1.3 a server refuses a client without one only after the handshake, by closing.
    return uses_tls(settings) and not settings.broker_cert


def _text(error: Exception) -> str:
    # aiokafka's errors say their class and number first: "[Error 58] SaslAuthenticationFailed: …".
    return str(error).partition(": ")[2].rstrip(".") or str(error) or type(error).__name__
