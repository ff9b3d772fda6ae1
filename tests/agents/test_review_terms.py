"""Listed terms are found in whatever width, case and punctuation they are written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.review.terms import TermList
from agents.text import normalised
from schemas.policy import Term


@pytest.fixture(scope="session")
def found(make):
    """(term, field) of each match of these terms in an upload of these texts."""

    def find(terms, **texts):
        listed = [term if isinstance(term, Term) else Term(text=term, category="c") for term in terms]
        return [(match.term.text, match.field) for match in TermList(listed).match(make.upload(**texts))]

    return find


@pytest.mark.parametrize(
    "title",
    [
        "代开发票",
        "专业代开发票，请联系",
        "代 开 发 票",
        "代.开-发*票",
        "代🔥开🔥发🔥票",
        "代\u200b开\u200b发\u200b票",
        "代\n开\t发　票",
    ],
)
def test_nothing_between_its_characters_hides_a_term(found, title):
    assert found(["代开发票"], title=title) == [("代开发票", "title")]


@pytest.mark.parametrize("title", ["vpn", "VPN", "ＶＰＮ", "ｖｐｎ", "V.P.N.", "v p n", "𝐕𝐏𝐍", "Ⓥⓟⓝ", "my vpns"])
@pytest.mark.parametrize("term", ["VPN", "vpn", "ｖｐｎ", "V-P-N"])
def test_width_case_and_style_do_not_matter_on_either_side(found, term, title):
    assert found([term], title=title) == [(term, "title")]


@pytest.mark.parametrize(
    ("term", "text"), [("ß", "SS"), ("STRASSE", "straße"), ("①②", "12"), ("ｶﾞｽ", "ガス"), ("café", "cafe\u0301")]
)
def test_what_unicode_holds_to_be_the_same_is(found, term, text):
    assert found([term], title=text) == [(term, "title")]


@pytest.mark.parametrize("title", ["", "代开", "开代发票", "代开的发票", "代开１发票", "发票代开"])
def test_other_text_does_not_match(found, title):
    assert found(["代开发票"], title=title) == []


def test_the_field_is_named_and_each_term_once_a_field(found):
    texts = {"title": "vpn, vpn and vpn", "description": "no", "tags": ("a", "vpn", "VPN!")}
    assert found(["vpn"], **texts) == [("vpn", "title"), ("vpn", "tags[1]"), ("vpn", "tags[2]")]


def test_a_term_does_not_reach_from_one_field_into_the_next(found):
    assert found(["代开发票"], title="代开", description="发票", tags=("代开发", "票")) == []


def test_of_terms_that_lie_in_one_another_the_longest_is_named(found):
    terms = ["发票", "代开发票", "开发"]
    assert found(terms, title="代开发票") == [("代开发票", "title")]
    assert found(terms, title="发票") == [("发票", "title")]
    assert found(terms, title="代开发票和发票") == [("代开发票", "title"), ("发票", "title")]


@pytest.mark.parametrize("terms", [["买枪", "枪支出售"], ["枪支出售", "买枪"]])
def test_of_terms_that_overlap_neither_hides_the_other(found, terms):
    assert found(terms, title="买枪支出售") == [("买枪", "title"), ("枪支出售", "title")]


def test_an_empty_list_matches_nothing(found):
    assert found([], title="anything", tags=("at all",)) == []


@pytest.mark.parametrize("term", ["!", "。，", "--- …", "🔥", " "])
def test_a_term_of_punctuation_alone_matches_nothing(found, term):
    assert found([term], title=f"wow{term}", description=term) == []
    assert found([term, "wow"], title=f"{term} wow") == [("wow", "title")]


def test_of_terms_that_read_the_same_the_last_is_in_force(make):
    terms = [Term(text="VPN", category="a"), Term(text="v.p.n", category="b", action="takedown")]
    (match,) = TermList(terms).match(make.upload(title="vpn"))
    assert (match.term.category, match.term.action) == ("b", "takedown")


letters = st.text(st.sampled_from("ab代"), min_size=1, max_size=3)


@given(st.sets(letters, max_size=5), st.text(st.sampled_from("ab代"), max_size=12))
def test_a_term_is_named_where_it_stands_outside_every_longer_one(found, terms, title):
    places = [
        (at, at + len(term)) for term in terms for at in range(len(title) - len(term) + 1) if title.startswith(term, at)
    ]
    outer = {
        title[start:end]
        for start, end in places
        if not any((s, e) != (start, end) and s <= start and end <= e for s, e in places)
    }
    matches = found(sorted(terms), title=title)
    assert {term for term, _ in matches} == outer
    assert len(matches) == len(outer)


@given(st.text(max_size=40), st.text(max_size=20), st.text(max_size=20))
def test_a_term_is_found_in_any_text_that_holds_it(found, term, before, after):
    # A character may join with what stands beside it (a letter and an accent), so that the text no longer holds it.
    if normalised(term) and normalised(term) in normalised(before + term + after):
        assert found([Term(text=term, category="c")], title=before + term + after) == [(term, "title")]
