"""The command line says what it does, what is wrong and what to do about it, to people and to scripts."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
import typer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trial_agents import NOW, upload

from deploy.embedded import EmbeddedBroker, free_port
from schemas.deadletter import DeadLetter
from schemas.event import Admitted
from schemas.message import encode
from schemas.policy import default_policy
from schemas.registry import Provider
from schemas.topics import ADMITTED, DEADLETTERS, LISTS, POLICIES, PROVIDERS, TOPICS, UPLOADS
from streams.cli import main as entry
from streams.cli.watch import _brief, _parsed, _show
from streams.client import Client, Feed, Record
from streams.kafka import create_topics
from streams.settings import Settings

APP = entry.command_line()


class Result(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def error(self) -> str:
        """The one sentence in which it says what is wrong."""
        (said,) = [line for line in self.err.splitlines() if line.startswith("error: ")]
        assert "Traceback" not in self.err
        return said.removeprefix("error: ")


Run = Callable[..., Result]


@pytest.fixture
def veristream(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Run the command line as its entry point does."""

    def run(*args: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["veristream", *map(str, args)])
        monkeypatch.setattr(entry, "command_line", lambda: APP)
        with pytest.raises(SystemExit) as ended:
            entry.main()
        code = ended.value.code
        return Result(code if isinstance(code, int) else 0 if code is None else 1, *capsys.readouterr())

    handlers = logging.root.handlers[:]
    level = logging.root.level
    yield run
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)
    for name in ("aiokafka", "faust", "mode", "streams.transport"):
        logging.getLogger(name).setLevel(logging.NOTSET)


# Explaining itself.


def commands(command: Any = None, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    command = command or typer.main.get_command(APP)
    yield path, command
    for name, further in getattr(command, "commands", {}).items():
        yield from commands(further, (*path, name))


COMMANDS = dict(commands())
#: Their names say all there is to say.
PLAIN = {"title", "description", "kind"}


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_explains_itself_and_its_options(
    veristream: Run, path: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    result = veristream(*path, "--help")
    assert result.code == 0
    command = COMMANDS[path]
    assert command.help
    assert command.help.splitlines()[0].split()[0] in result.out
    for parameter in command.params:
        if parameter.param_type_name == "option" and not parameter.hidden and parameter.name not in PLAIN:
            assert parameter.help, f"{' '.join(path)} --{parameter.name}"
            assert parameter.opts[0] in result.out


def test_the_commands_of_the_plumbing_are_there() -> None:
    for path in ("worker", "tail", "doctor", "settings", "put", "topics create", "topics list", "topics check"):
        assert tuple(path.split()) in COMMANDS
    for path in ("topics diff", "acls list", "acls create", "acls check"):
        assert tuple(path.split()) in COMMANDS
    for path in ("policy lint", "policy put", "policy show"):
        assert tuple(path.split()) in COMMANDS


def test_without_a_command_it_shows_what_there_is(veristream: Run) -> None:
    result = veristream()
    assert "worker" in result.out + result.err


def test_an_option_that_is_not_there_is_named(veristream: Run) -> None:
    result = veristream("topics", "check", "--brocker", "x")
    assert result.code == 2
    assert "--brocker" in result.err


# Settings.


def test_settings_are_shown_to_scripts_a_line_each(veristream: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VERISTREAM_S3_SECRET_KEY", "hunter2")
    monkeypatch.setenv("VERISTREAM_POLICY", "strict")
    result = veristream("settings", "--json", "--broker", "kafka:9")
    rows = {row["name"]: row for row in result.lines}
    assert list(rows) == list(Settings.model_fields)
    assert rows["broker"] == {"name": "broker", "value": "kafka:9", "origin": "flag", "about": rows["broker"]["about"]}
    assert (rows["policy"]["value"], rows["policy"]["origin"]) == ("strict", "environment VERISTREAM_POLICY")
    assert rows["s3_secret_key"]["value"] == "**********"
    assert "hunter2" not in result.out + result.err


def test_settings_are_shown_to_people_as_a_table(veristream: Run) -> None:
    Path("veristream.toml").write_text('store = "/[/odd]/[bold]store"')
    result = veristream("settings")
    assert result.code == 0
    assert "/[/odd]/[bold]store" in result.out
    assert "file veristream.toml" in result.out


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("VERISTREAM_HTTP_PORT", "many", "http_port = 'many': "),
        ("VERISTREAM_BROCKER", "x", "VERISTREAM_BROCKER: there is no such setting"),
        ("VERISTREAM_CONFIG", "none.toml", "none.toml"),
    ],
)
def test_a_wrong_setting_is_one_sentence_whatever_the_command(
    veristream: Run, monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(name, value)
    for command in (["settings"], ["topics", "check"], ["worker"], ["doctor"]):
        result = veristream(*command)
        assert result.code == 1
        assert said in result.error


def test_an_agent_that_is_not_installed_is_named(veristream: Run) -> None:
    result = veristream("worker", "--agents", "censor")
    assert result.code == 1
    assert result.error.startswith("agents: censor not installed; there are ")


# Topics.


def test_the_table_of_topics_is_listed_without_a_broker(veristream: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VERISTREAM_TOPIC_PREFIX", "p.")
    result = veristream("topics", "list", "--json")
    assert [row["topic"] for row in result.lines] == ["p." + name for name in TOPICS]
    rows = {row["topic"]: row for row in result.lines}
    assert rows["p.uploads"]["kept"] == "7 days"
    assert rows["p.policies"]["kept"] == "compacted"
    assert {row["direction"] for row in result.lines} == {"in", "inner", "out"}
    table = veristream("topics", "list").out
    assert all(name in table for name in TOPICS)


class Beside(NamedTuple):
    """A broker with topics under a prefix of its own, as the environment names it."""

    settings: Settings

    def do(self, work: Callable[[Client], Awaitable[object]], *, topics: bool = True) -> None:
        async def go() -> None:
            if topics:
                await create_topics(self.settings)
            async with Client(self.settings) as client:
                await work(client)

        asyncio.run(go())

    def topics(self) -> None:
        asyncio.run(create_topics(self.settings))


@pytest.fixture
def beside(on_broker: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch) -> Beside:
    beside = Beside(on_broker())
    for name in ("broker", "topic_prefix", "fetch_max_wait_s"):
        monkeypatch.setenv(f"VERISTREAM_{name.upper()}", str(getattr(beside.settings, name)))
    return beside


def test_topics_are_created_and_checked(veristream: Run, beside: Beside) -> None:
    prefix = beside.settings.topic_prefix
    missing = veristream("topics", "check")
    assert missing.code == 1
    assert f"{prefix}uploads: does not exist. veristream topics create" in missing.out
    found = veristream("topics", "check", "--json")
    assert found.code == 1
    assert found.lines[0] == {
        "topic": f"{prefix}uploads",
        "what": "does not exist",
        "fix": "veristream topics create",
    }
    made = veristream("topics", "create")
    assert made.code == 0
    assert f"created {prefix}uploads, " in made.out.replace("\n", " ")
    assert veristream("topics", "create").out == "every topic exists\n"
    assert veristream("topics", "check") == (0, "the broker has every topic as the table says\n", "")
    assert veristream("topics", "check", "--json") == (0, "", "")


def test_the_broker_can_be_named_by_a_flag(veristream: Run, broker: EmbeddedBroker) -> None:
    result = veristream("topics", "check", "-b", broker.address)
    assert result.code == 1
    assert "uploads: does not exist" in result.out


UNREACHABLE = (
    ["topics", "create"],
    ["topics", "check"],
    ["policy", "show"],
    ["tail", "decisions"],
    ["worker", "--agents", "rumor", "--http-port", "0"],
)


@pytest.mark.parametrize("command", UNREACHABLE, ids=" ".join)
def test_a_broker_that_is_not_there_is_one_sentence(veristream: Run, command: list[str]) -> None:
    address = f"127.0.0.1:{free_port()}"
    result = veristream(*command, "--broker", address)
    assert result.code == 1
    assert result.out == ""
    assert address in result.error
    assert "veristream up" in result.error


@pytest.mark.parametrize("command", [["policy", "show"], ["tail", "decisions"], ["worker", "--agents", "rumor"]])
def test_a_topic_that_is_missing_is_one_sentence(veristream: Run, beside: Beside, command: list[str]) -> None:
    result = veristream(*command)
    assert result.code == 1
    assert f"topic {beside.settings.topic_prefix}" in result.error
    assert "veristream topics create" in result.error
    assert "Unclosed" not in result.err


# Policies.


def policy_file(text: str, name: str = "policy.toml") -> Path:
    path = Path(name)
    path.write_text(text, "utf-8")
    return path


def test_the_policy_that_ships_is_a_valid_one(veristream: Run) -> None:
    shipped = Path(default_policy.__globals__["__file__"]).with_name("policy.toml")
    result = veristream("policy", "lint", shipped)
    assert result.code == 0
    assert "is a valid policy: default version 1" in result.out.replace("\n", " ")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('name = "p"\nversion = 1\n[review]\nhash_max_distance = 999\n', "review.hash_max_distance: "),
        ('name = "p"\nversion = 1\n[review]\nhash_max_distanse = 9\n', "review.hash_max_distanse: "),
        ('name = "p"\nversion = 0\n', "version: "),
        ("version = 1\n", "name: "),
        ('name = "p"\nversion = 1\n[synthetic]\ndeclared = "ignore"\n', "synthetic.declared: "),
        ("name = \n", "is not TOML: "),
    ],
)
def test_a_policy_that_would_be_refused_is_refused_with_field_and_reason(veristream: Run, text: str, said: str) -> None:
    result = veristream("policy", "lint", policy_file(text))
    assert result.code == 1
    assert said in result.error
    assert len(result.error.partition(said)[2]) > 10


def test_a_file_that_is_not_text_is_said_to_be_none(veristream: Run) -> None:
    Path("policy.toml").write_bytes(b'name = "\xff"')
    assert "is not TOML" in veristream("policy", "lint", "policy.toml").error


def test_a_path_with_brackets_is_a_path(veristream: Run) -> None:
    Path("[").mkdir()
    path = policy_file('name = "p"\nversion = 1\n', "[/good].toml")
    assert "[/good].toml is a valid policy: p version 1" in veristream("policy", "lint", path).out
    path = policy_file("name = ", "[/bad].toml")
    assert "[/bad].toml is not TOML" in veristream("policy", "lint", path).error


def test_a_policy_is_put_in_force_and_shown(veristream: Run, beside: Beside) -> None:
    beside.topics()
    shown = veristream("policy", "show", "--json")
    assert shown.lines[0]["version"] == 1
    put = veristream("policy", "put", policy_file('name = "default"\nversion = 3\ncomment = "mine"\n'))
    assert put == (0, "policy default version 3 is in force\n", "")
    shown = veristream("policy", "show", "--json")
    assert (shown.lines[0]["version"], shown.lines[0]["comment"]) == (3, "mine")
    assert json.loads(veristream("policy", "show").out)["version"] == 3


@pytest.mark.parametrize("version", [2, 3])
def test_a_version_that_is_not_higher_is_not_put_in_force(veristream: Run, beside: Beside, version: int) -> None:
    held = msgspec.structs.replace(default_policy(), version=3)
    beside.do(lambda client: client.send(POLICIES, held))
    result = veristream("policy", "put", policy_file(f'name = "default"\nversion = {version}\n'))
    assert result.code == 1
    assert result.error == f"version: 3 is in force; give default a higher one than {version}"
    assert veristream("policy", "show", "--json").lines[0]["version"] == 3
    assert veristream("policy", "put", policy_file('name = "default"\nversion = 4\n')).code == 0


def test_a_policy_that_no_worker_uses_is_put_with_a_note(veristream: Run, beside: Beside) -> None:
    beside.topics()
    result = veristream("policy", "put", policy_file('name = "other"\nversion = 1\n'))
    assert result.code == 0
    assert "VERISTREAM_POLICY=default do not use it" in result.err.replace("\n", " ")
    assert veristream("policy", "show", "other", "--json").lines[0]["name"] == "other"


def test_a_policys_lists_are_sent_and_those_that_no_policy_names_any_more_are_deleted(
    veristream: Run, beside: Beside
) -> None:
    async def lists() -> dict[str, bytes | None]:
        rows = {}
        async with Feed(beside.settings, [LISTS], from_beginning=True) as feed:
            while not await feed.at_end():
                rows.update({record.key: record.value for record in await feed.read(0.3)})
        return rows

    beside.topics()
    for version, words in enumerate(("冰毒", "大麻", "迷药"), 1):
        policy_file(f"{words}\n", "law.txt")
        text = f'name = "default"\nversion = {version}\n[review]\n'
        text += 'term_lists = [{ name = "law", file = "law.txt", category = "drugs" }]\n'
        assert veristream("policy", "put", policy_file(text)).code == 0
    held = [json.loads(row)["terms"][0]["text"] for row in asyncio.run(lists()).values() if row]
    assert held == ["大麻", "迷药"]  # that of the version before stays for workers that are behind
    assert "law: 1 terms" in veristream("policy", "lint", "policy.toml").out
    policy_file("", "law.txt")
    assert "holds no terms" in veristream("policy", "lint", "policy.toml").error


def test_a_policy_that_is_not_there_is_an_error(veristream: Run, beside: Beside) -> None:
    beside.topics()
    result = veristream("policy", "show", "none")
    assert (result.code, result.error) == (1, "there is no policy 'none'")


def test_a_row_that_workers_refuse_is_not_taken_for_the_one_in_force(veristream: Run, beside: Beside) -> None:
    async def send(client: Client) -> None:
        await client.send(POLICIES, msgspec.structs.replace(default_policy(), version=3))
        await client.send_raw(POLICIES, b"default", b'{"name":"default","version":"new"}')
        await client.send_raw(POLICIES, b"default", b"{")

    beside.do(send)
    shown = veristream("policy", "show", "--json")
    assert shown.lines[0]["version"] == 3
    assert "version" in shown.err
    assert veristream("policy", "put", policy_file('name = "default"\nversion = 4\n')).code == 0


# Rows.


def rows_of(veristream: Run, topic: str) -> list[Any]:
    result = veristream("tail", topic, "--from-beginning", "--once", "--json")
    assert result.code == 0
    return [line["value"] for line in result.lines]


def test_rows_are_sent_from_a_file(veristream: Run, beside: Beside) -> None:
    beside.topics()
    one = Provider(provider_id="v1", name="One")
    Path("one.json").write_bytes(encode(one))
    assert veristream("put", "providers", "one.json").out == "1 row sent to providers\n"
    Path("more.jsonl").write_text('{"provider_id":"v2","name":"Two"}\n\n{"provider_id":"v3","name":"三"}\n', "utf-8")
    assert veristream("put", "providers", "more.jsonl").out == "2 rows sent to providers\n"
    assert [row["name"] for row in rows_of(veristream, "providers")] == ["One", "Two", "三"]


def test_of_a_file_with_one_bad_line_nothing_is_sent(veristream: Run, beside: Beside) -> None:
    beside.topics()
    Path("rows.jsonl").write_text('{"provider_id":"v1","name":"One"}\n{"provider_id":"v2"}\n{\n')
    result = veristream("put", "providers", "rows.jsonl")
    assert result.code == 1
    assert "line 2: name: " in result.error
    assert "line 3: " in result.error
    assert rows_of(veristream, "providers") == []


@pytest.mark.parametrize(
    ("topic", "said"), [("uploads", "not a compacted topic"), ("provider", "there is no topic 'provider'; there are ")]
)
def test_what_holds_no_rows_takes_none(veristream: Run, topic: str, said: str) -> None:
    Path("rows.json").write_text("{}")
    result = veristream("put", topic, "rows.json")
    assert result.code == 1
    assert said in result.error


def test_a_file_that_is_not_there_is_named(veristream: Run) -> None:
    result = veristream("put", "providers", "none.json")
    assert result.code == 2
    assert "none.json" in result.err


def test_a_publisher_of_a_kind_that_is_none_is_not_registered(veristream: Run) -> None:
    result = veristream("publisher", "put", "p1", "--kind", "robot")
    assert result.code == 2
    assert "--kind" in result.err
    assert "robot" in result.err


def test_a_publisher_is_registered_and_shown_without_its_numbers(veristream: Run, beside: Beside) -> None:
    beside.topics()
    number = "11010519491231002X"  # the published example of GB 11643: it belongs to nobody
    put = veristream("publisher", "put", "p1", "--real-name", "verified", "--id-number", number)
    assert put.code == 0
    shown = veristream("publisher", "show", "p1", "--json")
    assert shown.lines[0]["publisher_id"] == "p1"
    assert shown.lines[0]["real_name"] == "verified"
    assert number not in put.out + put.err + shown.out
    assert veristream("publisher", "show", "p2").error == "there is no publisher 'p2'"


# Tail.


def test_a_topic_that_is_not_there_is_named_with_those_there_are(veristream: Run) -> None:
    result = veristream("tail", "decisions", "nosuchtopic[/x]")
    assert result.code == 1
    assert result.error.startswith("there is no topic 'nosuchtopic[/x]'; there are ")
    assert all(name in result.error for name in TOPICS)


def test_a_condition_that_is_none_is_named(veristream: Run) -> None:
    result = veristream("tail", "decisions", "--where", "agent")
    assert (result.code, result.error) == (1, "--where agent: write FIELD=VALUE")


LETTER = DeadLetter(
    topic="uploads",
    partition=0,
    offset=7,
    key=None,
    value=b"{",
    agent="review",
    error="Refused",
    reason="it is [bold]no[/bold] JSON",
    field="media.bytes",
    failed_at=NOW,
)


@pytest.fixture
def told(beside: Beside) -> Beside:
    """A broker with messages of several kinds."""

    async def send(client: Client) -> None:
        for number in range(5):
            await client.submit(upload(number, title=f"clip {number}", declared_synthetic=number % 2 == 0))
        await client.send_raw(ADMITTED, b"publisher", encode(Admitted(event=upload(9), admitted_at=NOW)))
        await client.send_raw(DEADLETTERS, b"as it came", encode(LETTER))
        await client.send_raw(PROVIDERS, b"v1", None)

    beside.do(send)
    return beside


def tailed(veristream: Run, *args: str) -> Result:
    result = veristream("tail", *args, "--from-beginning", "--once")
    assert result.code == 0
    return result


def test_what_lies_there_is_shown_to_scripts_whole(veristream: Run, told: Beside) -> None:
    lines = tailed(veristream, "uploads", "admitted", "--json").lines
    assert [line["value"]["title"] for line in lines if line["topic"] == "uploads"] == [f"clip {n}" for n in range(5)]
    (admitted,) = [line for line in lines if line["topic"] == "admitted"]
    assert admitted["value"] == json.loads(encode(Admitted(event=upload(9), admitted_at=NOW)))
    assert (admitted["key"], admitted["offset"]) == ("publisher", 0)


def test_what_lies_there_is_shown_to_people_in_brief(veristream: Run, told: Beside) -> None:
    shown = tailed(veristream, "uploads", "deadletters", "providers").out
    assert "publisher “clip 3”" in shown
    assert "review Refused media.bytes it is [bold]no[/bold] JSON" in shown
    assert "v1 (deleted)" in shown


@pytest.mark.parametrize(
    ("conditions", "numbers"),
    [
        (["title=clip 2"], [2]),
        (["declared_synthetic=true"], [0, 2, 4]),
        (["declared_synthetic=false", "event_id=event-3"], [3]),
        (["media.bytes=1"], [0, 1, 2, 3, 4]),
        (["media.none=1"], []),
        (["title.more=1"], []),
        (["stream_id=null"], [0, 1, 2, 3, 4]),
    ],
)
def test_only_messages_with_the_fields_asked_for_are_shown(
    veristream: Run, told: Beside, conditions: list[str], numbers: list[int]
) -> None:
    flags = [flag for condition in conditions for flag in ("--where", condition)]
    lines = tailed(veristream, "uploads", "--json", *flags).lines
    assert [line["value"]["event_id"] for line in lines] == [f"event-{number}" for number in numbers]


def test_it_stops_after_so_many(veristream: Run, told: Beside) -> None:
    result = veristream("tail", "uploads", "--from-beginning", "--max", "2", "--json")
    assert [line["value"]["event_id"] for line in result.lines] == ["event-0", "event-1"]


HOSTILE = {
    "no json": b"{",
    "not utf-8": b"\xff\xfe",
    "empty": b"",
    "a number": b"7",
    "a list": b"[1]",
    "deeply nested": b"[" * 100_000,
    "half a surrogate pair": b'{"title":"\\ud800"}',
    "markup": b'{"title":"[/bold][red]"}',
    "a title that is a number": b'{"title":7}',
    "an event that is a word": b'{"event":"x","title":"y"}',
    "reasons that are none": b'{"reasons":null}',
    "reasons without a code": b'{"reasons":[{"score":1}]}',
    "terminal commands": b'{"title":"\\u001b[2J\\u0007\\u009b2J"}',
}


def shown(value: bytes, *, as_json: bool, capsys: pytest.CaptureFixture[str]) -> str:
    _show(Record("uploads", 0, 7, "[/key]\ufffd\x9b", value), _parsed(value), as_json=as_json)
    return capsys.readouterr().out


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_message_of_any_kind_is_one_line_that_cannot_command_a_terminal(
    kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for as_json in (False, True):
        line = shown(HOSTILE[kind], as_json=as_json, capsys=capsys)
        assert line.endswith("\n")
        assert "[/key]\ufffd" in line
        assert not [char for char in line[:-1] if ord(char) < 32 or 0x7F <= ord(char) <= 0x9F]
        assert line.encode()


@pytest.mark.parametrize("value", ["\x1b[2J", "\x9b2J", "a\x00b", "鸟 [bold]", "\ud800"])
def test_scripts_are_shown_exactly_what_lies_there(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    line = shown(json.dumps({"title": value}).encode(), as_json=True, capsys=capsys)
    assert json.loads(line)["value"] == {"title": value}


@pytest.mark.parametrize("flags", [[], ["--json"]], ids=["people", "scripts"])
def test_messages_that_cannot_be_read_do_not_end_a_tail(veristream: Run, beside: Beside, flags: list[str]) -> None:
    async def send(client: Client) -> None:
        for value in HOSTILE.values():
            await client.send_raw(UPLOADS, b"publisher", value)
        await client.submit(upload(1, title="the last"))

    beside.do(send)
    lines = tailed(veristream, "uploads", *flags).out.splitlines()
    assert len(lines) == len(HOSTILE) + 1
    assert "the last" in lines[-1]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["event", "title", "reasons", "code", "signals", "name", "score", "error", "agent"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


@settings(derandomize=True, database=None, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(topic=st.sampled_from(["signals", "decisions"]), value=JSON)
def test_any_json_has_a_brief_form(topic: str, value: Any) -> None:
    assert isinstance(_brief(topic, value), str)


# Doctor.


def test_doctor_finds_all_in_order(veristream: Run, beside: Beside) -> None:
    beside.topics()
    result = veristream("doctor", "--json")
    found = {line["name"]: line for line in result.lines}
    # A machine may have little room, or a clock that nothing keeps in time.
    wrong = {name: line for name, line in found.items() if line["state"] != "ok"}
    assert set(wrong) <= {"clock", "store", "spool"}, wrong
    assert all(line["state"] == "warn" for line in wrong.values()), wrong
    assert result.code == 0
    assert {"python", "ffmpeg", "codecs", "agents", "detectors", "store", "spool", "clock", "broker", "topics"} <= set(
        found
    )
    assert found["broker"]["found"] == beside.settings.broker


def test_doctor_names_what_keeps_it_from_working_and_what_to_do(
    veristream: Run, beside: Beside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VERISTREAM_DETECTORS", "pdq,none")
    result = veristream("doctor", "--json")
    assert result.code == 1
    bad = {line["name"]: line for line in result.lines if line["state"] == "bad"}
    assert set(bad) == {"detectors", "topic"}
    assert "none not installed" in bad["detectors"]["found"]
    assert "VERISTREAM_DETECTORS" in bad["detectors"]["fix"]
    assert bad["topic"]["fix"] == "veristream topics create"
    people = veristream("doctor").out
    assert "→ veristream topics create" in people


def test_doctor_works_without_a_broker(veristream: Run) -> None:
    address = f"127.0.0.1:{free_port()}"
    result = veristream("doctor", "--broker", address, "--json")
    assert result.code == 1
    (bad,) = [line for line in result.lines if line["state"] == "bad"]
    assert (bad["name"], bad["found"]) == ("broker", f"{address} cannot be used")


def test_doctor_finds_a_folder_that_cannot_be_written(
    veristream: Run, beside: Beside, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    beside.topics()
    monkeypatch.setattr("streams.doctor.os.access", lambda path, _: Path(path) != tmp_path)
    result = veristream("doctor", "--json")
    bad = [line for line in result.lines if line["state"] == "bad"]
    assert [line["name"] for line in bad] == ["store"]
    assert "cannot be written" in bad[0]["found"]
    assert "VERISTREAM_STORE" in bad[0]["fix"]


def test_doctor_finds_a_clock_that_is_wrong(veristream: Run, beside: Beside, monkeypatch: pytest.MonkeyPatch) -> None:
    from datetime import UTC, datetime

    beside.topics()
    monkeypatch.setattr("streams.doctor.EARLIEST", datetime(9999, 1, 1, tzinfo=UTC))
    result = veristream("doctor", "--json")
    assert [line["name"] for line in result.lines if line["state"] == "bad"] == ["clock"]


def test_doctor_finds_little_room(veristream: Run, beside: Beside, monkeypatch: pytest.MonkeyPatch) -> None:
    beside.topics()
    monkeypatch.setattr("streams.doctor.LEAST_ROOM", 2**62)
    result = veristream("doctor", "--json")
    assert result.code == 0
    assert {line["name"] for line in result.lines if line["state"] == "warn"} >= {"store", "spool"}


# Logs.


def test_logs_are_a_line_of_json_each_if_asked_for(
    veristream: Run, monkeypatch: pytest.MonkeyPatch, beside: Beside
) -> None:
    monkeypatch.setenv("VERISTREAM_LOG_JSON", "true")
    beside.topics()
    assert veristream("topics", "list").code == 0
    try:
        raise RuntimeError("defect")
    except RuntimeError:
        record = logging.getLogger("streams.test").makeRecord(
            "streams.test", logging.ERROR, "file", 1, "went %s\nwrong", ("all",), sys.exc_info()
        )
    line = json.loads(logging.root.handlers[0].format(record))
    assert (line["level"], line["logger"], line["message"]) == ("error", "streams.test", "went all\nwrong")
    assert "RuntimeError: defect" in line["exception"]
