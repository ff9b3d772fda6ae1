"""The catalogue and the code name the same reasons: none is made up on the spot, and none is only on paper."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import schemas
from schemas.reasons import CATALOGUE

ROOT = Path(schemas.__file__).parents[1]
CODE = re.compile(r"[A-Z]+(?:-[A-Z]+)+")


def codes_in(*folders: str) -> dict[str, set[str]]:
    """Every string of the code that looks like a reason code, and the files that hold it."""
    found: dict[str, set[str]] = {}
    for path in sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and CODE.fullmatch(node.value):
                found.setdefault(node.value, set()).add(str(path.relative_to(ROOT)))
    return found


def test_every_reason_in_the_code_is_in_the_catalogue():
    assert {code: files for code, files in codes_in("agents", "streams").items() if code not in CATALOGUE} == {}


def test_every_reason_of_the_catalogue_is_given_somewhere():
    assert set(CATALOGUE) - set(codes_in("agents", "streams")) == set()


@pytest.mark.parametrize("agent", sorted({code.agent for code in CATALOGUE.values()}))
def test_an_agent_gives_only_reasons_of_its_own(agent):
    given = codes_in(f"agents/{agent}")
    assert given
    assert {code: CATALOGUE[code].agent for code in given if CATALOGUE[code].agent != agent} == {}


def test_extraction_gives_only_its_own_reasons_which_the_review_agent_passes_on():
    given = codes_in("streams")
    assert {code for code in given if not code.startswith("EXTRACT-")} == set()
    assert {CATALOGUE[code].agent for code in given} == {"review"}


@pytest.mark.parametrize("code", CATALOGUE.values(), ids=CATALOGUE)
def test_a_reason_is_well_formed_and_says_what_it_means_and_what_ends_it(code):
    assert CODE.fullmatch(code.code)
    assert re.fullmatch(r"(AVP|DSP|LBL)-\d+", code.article)
    assert code.meaning.endswith(".")
    assert code.remedy.endswith(".")
