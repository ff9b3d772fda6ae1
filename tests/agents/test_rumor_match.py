"""Which listed claim a title or description repeats."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.rumor.match import SHORTEST, RumorList, similarity
from agents.text import normalised

CLAIM = "喝盐水可以预防核辐射"
ENGLISH = "drinking salt water protects against nuclear radiation"


@pytest.fixture(scope="session")
def found(make):
    """(rumour, field, score) of each match of these rumours in an upload of these texts."""

    def find(rumors, threshold=0.8, **texts):
        matches = RumorList(rumors, make.now).match(make.upload(**texts), threshold)
        return [(match.rumor.rumor_id, match.field, match.score) for match in matches]

    return find


@pytest.mark.parametrize(
    "title",
    [
        CLAIM,
        f"紧急扩散！{CLAIM}，快告诉家人",
        "喝盐水，可以预防核辐射！",
        "喝 盐 水 可 以 预 防 核 辐 射",
        "喝。盐。水。可。以。预。防。核。辐。射",
        "【喝盐水】可以→预防<核辐射>",
    ],
)
def test_a_claim_is_found_alone_in_longer_text_and_through_punctuation(make, found, title):
    assert found([make.rumor(CLAIM)], title=title) == [("r-1", "title", 1.0)]


@pytest.mark.parametrize(
    "title", [ENGLISH, ENGLISH.upper(), "ＤＲＩＮＫＩＮＧ salt-water protects against NUCLEAR radiation!!!"]
)
def test_width_and_case_do_not_matter(make, found, title):
    assert found([make.rumor(ENGLISH)], title=title) == [("r-1", "title", 1.0)]


@pytest.mark.parametrize("title", ["喝盐水能够预防核辐射", "喝盐水真可以预防核辐射"])
def test_a_small_change_of_wording_still_repeats_the_claim(make, found, title):
    ((rumor, field, score),) = found([make.rumor(CLAIM)], title=title)
    assert (rumor, field) == ("r-1", "title")
    assert 0.8 <= score < 1


@pytest.mark.parametrize(
    "title",
    [
        "",
        "今天天气很好，我们去公园散步",
        "专家谈核电站的安全运行",
        "多吃碘盐防辐射有用吗",
        "Wind and water: a day at the sea",
    ],
)
def test_other_words_stay_below_the_threshold(make, found, title):
    rumors = [make.rumor(CLAIM, ENGLISH)]
    assert found(rumors, title=title) == []
    assert all(score < 0.8 for _, _, score in found(rumors, threshold=0.0, title=title))


@pytest.mark.parametrize("title", ["盐", "核辐射", "盐水", "radiation", "salt water"])
def test_a_word_of_a_long_claim_does_not_repeat_it(make, found, title):
    assert found([make.rumor(CLAIM, ENGLISH)], title=title) == []


def test_the_whole_claim_but_its_last_character_still_repeats_it(make, found):
    assert len(found([make.rumor(CLAIM)], title=CLAIM[:-1])) == 1


def test_a_tag_names_a_subject_and_claims_nothing(make, found):
    assert found([make.rumor(CLAIM)], tags=(CLAIM,)) == []
    assert found([make.rumor(CLAIM)], tags=(CLAIM,), description=CLAIM) == [("r-1", "description", 1.0)]


def test_a_claim_does_not_reach_from_one_field_into_the_next(make, found):
    assert found([make.rumor(CLAIM)], title=CLAIM[:5], description=CLAIM[5:]) == []


@pytest.mark.parametrize(("seconds", "expected"), [(-1, 0), (0, 0), (1, 1), (None, 1)])
def test_a_rumour_is_matched_until_the_instant_it_expires(make, found, seconds, expected):
    expires_at = None if seconds is None else make.at(seconds)
    assert len(found([make.rumor(CLAIM, expires_at=expires_at)], title=CLAIM)) == expected


def test_a_list_says_when_it_has_to_be_made_again(make):
    rumors = [make.rumor(CLAIM, rumor_id=str(after), expires_at=make.at(after)) for after in (-5, 20, 10)]
    assert RumorList([*rumors, make.rumor(CLAIM)], make.now).stale_at == make.at(10)
    assert RumorList([make.rumor(CLAIM)], make.now).stale_at is None


def test_of_a_rumours_wordings_and_an_items_fields_the_best_is_named(make):
    rumors = RumorList([make.rumor("喝盐水能防止核辐射的危害", CLAIM)], make.now)
    (match,) = rumors.match(make.upload(title="喝盐水能够预防核辐射", description=f"是真的：{CLAIM}"), 0.5)
    assert (match.claim, match.field, match.score) == (CLAIM, "description", 1.0)


def test_of_fields_that_match_equally_well_the_first_is_named(make, found):
    assert found([make.rumor(CLAIM)], title=CLAIM, description=CLAIM) == [("r-1", "title", 1.0)]


def test_several_rumours_are_named_best_first(make, found):
    rumors = [make.rumor("喝盐水能够预防核辐射", rumor_id="near"), make.rumor(CLAIM, rumor_id="same")]
    matches = found(rumors, title=CLAIM)
    assert [rumor for rumor, _, _ in matches] == ["same", "near"]
    assert matches[0][2] > matches[1][2] >= 0.8


@pytest.mark.parametrize(("over", "expected"), [(-0.001, 1), (0.0, 1), (0.001, 0)])
def test_the_threshold_itself_counts(make, found, over, expected):
    title = "喝盐水能够预防核辐射"
    score = similarity(normalised(CLAIM), normalised(title))
    assert len(found([make.rumor(CLAIM)], threshold=score + over, title=title)) == expected


@pytest.mark.parametrize(("claim", "expected"), [("a.b.c.d", 1), ("a, b; c!", 0), ("！！！！！", 0)])
def test_a_claim_of_too_few_characters_matches_nothing(make, found, claim, expected):
    assert (len(normalised(claim)) >= SHORTEST) is bool(expected)
    assert len(found([make.rumor(claim)], title=f"so {claim} it is")) == expected


def test_an_empty_list_matches_nothing(found):
    assert found([], threshold=0.0, title=CLAIM) == []


words = st.text(st.sampled_from("abc盐水"), max_size=20)
#: Longer than a machine word has bits, too: there the library aligns in another way.
claims = st.text(st.sampled_from("abc盐水"), min_size=SHORTEST, max_size=100)


@given(claims, words, words)
def test_a_text_that_holds_the_claim_repeats_it_wholly(claim, before, after):
    assert similarity(claim, before + claim + after) == 1.0


@given(words, words)
def test_similarity_is_a_share(claim, text):
    assert 0.0 <= similarity(claim, text) <= 1.0
