"""Who may publish what: publishers, providers and creation features, each from its compacted topic."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from schemas.message import MAX_ID, Id, Message, Sha256, Utc

#: pending: the verifier was asked and has not answered.
RealName = Literal["unverified", "pending", "verified", "expired", "revoked"]
NumberKind = Literal["id_number", "organisation_code", "mobile", "passport", "permit"]


class IdentityNumber(Message, kw_only=True, frozen=True):
    """What is known of a number, and never the number: its form, and a keyed digest by which it is recognised."""

    kind: NumberKind
    form: Annotated[Literal["valid", "invalid"], msgspec.Meta(description="by its check digits and pattern")]
    digest: Annotated[Sha256 | None, msgspec.Meta(description="HMAC-SHA-256 under the platform's key")] = None
    key_id: Annotated[Id | None, msgspec.Meta(description="which key")] = None


class Acceptance(Message, kw_only=True, frozen=True):
    """That a version of the service agreement was accepted (Provisions, Art. 14)."""

    version: Id
    accepted_at: Utc


class Consent(Message, kw_only=True, frozen=True):
    """A guardian's consent to a minor's publishing, by the platform's reference."""

    reference: Id
    given_at: Utc


class Publisher(Message, kw_only=True, frozen=True):
    """An account that publishes (Provisions, Art. 8). No number lies here: whoever holds one checks it in memory and
    sends what was found, by `veristream publisher put` or the registrar."""

    publisher_id: Id
    kind: Literal["person", "organisation"]
    real_name: Annotated[RealName, msgspec.Meta(description="what the verifier found")] = "unverified"
    verified_at: Utc | None = None
    verified_until: Utc | None = None
    verifier: Annotated[str, msgspec.Meta(max_length=MAX_ID)] = ""
    verification: Annotated[str, msgspec.Meta(max_length=MAX_ID, description="the verifier's reference")] = ""
    numbers: tuple[IdentityNumber, ...] = ()
    born: Annotated[
        Annotated[str, msgspec.Meta(pattern=r"^(19|20)\d\d-(0[1-9]|1[0-2])$", max_length=7)] | None,
        msgspec.Meta(description="year and month only, enough for an age class"),
    ] = None
    consent: Annotated[Consent | None, msgspec.Meta(description="of a minor's guardian")] = None
    agreement: Acceptance | None = None
    devices: Annotated[tuple[Id, ...], msgspec.Meta(max_length=50, description="digests of its devices")] = ()


class Licence(Message, kw_only=True, frozen=True):
    """A permit that lets a provider run services of some kinds (Provisions, Art. 6)."""

    kind: Id
    number: Id
    services: Annotated[tuple[Id, ...], msgspec.Meta(min_length=1, description="services it covers; `*`: all")]
    expires_at: Utc | None = None


class Provider(Message, kw_only=True, frozen=True):
    """A service that carries content."""

    provider_id: Id
    name: str
    licences: tuple[Licence, ...] = ()


class Assessment(Message, kw_only=True, frozen=True):
    """The record of a safety assessment (Provisions, Art. 10)."""

    assessor: Id
    report_sha256: Sha256
    assessed_at: Utc
    valid_until: Utc


class Feature(Message, kw_only=True, frozen=True):
    """A creation feature with deep learning or virtual reality in it, and its safety assessment."""

    feature_id: Id
    name: str
    assessment: Assessment | None = None
