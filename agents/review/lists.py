"""A policy's terms and links: its own, and those of the lists that it names."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from sys import maxsize
from typing import NamedTuple

from agents.review.aside import Aside
from agents.review.links import LinkList, LinkMatch
from agents.review.terms import TermList, TermMatch
from agents.text import passages
from schemas.lists import ListPart, digest_of, part_id
from schemas.message import encode
from schemas.policy import Link, ListRef, MediaTextPolicy, ReviewPolicy, Term
from schemas.signals import Signals

log = logging.getLogger(__name__)

#: Terms and links that are made ready within the handling of an item, some 30 ms at most: what a person has just put
#: into a policy is in force with the next item.
AT_ONCE = 1_000


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
    """The terms and links in force, made ready for search; made again when what they are made of has changed.

    50,000 terms take a second or two. So a long list is made ready in a thread, and the former one is in force until
    then.
    """

    def __init__(self) -> None:
        #: What is in force, and what is being made ready.
        self._made_of: object = None
        self._making_of: object = None
        self._making: Aside[_Ready] = Aside("term lists")
        self._terms = TermList([])
        self._links = LinkList([])
        #: Lists that are not here whole.
        self.missing: tuple[str, ...] = ()

    async def ready(self, policy: ReviewPolicy, parts: Mapping[str, ListPart], version: int) -> None:
        """The same as `renew`, and wait until the lists are in force: for the start, before the first item."""
        self._renew(policy, parts, version, at_once=0)
        await self._making.over()
        self._take_up()

    def renew(self, policy: ReviewPolicy, parts: Mapping[str, ListPart], version: int) -> None:
        """See to it that these lists come into force: now, if they are short or nothing is in force yet, else as soon
        as they are ready. `version` counts the changes of `parts`."""
        self._renew(policy, parts, version, at_once=AT_ONCE if self._made_of else maxsize)

    def _renew(self, policy: ReviewPolicy, parts: Mapping[str, ListPart], version: int, *, at_once: int) -> None:
        self._take_up(wait=self._made_of is None)
        named = version if policy.term_lists else 0
        made_of = (named, policy.term_lists, policy.terms, policy.links, policy.allow_phrases)
        if made_of == self._made_of or self._making.busy:
            return
        # Rows are the event loop's, and are looked up here; to check them takes as long as they have entries.
        here = {
            one: part
            for ref in policy.term_lists
            for number in range(ref.parts)
            if (part := parts.get(one := part_id(ref.name, ref.digest, number)))
        }
        self._making_of = made_of
        self._making.begin(lambda: _made(policy, here))
        count = sum(len(part.terms) + len(part.links) for part in here.values())
        if count + len(policy.terms) + len(policy.links) <= at_once:
            self._take_up(wait=True)

    def _take_up(self, *, wait: bool = False) -> None:
        if not (self._making.ended or (wait and self._making.busy)):
            return
        self._made_of = self._making_of
        try:
            self._terms, self._links, self.missing = self._making.taken()
        except Exception as error:
            log.exception("terms and links could not be made ready; the former ones are in force")
            self.missing = (f"the lists in force could not be made ready: {error!r}",)

    def match(self, signals: Signals, policy: MediaTextPolicy) -> tuple[list[TermMatch], list[LinkMatch]]:
        """What an item's texts hold."""
        searched = passages(signals, policy)
        return (
            self._terms.match(signals.event, searched),
            self._links.match(signals.event, searched, signals.signals),
        )


class _Ready(NamedTuple):
    terms: TermList
    links: LinkList
    missing: tuple[str, ...]


def _made(policy: ReviewPolicy, parts: Mapping[str, ListPart]) -> _Ready:
    found = gathered(policy, parts)
    return _Ready(TermList(found.terms, policy.allow_phrases), LinkList(found.links), found.missing)
