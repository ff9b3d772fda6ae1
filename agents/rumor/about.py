"""How surely a text is about a claim: wording, keywords, entities, figures, meaning, as features. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

from rapidfuzz import fuzz

from agents.rumor.concepts import Concepts, concepts
from agents.rumor.index import ClaimIndex, Wording, numbers_disagree
from agents.rumor.words import compact, holds, plain, tokens
from schemas.bank import Rumor

#: From this cosine on, texts mostly say the same of the same.
MUCH_ALIKE = 0.55
#: Entries whose concepts are kept, some 1 kB each: the same ones are proposed again and again.
KEPT = 16_384


class Beside(NamedTuple):
    """A text beside one wording: the features of this pair alone."""

    wording: Wording
    cover: float
    aligned: float
    rest: list[float]
    alike: float | None


class Said(NamedTuple):
    """A text in the forms that it is compared in: `plain`, its tokens, these as one text, `compact`."""

    text: str
    found: dict[str, None]
    joined: str
    signs: str

    @classmethod
    def of(cls, text: str) -> Said:
        """A text in `plain` form."""
        found = dict.fromkeys(tokens(text))
        return cls(text, found, " ".join(found), compact(text))


def beside(said: Said, wording: Wording, alike: float | None) -> Beside:
    """A text beside a wording; `alike`: how near it is in meaning (None: not known)."""
    text, found, _, signs = said
    shared = sum(map(found.__contains__, wording.weights))
    named, missing = entities(wording.rumor, text)
    cover = ClaimIndex.cover(wording, found)
    rest = [
        shared / max(1, len(found)),
        fuzz.token_set_ratio(wording.joined, said.joined) / 100,
        float(len(wording.rumor.must) > 1),
        named,
        missing,
        named * cover,
        float(numbers_disagree(wording.plain, text)),
        float(2 * len(signs) < len(wording.compact)),
    ]
    return Beside(wording, cover, similarity(wording.compact, signs), rest, alike)


def about_features(text: str, pairs: Sequence[Beside]) -> list[list[float]]:
    """The features of a text (`plain` form) beside each wording, in the order of `model.ABOUT`. A text is
    seldom about two claims: how far a rumour lies behind the one that is nearest is one of them."""
    covers, aligned, meant = (
        _best(pairs, of) for of in (lambda one: one.cover, lambda one: one.aligned, lambda one: one.alike or 0.0)
    )
    features = []
    told: dict[str, list[float]] = {}
    for one in pairs:
        if one.wording.rumor.rumor_id not in told:
            told[one.wording.rumor.rumor_id] = same_told(one.wording.rumor, text)
        rumor, (of_text, *rest) = one.wording.rumor.rumor_id, one.rest
        alike = one.alike or 0.0
        features.append(
            [
                one.cover, of_text, one.aligned, *rest, *told[rumor], told[rumor][0] * max(covers[rumor], rest[2]),
                covers[rumor], aligned[rumor], _behind(covers, rumor), alike, max(0.0, alike - MUCH_ALIKE),
                _behind(meant, rumor),
            ]
        )  # fmt: skip
    return features


def same_told(rumor: Rumor, text: str) -> list[float]:
    """Which share of what an entry tells a text (`plain` form) tells too, by concepts; whether none of it; which share
    of what the text tells that is; how much speaks for another subject (`aside`)."""
    in_text = concepts(text)
    shares, of_text, aside = [0.0], 0.0, in_text.aside
    none_known = True
    for said in _told_by(rumor.claims):
        aside = aside - said.aside
        if said.said:
            none_known = False
            both = len(said.said & in_text.said)
            shares.append(both / len(said.said))
            of_text = max(of_text, both / max(1, len(in_text.said)))
    if none_known:
        return [0.5, 0.0, 0.5, min(2.0, float(len(aside)))]
    return [max(shares), float(not max(shares)), of_text, min(2.0, float(len(aside)))]


@lru_cache(maxsize=KEPT)
def _told_by(claims: tuple[str, ...]) -> tuple[Concepts, ...]:
    return tuple(concepts(plain(claim)) for claim in claims)


def _best(pairs: Sequence[Beside], of: Callable[[Beside], float]) -> dict[str, float]:
    best: dict[str, float] = {}
    for one in pairs:
        rumor = one.wording.rumor.rumor_id
        best[rumor] = max(best.get(rumor, 0.0), of(one))
    return best


def _behind(best: dict[str, float], rumor: str) -> float:
    return best[rumor] - max(best.values())


def entities(rumor: Rumor, text: str) -> tuple[float, float]:
    """Which share of the entry's entities a text (`plain` form) names, and whether it leaves out one that the claim is
    about. An entry without entities is about nobody in particular."""
    if not rumor.entities:
        return 0.0, 0.0
    named = [any(holds(text, plain(name)) for name in entity.names) for entity in rumor.entities]
    return sum(named) / len(named), float(not all(named))


def similarity(claim: str, text: str, at_least: float = 0.0) -> float:
    """How well the best part of the text matches the claim, 0 to 1 (both `compact`); 0 if below `at_least`.

    A text shorter than the claim is compared as a whole: aligned within the claim, a single word would match it.
    """
    compare = fuzz.partial_ratio if len(text) >= len(claim) else fuzz.ratio
    return compare(claim, text, score_cutoff=at_least * 100.0) / 100.0
