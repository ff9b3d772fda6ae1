"""Words: listed terms and rumours, on texts that were written for this and used for nothing else.

Matching is lexical, and the kinds of text are chosen to show what that means: it finds what is repeated, in whatever
dress, and can tell neither a paraphrase from another text nor a refutation from the claim.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

from msgspec.structs import replace

from agents.review.terms import TermList
from agents.text import Passage
from schemas.event import Upload
from schemas.examples import EXAMPLES
from schemas.policy import Term
from schemas.signals import Caption
from tests.bench.report import Row

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FLAGGED = "share flagged"


def terms(_quick: bool) -> Iterator[Row]:
    """The figures are of texts that nothing was chosen by (`held`); those that rules were made by come after them,
    under `tuning`. By kind: how a term is written so as not to be found, or what an innocent text has in common with
    one. Split: across two captions; parts: characters taken apart."""
    yield from _terms("review.terms", "_held")
    yield from _terms("review.terms.tuning", "")


def _terms(name: str, which: str) -> Iterator[Row]:
    listed = TermList([Term(**row) for row in _rows(f"terms{which}")])
    by_kind: dict[str, list[bool]] = defaultdict(list)
    innocent: dict[str, bool] = {}
    positives: list[bool] = []
    right: list[bool] = []
    for row in _rows(f"term_texts{which}"):
        found = _found(listed, row)
        # What else is found in a text with a term is wrong, and so is anything in an innocent one.
        right += [term == row["term"] for term in found]
        innocent[row["kind"]] = row["term"] is None
        by_kind[row["kind"]].append(bool(found) if row["term"] is None else row["term"] in found)
        if row["term"]:
            positives.append(row["term"] in found)
    negatives = [flagged for kind, each in by_kind.items() if innocent[kind] for flagged in each]
    yield _share(f"{name}.recall", positives, "share of texts with a term where it is found")
    yield _share(f"{name}.precision", right, "share of terms found that are there")
    yield _share(f"{name}.false_positives", negatives, "share of innocent texts flagged")
    for kind, each in by_kind.items():
        if innocent[kind]:
            yield _share(f"{name}.flagged.{kind}", each, "share of innocent texts flagged")
        else:
            yield _share(f"{name}.recall.{kind}", each, "share where the term is found")


def _found(listed: TermList, row: Mapping[str, Any]) -> set[str]:
    lines = row.get("captions", ())
    pieces = [Caption(at_s=2.0 * at, until_s=2.0 * at + 2, text=text, score=1.0) for at, text in enumerate(lines)]
    shown = [Passage("captions", pieces)] if pieces else []
    return {match.term.text for match in listed.match(_titled(row.get("text", "")), shown)}


def _share(name: str, each: list[bool], unit: str) -> Row:
    return Row(name, sum(each) / len(each), unit, len(each))


def _titled(text: str) -> Upload:
    return replace(EXAMPLES["uploads"], title=text, description="", tags=())


def _rows(name: str) -> list[dict[str, Any]]:
    lines = files("tests.evaluation").joinpath("data", f"{name}.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]
