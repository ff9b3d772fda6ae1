"""Lists of terms and links that are too long for one policy message: cut into parts, on a topic of their own.

A policy names such a list by the digest of its entries, so that what a version of a policy means never changes, and a
worker knows when it has all parts. 50,000 terms are some 4 MB of JSON; a broker takes messages of 1 MB.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence

from schemas.message import Count, Id, Message, Sha256, encode
from schemas.policy import Link, ListRef, Term

#: Bytes of JSON of one part, at most: well below a broker's default of 1 MB, envelope and compression aside.
PART_BYTES = 400_000
#: Digits of the digest that a part's key carries.
KEY_DIGITS = 16


class ListPart(Message, kw_only=True, frozen=True):
    """A part of a list, from `part` 0 on."""

    part_id: Id
    name: Id
    digest: Sha256
    part: Count
    terms: tuple[Term, ...] = ()
    links: tuple[Link, ...] = ()


def parted(name: str, terms: Iterable[Term], links: Iterable[Link] = ()) -> tuple[ListRef, list[ListPart]]:
    """How a policy names this list, and the parts that it is sent as."""
    entries: list[Term | Link] = [*terms, *links]
    encoded = [encode(entry) for entry in entries]
    digest = digest_of(encoded)
    parts = []
    for number, some in enumerate(_chunks(entries, [len(one) for one in encoded])):
        parts.append(
            ListPart(
                part_id=part_id(name, digest, number),
                name=name,
                digest=digest,
                part=number,
                terms=tuple(one for one in some if isinstance(one, Term)),
                links=tuple(one for one in some if isinstance(one, Link)),
            )
        )
    return ListRef(name=name, digest=digest, parts=len(parts), entries=len(entries)), parts


def part_id(name: str, digest: str, number: int) -> str:
    """The key of a part."""
    return f"{name}/{digest[:KEY_DIGITS]}/{number:04}"


def digest_of(encoded: Iterable[bytes]) -> str:
    """Of entries as JSON, in their order."""
    found = hashlib.sha256()
    for one in encoded:
        found.update(one)
        found.update(b"\n")
    return found.hexdigest()


def _chunks(entries: Sequence[Term | Link], sizes: Sequence[int]) -> Iterator[list[Term | Link]]:
    some: list[Term | Link] = []
    bytes_ = 0
    for entry, size in zip(entries, sizes, strict=True):
        if some and bytes_ + size > PART_BYTES:
            yield some
            some, bytes_ = [], 0
        some.append(entry)
        bytes_ += size + 1
    yield some
