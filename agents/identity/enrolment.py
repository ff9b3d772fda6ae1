"""From what a platform sends of a publisher to the publisher's row. Pure; numbers go in, and none comes out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Annotated, Literal
from unicodedata import normalize

import msgspec
from msgspec.structs import replace
from stdnum.util import clean

from agents.identity.digests import Digester
from agents.identity.enrol import facts
from agents.identity.forms import check, plain
from agents.identity.standing import marks
from agents.identity.verifier import VerifyAnswer
from schemas.message import MAX_ID, Id, Refused
from schemas.registry import Acceptance, Consent, NumberKind, Publisher

#: No identity number is longer; blanks and hyphens between its parts have room.
_Number = Annotated[str, msgspec.Meta(min_length=1, max_length=40)]
#: Characters of a number's end by which it is recognised in other fields: enough that no id holds them by chance.
_TAIL = 8
#: Sentences of msgspec that hold nothing of what was sent.
_SAFE = re.compile(
    r"(Expected `|Object missing required field `|JSON is malformed: |Input data was truncated|Invalid RFC3339)[^\n]*"
)
#: Places of our own making: what was sent may hold what looks like one.
_PLACE = re.compile(
    r"- at (?:`key` in )?`\$\.((?:kind|numbers|name|agreement|consent|devices)"
    r"(?:\.(?:version|accepted_at|reference|given_at))?)(?:\[(?:\.\.\.|\d\d?)\])?`$"
)


class Enrolment(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What is sent of a publisher. The row is replaced: what is left out is not kept from the former one."""

    kind: Literal["person", "organisation"]
    numbers: dict[NumberKind, _Number]
    #: For the verifier alone; the registry has no names.
    name: Annotated[str, msgspec.Meta(max_length=200)] = ""
    agreement: Acceptance | None = None
    consent: Consent | None = None
    devices: Annotated[tuple[Id, ...], msgspec.Meta(max_length=50)] = ()

    def __repr__(self) -> str:
        return "Enrolment(…)"


_decode = msgspec.json.Decoder(Enrolment).decode


def read(body: bytes) -> Enrolment:
    """Read what was sent.

    Raises:
        Refused: it is not of that form; the text holds no value that was sent.
    """
    try:
        given = _decode(body)
        # One spelling for form, digest and verifier: the check takes full-width digits and dashes of all kinds for the
        # plain ones, and a person must not get a digest for each.
        numbers = {kind: clean(normalize("NFKC", number), " -") for kind, number in given.numbers.items()}
        return replace(given, numbers=numbers)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        said = str(error)
    place = _PLACE.search(said)
    field = place[1] if place else ""
    sentence = said.rpartition(" - at `")[0] or said
    if missing := re.fullmatch(r"Object missing required field `(\w+)`", sentence):
        field = f"{field}.{missing[1]}" if field else missing[1]
    if not _SAFE.fullmatch(sentence):
        sentence = "it holds a word or a field that is not known here"
    raise Refused(field, sentence)


def row(publisher_id: str, given: Enrolment, digester: Digester | None, now: datetime) -> Publisher:
    """The publisher's row, unverified as yet.

    Raises:
        Refused: a number has not its form, or lies in a field that is kept.
        KeyFileError: the keys for the digests cannot be read.
    """
    if not 1 <= len(publisher_id) <= MAX_ID:
        raise Refused("publisher_id", f"it has 1 to {MAX_ID} characters")
    kept = {
        "publisher_id": [publisher_id],
        "agreement.version": [given.agreement.version] if given.agreement else [],
        "consent.reference": [given.consent.reference] if given.consent else [],
        "devices": given.devices,
    }
    for field, texts in kept.items():
        if holds(texts, given.numbers):
            raise Refused(field, "it holds an identity number; numbers belong in `numbers`, where they are not kept")
    for kind, number in given.numbers.items():
        if fault := check(kind, number, now.date()).fault:
            raise Refused(f"numbers.{kind}", fault)
    known = facts(given.numbers, now.date(), digester)
    return Publisher(
        publisher_id=publisher_id,
        kind=given.kind,
        numbers=known.numbers,
        born=known.born,
        agreement=given.agreement,
        consent=given.consent,
        devices=given.devices,
    )


def holds(texts: Iterable[str], numbers: Mapping[NumberKind, str]) -> bool:
    """Whether one of the numbers, or its end, stands in one of the texts."""
    tails = [re.sub(r"\W", "", plain(kind, number))[-_TAIL:] for kind, number in numbers.items()]
    return any(tail in re.sub(r"[\W_]", "", text).upper() for text in texts for tail in tails)


def answered(
    unverified: Publisher, answer: VerifyAnswer, verifier: str, numbers: Mapping[NumberKind, str], now: datetime
) -> Publisher:
    """The row with what the verifier found."""
    # A verifier that uses the number as its reference must not bring it into the registry.
    reference = "" if holds([answer.reference], numbers) else answer.reference
    verified = answer.state == "verified"
    return replace(
        unverified,
        real_name="verified" if verified else "unverified",
        verified_at=now if verified else None,
        verified_until=answer.valid_until if verified else None,
        verifier=verifier,
        verification=reference,
    )


def pending(unverified: Publisher, former: Publisher | None, now: datetime) -> Publisher:
    """The row while the verifier is down. It keeps when the same publisher was last verified, so that the policy's
    `grace_days` can count from there: not of one that was refused or revoked, whose time has run out, or that now
    comes with other numbers."""
    waiting = replace(unverified, real_name="pending")
    if former is None or former.real_name not in ("verified", "pending") or former.kind != unverified.kind:
        return waiting
    if former.verified_until is not None and former.verified_until <= now:
        return waiting
    before, after = ({mark for mark in marks(each) if not mark.startswith("device:")} for each in (former, unverified))
    if before and after and not before & after:
        return waiting
    return replace(waiting, verified_at=former.verified_at, verified_until=former.verified_until)
