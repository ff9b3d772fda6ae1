"""Whoever connects knows the broker and is known to it; what is set wrong is said before anything is sent; files that
are rotated are taken up by connections that are made afterwards."""

from __future__ import annotations

import asyncio
import shutil
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvloop
from aiokafka.conn import ScramAuthenticator

from deploy.kafka.security import Authority
from streams.security import connection, librdkafka
from streams.settings import Settings, SettingsError, explain, load


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority")


@pytest.fixture
def files(authority: Authority, tmp_path: Path) -> dict[str, Path]:
    """Every kind of file that can be named, by what it is."""
    cert, key = authority.issue("client")
    _, other = authority.issue("other")
    made = {"ca": authority.certificate, "cert": cert, "key": key, "other": other, "missing": tmp_path / "missing"}
    for name, content in {
        "text": b"hello\n",
        "both": cert.read_bytes() + key.read_bytes(),
        "encrypted": b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
        "broken": b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        "password": b"secret\n",
        "empty": b"\n",
    }.items():
        made[name] = tmp_path / name
        made[name].write_bytes(content)
        made[name].chmod(0o600)
    made["public"] = tmp_path / "public"
    made["public"].write_bytes(key.read_bytes())
    made["public"].chmod(0o644)
    made["folder"] = tmp_path
    return made


SASL = {"broker_protocol": "SASL_SSL", "broker_user": "alice"}

WRONG: dict[str, tuple[dict[str, str], str, str]] = {
    "a CA without TLS": ({"broker_ca": "ca"}, "broker_ca", "broker_protocol is PLAINTEXT, which uses no TLS"),
    "a user without SASL": ({"broker_user": "alice"}, "broker_user", "broker_protocol is PLAINTEXT, which names no"),
    "a password without SASL": (
        {"broker_protocol": "SSL", "broker_password": "x"},
        "broker_password",
        "broker_protocol is SSL, which names no user",
    ),
    "no user": ({"broker_protocol": "SASL_SSL", "broker_password": "x"}, "broker_user", "which needs one"),
    "no password": (SASL, "broker_password", "needs one, or broker_password_file"),
    "two passwords": (
        SASL | {"broker_password": "x", "broker_password_file": "password"},
        "broker_password_file",
        "broker_password is set as well",
    ),
    "no password file": (SASL | {"broker_password_file": "missing"}, "broker_password_file", "there is no such file"),
    "an empty password": (SASL | {"broker_password_file": "empty"}, "broker_password_file", "the file is empty"),
    "a public password": (SASL | {"broker_password_file": "public"}, "broker_password_file", "(mode 644): chmod o="),
    "no CA": ({"broker_protocol": "SSL", "broker_ca": "missing"}, "broker_ca", "there is no such file"),
    "a CA that is none": ({"broker_protocol": "SSL", "broker_ca": "text"}, "broker_ca", "no certificate in PEM"),
    "a folder": ({"broker_protocol": "SSL", "broker_ca": "folder"}, "broker_ca", "cannot be read: Is a directory"),
    "a key alone": ({"broker_protocol": "SSL", "broker_key": "key"}, "broker_key", "there is no broker_cert"),
    "no certificate": (
        {"broker_protocol": "SSL", "broker_cert": "text", "broker_key": "key"},
        "broker_cert",
        "holds no certificate in PEM",
    ),
    "no key in it": ({"broker_protocol": "SSL", "broker_cert": "cert"}, "broker_cert", "set broker_key"),
    "no key": (
        {"broker_protocol": "SSL", "broker_cert": "cert", "broker_key": "text"},
        "broker_key",
        "holds no private key in PEM",
    ),
    "a public key": (
        {"broker_protocol": "SSL", "broker_cert": "cert", "broker_key": "public"},
        "broker_key",
        "everybody on this machine can read it",
    ),
    "another's key": (
        {"broker_protocol": "SSL", "broker_cert": "cert", "broker_key": "other"},
        "broker_key",
        "it is not the key of the certificate",
    ),
    "an encrypted key": (
        {"broker_protocol": "SSL", "broker_cert": "cert", "broker_key": "encrypted"},
        "broker_key",
        "without a passphrase",
    ),
    "a broken certificate": (
        {"broker_protocol": "SSL", "broker_cert": "broken", "broker_key": "key"},
        "broker_key",
        "certificate and key cannot be used",
    ),
}


def given(named: dict[str, str], files: dict[str, Path]) -> dict[str, Any]:
    """Settings whose file names stand for the files."""
    return {
        name: files[value] if name.endswith(("ca", "cert", "key", "file")) else value for name, value in named.items()
    }


@pytest.mark.parametrize("case", WRONG)
def test_what_is_set_wrong_is_named_with_value_reason_and_origin(case: str, files: dict[str, Path]) -> None:
    named, setting, reason = WRONG[case]
    with pytest.raises(SettingsError) as caught:
        load(**given(named, files))
    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"{setting} = " if setting != "broker_password" else "broker_password: ")
    assert reason in line
    assert line.endswith("(flag)" if setting in named else "(default)")
    if setting in named and setting != "broker_password":
        assert str(given(named, files)[setting]) in line


def test_every_fault_has_its_line(files: dict[str, Path]) -> None:
    with pytest.raises(SettingsError) as caught:
        load(broker_protocol="SASL_SSL", broker_ca=files["text"], replication=3, min_insync_replicas=4)
    assert [line.split(" ", 1)[0].rstrip(":") for line in str(caught.value).splitlines()] == [
        "min_insync_replicas", "broker_ca", "broker_user", "broker_password",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "named",
    [
        {},
        {"broker_protocol": "SSL"},
        {"broker_protocol": "SSL", "broker_ca": "ca"},
        {"broker_protocol": "SSL", "broker_ca": "ca", "broker_cert": "cert", "broker_key": "key"},
        {"broker_protocol": "SSL", "broker_ca": "ca", "broker_cert": "both"},
        SASL | {"broker_ca": "ca", "broker_password_file": "password"},
        SASL | {"broker_protocol": "SASL_PLAINTEXT", "broker_password": "x"},
    ],
)
def test_what_is_set_right_is_taken(named: dict[str, str], files: dict[str, Path]) -> None:
    settings = load(**given(named, files))
    assert connection(settings)["security_protocol"] == settings.broker_protocol
    librdkafka(settings)


def test_a_group_may_read_a_key(files: dict[str, Path]) -> None:
    files["key"].chmod(0o640)
    load(broker_protocol="SSL", broker_cert=files["cert"], broker_key=files["key"])


def test_a_variable_that_is_left_empty_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CA", "CERT", "KEY", "PASSWORD", "PASSWORD_FILE", "USER"):
        monkeypatch.setenv(f"VERISTREAM_BROKER_{name}", "")
    settings = load()
    assert settings.broker_ca is settings.broker_password is settings.broker_password_file is None


def test_the_password_is_shown_nowhere(files: dict[str, Path]) -> None:
    settings = load(**SASL, broker_password="hunter2")
    assert "hunter2" not in repr(settings)
    assert "hunter2" not in str([row.value for row in explain(settings)])
    assert "hunter2" not in repr(connection(settings))
    with pytest.raises(SettingsError) as caught:
        load(broker_protocol="SASL_SSL", broker_password="hunter2", broker_password_file=files["password"])
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("written", ["kafka://one:1,two:2", "kafka://one:1,kafka://two:2", "one:1,two:2"])
def test_a_broker_may_be_written_with_its_scheme(written: str) -> None:
    assert load(broker=written).broker == "one:1,two:2"


@pytest.mark.parametrize(
    ("replication", "in_sync"), [(1, 1), (2, 1), (3, 2), (4, 3), (5, 3)]
)  # one broker may be away, and what is acknowledged lies on most
def test_most_replicas_must_have_a_message(replication: int, in_sync: int) -> None:
    assert load(replication=replication).min_insync_replicas == in_sync
    assert load(replication=replication, min_insync_replicas=1).min_insync_replicas == 1


# Rotation.


@asynccontextmanager
async def serving(authority: Authority, *, name: str = "broker") -> AsyncIterator[int]:
    """A server with a certificate of that authority, which asks for one of it; it says who came, and closes."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=authority.certificate)
    context.load_cert_chain(*authority.issue(name))
    context.verify_mode = ssl.CERT_REQUIRED

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        subject = dict(pair[0] for pair in writer.get_extra_info("peercert")["subject"])
        writer.write(subject["commonName"].encode())
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def known_as(port: int, context: ssl.SSLContext) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    try:
        return (await reader.read()).decode()
    finally:
        writer.close()


def client(folder: Path, authority: Authority, name: str) -> Settings:
    """Settings whose files are those of that client of that authority now."""
    folder.mkdir(exist_ok=True)
    cert, key = authority.issue(name)
    for source, target in ((authority.certificate, "ca.pem"), (cert, "cert.pem"), (key, "key.pem")):
        shutil.copy(source, folder / target)
    return load(
        broker_protocol="SSL",
        broker_ca=folder / "ca.pem",
        broker_cert=folder / "cert.pem",
        broker_key=folder / "key.pem",
    )


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_rotated_certificates_are_taken_up_by_the_next_connection(tmp_path: Path, run: Callable[[Any], None]) -> None:
    old, new = Authority(tmp_path / "old"), Authority(tmp_path / "new")
    settings = client(tmp_path / "mounted", old, "first")

    async def rotate() -> None:
        context = connection(settings)["ssl_context"]  # one client keeps one
        async with serving(old) as port:
            assert await known_as(port, context) == "first"
            client(tmp_path / "mounted", old, "second")
            assert await known_as(port, context) == "second"
        async with serving(new) as port:
            with pytest.raises(ssl.SSLCertVerificationError):
                await known_as(port, context)
            client(tmp_path / "mounted", new, "third")
            assert await known_as(port, context) == "third"

    run(rotate())


async def test_files_that_are_half_rotated_leave_the_former_ones_in_force(
    tmp_path: Path, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    settings = client(tmp_path / "mounted", authority, "first")
    context = connection(settings)["ssl_context"]
    async with serving(authority) as port:
        shutil.copy(authority.issue("second")[1], tmp_path / "mounted" / "key.pem")  # its certificate is not there yet
        assert await known_as(port, context) == "first"
        assert "the former ones stay in force" in caplog.text
        shutil.copy(authority.folder / "second.pem", tmp_path / "mounted" / "cert.pem")
        assert await known_as(port, context) == "second"


async def test_a_broker_with_another_name_is_not_trusted(tmp_path: Path, authority: Authority) -> None:
    context = connection(client(tmp_path / "mounted", authority, "first"))["ssl_context"]
    async with serving(authority) as port:
        with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
            await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="elsewhere")


async def test_a_rotated_password_is_what_scram_shows_next(files: dict[str, Path]) -> None:
    settings = load(**SASL, broker_ca=files["ca"], broker_password_file=files["password"])
    password = connection(settings)["sasl_plain_password"]  # one client keeps one

    def shown() -> bytes:
        made = ScramAuthenticator(
            loop=None, sasl_plain_password=password, sasl_plain_username="alice", sasl_mechanism="SCRAM-SHA-512"
        )
        held: bytes = made._sasl_plain_password
        return held

    assert shown() == b"secret"
    files["password"].write_text("next\n")
    assert shown() == b"next"
    files["password"].unlink()
    assert shown() == b"secret"  # of the start: better than none
