"""What makes a cluster secure: its own authority, certificates, the admin's password, the brokers' settings."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.kafka.jars import KafkaError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.x509 import CertificateBuilder, KeyUsage, Name

MECHANISM = "SCRAM-SHA-512"
#: Both may do everything: the one by its password, the brokers among themselves by their certificates.
ADMIN, BROKER = "admin", "broker"
#: The authority stays as long as anybody keeps a folder for trying things; the others are made anew at each start.
AUTHORITY_LIFE = timedelta(days=3650)
CERTIFICATE_LIFE = timedelta(days=365)
#: Clocks of virtual machines drift; a certificate that is valid from this second on would be refused by some.
BACKDATED = timedelta(hours=1)


class Authority:
    """A certificate authority in a folder, made at first use."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.certificate = folder / "ca.pem"
        self.password_file = folder / f"{ADMIN}.password"
        self._key = folder / "ca.key"
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        if not self._key.exists():
            self._create()
        if not self.password_file.exists():
            write_secret(self.password_file, secrets.token_urlsafe(24).encode())

    @property
    def password(self) -> str:
        """The admin's."""
        return self.password_file.read_text("ascii").strip()

    def issue(self, name: str) -> tuple[Path, Path]:
        """A certificate with its key for a user of that name, on this machine only: the files (certificate, key)."""
        from cryptography import x509
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
        from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

        authority = x509.load_pem_x509_certificate(self.certificate.read_bytes())
        signer = load_pem_private_key(self._key.read_bytes(), None)
        key, builder = _begin(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), CERTIFICATE_LIFE)
        names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))])
        usages = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
        made = _sign(
            builder.issuer_name(authority.subject)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(names, critical=False)
            .add_extension(usages, critical=False),
            signer,  # type: ignore[arg-type]
        )
        cert_file, key_file = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        cert_file.write_bytes(made)
        write_secret(key_file, _pem(key))
        return cert_file, key_file

    def key_store(self, name: str) -> Path:
        """A certificate with its key in one file, as a broker reads it."""
        cert, key = self.issue(name)
        store = self.folder / f"{name}.store.pem"
        write_secret(store, key.read_bytes() + cert.read_bytes())
        return store

    def _create(self) -> None:
        try:
            from cryptography import x509
            from cryptography.x509.oid import NameOID
        except ImportError:
            raise KafkaError(
                "a secure cluster makes certificates with the package `cryptography`: pip install 'veristream[kafka]'"
            ) from None
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Veristream, this machine only")])
        key, builder = _begin(subject, AUTHORITY_LIFE)
        made = _sign(
            builder.issuer_name(subject)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_signs(), critical=True),
            key,
        )
        self.certificate.write_bytes(made)
        write_secret(self._key, _pem(key))

    def properties(self, port: int, tls_port: int, controller: int, store: Path) -> dict[str, str]:
        """The settings of a broker that lets in who has a password (`port`) or a certificate (`tls_port`)."""
        listener = f"listener.name.sasl_ssl.{MECHANISM.lower()}"
        return {
            "listeners": (
                f"SASL_SSL://127.0.0.1:{port},SSL://127.0.0.1:{tls_port},CONTROLLER://127.0.0.1:{controller}"
            ),
            "listener.security.protocol.map": "SASL_SSL:SASL_SSL,SSL:SSL,CONTROLLER:SSL",
            # Controllers take no SCRAM, and a broker's certificate needs no password in a file.
            "inter.broker.listener.name": "SSL",
            "sasl.enabled.mechanisms": MECHANISM,
            f"{listener}.sasl.jaas.config": "org.apache.kafka.common.security.scram.ScramLoginModule required;",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(store),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self.certificate),
            "listener.name.ssl.ssl.client.auth": "required",
            "listener.name.controller.ssl.client.auth": "required",
            "ssl.principal.mapping.rules": "RULE:^CN=([^,]+)$/$1/,DEFAULT",
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "allow.everyone.if.no.acl.found": "false",
            "super.users": f"User:{ADMIN};User:{BROKER}",
        }


def write_secret(path: Path, content: bytes) -> None:
    """Write a file that its owner alone can read, from its first byte on."""
    path.unlink(missing_ok=True)
    path.touch(0o600)
    path.write_bytes(content)


def _begin(subject: Name, life: timedelta) -> tuple[EllipticCurvePrivateKey, CertificateBuilder]:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + life)
    )
    return key, builder


def _signs() -> KeyUsage:
    from cryptography.x509 import KeyUsage

    return KeyUsage(
        digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _sign(builder: CertificateBuilder, key: EllipticCurvePrivateKey) -> bytes:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.serialization import Encoding

    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


def _pem(key: EllipticCurvePrivateKey) -> bytes:
    """PKCS#8 in the clear: the one form that Kafka reads."""
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
