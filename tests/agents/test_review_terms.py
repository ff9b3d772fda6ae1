"""Listed terms are found however they are written, and other words are not."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agents.review.terms import TermList
from agents.text import Passage
from agents.textforms import together
from schemas.policy import Term
from schemas.signals import Caption


@pytest.fixture(scope="session")
def found(make):
    """(term, field) of each match of these terms in an upload of these texts."""

    def find(terms, **texts):
        listed = [term if isinstance(term, Term) else Term(text=term, category="c") for term in terms]
        allow = texts.pop("allow", ())
        return [(match.term.text, match.field) for match in TermList(listed, allow).match(make.upload(**texts))]

    return find


@pytest.fixture(scope="session")
def hows(make):
    """How each of these terms is in a title: "" as written, sound, look."""

    def find(title, *terms):
        listed = [term if isinstance(term, Term) else Term(text=term, category="c") for term in terms]
        return {match.term.text: match.how for match in TermList(listed).match(make.upload(title=title))}

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
    anywhere = [Term(text=term, category="c", boundary="none") for term in terms]
    assert found(anywhere, title="买枪支出售") == [("买枪", "title"), ("枪支出售", "title")]


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
    listed = [Term(text=term, category="c", boundary="none", disguises=False) for term in sorted(terms)]
    matches = found(listed, title=title)
    assert {term for term, _ in matches} == outer
    assert len(matches) == len(outer)


@given(st.text(max_size=40), st.text(max_size=20), st.text(max_size=20))
def test_a_term_without_boundaries_is_found_in_any_text_that_holds_it(found, term, before, after):
    # A character may join with what stands beside it (a letter and an accent), so that the text no longer holds it.
    (form,) = together([term])
    if form and form in together([before + term + after])[0]:
        listed = Term(text=term, category="c", boundary="none")
        assert found([listed], title=before + term + after) == [(term, "title")]


@given(st.text(max_size=40))
@example(term="\x1e")  # which parts texts within, and is nothing that could be listed
def test_a_term_is_found_where_it_stands_alone(found, term):
    if together([term])[0]:
        assert found([Term(text=term, category="c")], title=term, description=f"。 {term} 。")[:1] == [(term, "title")]


@given(st.lists(st.text(min_size=1, max_size=8), max_size=5), st.text(max_size=60))
def test_no_text_and_no_list_is_too_odd(found, terms, title):
    assert {term for term, _ in found(terms, title=title)} <= set(terms)


# Where words begin and end.


@pytest.mark.parametrize(
    ("term", "title"),
    [
        ("gun for sale", "the race has begun for sale items"),
        ("gun", "a handgun"),
        ("gun", "gunpowder"),
        ("meth", "something useful"),
        ("meth", "a new method"),
        ("heroin", "my hero in this film"),
        ("heroin", "a heroine"),
        ("18", "in 2018"),
        ("сор", "сорт"),
        ("裸聊", "一起来裸，聊下身体"),
        ("裸聊", "他来裸\n聊下身体"),
        ("迷药", "股价低迷药店关门"),
        ("代孕", "古代孕妇的生活"),
        ("外挂", "海外挂牌上市"),
    ],
)
def test_a_term_is_not_found_within_other_words_or_across_them(found, term, title):
    assert found([term], title=title) == []
    assert found([Term(text=term, category="c", boundary="none")], title=title) == [(term, "title")]


@pytest.mark.parametrize(
    ("term", "title"),
    [
        ("gun", "GUN!"),
        ("gun", "买gun吧"),
        ("gun", "three guns"),
        ("gun", "the gun’s barrel"),
        ("gun", "gun2026"),
        ("buy followers", "BuyFollowersNow"),
        ("gun for sale", "g-u-n f.o.r s_a_l_e"),
        ("meth", "m e t h"),
        ("裸聊", "深夜裸聊加我"),
        ("裸聊", "【裸】【聊】"),
        ("裸聊", "加我裸*聊"),
        ("裸聊", "裸。聊"),
        ("迷药", "迷药无色无味"),
        ("迷", "迷"),
    ],
)
def test_a_term_is_found_where_it_is_a_word_of_its_own(found, term, title):
    assert found([term], title=title) == [(term, "title")]


def test_a_longer_chinese_term_may_be_held_to_words_as_well(found):
    title = "门外挂着红灯笼"
    assert found(["外挂着"], title=title) == [("外挂着", "title")]
    assert found([Term(text="外挂着", category="c", boundary="word")], title=title) == []


# Disguises.


@pytest.mark.parametrize(
    ("term", "title", "how"),
    [
        ("枪支出售", "枪只出售", "sound"),
        ("枪支出售", "抢支初售", "sound"),
        ("枪支出售", "槍隻出售", "sound"),
        ("代考包过", "代kao包过", "sound"),
        ("代考包过", "daikao baoguo", "sound"),
        ("裸聊", "luo聊", "sound"),
        ("裸聊", "裸liao", "sound"),
        ("裸聊", "luoliao", "sound"),
        ("fake passport", "fak3 passp0rt", "look"),
        ("meth", "m3th", "look"),
        ("gun for sale", "gun 4 sale", "look"),
        ("selling guns", "5elling gun5", "look"),
        ("lottery", "Iottery 1ottery", "look"),
    ],
)
def test_a_term_in_disguise_is_found_and_said_to_be_disguised(hows, term, title, how):
    assert hows(title, term) == {term: how}
    assert hows(title, Term(text=term, category="c", disguises=False)) == {}


@pytest.mark.parametrize(
    ("term", "title"),
    [
        ("枪支出售", "强制出售"),  # sounds the same, and is a word
        ("枪支出售", "枪支"),
        ("办理假证", "办理家政"),
        ("裸聊", "落料"),  # of two characters too many words sound alike
        ("大麻", "dama"),
        ("代考包过", "daikaobaoguoya"),
        ("ios", "105"),
        ("meth", "3333"),
        ("list", "1157"),
        ("gun for sale", "gun 5 sale"),
    ],
)
def test_what_only_sounds_or_looks_somewhat_alike_is_no_disguise(hows, term, title):
    assert hows(title, term) == {}


def test_what_is_written_plainly_is_not_called_disguised(hows):
    assert hows("枪支出售，也叫枪只出售", "枪支出售") == {"枪支出售": ""}


# Exceptions.


def test_a_phrase_of_the_terms_own_lets_it_pass_and_no_other_term(found):
    terms = [Term(text="枪支出售", category="c", unless=("打击枪支出售",)), Term(text="枪支", category="c")]
    assert found(terms[:1], title="警方打击枪支出售") == []
    assert found(terms, title="警方打击枪支出售") == [("枪支", "title")]
    assert found(terms, title="枪支出售") == [("枪支出售", "title")]
    assert found(terms[:1], title="打击枪支出售，内有枪支出售") == [("枪支出售", "title")]
    assert found([terms[0], "打击"], title="打击枪支出售") == [("打击", "title")]


def test_a_phrase_of_the_policy_lets_every_term_pass(found):
    assert found(["枪支", "出售"], title="严禁·枪支·出售！", allow=["严禁枪支出售"]) == []
    assert found(["枪支", "禁止枪"], title="严禁枪支出售", allow=["枪支出售"]) == []


def test_a_term_split_across_two_captions_is_found_though_it_is_short(make):
    pieces = [Caption(at_s=at, until_s=at + 1, text=text, score=1.0) for at, text in ((1.0, "要冰"), (2.0, "毒有"))]
    listed = TermList([Term(text="要冰毒", category="c")])
    (match,) = listed.match(make.upload(title=""), [Passage("captions", pieces)])
    assert (match.place.at_s, match.place.until_s, match.place.words) == (1.0, 3.0, "要冰 / 毒有")
