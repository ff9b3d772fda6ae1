"""What a text does with a claim that it is about: explicit cues in Chinese and English, counted. Pure.

The cues are features and decide nothing alone: `agents.rumor.model` weighs them. A cue counts where it stands in or
beside the sentences that are about the claim.
"""

from __future__ import annotations

import itertools
import math
import re
import tomllib
from functools import lru_cache
from importlib.resources import files
from typing import Literal, NamedTuple

from agents.rumor.concepts import concepts
from agents.rumor.words import is_chinese

#: asserted: the claim is told as true; asked: whether it is; refuted: told as false; reported: that it goes round;
#: mocked: told so that nobody is to believe it.
Stance = Literal["asserted", "asked", "refuted", "reported", "mocked"]

#: How far a negation reaches: signs of Chinese, and of English, to the right of it.
REACH_ZH, REACH_EN = 10, 45

#: name → what its expressions find; see the file.
_CUES: dict[str, re.Pattern[str]] = {
    name: re.compile("|".join(itertools.chain.from_iterable(languages.values())))
    for name, languages in tomllib.loads(files("agents.rumor").joinpath("cues.toml").read_text("utf-8")).items()
}
_TAKEN_BACK, _NEGATIONS, _PROHIBITIONS = (_CUES.pop(name) for name in ("taken_back", "negation", "prohibition"))
_QUESTION_MARK = re.compile(r"[?？]")
_ENGLISH_QUESTION = re.compile(
    r"^(?:so )?(?:is|are|was|were|does|do|did|can|could|will|would|should|has|have|what|why|how|anyone|anybody)\b"
)
_CLAUSE_END = re.compile(r"[，,。.;；:：!！?？]")
_QUOTED = re.compile(r"[“”\"「」『』《》]")

#: The features, in the order of the model's weights.
FEATURES = (
    *(f"{name}.here" for name in _CUES),
    *(f"{name}.beside" for name in _CUES),
    "negation.on_claim", "negation.on_told", "negation.elsewhere", "negation.beside",
    "ends_in_question", "all_questions", "question_then_statement", "quoted_claim", "cried", "taken_back",
    "authority", "length",
)  # fmt: skip


class Around(NamedTuple):
    """The sentences that are about a claim, as one text, those beside them, and both in `plain` form."""

    here: str
    before: str = ""
    after: str = ""


def features(around: Around, claim_plain: str, claim_tokens: dict[str, float], *, authority: bool) -> list[float]:
    """The cues of a text about a claim, as numbers between -1 and some 3."""
    text = _cues(around)
    on_claim, elsewhere = text.here.on_and_beside(claim_tokens)
    claim_on, claim_elsewhere = _negated(claim_plain).on_and_beside(claim_tokens)
    return [
        *text.counts,
        max(-1.0, on_claim - claim_on),
        max(-1.0, text.here.on_told(claim_plain) - _negated(claim_plain).on_told(claim_plain)),
        max(0.0, elsewhere - claim_elsewhere),
        min(1.0, text.beside.on_and_beside(claim_tokens)[0]),
        *text.signs[:-1],
        float(authority),
        text.signs[-1],
    ]


class _Negated(NamedTuple):
    """What each negation of a text reaches: the signs after it, and those just before it."""

    scopes: tuple[tuple[str, str], ...]

    def on_and_beside(self, claim_tokens: dict[str, float]) -> tuple[float, float]:
        """Negations whose scope holds something of the claim, and other ones; at most two of each."""
        on_claim = sum(
            any(token in scope or token in near for token in claim_tokens) for scope, near in self.scopes
        )  # fmt: skip
        return min(2.0, float(on_claim)), min(2.0, float(len(self.scopes) - on_claim))

    def on_told(self, claim_plain: str) -> float:
        """Negations, at most two, in whose clause after them stands what the claim tells, whatever the words."""
        told = concepts(claim_plain).said
        return min(2.0, float(sum(not told.isdisjoint(concepts(scope).said) for scope, _ in self.scopes)))


class _Cues(NamedTuple):
    """What features say of a text whatever the claim: the same for all that it is compared with."""

    counts: tuple[float, ...]
    here: _Negated
    beside: _Negated
    signs: tuple[float, ...]


@lru_cache(maxsize=64)
def _cues(around: Around) -> _Cues:
    here, taken_back = _without_taken_back(around.here)
    # Line by line: the same sentences stand beside several windows of an item, and its other fields beside all.
    lines = [line for line in f"{around.before}\n{around.after}".split("\n") if line]
    parts = _parts(here)
    marks = [bool(_QUESTION_MARK.search(part)) for part in parts]
    ends = bool(marks) and (marks[-1] or _asks(parts[-1]))
    signs = (
        float(ends),
        float(bool(marks) and all(marks)),
        float(any(marks) and not ends),
        float(bool(_QUOTED.search(here))),
        min(1.0, (here.count("!") + here.count("！")) / 2),
        float(taken_back),
        min(1.0, len(here) / 100),
    )
    counts = (*map(_count, _said(around.here)), *map(_count, map(frozenset.union, *map(_said, lines or [""]))))
    beside = _Negated(tuple(scope for line in lines for scope in _negated(_without_taken_back(line)[0]).scopes))
    return _Cues(counts, _negated(here), beside, signs)


def _count(expressions: frozenset[str]) -> float:
    """Once is much, more is little more."""
    return math.sqrt(min(2, len(expressions)))


@lru_cache(maxsize=4096)
def _said(text: str) -> tuple[frozenset[str], ...]:
    """Of each cue the expressions that a text holds and does not take back."""
    rest, _ = _without_taken_back(text)
    return tuple(frozenset(match.group() for match in pattern.finditer(rest)) for pattern in _CUES.values())


def _without_taken_back(text: str) -> tuple[str, bool]:
    rest, count = _TAKEN_BACK.subn(" ", text)
    return rest, bool(count)


def _parts(text: str) -> list[str]:
    return [part for part in re.findall(r"[^。！!？?\n]+[。！!？?\n]*", text) if re.search(r"\w", part)]


def _asks(sentence: str) -> bool:
    return bool(_ENGLISH_QUESTION.match(sentence.strip())) or bool(re.search(r"(?:吗|么|呢)\W*$", sentence))


@lru_cache(maxsize=4096)
def _negated(text: str) -> _Negated:
    text = _PROHIBITIONS.sub(lambda found: "_" * len(found.group()), text)
    scopes = []
    for found in _NEGATIONS.finditer(text):
        reach = REACH_ZH if is_chinese(found.group()) else REACH_EN
        # In Chinese a negation may also follow its subject at once: 塑料大米根本不存在.
        before = text[max(0, found.start() - reach // 2) : found.start()]
        # It reaches no further than its clause: "no need to worry, garlic helps" denies nothing of garlic.
        after = _CLAUSE_END.split(text[found.end() : found.end() + reach], 1)[0]
        scopes.append((after, _CLAUSE_END.split(before)[-1]))
    return _Negated(tuple(scopes))
