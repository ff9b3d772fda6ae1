"""Enrolling a publisher's numbers: from the number in memory to what may lie in the registry."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import NamedTuple

from agents.identity.digests import Digester
from agents.identity.forms import check
from schemas.registry import IdentityNumber, NumberKind


class Facts(NamedTuple):
    """What a publisher's row holds of its numbers."""

    numbers: tuple[IdentityNumber, ...]
    born: str | None


def facts(numbers: Mapping[NumberKind, str], today: date, digester: Digester | None) -> Facts:
    """Check each number's form, digest it under every key there is (without a digester: not), and forget it."""
    known: list[IdentityNumber] = []
    born: str | None = None
    for kind, number in numbers.items():
        form = check(kind, number, today)
        if form.born:
            born = f"{form.born:%Y-%m}"
        digests = digester.all(kind, number) if digester else ()
        if not digests:
            known.append(IdentityNumber(kind=kind, form=form.word))
        known += [
            IdentityNumber(kind=kind, form=form.word, digest=digest.hex, key_id=digest.key_id) for digest in digests
        ]
    return Facts(tuple(known), born)
