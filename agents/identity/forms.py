"""The form of identity numbers (Provisions, Art. 8): whether a number can be one, never whose it is. Pure.

Whoever holds a number checks it here, in memory, and passes on what was found: `Form`, with no number in it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Literal

import phonenumbers
import stdnum.cn.ric
import stdnum.cn.uscc

#: Passports and permits have no check digit that the form shows: letters and digits of the lengths that ICAO Doc 9303
#: allows a document number.
_PASSPORT = re.compile(r"[A-Z0-9]{6,9}")
#: Permits of residents of Hong Kong and Macao (H or M and 8 or 10 digits) and of Taiwan (8 or 10 digits), and the
#: permanent residence identity card of foreigners (3 letters and 12 digits).
_PERMIT = re.compile(r"[HM]\d{8}(?:\d{2})?|\d{8}(?:\d{2})?|[A-Z]{3}\d{12}")


@dataclass(frozen=True, slots=True)
class Form:
    """What the form of a number shows. `fault` is empty for a number that can be one; `born` only where it says so."""

    fault: str = ""
    born: date | None = None

    @property
    def word(self) -> Literal["valid", "invalid"]:
        """As `IdentityNumber` says it."""
        return "invalid" if self.fault else "valid"


def check(kind: str, number: str, today: date) -> Form:
    """The form of a number of this kind. KeyError for a kind that is not in `KINDS`."""
    return _CHECKS[kind](number.strip(), today)


def plain(kind: str, number: str) -> str:
    """The one spelling of a number that is digested, so that the same number gives the same digest."""
    bare = re.sub(r"[\s\-]", "", number).upper()
    if kind != "mobile":
        return bare
    try:
        return phonenumbers.format_number(phonenumbers.parse(number, "CN"), phonenumbers.PhoneNumberFormat.E164)
    except phonenumbers.NumberParseException:
        return bare


def _id_number(number: str, today: date) -> Form:
    if not stdnum.cn.ric.is_valid(number):
        return Form("it fails the check of GB 11643")
    born: date = stdnum.cn.ric.get_birth_date(number)
    if born > today:
        return Form("its birth date lies in the future")
    return Form(born=born)


def _organisation_code(number: str, _: date) -> Form:
    return Form() if stdnum.cn.uscc.is_valid(number) else Form("it fails the check of GB 32100")


def _mobile(number: str, _: date) -> Form:
    """Any country's mobile number, written with its country code; without one it is taken for a number of mainland
    China."""
    try:
        parsed = phonenumbers.parse(number if number.isascii() else "", "CN")  # digits of another width ring nobody
    except phonenumbers.NumberParseException:
        return Form("it is not a telephone number")
    if not phonenumbers.is_valid_number(parsed):
        return Form("no number of that country has this form")
    mobile = {phonenumbers.PhoneNumberType.MOBILE, phonenumbers.PhoneNumberType.FIXED_LINE_OR_MOBILE}
    return Form() if phonenumbers.number_type(parsed) in mobile else Form("it is not a mobile number")


def _matching(pattern: re.Pattern[str], fault: str) -> Callable[[str, date], Form]:
    def matches(number: str, _: date) -> Form:
        return Form() if pattern.fullmatch(number.upper()) else Form(fault)

    return matches


_CHECKS: Mapping[str, Callable[[str, date], Form]] = {
    "id_number": _id_number,
    "organisation_code": _organisation_code,
    "mobile": _mobile,
    "passport": _matching(_PASSPORT, "it has not the form of a passport number (ICAO Doc 9303)"),
    "permit": _matching(_PERMIT, "it has not the form of a residence or travel permit's number"),
}

KINDS = tuple(_CHECKS)
"""Kinds of numbers whose form is known."""
