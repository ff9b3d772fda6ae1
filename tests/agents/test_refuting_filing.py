"""The record for filing: each refuted claim with its spread and what was done, counted once however often it comes."""

from __future__ import annotations

import csv
import io
import json

from msgspec.structs import replace

from agents.refuting.filing import Filing, Record, as_csv, as_html, as_rows
from agents.refuting.judge import Ordered, judge, order, withdrawal
from schemas.signals import Evidence

CLAIM = "喝盐水可以预防核辐射"


def repeated(
    make, number, code="RUMOR-REFUTED", action="label", agent="rumor", publisher="p-1", entry="r-1", **changes
):
    event = make.upload(event_id=f"e-{number}", content_id=f"c-{number}", publisher_id=publisher)
    decision = make.decision(agent, action, code, event=event, **changes)
    return replace(decision, reasons=tuple(replace(r, evidence=(Evidence(entry=entry),)) for r in decision.reasons))


def later(make, number, rumor, policy):
    event = make.upload(event_id=f"e-{number}", content_id=f"c-{number}")
    said = {"score": 1.0, "threshold": 0.8, "evidence": Evidence(entry=rumor.rumor_id), "shown_only": False}
    decision = judge(event, rumor, policy, make.at(60), **said)
    return decision, order(event, rumor, decision, [event.content_id])


def test_spread_and_action_are_counted_once(make):
    filing, rumor = Filing(), make.rumor(CLAIM)
    decision, ordered = later(make, 3, rumor, make.policy())
    messages = [
        rumor,
        repeated(make, 1, "RUMOR-SUSPECTED", "review"),
        repeated(make, 2, publisher="p-2"),
        decision,
        ordered,
        repeated(make, 4, action="takedown"),
        repeated(make, 5, entry="another"),
        make.decision(),
    ]
    for message in messages * 2:
        filing.add(message)
    (record,) = filing.records()
    assert (record.items, record.accounts, record.streams) == (4, 2, 0)
    assert (record.labelled, record.reviewed, record.removed) == (2, 1, 1)
    assert (record.refuted_with_the_item, record.refuted_afterwards) == (0, 1)
    assert (record.first_order, record.last_order) == (make.at(60), make.at(60))
    assert record.by_day == {"2026-03-01": 4}
    assert set(record.content_ids) == {"c-1", "c-2", "c-3", "c-4"}
    assert record.first_seen == make.at(-1), "when the item came, not when it was refuted"


def test_what_was_taken_back_counts_apart_from_what_was_ordered(make):
    filing, rumor = Filing(), make.rumor(CLAIM)
    decision, ordered = later(make, 1, rumor, make.policy())
    kept = Ordered(1, decision.decision_id, "c-1", "p-1", None, 0.0)
    for message in [rumor, decision, ordered, withdrawal("r-1", None, [kept], make.at(90))] * 2:
        filing.add(message)
    (record,) = filing.records("r-1")
    assert (record.refuted_afterwards, record.last_order, record.taken_back) == (1, make.at(60), 1)


def test_only_the_time_that_is_asked_for_and_only_what_is_refuted_counts(make):
    filing = Filing(make.at(10), make.at(20))
    filing.add(make.rumor(CLAIM))
    filing.add(make.rumor(CLAIM, rumor_id="r-2", status="suspected"))
    for number, seconds in enumerate((0, 10, 19, 20)):
        filing.add(repeated(make, number, decided_at=make.at(seconds)))
    (record,) = filing.records()
    assert set(record.content_ids) == {"c-1", "c-2"}
    assert [one.status for one in filing.records("r-2")] == ["suspected"]
    assert filing.records("r-3") == []


def test_it_is_written_as_csv_json_and_html(make):
    filing = Filing()
    filing.add(make.rumor("=1+1 <b>谣言</b>"))
    filing.add(repeated(make, 1))
    records = filing.records()
    (row,) = csv.DictReader(io.StringIO(as_csv(records)))
    assert (row["claim"], row["items"], row["by_day"]) == ("'=1+1 <b>谣言</b>", "1", "2026-03-01:1")
    (tree,) = as_rows(records)
    assert json.loads(json.dumps(tree))["content_ids"] == ["c-1"]
    assert set(tree) == set(Record._fields)
    page = as_html(records, "T & U")
    assert "&lt;b&gt;谣言&lt;/b&gt;" in page and "<b>" not in page
    assert "T &amp; U" in page
