"""ClaimReview (schema.org, JSON-LD), the form in which fact-checkers publish, from and to entries. Pure.

Taken in: a single object, a list, `@graph`, and a DataFeed. What a review leaves open is refused with its field.
Source: https://schema.org/ClaimReview.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from schemas.bank import Rumor
from schemas.message import Refused, convert

Status = Literal["suspected", "refuted", "true"]

CONTEXT = "https://schema.org"
#: Ratings in words come before figures, which publishers use in either direction.
_TRUE = re.compile(
    r"^\s*(?:mostly |largely |basically )?(?:true|correct|accurate|verified)\b|^\s*(?:属实|真实|事实|确有其事|真的?)"
)
_FALSE = re.compile(
    r"\b(?:false|fake|hoax|untrue|incorrect|fabricated|debunked|pants on fire|not true|wrong|no evidence|scam|fiction"
    r"|altered|manipulated|unfounded|baseless)\b|不实|谣言|虚假|假|错误|伪|捏造|不属实|骗局"
)
#: Of a rating in figures, the share of the way from worst to best up to which a claim is refuted, and from which true.
REFUTED_TO, TRUE_FROM = 0.4, 0.9
#: What export writes: figures from 1 (false) to 5 (true).
_RATINGS: Mapping[Status, tuple[int, str]] = {"refuted": (1, "False"), "true": (5, "True")}


def reviews(document: object) -> Iterator[tuple[str, object]]:
    """(where it stands, review) for every ClaimReview in a document."""
    if isinstance(document, list):
        for number, one in enumerate(document, 1):
            yield from ((_under(f"item {number}", place), found) for place, found in reviews(one))
        return
    if not isinstance(document, dict):
        yield "", document
        return
    if isinstance(graph := document.get("@graph"), list):
        yield from reviews(graph)
    elif _is(document, "DataFeed"):
        for number, element in enumerate(_listed(document.get("dataFeedElement")), 1):
            inner = element.get("item") if isinstance(element, dict) and _is(element, "DataFeedItem") else element
            for place, found in reviews(_listed(inner)):
                # An element mostly holds one review; then its own number says enough.
                own = place if len(_listed(inner)) > 1 else ""
                yield _under(f"element {number}", own), found
    elif not _is(document, "ClaimReview") and (held := document.get("review") or document.get("claimReview")):
        yield from reviews(held)  # an article that carries its review
    else:
        yield "", document


def from_review(review: object, now: datetime) -> Rumor:
    """The entry of one review.

    Raises:
        Refused: a field is missing or not what it must be; it is named as schema.org names it.
    """
    if not isinstance(review, dict):
        raise Refused("", "not a JSON object")
    if not _is(review, "ClaimReview"):
        raise Refused("@type", f"{review.get('@type')!r} is not ClaimReview")
    claim = _text(review.get("claimReviewed"))
    if len(claim) < 4:
        raise Refused("claimReviewed", "missing, or shorter than 4 characters: there is nothing to match")
    status = _status(review.get("reviewRating"))
    author = _name(review.get("author")) or _name(review.get("publisher"))
    if not author:
        raise Refused("author", "missing: a refutation names who says so")
    items = [item for item in _listed(review.get("itemReviewed")) if isinstance(item, dict)]
    wordings = [claim, *(_text(other) for item in items for other in _listed(item.get("alternateName")))]
    url, rating = _text(review.get("url")), _rating_words(review.get("reviewRating"))
    said = next(
        (words for name in ("reviewBody", "description", "name", "headline") if (words := _text(review.get(name)))), ""
    )
    row: dict[str, Any] = {
        "rumor_id": _text(review.get("identifier")) or _identifier(url, claim, author),
        "claims": [words for words in dict.fromkeys(wordings) if len(words) >= 4],
        "status": status,
        "added_at": now,
        "languages": [language] if (language := _text(review.get("inLanguage"))) else [],
        "source": f"ClaimReview of {author}"[:256],
    }
    if status != "suspected" or said:
        row["refutation"] = {
            "text": said or f"{rating or status}: {claim}",
            "authority": author,
            "url": url,
            "published_at": _moment(review.get("datePublished")),
        }
    return convert(Rumor, row)


def to_review(rumor: Rumor) -> dict[str, Any]:
    """The review of one entry. Keywords, entities and media have no place in it: JSON lines keep them.

    Raises:
        Refused: a claim under suspicion, which nobody has reviewed, or an entry without a refutation.
    """
    if rumor.status not in _RATINGS:
        raise Refused("status", "suspected: nobody has reviewed the claim yet")
    if rumor.refutation is None:
        raise Refused("refutation", "missing: a review says who made it")
    value, words = _RATINGS[rumor.status]
    review: dict[str, Any] = {
        "@type": "ClaimReview",
        "identifier": rumor.rumor_id,
        "claimReviewed": rumor.claims[0],
        "author": {"@type": "Organization", "name": rumor.refutation.authority},
        "reviewBody": rumor.refutation.text,
        "reviewRating": {
            "@type": "Rating", "ratingValue": value, "worstRating": 1, "bestRating": 5, "alternateName": words,
        },
        "itemReviewed": {"@type": "Claim", "name": rumor.claims[0]},
    }  # fmt: skip
    if rumor.claims[1:]:
        review["itemReviewed"]["alternateName"] = list(rumor.claims[1:])
    if rumor.refutation.url:
        review["url"] = rumor.refutation.url
    if rumor.refutation.published_at:
        review["datePublished"] = rumor.refutation.published_at.isoformat()
    if len(rumor.languages) == 1:
        review["inLanguage"] = rumor.languages[0]
    return review


def document(found: Iterable[dict[str, Any]]) -> bytes:
    """The reviews as one JSON-LD document."""
    return msgspec.json.format(msgspec.json.encode({"@context": CONTEXT, "@graph": list(found)}), indent=2) + b"\n"


def _status(rating: object) -> Status:
    words = _rating_words(rating)
    if _TRUE.search(words) and not _FALSE.search(words):
        return "true"
    if _FALSE.search(words):
        return "refuted"
    share = _rating_share(rating)
    if words:  # "misleading", "half true", "missing context": a person decides
        return "suspected" if share is None or share > REFUTED_TO or "half" in words or "mis" in words else "refuted"
    if share is None:
        raise Refused("reviewRating", "holds neither alternateName nor ratingValue with its bounds")
    return "refuted" if share <= REFUTED_TO else "true" if share >= TRUE_FROM else "suspected"


def _rating_words(rating: object) -> str:
    if not isinstance(rating, dict):
        return _text(rating).casefold()
    return (_text(rating.get("alternateName")) or _text(rating.get("name"))).casefold()


def _rating_share(rating: object) -> float | None:
    if not isinstance(rating, dict):
        return None
    try:
        value, worst, best = (float(rating[name]) for name in ("ratingValue", "worstRating", "bestRating"))
    except (KeyError, TypeError, ValueError):
        return None
    # Some leave a rating at 0 or -1 that they do not use.
    return (value - worst) / (best - worst) if best > worst and worst <= value <= best else None


def _identifier(url: str, claim: str, author: str) -> str:
    """The same review always has the same id, so that importing it again replaces it."""
    return "claimreview-" + hashlib.sha256(f"{url}\n{claim}\n{author}".encode()).hexdigest()[:24]


def _moment(value: object) -> str | None:
    words = _text(value)
    if not words:
        return None
    try:
        moment = datetime.fromisoformat(words)
    except ValueError:
        raise Refused("datePublished", f"{words!r:.60} is not a date of ISO 8601") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).isoformat()


def _name(value: object) -> str:
    first = next(iter(_listed(value)), None)
    return _text(first.get("name")) if isinstance(first, dict) else _text(first)


def _text(value: object) -> str:
    """A text, of a list the first; JSON-LD writes `{"@value": …}` as well."""
    if isinstance(value, list):
        value = value[0] if value else ""
    if isinstance(value, dict):
        value = value.get("@value", "")
    return value.strip() if isinstance(value, str) else ""


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _is(node: Mapping[str, object], kind: str) -> bool:
    return kind in [str(one).rsplit("/", 1)[-1].removeprefix("schema:") for one in _listed(node.get("@type"))]


def _under(place: str, inner: str) -> str:
    return f"{place}, {inner}" if inner else place
