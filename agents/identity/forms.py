"""The form of identity numbers (Provisions, Art. 8): whether a number can be one, never whose it is. Pure.

Whoever holds a number checks it here, in memory, and passes on what was found: `Form`, with no number in it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Literal

import phonenumbers
from stdnum.cn import ric, uscc
from stdnum.util import clean

#: The first digit is a region of China; nobody was born before 1880 who publishes.
_ID_NUMBER = re.compile(r"[1-9][0-9]{5}(?:18[89]|19[0-9]|20[0-9])[0-9][0-9]{7}[0-9X]")
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
    """The one spelling of a number that is digested, so that the same number gives the same digest however it was
    typed: full width, with spaces or dashes of any kind."""
    bare: str = clean(unicodedata.normalize("NFKC", number), " -\t\n\r").strip().upper()
    if kind != "mobile":
        return bare
    try:
        return phonenumbers.format_number(phonenumbers.parse(bare, "CN"), phonenumbers.PhoneNumberFormat.E164)
    except phonenumbers.NumberParseException:
        return bare


def _id_number(number: str, today: date) -> Form:
    """GB 11643-1999: 17 digits, of which 8 are a date that was, and a check character by ISO 7064 MOD 11-2.

    The district in the first six digits is not looked up: numbers were given out from 1984 on by where people were then
    registered, so a district may be younger than who lives there (stdnum's own check refuses such people).
    """
    bare = number.upper()
    if not _ID_NUMBER.fullmatch(bare) or ric.calc_check_digit(bare) != bare[-1]:
        return Form("it fails the check of GB 11643")
    try:
        born = date(int(bare[6:10]), int(bare[10:12]), int(bare[12:14]))
    except ValueError:
        return Form("its birth date does not exist")
    if born > today:
        return Form("its birth date lies in the future")
    return Form(born=born)


def _organisation_code(number: str, _: date) -> Form:
    return Form() if uscc.is_valid(number) else Form("it fails the check of GB 32100")


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
