"""`veristream sanctions`: what it shows, what it sends, and what it refuses to send."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
import typer
from msgspec.structs import replace
from typer.testing import CliRunner

from agents.sanctions import commands
from agents.sanctions.ledger import fold
from schemas.message import encode
from schemas.policy import Policy
from schemas.sanction import Ruling
from schemas.topics import POLICIES, RULINGS, STANDINGS

POLICY = Policy(name="default", version=1)


@pytest.fixture
def standing(make):
    """Two takedowns of one reason each, just now: a limit and a suspension."""
    now = datetime.now(UTC)
    decisions = [
        make.decision(
            "review",
            "takedown",
            "REVIEW-HASH",
            event=make.upload(event_id=f"e-{number}"),
            decision_id=f"d-{number}",
            decided_at=now - timedelta(seconds=60 - number),
        )
        for number in range(2)
    ]
    return fold("p-1", decisions, [], POLICY)


@pytest.fixture
def console(standing, monkeypatch):
    """Runs a command over these rows; `console.sent` are the messages that it sent."""
    rows, app, runner = (
        {(STANDINGS, "p-1"): encode(standing), (POLICIES, "default"): encode(POLICY)},
        typer.Typer(),
        None,
    )

    async def read_row(_, topic, key):
        return rows.get((topic, key))

    async def send(_, messages):
        run.sent += messages

    monkeypatch.setattr(commands, "read_row", read_row)
    monkeypatch.setattr(commands, "send", send)
    commands.register(app)
    runner = CliRunner()
    said = []
    for stream in (commands.out, commands.err):
        monkeypatch.setattr(stream, "print", lambda *args, **_: said.extend(args))
    monkeypatch.setattr(commands, "fail", lambda text: said.append(text) or 1)

    def run(*words):
        said.clear()
        result = runner.invoke(app, ["sanctions", *words])
        return result.exit_code, list(said)

    run.sent = []
    return run


WHO = ("--publisher", "p-1", "--reviewer", "a person", "--reason", "a mistake")


def test_show_gives_points_sanctions_and_decisions(console, standing):
    code, (head, sanctions, entries) = console("show", "p-1")
    assert (code, head) == (0, "publisher p-1: 12 points now")
    assert list(sanctions.columns[0].cells) == [s.sanction_id for s in reversed(standing.sanctions)]
    assert list(sanctions.columns[1].cells) == ["suspend", "limit (live, comments, links)"]
    assert all(state.startswith("in force until 2") for state in sanctions.columns[3].cells)
    assert list(entries.columns[0].cells) == ["d-1", "d-0"]


def test_show_gives_json_for_scripts(console, standing):
    code, (line,) = console("show", "p-1", "--json")
    row = json.loads(line)
    assert (code, row["publisher_id"], row["points"]) == (0, "p-1", 12.0)
    assert [s["sanction_id"] for s in row["sanctions"]] == [s.sanction_id for s in standing.sanctions]


def test_show_of_a_publisher_without_points_is_no_error(console):
    assert console("show", "p-9") == (0, ["publisher p-9: 0 points now", "no sanctions"])


def test_states_are_told_apart(make, standing):
    limit = standing.sanctions[0]
    now = limit.begins_at
    assert commands._state(limit, now).startswith("in force until 2")
    assert commands._state(limit, limit.until).startswith("ended 2")
    assert commands._state(replace(limit, until=None), now) == "in force until lifted"
    assert commands._state(replace(limit, lifted_by="r-1", lifted_at=make.now), now) == "lifted 2026-03-01 12:00Z"


def test_lift_sends_a_ruling_on_the_sanction(console, standing):
    sanction_id = standing.sanctions[1].sanction_id
    code, (said,) = console("lift", sanction_id, *WHO)
    ((topic, ruling),) = console.sent
    assert (code, topic, type(ruling)) == (0, RULINGS, Ruling)
    assert (ruling.outcome, ruling.sanction_id, ruling.publisher_id) == ("lifted", sanction_id, "p-1")
    assert (ruling.reviewer_id, ruling.reason) == ("a person", "a mistake")
    assert ruling.ruling_id in said
    assert "the suspend of publisher p-1" in said


def test_reverse_sends_a_ruling_on_the_decision_and_says_if_no_points_rest_on_it(console):
    code, said = console("reverse", "d-0", *WHO)
    ((topic, ruling),) = console.sent
    assert (code, topic, ruling.outcome, ruling.decision_id, len(said)) == (0, RULINGS, "reversed", "d-0", 1)
    code, said = console("reverse", "d-9", *WHO)
    assert (code, said[1]) == (0, "note: no points of publisher p-1 rest on that decision")


def test_what_does_not_stand_is_not_lifted(console):
    assert console("lift", "s-9", *WHO) == (1, ["publisher 'p-1' has no sanction 's-9'"])
    assert console.sent == []


@pytest.mark.parametrize("missing", ["--publisher", "--reviewer", "--reason"])
def test_a_ruling_needs_publisher_reviewer_and_reason(console, missing):
    at = WHO.index(missing)
    assert console("reverse", "d-0", *WHO[:at], *WHO[at + 2 :])[0] == 2
    assert console.sent == []
