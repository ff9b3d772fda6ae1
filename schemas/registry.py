"""Who may publish what: publishers, providers and creation features, each from its compacted topic."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from schemas.message import Id, Message, Sha256, Utc

RealName = Literal["unverified", "verified", "expired", "revoked"]


class Publisher(Message, kw_only=True, frozen=True):
    """An account that publishes (Provisions, Art. 8). The numbers are checked for form only, never logged and never
    copied into a decision; `real_name` is what the platform's verifier found."""

    publisher_id: Id
    kind: Literal["person", "organisation"]
    real_name: RealName = "unverified"
    verified_at: Utc | None = None
    id_number: Annotated[str, msgspec.Meta(max_length=32, description="GB 11643, 18 characters")] | None = None
    organisation_code: Annotated[str, msgspec.Meta(max_length=32, description="GB 32100, 18 characters")] | None = None
    mobile: Annotated[str, msgspec.Meta(max_length=32)] | None = None


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
