"""Texts are found where their signs stand, and not where halves of others do."""

from __future__ import annotations

import pytest

from agents.review.automaton import Automaton


@pytest.mark.parametrize(
    ("texts", "text", "expected"),
    [
        (["枪支", "支出", "枪支出售"], "卖枪支出售了", [(0, 1, 3), (1, 2, 4), (2, 1, 5)]),
        (["aa"], "\u4e00\u6100\u61ff", []),  # its bytes lie there, across three signs
        (["𠮷a", "a"], "😀𠮷a😀a", [(0, 1, 3), (1, 2, 3), (1, 4, 5)]),  # signs of two units
        (["a"], "\ud800a", [(0, 1, 2)]),  # half of a sign, which no file holds, but a message may
        ([], "a", []),
    ],
)
def test_a_text_is_found_where_its_signs_stand(texts, text, expected):
    assert sorted(Automaton(texts).matches(text)) == expected
