"""Forms of texts: what reads the same is the same, and every sign knows where it comes from."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agents import textforms_tables
from agents.text import normalised
from agents.textforms import BARRIER, folded, is_han, is_spaced, leet, sounded, together


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("出售假幣", "出售假币"),
        ("賭球平臺", "赌球平台"),
        ("発売", "发卖"),
        ("ＶＰＮ", "vpn"),
        ("𝐕𝐏𝐍 Ⓥⓟⓝ", "vpnvpn"),
        ("fаkе pаsspоrt", "fakepassport"),  # Cyrillic а, е, о
        ("gυn", "gun"),  # Greek υ
        ("ｶﾞｽ", "ガス"),
        ("café", "cafe\u0301"),
        ("straße", "STRASSE"),
        ("①②⑩", "1210"),
        ("٣४", "34"),
        ("㎏ ﬁ", "kgfi"),
        ("代\u200b开🔥发·票", "代开发票"),
        ("⼝", "口"),
    ],
)
def test_what_reads_the_same_is_the_same(one, other):
    assert folded(one).text == folded(other).text


@pytest.mark.parametrize("text", ["欠缺", "里裏", "한국어", "русский", "ไทย", "𠮷野家"])
def test_words_stay_words(text):
    assert len(folded(text).text) >= len(text) - 1


def test_different_words_stay_different():
    assert folded("欠").text != folded("缺").text
    assert folded("1l").text != folded("il").text


@given(st.text(max_size=60))
@example("ß㎏ﬁ가각")
@example("\ud800代")
def test_each_sign_comes_from_a_place_of_the_text_in_order(text):
    form = folded(text)
    assert len(form.text) == len(form.origin) == len(form.codes)
    assert all(one <= other for one, other in zip(form.origin, form.origin[1:], strict=False))
    assert all(folded(form.raw[place]).text for place in form.origin)


@given(st.text(max_size=40))
def test_folding_again_changes_nothing(text):
    once = folded(text).text
    assert folded(once).text == once


@given(st.text(max_size=30), st.text(max_size=30))
def test_what_is_normalised_alike_is_folded_alike(one, other):
    if normalised(one) == normalised(other):
        assert folded(normalised(one)).text == folded(normalised(other)).text


@given(st.lists(st.text(max_size=12), min_size=1, max_size=6))
def test_many_texts_folded_together_are_each_as_if_alone(texts):
    alone = [folded(text.replace(BARRIER, " ")).text for text in texts]
    if not any(text[:1] and ord(text[0]) >= 0x300 for text in texts):  # a mark that joins with what stands before it
        assert together(texts) == alone


def test_a_barrier_stays_where_it_is_and_nothing_else_becomes_one():
    assert folded(f"a{BARRIER}b").text == f"a{BARRIER}b"
    assert BARRIER not in folded("".join(map(chr, range(0x1E))) + "".join(map(chr, range(0x1F, 0x3000)))).text


def test_a_form_is_spoken_in_pinyin_and_each_letter_knows_its_sign():
    form = folded("代kao包過!")
    spoken = sounded(form)
    assert spoken.letters == b"daikaobaoguo"
    assert [form.text[at] for at in spoken.at] == [*"代代", "代", *"kao", *"包包包", *"过过过"]


@given(st.text(max_size=40))
def test_as_many_letters_are_spoken_as_have_a_place(text):
    form = folded(text)
    spoken = sounded(form)
    assert len(spoken.letters) == len(spoken.at)
    assert sorted(set(spoken.at.tolist())) == list(range(len(form.text)))


def test_digits_and_signs_are_letters_only_beside_letters():
    assert leet("fak3 pa$$p0rt").text == "fakepassport"
    assert leet("gun for 4 5") is None
    assert leet("100% 代开3") is None
    assert leet("") is None


def test_scripts_are_told_apart():
    assert [is_han(one) for one in "代𠮷aа가ア"] == [True, True, False, False, False, False]
    assert [is_spaced(one) for one in "aＡéаβ代가1 "] == [True] * 5 + [False] * 4


def test_syllables_have_numbers_of_nine_bits():
    table, numbers = textforms_tables.syllable_numbers()
    assert 400 < len(numbers) < 512
    assert (table[ord("枪")], table[ord("a")]) == (numbers["qiang"], 0)


def test_only_what_is_near_letters_is_spoken_where_that_is_asked_for():
    form = folded("代开发票ab中文名字")
    spoken = sounded(form, near_letters=2)
    assert spoken.letters == b"  fapiaoabzhongwen  "
    assert [form.text[at] for at in dict.fromkeys(spoken.at.tolist())] == list(form.text)
