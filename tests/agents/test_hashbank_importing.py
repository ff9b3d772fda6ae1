"""Lists on their way into the bank: in a window, whatever some records are like, and never switching on what people
switched off."""

from __future__ import annotations

import asyncio
import io
import json
import tracemalloc
from datetime import UTC, datetime

import msgspec
import pytest
from aiokafka.errors import KafkaConnectionError, MessageSizeTooLargeError
from typer.testing import CliRunner

from agents.review.commands import hashbank
from agents.review.exchange import importing
from agents.review.exchange.formats import read
from agents.review.exchange.importing import NoBank, load
from agents.review.exchange.row import Given, Gone, Row
from agents.review.exchange.table import Filter, Known, switched
from schemas.bank import HashEntry
from schemas.message import decode

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


class Broker:
    """Takes messages, acknowledges them later, and refuses those it is told to."""

    def __init__(self, refuses=(), error=MessageSizeTooLargeError, at_once=False):
        self.rows, self.waiting, self.most = {}, [], 0
        self.refuses, self.error, self.at_once = refuses, error, at_once

    async def post(self, key, value):
        if key in self.refuses and self.at_once:
            raise self.error
        sent = asyncio.get_running_loop().create_future()
        self.waiting.append((sent, key, value))
        self.most = max(self.most, sum(not each.done() for each, *_ in self.waiting))
        asyncio.get_running_loop().call_soon(self._acknowledge)
        return sent

    def _acknowledge(self):
        for sent, key, value in self.waiting:
            if not sent.done():
                if key in self.refuses:
                    sent.set_exception(self.error())
                else:
                    sent.set_result(None)
                    self.rows[key.decode()] = value
        self.waiting = []


async def loaded(outcomes, broker, bank=None):
    refused = []
    summary = await load(outcomes, broker, bank or NoBank(), refused.append, lambda _: None)
    return summary, refused


def holding(*entries):
    """A bank with these entries, the last of each id in force."""
    bank = Known()
    for each in entries:
        bank.note(each.entry_id, each)
    return bank


def codes(number):
    """So many SHA-256, each another."""
    return (f"video_sha256 {n:064x}\n".encode() for n in range(number))


class Endless(io.RawIOBase):
    """A file of so many lines that is nowhere whole."""

    def __init__(self, number, bad):
        self._lines = (b"video_sha256 xyz\n" if n in bad else b"video_sha256 %064x\n" % n for n in range(number))
        self._rest = b""

    def readable(self):
        return True

    def readinto(self, into):
        while len(self._rest) < len(into) and (line := next(self._lines, None)):
            self._rest += line
        part, self._rest = self._rest[: len(into)], self._rest[len(into) :]
        into[: len(part)] = part
        return len(part)


async def test_of_many_lines_the_good_ones_load_in_bounded_memory_and_each_bad_one_is_named(monkeypatch):
    number, bad = 8_000, set(range(7, 8_000, 800))
    posted = 0

    class Counting:
        async def post(self, key, value):
            nonlocal posted
            posted += 1
            done = asyncio.get_running_loop().create_future()
            done.set_result(None)
            return done

    monkeypatch.setattr(importing, "WINDOW", 1000)
    listed = io.BufferedReader(Endless(number, bad))
    tracemalloc.start()
    summary, refused = await loaded(read(listed, "signals", Given(now=NOW)), Counting())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (summary.loaded, summary.refused, posted) == (number - 10, 10, number - 10)
    assert [each.line for each in refused] == sorted(n + 1 for n in bad)
    assert summary.exit_code == 6
    assert summary.by_kind == {"SHA-256": number - 10}
    # A window of rows on their way, and no more: as entries, the list would take some 16 MB.
    assert peak < 8e6, peak


async def test_no_more_than_a_window_is_on_its_way(monkeypatch):
    monkeypatch.setattr(importing, "WINDOW", 10)
    broker = Broker()
    summary, _ = await loaded(read(io.BytesIO(b"".join(codes(100))), "signals", Given(now=NOW)), broker)
    assert (summary.loaded, len(broker.rows)) == (100, 100)
    assert broker.most <= 11


def entry(name, **changes):
    return HashEntry(**{"entry_id": name, "category": "c", "source": "s", "added_at": NOW, "md5": "0" * 32} | changes)


@pytest.mark.parametrize("at_once", [False, True])
async def test_a_record_that_the_broker_finds_too_large_is_refused_and_the_others_load(at_once):
    broker = Broker({b"b"}, at_once=at_once)
    summary, refused = await loaded([Row(n, entry(name)) for n, name in enumerate("abc", 1)], broker)
    assert (summary.loaded, [bad.line for bad in refused], set(broker.rows)) == (2, [2], {"a", "c"})


async def test_a_broker_that_is_away_is_no_fault_of_a_record():
    with pytest.raises(KafkaConnectionError):
        await loaded([Row(1, entry("a"))], Broker({b"a"}, KafkaConnectionError))


async def test_what_people_switched_off_stays_off_when_its_list_comes_again():
    off = switched(entry("a"), on=False, reviewer="li", reason="a test card", now=NOW)
    broker = Broker()
    changed = entry("a", severity="low")
    summary, _ = await loaded([Row(1, changed), Row(2, entry("b"))], broker, holding(off))
    assert (summary.kept, summary.unchanged) == (1, 0)
    kept = decode(HashEntry, broker.rows["a"])
    assert (kept.active, kept.note) == (False, "deconfirmed by li at 2026-03-01T12:00:00Z: a test card")
    assert decode(HashEntry, broker.rows["b"]).active


@pytest.mark.parametrize("kind", ["banned", "known_good"])
def test_what_is_switched_off_and_on_again_is_what_it_was(kind):
    first = entry("a", kind=kind)
    who = {"reviewer": "li", "reason": "r", "now": NOW}
    off = switched(first, on=False, **who)
    assert (off.active, off.kind) == (False, kind)
    # On the negative bank it has to be on to do its work.
    good = switched(entry("a"), on=False, known_good=True, **who)
    assert (good.active, good.kind) == (True, "known_good")
    assert (switched(good, on=True, **who).kind, switched(entry("a"), on=True, **who).kind) == ("banned", "banned")
    assert switched(first, on=True, **who).kind == kind


async def test_of_what_people_said_nothing_is_changed_by_a_list_and_of_what_the_list_said_all():
    who = {"reviewer": "li", "reason": "r", "now": NOW}
    good = switched(entry("good"), on=False, known_good=True, **who)
    on = switched(entry("on", active=False), on=True, **who)
    by_list = entry("list", active=False, note="switched off: the list calls it a false match (NEGATIVE_CLASS)")
    others = entry("others", active=False, note="another program")
    bank, broker = holding(good, on, by_list, others), Broker()
    rows = [entry("good"), entry("on", active=False), entry("list"), entry("others")]
    summary, _ = await loaded([Row(n, row) for n, row in enumerate(rows, 1)], broker, bank)
    assert (summary.kept, summary.unchanged) == (3, 3)
    assert set(broker.rows) == {"list"}
    bank.ruled.clear()
    await loaded([Row(n, row) for n, row in enumerate(rows, 1)], broker, bank)
    assert not decode(HashEntry, broker.rows["on"]).active
    assert decode(HashEntry, broker.rows["good"]).kind == "banned"


async def test_what_the_bank_has_as_it_is_is_not_sent_again():
    later = datetime(2026, 3, 8, tzinfo=UTC)
    bank = holding(entry("a", severity="low"), entry("a"), entry("b"), entry("c"))
    bank.note("c", None)
    rows = [entry("a", added_at=later), entry("b", severity="low"), entry("c"), entry("d")]
    broker = Broker()
    summary, _ = await loaded([Row(n, row) for n, row in enumerate(rows, 1)], broker, bank)
    assert (summary.loaded, summary.unchanged, set(broker.rows)) == (4, 1, {"b", "c", "d"})


async def test_of_a_record_that_a_list_holds_twice_the_last_is_in_force():
    broker = Broker()
    rows = [entry("a", severity="low"), entry("a"), entry("b", severity="low"), entry("b")]
    await loaded([Row(n, row) for n, row in enumerate(rows, 1)], broker, holding(entry("a")))
    assert {name: decode(HashEntry, value).severity for name, value in broker.rows.items()} == {
        "a": "high",
        "b": "high",
    }


async def test_the_note_of_who_confirmed_an_entry_stays():
    confirmed = switched(entry("a"), on=True, reviewer="li", reason="r", now=NOW)
    broker = Broker()
    summary, _ = await loaded([Row(1, entry("a", severity="low"))], broker, holding(confirmed))
    row = decode(HashEntry, broker.rows["a"])
    assert (summary.kept, row.severity, row.note) == (0, "low", confirmed.note)


async def test_what_the_list_takes_back_is_deleted():
    broker = Broker()
    summary, _ = await loaded([Gone(1, "a")], broker)
    assert (broker.rows, summary.deleted, summary.exit_code) == ({"a": None}, 1, 0)


async def test_the_exit_code_says_that_nothing_was_loaded():
    summary, _ = await loaded(read(io.BytesIO(b"pdq x\n"), "signals", Given(now=NOW)), Broker())
    assert summary.exit_code == 1


def test_a_filter_takes_what_has_all_that_is_asked_for():
    found = entry(
        "a", bank="partner", tags=("x", "y"), licence="TLP:GREEN", expires_at=datetime(2026, 4, 1, tzinfo=UTC)
    )
    assert Filter().takes(found) and not Filter().asks
    assert Filter(banks=["partner"], tags=["y", "z"], active=True).takes(found)
    assert not Filter(banks=["partner"], tags=["z"]).takes(found)
    assert not Filter(licences=["TLP:RED"]).takes(found)
    assert not Filter(active=True).takes(msgspec.structs.replace(found, active=False))
    assert not Filter(now=datetime(2026, 4, 1, tzinfo=UTC)).takes(found)


# The command, without a broker.


def invoked(*arguments):
    return CliRunner().invoke(hashbank, [*map(str, arguments)])


def test_a_dry_run_checks_a_list_and_writes_what_it_refuses(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    listed = tmp_path / "list.txt"
    listed.write_text("video_md5 " + "0" * 32 + "\nvideo_md5 1\nurl x\n")
    done = invoked("import", listed, "--dry-run", "--json")
    assert done.exit_code == 6, done.output
    counts = json.loads(done.stdout.splitlines()[0])
    assert (counts["loaded"], counts["refused"], counts["passed"]) == (1, 1, {"url": 1})
    (line,) = (tmp_path / counts["report"]).read_text().splitlines()
    assert json.loads(line) == {
        "line": 2, "field": "signal", "reason": "an MD5 has 32 hexadecimal digits, this has 1",
    }  # fmt: skip
    assert invoked("import", listed, "--dry-run", "--signal-type", "video_md5").exit_code == 6


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["import", "none.txt", "--dry-run"], "there is no such file"),
        (["import", __file__, "--dry-run"], "of which format is it"),
        (["import", __file__, "--format", "xyz", "--dry-run"], "there are veristream, signals"),
        (["import", __file__, "--expires", "2020-01-01", "--dry-run"], "has passed"),
        (["export", "x", "--format", "xyz"], "there are veristream, signals, csv, hma"),
        (["remove"], "name entries"),
    ],
)
def test_what_is_asked_wrongly_is_answered_with_what_to_do(arguments, says):
    done = invoked(*arguments)
    assert done.exit_code == 1
    assert says in done.output.replace("\n", " ")


def test_help_teaches_formats_and_exit_codes():
    text = " ".join(invoked("import", "--help").output.split())
    for word in ("threat_updates", "stopncii", "refused", "--dry-run"):
        assert word in text
