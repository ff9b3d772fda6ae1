"""Words: listed terms and rumours, on texts that were written for this and used for nothing else.

Matching is lexical, and the kinds of text are chosen to show what that means: it finds what is repeated, in whatever
dress, and can tell neither a paraphrase from another text nor a refutation from the claim.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

from msgspec.structs import replace

from agents.review.terms import TermList
from agents.rumor.match import RumorList
from schemas.bank import Rumor
from schemas.event import Upload
from schemas.examples import EXAMPLES
from schemas.message import convert
from schemas.policy import Term, default_policy
from tests.bench.report import Row

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FLAGGED = "share flagged"


def terms(_quick: bool) -> Iterator[Row]:
    """Kinds: verbatim; hidden behind punctuation, spaces, width and case; disguised by other characters; innocent; and
    innocent with a term's letters across or inside words."""
    listed = TermList([Term(**row) for row in _rows("terms")])
    by_kind: dict[str, list[bool]] = defaultdict(list)
    positives: list[bool] = []
    negatives: list[bool] = []
    for row in _rows("term_texts"):
        found = {match.term.text for match in listed.match(_titled(row["text"]))}
        by_kind[row["kind"]].append(bool(found))
        if row["term"]:
            positives.append(row["term"] in found)
        else:
            negatives.append(bool(found))
    yield _share("review.terms.recall", positives, "share of texts with a term where it is found")
    yield _share("review.terms.false_positives", negatives, "share of innocent texts flagged")
    for kind, flagged in by_kind.items():
        yield _share(f"review.terms.flagged.{kind}", flagged, FLAGGED)


def rumors(_quick: bool) -> Iterator[Row]:
    """At the default policy's similarity. An item is right if the rumour that it asserts, and no other, is matched."""
    rows = [convert(Rumor, row | {"added_at": NOW.isoformat()}) for row in _rows("rumors")]
    listed, threshold = RumorList(rows, NOW), default_policy().rumor.match
    by_kind: dict[str, list[bool]] = defaultdict(list)
    asserted: list[bool] = []
    right: list[bool] = []
    for row in _rows("rumor_texts"):
        found = {match.rumor.rumor_id for match in listed.match(_titled(row["text"]), threshold)}
        by_kind[row["kind"]].append(bool(found))
        if row["rumor"]:
            asserted.append(row["rumor"] in found)
        right += [rumor == row["rumor"] for rumor in found]
    yield _share("rumor.recall", asserted, "share of texts that assert a listed claim")
    yield _share("rumor.precision", right, "share of matches whose text asserts that claim")
    yield _share("rumor.refutations_flagged", by_kind.pop("refutation"), "share of refutations taken for the claim")
    for kind, flagged in by_kind.items():
        yield _share(f"rumor.flagged.{kind}", flagged, FLAGGED)


def _share(name: str, each: list[bool], unit: str) -> Row:
    return Row(name, sum(each) / len(each), unit, len(each))


def _titled(text: str) -> Upload:
    return replace(EXAMPLES["uploads"], title=text, description="", tags=())


def _rows(name: str) -> list[dict[str, Any]]:
    lines = files("tests.evaluation").joinpath("data", f"{name}.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]
