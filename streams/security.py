"""How a client of ours shows who it is to a broker, and knows the broker: TLS and SASL, for every client alike.

The files (CA, certificate, key, password) are read again at each new connection, so that rotated ones are taken up by
a process that runs. Which connections that holds for is said where it is done.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from streams.settings import Settings

log = logging.getLogger(__name__)

#: The permission bits of everybody who is neither owner nor group: secrets mounted for a group (as Kubernetes does
#: with fsGroup) are usual, secrets for all are a mistake.
OTHERS = 0o007


def connection(settings: Settings) -> dict[str, Any]:
    """The keyword arguments with which every aiokafka client reaches the broker: where it is, TLS, SASL."""
    given: dict[str, Any] = {"bootstrap_servers": settings.broker, "security_protocol": settings.broker_protocol}
    if uses_tls(settings):
        given["ssl_context"] = _Context(settings)
    if uses_sasl(settings):
        given |= {
            "sasl_mechanism": settings.broker_mechanism,
            "sasl_plain_username": settings.broker_user,
            "sasl_plain_password": _Password(settings),
        }
    return given


def librdkafka(settings: Settings) -> dict[str, Any]:
    """The same for librdkafka, which serves the calls that aiokafka has none for. It reads the files once."""
    given: dict[str, Any] = {"bootstrap.servers": settings.broker, "security.protocol": settings.broker_protocol}
    if uses_tls(settings):
        files = {
            "ssl.ca.location": settings.broker_ca,
            "ssl.certificate.location": settings.broker_cert,
            "ssl.key.location": settings.broker_key or settings.broker_cert,
        }
        given |= {name: str(path) for name, path in files.items() if path}
    if uses_sasl(settings):
        given |= {
            "sasl.mechanism": settings.broker_mechanism,
            "sasl.username": settings.broker_user,
            "sasl.password": _password(settings),
        }
    return given


def uses_tls(settings: Settings) -> bool:
    """Whether connections to the broker are encrypted."""
    return settings.broker_protocol in {"SSL", "SASL_SSL"}


def uses_sasl(settings: Settings) -> bool:
    """Whether clients name a user to the broker."""
    return settings.broker_protocol in {"SASL_PLAINTEXT", "SASL_SSL"}


def faults(settings: Settings) -> Iterator[tuple[str, str]]:
    """What is wrong with these settings together: (setting, reason). Files are looked at as a connection would."""
    protocol = settings.broker_protocol
    for name in ("broker_ca", "broker_cert", "broker_key"):
        if getattr(settings, name) and not uses_tls(settings):
            yield name, f"broker_protocol is {protocol}, which uses no TLS: set SSL or SASL_SSL"
    for name in ("broker_user", "broker_password", "broker_password_file"):
        if getattr(settings, name) and not uses_sasl(settings):
            yield name, f"broker_protocol is {protocol}, which names no user: set SASL_SSL or SASL_PLAINTEXT"
    if uses_tls(settings):
        yield from _file_faults(settings)
    if uses_sasl(settings):
        if not settings.broker_user:
            yield "broker_user", f"broker_protocol is {protocol}, which needs one"
        if settings.broker_password and settings.broker_password_file:
            yield "broker_password_file", "broker_password is set as well: give one of the two"
        elif settings.broker_password_file:
            if reason := _unreadable(settings.broker_password_file) or _public(settings.broker_password_file):
                yield "broker_password_file", reason
            elif not _password(settings):
                yield "broker_password_file", "the file is empty"
        elif not settings.broker_password:
            yield "broker_password", f"broker_protocol is {protocol}, which needs one, or broker_password_file"


def _file_faults(settings: Settings) -> Iterator[tuple[str, str]]:
    ca, cert, key = settings.broker_ca, settings.broker_cert, settings.broker_key
    if ca:
        if reason := _unreadable(ca):
            yield "broker_ca", reason
        else:
            try:
                ssl.create_default_context(cafile=ca)
            except ssl.SSLError:
                yield "broker_ca", "the file holds no certificate in PEM"
    if key and not cert:
        yield "broker_key", "there is no broker_cert that it belongs to"
    if not cert:
        return
    pair = [("broker_cert", cert, "CERTIFICATE")]
    pair.append(("broker_key", key, "PRIVATE KEY") if key else ("broker_cert", cert, "PRIVATE KEY"))
    for name, path, what in pair:
        if reason := _unreadable(path):
            yield name, reason
            return
        held = path.read_bytes()
        if f"{what}-----".encode() not in held:
            lacks = "no private key in PEM: set broker_key" if name == "broker_cert" and not key else None
            yield name, f"the file holds {lacks or f'no {what.lower()} in PEM'}"
            return
        if b"ENCRYPTED" in held:
            yield name, "the key is encrypted: give one without a passphrase, readable by this user alone"
            return
        if what == "PRIVATE KEY" and (reason := _public(path)):
            yield name, reason
            return
    try:
        _tls(settings)
    except ssl.SSLError as error:
        yield (
            "broker_key" if key else "broker_cert",
            "it is not the key of the certificate"
            if error.reason == "KEY_VALUES_MISMATCH"
            else f"certificate and key cannot be used: {error.reason or error}",
        )


def _unreadable(path: Path) -> str | None:
    if not path.exists():
        return "there is no such file"
    try:
        path.read_bytes()
    except OSError as error:
        return f"the file cannot be read: {error.strerror}"
    return None


def _public(path: Path) -> str | None:
    if (mode := path.stat().st_mode & 0o777) & OTHERS:
        return f"everybody on this machine can read it (mode {mode:o}): chmod o= {path}"
    return None


def _tls(settings: Settings) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=settings.broker_ca)
    if settings.broker_cert:
        # Without a password OpenSSL would ask the terminal for one, and wait.
        context.load_cert_chain(settings.broker_cert, settings.broker_key, password="")
    return context


def _password(settings: Settings) -> str:
    if settings.broker_password_file:
        return settings.broker_password_file.read_text("utf-8").strip()
    return settings.broker_password.get_secret_value() if settings.broker_password else ""


class _Context(ssl.SSLContext):
    """A client's TLS context that is made again from the files for each connection.

    asyncio and uvloop call `wrap_bio` once a connection. Files that cannot be used just then (a rotation that has
    written one of two) leave the former ones in force.
    """

    def __new__(cls, settings: Settings) -> _Context:
        """A context of TLS for clients, as the files are now."""
        context = super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)
        context._settings = settings
        context._latest = _tls(settings)
        return context

    _settings: Settings
    _latest: ssl.SSLContext

    def wrap_bio(self, *given: Any, **named: Any) -> ssl.SSLObject:
        """One connection's TLS, from the files as they are now."""
        try:
            self._latest = _tls(self._settings)
        except OSError as error:  # what ssl raises is one
            log.error("the files for TLS with the broker cannot be used, the former ones stay in force: %s", error)
        return self._latest.wrap_bio(*given, **named)


class _Password(str):
    """A password that is read from its file again when it is used.

    aiokafka keeps a client's password as text for all its connections; SCRAM encodes it once a connection, and this
    is where the file is read. PLAIN joins it to the user's name, which no class can step into: there the password is
    the one of the client's start.
    """

    __slots__ = ("_settings",)

    def __new__(cls, settings: Settings) -> _Password:
        """The password as it is now."""
        password = super().__new__(cls, _password(settings))
        password._settings = settings
        return password

    _settings: Settings

    def encode(self, *given: Any, **named: Any) -> bytes:
        """The password's bytes, as it is now."""
        try:
            return _password(self._settings).encode(*given, **named)
        except OSError as error:
            log.error("the broker's password cannot be read, the former one stays in force: %s", error)
            return super().encode(*given, **named)

    def __repr__(self) -> str:
        return "'**********'"
