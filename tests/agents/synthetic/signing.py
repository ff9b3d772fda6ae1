"""Content Credentials signed by an authority of our own, for the tests: nothing of it is a secret."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import c2pa
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

TERMS = "http://cv.iptc.org/newscodes/digitalsourcetype/"


class Authority(NamedTuple):
    """A root, and a signer's certificate and key under it, all PEM."""

    root: str
    chain: bytes
    key: bytes

    def sign(self, file: bytes, kind: str, term: str = "trainedAlgorithmicMedia") -> bytes:
        manifest = {
            "claim_generator_info": [{"name": "Test camera", "version": "1.2"}],
            "assertions": [
                {
                    "label": "c2pa.actions",
                    "data": {"actions": [{"action": "c2pa.created", "digitalSourceType": TERMS + term}]},
                }
            ],
        }
        info = c2pa.C2paSignerInfo(alg=b"es256", sign_cert=self.chain, private_key=self.key, ta_url=None)
        signed = io.BytesIO()
        with c2pa.Signer.from_info(info) as signer, c2pa.Builder(json.dumps(manifest)) as builder:
            builder.sign(signer, kind, io.BytesIO(file), signed)
        return signed.getvalue()


def authority(name: str) -> Authority:
    root_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    root = _certificate(name, root_key, None, root_key)
    leaf = _certificate(f"{name} signer", key, root, root_key)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    root_pem = root.public_bytes(Encoding.PEM)
    return Authority(root_pem.decode(), leaf.public_bytes(Encoding.PEM) + root_pem, pem)


def _certificate(name, key, issuer, issuer_key) -> x509.Certificate:
    subject = x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, name), x509.NameAttribute(NameOID.COMMON_NAME, name)]
    )
    since = datetime.now(UTC) - timedelta(days=1)
    usage = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only",
         "decipher_only"), False
    )  # fmt: skip
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(since)
        .not_valid_after(since + timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
        .add_extension(
            x509.KeyUsage(
                digital_signature=issuer is not None, key_cert_sign=issuer is None, crl_sign=issuer is None, **usage
            ),
            critical=True,
        )
    )
    if issuer is not None:
        made = made.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
    return made.sign(issuer_key, hashes.SHA256())
