"""Entries in files: JSON lines and ClaimReview, and what becomes of bad ones."""

from __future__ import annotations

import json

import pytest

from agents.rumor import claimreview
from agents.rumor.entries import Bad, format_of, lines, read
from schemas.bank import Rumor
from schemas.examples import EXAMPLES
from schemas.message import Refused, decode, encode

REVIEW = {
    "@context": "https://schema.org",
    "@type": "ClaimReview",
    "url": "https://example.org/salt",
    "claimReviewed": "Drinking salt water protects against radiation",
    "datePublished": "2026-02-01",
    "inLanguage": "en",
    "author": {"@type": "Organization", "name": "Example Facts"},
    "reviewBody": "It does not.",
    "reviewRating": {
        "@type": "Rating",
        "ratingValue": "1",
        "bestRating": "5",
        "worstRating": "1",
        "alternateName": "False",
    },
    "itemReviewed": {"@type": "Claim", "alternateName": ["salt water keeps radiation out"]},
}


def rating(**changes):
    return REVIEW | {"reviewRating": changes}


def without(*fields):
    return {name: value for name, value in REVIEW.items() if name not in fields}


@pytest.fixture(scope="session")
def taken(make):
    def take(document, kind="claimreview"):
        data = document if isinstance(document, bytes) else json.dumps(document).encode()
        return list(read(data, kind, make.now))

    return take


def test_an_entry_of_every_field_comes_back_from_json_lines_as_it_was(make, taken):
    rows = [EXAMPLES["rumors"], make.rumor("一个说法而已", status="suspected", rumor_id="r-2")]
    data = lines(rows)
    assert format_of(data) == "jsonl"
    assert taken(data, "jsonl") == list(rows)


def test_bad_lines_are_named_by_line_field_and_reason_and_the_others_are_taken(make, taken):
    good = make.rumor("一个说法而已", status="suspected")
    tree = json.loads(encode(good))
    bad = [
        tree | {"rumor_id": "a", "status": "refuted"},
        tree | {"rumor_id": "b", "must": [["盐"]], "must_not": ["盐"]},
        tree | {"rumor_id": "c", "expires_at": make.at(-1).isoformat(), "added_at": make.at(-9).isoformat()},
        tree | {"rumor_id": "d", "expires_at": tree["added_at"]},
        tree | {"rumor_id": "e", "claims": []},
        tree,
    ]
    data = b"\n".join(
        [
            encode(good),
            b"",
            *(json.dumps(row).encode() for row in bad),
            b"{",
            encode(make.rumor("另一个说法", rumor_id="z")),
        ]
    )
    found = taken(data, "jsonl")
    assert [row.rumor_id for row in found if isinstance(row, Rumor)] == ["r-1", "z"]
    named = [(row.place, row.field) for row in found if isinstance(row, Bad)]
    assert named == [
        ("line 3", "refutation"), ("line 4", "must.0"), ("line 5", "expires_at"), ("line 6", "expires_at"),
        ("line 7", "claims"), ("line 8", "rumor_id"), ("line 9", ""),
    ]  # fmt: skip
    assert all(row.reason for row in found if isinstance(row, Bad))


@pytest.mark.parametrize(
    "document",
    [
        REVIEW,
        [REVIEW],
        {"@context": "https://schema.org", "@graph": [REVIEW]},
        {"@type": "DataFeed", "dataFeedElement": [{"@type": "DataFeedItem", "item": [REVIEW]}]},
        {"@type": "DataFeed", "dataFeedElement": REVIEW},
        {"@type": "Article", "review": REVIEW},
        REVIEW | {"@type": ["ClaimReview", "Review"], "author": [{"name": "Example Facts"}]},
    ],
    ids=["single", "list", "graph", "feed", "feed of one", "article", "types"],
)
def test_claim_review_is_taken_in_in_each_of_its_dresses(taken, document):
    (row,) = taken(document)
    assert row.claims == ("Drinking salt water protects against radiation", "salt water keeps radiation out")
    assert (row.status, row.languages, row.refutation.text) == ("refuted", ("en",), "It does not.")
    assert (row.refutation.authority, row.refutation.url) == ("Example Facts", "https://example.org/salt")
    assert row.refutation.published_at.isoformat() == "2026-02-01T00:00:00+00:00"


def test_a_review_that_is_taken_in_again_replaces_itself(taken):
    assert taken(REVIEW)[0].rumor_id == taken([REVIEW])[0].rumor_id
    assert taken(REVIEW)[0].rumor_id != taken(REVIEW | {"url": "https://example.org/other"})[0].rumor_id


@pytest.mark.parametrize(
    ("review", "status"),
    [
        (rating(alternateName="Pants on Fire"), "refuted"),
        (rating(alternateName="不实信息"), "refuted"),
        (rating(alternateName="属实"), "true"),
        (rating(alternateName="Mostly true"), "true"),
        (rating(alternateName="Not true"), "refuted"),
        (rating(alternateName="Half true"), "suspected"),
        (rating(alternateName="Misleading"), "suspected"),
        (rating(alternateName="Missing context"), "suspected"),
        (rating(ratingValue=1, worstRating=1, bestRating=5), "refuted"),
        (rating(ratingValue=3, worstRating=1, bestRating=5), "suspected"),
        (rating(ratingValue="5", worstRating="1", bestRating="5"), "true"),
        (rating(alternateName="False", ratingValue=5, worstRating=1, bestRating=5), "refuted"),
    ],
)
def test_words_of_a_rating_come_before_its_figures(taken, review, status):
    assert taken(review)[0].status == status


@pytest.mark.parametrize(
    ("review", "field"),
    [
        (without("claimReviewed"), "claimReviewed"),
        (without("reviewRating"), "reviewRating"),
        (rating(ratingValue=1), "reviewRating"),
        (rating(ratingValue=0, worstRating=1, bestRating=5), "reviewRating"),
        (without("author"), "author"),
        (REVIEW | {"datePublished": "yesterday"}, "datePublished"),
        (REVIEW | {"@type": "Recipe"}, "@type"),
        (7, ""),
    ],
)
def test_a_review_with_missing_fields_is_named_and_the_next_is_taken(taken, review, field):
    bad, good = taken([review, REVIEW])
    assert isinstance(bad, Bad)
    assert (bad.place, bad.field) == ("item 1", field)
    assert isinstance(good, Rumor)


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe", b"[" * 2000])
def test_what_is_no_json_is_named_and_nothing_is_taken(taken, data):
    (bad,) = taken(data)
    assert isinstance(bad, Bad)


def test_reviews_may_stand_a_line_each(taken):
    good, bad = taken(json.dumps(REVIEW).encode() + b"\n{oops}\n")
    assert (good.status, bad.place) == ("refuted", "line 2")


@pytest.mark.parametrize(("data", "kind"), [(b'{"rumor_id": "a"}', "jsonl"), (b"", "jsonl"), (b"[\n {", "claimreview")])
def test_a_file_says_by_its_first_object_what_it_holds(data, kind):
    assert format_of(data) == kind
    assert format_of(json.dumps(REVIEW, indent=1).encode()) == "claimreview"


def test_an_exported_review_is_taken_in_as_the_same_claim(make, taken):
    row = make.rumor("喝盐水可以预防核辐射", "salt water protects", languages=("zh",))
    data = claimreview.document([claimreview.to_review(row)])
    assert format_of(data) == "claimreview"
    (back,) = taken(data)
    for name in ("rumor_id", "claims", "status", "languages", "refutation"):
        assert getattr(back, name) == getattr(row, name), name


def test_a_claim_that_nobody_reviewed_is_no_review(make):
    with pytest.raises(Refused) as refused:
        claimreview.to_review(make.rumor("一个说法而已", status="suspected"))
    assert refused.value.field == "status"


def test_a_claim_that_its_own_keywords_bar_is_refused(make):
    tree = json.loads(encode(make.rumor("喝盐水可以预防"))) | {"must_not": ["盐水"]}
    with pytest.raises(Refused) as refused:
        decode(Rumor, json.dumps(tree).encode())
    assert refused.value.field == "must_not"
