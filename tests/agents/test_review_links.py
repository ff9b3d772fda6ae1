"""Links are found however they are written, and only where they lead to what is listed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.review.links import SHORTENERS, LinkList
from agents.text import Passage
from schemas.policy import Link
from schemas.signals import Caption, Evidence, Signal


def links_in(text, *patterns):
    listed = LinkList([Link(pattern=pattern, category="c") for pattern in patterns])
    return [(link.pattern, words) for link, words in listed.links_in(text)]


@pytest.mark.parametrize(
    "text",
    [
        "casino.example",
        "https://casino.example/?a=1",
        "请访问casino.example领奖",
        "www.casino.example",
        "HTTP://CASINO.EXAMPLE:8080/x",
        "ｃａｓｉｎｏ．ｅｘａｍｐｌｅ",
        "casino。example",
        "casino[.]example",
        "casino (dot) example",
        "casino dot example",
        "casino 点 example",
        "casino点example",
        "casino . example",
        "casi\u200bno.exam\u00adple",
        "c%61sino.example",
        "it is casino.example. Go there",
        "访问casino.example。谢谢",
        "a@casino.example",
        "https://good.example@casino.example/",
    ],
)
def test_a_listed_host_is_found_however_it_is_written(text):
    assert [pattern for pattern, _ in links_in(text, "casino.example")] == ["casino.example"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "notcasino.example",
        "casino.example.net",
        "casino.examples",
        "casino-example",
        "casino. example is a word",
        "casino is an example",
        "my-casino.example-site.org",
    ],
)
def test_other_hosts_are_not(text):
    assert links_in(text, "casino.example") == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("casino.example/join/7", True),
        ("casino.example:443/JOIN/7", True),
        ("casino.example/join", False),
        ("casino.example/other/join/7", False),
        ("casino.example", False),
        ("casino.example /join/7", False),
    ],
)
def test_a_path_is_the_beginning_of_the_links_own(text, expected):
    assert bool(links_in(text, "casino.example/join/*")) is expected


def test_a_star_within_a_path_stands_for_anything():
    assert links_in("a.example/u/77/gift?x", "a.example/u/*/gift")
    assert not links_in("a.example/u/77/lift?x", "a.example/u/*/gift")


@pytest.mark.parametrize("text", ["例子.example", "xn--fsqu00a.example", "访问 例子。example"])
@pytest.mark.parametrize("pattern", ["例子.example", "xn--fsqu00a.example"])
def test_a_host_in_other_letters_is_the_same_as_its_punycode(text, pattern):
    assert links_in(text, pattern)


def test_the_shorteners_that_are_known_are_a_list_of_their_own():
    assert [words for _, words in links_in("看 t.cn/A6xyz 和 bit.ly/3a", "@shorteners")] == ["t.cn/a6xyz", "bit.ly/3a"]
    assert len(set(SHORTENERS)) == len(SHORTENERS)


def test_the_link_is_shown_whole_and_short():
    ((_, words),) = links_in("see https://a.b.casino.example/join?x=" + "y" * 500, "casino.example")
    assert words.startswith("https://a.b.casino.example/join?x=yyy")
    assert len(words) <= 120


def test_texts_captions_and_codes_are_searched_each_with_its_place(make):
    listed = LinkList([Link(pattern="casino.example", category="c")])
    pieces = [
        Caption(at_s=at, until_s=at + 1, text=text, score=0.9) for at, text in ((3.0, "casino.example"), (1.0, "x"))
    ]
    code = Signal(name="qr", detector="qr", score=1.0, evidence=(Evidence(at_s=7.0, text="https://casino.example/q"),))
    found = listed.match(make.upload(title="casino.example"), [Passage("captions", pieces)], [code, make.signal("x")])
    assert [(match.field, match.place and (match.place.at_s, match.place.score)) for match in found] == [
        ("title", None),
        ("captions", (3.0, 0.9)),
        ("qr", (7.0, 1.0)),
    ]


@given(st.text(max_size=60), st.lists(st.text("ab.例-", min_size=1, max_size=6), max_size=4))
def test_no_text_and_no_pattern_is_too_odd(text, patterns):
    listed = LinkList([Link(pattern=pattern, category="c") for pattern in patterns])
    assert all(words in text.casefold() or words for _, words in listed.links_in(text))
