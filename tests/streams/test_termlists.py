"""Lists of terms and links in files beside a policy."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.lists import PART_BYTES, parted
from schemas.message import convert, encode
from schemas.policy import Link, Policy, Term
from streams.cli.termlists import ListFault, resolved


@pytest.fixture
def read(tmp_path: Path):
    def read(name: str, text: str | bytes, **entry):
        (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        tree = {"name": "p", "version": 1, "review": {"term_lists": [{"name": "law", "file": name, **entry}]}}
        return resolved(tree, tmp_path)

    return read


def entries(found):
    return [(one.text, one.category, one.action) for part in found.parts for one in part.terms]


def test_a_plain_file_has_a_term_a_line(read):
    found = read("law.txt", "# drugs\n冰毒\n\n  大麻 \n", category="drugs", action="takedown")
    assert entries(found) == [("冰毒", "drugs", "takedown"), ("大麻", "drugs", "takedown")]
    policy = convert(Policy, found.tree)
    assert (policy.review.term_lists[0].entries, found.counts) == (2, {"law": 2})


def test_a_table_says_each_terms_own_and_may_hold_links(read):
    found = read(
        "law.csv",
        "text,pattern,category,severity,unless,disguises\n冰毒,,drugs,highest,戒冰毒|打击冰毒,false\n,casino.example,gambling,,,\n",
        action="review",
    )
    (part,) = found.parts
    assert part.terms == (
        Term(text="冰毒", category="drugs", severity="highest", unless=("戒冰毒", "打击冰毒"), disguises=False),
    )
    assert part.links == (Link(pattern="casino.example", category="gambling"),)


def test_lines_of_json_are_the_wires_own(read):
    found = read("law.jsonl", '{"text": "a", "category": "c"}\n{"pattern": "b.example", "category": "c"}\n')
    assert (len(found.parts[0].terms), len(found.parts[0].links)) == (1, 1)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("law.txt", "冰毒\n", "line 1: category: "),
        ("law.csv", "text,category\n冰毒,c\n" + "长" * 300 + ",c\n大麻,c,x\n", "line 3: text: "),
        ("law.csv", "text,category\n冰毒,c\n大麻,c,x\n", "line 3: has 3 cells"),
        ("law.csv", "text,kategory\n", "line 1: column 'kategory' is unknown; there are text"),
        ("law.csv", "category\n", "line 1: there is neither"),
        ("law.jsonl", '{"text": "a", "category": "c"}\n{"text"\n[]\n', "line 2: is not JSON"),
        ("law.jsonl", "[]\n", "line 1: is not an object"),
        ("law.jsonl", '{"pattern": "http://x", "category": "c"}\n', "line 1: pattern: "),
        ("law.txt", b"\xff\xfe", "cannot be read"),
        ("law.txt", "\n", "holds no terms"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(read, name, text, said):
    with pytest.raises(ListFault) as fault:
        read(name, text)
    assert said in str(fault.value)


def test_of_many_faults_the_first_are_told_and_the_rest_counted(read):
    with pytest.raises(ListFault) as fault:
        read("law.jsonl", "[]\n" * 50)
    assert str(fault.value).count("is not an object") == 20
    assert "and 30 more" in str(fault.value)


def test_a_file_that_is_not_there_is_named_with_its_field(tmp_path):
    with pytest.raises(ListFault, match=r"review.term_lists\[0\].file: .*none.txt cannot be read"):
        resolved({"review": {"term_lists": [{"name": "a", "file": "none.txt"}]}}, tmp_path)
    with pytest.raises(ListFault, match=r"review.term_lists\[0\].name"):
        resolved({"review": {"term_lists": [{"file": "none.txt"}]}}, tmp_path)
    with pytest.raises(ListFault, match=r"review.term_lists\[0\].kategory"):
        resolved({"review": {"term_lists": [{"name": "a", "file": "x", "kategory": "c"}]}}, tmp_path)


def test_a_policy_as_it_is_shown_goes_through_as_it_is(read, tmp_path):
    shown = read("law.txt", "冰毒\n", category="c").tree
    assert resolved(shown, tmp_path).tree == shown
    assert resolved({"review": "odd"}, tmp_path).tree == {"review": "odd"}


def test_parts_fit_into_messages_and_hold_everything_in_its_order():
    terms = [Term(text=f"词语{number}", category="c" * 60, unless=("x" * 150,)) for number in range(5000)]
    links = [Link(pattern=f"a{number}.example", category="c") for number in range(10)]
    ref, parts = parted("law", terms, links)
    assert [part.part for part in parts] == list(range(ref.parts))
    assert all(len(encode(part)) < PART_BYTES + 5000 for part in parts)
    assert [one for part in parts for one in part.terms] == terms
    assert [one for part in parts for one in part.links] == links
    assert parted("law", terms, links)[0] == ref != parted("law", terms[1:], links)[0]
    assert parted("none", [])[0].parts == 1
