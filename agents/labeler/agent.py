"""The labeler agent: from an order to the labelled copy in the store, and the item's verdict."""

from __future__ import annotations

import asyncio
import logging
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

from prometheus_client import Counter

from agents.judging import JudgingAgent
from agents.labeler.judge import done, failed, wanted
from agents.labeler.store import Store
from schemas.event import Media
from schemas.orders import Label
from schemas.topics import LABELLED, LABELS, Topic
from streams.agent import Context, Incoming, Outgoing
from streams.extraction.fetch import Fetcher
from streams.extraction.read import ExtractFailure
from streams.labels.copy import Copied, Terms
from streams.labels.process import copy_confined
from streams.labels.write import CannotLabel
from streams.settings import SettingsError

log = logging.getLogger(__name__)


class Labeler(JudgingAgent):
    """labels → labelled copies, and decisions that end the hold of their items.

    Without a store (`labelled_store`) it does nothing: the orders are then the ingest tier's to carry out.
    """

    name = "labeler"
    inputs = (LABELS,)
    outputs: ClassVar[tuple[Topic, ...]] = (*JudgingAgent.outputs, LABELLED)
    slow = True

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._store: Store | None = None
        self._fetcher: Fetcher | None = None
        self._places = asyncio.Semaphore(context.settings.labeler_workers)
        self._copies = Counter(
            "veristream_labelled_copies", "Labelled copies", ["outcome"], registry=context.metrics.registry
        )

    async def start(self) -> None:
        """Look at where copies go."""
        if not self.context.settings.labelled_store:
            return
        try:
            self._store = Store(self.context.settings)
        except ValueError as error:
            raise SettingsError(str(error)) from error
        self._fetcher = Fetcher(self.context.settings)

    async def stop(self) -> None:
        """Close connections."""
        if self._fetcher:
            await self._fetcher.close()

    async def prepare(self, message: Incoming) -> tuple[Copied, Media] | str | None:
        """Make the copy and keep it; why not, if it cannot be."""
        order: Label = message.value
        if self._store is None or not wanted(order):
            return None
        async with self._places:
            try:
                return await self._copy(order, self._store)
            except (CannotLabel, ExtractFailure) as error:
                return error.text if isinstance(error, ExtractFailure) else str(error)
            except OSError as error:
                return f"the copy cannot be kept: {error.strerror or error}"

    async def _copy(self, order: Label, store: Store) -> tuple[Copied, Media]:
        settings = self.context.settings
        assert self._fetcher and order.media and order.implicit, "wanted and start say so"
        if not order.implicit["AIGC"].get("ContentPropagator"):
            raise CannotLabel("the policy names no propagator: set synthetic.propagator to the platform's own code")
        explicit = order.explicit
        terms = Terms(order.implicit["AIGC"], explicit.text, explicit.min_seconds, explicit.permanent)
        async with self._fetcher.fetched(order.media) as original:
            with tempfile.TemporaryDirectory(dir=settings.spool, prefix="veristream-") as folder:
                out = Path(folder) / "copy"
                copied = await copy_confined(original, out, terms, settings.confinement, settings.labeler_timeout_s)
                return copied, await store.put(out, copied.ending)

    def handle(self, message: Incoming) -> Iterable[Outgoing]:
        """Say what came of it."""
        order, outcome = message.value, message.prepared
        if outcome is None:
            return
        policy, now = self.context.policy, self.context.clock()
        self._copies.labels("failed" if isinstance(outcome, str) else "made").inc()
        if isinstance(outcome, str):
            log.warning("labeler: %s: %s", order.content_id, outcome)
            yield from self.decided(failed(order, outcome, policy, now), policy)
            return
        copied, media = outcome
        decision, labelled = done(
            order,
            media,
            policy,
            now,
            implicit=copied.implicit,
            explicit=copied.explicit,
            encoded_s=copied.encoded_s,
        )
        yield Outgoing(LABELLED, order.content_id, labelled)
        yield from self.decided(decision, policy)
