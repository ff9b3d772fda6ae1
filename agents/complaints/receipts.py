"""Receipts: what a complainant gets to ask with, and where each complaint stands."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
from collections import OrderedDict
from typing import NamedTuple

from schemas.complaint import ComplaintKind, ComplaintResult
from schemas.message import Refused, decode
from schemas.topics import COMPLAINT_RESULTS
from streams.client import Feed
from streams.settings import Settings

log = logging.getLogger(__name__)

#: Complaints whose state is known at most, those that changed longest ago forgotten first: about 500 MB.
MOST_RECEIPTS = 1_000_000
#: Pause before the topic is read again when reading it has failed.
RETRY_S = 2.0


class Standing(NamedTuple):
    """Where a complaint stands, as its complainant sees it."""

    kind: ComplaintKind
    state: str
    text: str
    due_at: str
    updated_at: str

    @classmethod
    def of(cls, result: ComplaintResult) -> Standing:
        """What of a result is for the complainant."""
        return cls(result.kind, result.state, result.text, result.due_at.isoformat(), result.at.isoformat())


def new_receipt() -> str:
    """A receipt number: 192 random bits, so that none is found by trying."""
    return secrets.token_urlsafe(24)


def sha256_of(receipt: str) -> str:
    """What of a receipt is stored."""
    return hashlib.sha256(receipt.encode("utf-8", "surrogatepass")).hexdigest()


class Receipts:
    """SHA-256 of a receipt → where its complaint stands, read live from the results."""

    def __init__(self) -> None:
        self._standings: OrderedDict[str, Standing] = OrderedDict()
        self.loaded = False

    def find(self, receipt: str) -> Standing | None:
        """Where the complaint of this receipt stands; None for any other."""
        return self._standings.get(sha256_of(receipt))

    def given(self, result: ComplaintResult) -> None:
        """A receipt has been given here: known from now on, not only when the agent has answered."""
        self._standings.setdefault(result.receipt_sha256, Standing.of(result))

    def apply(self, result: ComplaintResult) -> None:
        """A result has been read."""
        self._standings[result.receipt_sha256] = Standing.of(result)
        self._standings.move_to_end(result.receipt_sha256)
        if len(self._standings) > MOST_RECEIPTS:
            self._standings.popitem(last=False)

    async def follow(self, settings: Settings) -> None:
        """Read the results from their beginning and then as they come, for ever: after an error once more."""
        while True:
            try:
                async with Feed(settings, [COMPLAINT_RESULTS], from_beginning=True) as feed:
                    while True:
                        self.loaded = self.loaded or await feed.at_end()
                        for record in await feed.read(0.2):
                            self._read(record.value)
            except Exception as error:
                log.warning("complaint results cannot be read, trying again: %r", error)
                await asyncio.sleep(RETRY_S)

    def _read(self, value: bytes | None) -> None:
        try:
            self.apply(decode(ComplaintResult, value or b""))
        except Refused as refused:
            log.error("a complaint result is passed over: %s", refused)
