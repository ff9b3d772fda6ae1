"""The review agent: looks signals up in the hash bank and the term list, and judges."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import ClassVar

from agents.judging import JudgingAgent
from agents.review.bank import Match
from agents.review.bank_rows import bank_of
from agents.review.copied import named
from agents.review.judge import Matched, judge
from agents.review.lists import Wording
from agents.review.negative import shipped_matches
from agents.review.soundbank import SoundBank
from agents.review.soundmatch import SoundMatch
from agents.review.variants import TURNS, looked_for, turned
from schemas.bank import HashEntry
from schemas.policy import ReviewPolicy
from schemas.signals import Signals
from schemas.topics import HASHBANK, LISTS, POLICIES, SIGNALS, Topic
from streams.agent import Assigned, Context, Incoming, Outgoing


class Review(JudgingAgent):
    """signals → decisions, takedowns, reviews."""

    name = "review"
    inputs = (SIGNALS,)
    views: ClassVar[tuple[Topic, ...]] = (POLICIES, HASHBANK, LISTS)

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._bank = bank_of(context.views[HASHBANK.name])
        self._sounds = SoundBank(context.views[HASHBANK.name].rows.values())
        context.views[HASHBANK.name].listen(self._note)
        self._wording = Wording()

    async def warm(self) -> None:
        """Make the term lists ready that are in force, and sort the banned sounds."""
        await self.context.loaded()
        await self._ready()

    async def restore(self, assigned: Assigned) -> None:
        """The same: no item is judged without them."""
        await self._ready()

    async def _ready(self) -> None:
        lists = self.context.views[LISTS.name]
        await self._wording.ready(self.context.policy.review, lists.rows, lists.version)
        await self._sounds.settled()

    def handle(self, message: Incoming) -> Iterable[Outgoing]:
        """Match, then judge."""
        signals: Signals = message.value
        policy, now = self.context.policy, self.context.clock()
        lists = self.context.views[LISTS.name]
        self._wording.renew(policy.review, lists.rows, lists.version)
        terms, links = self._wording.match(signals, policy.media_text)
        frames = self._bank.match(
            signals.frames,
            max_distance=policy.review.hash_max_distance,
            min_quality=policy.review.hash_min_quality,
            now=now,
        )
        if looked_for(signals, policy.review):
            frames += self._turned(signals, policy.review, now)
        frames += shipped_matches(signals.frames, frames, policy.review)
        matched = Matched(
            frames=frames,
            files=self._bank.same_file(signals.event.media.sha256, signals.media.md5 if signals.media else None, now),
            terms=terms,
            links=links,
            missing=self._wording.missing,
            sounds=self._heard(signals, policy.review, now),
            copies=named(signals, self._bank),
        )
        yield from self.decided(judge(signals, matched, policy, now), policy)

    def _note(self, entry_id: str, _former: HashEntry | None, entry: HashEntry | None) -> None:
        if (entry is not None and entry.sounds) or entry_id in self._sounds:
            self._sounds.update({entry_id: entry}, now=self.context.clock())

    def _heard(self, signals: Signals, policy: ReviewPolicy, now: datetime) -> list[SoundMatch]:
        """Stretches of banned sound."""
        if self._sounds.stale_at and self._sounds.stale_at <= now:
            self._sounds.expire(now)
        if policy.sound_max_errors is None or not signals.sounds:
            return []
        return self._sounds.match(signals.sounds, max_errors=policy.sound_max_errors, min_s=policy.sound_min_s)

    def _turned(self, signals: Signals, policy: ReviewPolicy, now: datetime) -> list[Match]:
        """What the frames match turned or mirrored; of media enrolled here their points tell that as well."""
        return [
            match._replace(variant=turn)
            for turn in TURNS
            for match in self._bank.match(
                turned(signals.frames, turn),
                max_distance=policy.hash_max_distance,
                min_quality=policy.hash_min_quality,
                now=now,
            )
        ]
