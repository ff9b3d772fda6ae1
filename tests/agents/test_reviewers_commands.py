"""`veristream reviews`: what it lists and in which order, what it sends, and what it refuses to send."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
import typer
from msgspec.structs import replace
from typer.testing import CliRunner

from agents.reviewers import commands, people, tables
from agents.reviewers.work import begun, claimed, decided, voted
from schemas.message import Refused
from schemas.policy import ReviewersPolicy, TwoPersonRule, default_policy
from schemas.worklist import Claim

POLICY = replace(default_policy(), reviewers=ReviewersPolicy(two_person=(TwoPersonRule(codes=("REVIEW-NUDITY",)),)))


class Console:
    """Runs commands over rows that change as they would; `sent` are the claims and rulings."""

    def __init__(self, monkeypatch, make):
        self.make, self.rows, self.sent, self.said = make, {}, [], []
        self.app, self.refuse = typer.Typer(), None
        commands.register(self.app)

        async def work(_, days):
            return dict(self.rows)

        async def evidence(*_):
            return None

        async def answer(_, message, **__):
            self.sent.append(message)
            if self.refuse:
                raise self.refuse
            return self._take(message)

        for name, replacement in (("work", work), ("evidence", evidence), ("answer", answer)):
            monkeypatch.setattr(people, name, replacement)
        monkeypatch.setattr(commands, "_policy", lambda _: POLICY)
        for stream in (commands.out, commands.err, tables.out):
            monkeypatch.setattr(stream, "print", lambda *args, **_: self.said.extend(args))
        monkeypatch.setattr(commands, "fail", lambda text: self.said.append(text) or 1)

    def ask(self, number, code="REVIEW-TERM", ago=timedelta(minutes=1), **fields):
        """An item that is asked about."""
        at = datetime.now(UTC) - ago
        event = self.make.upload(event_id=f"e-{number}", content_id=f"c-{number}", publisher_id="p-1")
        decision = self.make.decision("review", "review", code, event=event, decided_at=at, **fields)
        self.rows[event.event_id] = decided(begun(decision), decision, POLICY, at)
        return self.rows[event.event_id].questions[0].review_id

    def _take(self, message):
        now = datetime.now(UTC)
        if isinstance(message, Claim):
            item = next(
                row for row in self.rows.values() if any(q.review_id == message.review_id for q in row.questions)
            )
            row = claimed(item, message, POLICY, now)
        else:
            row = voted(self.rows[message.event_id], message, POLICY, now)
        self.rows[row.event_id] = row
        return row

    def __call__(self, *words):
        self.said.clear()
        result = CliRunner().invoke(self.app, ["reviews", *words])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, [str(said) if isinstance(said, str) else said for said in self.said]


@pytest.fixture
def console(monkeypatch, make):
    return Console(monkeypatch, make)


WHO = ("--reviewer", "ann", "--reason", "seen")


def ids(said):
    return list(said[0].columns[0].cells)


def test_the_most_urgent_is_first_by_severity_reach_and_the_time_that_is_over(console):
    plain = console.ask(1)
    famous = console.ask(2, reach=10_000_000)
    nude = console.ask(3, "REVIEW-NUDITY")
    late = console.ask(4, ago=timedelta(days=3))
    code, said = console("list")
    assert (code, ids(said)) == (0, [name[:12] for name in (late, famous, nude, plain)])
    assert said[1] == "4 waiting"
    assert [*console("list", "--overdue")[1][0].columns[0].cells] == [late[:12]]
    assert [*console("list", "--severity", "high")[1][0].columns[0].cells] == [nude[:12]]
    assert console("list", "--severity", "grave") == (1, ["--severity: 'grave' is none of low, medium, high, highest"])


def test_a_list_for_scripts_names_the_item_and_what_was_decided_on_it(console):
    name = console.ask(1)
    (line,) = console("list", "--json")[1]
    row = json.loads(line)
    assert (row["review_id"], row["item"]["content_id"], row["overdue"]) == (name, "c-1", False)
    assert row["item"]["positions"][0]["agent"] == "review"


def test_what_is_claimed_is_nobody_elses_until_it_is_given_back(console):
    name = console.ask(1)
    code, said = console("claim", name[:6], "-r", "ann")
    assert code == 0 and said[-1].startswith(f"review {name} is yours until")
    code, (why,) = console("claim", name, "-r", "ben")
    assert code == 1 and "ann has it until" in why
    assert console("claim", "--next", "-r", "ben")[0] == 1, "nothing else is free"
    assert console("list", "--mine", "ann")[1][-1] == "1 waiting"
    assert console("list", "--free")[1] == ["0 waiting"]
    code, (why,) = console("release", name, "-r", "ben")
    assert (code, why) == (1, f"review {name} is not yours: ann has it")
    assert console("release", name, "-r", "ann") == (0, [f"review {name} is free again"])
    assert console("claim", "--next", "-r", "ben")[0] == 0


def test_a_claim_that_was_lost_to_another_says_to_whom(console, monkeypatch):
    name = console.ask(1)
    taken = console._take

    def first_another(message):
        item = console.rows["e-1"]
        console.rows["e-1"] = claimed(
            item, replace(message, claim_id="x", reviewer_id="ben"), POLICY, datetime.now(UTC)
        )
        return taken(message)

    monkeypatch.setattr(console, "_take", first_another)
    code, (why,) = console("claim", name, "-r", "ann")
    assert code == 1 and why.startswith(f"review {name}: ben has it until")


def test_a_ruling_names_its_item_whole_and_says_what_came_of_it(console):
    name = console.ask(1)
    code, (said,) = console("rule", name, "remove", *WHO, "--bank", "banned", "--article", "AVP-9")
    (ruling,) = console.sent
    assert (ruling.review_id, ruling.event_id, ruling.content_id, ruling.publisher_id) == (name, "e-1", "c-1", "p-1")
    assert (ruling.outcome, ruling.bank, ruling.article, ruling.reviewer_id) == ("remove", "banned", "AVP-9", "ann")
    assert code == 0 and said.endswith("c-1 is to remove; its hashes go into the bank as banned")
    code, (why,) = console("rule", name, "keep", *WHO)
    assert code == 1 and why == f"review {name} is settled: remove (--force changes that)"


def test_a_second_person_is_asked_for_where_the_policy_wants_one(console):
    name = console.ask(1, "REVIEW-NUDITY")
    assert "a second reviewer must agree" in console("rule", name, "remove", *WHO)[1][0]
    code, (why,) = console("rule", name, "remove", *WHO)
    assert code == 1 and "you have ruled on it; a second person must" in why
    assert "c-1 is to remove" in console("rule", name, "remove", "-r", "ben", "--reason", "seen")[1][0]


def test_a_label_takes_the_policys_words_unless_others_are_given(console):
    name = console.ask(1)
    assert console("rule", name, "label", *WHO)[0] == 1, "which level?"
    assert console("rule", name, "label", *WHO, "--level", "2")[0] == 0
    assert console.sent[-1].label.text == POLICY.synthetic.text_possible
    assert console("rule", name, "keep", *WHO, "--level", "2")[0] == 1


def test_an_item_that_is_on_no_list_is_named_whole_or_not_at_all(console):
    code, (why,) = console("rule", "e-9", "remove", *WHO)
    assert code == 1 and "'e-9' is not on the work list" in why
    code, (why,) = console("rule", "e-9", "remove", *WHO, "--publisher", "p-1")
    assert code == 1 and "--item, --publisher and --content" in why


def test_what_was_removed_without_a_person_is_ruled_on_by_its_content(console, make):
    removed = make.decision("review", "takedown", "REVIEW-HASH", event=make.upload())
    console.rows["e-1"] = decided(begun(removed), removed, POLICY, make.now)
    assert console("list", "--all")[1] == ["0 in all"], "nobody was asked about it"
    code, (said,) = console("rule", "c-1", "keep", *WHO, "--item")
    assert code == 0 and said.endswith("c-1 is to keep")
    assert (console.sent[0].event_id, console.sent[0].review_id) == ("e-1", None)


def test_a_refusal_is_said_with_its_field(console):
    name = console.ask(1)
    console.refuse = Refused("reviewer_id", "'ann' is none of the policy's `reviewers.seniors`")
    code, (why,) = console("rule", name, "keep", *WHO)
    assert (code, why) == (1, "refused: reviewer_id: 'ann' is none of the policy's `reviewers.seniors`")


def test_a_strangers_words_do_not_command_the_terminal(console, make):
    name = console.ask(1)
    row = console.rows["e-1"]
    console.rows["e-1"] = replace(row, content_id="c\x1b[2J")
    code, said = console("show", name)
    assert code == 0 and not any("\x1b" in line for line in said if isinstance(line, str))


def test_the_report_gives_precision_with_counts_and_its_interval(console):
    for number, outcome in enumerate(("remove", "keep", None)):
        name = console.ask(number)
        if outcome:
            console("rule", name, outcome, *WHO)
    (line,) = console("report", "--json")[1]
    row = json.loads(line)
    assert (row["code"], row["asked"], row["confirmed"], row["rejected"], row["waiting"]) == ("REVIEW-TERM", 3, 1, 1, 1)
    assert row["precision"] == 0.5 and row["low"] == pytest.approx(0.0945, abs=1e-3)
