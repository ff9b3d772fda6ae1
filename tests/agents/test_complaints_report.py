"""The month's summary: every line counted by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from agents.complaints.report import month_of, summarise
from agents.orders import takedown
from schemas.complaint import Complaint, ComplaintResult
from schemas.decision import PolicyRef
from schemas.orders import ExplicitLabel, Label, Refutation
from schemas.sanction import Sanction

NOW = datetime(2026, 4, 15, tzinfo=UTC)


def complaint(number, at, kind="rumor"):
    return Complaint(
        complaint_id=f"k-{number}", receipt_sha256="ab" * 32, kind=kind, publisher_id="p", content_id="c", text="x",
        complainant="u", received_at=at,
    )  # fmt: skip


def result(number, state, at, due_at, kind="rumor"):
    return ComplaintResult(
        complaint_id=f"k-{number}", receipt_sha256="ab" * 32, publisher_id="p", content_id="c", kind=kind, state=state,
        text="x", due_at=due_at, at=at,
    )  # fmt: skip


def test_a_month_is_one_of_china():
    begin, end = month_of("2026-12")
    assert begin.astimezone(UTC) == datetime(2026, 11, 30, 16, tzinfo=UTC)
    assert end.astimezone(UTC) == datetime(2026, 12, 31, 16, tzinfo=UTC)
    for wrong in ("2026", "2026-13", "11-2026", ""):
        with pytest.raises(ValueError, match="is no month"):
            month_of(wrong)


def test_everything_of_the_month_is_counted_once(make):
    now, hour = make.now, timedelta(hours=1)
    hold = make.decision("review", "takedown", "REVIEW-HASH", "REVIEW-HASH", "REVIEW-TERM")
    messages = [
        make.decision("identity"), hold, hold, takedown(hold), takedown(hold),
        make.decision("synthetic", decided_at=now - timedelta(days=60)),
        *(
            Label(
                order_id=f"l-{number}", decision_id="d", publisher_id="p", content_id="c", level=level,
                explicit=ExplicitLabel(text="x", min_seconds=2.0), ordered_at=now,
            )
            for number, level in enumerate((1, 3, 3))
        ),
        Refutation(
            order_id="f", decision_id="d", publisher_id="p", content_id="c", rumor_id="r", text="x", authority="y",
            url="", ordered_at=now,
        ),
        *(
            Sanction(
                sanction_id="s", publisher_id="p", level="warn", begins_at=now, points=1.0,
                policy=PolicyRef(name="default", version=1), lifted_at=lifted,
            )
            for lifted in (None, now)
        ),
        *(complaint(number, now) for number in range(4)),
        complaint(8, now - timedelta(days=60)), complaint(9, now, "appeal"),
        result(0, "received", now, now + hour), result(0, "upheld", now + hour, now + hour),  # just in time
        result(1, "rejected", now + 2 * hour, now + hour),  # late
        result(2, "under_review", now, now + hour),  # overdue
    ]  # fmt: skip
    assert [tuple(line) for line in summarise(messages, "2026-03", NOW)] == [
        ("decision", "identity", "allow", 1, ""),
        ("decision", "review", "takedown", 1, ""),
        ("label", "level 1", "", 1, ""),
        ("label", "level 3", "", 2, ""),
        ("reason", "review", "REVIEW-HASH", 1, ""),
        ("reason", "review", "REVIEW-TERM", 1, ""),
        ("refutation", "", "", 1, ""),
        ("sanction", "warn", "", 1, ""),
        ("takedown", "remove", "forever", 1, ""),
        ("complaint", "appeal", "received", 1, ""),
        ("complaint", "rumor", "received", 1, ""),
        ("complaint", "rumor", "rejected", 1, ""),
        ("complaint", "rumor", "under_review", 1, ""),
        ("complaint", "rumor", "upheld", 1, ""),
        ("complaint overdue", "appeal", "", 0, "0.0%"),
        ("complaint overdue", "rumor", "", 2, "50.0%"),
    ]


def test_an_empty_month_has_no_lines():
    assert summarise([], "2026-03", NOW) == []
