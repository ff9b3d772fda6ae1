"""A policy's terms and links: its own, and those of the lists that it names. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from agents.review.links import LinkList, LinkMatch
from agents.review.terms import TermList, TermMatch
from agents.text import passages
from schemas.lists import ListPart, digest_of, part_id
from schemas.message import encode
from schemas.policy import Link, ListRef, MediaTextPolicy, ReviewPolicy, Term
from schemas.signals import Signals


class Lists(NamedTuple):
    """Everything that texts are searched for. `missing`: lists that are not here whole, each with the reason; what they
    hold was not searched for, which a person has to know."""

    terms: tuple[Term, ...]
    links: tuple[Link, ...]
    missing: tuple[str, ...]


def gathered(policy: ReviewPolicy, parts: Mapping[str, ListPart]) -> Lists:
    """From the policy and the parts of lists that have come. The policy's own terms come last, and are so in force
    where a list has the same."""
    terms: list[Term] = []
    links: list[Link] = []
    missing: list[str] = []
    for ref in policy.term_lists:
        found = [parts.get(part_id(ref.name, ref.digest, number)) for number in range(ref.parts)]
        if why := _wrong(ref, found):
            missing.append(f"list {ref.name}: {why}")
        for part in found:
            terms += part.terms if part else ()
            links += part.links if part else ()
    return Lists((*terms, *policy.terms), (*links, *policy.links), tuple(missing))


def _wrong(ref: ListRef, found: list[ListPart | None]) -> str:
    here = [part for part in found if part is not None]
    if len(here) < ref.parts:
        return f"{ref.parts - len(here)} of {ref.parts} parts have not come"
    entries = [*(one for part in here for one in part.terms), *(one for part in here for one in part.links)]
    if digest_of(map(encode, entries)) != ref.digest:
        return "its content is not what the policy names"
    return ""


class Wording:
    """The terms and links in force, made ready for search; made again when what they are made of has changed."""

    def __init__(self) -> None:
        self._made_of: object = None
        self._terms = TermList([])
        self._links = LinkList([])
        #: Lists that are not here whole.
        self.missing: tuple[str, ...] = ()

    def renew(self, policy: ReviewPolicy, parts: Mapping[str, ListPart], version: int) -> None:
        """`version` counts the changes of `parts`. 50,000 terms take some seconds, so it is not done in vain."""
        named = version if policy.term_lists else 0
        made_of = (named, policy.term_lists, policy.terms, policy.links, policy.allow_phrases)
        if made_of == self._made_of:
            return
        found = gathered(policy, parts)
        self._terms, self._links = TermList(found.terms, policy.allow_phrases), LinkList(found.links)
        self.missing, self._made_of = found.missing, made_of

    def match(self, signals: Signals, policy: MediaTextPolicy) -> tuple[list[TermMatch], list[LinkMatch]]:
        """What an item's texts hold."""
        searched = passages(signals, policy)
        return (
            self._terms.match(signals.event, searched),
            self._links.match(signals.event, searched, signals.signals),
        )
