"""The weights that ship, and the concepts that they weigh."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import msgspec
import pytest

from agents.rumor.concepts import concepts
from agents.rumor.model import ABOUT, Weights
from agents.rumor.stance import FEATURES, Around, features
from agents.rumor.train import digest, rows_of
from agents.rumor.words import plain

DATA = Path(__file__).parents[1] / "data" / "rumor"


def test_the_weights_were_trained_on_the_texts_cues_and_concepts_that_ship():
    weights = msgspec.json.decode(files("agents.rumor").joinpath("weights.json").read_bytes(), type=Weights)
    assert weights.manifest["sha256"] == digest(*rows_of(DATA, "tuning"))
    assert weights.manifest["about"] == list(ABOUT)
    assert weights.manifest["stance"] == list(FEATURES)


def test_no_text_or_claim_is_in_both_parts():
    parts = [rows_of(DATA, split) for split in ("tuning", "held_out")]
    assert parts[0][1]
    assert parts[1][1]
    claims, texts = ([set(part) for part in both] for both in (
        [[plain(claim) for rumor in rumors for claim in rumor.claims] for rumors, _ in parts],
        [[plain(row["text"]) for row in rows] for _, rows in parts],
    ))  # fmt: skip
    assert claims[0].isdisjoint(claims[1])
    assert texts[0].isdisjoint(texts[1])


@pytest.mark.parametrize("text", ["他昨晚去世了", "人没了", "he passed away", "She died at home"])
def test_other_words_for_the_same_tell_the_same(text):
    assert "death" in concepts(plain(text)).said


@pytest.mark.parametrize("text", ["a banner over the door", "diet for beginners"])
def test_a_word_within_another_tells_nothing(text):
    assert concepts(plain(text)).said.isdisjoint({"ban", "death"})


def test_a_negation_reaches_what_the_claim_tells_in_other_words_and_no_further_than_its_clause():
    claim = plain("海川银行要倒闭了")

    def on_told(text):
        around = Around(plain(text))
        return dict(zip(FEATURES, features(around, claim, {"海川": 1.0}, authority=False), strict=True))[
            "negation.on_told"
        ]

    assert on_told("海川银行没有破产") == 1
    assert on_told("没有骗你，海川银行破产了") == 0
