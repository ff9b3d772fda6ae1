"""A fault counts as overcome only if every bar was kept; what was not played never does."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.chaos import __main__ as command
from tests.chaos import report
from tests.chaos.catalogue import FAULTS
from tests.chaos.report import RECOVERY_LIMIT_S, Row, failed_row, row_of, skipped_row
from tests.chaos.stage import Outcome
from tests.chaos.tally import Count

FAULT = FAULTS[0]
COUNT = Count(
    events=2000, lost=0, conflicting=0, wrong=0, out_of_order=0, duplicated=300, dead_letters=0, longest_wait_s=9.0,
    missing={}, unread={},
)  # fmt: skip
KEPT = Outcome(
    COUNT, rate=500.0, recovery_s=8.0, late_s=2.0, fault_s=20.0, lag=0, exits=[], stops=[-9], did=[], examples=[]
)


def test_copies_and_restarts_miss_no_bar():
    assert row_of(FAULT, replace(KEPT, exits=[69])).passed


@pytest.mark.parametrize("figure", ["lost", "conflicting", "wrong", "out_of_order"])
def test_one_of_what_must_not_be_misses_the_bar(figure):
    assert not row_of(FAULT, replace(KEPT, count=replace(COUNT, **{figure: 1}))).passed


@pytest.mark.parametrize(
    "change", [{"recovery_s": None}, {"recovery_s": RECOVERY_LIMIT_S + 1}, {"lag": 1}, {"lag": None}]
)
def test_no_recovery_in_time_and_lag_that_stays_miss_the_bar(change):
    assert not row_of(FAULT, replace(KEPT, **change)).passed


def test_what_was_not_played_is_neither_passed_nor_without_a_word():
    skipped, failed = skipped_row(FAULT, "there is no C compiler"), failed_row(FAULT, RuntimeError("no broker"))
    assert (skipped.passed, failed.passed) == (False, False)
    assert (skipped.words(), failed.words()) == (
        "skipped: there is no C compiler",
        "not shown: RuntimeError: no broker",
    )


def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, rows: list[Row], *arguments: str) -> int:
    monkeypatch.setattr(command, "_run", lambda _chosen, _folder, into, **_: into.extend(rows))
    monkeypatch.setattr(report, "BUILD", tmp_path)
    monkeypatch.setattr("sys.argv", ["chaos", *arguments])
    return command.main()


@pytest.mark.parametrize(
    ("row", "code"),
    [
        (row_of(FAULT, KEPT), 0),
        (row_of(FAULT, replace(KEPT, count=replace(COUNT, lost=1))), 1),
        (failed_row(FAULT, RuntimeError("no broker")), 1),
        (skipped_row(FAULT, "no root"), 0),
    ],
)
def test_the_exit_code_says_whether_a_bar_was_missed(monkeypatch, tmp_path, row, code):
    assert run(monkeypatch, tmp_path, [row]) == code
    (written,) = json.loads((tmp_path / "chaos.json").read_text())
    assert (written["name"], written["passed"]) == (FAULT.name, row.passed)


def test_a_fault_that_there_is_not_is_an_error(monkeypatch, tmp_path):
    assert run(monkeypatch, tmp_path, [], "--only", "13") == 2


def test_the_table_of_the_docs_tells_skipped_from_kept(monkeypatch, tmp_path):
    docs = tmp_path / "faults.md"
    docs.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    monkeypatch.setattr(report, "DOCS", docs)
    report.document([row_of(FAULT, KEPT), skipped_row(FAULTS[10], "no root")])
    text = docs.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    kept, skipped = [line for line in text.splitlines() if line.startswith("| `")]
    assert (kept.endswith("| yes |"), skipped.endswith("| skipped: no root |")) == (True, True)


def test_every_fault_has_a_number_and_a_name_of_its_own_and_is_told_in_the_docs():
    assert [fault.number for fault in FAULTS] == list(range(1, len(FAULTS) + 1))
    text = report.DOCS.read_text("utf-8")
    assert [f"\n{fault.number}. `{fault.name}`" in text for fault in FAULTS] == [True] * len(FAULTS)
