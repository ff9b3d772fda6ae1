"""Which listed claims an item is about, and what it does with them; by words alone, without embeddings."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.rumor.about import similarity
from agents.rumor.index import ClaimIndex, numbers_disagree
from agents.rumor.match import WINDOW, RumorList
from agents.rumor.words import holds, numbers, plain, sentences, tokens
from schemas.bank import RumorEntity
from schemas.policy import default_policy

CLAIM = "喝盐水可以预防核辐射"
ENGLISH = "drinking salt water protects against nuclear radiation"
THRESHOLD = default_policy().rumor.match


@pytest.fixture(scope="session")
def read(make):
    """The matches of these rumours in an upload of these texts."""

    def find(rumors, authority=False, **texts):
        return RumorList(rumors, make.now).read(make.upload(**texts), authority=authority)

    return find


@pytest.fixture(scope="session")
def asserted(make):
    """The ids of the rumours that an upload of these texts asserts, at the shipped policy's threshold."""

    def find(rumors, authority=False, **texts):
        matches = RumorList(rumors, make.now).match(make.upload(**texts), THRESHOLD, authority=authority)
        return [match.rumor.rumor_id for match in matches]

    return find


@pytest.mark.parametrize(
    "title",
    [
        CLAIM,
        f"紧急扩散！{CLAIM}，快告诉家人",
        "喝盐水，可以预防核辐射！",
        "喝 盐 水 可 以 预 防 核 辐 射",
        "喝鹽水可以預防核輻射",
        "喝盐水真的能够预防核辐射，转给爸妈",
    ],
)
def test_a_claim_is_asserted_in_other_dress_and_longer_text(make, asserted, title):
    assert asserted([make.rumor(CLAIM)], title=title) == ["r-1"]


@pytest.mark.parametrize(
    "title",
    [
        ENGLISH,
        ENGLISH.upper(),
        "ＤＲＩＮＫＩＮＧ salt-water protects against NUCLEAR radiation!!!",
        f"Trust me, {ENGLISH}.",
    ],
)
def test_width_and_case_do_not_matter(make, asserted, title):
    assert asserted([make.rumor(ENGLISH)], title=title) == ["r-1"]


@pytest.mark.parametrize(
    ("title", "stances"),
    [
        ("【辟谣】喝盐水可以预防核辐射？这是谣言，别信", ["refuted"]),
        ("喝盐水不能预防核辐射，请勿传播不实信息", ["refuted"]),
        (f"Fact check: {ENGLISH}? False.", ["refuted"]),
        ("Drinking salt water does not protect against nuclear radiation, doctors say", ["refuted"]),
        ("喝盐水可以预防核辐射，是真的吗？", ["asked"]),
        ("Is it true that drinking salt water protects against nuclear radiation?", ["asked"]),
        ("网民散布“喝盐水可以预防核辐射”，被警方行政拘留", ["reported"]),
    ],
)
def test_what_refutes_asks_or_reports_asserts_nothing_and_says_so(make, read, asserted, title, stances):
    rumors = [make.rumor(CLAIM, ENGLISH)]
    assert asserted(rumors, title=title) == []
    assert [match.stance for match in read(rumors, title=title)] == stances


def test_an_item_whose_description_refutes_its_title_refutes(make, asserted):
    texts = {"title": CLAIM, "description": f"网传“{CLAIM}”不实，官方辟谣：喝盐水不能预防核辐射，不信谣不传谣"}
    assert asserted([make.rumor(CLAIM)], **texts) == []


def test_of_an_authority_more_is_taken_for_a_refutation(make, read):
    title = "关于喝盐水可以预防核辐射的说明"
    (mine,), (authoritys) = read([make.rumor(CLAIM)], title=title), read([make.rumor(CLAIM)], True, title=title)
    assert all(one.score < mine.score for one in authoritys)


@pytest.mark.parametrize(
    "title",
    [
        "",
        "今天天气很好，我们去公园散步",
        "专家谈核电站的安全运行",
        "Wind and water: a day at the sea",
        "盐",
        "核辐射",
        "radiation",
    ],
)
def test_other_words_and_single_ones_assert_nothing(make, asserted, title):
    assert asserted([make.rumor(CLAIM, ENGLISH)], title=title) == []


def test_a_tag_names_a_subject_and_claims_nothing(make, read):
    assert read([make.rumor(CLAIM)], tags=(CLAIM,)) == []


def test_every_group_of_keywords_has_to_occur_and_none_that_is_barred(make, asserted):
    entry = make.rumor(CLAIM, must=(("盐水", "salt water"), ("辐射",)), must_not=("碘化钾",))
    assert asserted([entry], title=CLAIM) == ["r-1"]
    assert asserted([entry], title="喝碘化钾盐水可以预防核辐射") == []
    assert asserted([make.rumor(CLAIM, must=(("海水",), ("辐射",)))], title=CLAIM) == []


def test_who_the_claim_is_about_has_to_be_named(make, read):
    about = make.rumor("演员林若安昨晚去世了", entities=(RumorEntity(kind="person", names=("林若安",)),))
    entry = make.wire(about)
    (named,) = read([entry], title="林若安昨晚去世了")
    others = read([entry], title="演员王浩然昨晚去世了")
    assert all(other.about < named.about for other in others)


@pytest.mark.parametrize(("seconds", "expected"), [(1, 1), (None, 1)])
def test_a_rumour_is_matched_until_the_instant_it_expires(make, asserted, seconds, expected):
    expires_at = None if seconds is None else make.at(seconds)
    assert len(asserted([make.rumor(CLAIM, expires_at=expires_at)], title=CLAIM)) == expected


def test_what_expires_is_dropped_and_nothing_else(make):
    listed = RumorList([make.rumor(CLAIM, expires_at=make.at(5)), make.rumor(ENGLISH, rumor_id="r-2")], make.now)
    listed.expire(make.at(4.9))
    assert len(listed) == 2
    listed.expire(make.at(5))
    assert [match.rumor.rumor_id for match in listed.read(make.upload(title=f"{CLAIM}. {ENGLISH}"))] == ["r-2"]


def test_entries_come_go_and_replace_each_other(make):
    listed, upload = RumorList([], make.now), make.upload(title=CLAIM)
    listed.add(make.rumor(CLAIM), make.now)
    assert len(listed.read(upload)) == 1
    listed.add(make.rumor("明天全市停水三天请做好准备"), make.now)
    assert (listed.read(upload), len(listed)) == ([], 1)
    listed.add(make.rumor(CLAIM, status="true"), make.now)
    assert len(listed) == 0
    listed.remove("r-1")


def test_several_rumours_are_named_each_once(make, read):
    rumors = [make.rumor(CLAIM, ENGLISH), make.rumor("明天全市停水三天请做好准备", rumor_id="r-2")]
    found = read(rumors, title=f"{CLAIM}！{ENGLISH}！", description="明天全市停水三天，请做好准备")
    assert sorted(match.rumor.rumor_id for match in found) == ["r-1", "r-2"]
    assert [match.score for match in found] == sorted((match.score for match in found), reverse=True)


@pytest.mark.parametrize("claim", ["！！！！！", "，。，。"])
def test_a_claim_without_words_matches_nothing(make, read, claim):
    assert read([make.rumor(claim)], title=f"so {claim} it is") == []


def test_an_index_forgets_what_was_removed_wholly(make):
    index = ClaimIndex([make.rumor(CLAIM, ENGLISH, must=(("盐",), ("辐射",)))])
    index.remove("r-1")
    assert (index._postings, dict(index._listed), index.wordings, len(index)) == ({}, {}, {}, 0)
    keywords = index._keywords
    assert (dict(keywords._held), dict(keywords._listed), keywords._under, keywords._entries) == ({}, {}, {}, {})


def test_a_claim_is_found_among_many_that_share_its_words(make):
    others = [make.rumor(f"喝盐水可以预防感冒{number}号", rumor_id=f"o-{number}") for number in range(300)]
    index = ClaimIndex([*others, make.rumor(CLAIM)])
    text = plain(CLAIM)
    found = index.candidates(text, dict.fromkeys(tokens(text)))
    assert index.wordings[found[0]].claim == CLAIM


# Words


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("3.5 million people. They ran!", ["3.5 million people.", "they ran!"]),
        ("真的吗？假的。别信", ["真的吗?", "假的。", "别信"]),
        ("一行\n又一行", ["一行", "又一行"]),
        ("…… !!! ", []),
        ("", []),
    ],
)
def test_sentences_end_where_a_reader_ends_them(raw, expected):
    assert [sentence.text for sentence in sentences(raw)] == expected


@given(st.text(max_size=60))
def test_sentences_say_which_signs_they_are(raw):
    found = sentences(raw)
    assert [plain(raw[one.begin : one.end]) for one in found] == [one.text for one in found]
    assert all(one.end <= other.begin for one, other in pairwise(found))


@pytest.mark.parametrize(
    ("text", "word", "expected"),
    [
        ("a salty soup", "salt", True),
        ("the salticid spider", "salt", False),
        ("asalt", "salt", False),
        ("in the chat", "cat", False),
        ("two cats", "cat", True),
        ("喝盐水salt", "salt", True),
        ("喝盐水", "盐", True),
    ],
)
def test_a_keyword_is_found_as_a_word(text, word, expected):
    assert holds(text, word) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("三千元补贴", [(3000.0, "元")]),
        ("3,000 yuan", [(3000.0, "yuan")]),
        ("2万人", [(20000.0, "人")]),
        ("二十块", [(20.0, "块")]),
        ("一百二十万人", [(1_200_000.0, "人")]),
        ("十万元", [(100_000.0, "元")]),
        ("50%", [(50.0, "%")]),
    ],
)
def test_numbers_are_read_in_digits_and_chinese_numerals(text, expected):
    assert [tuple(number) for number in numbers(text)] == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("每人发三千元", False), ("每人发3000元", False), ("每人发五百元", True), ("每人发三瓶水", False)],
)
def test_other_figures_of_the_same_unit_disagree(text, expected):
    assert numbers_disagree("国家发放3000元补贴", text) is expected


words = st.text(st.sampled_from("abc盐水"), max_size=20)
claims = st.text(st.sampled_from("abc盐水"), min_size=4, max_size=100)


@given(claims, words, words)
def test_a_text_that_holds_the_claim_repeats_it_wholly(claim, before, after):
    assert similarity(claim, before + claim + after) == 1.0


def test_windows_of_a_long_text_leave_nothing_out(make, read):
    for before in range(6):
        filler = "今天我们去河边散步，天气很好。" * before
        assert len(filler) < 2 * WINDOW
        (match,) = read([make.rumor(CLAIM)], title=f"{filler}{CLAIM}。{filler}")
        assert match.stance == "asserted"
