"""Records of StopNCII.org as its `FetchHashes` answers.

Source: `exchanges/clients/stopncii/api.py` of python-threatexchange.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from agents.review.exchange.lines import Bad
from agents.review.exchange.row import Given, Outcome
from agents.review.exchange.signals import NAMES
from agents.review.exchange.threatexchange import OPINIONS, signal

SOURCE = "stopncii"
#: Case states that ask every member to delete the hash.
ENDED = frozenset({"Withdrawn", "Deleted"})
#: What a member found when it met the hash → how sure the hash is.
FEEDBACK: Mapping[str, str] = {"Blocked": "POSITIVE_CLASS", "NotBlocked": "NEGATIVE_CLASS"}


def record(number: int, value: Mapping[str, Any], given: Given) -> Outcome:
    """One hash that a person submitted of pictures of their own."""
    text, kind = value.get("hashValue"), value.get("signalType")
    for name, found in (("hashValue", text), ("signalType", kind)):
        if not isinstance(found, str) or not found:
            return Bad(number, name, "is missing, or not text")
    assert isinstance(text, str)
    assert isinstance(kind, str)
    if value.get("hashStatus") in ENDED and kind in NAMES:
        return given.gone(number, (NAMES[kind], text.strip().lower()), SOURCE)
    feedback = value.get("CSPFeedbacks")
    said = [one for one in feedback if isinstance(one, Mapping)] if isinstance(feedback, list) else []
    opinions = {FEEDBACK[str(one.get("feedbackValue"))] for one in said if str(one.get("feedbackValue")) in FEEDBACK}
    # Who submitted it says that it is theirs: alone, a member that did not block it does not switch it off.
    opinion = "POSITIVE_CLASS" if "NEGATIVE_CLASS" not in opinions else "DISPUTED"
    tags = {str(tag) for one in said if isinstance(one.get("tags"), list) for tag in one["tags"]}
    changed = value.get("lastModtimestamp")
    return signal(
        number, kind, text, given, SOURCE, "hashValue", category="non-consensual intimate images", tags=sorted(tags),
        added_at=datetime.fromtimestamp(changed, UTC) if isinstance(changed, int) and 0 < changed < 2**34 else None,
        **OPINIONS[opinion],
    )  # fmt: skip
