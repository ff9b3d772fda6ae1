"""Which listed claims an item's texts are about, and what they do with them. Pure.

An item's title, description, captions, speech and subtitles are cut into windows of a few sentences. Shared tokens and
keywords (`index`) and, where installed, sentence embeddings (`meaning`) propose claims for each window; wording,
keywords, entities and figures tell how surely it is about them (`about`); cues tell what it does with them (`stance`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from agents.rumor import stance
from agents.rumor.about import Said, about_features, beside
from agents.rumor.index import ClaimIndex, Wording, allows
from agents.rumor.meaning import Meanings
from agents.rumor.model import Model, shipped
from agents.rumor.stance import Around, Stance
from agents.rumor.words import Sentence, chinese_signs, plain, sentences, tokens
from agents.text import Passage, Place, fields
from schemas.bank import Rumor
from schemas.event import Event

#: Signs of Chinese that a window holds, if its sentences are not longer; a sign of other scripts counts a third.
WINDOW = 70
#: Windows of an item whose meaning is compared, written ones first: each costs some 5 ms, ten times the rest.
MEANT = 4
#: How much less probable it is that whoever has the say in such matters asserts a claim: set, not learnt, since no text
#: of the set is an authority's.
AUTHORITY = 0.5
#: Scores that differ by less than so many decimals tell nothing: entries that are as near come by their ids.
TELLING = 3
#: From this probability on a text is taken to be about a claim, and so named if it refutes or asks about it.
ABOUT_FROM = 0.5


class RumorMatch(NamedTuple):
    """A listed rumour, the wording and field that are nearest, what the text does with it (`score`: the probability
    that it asserts it), how surely it is about it; of captions and speech, where."""

    rumor: Rumor
    claim: str
    field: str
    score: float
    place: Place | None = None
    stance: Stance = "asserted"
    about: float = 1.0


class Window(NamedTuple):
    """Sentences that are compared together, and what stands before and after them."""

    field: str
    text: str
    sentences: Sequence[Sentence]
    before: str
    after: str
    place: Callable[[int, int], Place | None]

    def place_of(self, wording: Wording) -> Place | None:
        """Where in the media the sentences stand that share words with a wording; all, if none does."""
        sharing = [one for one in self.sentences if not wording.weights.keys().isdisjoint(tokens(one.text))]
        held = sharing or self.sentences
        return self.place(held[0].begin, held[-1].end)


class Comparison(NamedTuple):
    """A window beside a wording: the features of both models, those of stance when they are asked for."""

    window: Window
    wording: Wording
    about: list[float]
    stance: Callable[[], list[float]]
    #: Whether it is known how near they are in meaning.
    meant: bool


class RumorList:
    """The listed rumours, made ready for matching. Entries come and go one by one (`add`, `remove`)."""

    def __init__(
        self, rumors: Iterable[Rumor], now: datetime, *, meanings: Meanings | None = None, model: Model | None = None
    ) -> None:
        """`meanings`: claims are looked for by meaning as well, once `catch_up` has computed theirs."""
        self.index = ClaimIndex()
        self.meanings = meanings
        self._model = model or shipped()
        self._without: dict[int, str] = {}
        self._expiring: dict[str, datetime] = {}
        for rumor in rumors:
            self.add(rumor, now)

    def __len__(self) -> int:
        return len(self.index)

    def add(self, rumor: Rumor, now: datetime) -> None:
        """Take an entry up, in place of a former one of its id; one that has expired or turned true is only dropped."""
        self.remove(rumor.rumor_id)
        if rumor.status == "true" or (rumor.expires_at and rumor.expires_at <= now):
            return
        if rumor.expires_at:
            self._expiring[rumor.rumor_id] = rumor.expires_at
        for number in self.index.add(rumor):
            self._without[number] = self.index.wordings[number].claim

    def remove(self, rumor_id: str) -> None:
        """Drop an entry, if it is there."""
        numbers = list(self.index.numbers_of(rumor_id))
        for number in numbers:
            self._without.pop(number, None)
        if self.meanings is not None:
            self.meanings.remove(numbers)
        self._expiring.pop(rumor_id, None)
        self.index.remove(rumor_id)

    def expire(self, now: datetime) -> None:
        """Drop what has expired."""
        if self._expiring and min(self._expiring.values()) <= now:
            for rumor_id in [one for one, at in self._expiring.items() if at <= now]:
                self.remove(rumor_id)

    def catch_up(self, most: int | None = None) -> int:
        """Compute the meaning of so many wordings that have none yet (None: all). Returns how many are left."""
        if self.meanings is not None and self._without:
            from agents.rumor.meaning import encode

            few = list(self._without.items())[:most]
            self.meanings.add([number for number, _ in few], encode([claim for _, claim in few]))
            for number, _ in few:
                del self._without[number]
        return len(self._without)

    def match(
        self, event: Event, threshold: float, passages: Iterable[Passage] = (), *, authority: bool = False
    ) -> list[RumorMatch]:
        """Each rumour that the item asserts at least so probably, most probable first."""
        found = self.read(event, passages, authority=authority)
        return [match for match in found if match.score >= threshold]

    def read(
        self, event: Event, passages: Iterable[Passage] = (), *, authority: bool = False, by_meaning: bool = True
    ) -> list[RumorMatch]:
        """Each rumour that the item is about, whatever it does with it, most probably asserted first. `authority`:
        the publisher has the say in such matters. `by_meaning`: embeddings are used where there are any."""
        if not len(self.index):
            return []
        found: dict[str, list[RumorMatch]] = {}
        compared = self.compare(event, passages, authority=authority, by_meaning=by_meaning)
        if not compared:
            return []
        features = np.asarray([one.about for one in compared])
        about = np.where(
            [one.meant for one in compared],
            self._model.about(features, meaning=True),
            self._model.about(features, meaning=False),
        )
        for one, sure in zip(compared, about.tolist(), strict=True):
            if sure >= ABOUT_FROM:
                said = self._model.stances(one.stance())
                match = RumorMatch(
                    rumor=one.wording.rumor,
                    claim=one.wording.claim,
                    field=one.window.field,
                    score=sure * said["asserted"] * (AUTHORITY if authority else 1.0),
                    place=one.window.place_of(one.wording),
                    stance=max(said, key=lambda name: said[name]),
                    about=sure,
                )
                found.setdefault(match.rumor.rumor_id, []).append(match)
        return sorted(
            map(_weighed, found.values()), key=lambda match: (-round(match.score, TELLING), match.rumor.rumor_id)
        )

    def compare(
        self, event: Event, passages: Iterable[Passage] = (), *, authority: bool = False, by_meaning: bool = True
    ) -> list[Comparison]:
        """Each window beside each wording that it may be about: what the models weigh, and are trained on."""
        windows = list(_windows(event, passages))
        vectors = self._vectors(windows) if by_meaning else {}
        compared = []
        for number, window in enumerate(windows):
            vector = vectors.get(number)
            said = Said.of(window.text)
            candidates = self.index.candidates(window.text, said.found)
            if self.meanings is not None and vector is not None:
                candidates += [near for near, _ in self.meanings.nearest(vector[None])[0]]
            context = f"{window.before}\n{window.text}\n{window.after}"
            pairs = [
                beside(said, wording, self._alike(vector, candidate))
                for candidate in dict.fromkeys(candidates)
                if allows(wording := self.index.wordings[candidate], context, window.text)
            ]
            around = Around(window.text, window.before, window.after)
            for pair, about in zip(pairs, about_features(window.text, pairs), strict=True):
                wording = pair.wording
                cues = partial(stance.features, around, wording.plain, wording.weights, authority=authority)
                compared.append(Comparison(window, wording, about, cues, pair.alike is not None))
        return compared

    def _alike(self, vector: NDArray[np.float32] | None, number: int) -> float | None:
        return None if vector is None or self.meanings is None else self.meanings.alike(vector, number)

    def _vectors(self, windows: Sequence[Window]) -> dict[int, NDArray[np.float32]]:
        if self.meanings is None or not len(self.meanings):
            return {}
        chosen = list(range(min(MEANT, len(windows))))
        vectors = self.meanings.of_texts([windows[number].text for number in chosen])
        return dict(zip(chosen, vectors, strict=True))


def _weighed(matches: list[RumorMatch]) -> RumorMatch:
    """What an item does with a claim on the whole. Where one part of it quotes the claim and another refutes it, the
    item refutes it. What is written is certain, and hides no less severe consequence of words that a model heard."""
    best = max(matches, key=lambda match: (match.score >= ABOUT_FROM, match.place is None, match.score))
    refuting = max((match for match in matches if match.stance == "refuted"), key=lambda one: one.about, default=None)
    if refuting is None or refuting is best:
        return best
    against = refuting.about * (1 - refuting.score)
    if against <= ABOUT_FROM:
        return best
    return refuting._replace(score=min(best.score * (1 - against), refuting.score))


def _windows(event: Event, passages: Iterable[Passage]) -> Iterator[Window]:
    written = {field: raw for field, raw in fields(event) if raw and not field.startswith("tags")}
    # A tag names a subject and claims nothing.
    for field, raw in written.items():
        others = plain("\n".join(other[: 3 * WINDOW] for name, other in written.items() if name != field))
        yield from _cut(field, raw, others, lambda _begin, _end: None)
    for passage in passages:
        yield from _cut(passage.field, passage.raw, "", passage.place)


def _cut(field: str, raw: str, others: str, place: Callable[[int, int], Place | None]) -> Iterator[Window]:
    parts = sentences(raw)
    begin = 0
    while begin < len(parts):
        end, size = begin + 1, _size(parts[begin].text)
        while end < len(parts) and size + _size(parts[end].text) <= WINDOW:
            size += _size(parts[end].text)
            end += 1
        held = parts[begin:end]
        yield Window(
            field,
            " ".join(part.text for part in held),
            held,
            parts[begin - 1].text if begin else "",
            "\n".join(filter(None, (parts[end].text if end < len(parts) else "", others))),
            place,
        )
        if end == len(parts):
            return
        # What goes on from one window into the next stands whole in one of them.
        begin = max(begin + 1, end - 1)


def _size(text: str) -> float:
    chinese = chinese_signs(text)
    return chinese + (len(text) - chinese) / 3
